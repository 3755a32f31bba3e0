//! round, floor, ceil and abs.

use arrow::array::types::{Decimal128Type, Float64Type, Int32Type, Int64Type};
use arrow::error::ArrowError;

use super::failures::Cause;
use super::value::{self, Value};
use crate::decimal::{fits, pow10, rescale, round_half_away};
use crate::types::DataType;

/// Rounds to `places` digits behind the point: decimals half away from zero, floats to even.
pub(super) fn round(value: Value, from: DataType, to: DataType, places: i8) -> Result<Value, ArrowError> {
    match (from, to) {
        (DataType::Float64, _) => value::unary::<Float64Type, Float64Type>(&value, to, |v| Ok(v.round_ties_even())),
        (DataType::Decimal { scale, .. }, DataType::Decimal { precision, .. }) => {
            value::unary::<Decimal128Type, Decimal128Type>(&value, to, |v| {
                let rounded = if places >= 0 {
                    rescale(v, scale, places)
                } else {
                    let zeros = u32::from(places.unsigned_abs());
                    let kept = round_half_away(v, u32::from(scale.unsigned_abs()) + zeros);
                    if kept == 0 { Some(0) } else { pow10(zeros).and_then(|unit| kept.checked_mul(unit)) }
                };
                rounded.filter(|v| fits(*v, precision)).ok_or(Cause::OutOfRange(to))
            })
        }
        _ => Ok(value),
    }
}

/// The largest whole number that is not above.
pub(super) fn floor(value: Value, from: DataType, to: DataType) -> Result<Value, ArrowError> {
    match from {
        DataType::Float64 => value::unary::<Float64Type, Float64Type>(&value, to, |v| Ok(v.floor())),
        DataType::Decimal { scale, .. } => {
            let unit = unit(scale);
            value::unary::<Decimal128Type, Decimal128Type>(&value, to, |v| Ok(v.div_euclid(unit)))
        }
        _ => Ok(value),
    }
}

/// The smallest whole number that is not below.
pub(super) fn ceil(value: Value, from: DataType, to: DataType) -> Result<Value, ArrowError> {
    match from {
        DataType::Float64 => value::unary::<Float64Type, Float64Type>(&value, to, |v| Ok(v.ceil())),
        DataType::Decimal { scale, .. } => {
            let unit = unit(scale);
            value::unary::<Decimal128Type, Decimal128Type>(&value, to, |v| Ok(-v.wrapping_neg().div_euclid(unit)))
        }
        _ => Ok(value),
    }
}

/// The value without its sign.
pub(super) fn abs(value: Value, ty: DataType) -> Result<Value, ArrowError> {
    match ty {
        DataType::Int32 => {
            value::unary::<Int32Type, Int32Type>(&value, ty, |v| v.checked_abs().ok_or(Cause::OutOfRange(ty)))
        }
        DataType::Int64 => {
            value::unary::<Int64Type, Int64Type>(&value, ty, |v| v.checked_abs().ok_or(Cause::OutOfRange(ty)))
        }
        DataType::Float64 => value::unary::<Float64Type, Float64Type>(&value, ty, |v| Ok(v.abs())),
        _ => value::unary::<Decimal128Type, Decimal128Type>(&value, ty, |v| Ok(v.wrapping_abs())),
    }
}

fn unit(scale: i8) -> i128 {
    pow10(u32::from(scale.unsigned_abs())).unwrap_or(i128::MAX)
}
