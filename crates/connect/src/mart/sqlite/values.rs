//! Arrow values as SQLite holds them.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use lakeward_core::types::{Column, DataType};
use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use super::failure::Failure;

/// Digits that surely fit SQLite's 64-bit integer.
pub(super) const INTEGER_DIGITS: u8 = 18;

/// Runs a statement with one parameter per column for one row of the arrays; answers the rows changed.
pub(super) fn execute_row(
    statement: &mut Statement<'_>,
    columns: &[Column],
    arrays: &[&ArrayRef],
    row: usize,
) -> Result<usize, Failure> {
    for (index, (column, array)) in columns.iter().zip(arrays).enumerate() {
        statement.raw_bind_parameter(index + 1, value(column, array, row)?)?;
    }
    Ok(statement.raw_execute()?)
}

/// The arrays of a batch that must have exactly these columns.
pub(super) fn arrays_of<'a>(columns: &[Column], batch: &'a RecordBatch) -> Result<Vec<&'a ArrayRef>, Failure> {
    if batch.num_columns() != columns.len() {
        let counts = format!("a batch of {} columns for a table of {}", batch.num_columns(), columns.len());
        return Err(Failure::Broken(counts));
    }
    Ok(batch.columns().iter().collect())
}

/// One value.
pub(super) fn value<'a>(column: &Column, array: &'a ArrayRef, row: usize) -> Result<ToSqlOutput<'a>, Failure> {
    if array.is_null(row) {
        return Ok(ToSqlOutput::Borrowed(ValueRef::Null));
    }
    let found = match column.ty {
        DataType::String => {
            let text = array.as_string_opt::<i32>().map(|a| a.value(row));
            return text
                .map(|text| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())))
                .ok_or_else(|| wrong(column, array));
        }
        DataType::Bool => array.as_boolean_opt().map(|a| Value::Integer(i64::from(a.value(row)))),
        DataType::Int32 => array.as_primitive_opt::<Int32Type>().map(|a| Value::Integer(a.value(row).into())),
        DataType::Int64 => array.as_primitive_opt::<Int64Type>().map(|a| Value::Integer(a.value(row))),
        DataType::Float64 => array.as_primitive_opt::<Float64Type>().map(|a| Value::Real(a.value(row))),
        DataType::Date => array.as_primitive_opt::<Date32Type>().map(|a| Value::Integer(a.value(row).into())),
        DataType::Timestamp => {
            array.as_primitive_opt::<TimestampMicrosecondType>().map(|a| Value::Integer(a.value(row)))
        }
        DataType::Decimal { precision, scale } => array
            .as_primitive_opt::<Decimal128Type>()
            .filter(|a| a.scale() == scale)
            .map(|a| (a.value(row), a.value_as_string(row)))
            .and_then(|(units, text)| {
                if precision <= INTEGER_DIGITS {
                    i64::try_from(units).ok().map(Value::Integer)
                } else {
                    Some(Value::Text(text))
                }
            }),
    };
    found.map(ToSqlOutput::Owned).ok_or_else(|| wrong(column, array))
}

fn wrong(column: &Column, array: &ArrayRef) -> Failure {
    Failure::Broken(format!("column {} holds {} instead of {}", column.name, array.data_type(), column.ty))
}
