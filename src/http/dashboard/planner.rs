//! From a board and a selection to the fewest questions: figures over the same groups of the same table are one.

use lakeward_connect::mart::board::{Answer, By, Origin, Part, Question, Selection};
use lakeward_core::pipeline::{BoardMeasure, Figure, Pipeline};

use super::amount::Amount;

/// Most groups of one question whose order matters.
const MOST_GROUPS: u32 = 200;

/// Where the parts of a figure stand in the answers.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is read from.
    pub origin: Origin,
    question: usize,
    labels: usize,
    part: usize,
    count: Option<usize>,
}

/// The questions of a board for one selection.
pub struct Planner<'p> {
    pipeline: &'p Pipeline,
    selection: Selection,
    questions: Vec<Question>,
}

impl<'p> Planner<'p> {
    pub fn new(pipeline: &'p Pipeline, selection: Selection) -> Self {
        Self { pipeline, selection, questions: Vec::new() }
    }

    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// Asks for a figure by groups, from its KPI if that can answer; `spans` of time are no matter of order.
    pub fn figure(&mut self, measure: &BoardMeasure, by: &[By]) -> Place {
        let kpi = measure.kpi.filter(|from| self.kpi_answers(from.kpi, by));
        match kpi {
            Some(from) => {
                let origin = Origin::Kpi(from.kpi);
                let count = from.count.map(Part::Of);
                self.place(origin, by, Part::Of(from.part), count)
            }
            None => self.of_rows(measure.figure, by),
        }
    }

    /// Asks for a figure of the rows.
    pub fn of_rows(&mut self, figure: Figure, by: &[By]) -> Place {
        let (part, count) = match figure {
            Figure::Count => (Part::Count, None),
            Figure::CountOf(column) => (Part::CountOf(column), None),
            Figure::Distinct(column) => (Part::Distinct(column), None),
            Figure::Sum(column) => (Part::Sum(column), None),
            Figure::Average(column) => (Part::Sum(column), Some(Part::CountOf(column))),
        };
        self.place(Origin::Rows, by, part, count)
    }

    /// Asks for one part.
    pub fn part(&mut self, origin: Origin, by: &[By], part: Part) -> Place {
        self.place(origin, by, part, None)
    }

    /// Whether a KPI knows all that the selection and the groups go by, and its windows fit into the selection.
    pub fn kpi_answers(&self, kpi: usize, by: &[By]) -> bool {
        let Some(kpi) = self.pipeline.kpis.get(kpi) else { return false };
        let size = kpi.window_size();
        let source = |column: usize| {
            self.pipeline.rows.as_ref().and_then(|rows| rows.columns.get(column)).map(|(_, source)| *source)
        };
        let keyed = |column: usize| source(column).is_some_and(|source| kpi.mart_key(source).is_some());
        let whole = |bound: Option<i64>| bound.is_none_or(|micros| micros.rem_euclid(size) == 0);
        let known = by.iter().all(|by| match by {
            By::Column(column) => keyed(*column),
            By::Span(span) => span % size == 0,
            By::Interval { .. } => false,
        });
        known
            && whole(self.selection.from)
            && whole(self.selection.to)
            && self.selection.chosen.iter().all(|(column, _)| keyed(*column))
    }

    fn place(&mut self, origin: Origin, by: &[By], part: Part, count: Option<Part>) -> Place {
        let known = self.questions.iter().position(|known| known.origin == origin && known.by == by);
        let question = known.unwrap_or_else(|| {
            let in_order = by.iter().any(|by| !matches!(by, By::Column(_))) || by.is_empty();
            self.questions.push(Question {
                origin,
                selection: self.selection.clone(),
                by: by.to_vec(),
                parts: Vec::new(),
                top: (!in_order).then_some(MOST_GROUPS),
            });
            self.questions.len() - 1
        });
        let mut add = |part: Part| {
            let Some(asked) = self.questions.get_mut(question) else { return 0 };
            asked.parts.iter().position(|known| *known == part).unwrap_or_else(|| {
                asked.parts.push(part);
                asked.parts.len() - 1
            })
        };
        let (part, count) = (add(part), count.map(&mut add));
        Place { origin, question, labels: by.len(), part, count }
    }
}

impl Place {
    /// The groups of an answer: their labels, and the figure, if it has a value.
    pub fn groups<'a>(&'a self, answers: &'a [Answer]) -> impl Iterator<Item = (Vec<&'a str>, Option<Amount>)> {
        let rows = answers.get(self.question).map(Vec::as_slice).unwrap_or_default();
        rows.iter().map(|row| {
            let labels = row.iter().take(self.labels).map(|label| label.as_deref().unwrap_or_default()).collect();
            let number = |part: usize| row.get(self.labels + part)?.as_deref().and_then(Amount::parse);
            let value = match self.count {
                None => number(self.part),
                Some(count) => number(self.part).zip(number(count)).and_then(|(sum, count)| sum.over(count)),
            };
            (labels, value)
        })
    }

    /// The figure of an answer without groups.
    pub fn value(&self, answers: &[Answer]) -> Option<Amount> {
        self.groups(answers).next().and_then(|(_, value)| value)
    }
}
