//! When the rows lay that came too late for a KPI (I12): counted per minute of their event time, so that whoever looks at
//! a KPI's minutes sees how many rows each of them lacks.
//!
//! Promises: bounded, and the same for any batching. Of each KPI the newest minutes are kept, with exact counts; a minute
//! that is dropped is older than all that are kept, now and after any addition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::EventTime;

/// Minutes kept per KPI, in an entry as in the fold, of each partition: as many as a day has. Late rows that lie further
/// back are in the KPI's number of late rows only.
pub const MINUTES_KEPT: usize = 1_440;

const MINUTE: i64 = 60_000_000;

/// Late rows by KPI and by the minute of their event time, which is named by its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LateMinutes(BTreeMap<String, BTreeMap<EventTime, u64>>);

impl LateMinutes {
    /// Counts a row that was late for `kpi`.
    pub fn count(&mut self, kpi: &str, event_time: EventTime) {
        let minute = EventTime(event_time.0.saturating_sub(event_time.0.rem_euclid(MINUTE)));
        self.add_rows(kpi, minute, 1);
    }

    /// Adds another stretch of the same partition.
    pub fn add(&mut self, other: &Self) {
        for (kpi, minutes) in &other.0 {
            for (minute, rows) in minutes {
                self.add_rows(kpi, *minute, *rows);
            }
        }
    }

    /// Whether no minute is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The KPIs that rows were late for.
    pub fn kpis(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The minutes of a KPI, oldest first, with the rows that were late in them.
    pub fn of(&self, kpi: &str) -> impl DoubleEndedIterator<Item = (EventTime, u64)> {
        self.0.get(kpi).into_iter().flatten().map(|(minute, rows)| (*minute, *rows))
    }

    fn add_rows(&mut self, kpi: &str, minute: EventTime, rows: u64) {
        if !self.0.contains_key(kpi) {
            self.0.insert(kpi.to_owned(), BTreeMap::new());
        }
        let Some(minutes) = self.0.get_mut(kpi) else { return };
        *minutes.entry(minute).or_default() += rows;
        if minutes.len() > MINUTES_KEPT {
            minutes.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(rows: &[i64]) -> LateMinutes {
        let mut minutes = LateMinutes::default();
        rows.iter().for_each(|minute| minutes.count("k", EventTime(minute * MINUTE + 59_999_999)));
        minutes
    }

    #[test]
    fn a_row_counts_for_the_minute_that_it_lies_in() {
        let mut minutes = LateMinutes::default();
        for time in [-1, 0, MINUTE - 1, MINUTE, i64::MIN] {
            minutes.count("k", EventTime(time));
        }
        minutes.count("other", EventTime(0));
        let found: Vec<_> = minutes.of("k").map(|(minute, rows)| (minute.0, rows)).collect();
        assert_eq!(found[1..], [(-MINUTE, 1), (0, 2), (MINUTE, 1)]);
        assert_eq!((found.len(), minutes.of("other").count(), minutes.of("none").count()), (4, 1, 0));
    }

    #[test]
    fn the_newest_minutes_are_kept_and_a_dropped_one_never_comes_back() {
        let most = i64::try_from(MINUTES_KEPT).unwrap();
        let mut minutes = counted(&(0..=most).collect::<Vec<_>>());
        minutes.count("k", EventTime(0));
        let kept: Vec<_> = minutes.of("k").collect();
        assert_eq!(kept.len(), MINUTES_KEPT);
        assert_eq!((kept[0], kept[MINUTES_KEPT - 1].0), ((EventTime(MINUTE), 1), EventTime(most * MINUTE)));
    }

    #[test]
    fn its_json_is_by_kpi_and_start_of_the_minute() {
        let json = serde_json::to_string(&counted(&[1, 1, 3])).unwrap();
        assert_eq!(json, r#"{"k":{"60000000":2,"180000000":1}}"#);
        assert_eq!(serde_json::from_str::<LateMinutes>(&json).unwrap(), counted(&[3, 1, 1]));
    }

    proptest! {
        #[test]
        fn any_batching_keeps_the_same(rows in prop::collection::vec(0..4_000_i64, 0..6_000), cut in 0..6_000_usize) {
            let (first, second) = rows.split_at(cut.min(rows.len()));
            let mut joined = counted(first);
            joined.add(&counted(second));
            prop_assert_eq!(joined, counted(&rows));
        }
    }
}
