//! Functions on texts. Positions and lengths count characters, not bytes.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::builder::StringBuilder;
use arrow::array::types::{Int32Type, Int64Type};
use arrow::array::{Array, StringArray};
use arrow::compute::kernels::comparison;
use arrow::error::ArrowError;

use super::failures::{Cause, Failures};
use super::value::{self, Value};
use crate::expr::node::TrimSide;
use crate::types::DataType;

/// `op` over all texts that are not NULL.
pub(super) fn map(value: Value, op: impl Fn(&str) -> Cow<'_, str>) -> Result<Value, ArrowError> {
    let texts: StringArray = value.strings()?.iter().map(|text| text.map(&op)).collect();
    Ok(Value::rows(Arc::new(texts)).with(value.failures))
}

/// LIKE with `\` as escape.
pub(super) fn like(arg: Value, pattern: Value, any_case: bool) -> Result<Value, ArrowError> {
    let kernel = if any_case { comparison::ilike } else { comparison::like };
    let result = kernel(&arg, &pattern)?;
    Ok(Value::rows(Arc::new(result)).with(arg.failures.and(pattern.failures)))
}

/// Characters.
pub(super) fn length(value: Value) -> Result<Value, ArrowError> {
    let ty = DataType::Int32;
    value::from_text::<Int32Type>(&value, ty, |text| {
        i32::try_from(text.chars().count()).map_err(|_| Cause::OutOfRange(ty))
    })
}

/// Removes characters of a set, blanks if none is given, from the ends.
pub(super) fn trim(value: Value, rest: Vec<Value>, side: TrimSide) -> Result<Value, ArrowError> {
    let rows = value.array.len();
    let Some(set) = rest.into_iter().next() else {
        return map(value, |text| trimmed(text, " ", side).into());
    };
    let set = set.expand(rows)?;
    let pairs = value.strings()?.iter().zip(set.strings()?.iter());
    let texts: StringArray = pairs.map(|(text, set)| Some(trimmed(text?, set?, side))).collect();
    Ok(Value::rows(Arc::new(texts)).with(value.failures.and(set.failures)))
}

fn trimmed<'a>(text: &'a str, set: &str, side: TrimSide) -> &'a str {
    let of_set = |c: char| set.contains(c);
    match side {
        TrimSide::Both => text.trim_matches(of_set),
        TrimSide::Leading => text.trim_start_matches(of_set),
        TrimSide::Trailing => text.trim_end_matches(of_set),
    }
}

/// `substring(text from start for length)`, both int64, counted from 1; what lies outside the text is left out.
pub(super) fn substring(value: Value, rest: Vec<Value>, rows: usize) -> Result<Value, ArrowError> {
    let mut rest = rest.into_iter().map(|arg| arg.expand(rows));
    let start =
        rest.next().transpose()?.ok_or_else(|| ArrowError::ComputeError("substring without a start".to_owned()))?;
    let length = rest.next().transpose()?;
    let lengths = length.as_ref().map(|length| length.primitive::<Int64Type>()).transpose()?;
    let mut lengths = lengths.map(|lengths| lengths.iter());
    let mut failures = Failures::default();
    let mut out = StringBuilder::new();
    for (row, (text, start)) in value.strings()?.iter().zip(start.primitive::<Int64Type>()?.iter()).enumerate() {
        let length = lengths.as_mut().map(|lengths| lengths.next().flatten());
        let (Some(text), Some(start), false) = (text, start, length == Some(None)) else {
            out.append_null();
            continue;
        };
        match part(text, start, length.flatten()) {
            Some(part) => out.append_value(part),
            None => {
                failures.push(row, Cause::NegativeLength);
                out.append_null();
            }
        }
    }
    let before = value.failures.and(start.failures).and(length.map(|length| length.failures).unwrap_or_default());
    Ok(Value::rows(Arc::new(out.finish())).with(before.and(failures)))
}

fn part(text: &str, start: i64, length: Option<i64>) -> Option<&str> {
    let end = match length {
        Some(length) if length < 0 => return None,
        Some(length) => start.saturating_add(length),
        None => i64::MAX,
    };
    let byte = |position: i64| {
        let skipped = usize::try_from(position.saturating_sub(1)).unwrap_or(0);
        text.char_indices().nth(skipped).map_or(text.len(), |(byte, _)| byte)
    };
    Some(text.get(byte(start)..byte(end).max(byte(start))).unwrap_or_default())
}

/// All texts of a row joined.
pub(super) fn concat(args: Vec<Value>, skip_null: bool, rows: usize) -> Result<Value, ArrowError> {
    let args = args.into_iter().map(|arg| arg.expand(rows)).collect::<Result<Vec<_>, _>>()?;
    let mut columns = args.iter().map(|arg| arg.strings().map(StringArray::iter)).collect::<Result<Vec<_>, _>>()?;
    let mut out = StringBuilder::with_capacity(rows, rows * 16);
    let mut text = String::new();
    for _ in 0..rows {
        text.clear();
        let mut null = false;
        for column in &mut columns {
            match column.next().flatten() {
                Some(part) => text.push_str(part),
                None => null = true,
            }
        }
        out.append_option((!null || skip_null).then_some(text.as_str()));
    }
    drop(columns);
    let failures = args.into_iter().fold(Failures::default(), |all, arg| all.and(arg.failures));
    Ok(Value::rows(Arc::new(out.finish())).with(failures))
}
