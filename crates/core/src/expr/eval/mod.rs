//! Evaluation: a tree walked once per batch, a kernel per node.
//!
//! Everything is computed for all rows, and what must not count is dropped: a failure in a branch not taken, or right
//! of an AND that is FALSE already, is forgotten where the branch is chosen. Expressions have no effects, so this
//! equals evaluating row by row, and keeps the kernels free of selections.

mod arithmetic;
mod cast;
mod compare;
mod failures;
mod logic;
mod numeric;
mod text;
mod time;
mod value;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::error::ArrowError;

pub(super) use failures::Failures;
use value::Value;

use super::node::{Function, Kind, Node};
use crate::types::DataType;

/// The rows under evaluation.
#[derive(Clone, Copy)]
struct Batch<'a> {
    columns: &'a [ArrayRef],
    rows: usize,
}

/// The values and failures of `node` for `rows` rows of `columns`; an error means that the columns are not the scope's.
pub(super) fn evaluate(node: &Node, columns: &[ArrayRef], rows: usize) -> Result<(ArrayRef, Failures), ArrowError> {
    let mut value = eval(node, Batch { columns, rows })?.expand(rows)?;
    let failures = std::mem::take(&mut value.failures);
    let value = logic::blank(value, failures)?;
    Ok((value.array, value.failures))
}

/// The value of a node without columns, or `None` if it fails.
pub(super) fn constant(node: &Node) -> Option<ArrayRef> {
    let value = eval(node, Batch { columns: &[], rows: 1 }).ok()?;
    (value.failures.is_empty() && value.array.len() == 1).then_some(value.array)
}

/// A quoted text (or NULL) as a constant of type `ty`.
pub(super) fn parse_constant(text: Option<&str>, ty: DataType) -> Result<ArrayRef, String> {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let value = Value { array: texts, scalar: false, failures: Failures::default() };
    let value = cast::cast(value, DataType::String, ty).map_err(|error| error.to_string())?;
    match value.failures.first() {
        Some(cause) => Err(cause.to_string()),
        None => Ok(value.array),
    }
}

/// A constant as text, for the canonical form.
pub(super) fn constant_text(value: &ArrayRef, ty: DataType) -> Option<String> {
    let value = Value { array: Arc::clone(value), scalar: false, failures: Failures::default() };
    let text = cast::cast(value, ty, DataType::String).ok()?.array;
    text.as_string_opt::<i32>()?.iter().next()?.map(str::to_owned)
}

fn eval(node: &Node, batch: Batch<'_>) -> Result<Value, ArrowError> {
    match &node.kind {
        Kind::Column { index, name } => column(*index, name, batch),
        Kind::Literal(_) | Kind::Untyped(_) => Value::constant(node, batch.rows),
        Kind::Arithmetic { op, left, right } => {
            let (left_value, right_value) = pair(left, right, batch)?;
            arithmetic::binary(*op, (left.ty, left_value), (right.ty, right_value), node.ty)
        }
        Kind::Quotient { left, right, typed: true } => {
            let (left_value, right_value) = pair(left, right, batch)?;
            arithmetic::quotient((left.ty, left_value), (right.ty, right_value), node.ty)
        }
        Kind::Quotient { typed: false, .. } => {
            Err(ArrowError::ComputeError("a division of decimals has no type".to_owned()))
        }
        Kind::Negate(arg) => arithmetic::negate(&eval_rows(arg, batch)?, node.ty),
        Kind::Compare { op, left, right } => {
            let (left_value, right_value) = pair(left, right, batch)?;
            compare::compare(*op, (left.ty, left_value), (right.ty, right_value))
        }
        Kind::And(left, right) => logic::and(left, right, batch),
        Kind::Or(left, right) => logic::or(left, right, batch),
        Kind::Not(arg) => logic::not(eval_rows(arg, batch)?),
        Kind::IsNull(arg) => logic::is_null(eval_rows(arg, batch)?),
        Kind::IsBool(arg, wanted) => logic::is_bool(eval_rows(arg, batch)?, *wanted),
        Kind::In { arg, list } => logic::is_in(arg, list, batch),
        Kind::Case { branches, otherwise } => logic::case(branches, otherwise, batch),
        Kind::Coalesce(args) => logic::coalesce(args, batch),
        Kind::Cast(arg) => cast::cast(eval_rows(arg, batch)?, arg.ty, node.ty),
        Kind::Like { arg, pattern, any_case } => {
            let (arg, pattern) = pair(arg, pattern, batch)?;
            text::like(arg, pattern, *any_case)
        }
        Kind::Concat { args, skip_null } => {
            let args = args.iter().map(|arg| eval(arg, batch)).collect::<Result<Vec<_>, _>>()?;
            text::concat(args, *skip_null, batch.rows)
        }
        Kind::Shift { arg, by } => time::shift(&eval_rows(arg, batch)?, *by),
        Kind::Call { function, args } => call(function, args, node.ty, batch),
    }
}

fn call(function: &Function, args: &[Node], ty: DataType, batch: Batch<'_>) -> Result<Value, ArrowError> {
    let Some((first, rest)) = args.split_first() else {
        return Err(ArrowError::ComputeError("a function without arguments".to_owned()));
    };
    let value = eval_rows(first, batch)?;
    let rest = rest.iter().map(|arg| eval(arg, batch)).collect::<Result<Vec<_>, _>>()?;
    match function {
        Function::Extract(field) => time::extract(&value, first.ty, *field, ty),
        Function::DateTrunc(field) => time::trunc(&value, *field),
        Function::ToChar(pieces) => time::to_char(value, first.ty, pieces),
        Function::Lower => text::map(value, |text| text.to_lowercase().into()),
        Function::Upper => text::map(value, |text| text.to_uppercase().into()),
        Function::Trim(side) => text::trim(value, rest, *side),
        Function::Substring => text::substring(value, rest, batch.rows),
        Function::Length => text::length(value),
        Function::Round(places) => numeric::round(value, first.ty, ty, *places),
        Function::Floor => numeric::floor(value, first.ty, ty),
        Function::Ceil => numeric::ceil(value, first.ty, ty),
        Function::Abs => numeric::abs(value, ty),
    }
}

fn column(index: usize, name: &str, batch: Batch<'_>) -> Result<Value, ArrowError> {
    match batch.columns.get(index) {
        Some(array) if array.len() == batch.rows => Ok(Value::rows(Arc::clone(array))),
        Some(array) => {
            Err(ArrowError::ComputeError(format!("column {name} has {} rows, not {}", array.len(), batch.rows)))
        }
        None => Err(ArrowError::ComputeError(format!("column {name} is not in the batch"))),
    }
}

/// Both operands, at most one of them a scalar.
fn pair(left: &Node, right: &Node, batch: Batch<'_>) -> Result<(Value, Value), ArrowError> {
    let (left, right) = (eval(left, batch)?, eval(right, batch)?);
    if left.scalar && right.scalar { Ok((left.expand(batch.rows)?, right)) } else { Ok((left, right)) }
}

/// A value with one entry per row, never a scalar.
fn eval_rows(node: &Node, batch: Batch<'_>) -> Result<Value, ArrowError> {
    eval(node, batch)?.expand(batch.rows)
}
