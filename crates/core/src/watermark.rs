//! Watermarks: how far event time has come, per partition and over all (T1, T2, E3, I10).
//!
//! A partition's watermark is a function of its records and its floors, never of a clock. G, the minimum over all
//! partitions, is the only thing that closes windows.

use std::collections::BTreeMap;

use crate::ids::EventTime;

/// The watermark of one partition. It never goes back (I10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    value: EventTime,
}

impl Default for Watermark {
    fn default() -> Self {
        Self { value: EventTime::MIN }
    }
}

impl Watermark {
    /// A watermark that the log has recorded.
    #[must_use]
    pub fn at(value: EventTime) -> Self {
        Self { value }
    }

    /// The largest event time seen less the out-of-orderness, or the floor; `EventTime::MIN` before any record.
    #[must_use]
    pub fn value(self) -> EventTime {
        self.value
    }

    /// Takes a kept, filtered or duplicate record's event time into account. `out_of_orderness` in microseconds.
    pub fn observe(&mut self, event_time: EventTime, out_of_orderness: i64) {
        self.raise_to(event_time.minus(out_of_orderness));
    }

    /// Raises the watermark to the floor of an idle partition at a barrier (T2); a lower floor does nothing.
    pub fn raise_to(&mut self, floor: EventTime) {
        self.value = self.value.max(floor);
    }
}

/// The floor to which idle partitions are raised at a cut (T2): the minimum over the partitions that are not idle; all
/// idle: the maximum of all. `None` without partitions. Items are (watermark, idle).
#[must_use]
pub fn floor_for_idle(partitions: &[(EventTime, bool)]) -> Option<EventTime> {
    let awake = partitions.iter().filter(|(_, idle)| !idle).map(|(watermark, _)| *watermark).min();
    awake.or_else(|| partitions.iter().map(|(watermark, _)| *watermark).max())
}

/// A partition as it stands when an epoch is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Kafka partition.
    pub partition: i32,
    /// Its watermark.
    pub watermark: EventTime,
    /// The next offset to fetch.
    pub position: i64,
    /// Whether it is idle at that position.
    pub idle: bool,
}

/// The floors that idle partitions get at a cut (T2), each with the position that it holds for.
#[must_use]
pub fn floors(partitions: &[Standing]) -> BTreeMap<i32, (EventTime, i64)> {
    let facts: Vec<(EventTime, bool)> = partitions.iter().map(|p| (p.watermark, p.idle)).collect();
    let Some(floor) = floor_for_idle(&facts) else { return BTreeMap::new() };
    let raised = partitions.iter().filter(|p| p.idle && floor > p.watermark);
    raised.map(|p| (p.partition, (floor, p.position))).collect()
}

/// The floor that came with a barrier, unless the partition has moved on since it was judged (T2).
#[must_use]
pub fn floor_at(position: i64, given: Option<(EventTime, i64)>) -> Option<EventTime> {
    given.filter(|(_, judged_at)| *judged_at == position).map(|(floor, _)| floor)
}

/// G after an epoch (E3): the minimum over **all** partitions of the set; without any, and where the minimum would go
/// back, the previous G.
#[must_use]
pub fn global(watermarks: impl Iterator<Item = EventTime>, previous: EventTime) -> EventTime {
    watermarks.min().map_or(previous, |minimum| minimum.max(previous))
}

/// Whether `g` has closed the window that ends (exclusively) at `window_end`. `allowed_lateness` in microseconds.
#[must_use]
pub fn is_closed(window_end: EventTime, allowed_lateness: i64, g: EventTime) -> bool {
    window_end.plus(allowed_lateness) <= g
}

/// Whether a record of the window is late, judged by its own partition's watermark *before* the record (T1).
#[must_use]
pub fn is_late(window_end: EventTime, allowed_lateness: i64, watermark_before: EventTime) -> bool {
    is_closed(window_end, allowed_lateness, watermark_before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIN: EventTime = EventTime::MIN;

    fn t(micros: i64) -> EventTime {
        EventTime(micros)
    }

    #[test]
    fn the_floor_is_the_slowest_of_those_awake_or_the_fastest_of_all() {
        for (partitions, expected) in [
            (&[][..], None),
            (&[(t(5), false), (t(3), false)], Some(t(3))),
            (&[(t(5), false), (t(3), true), (t(9), false)], Some(t(5))),
            (&[(t(5), true), (t(3), true)], Some(t(5))),
            (&[(t(5), true), (MIN, false)], Some(MIN)),
        ] {
            assert_eq!(floor_for_idle(partitions), expected, "{partitions:?}");
        }
    }

    #[test]
    fn only_idle_partitions_get_a_floor_and_only_where_they_were_judged() {
        let at = |partition, w, idle| Standing { partition, watermark: t(w), position: 7, idle };
        assert_eq!(floors(&[at(0, 5, false), at(1, 3, true), at(2, 9, true)]), BTreeMap::from([(1, (t(5), 7))]));
        assert_eq!(floor_at(7, Some((t(5), 7))), Some(t(5)));
        assert_eq!(floor_at(8, Some((t(5), 7))), None, "it has moved");
    }

    #[test]
    fn g_is_the_minimum_never_of_nothing_and_never_goes_back() {
        for (watermarks, previous, expected) in [
            (&[][..], MIN, MIN),
            (&[], t(4), t(4)),
            (&[t(7), t(6)], t(4), t(6)),
            (&[t(7), t(3)], t(4), t(4)),
            (&[t(7), MIN], MIN, MIN),
        ] {
            assert_eq!(global(watermarks.iter().copied(), previous), expected);
        }
    }

    #[test]
    fn a_window_closes_when_its_end_and_the_lateness_have_passed() {
        for (end, lateness, g, expected) in
            [(10, 0, 9, false), (10, 0, 10, true), (10, 5, 14, false), (10, 5, 15, true), (10, 0, i64::MIN, false)]
        {
            assert_eq!(is_closed(t(end), lateness, t(g)), expected);
            assert_eq!(is_late(t(end), lateness, t(g)), expected);
        }
    }

    proptest! {
        #[test]
        fn a_watermark_never_goes_back(moves in prop::collection::vec((any::<i64>(), 0..1000_i64, any::<bool>()), 0..50)) {
            let mut watermark = Watermark::default();
            for (time, out_of_orderness, is_floor) in moves {
                let before = watermark.value();
                if is_floor { watermark.raise_to(t(time)) } else { watermark.observe(t(time), out_of_orderness) }
                prop_assert!(watermark.value() >= before);
            }
        }
    }
}
