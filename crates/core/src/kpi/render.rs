//! From a KPI's values to columns: the window scope, and what Gold and the mart make of it.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;

use super::bounds::window_end;
use super::key::key_texts;
use super::value::{AccValue, Value, array};
use super::windows::WindowRow;
use crate::ids::EventTime;
use crate::pipeline::{Derived, Kpi, Pipeline};
use crate::types::{Column, DataType};

/// Rows of a KPI as columns.
#[derive(Clone, Debug)]
pub struct KpiBatch {
    /// The columns asked for, sorted by window start, then by the key columns' values.
    pub batch: RecordBatch,
    /// Start of each row's window, in the same order.
    pub windows: Vec<EventTime>,
    /// Derived values that could not be computed (such as a division by zero) and are NULL.
    pub failures: u64,
}

/// Why rows could not be rendered: the state is of another definition, or a bug.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// No such KPI.
    #[error("the pipeline has no KPI number {0}")]
    NoKpi(usize),
    /// A key is not one of the KPI's key columns.
    #[error("KPI {kpi}: a key does not fit its columns; the state belongs to another definition")]
    Key {
        /// The KPI.
        kpi: String,
    },
    /// Columns do not fit the schema.
    #[error("KPI {kpi}: {source}")]
    Arrow {
        /// The KPI.
        kpi: String,
        /// Why.
        source: ArrowError,
    },
}

/// The columns of `Kpi::window_scope`.
pub fn render(pipeline: &Pipeline, kpi_index: usize, rows: &[WindowRow]) -> Result<KpiBatch, RenderError> {
    let scope = Scope::new(pipeline, kpi_index, rows)?;
    scope.batch(scope.kpi.window_scope(&scope.row_columns), scope.columns.clone(), scope.failures)
}

/// The columns of Gold.
pub fn gold_batch(pipeline: &Pipeline, kpi_index: usize, rows: &[WindowRow]) -> Result<KpiBatch, RenderError> {
    let scope = Scope::new(pipeline, kpi_index, rows)?;
    scope.project(&scope.kpi.gold, &scope.columns)
}

/// The columns of the KPI's mart table; none where it has no mart. `processing_timestamp` in microseconds.
pub fn mart_batch(
    pipeline: &Pipeline,
    kpi_index: usize,
    rows: &[WindowRow],
    is_final: bool,
    processing_timestamp: i64,
) -> Result<KpiBatch, RenderError> {
    let scope = Scope::new(pipeline, kpi_index, rows)?;
    let mut columns = scope.columns.clone();
    columns.push(Arc::new(BooleanArray::from(vec![is_final; rows.len()])));
    let now = TimestampMicrosecondArray::from_value(processing_timestamp, rows.len());
    columns.push(Arc::new(now.with_timezone("UTC")));
    let wanted = scope.kpi.mart.as_ref().map_or(&[][..], |mart| &mart.columns);
    scope.project(wanted, &columns)
}

/// Of each row, in the order given, the window's start and the key columns.
pub(super) fn identities(
    pipeline: &Pipeline,
    kpi_index: usize,
    rows: &[WindowRow],
) -> Result<Vec<ArrayRef>, RenderError> {
    let kpi = pipeline.kpis.get(kpi_index).ok_or(RenderError::NoKpi(kpi_index))?;
    let key_types = key_types(kpi, &pipeline.row_columns());
    let keyed = keyed(kpi, &key_types, rows)?;
    let mut columns = base_columns(kpi, &key_types, &keyed).map_err(|e| arrow_error(kpi, e))?;
    columns.truncate(2 + key_types.len());
    columns.remove(1);
    Ok(columns)
}

/// The window scope's columns, computed and sorted.
struct Scope<'a> {
    kpi: &'a Kpi,
    row_columns: Vec<Column>,
    windows: Vec<EventTime>,
    columns: Vec<ArrayRef>,
    failures: u64,
}

impl<'a> Scope<'a> {
    fn new(pipeline: &'a Pipeline, kpi_index: usize, rows: &[WindowRow]) -> Result<Self, RenderError> {
        let kpi = pipeline.kpis.get(kpi_index).ok_or(RenderError::NoKpi(kpi_index))?;
        let row_columns = pipeline.row_columns();
        let key_types = key_types(kpi, &row_columns);
        let mut keyed = keyed(kpi, &key_types, rows)?;
        keyed.sort_by(|(a, x), (b, y)| x.window.cmp(&y.window).then_with(|| order_keys(a, b)));
        let windows = keyed.iter().map(|(_, row)| row.window).collect();
        let columns = base_columns(kpi, &key_types, &keyed).map_err(|e| arrow_error(kpi, e))?;
        let mut scope = Self { kpi, row_columns, windows, columns, failures: 0 };
        scope.derive();
        let revisions = keyed.iter().map(|(_, row)| Some(Value::Int(row.revision.into())));
        scope.columns.push(array(revisions, DataType::Int32).map_err(|e| arrow_error(kpi, e))?);
        Ok(scope)
    }

    fn derive(&mut self) {
        for derived in &self.kpi.derived {
            let evaluated = derived.expr.evaluate(&self.columns, self.windows.len());
            self.failures += failures_of(&evaluated);
            self.columns.push(evaluated.values);
        }
    }

    fn project(&self, wanted: &[Derived], scope: &[ArrayRef]) -> Result<KpiBatch, RenderError> {
        let mut failures = self.failures;
        let values = wanted.iter().map(|derived| {
            let evaluated = derived.expr.evaluate(scope, self.windows.len());
            failures += failures_of(&evaluated);
            evaluated.values
        });
        let values = values.collect();
        self.batch(wanted.iter().map(|derived| derived.column.clone()).collect(), values, failures)
    }

    fn batch(&self, schema: Vec<Column>, columns: Vec<ArrayRef>, failures: u64) -> Result<KpiBatch, RenderError> {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.windows.len()));
        let fields: Vec<_> = schema.iter().zip(&columns).map(|(column, values)| field_of(column, values)).collect();
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options);
        let batch = batch.map_err(|e| arrow_error(self.kpi, e))?;
        Ok(KpiBatch { batch, windows: self.windows.clone(), failures })
    }
}

/// The declared field; nullable all the same where a value could not be computed.
fn field_of(column: &Column, values: &ArrayRef) -> Field {
    let field = column.field();
    if values.null_count() > 0 { field.with_nullable(true) } else { field }
}

fn failures_of(evaluated: &crate::expr::Evaluated) -> u64 {
    u64::try_from(evaluated.failures.len()).unwrap_or(u64::MAX)
}

fn arrow_error(kpi: &Kpi, source: ArrowError) -> RenderError {
    RenderError::Arrow { kpi: kpi.name.clone(), source }
}

type Keyed<'a> = (Vec<Value>, &'a WindowRow);

fn key_types(kpi: &Kpi, row_columns: &[Column]) -> Vec<DataType> {
    kpi.key.iter().filter_map(|&i| row_columns.get(i)).map(|column| column.ty).collect()
}

fn keyed<'a>(kpi: &Kpi, key_types: &[DataType], rows: &'a [WindowRow]) -> Result<Vec<Keyed<'a>>, RenderError> {
    let with_key = |row: &'a WindowRow| {
        let key = parse_key(&row.key, key_types).ok_or_else(|| RenderError::Key { kpi: kpi.name.clone() })?;
        Ok((key, row))
    };
    rows.iter().map(with_key).collect()
}

fn parse_key(key: &[u8], types: &[DataType]) -> Option<Vec<Value>> {
    let texts = key_texts(key).filter(|texts| texts.len() == types.len())?;
    texts.into_iter().zip(types).map(|(text, ty)| Value::parse(text, *ty)).collect()
}

fn order_keys(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| a.order(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Window start and end, keys and measures.
fn base_columns(kpi: &Kpi, key_types: &[DataType], rows: &[Keyed<'_>]) -> Result<Vec<ArrayRef>, ArrowError> {
    let time = |of: fn(&Kpi, EventTime) -> EventTime| {
        array(rows.iter().map(|(_, row)| Some(Value::Int(of(kpi, row.window).0))), DataType::Timestamp)
    };
    let mut columns = vec![time(|_, start| start)?, time(|kpi, start| window_end(kpi.window, start))?];
    for (index, ty) in key_types.iter().enumerate() {
        columns.push(array(rows.iter().map(|(key, _)| key.get(index).cloned()), *ty)?);
    }
    for (index, measure) in kpi.measures.iter().enumerate() {
        let value = |(_, row): &Keyed<'_>| -> AccValue { row.values.get(index).cloned().flatten() };
        columns.push(array(rows.iter().map(value), measure.ty)?);
    }
    Ok(columns)
}
