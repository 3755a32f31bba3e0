//! The newest entries of the log as this process has seen them, for people: what each held, and how long it took.
//!
//! No rule reads it. It is as long as a screen is, whatever the log's length.

use std::collections::{BTreeMap, VecDeque};

use lakeward_core::ids::{EventTime, OffsetRange, Version};
use lakeward_core::ledger::Counters;
use lakeward_core::log::{Entry, EntryKind, PartitionEntry};

/// Entries kept.
const ENTRIES: usize = 120;

/// Minutes of the ledger kept.
const MINUTES: usize = 60;

const MINUTE: i64 = 60_000_000;

/// What is kept.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: VecDeque<Noted>,
    minutes: BTreeMap<i64, BTreeMap<i32, Account>>,
}

/// One entry, or an epoch that became none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// Its version; of an epoch that failed, the head's.
    pub version: Version,
    /// `claim`, `epoch`, `ended`, or `failed`.
    pub kind: &'static str,
    /// Wall clock, microseconds.
    pub at: i64,
    /// From the cut to the commit; `None` where this process did not see it.
    pub seconds: Option<f64>,
    /// What became of its records, over all partitions.
    pub counters: Counters,
    /// Rows added to each layer.
    pub rows: BTreeMap<String, u64>,
    /// Files added.
    pub files: usize,
    /// G after it; `None` of an epoch that failed.
    pub g: Option<EventTime>,
    /// Why there is no entry, where there is none.
    pub trouble: Option<String>,
}

/// What was committed of one partition within a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its offsets.
    pub offsets: OffsetRange,
    /// What became of its records.
    pub counters: Counters,
}

impl History {
    /// Takes an entry in, in any order: those that were read back from the log may come after newer ones.
    pub fn note(&mut self, entry: &Entry, seconds: Option<f64>) {
        let noted = noted(entry, seconds);
        // An epoch that failed has the version of the head, so it stands behind that version's entry.
        let at = self.entries.partition_point(|held| held.version < noted.version);
        let is_held = |held: &Noted| held.version == noted.version && held.trouble.is_none();
        let is_too_old = at == 0 && self.entries.len() >= ENTRIES;
        if is_too_old || self.entries.get(at).is_some_and(is_held) {
            return;
        }
        self.entries.insert(at, noted);
        self.account(entry);
        self.bound();
    }

    /// An epoch did not become an entry, or a generation ended before.
    pub fn failed(&mut self, head: Version, at: i64, why: &str) {
        let (kind, trouble) = ("failed", Some(why.to_owned()));
        self.entries.push_back(Noted { version: head, kind, at, trouble, ..Noted::default() });
        self.bound();
    }

    /// Entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &VecDeque<Noted> {
        &self.entries
    }

    /// The ledger by minute of the commit (microseconds of its start) and partition.
    #[must_use]
    pub fn minutes(&self) -> &BTreeMap<i64, BTreeMap<i32, Account>> {
        &self.minutes
    }

    fn account(&mut self, entry: &Entry) {
        let minute = self.minutes.entry(entry.created_at.div_euclid(MINUTE) * MINUTE).or_default();
        let has_records = |held: &PartitionEntry| held.to > held.from || !held.replayed.is_empty();
        for (&partition, held) in entry.partitions.iter().filter(|(_, held)| has_records(held)) {
            let offsets = OffsetRange { from: held.from, to: held.to };
            match minute.get_mut(&partition) {
                Some(account) => {
                    account.offsets.from = account.offsets.from.min(offsets.from);
                    account.offsets.to = account.offsets.to.max(offsets.to);
                    account.counters.add(&held.counters);
                }
                None => drop(minute.insert(partition, Account { offsets, counters: held.counters.clone() })),
            }
        }
    }

    fn bound(&mut self) {
        while self.entries.len() > ENTRIES {
            self.entries.pop_front();
        }
        while self.minutes.len() > MINUTES {
            self.minutes.pop_first();
        }
    }
}

fn noted(entry: &Entry, seconds: Option<f64>) -> Noted {
    let mut counters = Counters::default();
    entry.partitions.values().for_each(|held| counters.add(&held.counters));
    let rows = |added: &[lakeward_core::log::LiveFile]| added.iter().map(|file| file.staged.rows).sum();
    Noted {
        version: entry.version,
        kind: match entry.kind {
            EntryKind::Claim { .. } => "claim",
            EntryKind::Epoch => "epoch",
            EntryKind::Ended { .. } => "ended",
        },
        at: entry.created_at,
        seconds,
        counters,
        rows: entry.layers.iter().map(|(layer, change)| (layer.clone(), rows(&change.added))).collect(),
        files: entry.layers.values().map(|change| change.added.len()).sum(),
        g: Some(entry.g),
        trouble: None,
    }
}

#[cfg(test)]
mod tests {
    use lakeward_core::log::{Author, BarrierFacts, Draft, Fold, Member, NewPartition, render, render_first};

    use super::*;

    /// Entries of one partition that reads ten records per entry, one entry every `pace` microseconds.
    fn entries(count: i64, pace: i64) -> Vec<Entry> {
        let author = |now| Author {
            claim: Version(0),
            attempt: "aaaaaaaa".to_owned(),
            member: Member::default(),
            definition: "d".to_owned(),
            now,
        };
        let mut claim = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        claim.new_partitions.insert(3, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        let mut all = vec![render_first("log", &claim, &author(0))];
        let mut fold = Fold::first(&all[0], "h".to_owned()).unwrap();
        for n in 1..=count {
            let mut epoch = Draft::empty(EntryKind::Epoch);
            let counters = Counters { records: 10, kept: 10, ..Counters::default() };
            epoch.barriers.insert(3, BarrierFacts { to: n * 10, counters, ..BarrierFacts::default() });
            let entry = render(&fold, &epoch, &author(n * pace));
            fold.apply(&entry, "h".to_owned()).unwrap();
            all.push(entry);
        }
        all
    }

    #[test]
    fn the_ledger_adds_up_by_minute_and_an_entry_counts_once() {
        let mut history = History::default();
        for entry in entries(12, MINUTE / 4).iter().rev() {
            history.note(entry, None);
            history.note(entry, Some(1.0));
        }
        let read: Vec<u64> = history.minutes().values().filter_map(|m| Some(m.get(&3)?.counters.records)).collect();
        assert_eq!(read, [30, 40, 40, 10]);
        let offsets = &history.minutes()[&MINUTE][&3].offsets;
        assert_eq!((offsets.from, offsets.to), (30, 70));
        let versions: Vec<u64> = history.entries().iter().map(|entry| entry.version.0).collect();
        assert_eq!(versions, (0..=12).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_read_back_after_a_failure_counts_once() {
        let mut history = History::default();
        let all = entries(300, MINUTE / 4);
        all.iter().for_each(|entry| history.note(entry, Some(1.0)));
        let before = history.minutes().clone();
        for _ in 0..100 {
            history.failed(Version(300), 7, "kafka is away");
            all.iter().rev().take(61).for_each(|entry| history.note(entry, None));
        }
        assert_eq!(history.minutes(), &before);
        let head: Vec<bool> =
            history.entries().iter().filter(|e| e.version == Version(300)).map(|e| e.trouble.is_some()).collect();
        assert_eq!((head.iter().filter(|failed| !**failed).count(), head.first()), (1, Some(&false)));
    }

    #[test]
    fn it_is_bounded_and_keeps_the_newest_and_what_failed() {
        let mut history = History::default();
        entries(300, MINUTE).iter().for_each(|entry| history.note(entry, Some(0.5)));
        history.failed(Version(300), 7, "kafka is away");
        assert_eq!((history.entries().len(), history.minutes().len()), (ENTRIES, MINUTES));
        assert_eq!(history.entries().back().unwrap().trouble.as_deref(), Some("kafka is away"));
        assert_eq!(history.entries().front().unwrap().version, Version(182));
    }
}
