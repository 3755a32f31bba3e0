//! Comparison: Arrow's kernels, with Postgres' notion of equal floats and exact decimals of any scales.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::types::{Decimal128Type, Float64Type};
use arrow::array::{Array, BooleanArray};
use arrow::compute::kernels::cmp;
use arrow::datatypes::i256;
use arrow::error::ArrowError;

use super::value::{self, Value};
use crate::expr::node::Comparison;
use crate::expr::promote;
use crate::types::DataType;

/// `left op right`; NULL where an operand is, but for (NOT) DISTINCT.
pub(super) fn compare(op: Comparison, left: (DataType, Value), right: (DataType, Value)) -> Result<Value, ArrowError> {
    let ((left_ty, left), (right_ty, right)) = (left, right);
    let result = match (left_ty, right_ty) {
        (DataType::Float64, _) => kernel(op, &plain(&left)?, &plain(&right)?)?,
        (l, r) if l != r => unlike_decimals(op, (l, &left), (r, &right))?,
        _ => kernel(op, &left, &right)?,
    };
    Ok(Value::rows(Arc::new(result)).with(left.failures.and(right.failures)))
}

fn kernel(op: Comparison, left: &Value, right: &Value) -> Result<BooleanArray, ArrowError> {
    match op {
        Comparison::Equal => cmp::eq(left, right),
        Comparison::NotEqual => cmp::neq(left, right),
        Comparison::Less => cmp::lt(left, right),
        Comparison::LessOrEqual => cmp::lt_eq(left, right),
        Comparison::Greater => cmp::gt(left, right),
        Comparison::GreaterOrEqual => cmp::gt_eq(left, right),
        Comparison::Distinct => cmp::distinct(left, right),
        Comparison::NotDistinct => cmp::not_distinct(left, right),
    }
}

/// Floats such that Arrow's total order is Postgres' order: one zero, one NaN, above all else.
fn plain(value: &Value) -> Result<Value, ArrowError> {
    let plain = value::unary::<Float64Type, Float64Type>(value, DataType::Float64, |v| {
        Ok(if v.is_nan() { f64::NAN } else { v + 0.0 })
    })?;
    Ok(Value { scalar: value.scalar, ..plain })
}

/// Decimals that no common decimal type holds, compared exactly in 256 bits.
fn unlike_decimals(
    op: Comparison,
    left: (DataType, &Value),
    right: (DataType, &Value),
) -> Result<BooleanArray, ArrowError> {
    let ((l_ty, l), (r_ty, r)) = (left, right);
    let scales = promote::digits(l_ty).zip(promote::digits(r_ty)).map(|(l, r)| (l.scale, r.scale));
    let (l_scale, r_scale) = scales.ok_or_else(|| ArrowError::ComputeError("operands of two types".to_owned()))?;
    let rows = if l.scalar { r.array.len() } else { l.array.len() };
    let (l, r) = (l.clone().expand(rows)?, r.clone().expand(rows)?);
    let pairs = l.primitive::<Decimal128Type>()?.iter().zip(r.primitive::<Decimal128Type>()?.iter());
    Ok(pairs
        .map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => Some(holds(op, wide(a, r_scale, l_scale).cmp(&wide(b, l_scale, r_scale)))),
            (a, b) => match op {
                Comparison::Distinct => Some(a.is_some() != b.is_some()),
                Comparison::NotDistinct => Some(a.is_some() == b.is_some()),
                _ => None,
            },
        })
        .collect())
}

/// `value` grown to the larger of both scales: at most 38 + 38 digits, which 256 bits hold.
fn wide(value: i128, other: i8, own: i8) -> i256 {
    let grow = u32::try_from(i32::from(other) - i32::from(own)).unwrap_or(0);
    i256::from_i128(value).wrapping_mul(i256::from_i128(10).wrapping_pow(grow))
}

fn holds(op: Comparison, ordering: Ordering) -> bool {
    match op {
        Comparison::Equal | Comparison::NotDistinct => ordering.is_eq(),
        Comparison::NotEqual | Comparison::Distinct => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessOrEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterOrEqual => ordering.is_ge(),
    }
}
