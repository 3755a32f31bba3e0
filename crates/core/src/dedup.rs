//! Removal of repeated keys, per source partition (T6).
//!
//! The rule is a function of the partition's records and floors alone. With `h` = the watermark before the record less
//! `within`: a row older than `h` cannot be judged, it passes and is not remembered; any other row is a duplicate when
//! an earlier kept row of the same key, not older than `h`, lies at most `within` away. As `h` never goes back, dropping
//! remembered rows older than `h` changes no decision: when that happens is a matter of memory only.

use arrow::array::ArrayRef;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::ids::EventTime;
use crate::kpi::TypedColumn;

/// A kept row that dedup remembers, as state objects carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupItem {
    /// Source partition.
    pub partition: i32,
    /// Event time of the row.
    pub time: EventTime,
    /// Hash of its key.
    pub hash: u128,
}

/// What dedup says of a row.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first of its key; remembered.
    First,
    /// An earlier row had the same key.
    Duplicate,
    /// Too old to be judged: passes, not remembered.
    Unjudged,
}

/// The remembered rows of one partition.
#[derive(Clone, Debug)]
pub struct Dedup {
    partition: i32,
    within: i64,
    kept: HashMap<u128, Times>,
    remembered: usize,
    sweep_at: usize,
    added: Vec<DedupItem>,
}

/// Event times of kept rows of one key; nearly always one.
#[derive(Clone, Debug)]
enum Times {
    One(EventTime),
    Many(Vec<EventTime>),
}

/// Fewer remembered rows than this are never swept.
const MIN_SWEEP: usize = 4096;

impl Dedup {
    /// Nothing remembered. `within` in microseconds.
    #[must_use]
    pub fn new(partition: i32, within: i64) -> Self {
        Self { partition, within, kept: HashMap::new(), remembered: 0, sweep_at: MIN_SWEEP, added: Vec::new() }
    }

    /// Takes up rows that the log's state remembers; they are not handed over again.
    pub fn restore(&mut self, items: impl IntoIterator<Item = DedupItem>) {
        for item in items {
            self.remember(item.hash, item.time);
        }
    }

    /// Judges the next row of the partition; `watermark` is the partition's before the row.
    pub fn judge(&mut self, hash: u128, time: EventTime, watermark: EventTime) -> Verdict {
        let horizon = watermark.minus(self.within);
        if time < horizon {
            return Verdict::Unjudged;
        }
        let near = |kept: EventTime| kept >= horizon && kept.0.abs_diff(time.0) <= self.within.unsigned_abs();
        if self.kept.get(&hash).is_some_and(|times| times.as_slice().iter().any(|kept| near(*kept))) {
            return Verdict::Duplicate;
        }
        self.remember(hash, time);
        self.added.push(DedupItem { partition: self.partition, time, hash });
        if self.remembered >= self.sweep_at {
            self.forget_before(horizon);
        }
        Verdict::First
    }

    /// What was remembered since the last call: the partition's part of an epoch's state.
    pub fn taken(&mut self) -> Vec<DedupItem> {
        std::mem::take(&mut self.added)
    }

    /// Drops what is older than `horizon`, which must not lie above the watermark less `within`.
    pub fn forget_before(&mut self, horizon: EventTime) {
        let mut remembered = 0;
        self.kept.retain(|_, times| {
            let left = times.keep_from(horizon);
            remembered += left;
            left > 0
        });
        self.remembered = remembered;
        self.sweep_at = remembered.saturating_mul(2).max(MIN_SWEEP);
    }

    /// Estimated memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let entry = size_of::<(u128, Times)>() + 1;
        self.kept.capacity() * entry + self.added.capacity() * size_of::<DedupItem>()
    }

    fn remember(&mut self, hash: u128, time: EventTime) {
        self.remembered += 1;
        self.kept.entry(hash).and_modify(|times| times.push(time)).or_insert(Times::One(time));
    }
}

impl Times {
    fn as_slice(&self) -> &[EventTime] {
        match self {
            Self::One(time) => std::slice::from_ref(time),
            Self::Many(times) => times,
        }
    }

    fn push(&mut self, time: EventTime) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, time]),
            Self::Many(times) => times.push(time),
        }
    }

    fn keep_from(&mut self, horizon: EventTime) -> usize {
        match self {
            Self::One(time) => usize::from(*time >= horizon),
            Self::Many(times) => {
                times.retain(|time| *time >= horizon);
                times.len()
            }
        }
    }
}

/// The hashes of `rows` rows' keys: XXH3-128 over the columns' canonical texts, each behind its length. NULL is a value
/// of its own, equal to NULL. A column of a type that no pipeline has counts as NULL.
#[must_use]
pub fn key_hashes(columns: &[&ArrayRef], rows: usize) -> Vec<u128> {
    let typed: Vec<_> = columns.iter().map(|column| TypedColumn::new(column)).collect();
    let mut text = Vec::new();
    let mut scratch = Vec::new();
    let hash_of = |row| {
        text.clear();
        for column in &typed {
            scratch.clear();
            let length = match column.as_ref().is_some_and(|column| column.write_text(row, &mut scratch)) {
                true => u32::try_from(scratch.len()).unwrap_or(u32::MAX - 1),
                false => u32::MAX,
            };
            text.extend_from_slice(&length.to_le_bytes());
            text.extend_from_slice(&scratch);
        }
        xxh3_128(&text)
    };
    (0..rows).map(hash_of).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    use super::Verdict::{Duplicate, First, Unjudged};
    use super::*;

    fn t(micros: i64) -> EventTime {
        EventTime(micros)
    }

    #[test]
    fn rows_are_judged_by_distance_and_horizon() {
        let mut dedup = Dedup::new(0, 10);
        for (hash, time, watermark, expected) in [
            (1, 100, i64::MIN, First),
            (1, 110, 90, Duplicate),
            (1, 90, 90, Duplicate),
            (1, 111, 90, First),
            (2, 79, 90, Unjudged),
            (2, 80, 90, First),
            (1, 105, 111, Duplicate),
            (1, 100, 111, Unjudged),
        ] {
            assert_eq!(dedup.judge(hash, t(time), t(watermark)), expected, "{hash} at {time}, watermark {watermark}");
        }
        assert_eq!(dedup.taken().len(), 3);
        assert!(dedup.taken().is_empty());
    }

    #[test]
    fn a_kept_row_below_the_horizon_makes_no_duplicate() {
        let mut dedup = Dedup::new(0, 10);
        assert_eq!(dedup.judge(1, t(100), t(0)), First);
        assert_eq!(dedup.judge(1, t(101), t(111)), First);
    }

    #[test]
    fn keys_differ_by_where_texts_end_and_by_null() {
        let a: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some("a"), None, Some(""), Some("ab")]));
        let b: ArrayRef = Arc::new(StringArray::from(vec!["c", "bc", "c", "c", "c"]));
        let hashes = key_hashes(&[&a, &b], 5);
        assert_eq!(hashes.first(), hashes.last());
        let mut distinct = hashes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 4);
        let number: ArrayRef = Arc::new(Int64Array::from(vec![12]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["12"]));
        assert_eq!(key_hashes(&[&number], 1), key_hashes(&[&text], 1));
    }

    /// The rule, word for word, without forgetting anything.
    fn recompute(rows: &[(u8, i64, i64)], within: i64) -> Vec<Verdict> {
        let mut kept: Vec<(u8, i64)> = Vec::new();
        let mut verdicts = Vec::new();
        let mut watermark = i64::MIN;
        for &(key, time, step) in rows {
            watermark = watermark.max(time.saturating_sub(step));
            let horizon = watermark.saturating_sub(within);
            let near = |&(k, at): &(u8, i64)| k == key && at >= horizon && (at - time).abs() <= within;
            verdicts.push(if time < horizon {
                Unjudged
            } else if kept.iter().any(near) {
                Duplicate
            } else {
                kept.push((key, time));
                First
            });
        }
        verdicts
    }

    proptest! {
        #[test]
        fn forgetting_and_restoring_change_no_verdict(
            rows in prop::collection::vec((0..4_u8, 0..200_i64, 0..60_i64), 0..120), within in 0..40_i64,
            upsets in prop::collection::vec(0..3_u8, 120),
        ) {
            let mut dedup = Dedup::new(7, within);
            let mut state = Vec::new();
            let mut watermark = EventTime::MIN;
            let mut verdicts = Vec::new();
            for (&(key, time, step), upset) in rows.iter().zip(upsets) {
                watermark = watermark.max(t(time).minus(step));
                verdicts.push(dedup.judge(key.into(), t(time), watermark));
                match upset {
                    0 => dedup.forget_before(watermark.minus(within)),
                    1 => {
                        state.extend(dedup.taken());
                        dedup = Dedup::new(7, within);
                        dedup.restore(state.iter().copied());
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(verdicts, recompute(&rows, within));
        }
    }
}
