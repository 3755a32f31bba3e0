//! Kept rows as a record batch: the row columns, then the columns that the engine adds.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use super::decide::{Decided, take_rows};
use crate::decode::kafka_micros;
use crate::pipeline::Pipeline;
use crate::record::{RawBatch, RawRecord};
use crate::types::Column;

/// Builds the batches of one partition.
#[derive(Debug)]
pub(super) struct RowAssembler {
    schema: SchemaRef,
    topic: String,
    incarnation: i32,
}

impl RowAssembler {
    pub fn new(pipeline: &Pipeline, topic: &str, incarnation: i32) -> Self {
        let fields: Vec<_> = pipeline.silver_columns().iter().map(Column::field).collect();
        Self { schema: Arc::new(Schema::new(fields)), topic: topic.to_owned(), incarnation }
    }

    /// The rows `kept` of `decided`, with `Pipeline::silver_columns`.
    pub fn assemble(
        &self,
        batch: &RawBatch,
        decided: &Decided,
        kept: &[usize],
        now_us: i64,
    ) -> Result<RecordBatch, ArrowError> {
        let mut columns = if kept.len() == decided.event_times.len() {
            decided.columns.clone()
        } else {
            take_rows(&decided.columns, kept.iter().copied())
        };
        let records: Vec<&RawRecord> = kept.iter().filter_map(|row| record_of(batch, decided, *row)).collect();
        columns.extend(self.system_columns(batch.partition, &records, now_us));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }

    /// In the order of `pipeline::system_columns`.
    fn system_columns(&self, partition: i32, records: &[&RawRecord], now_us: i64) -> [ArrayRef; 6] {
        let rows = records.len();
        let kafka_times = records.iter().map(|record| kafka_micros(record.timestamp_ms));
        [
            Arc::new(TimestampMicrosecondArray::from_value(now_us, rows).with_timezone("UTC")),
            Arc::new(StringArray::new_repeated(&self.topic, rows)),
            Arc::new(Int32Array::from_value(partition, rows)),
            Arc::new(Int64Array::from_iter_values(records.iter().map(|record| record.offset))),
            Arc::new(TimestampMicrosecondArray::from_iter(kafka_times).with_timezone("UTC")),
            Arc::new(Int32Array::from_value(self.incarnation, rows)),
        ]
    }
}

fn record_of<'a>(batch: &'a RawBatch, decided: &Decided, row: usize) -> Option<&'a RawRecord> {
    let index = usize::try_from(*decided.records.get(row)?).ok()?;
    batch.records.get(index)
}
