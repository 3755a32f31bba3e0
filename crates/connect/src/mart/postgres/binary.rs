//! Postgres' binary COPY format, straight from Arrow arrays, encoded by hand: no text, no value type in between.
//!
//! Text cannot hold U+0000 in Postgres: it becomes U+FFFD, so that the row is never lost. Times and dates beyond
//! Postgres' range become infinity.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::{BufMut, BytesMut};
use lakeward_core::types::{Column, DataType};

/// Microseconds from 1970 to 2000, where Postgres' timestamps begin.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;
/// 4714-11-24 BC, the first instant and the first day that Postgres holds, counted from 2000.
const FIRST_MICROS: i64 = -211_813_488_000_000_000;
const FIRST_DAY: i32 = -2_451_545;

/// The columns of a batch, ready to be written row by row.
pub(crate) struct BinaryRows<'a> {
    columns: Vec<Values<'a>>,
    rows: usize,
}

enum Values<'a> {
    Text(&'a StringArray),
    Bool(&'a BooleanArray),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float64(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> BinaryRows<'a> {
    /// The given arrays as values of the table's columns; the error names the column whose array is of another type.
    pub fn new(columns: &[Column], arrays: &[&'a ArrayRef], rows: usize) -> Result<Self, String> {
        if columns.len() != arrays.len() {
            return Err(format!("a batch of {} columns for a table of {}", arrays.len(), columns.len()));
        }
        let wrong = |column: &Column, array: &ArrayRef| {
            format!("column {} holds {} instead of {}", column.name, array.data_type(), column.ty)
        };
        let values = columns.iter().zip(arrays);
        let values = values.map(|(column, array)| values_of(column.ty, array).ok_or_else(|| wrong(column, array)));
        Ok(Self { columns: values.collect::<Result<_, _>>()?, rows })
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    /// Writes row `row` as one tuple.
    pub fn put(&self, row: usize, out: &mut BytesMut) {
        // A table has at most 1600 columns.
        out.put_i16(i16::try_from(self.columns.len()).unwrap_or(i16::MAX));
        for column in &self.columns {
            column.put(row, out);
        }
    }
}

/// What opens a COPY stream.
pub(crate) fn put_header(out: &mut BytesMut) {
    out.put_slice(b"PGCOPY\n\xff\r\n\0");
    out.put_u32(0);
    out.put_u32(0);
}

/// What ends a COPY stream.
pub(crate) fn put_trailer(out: &mut BytesMut) {
    out.put_i16(-1);
}

fn values_of(ty: DataType, array: &ArrayRef) -> Option<Values<'_>> {
    Some(match ty {
        DataType::String => Values::Text(array.as_string_opt::<i32>()?),
        DataType::Bool => Values::Bool(array.as_boolean_opt()?),
        DataType::Int32 => Values::Int32(array.as_primitive_opt::<Int32Type>()?),
        DataType::Int64 => Values::Int64(array.as_primitive_opt::<Int64Type>()?),
        DataType::Float64 => Values::Float64(array.as_primitive_opt::<Float64Type>()?),
        DataType::Decimal { scale, .. } => {
            let decimals = array.as_primitive_opt::<Decimal128Type>()?;
            if decimals.scale() != scale {
                return None;
            }
            Values::Decimal(decimals, u8::try_from(scale).ok()?)
        }
        DataType::Date => Values::Date(array.as_primitive_opt::<Date32Type>()?),
        DataType::Timestamp => Values::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>()?),
    })
}

impl Values<'_> {
    fn put(&self, row: usize, out: &mut BytesMut) {
        if self.array().is_null(row) {
            return out.put_i32(-1);
        }
        match self {
            Self::Text(values) => put_text(values.value(row), out),
            Self::Bool(values) => {
                out.put_i32(1);
                out.put_u8(u8::from(values.value(row)));
            }
            Self::Int32(values) => {
                out.put_i32(4);
                out.put_i32(values.value(row));
            }
            Self::Int64(values) => {
                out.put_i32(8);
                out.put_i64(values.value(row));
            }
            Self::Float64(values) => {
                out.put_i32(8);
                out.put_f64(values.value(row));
            }
            Self::Decimal(values, scale) => put_numeric(values.value(row), *scale, out),
            Self::Date(values) => {
                out.put_i32(4);
                out.put_i32(date(values.value(row)));
            }
            Self::Timestamp(values) => {
                out.put_i32(8);
                out.put_i64(timestamp(values.value(row)));
            }
        }
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Text(a) => *a,
            Self::Bool(a) => *a,
            Self::Int32(a) => *a,
            Self::Int64(a) => *a,
            Self::Float64(a) => *a,
            Self::Decimal(a, _) => *a,
            Self::Date(a) => *a,
            Self::Timestamp(a) => *a,
        }
    }
}

fn put_text(text: &str, out: &mut BytesMut) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !text.as_bytes().contains(&0) {
        return put_bytes(text.as_bytes(), out);
    }
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!("text holds U+0000, which postgres refuses: it is shown as U+FFFD in the mart");
    }
    put_bytes(text.replace('\0', "\u{fffd}").as_bytes(), out);
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    // Arrow's string arrays hold less than 2 GiB in all.
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
}

/// Days from 1970 as days from 2000, or infinity.
fn date(days: i32) -> i32 {
    match days.checked_sub(EPOCH_DAYS) {
        Some(days) if days >= FIRST_DAY => days,
        _ => i32::MIN,
    }
}

/// Microseconds from 1970 as microseconds from 2000, or infinity.
fn timestamp(micros: i64) -> i64 {
    match micros.checked_sub(EPOCH_MICROS) {
        Some(micros) if micros >= FIRST_MICROS => micros,
        _ => i64::MIN,
    }
}

/// A numeric: groups of four decimal digits, the most significant first, `weight` of the first one.
/// 38 digits and a broken group on either side of the point need at most 11 groups.
fn put_numeric(value: i128, scale: u8, out: &mut BytesMut) {
    let mut groups = [0u16; 12];
    let (count, behind) = digit_groups(value.unsigned_abs(), scale, &mut groups);
    let digits = groups.get(..count).unwrap_or_default();
    let zeros = digits.iter().take_while(|group| **group == 0).count();
    let digits = digits.get(zeros..).unwrap_or_default();
    let length = i16::try_from(digits.len()).unwrap_or_default();
    // The first group left of the point weighs 0.
    let weight = i16::try_from(count).unwrap_or_default() - i16::try_from(behind).unwrap_or_default() - 1;
    out.put_i32(8 + 2 * i32::from(length));
    out.put_i16(length);
    out.put_i16(if length == 0 { 0 } else { weight });
    out.put_u16(if value < 0 { 0x4000 } else { 0 });
    out.put_u16(u16::from(scale));
    for group in digits.iter().rev() {
        out.put_u16(*group);
    }
}

/// The groups of `value / 10^scale`, the least significant first; how many there are, and how many lie behind the
/// point.
fn digit_groups(value: u128, scale: u8, groups: &mut [u16; 12]) -> (usize, usize) {
    let broken = u32::from(scale % 4);
    let behind = usize::from(scale).div_ceil(4);
    let mut count = 0;
    let mut push = |group: u64| {
        if let Some(slot) = groups.get_mut(count) {
            *slot = u16::try_from(group).unwrap_or_default();
        }
        count += 1;
    };
    let mut rest = value;
    if broken > 0 {
        let unit = 10u128.pow(broken);
        push(u64::try_from(rest % unit).unwrap_or_default() * 10u64.pow(4 - broken));
        rest /= unit;
    }
    while rest > u128::from(u64::MAX) {
        push(u64::try_from(rest % 10_000).unwrap_or_default());
        rest /= 10_000;
    }
    // What fits a machine word is divided as one: nearly all amounts do.
    let mut rest = u64::try_from(rest).unwrap_or_default();
    while rest > 0 {
        push(rest % 10_000);
        rest /= 10_000;
    }
    (count.min(groups.len()), behind)
}
