//! The decisions that concern a record alone, column by column: checks, derived columns, keys and measures' arguments.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;

use crate::decode::{Decoded, Reason, Reject};
use crate::expr::Evaluated;
use crate::hive::names_a_folder;
use crate::ids::EventTime;
use crate::kpi::{PreAggregate, Prepared};
use crate::pipeline::{Holds, Layer, Otherwise, Pipeline};

/// What a record is, before the records around it are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// No payload.
    Tombstone,
    /// To Quarantine.
    Rejected,
    /// Left out by a check, by its index.
    Filtered { check: usize, event_time: EventTime },
    /// A row of `Decided::columns`.
    Row { row: usize, event_time: EventTime },
}

/// A batch, decided.
#[derive(Debug)]
pub(super) struct Decided {
    /// One per record.
    pub fates: Vec<Fate>,
    /// The row columns of the rows that passed the checks; some of them may be rejected.
    pub columns: Vec<ArrayRef>,
    /// Per row, the index of its record.
    pub records: Vec<u32>,
    /// Per row.
    pub event_times: Vec<EventTime>,
    /// Keys and arguments of the rows.
    pub prepared: Prepared,
    /// Why records are quarantined, by ascending record.
    pub rejects: Vec<Reject>,
}

/// Decides every record of a batch of `records` records.
pub(super) fn decide(pipeline: &Pipeline, pre_aggregate: &PreAggregate, decoded: Decoded, records: usize) -> Decided {
    let mut outcomes = Outcomes::new(decoded.event_times.len());
    check(pipeline, &decoded.columns, &mut outcomes);
    let mut fates = vec![Fate::Tombstone; records];
    let mut rejects = decoded.rejects;
    for reject in &rejects {
        set(&mut fates, reject.record, Fate::Rejected);
    }
    let mut passed = Vec::new();
    for (row, outcome) in outcomes.of_rows.into_iter().enumerate() {
        let (Some(&record), Some(&event_time)) = (decoded.records.get(row), decoded.event_times.get(row)) else {
            continue;
        };
        match outcome {
            Outcome::Passed => passed.push((row, record, event_time)),
            Outcome::Filtered(check) => set(&mut fates, record, Fate::Filtered { check, event_time }),
            Outcome::Rejected(why) => reject(&mut fates, &mut rejects, record, *why),
        }
    }
    let mut columns = select(decoded.columns, &passed);
    let mut outcomes = Outcomes::new(passed.len());
    derive(pipeline, &mut columns, &mut outcomes);
    refuse_long_folders(pipeline, &columns, &mut outcomes);
    let prepared = pre_aggregate.prepare(&columns, passed.len());
    for failure in &prepared.failures {
        outcomes.reject(failure.row, failure.reason, &failure.field, failure.detail.clone());
    }
    for (row, (outcome, (_, record, event_time))) in outcomes.of_rows.into_iter().zip(&passed).enumerate() {
        match outcome {
            Outcome::Rejected(why) => reject(&mut fates, &mut rejects, *record, *why),
            _ => set(&mut fates, *record, Fate::Row { row, event_time: *event_time }),
        }
    }
    rejects.sort_by_key(|reject| reject.record);
    let (records, event_times) = passed.iter().map(|(_, record, time)| (*record, *time)).unzip();
    Decided { fates, columns, records, event_times, prepared, rejects }
}

#[derive(Clone, Debug)]
enum Outcome {
    Passed,
    Filtered(usize),
    Rejected(Box<Why>),
}

#[derive(Clone, Debug)]
struct Why {
    reason: Reason,
    field: String,
    detail: String,
}

/// Per row; the first decision stands.
struct Outcomes {
    of_rows: Vec<Outcome>,
}

impl Outcomes {
    fn new(rows: usize) -> Self {
        Self { of_rows: vec![Outcome::Passed; rows] }
    }

    fn decide(&mut self, row: usize, outcome: impl FnOnce() -> Outcome) {
        if let Some(slot @ Outcome::Passed) = self.of_rows.get_mut(row) {
            *slot = outcome();
        }
    }

    fn reject(&mut self, row: usize, reason: Reason, field: &str, detail: String) {
        self.decide(row, || Outcome::Rejected(Box::new(Why { reason, field: field.to_owned(), detail })));
    }

    fn reject_failures(&mut self, evaluated: &Evaluated, field: &str) {
        for failure in &evaluated.failures {
            self.reject(failure.row, Reason::Overflow, field, failure.detail.clone());
        }
    }
}

/// A row passes a check only where the check is TRUE; the first check that fails decides.
fn check(pipeline: &Pipeline, columns: &[ArrayRef], outcomes: &mut Outcomes) {
    let rows = outcomes.of_rows.len();
    for (index, check) in pipeline.checks.iter().enumerate() {
        let evaluated = check.expr.evaluate(columns, rows);
        outcomes.reject_failures(&evaluated, &check.name);
        let Some(values) = evaluated.values.as_boolean_opt() else { continue };
        if values.null_count() == 0 && values.true_count() == rows {
            continue;
        }
        for row in (0..rows).filter(|&row| values.is_null(row) || !values.value(row)) {
            match check.otherwise {
                Otherwise::Filter => outcomes.decide(row, || Outcome::Filtered(index)),
                Otherwise::Quarantine => {
                    let found = if values.is_null(row) { "unknown" } else { "false" };
                    outcomes.reject(row, Reason::Check, &check.name, format!("the check is {found}"));
                }
            }
        }
    }
}

/// Appends the derived columns; each sees those before it.
fn derive(pipeline: &Pipeline, columns: &mut Vec<ArrayRef>, outcomes: &mut Outcomes) {
    for derived in &pipeline.derived {
        let evaluated = derived.expr.evaluate(columns, outcomes.of_rows.len());
        outcomes.reject_failures(&evaluated, &derived.column.name);
        columns.push(evaluated.values);
    }
}

/// A value of a partition column must make the name of a folder. Only texts can be too long.
fn refuse_long_folders(pipeline: &Pipeline, columns: &[ArrayRef], outcomes: &mut Outcomes) {
    let names = pipeline.row_columns();
    let by = |layer: &Layer| match &layer.holds {
        Holds::Rows { partition_by } => partition_by.clone(),
        _ => Vec::new(),
    };
    for index in pipeline.layers.iter().flat_map(by) {
        let (Some(column), Some(values)) = (names.get(index), columns.get(index)) else { continue };
        let Some(texts) = values.as_string_opt::<i32>() else { continue };
        for (row, text) in texts.iter().enumerate() {
            if let Some(text) = text.filter(|text| !names_a_folder(&column.name, text)) {
                let detail = format!("{} bytes are too long for the name of a folder", text.len());
                outcomes.reject(row, Reason::KeyTooLarge, &column.name, detail);
            }
        }
    }
}

/// The given rows of the columns; the columns themselves where that is all of them.
fn select(columns: Vec<ArrayRef>, passed: &[(usize, u32, EventTime)]) -> Vec<ArrayRef> {
    if columns.first().is_none_or(|column| column.len() == passed.len()) {
        return columns;
    }
    take_rows(&columns, passed.iter().map(|(row, ..)| *row))
}

/// The given rows of the columns.
pub(super) fn take_rows(columns: &[ArrayRef], rows: impl Iterator<Item = usize>) -> Vec<ArrayRef> {
    let rows = UInt32Array::from_iter_values(rows.filter_map(|row| u32::try_from(row).ok()));
    // Taking fails on indices beyond the column only, which there are none.
    columns.iter().map(|column| take(column, &rows, None).unwrap_or_else(|_| Arc::clone(column))).collect()
}

fn reject(fates: &mut [Fate], rejects: &mut Vec<Reject>, record: u32, why: Why) {
    set(fates, record, Fate::Rejected);
    rejects.push(Reject { record, reason: why.reason, field: Some(why.field), detail: why.detail });
}

fn set(fates: &mut [Fate], record: u32, fate: Fate) {
    if let Some(slot) = usize::try_from(record).ok().and_then(|index| fates.get_mut(index)) {
        *slot = fate;
    }
}
