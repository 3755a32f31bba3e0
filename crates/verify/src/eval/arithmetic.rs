//! + - * / %, the exact quotient, and rounding.

use lakeward_core::expr::tree::Arithmetic;
use lakeward_core::types::DataType;

use super::Failed;
use crate::cell::{Cell, scale_of};
use crate::number::{fits, power, ratio, rescale};

type Typed = (DataType, Cell);

/// `left op right`; NULL where an operand is.
pub fn binary(op: Arithmetic, left: Typed, right: Typed, ty: DataType) -> Result<Cell, Failed> {
    match (&left.1, &right.1) {
        (Cell::Null, _) | (_, Cell::Null) => Ok(Cell::Null),
        (Cell::Int(a), Cell::Int(b)) => integer(op, *a, *b, ty),
        (Cell::Float(a), Cell::Float(b)) => float(op, *a, *b),
        (Cell::Decimal(a), Cell::Decimal(b)) => decimal(op, (*a, scale_of(left.0)), (*b, scale_of(right.0)), ty),
        _ => Err(Failed),
    }
}

/// The exact quotient, rounded once to `ty`.
pub fn quotient(left: Typed, right: Typed, ty: DataType) -> Result<Cell, Failed> {
    let (Cell::Decimal(a), Cell::Decimal(b)) = (&left.1, &right.1) else { return null_or_failed(&left.1, &right.1) };
    decimal_of(ratio(*a, scale_of(left.0), *b, scale_of(right.0), scale_of(ty)), ty)
}

/// `-value`
pub fn negate(value: Cell, ty: DataType) -> Result<Cell, Failed> {
    match value {
        Cell::Int(n) => int_of(n.checked_neg(), ty),
        Cell::Float(x) => Ok(Cell::Float(-x)),
        Cell::Decimal(n) => Ok(Cell::Decimal(-n)),
        _ => Ok(Cell::Null),
    }
}

/// The value without its sign.
pub fn abs(value: &Cell, ty: DataType) -> Result<Cell, Failed> {
    match value {
        Cell::Int(n) => int_of(n.checked_abs(), ty),
        Cell::Float(x) => Ok(Cell::Float(x.abs())),
        Cell::Decimal(n) => Ok(Cell::Decimal(n.abs())),
        _ => Err(Failed),
    }
}

/// Rounds to `places` digits behind the point: decimals half away from zero, floats to even.
pub fn round(value: &Cell, from: DataType, to: DataType, places: i8) -> Result<Cell, Failed> {
    match value {
        Cell::Float(x) => Ok(Cell::Float(x.round_ties_even())),
        Cell::Decimal(n) if places >= 0 => decimal_of(rescale(*n, scale_of(from), places), to),
        Cell::Decimal(n) => {
            let tens = rescale(*n, scale_of(from), places).ok_or(Failed)?;
            let unit = power(u32::from(places.unsigned_abs()));
            decimal_of(if tens == 0 { Some(0) } else { unit.and_then(|unit| tens.checked_mul(unit)) }, to)
        }
        other => Ok(other.clone()),
    }
}

/// floor, or ceil where `up`.
pub fn whole(value: &Cell, from: DataType, of_float: fn(f64) -> f64, up: bool) -> Result<Cell, Failed> {
    match value {
        Cell::Float(x) => Ok(Cell::Float(of_float(*x))),
        Cell::Decimal(n) => {
            let unit = power(u32::from(scale_of(from).unsigned_abs())).unwrap_or(i128::MAX);
            Ok(Cell::Decimal(if up { -(-n).div_euclid(unit) } else { n.div_euclid(unit) }))
        }
        other => Ok(other.clone()),
    }
}

/// An integer or a date as a value of its type.
pub fn int_of(value: Option<i64>, ty: DataType) -> Result<Cell, Failed> {
    let value = value.ok_or(Failed)?;
    let narrow = matches!(ty, DataType::Int32 | DataType::Date);
    if narrow && i32::try_from(value).is_err() { Err(Failed) } else { Ok(Cell::Int(value)) }
}

/// A decimal as a value of its type.
pub fn decimal_of(value: Option<i128>, ty: DataType) -> Result<Cell, Failed> {
    let precision = match ty {
        DataType::Decimal { precision, .. } => precision,
        _ => return Err(Failed),
    };
    value.filter(|value| fits(*value, precision)).map(Cell::Decimal).ok_or(Failed)
}

fn null_or_failed(a: &Cell, b: &Cell) -> Result<Cell, Failed> {
    if a.is_null() || b.is_null() { Ok(Cell::Null) } else { Err(Failed) }
}

fn integer(op: Arithmetic, a: i64, b: i64, ty: DataType) -> Result<Cell, Failed> {
    let value = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => a.checked_div(b),
        // The smallest integer % -1 is 0, as in Postgres.
        Arithmetic::Remainder if b == -1 => Some(0),
        Arithmetic::Remainder => a.checked_rem(b),
    };
    int_of(value, ty)
}

/// As Postgres: a division by zero fails, and so does what leaves the finite numbers.
fn float(op: Arithmetic, a: f64, b: f64) -> Result<Cell, Failed> {
    let value = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::Remainder if b == 0.0 && !a.is_nan() => return Err(Failed),
        Arithmetic::Divide | Arithmetic::Remainder => {
            let value = a / b;
            return if value.is_infinite() && a.is_finite() { Err(Failed) } else { Ok(Cell::Float(value)) };
        }
    };
    if value.is_infinite() && a.is_finite() && b.is_finite() { Err(Failed) } else { Ok(Cell::Float(value)) }
}

fn decimal(op: Arithmetic, left: (i128, i8), right: (i128, i8), ty: DataType) -> Result<Cell, Failed> {
    let ((a, a_scale), (b, b_scale)) = (left, right);
    if op == Arithmetic::Multiply {
        return decimal_of(a.checked_mul(b), ty);
    }
    let scale = a_scale.max(b_scale);
    let (a, b) = rescale(a, a_scale, scale).zip(rescale(b, b_scale, scale)).ok_or(Failed)?;
    let value = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        _ => a.checked_rem(b),
    };
    decimal_of(value, ty)
}
