//! Late rows, a second time: in which minutes they lay (I12).

use std::collections::BTreeMap;

use lakeward_core::log::PartitionEntry;

/// Minutes of a KPI that an entry keeps per partition: the newest.
const KEPT: usize = 1_440;

const MINUTE: i64 = 60_000_000;

/// Late rows of one partition in one entry, by KPI and minute of their event time.
#[derive(Default)]
pub struct Minutes(BTreeMap<String, BTreeMap<i64, u64>>);

impl Minutes {
    /// Counts a row that is late for a KPI.
    pub fn count(&mut self, kpi: &str, time: i64) {
        let minute = time.saturating_sub(time.rem_euclid(MINUTE));
        *self.0.entry(kpi.to_owned()).or_default().entry(minute).or_default() += 1;
    }

    /// What an entry keeps of them, as text.
    #[must_use]
    pub fn newest(&self) -> String {
        let kept = self.0.iter().map(|(kpi, minutes)| {
            let newest = minutes.iter().skip(minutes.len().saturating_sub(KEPT));
            (kpi.as_str(), newest.map(|(minute, rows)| (*minute, *rows)).collect())
        });
        shown(kept.collect())
    }
}

/// Whether an entry says in which minutes its late rows lay: programs before that was counted did not.
#[must_use]
pub fn minutes_are_told(told: &PartitionEntry) -> bool {
    !told.late_minutes.is_empty() || told.counters.late.is_empty()
}

/// The minutes that an entry tells, as text.
#[must_use]
pub fn told_minutes(told: &PartitionEntry) -> String {
    let of = |kpi| told.late_minutes.of(kpi).map(|(minute, rows)| (minute.0, rows)).collect();
    shown(told.late_minutes.kpis().map(|kpi| (kpi, of(kpi))).collect())
}

fn shown(minutes: BTreeMap<&str, Vec<(i64, u64)>>) -> String {
    format!("{minutes:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_minutes_of_each_kpi_are_kept() {
        let mut minutes = Minutes::default();
        (0..=1_440).for_each(|minute| minutes.count("k", minute * MINUTE + 7));
        minutes.count("other", -1);
        let kept = minutes.newest();
        assert!(
            kept.starts_with("{\"k\": [(60000000, 1), ") && kept.ends_with("\"other\": [(-60000000, 1)]}"),
            "{kept}"
        );
    }
}
