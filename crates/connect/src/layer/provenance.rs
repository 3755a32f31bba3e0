//! What a staged file states about its rows: how many, of which times, from which offsets.

use std::collections::BTreeMap;

use lakeward_core::ids::{EventTime, OffsetRange};

use super::AppendMeta;

/// Gathered append by append.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Provenance {
    pub(super) rows: u64,
    pub(super) event_times: Option<(EventTime, EventTime)>,
    pub(super) offsets: BTreeMap<i32, OffsetRange>,
}

impl Provenance {
    /// Takes in rows of one append. A partition's offsets grow to the hull of what it got.
    pub(super) fn add(&mut self, meta: &AppendMeta) {
        self.rows += meta.rows;
        self.event_times = match (self.event_times, meta.event_times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (known, new) => known.or(new),
        };
        if meta.partition >= 0 {
            let range = self.offsets.entry(meta.partition).or_insert(meta.range);
            *range = OffsetRange { from: range.from.min(meta.range.from), to: range.to.max(meta.range.to) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_of_several_partitions_add_up() {
        let mut p = Provenance::default();
        let meta = |partition, from, to, times: Option<(i64, i64)>| AppendMeta {
            partition,
            range: OffsetRange { from, to },
            rows: 2,
            event_times: times.map(|(a, b)| (EventTime(a), EventTime(b))),
        };
        p.add(&meta(0, 10, 20, Some((5, 9))));
        p.add(&meta(1, 0, 3, None));
        p.add(&meta(0, 20, 25, Some((1, 7))));
        p.add(&meta(-1, 0, 0, None));
        assert_eq!(p.rows, 8);
        assert_eq!(p.event_times, Some((EventTime(1), EventTime(9))));
        let offsets = [(0, OffsetRange { from: 10, to: 25 }), (1, OffsetRange { from: 0, to: 3 })];
        assert_eq!(p.offsets, BTreeMap::from(offsets));
    }
}
