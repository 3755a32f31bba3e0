//! A column seen as its logical type: the one place that downcasts Arrow arrays for keys and aggregates.

use std::io::Write as _;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::value::{Value, date_text, float_text, timestamp_text};
use crate::decimal::format_decimal;

/// A column of one of the types that pipelines have.
#[derive(Clone, Copy, Debug)]
pub enum TypedColumn<'a> {
    /// string
    Text(&'a StringArray),
    /// bool
    Bool(&'a BooleanArray),
    /// int32
    Int32(&'a Int32Array),
    /// int64
    Int64(&'a Int64Array),
    /// float64
    Float64(&'a Float64Array),
    /// decimal, with its scale
    Decimal(&'a Decimal128Array, i8),
    /// date
    Date(&'a Date32Array),
    /// timestamp
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> TypedColumn<'a> {
    /// The typed view of an array; `None` for an Arrow type that no pipeline has.
    #[must_use]
    pub fn new(array: &'a ArrayRef) -> Option<Self> {
        match array.data_type() {
            ArrowType::Utf8 => array.as_string_opt().map(Self::Text),
            ArrowType::Boolean => array.as_boolean_opt().map(Self::Bool),
            ArrowType::Int32 => array.as_primitive_opt::<Int32Type>().map(Self::Int32),
            ArrowType::Int64 => array.as_primitive_opt::<Int64Type>().map(Self::Int64),
            ArrowType::Float64 => array.as_primitive_opt::<Float64Type>().map(Self::Float64),
            ArrowType::Decimal128(_, scale) => {
                array.as_primitive_opt::<Decimal128Type>().map(|a| Self::Decimal(a, *scale))
            }
            ArrowType::Date32 => array.as_primitive_opt::<Date32Type>().map(Self::Date),
            ArrowType::Timestamp(_, _) => array.as_primitive_opt::<TimestampMicrosecondType>().map(Self::Timestamp),
            _ => None,
        }
    }

    /// Whether the row holds NULL.
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(a) => a.is_null(row),
            Self::Bool(a) => a.is_null(row),
            Self::Int32(a) => a.is_null(row),
            Self::Int64(a) => a.is_null(row),
            Self::Float64(a) => a.is_null(row),
            Self::Decimal(a, _) => a.is_null(row),
            Self::Date(a) => a.is_null(row),
            Self::Timestamp(a) => a.is_null(row),
        }
    }

    /// The row's text, if it is a string.
    #[must_use]
    pub fn text(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Text(a) if !a.is_null(row) => Some(a.value(row)),
            _ => None,
        }
    }

    /// The row's exact number: integers at scale 0, decimals unscaled.
    #[must_use]
    pub fn exact(&self, row: usize) -> Option<i128> {
        if self.is_null(row) {
            return None;
        }
        match self {
            Self::Int32(a) => Some(a.value(row).into()),
            Self::Int64(a) => Some(a.value(row).into()),
            Self::Decimal(a, _) => Some(a.value(row)),
            _ => None,
        }
    }

    /// The row's float.
    #[must_use]
    pub fn float(&self, row: usize) -> Option<f64> {
        match self {
            Self::Float64(a) if !a.is_null(row) => Some(a.value(row)),
            _ => None,
        }
    }

    /// The row's value.
    #[must_use]
    pub fn value(&self, row: usize) -> Option<Value> {
        if self.is_null(row) {
            return None;
        }
        Some(match self {
            Self::Text(a) => Value::Text(a.value(row).into()),
            Self::Bool(a) => Value::Bool(a.value(row)),
            Self::Int32(a) => Value::Int(a.value(row).into()),
            Self::Int64(a) => Value::Int(a.value(row)),
            Self::Float64(a) => Value::Float(a.value(row)),
            Self::Decimal(a, _) => Value::Decimal(a.value(row)),
            Self::Date(a) => Value::Int(a.value(row).into()),
            Self::Timestamp(a) => Value::Int(a.value(row)),
        })
    }

    /// Appends the row's canonical text (N2) and says whether there is a value; NULL appends nothing.
    pub fn write_text(&self, row: usize, out: &mut Vec<u8>) -> bool {
        if self.is_null(row) {
            return false;
        }
        // Writing to a vector does not fail.
        let _infallible = match self {
            Self::Text(a) => out.write_all(a.value(row).as_bytes()),
            Self::Bool(a) => write!(out, "{}", a.value(row)),
            Self::Int32(a) => write!(out, "{}", a.value(row)),
            Self::Int64(a) => write!(out, "{}", a.value(row)),
            Self::Float64(a) => out.write_all(float_text(a.value(row)).as_bytes()),
            Self::Decimal(a, scale) => out.write_all(format_decimal(a.value(row), *scale).as_bytes()),
            Self::Date(a) => out.write_all(date_text(a.value(row).into()).as_bytes()),
            Self::Timestamp(a) => out.write_all(timestamp_text(a.value(row)).as_bytes()),
        };
        true
    }
}
