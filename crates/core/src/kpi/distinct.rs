//! Exact distinct sets (N2): the value itself up to 15 bytes, its 128-bit hash with a fixed seed beyond.
//!
//! An element is 16 bytes. Its top byte is the value's length, or 255 for a hash (120 bits of XXH3-128); the value's last
//! byte is the lowest, so that values of a length are in their order. Sets of one column merge, and don't depend on a
//! process.
//!
//! Most elements lie in a sorted list, which takes little more memory than they do, is written and read as it is, and
//! merges with another in one pass. What is added one by one gathers in a table beside it, until it is worth a pass.

use std::borrow::Cow;

use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_128;

use super::codec::{CodecError, Reader};
use super::column::TypedColumn;
use super::packed::{pack, unpack};
use super::value::{Value, plain_nan};

/// Bytes that an element holds besides its top byte.
const INLINE: usize = 15;
/// The top byte of an element that is a hash.
const HASHED: u128 = 0xff << 120;
/// Elements up to which all of them lie in the list: nothing is quicker. The least that a table holds, too.
const SMALL: usize = 32;
/// A table may hold this part of the list's elements.
const PART: usize = 8;
/// A set of this part of another's elements, or more, is merged into it in one pass; of a smaller one each is looked for.
const PASS: usize = 64;

/// A set of distinct values.
#[derive(Clone, Debug, Default)]
pub struct Distinct {
    /// Ascending.
    sorted: Vec<u128>,
    /// Added since, and not in `sorted`; most sets have none.
    recent: Option<Box<HashSet<u128>>>,
}

impl PartialEq for Distinct {
    fn eq(&self, other: &Self) -> bool {
        self.ascending() == other.ascending()
    }
}

impl Distinct {
    /// Adds the row's value; NULL adds nothing.
    pub fn add(&mut self, column: &TypedColumn<'_>, row: usize) {
        if let Some(element) = element_of(column, row) {
            self.insert(element);
        }
    }

    /// Takes up another set's elements.
    pub fn merge(&mut self, other: &Self) {
        if other.len() < self.len() / PASS {
            other
                .sorted
                .iter()
                .chain(other.recent.iter().flat_map(|r| r.iter()))
                .for_each(|element| self.insert(*element));
        } else {
            self.settle();
            self.merge_sorted(&other.ascending());
        }
    }

    /// The number of distinct values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len() + self.recent.as_ref().map_or(0, |recent| recent.len())
    }

    /// Whether no value was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimated memory beyond the struct itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<u128>() + self.recent.as_ref().map_or(0, |recent| recent.allocation_size())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        pack(&self.ascending(), out);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { sorted: unpack(reader)?, recent: None })
    }

    fn insert(&mut self, element: u128) {
        let Err(at) = self.sorted.binary_search(&element) else { return };
        if self.sorted.len() < SMALL && self.recent.is_none() {
            return self.sorted.insert(at, element);
        }
        let most = SMALL.max(self.sorted.len() / PART);
        let recent = self.recent.get_or_insert_with(|| Box::new(HashSet::with_capacity(most)));
        recent.insert(element);
        if recent.len() == most {
            self.settle();
        }
    }

    /// Brings all elements into the list.
    pub(super) fn settle(&mut self) {
        let mut recent: Vec<_> = self.recent.take().into_iter().flat_map(|recent| *recent).collect();
        recent.sort_unstable();
        self.merge_sorted(&recent);
    }

    /// Takes up elements that ascend, while the table is empty.
    fn merge_sorted(&mut self, more: &[u128]) {
        let held = std::mem::take(&mut self.sorted);
        self.sorted = union(held, more);
    }

    fn ascending(&self) -> Cow<'_, [u128]> {
        if self.recent.is_none() {
            return Cow::Borrowed(&self.sorted);
        }
        let mut all = self.clone();
        all.settle();
        Cow::Owned(all.sorted)
    }
}

/// All elements of two lists that ascend, each once.
fn union(held: Vec<u128>, more: &[u128]) -> Vec<u128> {
    if more.is_empty() {
        return held;
    }
    let mut all = Vec::with_capacity(held.len() + more.len());
    let (mut left, mut right) = (&*held, more);
    while let ([a, after_a @ ..], [b, after_b @ ..]) = (left, right) {
        all.push(*a.min(b));
        if a <= b {
            left = after_a;
        }
        if b <= a {
            right = after_b;
        }
    }
    all.extend_from_slice(left);
    all.extend_from_slice(right);
    if all.len() < all.capacity() - all.capacity() / PART {
        all.shrink_to_fit();
    }
    all
}

/// The element that stands for the row's value.
fn element_of(column: &TypedColumn<'_>, row: usize) -> Option<u128> {
    if let Some(text) = column.text(row) {
        return Some(element(text.as_bytes()));
    }
    Some(match column.value(row)? {
        Value::Bool(b) => element(&[u8::from(b)]),
        Value::Int(n) => element(&n.to_be_bytes()),
        Value::Float(x) => element(&if x == 0.0 { 0.0 } else { plain_nan(x) }.to_be_bytes()),
        Value::Decimal(n) => match i64::try_from(n) {
            Ok(n) => element(&n.to_be_bytes()),
            Err(_) => element(&n.to_be_bytes()),
        },
        Value::Text(text) => element(text.as_bytes()),
    })
}

pub(super) fn element(bytes: &[u8]) -> u128 {
    if bytes.len() > INLINE {
        return xxh3_128(bytes) | HASHED;
    }
    let value = bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
    value | u128::try_from(bytes.len()).unwrap_or(0) << 120
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn of(column: ArrayRef) -> Distinct {
        let mut set = Distinct::default();
        for row in 0..column.len() {
            if let Some(column) = TypedColumn::new(&column) {
                set.add(&column, row);
            }
        }
        set
    }

    fn texts(values: &[String]) -> Distinct {
        of(Arc::new(StringArray::from_iter_values(values)))
    }

    #[test]
    fn values_count_once_and_null_not_at_all() {
        let long = "a text of more than fifteen bytes";
        let texts = StringArray::from(vec![Some("a"), Some("a\0"), Some("a"), None, Some(""), Some(long), Some(long)]);
        assert_eq!(of(Arc::new(texts)).len(), 4);
        assert_eq!(of(Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]))).len(), 2);
        assert_eq!(of(Arc::new(Decimal128Array::from(vec![1, i128::MAX, 1, i128::MAX]))).len(), 2);
    }

    fn decoded(bytes: &[u8]) -> Result<Distinct, CodecError> {
        Distinct::decode(&mut Reader::new(bytes))
    }

    fn encoded(set: &Distinct) -> Vec<u8> {
        let mut bytes = Vec::new();
        set.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_large_set_takes_little_more_memory_than_its_elements() {
        let set = texts(&(0..100_000).map(|n: u32| n.wrapping_mul(2_654_435_761).to_string()).collect::<Vec<_>>());
        assert_eq!(set.len(), 100_000);
        assert!(set.bytes() < 100_000 * 24, "{} bytes", set.bytes());
    }

    /// Texts of up to 18 bytes, many of them equal.
    fn some(most: usize) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop_oneof!["[a-c]{0,18}", "[0-9]{3}"], 0..most)
    }

    proptest! {
        #[test]
        fn sets_merge_in_any_order_and_survive_their_encoding(
            a in prop_oneof![some(60), some(1200)], b in prop_oneof![some(60), some(1200)],
        ) {
            let all = texts(&[a.clone(), b.clone()].concat());
            let (mut left, mut right) = (texts(&a), texts(&b));
            left.merge(&texts(&b));
            right.merge(&texts(&a));
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(&left, &all);
            let expected: std::collections::BTreeSet<_> = a.iter().chain(&b).collect();
            prop_assert_eq!(all.len(), expected.len());
            prop_assert_eq!(encoded(&left), encoded(&right));
            prop_assert_eq!(decoded(&encoded(&all)), Ok(all));
        }
    }
}
