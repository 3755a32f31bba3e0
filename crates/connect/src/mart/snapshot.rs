//! A mart at one moment, fences and rows together, for whoever checks it. Nothing is written and no claim is needed.

use std::collections::BTreeMap;

use lakeward_core::ids::{EventTime, Version};
use lakeward_core::types::Column;
use tokio::sync::mpsc;

use super::{Coordinates, MartContext, MartError, postgres, sqlite};

/// Rows that are handed over at once.
pub(crate) const CHUNK: usize = 4096;
/// Chunks that may wait for whoever takes them.
const WAITING: usize = 4;

/// A value as a mart holds it; its column's type gives it its meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum MartValue {
    /// NULL
    Null,
    /// bool
    Bool(bool),
    /// int32, int64, days since 1970 of a date, microseconds since 1970 of a timestamp
    Int(i64),
    /// float64
    Float(f64),
    /// Unscaled value of a decimal at its column's scale.
    Decimal(i128),
    /// string
    Text(String),
    /// Something that no value of the column's type is.
    Foreign(String),
}

/// The fences of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fences {
    /// Log and claim that hold the mart, if any.
    pub holder: Option<(String, Version)>,
    /// Fences of rows of the asked log: claim and next offset.
    pub rows: BTreeMap<Coordinates, (Version, i64)>,
    /// Fences of KPIs of the asked log, and by `late_fence` of their late rows.
    pub kpis: BTreeMap<String, HeldKpiFence>,
}

/// A KPI's fence with its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKpiFence {
    /// The claim.
    pub claim: Version,
    /// The last entry whose Gold rows are applied; `None` before the first.
    pub version: Option<Version>,
    /// Windows that end at or before this are closed.
    pub closed_to: EventTime,
}

/// A moment of a mart, held by a read transaction until it is dropped.
pub struct MartSnapshot {
    fences: Fences,
    context: MartContext,
    held: Held,
}

pub(crate) enum Held {
    Postgres(postgres::Moment),
    Sqlite(sqlite::Moment),
}

/// A table's rows on their way.
pub struct TableScan {
    /// The columns of each row, in order.
    pub columns: Vec<Column>,
    /// The rows, in no order, some thousand at a time; an error ends them.
    pub rows: mpsc::Receiver<Result<Vec<Vec<MartValue>>, MartError>>,
}

pub(crate) type Sender = mpsc::Sender<Result<Vec<Vec<MartValue>>, MartError>>;

impl MartSnapshot {
    pub(crate) fn new(fences: Fences, context: MartContext, held: Held) -> Self {
        Self { fences, context, held }
    }

    /// The fences at that moment.
    #[must_use]
    pub fn fences(&self) -> &Fences {
        &self.fences
    }

    /// Rows of one of the pipeline's tables at that moment, with those of its columns that `wanted` names, in the table's
    /// order; `None` where the table is not there. One scan at a time.
    pub async fn scan(&self, table: &str, wanted: impl Fn(&Column) -> bool) -> Result<Option<TableScan>, MartError> {
        let Some((table, _)) = self.context.plan.table(table) else { return Ok(None) };
        let columns: Vec<Column> = table.columns.iter().filter(|column| wanted(column)).cloned().collect();
        let (sender, rows) = mpsc::channel(WAITING);
        let there = match &self.held {
            Held::Postgres(moment) => moment.scan(table, &columns, sender).await?,
            Held::Sqlite(moment) => moment.scan(table, &columns, sender).await?,
        };
        Ok(there.then_some(TableScan { columns, rows }))
    }
}
