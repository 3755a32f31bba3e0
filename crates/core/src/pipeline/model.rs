//! The validated definition of a pipeline. Indices were resolved when it was parsed; nothing here can be wrong.

use crate::expr::{Expr, MeasureExpr};
use crate::ids::EventTime;
use crate::kpi::window_end;
use crate::types::{Column, DataType};
use crate::watermark::is_closed;

/// One declared feed.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Name, also of its folder under `_lakeward/`.
    pub name: String,
    /// Where records come from.
    pub source: Source,
    /// The declared fields of a record, in the file's order.
    pub fields: Vec<FieldDef>,
    /// Event time and watermark.
    pub time: Time,
    /// Checks, in the file's order; the first failure decides.
    pub checks: Vec<Check>,
    /// Derived columns, in order; each sees the fields and the derived columns before it.
    pub derived: Vec<Derived>,
    /// Removal of repeated keys.
    pub dedup: Option<Dedup>,
    /// The lake's layers: what is written where, in which encoding.
    pub layers: Vec<Layer>,
    /// How many of a hundred of the newest records may be refused before the pipeline stops; `None`: all.
    pub max_refused: Option<u8>,
    /// The mart table that holds rows.
    pub rows: Option<RowsMart>,
    /// The windowed KPIs.
    pub kpis: Vec<Kpi>,
    /// The board in the browser.
    pub dashboard: Option<super::Dashboard>,
}

/// The Kafka topic.
#[derive(Clone, Debug)]
pub struct Source {
    /// Topic name.
    pub topic: String,
    /// Where a partition that the log does not know begins.
    pub start: StartOffset,
}

/// Where a partition begins that the log does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOffset {
    /// The oldest offset that Kafka still holds.
    Earliest,
    /// The end at the time of the first entry.
    Latest,
    /// The first offset at or after this Kafka timestamp, in milliseconds.
    Timestamp(i64),
}

/// A declared field of the JSON record.
#[derive(Clone, Debug)]
pub struct FieldDef {
    /// Name in the JSON object, case kept.
    pub name: String,
    /// Type.
    pub ty: DataType,
    /// Whether a missing or null value quarantines the record.
    pub required: bool,
    /// Whether digits beyond a decimal's scale are rounded (half away from zero) instead of quarantined.
    pub round: bool,
}

/// Where the event time comes from, and how far it may be out of order. All spans are microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// The event time of a record.
    pub event_time: EventTimeSource,
    /// watermark = largest event time seen - this.
    pub out_of_orderness: i64,
    /// A record further ahead of the process's clock is quarantined (T4).
    pub max_future_skew: i64,
    /// A partition without records for this long is idle (T2).
    pub idle_after: i64,
    /// A partition this far ahead of the slowest one pauses (T7).
    pub max_drift: i64,
}

/// Which time windows use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTimeSource {
    /// The Kafka record's timestamp.
    Kafka,
    /// A required date or timestamp field, by its index in `fields`.
    Field(usize),
}

/// A condition that rows must meet; it passes only when TRUE.
#[derive(Clone, Debug)]
pub struct Check {
    /// Name, shown in the ledger and in quarantine.
    pub name: String,
    /// Boolean expression over the fields.
    pub expr: Expr,
    /// What happens to a row that fails.
    pub otherwise: Otherwise,
}

/// What a failed check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The row is left out of Silver and counted.
    Filter,
    /// The record goes to Quarantine.
    Quarantine,
}

/// A derived column.
#[derive(Clone, Debug)]
pub struct Derived {
    /// Its name and type.
    pub column: Column,
    /// Its value over the fields and the derived columns before it.
    pub expr: Expr,
}

/// Removal of repeated keys within a span of event time, per source partition (T6).
#[derive(Clone, Debug)]
pub struct Dedup {
    /// Indices of row columns.
    pub key: Vec<usize>,
    /// Microseconds.
    pub within: i64,
}

/// A folder of the lake.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Name in logs and entries: `bronze`, `silver`, `quarantine`, `gold/<kpi>`, `late/<kpi>`.
    pub name: String,
    /// Folder below the lake's root, without a leading slash.
    pub path: String,
    /// How its files are written.
    pub encoding: Encoding,
    /// What it holds.
    pub holds: Holds,
    /// Files go that came when event time was further back than this many microseconds; `None` keeps all (H1).
    pub retention: Option<i64>,
}

/// How a layer's files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON lines, the payload's bytes untouched.
    RawJson,
    /// Parquet, snappy.
    Parquet,
}

impl Encoding {
    /// The name in a pipeline file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RawJson => "raw-json",
            Self::Parquet => "parquet",
        }
    }
}

/// What a layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Every record as received, with its coordinates.
    Records,
    /// Records that failed, with reason and raw bytes.
    Rejects,
    /// Typed, checked, enriched rows, in hive folders by these row columns.
    Rows {
        /// Indices of row columns; they are in the folder's name and not in the file.
        partition_by: Vec<usize>,
    },
    /// Closed windows of one KPI, by its index in `kpis`.
    FinalWindows {
        /// Index in `kpis`.
        kpi: usize,
    },
    /// Rows that came too late for one KPI, each with the window that it missed (T5).
    LateRows {
        /// Index in `kpis`.
        kpi: usize,
    },
}

/// The table of rows in the mart.
#[derive(Clone, Debug)]
pub struct RowsMart {
    /// Table name.
    pub table: String,
    /// Columns: the mart's name (lower case) and the index in `Pipeline::silver_columns`.
    pub columns: Vec<(String, usize)>,
    /// Rows older than this many microseconds of Kafka time below G go; `None` keeps all.
    pub retention: Option<i64>,
}

/// A windowed KPI.
#[derive(Clone, Debug)]
pub struct Kpi {
    /// Name.
    pub name: String,
    /// Its windows.
    pub window: Window,
    /// Indices of row columns that make the key, in order.
    pub key: Vec<usize>,
    /// Text that stands for NULL in a key column (N3).
    pub null_key: String,
    /// Measures in order.
    pub measures: Vec<Measure>,
    /// Derived measures: expressions over `window_scope()`.
    pub derived: Vec<Derived>,
    /// Microseconds after a window's end in which late rows still count.
    pub allowed_lateness: i64,
    /// Microseconds after that in which late rows revise the closed window (T5); 0: none does.
    pub amend_for: i64,
    /// Gold columns over `window_scope()`, in the file's order.
    pub gold: Vec<Derived>,
    /// The mart table.
    pub mart: Option<KpiMart>,
    /// The table of rows that came too late (T5); `None`: they are counted only.
    pub late_table: Option<LateTable>,
}

impl Kpi {
    /// Microseconds after a window's end in which a row is still taken into it: before it closes or as a revision.
    #[must_use]
    pub fn longest_lateness(&self) -> i64 {
        self.allowed_lateness.saturating_add(self.amend_for)
    }

    /// Whether `g` has closed the window that starts at `window` (E3).
    #[must_use]
    pub fn is_closed(&self, window: EventTime, g: EventTime) -> bool {
        is_closed(window_end(self.window, window), self.allowed_lateness, g)
    }

    /// Whether G has passed the point up to which rows may still revise the window (T5).
    #[must_use]
    pub fn is_settled(&self, window: EventTime, g: EventTime) -> bool {
        is_closed(window_end(self.window, window), self.longest_lateness(), g)
    }
}

/// Where a KPI's late rows go: a layer of the lake always, and a table of the mart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateTable {
    /// Table name in the mart; `None`: the layer only.
    pub table: Option<String>,
}

/// The shape of a KPI's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// `[k * size, (k + 1) * size)` since the epoch, size in microseconds.
    Tumbling {
        /// Microseconds.
        size: i64,
    },
}

/// A measure of a KPI.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Name.
    pub name: String,
    /// Aggregate, argument (over the row columns) and natural type.
    pub expr: MeasureExpr,
    /// The type of the answer.
    pub ty: DataType,
}

/// The mart table of a KPI.
#[derive(Clone, Debug)]
pub struct KpiMart {
    /// Table name.
    pub table: String,
    /// Columns over `mart_scope()`: `window_scope()` + `is_final` (bool) + `processing_timestamp`; names in lower case.
    pub columns: Vec<Derived>,
    /// Indices into `columns` that make the primary key: the window's start (or what is computed from it) and the keys.
    pub primary_key: Vec<usize>,
    /// Index into `columns` of the column computed from the window's start; part of `primary_key`.
    pub window_column: usize,
    /// Index into `columns` of `is_final`.
    pub final_column: usize,
}

/// The columns that the engine adds behind a pipeline's own, in this order, in Silver and row marts.
#[must_use]
pub fn system_columns() -> Vec<Column> {
    vec![
        Column::new("processing_timestamp", DataType::Timestamp, false),
        Column::new("kafka_topic", DataType::String, false),
        Column::new("kafka_partition", DataType::Int32, false),
        Column::new("kafka_offset", DataType::Int64, false),
        Column::new("kafka_timestamp", DataType::Timestamp, true),
        Column::new("kafka_incarnation", DataType::Int32, false),
    ]
}

/// What a late row says beside the row itself: whose it would have been, the window that it missed, and the watermark of
/// its partition that judged it (T1). They stand behind `silver_columns`.
#[must_use]
pub fn late_columns() -> Vec<Column> {
    vec![
        Column::new("kpi", DataType::String, false),
        Column::new("window_start", DataType::Timestamp, false),
        Column::new("window_end", DataType::Timestamp, false),
        Column::new("watermark", DataType::Timestamp, false),
    ]
}

impl Pipeline {
    /// The fields, then the derived columns: what checks, keys and measures may name.
    #[must_use]
    pub fn row_columns(&self) -> Vec<Column> {
        let fields = self.fields.iter().map(|f| Column::new(&f.name, f.ty, !f.required));
        fields.chain(self.derived.iter().map(|d| d.column.clone())).collect()
    }

    /// `row_columns()` followed by `system_columns()`: the schema of a batch of rows.
    #[must_use]
    pub fn silver_columns(&self) -> Vec<Column> {
        let mut columns = self.row_columns();
        columns.extend(system_columns());
        columns
    }

    /// `silver_columns()` as an Arrow schema.
    #[must_use]
    pub fn rows_schema(&self) -> arrow::datatypes::SchemaRef {
        let fields: Vec<_> = self.silver_columns().iter().map(Column::field).collect();
        std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
    }

    /// `silver_columns()` followed by `late_columns()`: the schema of a batch of late rows.
    #[must_use]
    pub fn late_row_columns(&self) -> Vec<Column> {
        let mut columns = self.silver_columns();
        columns.extend(late_columns());
        columns
    }

    /// `late_row_columns()` as an Arrow schema.
    #[must_use]
    pub fn late_schema(&self) -> arrow::datatypes::SchemaRef {
        let fields: Vec<_> = self.late_row_columns().iter().map(Column::field).collect();
        std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
    }

    /// Layer by what it holds.
    #[must_use]
    pub fn layer(&self, holds: impl Fn(&Holds) -> bool) -> Option<(usize, &Layer)> {
        self.layers.iter().enumerate().find(|(_, layer)| holds(&layer.holds))
    }
}

impl Kpi {
    /// What derived measures and Gold columns may name: `window_start`, `window_end` (timestamps), the key columns
    /// (never NULL), the measures, the derived measures, `revision` (int32).
    #[must_use]
    pub fn window_scope(&self, row_columns: &[Column]) -> Vec<Column> {
        let mut scope = vec![
            Column::new("window_start", DataType::Timestamp, false),
            Column::new("window_end", DataType::Timestamp, false),
        ];
        let keys = self.key.iter().filter_map(|&i| row_columns.get(i));
        scope.extend(keys.map(|c| Column::new(&c.name, c.ty, false)));
        scope.extend(self.measures.iter().map(|m| Column::new(&m.name, m.ty, m.expr.nullable)));
        scope.extend(self.derived.iter().map(|d| d.column.clone()));
        scope.push(Column::new("revision", DataType::Int32, false));
        scope
    }

    /// `window_scope()`, then `is_final` (bool) and `processing_timestamp`.
    #[must_use]
    pub fn mart_scope(&self, row_columns: &[Column]) -> Vec<Column> {
        let mut scope = self.window_scope(row_columns);
        scope.push(Column::new("is_final", DataType::Bool, false));
        scope.push(Column::new("processing_timestamp", DataType::Timestamp, false));
        scope
    }
}
