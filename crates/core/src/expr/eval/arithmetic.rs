//! + - * / % and the exact quotient, on operands of one family.

use arrow::array::types::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type};
use arrow::error::ArrowError;

use super::failures::Cause;
use super::value::{self, Value};
use crate::decimal::{self, MAX_PRECISION, fits, pow10};
use crate::expr::node::Arithmetic;
use crate::expr::promote::{self, Digits};
use crate::types::DataType;

/// An operand with its type.
type Typed = (DataType, Value);

/// `left op right`.
pub(super) fn binary(op: Arithmetic, left: Typed, right: Typed, ty: DataType) -> Result<Value, ArrowError> {
    match (ty, left.0) {
        (DataType::Int32, DataType::Date) => days_between(&left.1, &right.1),
        (DataType::Date, _) => shift_days(op, &left.1, &right.1),
        (DataType::Int32, _) => int32(op, &left.1, &right.1),
        (DataType::Int64, _) => int64(op, &left.1, &right.1),
        (DataType::Float64, _) => float64(op, &left.1, &right.1),
        (DataType::Decimal { precision, .. }, _) => decimal(op, left, right, ty, precision),
        _ => Err(ArrowError::ComputeError(format!("no arithmetic on {ty}"))),
    }
}

/// The exact quotient of two decimals, rounded once to `ty`.
pub(super) fn quotient(left: Typed, right: Typed, ty: DataType) -> Result<Value, ArrowError> {
    let (Some(l), Some(r), DataType::Decimal { precision, scale }) =
        (promote::digits(left.0), promote::digits(right.0), ty)
    else {
        return Err(ArrowError::ComputeError("a quotient of something but decimals".to_owned()));
    };
    value::binary::<Decimal128Type, Decimal128Type, Decimal128Type>(&left.1, &right.1, ty, |a, b| {
        if b == 0 {
            return Err(Cause::DivisionByZero);
        }
        decimal::quotient(a, l.scale, b, r.scale, scale).filter(|q| fits(*q, precision)).ok_or(Cause::OutOfRange(ty))
    })
}

/// `-value`.
pub(super) fn negate(value: &Value, ty: DataType) -> Result<Value, ArrowError> {
    match ty {
        DataType::Int32 => {
            value::unary::<Int32Type, Int32Type>(value, ty, |v| v.checked_neg().ok_or(Cause::OutOfRange(ty)))
        }
        DataType::Int64 => {
            value::unary::<Int64Type, Int64Type>(value, ty, |v| v.checked_neg().ok_or(Cause::OutOfRange(ty)))
        }
        DataType::Float64 => value::unary::<Float64Type, Float64Type>(value, ty, |v| Ok(-v)),
        _ => value::unary::<Decimal128Type, Decimal128Type>(value, ty, |v| Ok(v.wrapping_neg())),
    }
}

/// An integer operation; with overflow or a zero divisor the row fails.
macro_rules! integer {
    ($name:ident, $arrow:ty, $native:ty, $ty:expr) => {
        fn $name(op: Arithmetic, left: &Value, right: &Value) -> Result<Value, ArrowError> {
            let apply = |f: fn($native, $native) -> Option<$native>| {
                value::binary::<$arrow, $arrow, $arrow>(left, right, $ty, move |a, b| {
                    f(a, b).ok_or(Cause::OutOfRange($ty))
                })
            };
            let divide = |f: fn($native, $native) -> Option<$native>| {
                value::binary::<$arrow, $arrow, $arrow>(left, right, $ty, move |a, b| match b {
                    0 => Err(Cause::DivisionByZero),
                    b => f(a, b).ok_or(Cause::OutOfRange($ty)),
                })
            };
            match op {
                Arithmetic::Add => apply(<$native>::checked_add),
                Arithmetic::Subtract => apply(<$native>::checked_sub),
                Arithmetic::Multiply => apply(<$native>::checked_mul),
                Arithmetic::Divide => divide(<$native>::checked_div),
                // The smallest integer % -1 is 0, as in Postgres, not an overflow.
                Arithmetic::Remainder => divide(|a, b| Some(a.wrapping_rem(b))),
            }
        }
    };
}

integer!(int32, Int32Type, i32, DataType::Int32);
integer!(int64, Int64Type, i64, DataType::Int64);

/// IEEE doubles; like Postgres a division by zero and an overflow to infinity fail.
fn float64(op: Arithmetic, left: &Value, right: &Value) -> Result<Value, ArrowError> {
    let ty = DataType::Float64;
    let apply = |f: fn(f64, f64) -> f64| {
        value::binary::<Float64Type, Float64Type, Float64Type>(left, right, ty, move |a, b| {
            let result = f(a, b);
            if result.is_infinite() && a.is_finite() && b.is_finite() { Err(Cause::OutOfRange(ty)) } else { Ok(result) }
        })
    };
    match op {
        Arithmetic::Add => apply(|a, b| a + b),
        Arithmetic::Subtract => apply(|a, b| a - b),
        Arithmetic::Multiply => apply(|a, b| a * b),
        Arithmetic::Divide | Arithmetic::Remainder => {
            value::binary::<Float64Type, Float64Type, Float64Type>(left, right, ty, |a, b| {
                let result = a / b;
                match b {
                    0.0 if !a.is_nan() => Err(Cause::DivisionByZero),
                    _ if result.is_infinite() && a.is_finite() => Err(Cause::OutOfRange(ty)),
                    _ => Ok(result),
                }
            })
        }
    }
}

fn decimal(op: Arithmetic, left: Typed, right: Typed, ty: DataType, precision: u8) -> Result<Value, ArrowError> {
    let (Some(l), Some(r)) = (promote::digits(left.0), promote::digits(right.0)) else {
        return Err(ArrowError::ComputeError("decimal arithmetic on something else".to_owned()));
    };
    // Where the exact result's digits fit the type, no value can overflow and nothing need be checked per row.
    let safe = promote::decimal_result(op, l, r).all() <= MAX_PRECISION;
    let checked = |result: Option<i128>| result.filter(|v| fits(*v, precision)).ok_or(Cause::OutOfRange(ty));
    let (left, right) = (&left.1, &right.1);
    let apply = |f: &dyn Fn(i128, i128) -> Result<i128, Cause>| {
        value::binary::<Decimal128Type, Decimal128Type, Decimal128Type>(left, right, ty, f)
    };
    let (grow_l, grow_r) = growth(l, r);
    match (op, safe) {
        (Arithmetic::Multiply, true) => {
            value::binary::<Decimal128Type, Decimal128Type, Decimal128Type>(left, right, ty, |a, b| {
                Ok(a.wrapping_mul(b))
            })
        }
        (Arithmetic::Multiply, false) => apply(&|a, b| checked(a.checked_mul(b))),
        (Arithmetic::Add, true) => {
            value::binary::<Decimal128Type, Decimal128Type, Decimal128Type>(left, right, ty, |a, b| {
                Ok(a.wrapping_mul(grow_l).wrapping_add(b.wrapping_mul(grow_r)))
            })
        }
        (Arithmetic::Subtract, true) => {
            value::binary::<Decimal128Type, Decimal128Type, Decimal128Type>(left, right, ty, |a, b| {
                Ok(a.wrapping_mul(grow_l).wrapping_sub(b.wrapping_mul(grow_r)))
            })
        }
        (Arithmetic::Add, false) => {
            apply(&|a, b| checked(a.checked_mul(grow_l).zip(b.checked_mul(grow_r)).and_then(|(a, b)| a.checked_add(b))))
        }
        (Arithmetic::Subtract, false) => {
            apply(&|a, b| checked(a.checked_mul(grow_l).zip(b.checked_mul(grow_r)).and_then(|(a, b)| a.checked_sub(b))))
        }
        (Arithmetic::Remainder | Arithmetic::Divide, _) => apply(&|a, b| match b {
            0 => Err(Cause::DivisionByZero),
            b => checked(a.checked_mul(grow_l).zip(b.checked_mul(grow_r)).and_then(|(a, b)| a.checked_rem(b))),
        }),
    }
}

/// The factors that bring both operands to the larger scale.
fn growth(l: Digits, r: Digits) -> (i128, i128) {
    let scale = l.scale.max(r.scale);
    let factor = |own: i8| pow10(u32::from(scale.abs_diff(own))).unwrap_or(i128::MAX);
    (factor(l.scale), factor(r.scale))
}

fn days_between(left: &Value, right: &Value) -> Result<Value, ArrowError> {
    let ty = DataType::Int32;
    value::binary::<Date32Type, Date32Type, Int32Type>(left, right, ty, |a, b| {
        a.checked_sub(b).ok_or(Cause::OutOfRange(ty))
    })
}

fn shift_days(op: Arithmetic, left: &Value, right: &Value) -> Result<Value, ArrowError> {
    let ty = DataType::Date;
    value::binary::<Date32Type, Int32Type, Date32Type>(left, right, ty, |a, b| {
        let moved = if op == Arithmetic::Subtract { a.checked_sub(b) } else { a.checked_add(b) };
        moved.ok_or(Cause::OutOfRange(ty))
    })
}
