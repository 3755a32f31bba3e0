//! What a layer's files hold, as values: the writers know no layer by name.

use arrow::datatypes::{Schema, SchemaRef};
use lakeward_core::ids::{EventTime, OffsetRange};

/// The encoding of a layer's files.
#[derive(Clone, Debug)]
pub enum LayerSpec {
    /// Lines of JSON, taken as bytes; one file per epoch.
    RawJson,
    /// Parquet, one file per hive leaf and epoch.
    Parquet(ParquetSpec),
}

/// What the rows of a Parquet layer look like.
#[derive(Clone, Debug)]
pub struct ParquetSpec {
    /// All columns of a row, those that the layer is partitioned by included.
    pub schema: SchemaRef,
    /// Indexes into `schema` of the columns that become folders, outermost first. They are not in the files.
    pub partition_by: Vec<usize>,
    /// Index of the timestamp column that holds a row's event time, so that each file states its own smallest and
    /// largest. `None`: files state the event times of the batches that they got rows from.
    pub event_time: Option<usize>,
    /// Most leaves open in one epoch; one more is an error that names the column with the most values.
    pub max_leaves: usize,
}

/// Leaves open at once if nothing else is said: a unique id as partition column is a mistake, not a layout.
pub const DEFAULT_MAX_LEAVES: usize = 1000;

impl ParquetSpec {
    /// Rows of `schema`, partitioned by the columns at `partition_by`.
    #[must_use]
    pub fn new(schema: SchemaRef, partition_by: Vec<usize>) -> Self {
        Self { schema, partition_by, event_time: None, max_leaves: DEFAULT_MAX_LEAVES }
    }

    /// The columns inside the files, in order: all but the partition columns.
    #[must_use]
    pub fn file_schema(&self) -> SchemaRef {
        let inside = self.file_columns().into_iter().filter_map(|i| self.schema.fields().get(i).cloned());
        Schema::new(inside.collect::<Vec<_>>()).into()
    }

    /// Indexes into `schema` of the columns inside the files.
    #[must_use]
    pub fn file_columns(&self) -> Vec<usize> {
        (0..self.schema.fields().len()).filter(|i| !self.partition_by.contains(i)).collect()
    }
}

/// Where appended lines or rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendMeta {
    /// Source partition; negative where there is none (Gold): then no offsets are stated.
    pub partition: i32,
    /// The offsets that the appended rows lie in.
    pub range: OffsetRange,
    /// Lines or rows appended.
    pub rows: u64,
    /// Smallest and largest event time among them, both inclusive.
    pub event_times: Option<(EventTime, EventTime)>,
}
