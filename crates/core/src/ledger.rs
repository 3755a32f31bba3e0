//! The ledger (I3, I12): what became of the records that were read, per partition and epoch.
//!
//! `records + replayed = kept + filtered + duplicate + quarantined + tombstones` must hold for every epoch of every
//! partition: a record that is taken out of Quarantine again (H5) becomes something else beside its line there.
//! The other numbers explain, they are not part of the balance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decode::Reason;
use crate::pipeline::{Holds, Pipeline};

/// How the newest records fared: the newest entry's, and with a weight of at most [`Recent::WEIGHT`] those before. A
/// function of the log's entries alone, so a restart finds the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// Records, weighed.
    pub records: u64,
    /// Those of them in Quarantine.
    pub quarantined: u64,
}

impl Recent {
    /// As many records decide at least: a few bad ones at the beginning stop nothing, and a bad stretch is not forgotten
    /// over a small entry behind it.
    pub const WEIGHT: u64 = 1_000;

    /// Takes the next entry's records in.
    pub fn add(&mut self, records: u64, quarantined: u64) {
        if self.records > Self::WEIGHT {
            let scaled = u128::from(self.quarantined) * u128::from(Self::WEIGHT) / u128::from(self.records);
            *self = Self { records: Self::WEIGHT, quarantined: u64::try_from(scaled).unwrap_or(u64::MAX) };
        }
        self.records += records;
        self.quarantined += quarantined;
    }

    /// Whether more than `percent` of a hundred were refused.
    #[must_use]
    pub fn exceeds(&self, percent: u8) -> bool {
        self.records >= Self::WEIGHT
            && u128::from(self.quarantined) * 100 > u128::from(self.records) * u128::from(percent)
    }
}

/// The outcomes of a stretch of one partition's records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records read from Kafka.
    pub records: u64,
    /// Rows in Silver.
    pub kept: u64,
    /// Rows left out by a check.
    pub filtered: u64,
    /// Rows left out because an earlier row had the same key.
    pub duplicate: u64,
    /// Records in Quarantine.
    pub quarantined: u64,
    /// Records without a payload.
    pub tombstones: u64,
    /// Kept rows whose time was too far behind the watermark for dedup to judge (T6).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unjudged: u64,
    /// Records that were taken out of Quarantine again (H5). Their lines stay there, so each counts twice: as quarantined
    /// when it was read, and as what it became.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replayed: u64,
    /// Kept rows that came too late for a KPI and are in none of its windows, by the KPI's name (I12).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub late: BTreeMap<String, u64>,
    /// Kept rows that came late for a KPI and revise its closed windows, by the KPI's name (T5).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub amended: BTreeMap<String, u64>,
    /// Kept rows before the first window of a KPI that the log took up later, by the KPI's name (H4).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before_first: BTreeMap<String, u64>,
    /// Quarantined records by reason code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_reason: BTreeMap<String, u64>,
    /// Filtered rows by the check that left them out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filtered_by_check: BTreeMap<String, u64>,
}

impl Counters {
    /// Adds another stretch.
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.kept += other.kept;
        self.filtered += other.filtered;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
        self.tombstones += other.tombstones;
        self.unjudged += other.unjudged;
        self.replayed += other.replayed;
        add_named(&mut self.late, &other.late);
        add_named(&mut self.amended, &other.amended);
        add_named(&mut self.before_first, &other.before_first);
        add_named(&mut self.by_reason, &other.by_reason);
        add_named(&mut self.filtered_by_check, &other.filtered_by_check);
    }

    /// Records read and replayed less records accounted for: 0 when the ledger is closed, positive when records are missing.
    #[must_use]
    pub fn balance(&self) -> i64 {
        let accounted = self.kept + self.filtered + self.duplicate + self.quarantined + self.tombstones;
        (self.records + self.replayed).cast_signed().wrapping_sub(accounted.cast_signed())
    }

    /// Whether every record is accounted for exactly once.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.balance() == 0
    }

    /// Whether what explains the outcomes adds up to them: reasons to quarantined, checks to filtered.
    #[must_use]
    pub fn is_explained(&self) -> bool {
        let sum = |by: &BTreeMap<String, u64>| by.values().sum::<u64>();
        sum(&self.by_reason) == self.quarantined && sum(&self.filtered_by_check) == self.filtered
    }

    /// The rows or lines that a layer of the pipeline must hold of these records (I3, I4, I12); `None` for one that holds
    /// no records.
    #[must_use]
    pub fn due_in(&self, pipeline: &Pipeline, holds: &Holds) -> Option<u64> {
        match holds {
            Holds::Records => Some(self.records.saturating_sub(self.no_objects())),
            Holds::Rejects => Some(self.quarantined),
            Holds::Rows { .. } => Some(self.kept),
            Holds::FinalWindows { .. } => None,
            Holds::LateRows { kpi } => {
                pipeline.kpis.get(*kpi).map(|kpi| self.late.get(&kpi.name).copied().unwrap_or(0))
            }
        }
    }

    /// Records that are no JSON object.
    fn no_objects(&self) -> u64 {
        let of = |reason: &Reason| self.by_reason.get(reason.as_str()).copied().unwrap_or(0);
        Reason::ALL.iter().filter(|reason| reason.is_no_object()).map(of).sum()
    }
}

/// Counts one more under `name`.
pub(crate) fn count(map: &mut BTreeMap<String, u64>, name: &str) {
    match map.get_mut(name) {
        Some(number) => *number += 1,
        None => {
            map.insert(name.to_owned(), 1);
        }
    }
}

fn add_named(to: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (name, number) in from {
        *to.entry(name.clone()).or_default() += number;
    }
}

pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const FEED: &str = "name = \"p\"\nsource.topic = \"t\"\nfields = { id = \"string!\" }\n\
        kpi = [{ name = \"k\", window = { tumbling = \"1m\" }, measures = { n = \"count(*)\" } },\
        { name = \"l\", window = { tumbling = \"1m\" }, measures = { n = \"count(*)\" } }]\n";

    #[test]
    fn a_bad_stretch_stops_and_a_few_bad_records_do_not() {
        let recent = |entries: &[(u64, u64)]| {
            let mut recent = Recent::default();
            entries.iter().for_each(|&(records, quarantined)| recent.add(records, quarantined));
            recent
        };
        let cases: [(&[(u64, u64)], bool); 7] = [
            (&[(999, 999)], false),
            (&[(1_000, 500)], false),
            (&[(1_000, 501)], true),
            // A good past has the weight of a thousand records, however long it was.
            (&[(5_000_000, 0), (1_000, 1_000)], false),
            (&[(5_000_000, 0), (1_001, 1_001)], true),
            (&[(5_000_000, 0), (30_000, 30_000), (10, 0)], true),
            (&[(30_000, 30_000), (2_000, 0)], false),
        ];
        for (entries, expected) in cases {
            assert_eq!(recent(entries).exceeds(50), expected, "{entries:?}");
        }
        assert!(!recent(&[(u64::MAX / 4, u64::MAX / 4), (1, 1)]).exceeds(100));
    }

    #[test]
    fn the_balance_is_what_is_not_accounted_for() {
        let mut counters = Counters { records: 10, kept: 4, filtered: 1, duplicate: 2, ..Counters::default() };
        assert_eq!(counters.balance(), 3);
        counters.quarantined = 2;
        counters.tombstones = 1;
        assert!(counters.is_balanced());
        counters.kept = 5;
        assert_eq!(counters.balance(), -1);
    }

    #[test]
    fn each_record_is_in_bronze_or_if_it_is_no_object_in_quarantine_only() {
        let by_reason = |n: &[(&str, u64)]| n.iter().map(|&(reason, n)| (reason.to_owned(), n)).collect();
        let mut counters = Counters { records: 10, kept: 4, quarantined: 5, tombstones: 1, ..Counters::default() };
        counters.by_reason = by_reason(&[("NOT_JSON", 2), ("TOO_LARGE", 1), ("WRONG_TYPE", 2)]);
        counters.late.insert("k".to_owned(), 3);
        let pipeline = Pipeline::parse(FEED, "p").unwrap();
        let due = |holds| counters.due_in(&pipeline, &holds);
        assert_eq!((due(Holds::Records), due(Holds::Rejects)), (Some(7), Some(5)));
        assert_eq!((due(Holds::Rows { partition_by: vec![] }), due(Holds::FinalWindows { kpi: 0 })), (Some(4), None));
        assert_eq!([0, 1, 2].map(|kpi| due(Holds::LateRows { kpi })), [Some(3), Some(0), None]);
        assert!(counters.is_explained());
        counters.by_reason.remove("NOT_JSON");
        assert!(!counters.is_explained());
    }

    #[test]
    fn stretches_add_up_by_name() {
        let mut total = Counters { records: 1, kept: 1, unjudged: 1, ..Counters::default() };
        total.late.insert("a".into(), 1);
        let mut more = Counters { records: 2, filtered: 2, ..Counters::default() };
        more.late.insert("a".into(), 2);
        more.filtered_by_check.insert("c".into(), 2);
        total.add(&more);
        assert_eq!((total.records, total.kept, total.filtered, total.unjudged), (3, 1, 2, 1));
        assert_eq!(total.late.get("a"), Some(&3));
        assert_eq!(total.filtered_by_check.get("c"), Some(&2));
        assert!(total.is_balanced());
    }
}
