//! Constants: numbers with the digits that they show, quoted texts without a type yet, intervals.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Int32Array, Int64Array};
use sqlparser::ast::{self, Value, ValueWithSpan};

use super::ExprError;
use super::node::{Interval, Node};
use crate::decimal::{self, MAX_PRECISION};
use crate::types::DataType;

/// A constant as it stands in the text.
pub(super) fn value(value: &ValueWithSpan, at: usize) -> Result<Node, ExprError> {
    match &value.value {
        Value::Number(text, _) => number(text, at),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Ok(Node::untyped(Some(text), at)),
        Value::Boolean(flag) => Ok(Node::literal(Arc::new(BooleanArray::from(vec![*flag])), DataType::Bool, at)),
        Value::Null => Ok(Node::untyped(None, at)),
        other => Err(ExprError::new(at, format!("the constant {other} is not supported; quote texts with '…'"))),
    }
}

/// `-` and a number read as one, so that the smallest integers can be written.
pub(super) fn negative(expr: &ast::Expr, at: usize) -> Option<Result<Node, ExprError>> {
    match expr {
        ast::Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => Some(number(&format!("-{text}"), at)),
        _ => None,
    }
}

/// An int32 or int64 if it fits, else a decimal of just the digits shown, as Postgres' numeric.
fn number(text: &str, at: usize) -> Result<Node, ExprError> {
    let integer: Option<(ArrayRef, DataType)> = if let Ok(number) = text.parse::<i32>() {
        Some((Arc::new(Int32Array::from(vec![number])), DataType::Int32))
    } else if let Ok(number) = text.parse::<i64>() {
        Some((Arc::new(Int64Array::from(vec![number])), DataType::Int64))
    } else {
        None
    };
    if let Some((value, ty)) = integer {
        return Ok(Node::literal(value, ty, at));
    }
    let refused = || ExprError::new(at, format!("the number {text} has more than {MAX_PRECISION} digits"));
    let scale = shown_scale(text).ok_or_else(refused)?;
    let unscaled = decimal::parse_decimal(text, MAX_PRECISION, scale, false).map_err(|_| refused())?;
    let digits = unscaled.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    let precision = u8::try_from(digits).unwrap_or(MAX_PRECISION).max(scale.unsigned_abs());
    let ty = DataType::Decimal { precision, scale };
    let value = Decimal128Array::from(vec![unscaled]).with_data_type(ty.arrow());
    Ok(Node::literal(Arc::new(value), ty, at))
}

/// The digits behind the point, zeros included.
fn shown_scale(text: &str) -> Option<i8> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
    let scale = i64::try_from(behind).ok()?.saturating_sub(exponent).max(0);
    i8::try_from(scale).ok().filter(|scale| scale.unsigned_abs() <= MAX_PRECISION)
}

/// `INTERVAL '1 day'`, `INTERVAL '2' HOUR`, `INTERVAL '1 month 2 days'`.
pub(super) fn interval(interval: &ast::Interval, at: usize) -> Result<Interval, ExprError> {
    let refused = || {
        ExprError::new(
            at,
            "this interval is not supported; write whole numbers and units, such as INTERVAL '1 month 2 days'",
        )
    };
    let ast::Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = interval.value.as_ref() else {
        return Err(refused());
    };
    if interval.last_field.is_some() || interval.leading_precision.is_some() {
        return Err(refused());
    }
    let text = match &interval.leading_field {
        Some(field) => format!("{text} {field}"),
        None => text.clone(),
    };
    parse_interval(&text.to_lowercase()).ok_or_else(refused)
}

/// The interval that goes as far back.
pub(super) fn opposite(by: Interval, at: usize) -> Result<Interval, ExprError> {
    let Interval { months, days, micros } = by;
    let opposite = months.checked_neg().zip(days.checked_neg()).zip(micros.checked_neg());
    let ((months, days), micros) = opposite.ok_or_else(|| ExprError::new(at, "the interval is too long"))?;
    Ok(Interval { months, days, micros })
}

fn parse_interval(text: &str) -> Option<Interval> {
    let mut words = text.split_whitespace();
    let mut sum = Interval::default();
    while let Some(count) = words.next() {
        let count: i32 = count.parse().ok()?;
        let micros = |unit: i64| i64::from(count).checked_mul(unit * 1_000_000);
        let part = match words.next()?.trim_end_matches('s') {
            "year" => Interval { months: count.checked_mul(12)?, ..Interval::default() },
            "month" | "mon" => Interval { months: count, ..Interval::default() },
            "week" => Interval { days: count.checked_mul(7)?, ..Interval::default() },
            "day" => Interval { days: count, ..Interval::default() },
            "hour" => Interval { micros: micros(3600)?, ..Interval::default() },
            "minute" | "min" => Interval { micros: micros(60)?, ..Interval::default() },
            "second" | "sec" => Interval { micros: micros(1)?, ..Interval::default() },
            "millisecond" => Interval { micros: i64::from(count).checked_mul(1000)?, ..Interval::default() },
            "microsecond" => Interval { micros: count.into(), ..Interval::default() },
            _ => return None,
        };
        sum = Interval {
            months: sum.months.checked_add(part.months)?,
            days: sum.days.checked_add(part.days)?,
            micros: sum.micros.checked_add(part.micros)?,
        };
    }
    (text.split_whitespace().next().is_some()).then_some(sum)
}
