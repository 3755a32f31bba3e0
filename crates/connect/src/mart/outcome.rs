//! What marts take and answer: batches, fences, outcomes. A caller must choose on an outcome, so they are values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use lakeward_core::ids::{EventTime, Version};
pub use lakeward_core::log::{Coordinates, RowsOutcome};
use lakeward_core::types::Column;

/// Where the reign of a claim ended for (claim, incarnation, partition): the `to` of the last entry before the next
/// claim entry, or the head's where no claim followed; 0 for a partition that the log did not know then (F2).
pub type ReignEnd = Arc<dyn Fn(Version, i32, i32) -> i64 + Send + Sync>;

/// What a claim found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Claimed {
    /// The mart is held under the claim; what dead attempts had shown is taken back.
    Held {
        /// Next offset per (incarnation, partition), for every fence of this log.
        next: BTreeMap<Coordinates, i64>,
        /// Fence per KPI name, and by `late_fence` those of tables of late rows.
        kpis: BTreeMap<String, KpiFence>,
    },
    /// A greater claim holds the mart: step down. Nothing was changed.
    Fenced {
        /// The claim that holds it.
        claim: Version,
    },
}

/// A KPI's fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KpiFence {
    /// The last entry whose Gold rows are applied; `None` before the first.
    pub version: Option<Version>,
    /// Windows that end at or before this are closed; `EventTime::MIN` before the first.
    pub closed_to: EventTime,
    /// The offset per partition, exclusive, up to which live values reflected records.
    pub reflected: BTreeMap<i32, i64>,
}

impl KpiFence {
    /// Whether nothing has been written to the table yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.version.is_none() && self.reflected.is_empty()
    }
}

/// Rows of one partition that follow each other: all kept rows of `[base, to)`.
#[derive(Clone, Debug)]
pub struct RowsBatch {
    /// Incarnation of the topic.
    pub incarnation: i32,
    /// Partition.
    pub partition: i32,
    /// The fence's offset before.
    pub base: i64,
    /// The fence's offset after.
    pub to: i64,
    /// The rows: the pipeline's Silver columns in order. May be empty.
    pub rows: RecordBatch,
}

/// Live values of one KPI: absolute, changed keys only, each key once.
#[derive(Clone, Debug)]
pub struct LiveRows {
    /// The KPI's mart columns in order.
    pub rows: RecordBatch,
    /// Per row the end of its window: a row whose window is closed by the fence is dropped.
    pub window_ends: Vec<EventTime>,
    /// Per partition the offset, exclusive, up to which records are in these and all earlier values.
    pub reflected: BTreeMap<i32, i64>,
}

/// What became of live values or of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum LiveOutcome {
    /// Done.
    Applied,
    /// A greater claim holds the mart: step down. Nothing was changed.
    Fenced {
        /// The claim that holds it.
        claim: Version,
    },
}

/// What an entry says about one KPI.
#[derive(Clone, Debug)]
pub struct FinalRows {
    /// The entry.
    pub version: Version,
    /// Entries up to this one were applied before. A table that holds less was made anew meanwhile: an error.
    pub above: Option<Version>,
    /// All windows that end at or before this are closed by this entry or an earlier one.
    pub closed_to: EventTime,
    /// The KPI's mart columns in order; `is_final` is written as true whatever they say. Each key once.
    pub rows: Vec<RecordBatch>,
    /// Values of the mart's window column (as computed from the window's start) of the windows that this entry closes,
    /// in any order, rows or not; at least that of the last one. Non-final rows of these windows go. Where the column
    /// is a timestamp or date, so do non-final rows of all earlier windows.
    pub closed_windows: Option<ArrayRef>,
}

/// The late rows of a KPI that entries have added.
#[derive(Clone, Debug)]
pub struct AddedRows {
    /// The rows are those of the entries above this one (`None`: of all) …
    pub above: Option<Version>,
    /// … up to this one.
    pub version: Version,
    /// `Pipeline::late_row_columns` in order.
    pub rows: Vec<RecordBatch>,
}

/// What became of late rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum AddOutcome {
    /// All are in the table, once.
    Applied,
    /// The table holds the rows up to another entry: go on from there. Nothing was changed.
    At {
        /// That entry; `None` before the first.
        version: Option<Version>,
    },
    /// A greater claim holds the mart: step down. Nothing was changed.
    Fenced {
        /// The claim that holds it.
        claim: Version,
    },
}

/// What became of an entry's final rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum FinalOutcome {
    /// Done.
    Applied,
    /// The fence has this version or a later one: nothing to do.
    AlreadyApplied,
    /// A greater claim holds the mart: step down. Nothing was changed.
    Fenced {
        /// The claim that holds it.
        claim: Version,
    },
}

/// What a mart holds, for people and `/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MartStatus {
    /// Tables of the pipeline.
    pub tables: Vec<TableStatus>,
}

/// Who holds a mart, and how far its rows have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Log and claim that hold the mart, if any.
    pub holder: Option<(String, Version)>,
    /// Row fences of every log: (log id, (incarnation, partition), claim, next).
    pub fences: Vec<(String, Coordinates, Version, i64)>,
}

/// What a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: i64,
    /// The newest Kafka timestamp, or for a KPI the newest window if that is a timestamp.
    pub newest: Option<EventTime>,
}

/// Rows of a table as the mart shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestRows {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, newest first; a value per column, `None` for NULL. Alike in every mart: times as ISO 8601 in UTC with
    /// microseconds, `true` and `false`, decimals with all their digits.
    pub rows: Vec<Vec<Option<String>>>,
}
