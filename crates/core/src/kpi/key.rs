//! Keys of KPIs (N2, N3): per column, in the order declared, u32 little-endian length and the UTF-8 text as in Gold.

use arrow::array::ArrayRef;
use xxhash_rust::xxh3::xxh3_64;

use super::column::TypedColumn;
use super::value::Value;
use crate::types::DataType;

/// The largest key, in bytes of its encoding; a record with a larger one is quarantined (N3).
pub const MAX_KEY_BYTES: usize = 1024;

/// The encoded keys of a batch's rows, back to back.
#[derive(Clone, Debug, Default)]
pub struct RowKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RowKeys {
    /// Encodes the keys of `rows` rows; `null` is the text that stands for NULL.
    #[must_use]
    pub fn encode(columns: &[&ArrayRef], null: &str, rows: usize) -> Self {
        let typed: Vec<_> = columns.iter().map(|column| TypedColumn::new(column)).collect();
        let mut keys = Self { bytes: Vec::with_capacity(rows * 16 * typed.len()), ends: Vec::with_capacity(rows) };
        for row in 0..rows {
            for column in &typed {
                keys.push_text(column.as_ref(), row, null);
            }
            keys.ends.push(keys.bytes.len());
        }
        keys
    }

    /// The key of a row; empty beyond the batch.
    #[must_use]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(row).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }

    /// The rows whose key is above `MAX_KEY_BYTES`, ascending, with its size.
    pub fn too_large(&self) -> impl Iterator<Item = (usize, usize)> {
        let sizes = (0..self.ends.len()).map(|row| (row, self.get(row).len()));
        sizes.filter(|(_, size)| *size > MAX_KEY_BYTES)
    }

    fn push_text(&mut self, column: Option<&TypedColumn<'_>>, row: usize, null: &str) {
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH]);
        if !column.is_some_and(|column| column.write_text(row, &mut self.bytes)) {
            self.bytes.extend_from_slice(null.as_bytes());
        }
        let length = u32::try_from(self.bytes.len() - length_at - LENGTH).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(length_at..length_at + LENGTH) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Bytes of a text's length.
const LENGTH: usize = 4;

/// The key group of an encoded key: the top 8 bits of its XXH3-64 (seed 0).
#[must_use]
pub fn key_group(key: &[u8]) -> u8 {
    let [top, ..] = xxh3_64(key).to_be_bytes();
    top
}

/// The texts of an encoded key; `None` where the bytes are no key.
#[must_use]
pub fn key_texts(mut key: &[u8]) -> Option<Vec<&str>> {
    let mut texts = Vec::new();
    while !key.is_empty() {
        let (length, rest) = key.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        texts.push(std::str::from_utf8(text).ok()?);
        key = rest;
    }
    Some(texts)
}

/// Whether a text can stand in a key column of the type: what `null_key` has to meet.
#[must_use]
pub fn is_key_text(text: &str, ty: DataType) -> bool {
    Value::parse(text, ty).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn keys(texts: Vec<Option<&str>>) -> RowKeys {
        let rows = texts.len();
        let column: ArrayRef = Arc::new(StringArray::from(texts));
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter((0..).take(rows).map(|n| (n != 1).then_some(n))));
        RowKeys::encode(&[&column, &numbers], "none", rows)
    }

    #[test]
    fn a_key_is_its_texts_behind_their_lengths() {
        let keys = keys(vec![Some("é"), None]);
        assert_eq!(keys.get(0), b"\x02\0\0\0\xc3\xa9\x01\0\0\x000");
        assert_eq!(key_texts(keys.get(1)), Some(vec!["none", "none"]));
        assert_eq!(keys.get(2), b"");
        assert_eq!(key_texts(b"\x02\0\0\0a"), None);
        assert!(is_key_text("none", DataType::String) && !is_key_text("none", DataType::Int32));
    }

    #[test]
    fn the_key_group_is_the_top_byte_of_xxh3() {
        // XXH3-64 of no bytes is 2d06800538d394c2.
        assert_eq!(key_group(b""), 0x2d);
    }

    #[test]
    fn keys_above_a_kibibyte_are_found() {
        let (fits, large) = ("x".repeat(MAX_KEY_BYTES - 9), "x".repeat(MAX_KEY_BYTES - 8));
        assert_eq!(keys(vec![Some(&fits), None, Some(&large)]).too_large().collect::<Vec<_>>(), [(2, 1025)]);
    }

    proptest! {
        #[test]
        fn texts_read_back(texts in prop::collection::vec(".{0,20}", 1..10)) {
            let keys = keys(texts.iter().map(|text| Some(text.as_str())).collect());
            for (row, text) in texts.iter().enumerate() {
                let read = key_texts(keys.get(row)).unwrap_or_default();
                prop_assert_eq!(read.first(), Some(&text.as_str()));
            }
        }
    }
}
