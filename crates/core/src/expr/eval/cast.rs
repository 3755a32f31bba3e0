//! Conversions between types. What cannot be converted fails its row; decimals are rounded half away from zero, once.

use std::sync::Arc;

use arrow::array::types::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::array::{ArrowPrimitiveType, BooleanArray, StringArray};
use arrow::error::ArrowError;

use super::failures::{Cause, Failures};
use super::value::{self, Value};
use crate::decimal::{self, DecimalError, fits, pow10, rescale};
use crate::expr::time_text::{self, MICROS_PER_DAY};
use crate::types::DataType;

/// `value` of type `from` as type `to`.
pub(super) fn cast(value: Value, from: DataType, to: DataType) -> Result<Value, ArrowError> {
    use DataType::{Bool, Date, Decimal, Float64, Int32, Int64, String, Timestamp};
    match (from, to) {
        (from, to) if from == to => Ok(value),
        (String, to) => parse(&value, to),
        (from, String) => print(&value, from),
        (Int32, Int64) => value::unary::<Int32Type, Int64Type>(&value, to, |v| Ok(v.into())),
        (Int32, Float64) => value::unary::<Int32Type, Float64Type>(&value, to, |v| Ok(v.into())),
        (Int64, Float64) => value::unary::<Int64Type, Float64Type>(&value, to, |v| Ok(nearest(v))),
        (Int64, Int32) => {
            value::unary::<Int64Type, Int32Type>(&value, to, |v| v.try_into().map_err(|_| Cause::OutOfRange(to)))
        }
        (Int32, Decimal { precision, scale }) => integer_to_decimal::<Int32Type>(&value, 10, precision, scale),
        (Int64, Decimal { precision, scale }) => integer_to_decimal::<Int64Type>(&value, 19, precision, scale),
        (Decimal { scale, .. }, Float64) => {
            value::unary::<Decimal128Type, Float64Type>(&value, to, |v| Ok(decimal_to_float(v, scale)))
        }
        (Decimal { scale, .. }, Int32) => value::unary::<Decimal128Type, Int32Type>(&value, to, |v| {
            rescale(v, scale, 0).and_then(|v| v.try_into().ok()).ok_or(Cause::OutOfRange(to))
        }),
        (Decimal { scale, .. }, Int64) => value::unary::<Decimal128Type, Int64Type>(&value, to, |v| {
            rescale(v, scale, 0).and_then(|v| v.try_into().ok()).ok_or(Cause::OutOfRange(to))
        }),
        (Decimal { precision: p, scale: s }, Decimal { precision, scale }) => {
            decimal_to_decimal(&value, (p, s), (precision, scale))
        }
        (Float64, Decimal { precision, scale }) => value::unary::<Float64Type, Decimal128Type>(&value, to, |v| {
            float_to_decimal(v, precision, scale).ok_or(Cause::OutOfRange(to))
        }),
        (Float64, Int32) => value::unary::<Float64Type, Int32Type>(&value, to, |v| {
            whole(v).and_then(|v| v.try_into().ok()).ok_or(Cause::OutOfRange(to))
        }),
        (Float64, Int64) => {
            value::unary::<Float64Type, Int64Type>(&value, to, |v| whole(v).ok_or(Cause::OutOfRange(to)))
        }
        (Date, Timestamp) => value::unary::<Date32Type, TimestampMicrosecondType>(&value, to, |days| {
            i64::from(days).checked_mul(MICROS_PER_DAY).ok_or(Cause::OutOfRange(to))
        }),
        (Timestamp, Date) => value::unary::<TimestampMicrosecondType, Date32Type>(&value, to, |micros| {
            micros.div_euclid(MICROS_PER_DAY).try_into().map_err(|_| Cause::OutOfRange(to))
        }),
        (Bool, Int32) => bool_to_integer::<Int32Type>(&value, to, [0, 1]),
        (Bool, Int64) => bool_to_integer::<Int64Type>(&value, to, [0, 1]),
        (Int32, Bool) => integer_to_bool::<Int32Type>(&value),
        (Int64, Bool) => integer_to_bool::<Int64Type>(&value),
        (from, to) => Err(ArrowError::ComputeError(format!("no conversion from {from} to {to}"))),
    }
}

/// Texts as `to`, surrounding white space aside, as Postgres reads them.
fn parse(value: &Value, to: DataType) -> Result<Value, ArrowError> {
    match to {
        DataType::String => Ok(value.clone()),
        DataType::Bool => {
            let mut failures = Failures::default();
            let read = |(row, text): (usize, Option<&str>)| {
                let flag = text.map(|text| boolean(text.trim()).ok_or_else(|| Cause::not_a(text, to)));
                flag.transpose().unwrap_or_else(|cause| {
                    failures.push(row, cause);
                    None
                })
            };
            let flags: BooleanArray = value.strings()?.iter().enumerate().map(read).collect();
            Ok(Value::rows(Arc::new(flags)).with(value.failures.clone().and(failures)))
        }
        DataType::Int32 => {
            value::from_text::<Int32Type>(value, to, |text| text.trim().parse().map_err(|_| Cause::not_a(text, to)))
        }
        DataType::Int64 => {
            value::from_text::<Int64Type>(value, to, |text| text.trim().parse().map_err(|_| Cause::not_a(text, to)))
        }
        DataType::Float64 => value::from_text::<Float64Type>(value, to, |text| {
            let number = text.trim().parse::<f64>().map_err(|_| Cause::not_a(text, to))?;
            let digits = text.bytes().any(|b| b.is_ascii_digit());
            if digits && number.is_infinite() { Err(Cause::OutOfRange(to)) } else { Ok(number) }
        }),
        DataType::Decimal { precision, scale } => value::from_text::<Decimal128Type>(value, to, |text| {
            decimal::parse_decimal(text.trim(), precision, scale, true).map_err(|error| match error {
                DecimalError::NotANumber => Cause::not_a(text, to),
                DecimalError::TooManyDigits(_) | DecimalError::OutOfRange => Cause::OutOfRange(to),
            })
        }),
        DataType::Date => value::from_text::<Date32Type>(value, to, |text| {
            time_text::parse_date(text.trim()).ok_or_else(|| Cause::not_a(text, to))
        }),
        DataType::Timestamp => value::from_text::<TimestampMicrosecondType>(value, to, |text| {
            time_text::parse_timestamp(text.trim()).ok_or_else(|| Cause::not_a(text, to))
        }),
    }
}

fn print(value: &Value, from: DataType) -> Result<Value, ArrowError> {
    let texts: StringArray = match from {
        DataType::String => return Ok(value.clone()),
        DataType::Bool => value.booleans()?.iter().map(|v| v.map(|v| if v { "true" } else { "false" })).collect(),
        DataType::Int32 => value.primitive::<Int32Type>()?.iter().map(|v| v.map(|v| v.to_string())).collect(),
        DataType::Int64 => value.primitive::<Int64Type>()?.iter().map(|v| v.map(|v| v.to_string())).collect(),
        DataType::Float64 => value.primitive::<Float64Type>()?.iter().map(|v| v.map(float_text)).collect(),
        DataType::Decimal { scale, .. } => {
            value.primitive::<Decimal128Type>()?.iter().map(|v| v.map(|v| decimal::format_decimal(v, scale))).collect()
        }
        DataType::Date => value.primitive::<Date32Type>()?.iter().map(|v| v.map(time_text::format_date)).collect(),
        DataType::Timestamp => {
            value.primitive::<TimestampMicrosecondType>()?.iter().map(|v| v.map(time_text::format_timestamp)).collect()
        }
    };
    Ok(Value::rows(Arc::new(texts)).with(value.failures.clone()))
}

/// The words that Postgres reads as booleans: `true`, `yes`, `on`, `1` and their unique beginnings, in any case.
fn boolean(text: &str) -> Option<bool> {
    let word = text.to_ascii_lowercase();
    let begins = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Some(false)
    } else {
        None
    }
}

fn integer_to_decimal<I: ArrowPrimitiveType>(
    value: &Value,
    digits: u8,
    precision: u8,
    scale: i8,
) -> Result<Value, ArrowError>
where
    i128: From<I::Native>,
{
    let to = DataType::Decimal { precision, scale };
    let factor = u32::try_from(scale).ok().and_then(pow10).unwrap_or(1);
    if precision.saturating_sub(scale.unsigned_abs()) >= digits {
        return value::unary::<I, Decimal128Type>(value, to, |v| Ok(i128::from(v).wrapping_mul(factor)));
    }
    value::unary::<I, Decimal128Type>(value, to, |v| {
        i128::from(v).checked_mul(factor).filter(|v| fits(*v, precision)).ok_or(Cause::OutOfRange(to))
    })
}

fn decimal_to_decimal(value: &Value, from: (u8, i8), to: (u8, i8)) -> Result<Value, ArrowError> {
    let ty = DataType::Decimal { precision: to.0, scale: to.1 };
    let whole = |(precision, scale): (u8, i8)| i16::from(precision) - i16::from(scale);
    if from.1 == to.1 && from.0 <= to.0 {
        let array = value.primitive::<Decimal128Type>()?.clone().with_data_type(ty.arrow());
        return Ok(Value::rows(Arc::new(array)).with(value.failures.clone()));
    }
    if from.1 <= to.1 && whole(from) <= whole(to) {
        let factor = pow10(u32::from(to.1.abs_diff(from.1))).unwrap_or(1);
        return value::unary::<Decimal128Type, Decimal128Type>(value, ty, |v| Ok(v.wrapping_mul(factor)));
    }
    value::unary::<Decimal128Type, Decimal128Type>(value, ty, |v| {
        rescale(v, from.1, to.1).filter(|v| fits(*v, to.0)).ok_or(Cause::OutOfRange(ty))
    })
}

/// The nearest double; both parts and the power are exact for common values, the text decides for all others.
fn decimal_to_float(value: i128, scale: i8) -> f64 {
    let exact = i64::try_from(value).ok().filter(|v| v.unsigned_abs() < 1 << 53);
    match (exact, i32::from(scale)) {
        (Some(small), 0..=22) => nearest(small) / 10_f64.powi(i32::from(scale)),
        _ => decimal::format_decimal(value, scale).parse().unwrap_or(f64::NAN),
    }
}

#[expect(clippy::cast_precision_loss, reason = "SQL's int64 -> float64 rounds to the nearest double")]
fn nearest(value: i64) -> f64 {
    value as f64
}

/// As Postgres: the 15 digits that a double is good for, then rounded to the scale.
fn float_to_decimal(value: f64, precision: u8, scale: i8) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    decimal::parse_decimal(&format!("{value:.14e}"), precision, scale, true).ok()
}

/// The nearest integer, ties to even, as Postgres.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(value: f64) -> Option<i64> {
    let rounded = value.round_ties_even();
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded).then_some(rounded as i64)
}

/// The shortest digits that read back, laid out as Postgres does.
fn float_text(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..15).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => value.to_string(),
    }
}

fn bool_to_integer<O: ArrowPrimitiveType>(
    value: &Value,
    to: DataType,
    [no, yes]: [O::Native; 2],
) -> Result<Value, ArrowError> {
    let array = value.booleans()?;
    let (integers, _) = value::slow::<O>(array.iter().map(|v| v.map(|v| Ok(if v { yes } else { no }))));
    Ok(Value::rows(Arc::new(integers.with_data_type(to.arrow()))).with(value.failures.clone()))
}

fn integer_to_bool<I: ArrowPrimitiveType>(value: &Value) -> Result<Value, ArrowError> {
    let zero = I::Native::default();
    let flags: BooleanArray = value.primitive::<I>()?.iter().map(|v| v.map(|v| v != zero)).collect();
    Ok(Value::rows(Arc::new(flags)).with(value.failures.clone()))
}
