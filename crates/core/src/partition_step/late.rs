//! Rows that came too late for a KPI, for its table of late rows (T5): the kept row as Silver has it, and the window that
//! it missed with the watermark that judged it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::span;
use crate::ids::EventTime;
use crate::kpi::window_end;
use crate::pipeline::{Kpi, Pipeline};

/// A kept row whose window was closed to its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    /// Index in `Pipeline::kpis`.
    pub kpi: usize,
    /// Row of `Decided::columns`.
    pub row: usize,
    /// Start of the window.
    pub window: EventTime,
    /// The partition's watermark before the row.
    pub watermark: EventTime,
}

/// The late rows of a batch for one KPI.
#[derive(Clone, Debug)]
pub struct LateRows {
    /// Index in `Pipeline::kpis`.
    pub kpi: usize,
    /// With `Pipeline::late_row_columns`.
    pub rows: RecordBatch,
    /// Their smallest and largest event time, both inclusive.
    pub event_times: Option<(EventTime, EventTime)>,
}

/// Builds the batches of the KPIs that have a table of late rows.
#[derive(Debug)]
pub(super) struct LateAssembler {
    schema: SchemaRef,
    kpis: Vec<(usize, Kpi)>,
}

impl LateAssembler {
    pub fn new(pipeline: &Pipeline) -> Self {
        let kpis = pipeline.kpis.iter().cloned().enumerate().filter(|(_, kpi)| kpi.late_table.is_some());
        Self { schema: pipeline.late_schema(), kpis: kpis.collect() }
    }

    /// `silver` makes rows of `Decided::columns` a batch with `Pipeline::silver_columns`.
    pub fn assemble(
        &self,
        missed: &[Missed],
        event_times: &[EventTime],
        silver: impl Fn(&[usize]) -> Result<RecordBatch, ArrowError>,
    ) -> Result<Vec<LateRows>, ArrowError> {
        let mut late = Vec::new();
        for (number, kpi) in &self.kpis {
            let own: Vec<Missed> = missed.iter().filter(|missed| missed.kpi == *number).copied().collect();
            if own.is_empty() {
                continue;
            }
            let rows: Vec<usize> = own.iter().map(|missed| missed.row).collect();
            let times = span(rows.iter().filter_map(|&row| event_times.get(row)).copied());
            let mut columns = silver(&rows)?.columns().to_vec();
            columns.extend(beside(kpi, &own));
            let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            late.push(LateRows { kpi: *number, rows, event_times: times });
        }
        Ok(late)
    }
}

/// In the order of `pipeline::late_columns`.
fn beside(kpi: &Kpi, missed: &[Missed]) -> [ArrayRef; 4] {
    let times = |of: &dyn Fn(&Missed) -> EventTime| -> ArrayRef {
        let values = missed.iter().map(|missed| of(missed).0);
        Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
    };
    [
        Arc::new(StringArray::new_repeated(&kpi.name, missed.len())),
        times(&|missed| missed.window),
        times(&|missed| window_end(kpi.window, missed.window)),
        times(&|missed| missed.watermark),
    ]
}
