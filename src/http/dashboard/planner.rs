//! From a board and a selection to the fewest questions, because each looks through a table: figures over the same groups
//! of the same table are one, and so are figures by columns with few values, which are added up here.

use std::collections::BTreeMap;

use lakeward_connect::mart::board::{Answer, By, Origin, Part, Question, Selection};
use lakeward_core::pipeline::{BoardMeasure, Figure, Pipeline};

use super::amount::Amount;

/// Most groups of one question whose order matters.
const MOST_GROUPS: u32 = 200;

/// Most columns by which one question tells rows apart; windows are fewer than rows.
const MOST_OF_ROWS: usize = 2;
const MOST_OF_WINDOWS: usize = 4;

/// Where the parts of a figure stand in the answers.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it is read from.
    pub origin: Origin,
    question: usize,
    /// Which of the question's labels are the figure's; the others are added up.
    labels: Vec<usize>,
    part: usize,
    count: Option<usize>,
}

/// Answers with how many labels their rows begin with.
#[derive(Debug, Default)]
pub struct Answers(Vec<(usize, Answer)>);

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

    /// The answers to the questions, in their order.
    pub fn answered(&self, answers: Vec<Answer>) -> Answers {
        Answers(self.questions.iter().map(|question| question.by.len()).zip(answers).collect())
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
        let distinct = matches!(part, Part::Distinct(_));
        let same = self.questions.iter().position(|known| known.origin == origin && known.by == by);
        let shared = if distinct { None } else { self.shared(origin, by) };
        let question = same.or(shared).unwrap_or_else(|| {
            self.questions.push(Question {
                origin,
                selection: self.selection.clone(),
                by: by.to_vec(),
                parts: Vec::new(),
                top: None,
            });
            self.questions.len() - 1
        });
        let mut place = Place { origin, question, labels: Vec::new(), part: 0, count: None };
        let Some(asked) = self.questions.get_mut(question) else { return place };
        place.labels = by.iter().map(|by| index_of(&mut asked.by, by)).collect();
        asked.top = matches!(asked.by.as_slice(), [By::Column(_)]).then_some(MOST_GROUPS);
        place.part = index_of(&mut asked.parts, &part);
        place.count = count.map(|count| index_of(&mut asked.parts, &count));
        place
    }

    /// A question that these groups may be asked with.
    fn shared(&self, origin: Origin, by: &[By]) -> Option<usize> {
        let most = if origin == Origin::Rows { MOST_OF_ROWS } else { MOST_OF_WINDOWS };
        let few = |by: &[By]| by.iter().all(|by| self.has_few_values(*by));
        // Rows as a whole are looked through with their distinct counts.
        if !few(by) || (by.is_empty() && origin == Origin::Rows) {
            return None;
        }
        self.questions.iter().position(|known| {
            let more = by.iter().filter(|by| !known.by.contains(by)).count();
            let whole = known.by.is_empty() && origin == Origin::Rows;
            let times = known.parts.iter().any(|part| matches!(part, Part::Distinct(_) | Part::First | Part::Last));
            known.origin == origin && few(&known.by) && !whole && !times && known.by.len() + more <= most
        })
    }

    /// Filters are chosen from lists, so their values are few; and so are intervals.
    fn has_few_values(&self, by: By) -> bool {
        match by {
            By::Column(column) => self.pipeline.dashboard.as_ref().is_some_and(|board| board.filters.contains(&column)),
            By::Interval { .. } => true,
            By::Span(_) => false,
        }
    }
}

/// Where the item is in the list, at whose end it is put if it isn't there.
fn index_of<T: Clone + PartialEq>(list: &mut Vec<T>, item: &T) -> usize {
    list.iter().position(|known| known == item).unwrap_or_else(|| {
        list.push(item.clone());
        list.len() - 1
    })
}

impl Place {
    /// The groups of an answer: their labels, and the figure, if it has a value.
    pub fn groups<'a>(&self, answers: &'a Answers) -> Vec<(Vec<&'a str>, Option<Amount>)> {
        let Some((labels, rows)) = answers.0.get(self.question) else { return Vec::new() };
        let mut groups: BTreeMap<Vec<&str>, (Option<Amount>, Option<Amount>)> = BTreeMap::new();
        let mut order = Vec::new();
        for row in rows {
            let text = |at: &usize| row.get(*at).and_then(|label| label.as_deref()).unwrap_or_default();
            let number = |part: usize| row.get(labels + part)?.as_deref().and_then(Amount::parse);
            let key: Vec<&str> = self.labels.iter().map(text).collect();
            let held = groups.entry(key.clone()).or_insert_with(|| {
                order.push(key);
                (None, None)
            });
            held.0 = sum(held.0, number(self.part));
            held.1 = sum(held.1, self.count.and_then(number));
        }
        let value = |(part, count): (Option<Amount>, Option<Amount>)| match self.count {
            None => part,
            Some(_) => part.zip(count).and_then(|(part, count)| part.over(count)),
        };
        order.into_iter().map(|key| (key.clone(), groups.get(&key).copied().and_then(value))).collect()
    }

    /// The figure of an answer without groups.
    pub fn value(&self, answers: &Answers) -> Option<Amount> {
        self.groups(answers).into_iter().next().and_then(|(_, value)| value)
    }
}

fn sum(a: Option<Amount>, b: Option<Amount>) -> Option<Amount> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_shared_answer_are_added_up_exactly() {
        let row = |texts: [&str; 4]| texts.map(|text| Some(text.to_owned())).to_vec();
        let rows = vec![row(["a", "x", "0.10", "1"]), row(["b", "x", "0.20", "2"]), row(["a", "y", "0.35", "2"])];
        let answers = Answers(vec![(2, rows)]);
        let place = |labels: &[usize], count| Place {
            origin: Origin::Rows,
            question: 0,
            labels: labels.to_vec(),
            part: 0,
            count,
        };
        let said = |place: Place| -> Vec<String> {
            let groups = place.groups(&answers);
            groups.iter().map(|(labels, value)| format!("{}={}", labels.join("/"), value.unwrap())).collect()
        };
        assert_eq!(said(place(&[0], None)), ["a=0.45", "b=0.20"]);
        assert_eq!(said(place(&[1], Some(1))), ["x=0.1000", "y=0.1750"]);
        assert_eq!(said(place(&[], None)), ["=0.65"]);
        assert_eq!(said(place(&[1, 0], None)), ["x/a=0.10", "x/b=0.20", "y/a=0.35"]);
    }
}
