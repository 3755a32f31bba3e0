//! Single values: what an aggregate answers and what a key's text stands for.
//!
//! The texts here are part of the format of keys (N2): they never change. string as it is; `true`, `false`; integers in
//! decimal; decimals with all digits of their scale; floats as the shortest text that reads back, without exponent, zero
//! without sign; `2024-02-29`; `2024-02-29T23:59:59.000000Z`.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};

use crate::decimal::{fits, format_decimal, parse_decimal, rescale};
use crate::types::DataType;

/// A value that is not NULL; its column's type gives it its meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// bool
    Bool(bool),
    /// int32, int64, days of a date, microseconds of a timestamp
    Int(i64),
    /// float64
    Float(f64),
    /// Unscaled value of a decimal.
    Decimal(i128),
    /// string
    Text(Box<str>),
}

/// What a measure answers for a (window, key); `None` is NULL.
pub type AccValue = Option<Value>;

impl Value {
    /// Total order of values of one type: NaN is the largest float, -0 is below 0, text goes by bytes.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => plain_nan(*a).total_cmp(&plain_nan(*b)),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// The value of type `from` as one of type `to`; `None` where `to` cannot hold it. Rounds half away from zero, once.
    #[must_use]
    pub fn convert(self, from: DataType, to: DataType) -> Option<Self> {
        if from == to {
            return Some(self);
        }
        match self {
            Self::Int(n) => exact_as(n.into(), 0, to),
            Self::Decimal(n) => exact_as(n, scale_of(from), to),
            other => Some(other),
        }
    }

    /// Reads a key's canonical text back. `None` where the text is no value of the type.
    #[must_use]
    pub fn parse(text: &str, ty: DataType) -> Option<Self> {
        Some(match ty {
            DataType::String => Self::Text(text.into()),
            DataType::Bool => Self::Bool(text.parse().ok()?),
            DataType::Int32 => Self::Int(text.parse::<i32>().ok()?.into()),
            DataType::Int64 => Self::Int(text.parse().ok()?),
            DataType::Float64 => Self::Float(text.parse().ok()?),
            DataType::Decimal { precision, scale } => Self::Decimal(parse_decimal(text, precision, scale, false).ok()?),
            DataType::Date => Self::Int(days(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?)),
            DataType::Timestamp => {
                let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.6fZ").ok()?;
                Self::Int(naive.and_utc().timestamp_micros())
            }
        })
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) => 1,
            Self::Float(_) => 2,
            Self::Decimal(_) => 3,
            Self::Text(_) => 4,
        }
    }
}

/// The exact number `value / 10^scale` as a value of type `to`; `None` where it does not fit.
pub(super) fn exact_as(value: i128, scale: i8, to: DataType) -> Option<Value> {
    match to {
        DataType::Decimal { precision, scale: target } => {
            rescale(value, scale, target).filter(|n| fits(*n, precision)).map(Value::Decimal)
        }
        DataType::Float64 => format_decimal(value, scale).parse().ok().map(Value::Float),
        DataType::Int32 => i32::try_from(rescale(value, scale, 0)?).ok().map(|n| Value::Int(n.into())),
        _ => i64::try_from(rescale(value, scale, 0)?).ok().map(Value::Int),
    }
}

/// The scale of exact numbers of a type: 0 but for decimals.
pub(super) fn scale_of(ty: DataType) -> i8 {
    match ty {
        DataType::Decimal { scale, .. } => scale,
        _ => 0,
    }
}

/// An Arrow array of the type; a value of another kind becomes NULL.
pub(super) fn array(values: impl Iterator<Item = AccValue>, ty: DataType) -> Result<ArrayRef, ArrowError> {
    let int = |value: AccValue| match value {
        Some(Value::Int(n)) => Some(n),
        _ => None,
    };
    let narrow = |value| int(value).and_then(|n| i32::try_from(n).ok());
    Ok(match ty {
        DataType::String => Arc::new(StringArray::from_iter(values.map(|value| match value {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }))),
        DataType::Bool => Arc::new(BooleanArray::from_iter(values.map(|value| match value {
            Some(Value::Bool(b)) => Some(b),
            _ => None,
        }))),
        DataType::Int32 => Arc::new(Int32Array::from_iter(values.map(narrow))),
        DataType::Date => Arc::new(Date32Array::from_iter(values.map(narrow))),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values.map(int))),
        DataType::Timestamp => Arc::new(TimestampMicrosecondArray::from_iter(values.map(int)).with_timezone("UTC")),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.map(|value| match value {
            Some(Value::Float(x)) => Some(x),
            _ => None,
        }))),
        DataType::Decimal { precision, scale } => {
            let decimals = Decimal128Array::from_iter(values.map(|value| match value {
                Some(Value::Decimal(n)) => Some(n),
                _ => None,
            }));
            Arc::new(decimals.with_precision_and_scale(precision, scale)?)
        }
    })
}

/// Every NaN is the same.
pub(super) fn plain_nan(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x }
}

pub(super) fn float_text(x: f64) -> String {
    if x == 0.0 { "0".to_owned() } else { x.to_string() }
}

pub(super) fn date_text(days: i64) -> String {
    let date = i32::try_from(days.saturating_add(EPOCH_DAY)).ok().and_then(NaiveDate::from_num_days_from_ce_opt);
    date.map_or_else(|| format!("day {days}"), |date| date.format("%Y-%m-%d").to_string())
}

pub(super) fn timestamp_text(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros);
    time.map_or_else(|| format!("micro {micros}"), |time| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// 1970-01-01 counted in days from 0001-01-01 as day 1.
const EPOCH_DAY: i64 = 719_163;

fn days(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - EPOCH_DAY
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::kpi::TypedColumn;

    #[test]
    fn every_text_reads_back_as_its_value() {
        let decimal = DataType::Decimal { precision: 10, scale: 2 };
        for (value, ty, text) in [
            (Value::Text("Zürich".into()), DataType::String, "Zürich"),
            (Value::Bool(true), DataType::Bool, "true"),
            (Value::Int(-5), DataType::Int32, "-5"),
            (Value::Int(i64::MIN), DataType::Int64, "-9223372036854775808"),
            (Value::Float(0.1), DataType::Float64, "0.1"),
            (Value::Decimal(-5), decimal, "-0.05"),
            (Value::Int(19_782), DataType::Date, "2024-02-29"),
            (Value::Int(-1), DataType::Date, "1969-12-31"),
            (Value::Int(1_709_251_199_000_001), DataType::Timestamp, "2024-02-29T23:59:59.000001Z"),
            (Value::Int(-1), DataType::Timestamp, "1969-12-31T23:59:59.999999Z"),
        ] {
            let column = array([Some(value.clone()), None].into_iter(), ty).unwrap();
            assert_eq!(column.data_type(), &ty.arrow());
            let typed = TypedColumn::new(&column).unwrap();
            let mut out = Vec::new();
            assert!(typed.write_text(0, &mut out) && !typed.write_text(1, &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(Value::parse(text, ty), Some(value.clone()));
            assert_eq!(typed.value(0), Some(value));
        }
        assert_eq!(float_text(-0.0), "0");
        assert_eq!(Value::parse("unknown", DataType::Int32), None);
    }

    #[test]
    fn exact_numbers_convert_once_and_refuse_what_does_not_fit() {
        let small = DataType::Decimal { precision: 3, scale: 1 };
        for (value, scale, to, expected) in [
            (12_345, 2, small, None),
            (1_234, 2, small, Some(Value::Decimal(123))),
            (1_235, 2, small, Some(Value::Decimal(124))),
            (-1_235, 2, small, Some(Value::Decimal(-124))),
            (25, 1, DataType::Int64, Some(Value::Int(3))),
            (i128::from(i32::MAX) + 1, 0, DataType::Int32, None),
            (25, 1, DataType::Float64, Some(Value::Float(2.5))),
        ] {
            assert_eq!(exact_as(value, scale, to), expected);
        }
    }
}
