//! The tables that a pipeline needs in a mart: names, types, keys. Pure; both marts render it in their own SQL.

use lakeward_core::ids::Version;
use lakeward_core::pipeline::{Kpi, LateTable as Declared, Pipeline, system_columns};
use lakeward_core::types::{Column, DataType};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::MartError;

/// A table: columns by their mart names, primary key by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    pub key: Vec<usize>,
}

/// The table of rows: which batch column feeds which table column, and where the coordinates are.
#[derive(Clone, Debug)]
pub(crate) struct RowsTable {
    pub table: Table,
    /// For each table column its index in a batch of Silver columns.
    pub sources: Vec<usize>,
    pub incarnation: String,
    pub partition: String,
    pub offset: String,
    /// The Kafka timestamp's column, where the table has it.
    pub timestamp: Option<String>,
}

/// The table of a KPI; batches carry exactly its columns, in order.
#[derive(Clone, Debug)]
pub(crate) struct KpiTable {
    pub kpi: String,
    pub table: Table,
    /// Index of the column computed from the window's start.
    pub window: usize,
    /// Index of `is_final`.
    pub is_final: usize,
}

/// The table of rows that came too late for a KPI; batches carry exactly its columns, in order.
#[derive(Clone, Debug)]
pub(crate) struct LateTable {
    /// What its fence is known by, beside those of KPIs: the name of its layer, which no KPI can have.
    pub fence: String,
    pub table: Table,
    /// The Kafka timestamp's column.
    pub timestamp: String,
}

/// All tables of one pipeline.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub pipeline: String,
    pub rows: Option<RowsTable>,
    /// By the KPI's index in the pipeline; `None` where a KPI has no mart.
    pub kpis: Vec<Option<KpiTable>>,
    /// Likewise where a KPI keeps its late rows in the mart.
    pub late: Vec<Option<LateTable>>,
}

/// Who writes: pipeline, log and claim, with the tables. Cheap to clone; every write is judged by it.
#[derive(Clone, Debug)]
pub struct MartContext {
    pub(crate) plan: Arc<Plan>,
    pub(crate) log_id: Arc<str>,
    pub(crate) claim: Version,
}

impl MartContext {
    /// The context of the owner that holds `claim` of log `log_id`. Errors where the pipeline's tables lack what
    /// exactness needs (the coordinates of a row).
    pub fn new(pipeline: &Pipeline, log_id: &str, claim: Version) -> Result<Self, MartError> {
        Ok(Self { plan: Arc::new(Plan::new(pipeline)?), log_id: log_id.into(), claim })
    }

    /// The claim of this owner.
    #[must_use]
    pub fn claim(&self) -> Version {
        self.claim
    }

    pub(crate) fn rows(&self) -> Result<&RowsTable, MartError> {
        let missing = || MartError::Config(format!("pipeline {} has no [rows] table", self.plan.pipeline));
        self.plan.rows.as_ref().ok_or_else(missing)
    }

    pub(crate) fn kpi(&self, kpi: usize) -> Result<&KpiTable, MartError> {
        let missing = || MartError::Config(format!("KPI {kpi} of pipeline {} has no mart table", self.plan.pipeline));
        self.plan.kpis.get(kpi).and_then(Option::as_ref).ok_or_else(missing)
    }

    /// Where rows that entries bring are added.
    pub(crate) fn target(&self, added: Added) -> Result<Target<'_>, MartError> {
        match added {
            Added::Late { kpi } => {
                let missing =
                    || MartError::Config(format!("KPI {kpi} of {} has no mart table of late rows", self.plan.pipeline));
                let late = self.plan.late.get(kpi).and_then(Option::as_ref).ok_or_else(missing)?;
                Ok(Target { fence: &late.fence, table: &late.table, sources: None })
            }
            Added::Replayed => {
                let rows = self.rows()?;
                Ok(Target { fence: REPLAYED_FENCE, table: &rows.table, sources: Some(&rows.sources) })
            }
        }
    }
}

/// Rows that come to a table by the entries that bring them, never ahead of the log (F3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The late rows of a KPI, to its table of such. Batches have `Pipeline::late_row_columns`.
    Late {
        /// Its number.
        kpi: usize,
    },
    /// Rows replayed out of Quarantine, to the table of rows. Batches have `Pipeline::silver_columns`. A row that is there
    /// is left as it is: whoever filled the table from the lake has found it there.
    Replayed,
}

/// A table that rows are added to.
pub(crate) struct Target<'p> {
    pub fence: &'p str,
    pub table: &'p Table,
    /// Per column its place in a batch, and rows may be there; `None`: batches have exactly the columns, and rows are new.
    pub sources: Option<&'p [usize]>,
}

impl Target<'_> {
    /// The batches that hold rows, with exactly the table's columns.
    pub fn batches(&self, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>, String> {
        let full = rows.iter().filter(|batch| batch.num_rows() > 0);
        let of = |batch: &RecordBatch| match self.sources {
            None => Ok(batch.clone()),
            Some(sources) => batch.project(sources).map_err(|e| format!("rows for {}: {e}", self.table.name)),
        };
        full.map(of).collect()
    }
}

/// What the fence of replayed rows is known by: no KPI can be called so.
pub const REPLAYED_FENCE: &str = "replayed/rows";

impl Plan {
    pub fn new(pipeline: &Pipeline) -> Result<Self, MartError> {
        let kpis = pipeline.kpis.iter().map(kpi_table).collect();
        let late = |kpi: &Kpi| late_table(pipeline, kpi, kpi.late_table.as_ref()?);
        let late = pipeline.kpis.iter().map(late).collect();
        Ok(Self { pipeline: pipeline.name.clone(), rows: rows_table(pipeline)?, kpis, late })
    }

    /// The rows table, the KPI tables and those of late rows.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.rows.iter().map(|rows| &rows.table).chain(self.by_entry().map(|(_, table)| table))
    }

    /// The tables that entries are applied to, each with the name of its fence.
    pub fn by_entry(&self) -> impl Iterator<Item = (&str, &Table)> {
        let kpis = self.kpi_tables().map(|kpi| (kpi.kpi.as_str(), &kpi.table));
        kpis.chain(self.late_tables().map(|late| (late.fence.as_str(), &late.table)))
    }

    /// Names of the fences that entries move.
    pub fn fences(&self) -> impl Iterator<Item = &str> {
        self.by_entry().map(|(name, _)| name).chain(self.rows.iter().map(|_| REPLAYED_FENCE))
    }

    /// A table by its name, and the column that says how new a row is: the Kafka timestamp, or the window.
    pub fn table(&self, name: &str) -> Option<(&Table, Option<&str>)> {
        let rows = self.rows.iter().map(|rows| (&rows.table, rows.timestamp.as_deref()));
        let kpis =
            self.kpi_tables().map(|kpi| (&kpi.table, kpi.table.columns.get(kpi.window).map(|c| c.name.as_str())));
        let late = self.late_tables().map(|late| (&late.table, Some(late.timestamp.as_str())));
        rows.chain(kpis).chain(late).find(|(table, _)| table.name == name)
    }

    /// ORDER BY of that table's rows, newest first, else by key.
    pub fn newest_first(table: &Table, time: Option<&str>, quoted: impl Fn(&str) -> String) -> String {
        let keys = table.key_columns().map(|c| c.name.as_str()).filter(|name| Some(*name) != time);
        let keys = keys.map(|name| format!("{} DESC", quoted(name)));
        let time = time.map(|name| format!("{} DESC", quoted(name)));
        time.into_iter().chain(keys).collect::<Vec<_>>().join(", ")
    }

    pub fn kpi_tables(&self) -> impl Iterator<Item = &KpiTable> {
        self.kpis.iter().flatten()
    }

    pub fn late_tables(&self) -> impl Iterator<Item = &LateTable> {
        self.late.iter().flatten()
    }
}

impl Table {
    /// The key's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|&i| self.columns.get(i))
    }

    pub fn is_key(&self, column: usize) -> bool {
        self.key.contains(&column)
    }
}

impl KpiTable {
    pub fn window_column(&self) -> Result<&Column, MartError> {
        let missing = || MartError::Config(format!("KPI {} names no window column", self.kpi));
        self.table.columns.get(self.window).ok_or_else(missing)
    }

    pub fn final_column(&self) -> Result<&Column, MartError> {
        let missing = || MartError::Config(format!("KPI {} names no final column", self.kpi));
        self.table.columns.get(self.is_final).ok_or_else(missing)
    }

    /// Whether the window column's values rise with the windows. Then everything up to the last closed window's value
    /// goes when windows close, also previews of windows that an attempt that died had invented.
    pub fn windows_are_ordered(&self) -> Result<bool, MartError> {
        Ok(matches!(self.window_column()?.ty, DataType::Timestamp | DataType::Date))
    }
}

fn rows_table(pipeline: &Pipeline) -> Result<Option<RowsTable>, MartError> {
    let Some(rows) = &pipeline.rows else { return Ok(None) };
    let silver = pipeline.silver_columns();
    let mut columns = Vec::with_capacity(rows.columns.len());
    for (name, source) in &rows.columns {
        let column = silver.get(*source).ok_or_else(|| {
            MartError::Config(format!(
                "column {name} of table {} has no source in pipeline {}",
                rows.table, pipeline.name
            ))
        })?;
        columns.push(Column::new(name, column.ty, column.nullable));
    }
    let sources: Vec<usize> = rows.columns.iter().map(|(_, source)| *source).collect();
    let first_system = silver.len().saturating_sub(system_columns().len());
    let position = |system: &str| {
        let source = silver.iter().skip(first_system).position(|c| c.name == system)? + first_system;
        sources.iter().position(|s| *s == source)
    };
    let needed = |system: &str| {
        let missing = || MartError::Config(format!("table {} must hold {system}: rows are known by it", rows.table));
        position(system).ok_or_else(missing)
    };
    let identity = [needed("kafka_incarnation")?, needed("kafka_partition")?, needed("kafka_offset")?];
    let name = |i: usize| columns.get(i).map(|c| c.name.clone()).unwrap_or_default();
    let [incarnation, partition, offset] = identity.map(name);
    let timestamp = position("kafka_timestamp").map(name);
    let key = identity.to_vec();
    let table = Table { name: rows.table.clone(), columns, key };
    Ok(Some(RowsTable { table, sources, incarnation, partition, offset, timestamp }))
}

fn kpi_table(kpi: &Kpi) -> Option<KpiTable> {
    let mart = kpi.mart.as_ref()?;
    let columns = mart.columns.iter().enumerate();
    // What a row is known by is never NULL (N3), whatever the expression's type says.
    let columns = columns
        .map(|(i, d)| Column::new(&d.column.name, d.column.ty, d.column.nullable && !mart.primary_key.contains(&i)))
        .collect();
    Some(KpiTable {
        kpi: kpi.name.clone(),
        table: Table { name: mart.table.clone(), columns, key: mart.primary_key.clone() },
        window: mart.window_column,
        is_final: mart.final_column,
    })
}

/// All columns of a late row, known by its coordinates (N4).
fn late_table(pipeline: &Pipeline, kpi: &Kpi, declared: &Declared) -> Option<LateTable> {
    let name = declared.table.clone()?;
    let late = pipeline.late_row_columns();
    let columns: Vec<Column> = late.iter().map(|c| Column::new(c.name.to_lowercase(), c.ty, c.nullable)).collect();
    let key = ["kafka_incarnation", "kafka_partition", "kafka_offset"];
    let key = key.iter().filter_map(|name| columns.iter().position(|column| column.name == *name)).collect();
    let table = Table { name, columns, key };
    Some(LateTable { fence: late_fence(&kpi.name), table, timestamp: "kafka_timestamp".to_owned() })
}

/// The name by which the fence of a KPI's table of late rows is known.
#[must_use]
pub fn late_fence(kpi: &str) -> String {
    format!("late/{kpi}")
}

/// Eight hexadecimal digits that tell long names apart.
pub(crate) fn short_hash(text: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(text.as_bytes()).get(..4).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lakeward_core::pipeline::{EventTimeSource, FieldDef, RowsMart, Source, StartOffset, Time};

    use super::*;

    /// One field `kafka_offset` of text, to be told from the coordinate, and these table columns.
    fn pipeline(columns: &[(&str, usize)]) -> Pipeline {
        let field = FieldDef { name: "kafka_offset".into(), ty: DataType::String, required: false, round: false };
        Pipeline {
            name: "p".into(),
            source: Source { topic: "t".into(), start: StartOffset::Earliest },
            fields: vec![field],
            time: Time {
                event_time: EventTimeSource::Kafka,
                out_of_orderness: 0,
                max_future_skew: 0,
                idle_after: 0,
                max_drift: 0,
            },
            checks: vec![],
            derived: vec![],
            dedup: None,
            layers: vec![],
            max_refused: None,
            rows: Some(RowsMart {
                table: "things".into(),
                columns: columns.iter().map(|(name, source)| ((*name).to_owned(), *source)).collect(),
                retention: None,
            }),
            kpis: vec![],
            dashboard: None,
        }
    }

    #[test]
    fn rows_are_known_by_the_coordinates_under_their_names_in_the_mart() {
        // 0 is the field; 1 to 6 are processing time, topic, partition, offset, timestamp, incarnation.
        let columns = [("text", 0), ("at", 4), ("part", 3), ("gen", 6), ("time", 5)];
        let rows = Plan::new(&pipeline(&columns)).unwrap().rows.unwrap();
        assert_eq!((&*rows.incarnation, &*rows.partition, &*rows.offset), ("gen", "part", "at"));
        assert_eq!(rows.timestamp.as_deref(), Some("time"));
        assert_eq!(rows.table.key, [3, 2, 1]);
        assert_eq!(rows.table.columns.first(), Some(&Column::new("text", DataType::String, true)));
    }

    #[test]
    fn a_table_without_a_coordinate_is_refused_by_name() {
        let error = Plan::new(&pipeline(&[("text", 0), ("part", 3), ("gen", 6)])).unwrap_err().to_string();
        assert!(error.contains("kafka_offset"), "{error}");
    }
}
