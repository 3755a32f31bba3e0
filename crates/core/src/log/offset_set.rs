//! A set of offsets of one partition, as ranges: what a replay took out of Quarantine.

use serde::{Deserialize, Serialize};

use crate::ids::OffsetRange;

/// Offsets, each once, as the fewest ranges that hold them, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(i64, i64)>", into = "Vec<(i64, i64)>")]
pub struct OffsetSet(Vec<OffsetRange>);

impl OffsetSet {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|range| range.to.abs_diff(range.from)).sum()
    }

    /// The ranges, the lowest first.
    #[must_use]
    pub fn ranges(&self) -> &[OffsetRange] {
        &self.0
    }

    /// Every offset, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.0.iter().flat_map(|range| range.from..range.to)
    }

    /// Whether the offset is one of them.
    #[must_use]
    pub fn contains(&self, offset: i64) -> bool {
        let behind = self.0.partition_point(|range| range.from <= offset);
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| offset < range.to)
    }

    /// Whether some offset is in both.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        let meets = |range: &OffsetRange| {
            let behind = self.0.partition_point(|own| own.from < range.to);
            behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|own| own.to > range.from)
        };
        other.0.iter().any(meets)
    }

    /// Takes the offsets of another set in too.
    pub fn extend(&mut self, other: &Self) {
        let mut ranges = std::mem::take(&mut self.0);
        ranges.extend_from_slice(&other.0);
        ranges.sort_by_key(|range| range.from);
        for range in ranges {
            match self.0.last_mut().filter(|last| last.to >= range.from) {
                Some(last) => last.to = last.to.max(range.to),
                None => self.0.push(range),
            }
        }
    }
}

impl FromIterator<i64> for OffsetSet {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Self {
        let mut single = Self(offsets.into_iter().map(|offset| OffsetRange { from: offset, to: offset + 1 }).collect());
        single.extend(&Self::default());
        single
    }
}

impl From<OffsetSet> for Vec<(i64, i64)> {
    fn from(set: OffsetSet) -> Self {
        set.0.into_iter().map(|range| (range.from, range.to)).collect()
    }
}

impl TryFrom<Vec<(i64, i64)>> for OffsetSet {
    type Error = &'static str;

    /// Refuses ranges that are empty, touch or are out of order: each set has one form.
    fn try_from(pairs: Vec<(i64, i64)>) -> Result<Self, Self::Error> {
        let in_order = pairs.windows(2).all(|two| matches!(two, [a, b] if a.1 < b.0));
        if !in_order || pairs.iter().any(|(from, to)| from >= to) {
            return Err("a set of offsets whose ranges are empty, touch or are out of order");
        }
        Ok(Self(pairs.into_iter().map(|(from, to)| OffsetRange { from, to }).collect()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn its_json_is_its_ranges_in_one_form_only() {
        let set: OffsetSet = [7, 3, 4, 4].into_iter().collect();
        assert_eq!(serde_json::to_string(&set).unwrap(), "[[3,5],[7,8]]");
        assert_eq!(serde_json::from_str::<OffsetSet>("[[3,5],[7,8]]").unwrap(), set);
        for wrong in ["[[3,3]]", "[[5,3]]", "[[3,5],[5,8]]", "[[7,8],[3,5]]", "[[3,5],[4,8]]"] {
            assert!(serde_json::from_str::<OffsetSet>(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set(a in prop::collection::vec(0..40_i64, 0..20), b in prop::collection::vec(0..40_i64, 0..20)) {
            let (plain_a, plain_b): (BTreeSet<i64>, BTreeSet<i64>) = (a.iter().copied().collect(), b.iter().copied().collect());
            let (mut set, other): (OffsetSet, OffsetSet) = (a.into_iter().collect(), b.into_iter().collect());
            prop_assert_eq!(set.intersects(&other), !plain_a.is_disjoint(&plain_b));
            for offset in -1..41 {
                prop_assert_eq!(set.contains(offset), plain_a.contains(&offset));
            }
            set.extend(&other);
            let both: Vec<i64> = plain_a.union(&plain_b).copied().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), both.clone());
            prop_assert_eq!((set.len(), set.is_empty()), (both.len() as u64, both.is_empty()));
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<OffsetSet>(&json).unwrap(), set);
        }
    }
}
