//! Three-valued logic and choice: AND, OR, NOT, IS, IN, CASE, COALESCE.
//!
//! Here failures that don't count are dropped: right of an operand that decides already, and in branches not taken.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{self, kernels::zip::zip};
use arrow::error::ArrowError;

use super::failures::Failures;
use super::value::Value;
use super::{Batch, compare, eval, eval_rows};
use crate::expr::node::{Comparison, Node};

pub(super) fn and(left: &Node, right: &Node, batch: Batch<'_>) -> Result<Value, ArrowError> {
    let (left, right) = (eval_rows(left, batch)?, eval_rows(right, batch)?);
    combine(left, right, false, compute::and_kleene)
}

pub(super) fn or(left: &Node, right: &Node, batch: Batch<'_>) -> Result<Value, ArrowError> {
    let (left, right) = (eval_rows(left, batch)?, eval_rows(right, batch)?);
    combine(left, right, true, compute::or_kleene)
}

type Kernel = fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>;

/// AND or OR; `deciding` is the value of the left operand that settles the row.
fn combine(left: Value, mut right: Value, deciding: bool, kernel: Kernel) -> Result<Value, ArrowError> {
    let (l, r) = (left.booleans()?, right.booleans()?);
    let result = kernel(l, r)?;
    let decided = are(l, deciding);
    right.failures.retain(|row| !bit(&decided, row));
    let failures = left.failures.clone().and(right.failures);
    blank(Value::rows(Arc::new(result)), failures)
}

pub(super) fn not(value: Value) -> Result<Value, ArrowError> {
    let result = compute::not(value.booleans()?)?;
    Ok(Value::rows(Arc::new(result)).with(value.failures))
}

pub(super) fn is_null(value: Value) -> Result<Value, ArrowError> {
    let result = Value::rows(Arc::new(compute::is_null(value.array.as_ref())?));
    blank(result, value.failures)
}

pub(super) fn is_bool(value: Value, wanted: bool) -> Result<Value, ArrowError> {
    let result = BooleanArray::new(are(value.booleans()?, wanted), None);
    blank(Value::rows(Arc::new(result)), value.failures)
}

/// `arg IN (list)`: TRUE once an element is equal, else NULL if a comparison was.
pub(super) fn is_in(arg: &Node, list: &[Node], batch: Batch<'_>) -> Result<Value, ArrowError> {
    let mut found: Option<Value> = None;
    let value = eval_rows(arg, batch)?;
    for item in list {
        let equal = compare::compare(Comparison::Equal, (arg.ty, value.clone()), (item.ty, eval(item, batch)?))?;
        found = Some(match found {
            Some(found) => combine(found, equal, true, compute::or_kleene)?,
            None => equal,
        });
    }
    found.ok_or_else(|| ArrowError::ComputeError("IN over nothing".to_owned()))
}

pub(super) fn case(branches: &[(Node, Node)], otherwise: &Node, batch: Batch<'_>) -> Result<Value, ArrowError> {
    let mut open = BooleanBuffer::new_set(batch.rows);
    let mut failures = Failures::default();
    let mut chosen = Vec::with_capacity(branches.len());
    for (when, then) in branches {
        let mut when = eval_rows(when, batch)?;
        when.failures.retain(|row| bit(&open, row));
        let taken = &are(when.booleans()?, true) & &open;
        open = &open & &!&taken;
        open = without(open, &when.failures);
        let mut then = eval(then, batch)?;
        then.failures.retain(|row| bit(&taken, row));
        failures = failures.and(when.failures).and(std::mem::take(&mut then.failures));
        chosen.push((taken, then));
    }
    let mut result = eval(otherwise, batch)?;
    result.failures.retain(|row| bit(&open, row));
    failures = failures.and(std::mem::take(&mut result.failures));
    for (taken, then) in chosen.iter().rev() {
        result = Value::rows(zip(&BooleanArray::new(taken.clone(), None), then, &result)?);
    }
    blank(result.expand(batch.rows)?, failures)
}

pub(super) fn coalesce(args: &[Node], batch: Batch<'_>) -> Result<Value, ArrowError> {
    let mut open = BooleanBuffer::new_set(batch.rows);
    let mut failures = Failures::default();
    let mut values = Vec::with_capacity(args.len());
    for arg in args {
        let mut value = eval_rows(arg, batch)?;
        value.failures.retain(|row| bit(&open, row));
        let present = compute::is_not_null(value.array.as_ref())?.values().clone();
        open = without(&open & &!&present, &value.failures);
        failures = failures.and(std::mem::take(&mut value.failures));
        values.push((present, value));
        if open.count_set_bits() == 0 {
            break;
        }
    }
    let (_, mut result) = values.pop().ok_or_else(|| ArrowError::ComputeError("COALESCE of nothing".to_owned()))?;
    for (present, value) in values.iter().rev() {
        result = Value::rows(zip(&BooleanArray::new(present.clone(), None), value, &result)?);
    }
    blank(result, failures)
}

/// The rows where `array` is `wanted`; NULL is neither.
fn are(array: &BooleanArray, wanted: bool) -> BooleanBuffer {
    let values = if wanted { array.values().clone() } else { !array.values() };
    match array.nulls() {
        Some(nulls) => &values & nulls.inner(),
        None => values,
    }
}

fn bit(bits: &BooleanBuffer, row: usize) -> bool {
    row < bits.len() && bits.value(row)
}

/// `bits` without the failed rows.
fn without(bits: BooleanBuffer, failures: &Failures) -> BooleanBuffer {
    if failures.is_empty() { bits } else { &bits & &!&rows(failures, bits.len()) }
}

fn rows(failures: &Failures, len: usize) -> BooleanBuffer {
    let mut failed = vec![false; len];
    for row in failures.rows() {
        if let Some(flag) = failed.get_mut(row) {
            *flag = true;
        }
    }
    BooleanBuffer::from(failed)
}

/// `value` with NULL in the failed rows.
pub(super) fn blank(value: Value, failures: Failures) -> Result<Value, ArrowError> {
    if failures.is_empty() {
        return Ok(value);
    }
    let failed = BooleanArray::new(rows(&failures, value.array.len()), None);
    Ok(Value::rows(compute::nullif(value.array.as_ref(), &failed)?).with(failures))
}
