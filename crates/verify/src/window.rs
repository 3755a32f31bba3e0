//! Windows and what is aggregated in them, one row after another (I6).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::datatypes::i256;
use lakeward_core::expr::Aggregate;
use lakeward_core::pipeline::{Kpi, Measure, Window};
use lakeward_core::types::{Column, DataType};

use crate::cell::{Cell, digest, scale_of};
use crate::eval::eval;
use crate::number::{self, fits, ratio, rescale};
use crate::rules::KpiInput;

/// Length of a KPI's windows in microseconds.
#[must_use]
pub fn size_of(kpi: &Kpi) -> i64 {
    let Window::Tumbling { size } = kpi.window;
    size
}

/// The start of the window that holds an event time.
#[must_use]
pub fn start_of(kpi: &Kpi, time: i64) -> i64 {
    time.saturating_sub(time.checked_rem_euclid(size_of(kpi)).unwrap_or(0))
}

/// Whether a watermark closes the window that begins at `start`.
#[must_use]
pub fn is_closed(kpi: &Kpi, start: i64, watermark: i64) -> bool {
    start.saturating_add(size_of(kpi)).saturating_add(kpi.allowed_lateness) <= watermark
}

/// Whether the window takes no row any more, not even as a revision.
#[must_use]
pub fn is_past(kpi: &Kpi, start: i64, watermark: i64) -> bool {
    is_closed(kpi, start, watermark.saturating_sub(kpi.amend_for))
}

/// The windows of one KPI that still take rows: per start and key the measures.
#[derive(Default)]
pub struct Windows {
    held: BTreeMap<i64, HashMap<Vec<String>, Vec<Acc>>>,
    /// G of the entry before; none before the first.
    g: Option<i64>,
    /// Closed windows and the keys that rows came for since the entry before.
    touched: BTreeSet<(i64, Vec<String>)>,
    /// The revision of each final row that may change.
    revisions: HashMap<(i64, Vec<String>), i64>,
}

/// A (window, key) with its answers.
pub struct Answered {
    /// The window's start.
    pub start: i64,
    /// The key's texts.
    pub key: Vec<String>,
    /// Per measure its answer.
    pub answers: Vec<Cell>,
    /// How often it changed after it had been final.
    pub revision: i64,
}

/// What an entry makes final.
#[derive(Default)]
pub struct Closed {
    /// Rows of the windows that it closes.
    pub finals: Vec<Answered>,
    /// Rows that it adds to windows closed before, or changes there.
    pub revised: Vec<Answered>,
}

impl Windows {
    /// Adds a row.
    pub fn add(&mut self, kpi: &Kpi, start: i64, input: &KpiInput) {
        let keys = self.held.entry(start).or_default();
        if !keys.contains_key(&input.key) {
            keys.insert(input.key.clone(), kpi.measures.iter().map(Acc::new).collect());
        }
        if self.g.is_some_and(|g| is_closed(kpi, start, g)) {
            self.touched.insert((start, input.key.clone()));
        }
        let Some(accs) = keys.get_mut(&input.key) else { return };
        for ((acc, measure), arg) in accs.iter_mut().zip(&kpi.measures).zip(&input.args) {
            acc.add(arg, measure.expr.arg.is_none());
        }
    }

    /// What an entry with this G makes final.
    pub fn close(&mut self, kpi: &Kpi, g: i64) -> Closed {
        let was_closed = |start: i64| self.g.is_some_and(|before| is_closed(kpi, start, before));
        let now: Vec<i64> = self.held.keys().copied().filter(|s| is_closed(kpi, *s, g) && !was_closed(*s)).collect();
        let mut closed = Closed::default();
        for start in now {
            let keys = self.held.get(&start);
            closed.finals.extend(keys.iter().flat_map(|keys| answered(kpi, start, keys)));
        }
        for (start, key) in std::mem::take(&mut self.touched) {
            let Some(accs) = self.held.get(&start).and_then(|keys| keys.get(&key)) else { continue };
            let answers = accs.iter().zip(&kpi.measures).map(|(acc, measure)| acc.answer(measure)).collect();
            let revision = self.revisions.get(&(start, key.clone())).map_or(0, |before| before + 1);
            closed.revised.push(Answered { start, key, answers, revision });
        }
        for row in closed.finals.iter().chain(&closed.revised) {
            self.revisions.insert((row.start, row.key.clone()), row.revision);
        }
        self.held.retain(|start, _| !is_past(kpi, *start, g));
        self.revisions.retain(|(start, _), _| !is_past(kpi, *start, g));
        self.g = Some(g);
        closed
    }

    /// The answers of what is still open.
    #[must_use]
    pub fn still_open(&self, kpi: &Kpi) -> Vec<Answered> {
        let open = self.held.iter().filter(|(start, _)| !self.g.is_some_and(|g| is_closed(kpi, **start, g)));
        open.flat_map(|(start, keys)| answered(kpi, *start, keys)).collect()
    }
}

fn answered(kpi: &Kpi, start: i64, keys: &HashMap<Vec<String>, Vec<Acc>>) -> Vec<Answered> {
    let answers = |accs: &Vec<Acc>| accs.iter().zip(&kpi.measures).map(|(acc, measure)| acc.answer(measure)).collect();
    let row = |(key, accs)| Answered { start, key: Vec::clone(key), answers: answers(accs), revision: 0 };
    keys.iter().map(row).collect()
}

impl Answered {
    /// The columns of `Kpi::window_scope`; derived measures without a value are NULL.
    #[must_use]
    pub fn scope(&self, kpi: &Kpi, row_columns: &[Column]) -> Vec<Cell> {
        let mut scope = vec![Cell::Int(self.start), Cell::Int(self.start.saturating_add(size_of(kpi)))];
        let types = kpi.key.iter().filter_map(|&i| row_columns.get(i)).map(|column| column.ty);
        scope.extend(self.key.iter().zip(types).map(|(text, ty)| key_cell(text, ty)));
        scope.extend(self.answers.iter().cloned());
        for derived in &kpi.derived {
            let value = eval(derived.expr.tree(), &scope).unwrap_or(Cell::Null);
            scope.push(value);
        }
        scope.push(Cell::Int(self.revision));
        scope
    }
}

/// A key's text as the value that it is the text of.
fn key_cell(text: &str, ty: DataType) -> Cell {
    let read = match ty {
        DataType::String => Some(Cell::Text(text.to_owned())),
        DataType::Bool => text.parse().ok().map(Cell::Bool),
        DataType::Int32 | DataType::Int64 => text.parse().ok().map(Cell::Int),
        DataType::Float64 => text.parse().ok().map(Cell::Float),
        DataType::Decimal { precision, scale } => number::parse(text, precision, scale, false).ok().map(Cell::Decimal),
        DataType::Date => crate::calendar::strict_date(text).map(Cell::Int),
        DataType::Timestamp => crate::calendar::strict_instant(text, false).ok().map(Cell::Int),
    };
    read.unwrap_or(Cell::Null)
}

/// The running aggregate of one measure.
enum Acc {
    Count(i64),
    Exact { rows: i64, sum: i256 },
    Float { rows: i64, sum: FloatSum },
    Least(Cell),
    Most(Cell),
    Distinct(HashSet<u128>),
}

impl Acc {
    fn new(measure: &Measure) -> Self {
        let arg = measure.expr.arg.as_ref().map(lakeward_core::expr::Expr::ty);
        match (measure.expr.aggregate, arg) {
            (Aggregate::Count, _) => Self::Count(0),
            (Aggregate::Sum | Aggregate::Avg, Some(DataType::Float64)) => {
                Self::Float { rows: 0, sum: FloatSum::default() }
            }
            (Aggregate::Sum | Aggregate::Avg, _) => Self::Exact { rows: 0, sum: i256::ZERO },
            (Aggregate::Min, _) => Self::Least(Cell::Null),
            (Aggregate::Max, _) => Self::Most(Cell::Null),
            (Aggregate::CountDistinct, _) => Self::Distinct(HashSet::new()),
        }
    }

    /// NULL adds nothing, but for `count(*)`.
    fn add(&mut self, arg: &Cell, all_rows: bool) {
        match (self, arg) {
            (Self::Count(rows), arg) => *rows += i64::from(all_rows || !arg.is_null()),
            (_, Cell::Null) => {}
            (Self::Exact { rows, sum }, arg) => {
                let value = match arg {
                    Cell::Int(n) => i128::from(*n),
                    Cell::Decimal(n) => *n,
                    _ => return,
                };
                (*rows, *sum) = (*rows + 1, sum.wrapping_add(i256::from_i128(value)));
            }
            (Self::Float { rows, sum }, Cell::Float(x)) => {
                *rows += 1;
                sum.add(*x);
            }
            (Self::Float { .. }, _) => {}
            (Self::Least(held), arg) if held.is_null() || arg.order(held).is_lt() => *held = arg.clone(),
            (Self::Most(held), arg) if held.is_null() || arg.order(held).is_gt() => *held = arg.clone(),
            (Self::Least(_) | Self::Most(_), _) => {}
            (Self::Distinct(values), arg) => {
                let mut encoded = Vec::with_capacity(24);
                arg.encode(&mut encoded);
                values.insert(digest(&encoded));
            }
        }
    }

    /// The answer in the measure's type; NULL where nothing was added, or where it does not fit.
    fn answer(&self, measure: &Measure) -> Cell {
        let from = measure.expr.arg.as_ref().map_or(DataType::Int64, lakeward_core::expr::Expr::ty);
        let (scale, ty) = (scale_of(from), measure.ty);
        let average = measure.expr.aggregate == Aggregate::Avg;
        let found = match self {
            Self::Count(rows) => exact((*rows).into(), 0, ty),
            Self::Distinct(values) => exact(i128::try_from(values.len()).unwrap_or(i128::MAX), 0, ty),
            Self::Exact { rows: 0, .. } | Self::Float { rows: 0, .. } => None,
            Self::Exact { rows, sum } => sum.to_i128().and_then(|sum| match (average, ty) {
                (false, _) => exact(sum, scale, ty),
                (true, DataType::Float64) => match exact(sum, scale, ty) {
                    Some(Cell::Float(sum)) => Some(Cell::Float(sum / count_as_float(*rows))),
                    _ => None,
                },
                (true, _) => {
                    ratio(sum, scale, (*rows).into(), 0, scale_of(ty)).and_then(|n| exact(n, scale_of(ty), ty))
                }
            }),
            Self::Float { rows, sum } => {
                let value = if average { sum.value() / count_as_float(*rows) } else { sum.value() };
                float_as(value, ty)
            }
            Self::Least(held) | Self::Most(held) => match held {
                _ if from == ty => Some(held.clone()),
                Cell::Int(n) => exact((*n).into(), 0, ty),
                Cell::Decimal(n) => exact(*n, scale, ty),
                other => Some(other.clone()),
            },
        };
        found.unwrap_or(Cell::Null)
    }
}

/// The exact number `value / 10^scale` in a type; `None` where it does not fit.
fn exact(value: i128, scale: i8, ty: DataType) -> Option<Cell> {
    match ty {
        DataType::Decimal { precision, scale: to } => {
            rescale(value, scale, to).filter(|n| fits(*n, precision)).map(Cell::Decimal)
        }
        DataType::Float64 => number::text(value, scale).parse().ok().map(Cell::Float),
        DataType::Int32 => i32::try_from(rescale(value, scale, 0)?).ok().map(|n| Cell::Int(n.into())),
        _ => i64::try_from(rescale(value, scale, 0)?).ok().map(Cell::Int),
    }
}

fn float_as(value: f64, ty: DataType) -> Option<Cell> {
    match ty {
        DataType::Float64 => Some(Cell::Float(value)),
        DataType::Decimal { precision, scale } => {
            number::parse(&value.to_string(), precision, scale, true).ok().map(Cell::Decimal)
        }
        _ => None,
    }
}

/// Exact below 2^53 rows, which no window reaches.
fn count_as_float(rows: i64) -> f64 {
    rows.to_string().parse().unwrap_or(f64::NAN)
}

/// A sum of doubles without an error until it is asked for: parts that don't overlap, smallest first (Shewchuk 1997).
#[derive(Default)]
struct FloatSum {
    parts: Vec<f64>,
    /// What is no finite number, summed as it comes.
    other: f64,
}

impl FloatSum {
    fn add(&mut self, x: f64) {
        if !x.is_finite() {
            self.other += x;
            return;
        }
        let mut x = x;
        let mut kept = Vec::with_capacity(self.parts.len() + 1);
        for &part in &self.parts {
            let (large, small) = if x.abs() < part.abs() { (part, x) } else { (x, part) };
            let high = large + small;
            let low = small - (high - large);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        self.parts = kept;
    }

    /// The nearest double, ties to even.
    fn value(&self) -> f64 {
        if self.other != 0.0 {
            return self.other;
        }
        let mut parts = self.parts.iter().rev().copied();
        let mut high = parts.next().unwrap_or(0.0);
        let mut low = 0.0;
        for part in parts.by_ref() {
            let before = high;
            high = before + part;
            low = part - (high - before);
            if low != 0.0 {
                break;
            }
        }
        // Half way between two doubles, what is left decides.
        let next = parts.next().unwrap_or(0.0);
        if low < 0.0 && next < 0.0 || low > 0.0 && next > 0.0 {
            let twice = low * 2.0;
            let moved = high + twice;
            if moved - high == twice {
                high = moved;
            }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_doubles_is_exact_and_rounded_once() {
        let check = |values: &[f64], expected: f64| {
            let mut sum = FloatSum::default();
            values.iter().for_each(|x| sum.add(*x));
            assert_eq!(sum.value(), expected, "{values:?}");
        };
        check(&[0.1; 10], 1.0);
        check(&[1e100, 1.0, -1e100], 1.0);
        check(&[1e16, 1.0, 1e-16], 1e16 + 2.0);
        check(&[9_007_199_254_740_992.0, 1.0], 9_007_199_254_740_992.0);
        check(&[f64::INFINITY, 1.0], f64::INFINITY);
        check(&[], 0.0);
    }
}
