//! Whether a mart column made from a window's start tells windows apart, as a part of a primary key must.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, TimestampMicrosecondArray};

use crate::expr::Expr;
use crate::pipeline::Window;
use crate::types::DataType;

/// Windows that are tried, one after the other.
const TRIED: i64 = 1_000;
/// 2023-12-25T00:00:00Z: the tried windows cross the end of a year and a leap day.
const FROM: i64 = 1_703_462_400_000_000;

/// Whether `expr`, over a scope that begins with the window's start, is a date or timestamp that differs between
/// windows. It is tried on windows that follow each other; dates and timestamps don't come round again.
pub(super) fn tells_windows_apart(expr: &Expr, window: Window) -> bool {
    if expr.columns() != [0] || !matches!(expr.ty(), DataType::Date | DataType::Timestamp) {
        return false;
    }
    let Window::Tumbling { size } = window;
    let first = FROM.div_euclid(size);
    let starts: Option<Vec<i64>> = (0..TRIED).map(|k| first.checked_add(k)?.checked_mul(size)).collect();
    let Some(starts) = starts else { return false };
    let rows = starts.len();
    let starts: ArrayRef = Arc::new(TimestampMicrosecondArray::from(starts).with_timezone("UTC"));
    let evaluated = expr.evaluate(&[starts], rows);
    if !evaluated.failures.is_empty() || evaluated.values.null_count() > 0 {
        return false;
    }
    let values = evaluated.values.to_data();
    let distinct: HashSet<Vec<u8>> = (0..rows).map(|row| bytes_of(&values, row)).collect();
    distinct.len() == rows
}

/// The bytes of a fixed-width value.
fn bytes_of(values: &arrow::array::ArrayData, row: usize) -> Vec<u8> {
    let width = values.data_type().primitive_width().unwrap_or(0);
    let start = (values.offset() + row) * width;
    let buffer = values.buffers().first().map(|buffer| buffer.as_slice()).unwrap_or_default();
    buffer.get(start..start + width).unwrap_or_default().to_vec()
}
