//! Expressions, evaluated one row at a time by walking the typed tree.
//!
//! Only what the row needs is evaluated: not the right of an AND that is FALSE, not a branch that is not taken. A row
//! for which there is no value fails. The tree's constants were folded when the pipeline was loaded.

mod arithmetic;
mod cast;
mod compare;
mod text;
mod time;

use lakeward_core::expr::tree::{Comparison, Function, Kind, Node};
use lakeward_core::types::DataType;

use crate::cell::{Cell, Column};

/// A row for which an expression has no value: an overflow, a division by zero, a text that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// The value of `node` for a row with the scope's columns.
pub fn eval(node: &Node, row: &[Cell]) -> Result<Cell, Failed> {
    match &node.kind {
        Kind::Column { index, .. } => row.get(*index).cloned().ok_or(Failed),
        Kind::Literal(array) => Column::new(array).map(|column| column.cell(0)).ok_or(Failed),
        Kind::Untyped(text) => Ok(text.as_deref().map_or(Cell::Null, |text| Cell::Text(text.to_owned()))),
        Kind::Arithmetic { op, left, right } => {
            let (a, b) = (eval(left, row)?, eval(right, row)?);
            arithmetic::binary(*op, (left.ty, a), (right.ty, b), node.ty)
        }
        Kind::Quotient { left, right, .. } => {
            let (a, b) = (eval(left, row)?, eval(right, row)?);
            arithmetic::quotient((left.ty, a), (right.ty, b), node.ty)
        }
        Kind::Negate(arg) => arithmetic::negate(eval(arg, row)?, node.ty),
        Kind::Compare { op, left, right } => {
            let (a, b) = (eval(left, row)?, eval(right, row)?);
            Ok(compare::compare(*op, (left.ty, &a), (right.ty, &b)))
        }
        Kind::And(left, right) => junction(left, right, row, false),
        Kind::Or(left, right) => junction(left, right, row, true),
        Kind::Not(arg) => Ok(match eval(arg, row)? {
            Cell::Bool(b) => Cell::Bool(!b),
            _ => Cell::Null,
        }),
        Kind::IsNull(arg) => Ok(Cell::Bool(eval(arg, row)?.is_null())),
        Kind::IsBool(arg, wanted) => Ok(Cell::Bool(eval(arg, row)? == Cell::Bool(*wanted))),
        Kind::In { arg, list } => is_in(arg, list, row),
        Kind::Case { branches, otherwise } => {
            for (when, then) in branches {
                if eval(when, row)? == Cell::Bool(true) {
                    return eval(then, row);
                }
            }
            eval(otherwise, row)
        }
        Kind::Coalesce(args) => coalesce(args, row),
        Kind::Cast(arg) => cast::cast(eval(arg, row)?, arg.ty, node.ty),
        Kind::Like { arg, pattern, any_case } => Ok(match (eval(arg, row)?, eval(pattern, row)?) {
            (Cell::Text(text), Cell::Text(pattern)) => Cell::Bool(text::like(&text, &pattern, *any_case)),
            _ => Cell::Null,
        }),
        Kind::Concat { args, skip_null } => concat(args, *skip_null, row),
        Kind::Shift { arg, by } => time::shift(&eval(arg, row)?, *by),
        Kind::Call { function, args } => call(function, args, node.ty, row),
    }
}

/// AND or OR; `deciding` is the value that settles it.
fn junction(left: &Node, right: &Node, row: &[Cell], deciding: bool) -> Result<Cell, Failed> {
    let decides = Cell::Bool(deciding);
    let a = eval(left, row)?;
    if a == decides {
        return Ok(a);
    }
    let b = eval(right, row)?;
    Ok(if b == decides {
        b
    } else if a.is_null() || b.is_null() {
        Cell::Null
    } else {
        Cell::Bool(!deciding)
    })
}

fn is_in(arg: &Node, list: &[Node], row: &[Cell]) -> Result<Cell, Failed> {
    let value = eval(arg, row)?;
    let mut unknown = false;
    for item in list {
        let other = eval(item, row)?;
        match compare::compare(Comparison::Equal, (arg.ty, &value), (item.ty, &other)) {
            Cell::Bool(true) => return Ok(Cell::Bool(true)),
            Cell::Null => unknown = true,
            _ => {}
        }
    }
    Ok(if unknown { Cell::Null } else { Cell::Bool(false) })
}

fn coalesce(args: &[Node], row: &[Cell]) -> Result<Cell, Failed> {
    for arg in args {
        let value = eval(arg, row)?;
        if !value.is_null() {
            return Ok(value);
        }
    }
    Ok(Cell::Null)
}

fn concat(args: &[Node], skip_null: bool, row: &[Cell]) -> Result<Cell, Failed> {
    let mut joined = String::new();
    let mut null = false;
    for arg in args {
        match eval(arg, row)? {
            Cell::Text(text) => joined.push_str(&text),
            _ => null = true,
        }
    }
    Ok(if null && !skip_null { Cell::Null } else { Cell::Text(joined) })
}

fn call(function: &Function, args: &[Node], ty: DataType, row: &[Cell]) -> Result<Cell, Failed> {
    let from = args.first().map_or(ty, |arg| arg.ty);
    let values = args.iter().map(|arg| eval(arg, row)).collect::<Result<Vec<_>, _>>()?;
    if values.iter().any(Cell::is_null) {
        return Ok(Cell::Null);
    }
    let Some((first, rest)) = values.split_first() else { return Err(Failed) };
    match function {
        Function::Extract(field) => time::extract(first, from, *field),
        Function::DateTrunc(field) => time::trunc(first, *field),
        Function::ToChar(pieces) => time::to_char(first, from, pieces),
        Function::Lower => text::map(first, str::to_lowercase),
        Function::Upper => text::map(first, str::to_uppercase),
        Function::Trim(side) => text::trim(first, rest.first(), *side),
        Function::Substring => text::substring(first, rest),
        Function::Length => text::length(first),
        Function::Round(places) => arithmetic::round(first, from, ty, *places),
        Function::Floor => arithmetic::whole(first, from, f64::floor, false),
        Function::Ceil => arithmetic::whole(first, from, f64::ceil, true),
        Function::Abs => arithmetic::abs(first, ty),
    }
}

#[cfg(test)]
mod tests;
