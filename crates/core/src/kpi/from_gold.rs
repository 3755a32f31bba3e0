//! From Gold's files back to the mart's columns: a mart is brought into line from the log alone (F3).

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use super::{RenderError, window_end, window_start};
use crate::ids::EventTime;
use crate::pipeline::{Derived, Kpi, Pipeline};
use crate::types::Column;

/// The mart's columns for final rows as Gold holds them. `processing_timestamp` in microseconds. A column of the
/// window scope that Gold doesn't hold as it is counts as NULL.
pub fn mart_batch_from_gold(
    pipeline: &Pipeline,
    kpi_index: usize,
    gold: &RecordBatch,
    processing_timestamp: i64,
) -> Result<RecordBatch, RenderError> {
    let kpi = pipeline.kpis.get(kpi_index).ok_or(RenderError::NoKpi(kpi_index))?;
    let rows = gold.num_rows();
    let scope = kpi.window_scope(&pipeline.row_columns());
    let held = |(i, column): (usize, &Column)| {
        let place = kpi.gold.iter().position(|d| d.expr.as_column() == Some(i));
        let values = place.and_then(|j| gold.columns().get(j).cloned());
        values.unwrap_or_else(|| new_null_array(&column.ty.arrow(), rows))
    };
    let mut columns: Vec<ArrayRef> = scope.iter().enumerate().map(held).collect();
    columns.push(Arc::new(BooleanArray::from(vec![true; rows])));
    columns.push(timestamps(vec![processing_timestamp; rows]));
    let wanted = kpi.mart.as_ref().map_or(&[][..], |mart| &mart.columns);
    project(kpi, wanted, &columns, rows)
}

/// The values that the mart's window column has for the given window starts.
pub fn mart_window_values(
    pipeline: &Pipeline,
    kpi_index: usize,
    windows: &[EventTime],
) -> Result<ArrayRef, RenderError> {
    let kpi = pipeline.kpis.get(kpi_index).ok_or(RenderError::NoKpi(kpi_index))?;
    let Some(mart) = &kpi.mart else { return Err(RenderError::NoKpi(kpi_index)) };
    let Some(column) = mart.columns.get(mart.window_column) else { return Err(RenderError::NoKpi(kpi_index)) };
    let ends = windows.iter().map(|w| window_end(kpi.window, *w).0).collect();
    let scope = kpi.mart_scope(&pipeline.row_columns());
    let mut columns = vec![timestamps(windows.iter().map(|w| w.0).collect()), timestamps(ends)];
    let rest = scope.iter().skip(columns.len());
    columns.extend(rest.map(|c| new_null_array(&c.ty.arrow(), windows.len())));
    Ok(column.expr.evaluate(&columns, windows.len()).values)
}

/// The start of the last window that G closes; `None` before any can be.
#[must_use]
pub fn last_closed_window(kpi: &Kpi, g: EventTime) -> Option<EventTime> {
    if g == EventTime::MIN {
        return None;
    }
    let start = window_start(kpi.window, g.minus(kpi.allowed_lateness));
    let size = window_end(kpi.window, start).0.saturating_sub(start.0);
    Some(start.minus(size))
}

fn timestamps(values: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

fn project(kpi: &Kpi, wanted: &[Derived], columns: &[ArrayRef], rows: usize) -> Result<RecordBatch, RenderError> {
    let fields: Vec<_> = wanted.iter().map(|d| d.column.field()).collect();
    let values = wanted.iter().map(|d| d.expr.evaluate(columns, rows).values).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values)
        .map_err(|source| RenderError::Arrow { kpi: kpi.name.clone(), source })
}
