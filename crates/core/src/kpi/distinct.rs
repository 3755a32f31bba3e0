//! Exact distinct sets (N2): the value itself up to 15 bytes, its 128-bit hash with a fixed seed beyond.
//!
//! An element is 16 bytes. Its top byte is the value's length, or 255 for a hash (120 bits of XXH3-128). So sets of one
//! column merge, and don't depend on a process.

use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_128;

use super::codec::{CodecError, Reader, put_u32};
use super::column::TypedColumn;
use super::value::{Value, plain_nan};

/// Bytes that an element holds besides its top byte.
const INLINE: usize = 15;
/// The top byte of an element that is a hash.
const HASHED: u128 = 0xff << 120;
/// Elements up to which a sorted list is smaller and quicker than a table.
const SMALL: usize = 32;

/// A set of distinct values.
#[derive(Clone, Debug)]
pub enum Distinct {
    /// Ascending.
    Small(Vec<u128>),
    /// Any number.
    Large(HashSet<u128>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl PartialEq for Distinct {
    fn eq(&self, other: &Self) -> bool {
        self.sorted() == other.sorted()
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
        match other {
            Self::Small(elements) => elements.iter().for_each(|e| self.insert(*e)),
            Self::Large(elements) => {
                self.enlarge();
                if let Self::Large(table) = self {
                    table.extend(elements);
                }
            }
        }
    }

    /// The number of distinct values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Small(elements) => elements.len(),
            Self::Large(elements) => elements.len(),
        }
    }

    /// Whether no value was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Estimated memory beyond the struct itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Small(elements) => elements.capacity() * size_of::<u128>(),
            Self::Large(elements) => elements.capacity() * (size_of::<u128>() + 1),
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, u32::try_from(self.len()).unwrap_or(u32::MAX));
        for element in self.sorted() {
            out.extend_from_slice(&element.to_le_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        let elements = (0..len).map(|_| reader.u128());
        if len <= SMALL {
            return Ok(Self::Small(elements.collect::<Result<_, _>>()?));
        }
        Ok(Self::Large(elements.collect::<Result<_, _>>()?))
    }

    fn insert(&mut self, element: u128) {
        if let Self::Small(elements) = self {
            let Err(at) = elements.binary_search(&element) else { return };
            if elements.len() < SMALL {
                return elements.insert(at, element);
            }
            self.enlarge();
        }
        if let Self::Large(elements) = self {
            elements.insert(element);
        }
    }

    /// Turns a sorted list into a table.
    fn enlarge(&mut self) {
        if let Self::Small(elements) = self {
            *self = Self::Large(std::mem::take(elements).into_iter().collect());
        }
    }

    fn sorted(&self) -> Vec<u128> {
        match self {
            Self::Small(elements) => elements.clone(),
            Self::Large(elements) => {
                let mut sorted: Vec<_> = elements.iter().copied().collect();
                sorted.sort_unstable();
                sorted
            }
        }
    }
}

/// The element that stands for the row's value.
fn element_of(column: &TypedColumn<'_>, row: usize) -> Option<u128> {
    if let Some(text) = column.text(row) {
        return Some(element(text.as_bytes()));
    }
    Some(match column.value(row)? {
        Value::Bool(b) => element(&[u8::from(b)]),
        Value::Int(n) => element(&n.to_le_bytes()),
        Value::Float(x) => element(&if x == 0.0 { 0.0 } else { plain_nan(x) }.to_le_bytes()),
        Value::Decimal(n) => match i64::try_from(n) {
            Ok(n) => element(&n.to_le_bytes()),
            Err(_) => element(&n.to_le_bytes()),
        },
        Value::Text(text) => element(text.as_bytes()),
    })
}

fn element(bytes: &[u8]) -> u128 {
    if bytes.len() > INLINE {
        return xxh3_128(bytes) | HASHED;
    }
    let mut element = [0; 16];
    for (to, from) in element.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_le_bytes(element) | u128::try_from(bytes.len()).unwrap_or(0) << 120
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

    proptest! {
        #[test]
        fn sets_merge_in_any_order_and_survive_their_encoding(
            a in prop::collection::vec("[a-c]{0,18}", 0..60), b in prop::collection::vec("[a-c]{0,18}", 0..60),
        ) {
            let all = texts(&[a.clone(), b.clone()].concat());
            let (mut left, mut right) = (texts(&a), texts(&b));
            left.merge(&texts(&b));
            right.merge(&texts(&a));
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(&left, &all);
            let expected: std::collections::BTreeSet<_> = a.iter().chain(&b).collect();
            prop_assert_eq!(all.len(), expected.len());
            let mut bytes = Vec::new();
            all.encode(&mut bytes);
            prop_assert_eq!(Distinct::decode(&mut Reader::new(&bytes)), Ok(all));
        }
    }
}
