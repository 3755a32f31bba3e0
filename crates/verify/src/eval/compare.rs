//! Comparison, as Postgres': one zero and one NaN above all floats, texts by bytes, decimals of any scales exactly.

use std::cmp::Ordering;

use lakeward_core::expr::tree::Comparison;
use lakeward_core::types::DataType;

use crate::cell::{Cell, scale_of};
use crate::number::widened;

/// `left op right`; NULL where an operand is, but for (NOT) DISTINCT.
pub fn compare(op: Comparison, left: (DataType, &Cell), right: (DataType, &Cell)) -> Cell {
    let nulls = (left.1.is_null(), right.1.is_null());
    match (op, nulls) {
        (Comparison::Distinct, (true, _) | (_, true)) => return Cell::Bool(nulls.0 != nulls.1),
        (Comparison::NotDistinct, (true, _) | (_, true)) => return Cell::Bool(nulls.0 == nulls.1),
        (_, (true, _) | (_, true)) => return Cell::Null,
        _ => {}
    }
    let order = order(left, right);
    Cell::Bool(match op {
        Comparison::Equal | Comparison::NotDistinct => order.is_eq(),
        Comparison::NotEqual | Comparison::Distinct => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

fn order(left: (DataType, &Cell), right: (DataType, &Cell)) -> Ordering {
    match (left.1, right.1) {
        (Cell::Float(a), Cell::Float(b)) => Cell::Float(a + 0.0).order(&Cell::Float(b + 0.0)),
        (Cell::Decimal(a), Cell::Decimal(b)) => {
            let (a_scale, b_scale) = (i32::from(scale_of(left.0)), i32::from(scale_of(right.0)));
            let grow = |by: i32| u32::try_from(by).unwrap_or(0);
            widened(*a, grow(b_scale - a_scale)).cmp(&widened(*b, grow(a_scale - b_scale)))
        }
        (a, b) => a.order(b),
    }
}
