//! Hive leaves: `column=value/column=value`, escaped and read back as Hive and Spark do.
//!
//! Promises: different values give different folders, and none leaves its layer's folder; what is written reads back
//! as the same value. One exception is Hive's own: NULL and the empty string share `__HIVE_DEFAULT_PARTITION__`, which
//! reads back as NULL where the column may be NULL, else as the empty string.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, StringArray, new_null_array},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{DataType, Field, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
};
use chrono::{DateTime, Timelike};
use lakeward_core::hive::{MAX_NAME_BYTES, is_special, names_a_folder};
use thiserror::Error;

pub use lakeward_core::hive::MAX_VALUE_BYTES;

/// The folder of NULL.
pub const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// Why a value cannot name a folder, or a folder gives no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeafError {
    /// The value is too long for the name of a folder.
    #[error(
        "column `{column}` partitions the layer, but a value of it has {bytes} bytes (at most {MAX_VALUE_BYTES}, and \
         {MAX_NAME_BYTES} with its name once escaped); partition by something shorter"
    )]
    TooLong {
        /// The partition column.
        column: String,
        /// Length of the value.
        bytes: usize,
    },
    /// More leaves than the cap.
    #[error(
        "the layer would have more than {cap} leaves open in one epoch; column `{column}` alone has {distinct} values: \
         partition by something coarser"
    )]
    TooMany {
        /// The partition column with the most values.
        column: String,
        /// How many it has.
        distinct: usize,
        /// The cap.
        cap: usize,
    },
    /// The folder's name does not fit the partition columns.
    #[error("`{leaf}` is not a leaf of column `{column}`: {detail}")]
    Unreadable {
        /// The leaf.
        leaf: String,
        /// The column that was looked for.
        column: String,
        /// What is wrong.
        detail: String,
    },
    /// A kernel refused a column: a bug.
    #[error("column `{column}` cannot be turned into folder names: {detail}")]
    Kernel {
        /// The column.
        column: String,
        /// What Arrow said.
        detail: String,
    },
}

/// The values of a partition column as Hive spells them, before escaping.
pub(super) fn value_texts(field: &Field, column: &ArrayRef) -> Result<StringArray, LeafError> {
    let kernel = |e: ArrowError| LeafError::Kernel { column: field.name().clone(), detail: e.to_string() };
    if let DataType::Timestamp(TimeUnit::Microsecond, _) = field.data_type() {
        return Ok(column.as_primitive::<TimestampMicrosecondType>().iter().map(|v| v.and_then(timestamp)).collect());
    }
    Ok(cast(column, &DataType::Utf8).map_err(kernel)?.as_string::<i32>().clone())
}

/// Appends `column=value` to a leaf.
pub(super) fn push(leaf: &mut String, column: &str, value: Option<&str>) -> Result<(), LeafError> {
    if !leaf.is_empty() {
        leaf.push('/');
    }
    escape(leaf, column);
    leaf.push('=');
    match value {
        None | Some("") => leaf.push_str(NULL_VALUE),
        Some(value) => {
            escape(leaf, value);
            if !names_a_folder(column, value) {
                return Err(LeafError::TooLong { column: column.to_owned(), bytes: value.len() });
            }
        }
    }
    Ok(())
}

/// The value of each of `columns` in `leaf`, as arrays of one row each, in the order of `columns`.
pub fn read_leaf_values(leaf: &str, columns: &[&Field]) -> Result<Vec<ArrayRef>, LeafError> {
    let parts: Vec<&str> = if leaf.is_empty() { Vec::new() } else { leaf.split('/').collect() };
    let unreadable = |column: &Field, detail: String| LeafError::Unreadable {
        leaf: leaf.to_owned(),
        column: column.name().clone(),
        detail,
    };
    if parts.len() > columns.len() {
        let last = columns.last().map_or_else(|| Field::new("none", DataType::Null, true), |f| (*f).clone());
        return Err(unreadable(&last, format!("{} folders for {} columns", parts.len(), columns.len())));
    }
    let mut values = Vec::with_capacity(columns.len());
    for (i, column) in columns.iter().enumerate() {
        let part = parts.get(i).ok_or_else(|| unreadable(column, "a folder is missing".into()))?;
        let (name, value) = part.split_once('=').ok_or_else(|| unreadable(column, "no `=`".into()))?;
        if unescape(name).as_deref() != Some(column.name()) {
            return Err(unreadable(column, format!("the folder is of `{name}`")));
        }
        let value = unescape(value).ok_or_else(|| unreadable(column, "not UTF-8 once unescaped".into()))?;
        values.push(one_value(column, &value).map_err(|e| unreadable(column, e.to_string()))?);
    }
    Ok(values)
}

fn one_value(column: &Field, text: &str) -> Result<ArrayRef, ArrowError> {
    if text == NULL_VALUE && (column.is_nullable() || column.data_type() != &DataType::Utf8) {
        return Ok(new_null_array(column.data_type(), 1));
    }
    let text = if text == NULL_VALUE { "" } else { text };
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    // Arrow reads text into a named zone only with a zone database; without a zone, text means UTC, as ours does.
    let plain = match column.data_type() {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
        other => other.clone(),
    };
    let value = cast_with_options(&StringArray::from(vec![text]), &plain, &strict)?;
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let utc = value.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(utc.with_timezone(Arc::clone(zone))))
        }
        _ => Ok(value),
    }
}

/// `2024-01-31 10:00:00.25`, as Spark names it: UTC, no trailing zeros.
fn timestamp(micros: i64) -> Option<String> {
    let time = DateTime::from_timestamp_micros(micros)?;
    let text = time.format("%Y-%m-%d %H:%M:%S").to_string();
    let fraction = time.nanosecond() / 1000;
    if fraction == 0 {
        return Some(text);
    }
    Some(format!("{text}.{}", format!("{fraction:06}").trim_end_matches('0')))
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        if is_special(c) {
            // Special characters are ASCII; writing to a String cannot fail.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, BooleanArray, Date32Array, Decimal128Array, Int32Array, TimestampMicrosecondArray};

    use super::*;

    fn leaf_of(field: &Field, column: &ArrayRef) -> Result<String, LeafError> {
        let texts = value_texts(field, column)?;
        let mut leaf = String::new();
        push(&mut leaf, field.name(), texts.is_valid(0).then(|| texts.value(0)))?;
        Ok(leaf)
    }

    #[test]
    fn values_are_escaped_as_hive_does_and_read_back() {
        let field = Field::new("col", DataType::Utf8, true);
        for (value, expected) in [
            ("plain", "col=plain"),
            ("a/b", "col=a%2Fb"),
            ("a=b", "col=a%3Db"),
            ("100%", "col=100%25"),
            ("%2F", "col=%252F"),
            ("10:30", "col=10%3A30"),
            ("..", "col=.."),
            ("a\nb\tc", "col=a%0Ab%09c"),
            ("nul\0", "col=nul%00"),
            ("del\x7f", "col=del%7F"),
            ("\"'#*?\\{[]^", "col=%22%27%23%2A%3F%5C%7B%5B%5D%5E"),
            ("}<>|& +~", "col=}<>|& +~"),
            ("🦀 ünï", "col=🦀 ünï"),
            (" ", "col= "),
        ] {
            let column: ArrayRef = Arc::new(StringArray::from(vec![value]));
            let leaf = leaf_of(&field, &column).unwrap();
            assert_eq!(leaf, expected);
            assert_eq!(leaf.split('/').count(), 1, "never another folder");
            assert_eq!(read_leaf_values(&leaf, &[&field]).unwrap(), [column]);
        }
    }

    #[test]
    fn every_type_reads_back_as_it_was() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let cases: Vec<(DataType, ArrayRef, &str)> = vec![
            (DataType::Int32, Arc::new(Int32Array::from(vec![-7])), "c=-7"),
            (DataType::Boolean, Arc::new(BooleanArray::from(vec![true])), "c=true"),
            (DataType::Date32, Arc::new(Date32Array::from(vec![19_753])), "c=2024-01-31"),
            (
                DataType::Decimal128(10, 2),
                Arc::new(Decimal128Array::from(vec![-1230]).with_precision_and_scale(10, 2).unwrap()),
                "c=-12.30",
            ),
            (
                utc.clone(),
                Arc::new(TimestampMicrosecondArray::from(vec![1_706_695_200_250_000]).with_timezone("UTC")),
                "c=2024-01-31 10%3A00%3A00.25",
            ),
            (
                utc,
                Arc::new(TimestampMicrosecondArray::from(vec![1_706_695_200_000_000]).with_timezone("UTC")),
                "c=2024-01-31 10%3A00%3A00",
            ),
        ];
        for (ty, column, expected) in cases {
            let field = Field::new("c", ty, true);
            assert_eq!(leaf_of(&field, &column).unwrap(), expected);
            assert_eq!(read_leaf_values(expected, &[&field]).unwrap(), [column]);
            assert_eq!(leaf_of(&field, &new_null_array(field.data_type(), 1)).unwrap(), format!("c={NULL_VALUE}"));
            assert!(read_leaf_values(&format!("c={NULL_VALUE}"), &[&field]).unwrap()[0].is_null(0));
        }
    }

    #[test]
    fn the_empty_string_shares_the_folder_of_null() {
        for (nullable, is_null) in [(true, true), (false, false)] {
            let field = Field::new("c", DataType::Utf8, nullable);
            let leaf = leaf_of(&field, &(Arc::new(StringArray::from(vec![""])) as ArrayRef)).unwrap();
            assert_eq!(leaf, format!("c={NULL_VALUE}"));
            assert_eq!(read_leaf_values(&leaf, &[&field]).unwrap()[0].is_null(0), is_null);
        }
    }

    #[test]
    fn a_value_too_long_for_a_folder_names_its_column() {
        let field = Field::new("shop", DataType::Utf8, false);
        for (value, fits) in [
            ("x".repeat(200), true),
            ("x".repeat(201), false),
            ("ü".repeat(100), true),
            ("/".repeat(83), true),
            ("/".repeat(84), false),
        ] {
            let leaf = leaf_of(&field, &(Arc::new(StringArray::from(vec![value.as_str()])) as ArrayRef));
            assert_eq!(leaf.is_ok(), fits, "{value}");
            assert!(leaf.is_ok() || leaf.unwrap_err().to_string().contains("`shop`"));
        }
    }

    #[test]
    fn a_folder_that_is_not_of_the_columns_is_refused() {
        let (a, b) = (Field::new("a", DataType::Int32, false), Field::new("b", DataType::Int32, false));
        for bad in ["", "a=1", "b=1/a=2", "a=1/b=2/c=3", "a=1/b=x", "a/b=2", "a=1/b=%FF"] {
            assert!(read_leaf_values(bad, &[&a, &b]).is_err(), "{bad}");
        }
        assert!(read_leaf_values("a=1/b=2", &[&a, &b]).is_ok());
        assert!(read_leaf_values("", &[]).is_ok());
    }
}
