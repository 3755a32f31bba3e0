//! One value, and where it comes from: an Arrow column, a folder's name, a mart.

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use lakeward_core::types::DataType;

use crate::calendar;
use crate::number;

/// A value; its column's type gives it its meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL
    Null,
    /// bool
    Bool(bool),
    /// int32, int64, days of a date, microseconds of a timestamp
    Int(i64),
    /// float64
    Float(f64),
    /// Unscaled value of a decimal.
    Decimal(i128),
    /// string
    Text(String),
}

impl Cell {
    /// Whether it is NULL.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Order of values of one type: NaN is the largest float, -0 below 0, texts go by bytes.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => one_nan(*a).total_cmp(&one_nan(*b)),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    /// Appends bytes that are equal for equal values of one type. There is one zero and one NaN.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Bool(b) => out.extend_from_slice(&[1, u8::from(*b)]),
            Self::Int(n) => put(out, 2, &n.to_le_bytes()),
            Self::Float(x) => put(out, 3, &one_nan(*x + 0.0).to_le_bytes()),
            Self::Decimal(n) => put(out, 4, &n.to_le_bytes()),
            Self::Text(text) => put_text(out, text),
        }
    }

    /// The text that keys have (N2): part of the lake's format. NULL has none.
    #[must_use]
    pub fn key_text(&self, ty: DataType) -> Option<String> {
        Some(match (self, ty) {
            (Self::Null, _) => return None,
            (Self::Bool(b), _) => b.to_string(),
            (Self::Int(days), DataType::Date) => calendar::date_text(*days),
            (Self::Int(micros), DataType::Timestamp) => calendar::instant_text(*micros),
            (Self::Int(n), _) => n.to_string(),
            (Self::Float(x), _) => float_text(*x),
            (Self::Decimal(n), ty) => number::text(*n, scale_of(ty)),
            (Self::Text(text), _) => text.clone(),
        })
    }

    /// For people.
    #[must_use]
    pub fn shown(&self, ty: DataType) -> String {
        let text = match (self, ty) {
            (Self::Text(text), _) => format!("{text:?}"),
            _ => self.key_text(ty).unwrap_or_else(|| "NULL".to_owned()),
        };
        match text.char_indices().nth(60) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }
}

/// Digits behind the point: 0 but for decimals.
#[must_use]
pub fn scale_of(ty: DataType) -> i8 {
    match ty {
        DataType::Decimal { scale, .. } => scale,
        _ => 0,
    }
}

/// The shortest text that reads back, without exponent, zero without sign.
fn float_text(x: f64) -> String {
    if x == 0.0 { "0".to_owned() } else { x.to_string() }
}

fn one_nan(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x }
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, 5, &u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// An Arrow column of one of the types that pipelines have.
pub enum Column<'a> {
    /// string
    Text(&'a StringArray),
    /// bool
    Bool(&'a BooleanArray),
    /// int32
    Int32(&'a Int32Array),
    /// int64
    Int64(&'a Int64Array),
    /// float64
    Float(&'a Float64Array),
    /// decimal
    Decimal(&'a Decimal128Array),
    /// date
    Date(&'a Date32Array),
    /// timestamp
    Timestamp(&'a TimestampMicrosecondArray),
    /// One value for all rows: a folder's, or the NULL of a column that came later.
    All(Cell),
}

impl<'a> Column<'a> {
    /// The view of an array; `None` for an Arrow type that no pipeline has.
    #[must_use]
    pub fn new(array: &'a ArrayRef) -> Option<Self> {
        match array.data_type() {
            ArrowType::Utf8 => array.as_string_opt().map(Self::Text),
            ArrowType::Boolean => array.as_boolean_opt().map(Self::Bool),
            ArrowType::Int32 => array.as_primitive_opt::<Int32Type>().map(Self::Int32),
            ArrowType::Int64 => array.as_primitive_opt::<Int64Type>().map(Self::Int64),
            ArrowType::Float64 => array.as_primitive_opt::<Float64Type>().map(Self::Float),
            ArrowType::Decimal128(..) => array.as_primitive_opt::<Decimal128Type>().map(Self::Decimal),
            ArrowType::Date32 => array.as_primitive_opt::<Date32Type>().map(Self::Date),
            ArrowType::Timestamp(..) => array.as_primitive_opt::<TimestampMicrosecondType>().map(Self::Timestamp),
            _ => None,
        }
    }

    /// The value of a row.
    #[must_use]
    pub fn cell(&self, row: usize) -> Cell {
        if self.is_null(row) {
            return Cell::Null;
        }
        match self {
            Self::Text(a) => Cell::Text(a.value(row).to_owned()),
            Self::Bool(a) => Cell::Bool(a.value(row)),
            Self::Int32(a) => Cell::Int(a.value(row).into()),
            Self::Int64(a) => Cell::Int(a.value(row)),
            Self::Float(a) => Cell::Float(a.value(row)),
            Self::Decimal(a) => Cell::Decimal(a.value(row)),
            Self::Date(a) => Cell::Int(a.value(row).into()),
            Self::Timestamp(a) => Cell::Int(a.value(row)),
            Self::All(cell) => cell.clone(),
        }
    }

    /// `Cell::encode` of a row's value; texts are not copied first.
    pub fn encode(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Text(a) if a.is_valid(row) => put_text(out, a.value(row)),
            Self::All(cell) => cell.encode(out),
            _ => self.cell(row).encode(out),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(a) => a.is_null(row),
            Self::Bool(a) => a.is_null(row),
            Self::Int32(a) => a.is_null(row),
            Self::Int64(a) => a.is_null(row),
            Self::Float(a) => a.is_null(row),
            Self::Decimal(a) => a.is_null(row),
            Self::Date(a) => a.is_null(row),
            Self::Timestamp(a) => a.is_null(row),
            Self::All(cell) => cell.is_null(),
        }
    }
}

/// A hash of encoded values: stands for a row so that a million of them fit into memory.
#[must_use]
pub fn digest(encoded: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(encoded)
}
