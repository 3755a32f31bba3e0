//! The fold of the log: what all entries up to a version say together. Everything that starts, follows or checks a
//! pipeline begins here.
//!
//! Promises I1 (no holes, hash links hold, ranges join), I10 (watermarks never go back): an entry that breaks one is
//! refused with what is wrong, and nobody acts on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{EventTime, Version};
use crate::late::LateMinutes;
use crate::ledger::{Counters, Recent};
use crate::log::{
    CHECKPOINT_EVERY, Entry, EntryKind, Expired, LiveFile, LiveFiles, OffsetSet, PartitionEntry, Rebuilt, StateRef,
    version_of,
};

/// A partition as the head leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFold {
    /// Incarnation of the topic.
    pub incarnation: i32,
    /// Kafka's id of the topic at that incarnation, where known.
    pub topic_id: Option<String>,
    /// The offset at which this incarnation's first entry began.
    pub start: i64,
    /// The next offset to fetch.
    pub to: i64,
    /// The watermark.
    pub watermark: EventTime,
    /// What became of all records of this incarnation.
    pub total: Counters,
    /// When the late rows of this incarnation lay, the newest minutes.
    #[serde(default, skip_serializing_if = "LateMinutes::is_empty")]
    pub late_minutes: LateMinutes,
    /// Offsets of this incarnation whose records were taken out of Quarantine again (H5).
    #[serde(default, skip_serializing_if = "OffsetSet::is_empty")]
    pub replayed: OffsetSet,
}

/// Where a claim's reign ended: per partition the incarnation and the `to` of the last entry before the next claim.
pub type ReignEnd = BTreeMap<i32, (i32, i64)>;

/// All entries up to `version`, folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Version of the newest entry.
    pub version: Version,
    /// Id of the log.
    pub log_id: String,
    /// Hash of the newest entry's bytes.
    pub hash: String,
    /// The claim in force.
    pub claim: Version,
    /// When the newest claim entry was built, by its writer's clock, microseconds.
    pub claimed_at: i64,
    /// Hash of the definition in force.
    pub definition: String,
    /// Engine semantics in force.
    pub semantics: u32,
    /// The partition set.
    pub partitions: BTreeMap<i32, PartitionFold>,
    /// Ends of earlier incarnations: (partition, incarnation) -> next offset, totals.
    #[serde(with = "pairs")]
    pub past_incarnations: BTreeMap<(i32, i32), PartitionFold>,
    /// Gold's watermark.
    pub g: EventTime,
    /// Live files per layer.
    pub files: BTreeMap<String, LiveFiles>,
    /// The furthest watermark of the first entry that had one: what came before is no older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_at: Option<EventTime>,
    /// What retention has taken, per layer of which it took something.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expired: BTreeMap<String, Expired>,
    /// State objects, in the order they were added.
    pub state: Vec<StateRef>,
    /// State objects that an entry took out, with that entry's version, until garbage collection has passed (H2).
    pub state_removed: Vec<(Version, String)>,
    /// Reigns that ended, by claim (F2).
    #[serde(with = "pairs")]
    pub reigns: BTreeMap<Version, ReignEnd>,
    /// Where KPIs begin that were taken up later (H4), by name: the start of the first window.
    #[serde(default)]
    pub first_windows: BTreeMap<String, EventTime>,
    /// How the newest records fared.
    #[serde(default)]
    pub recent: Recent,
    /// Entries that replayed records out of Quarantine (H5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replays: Vec<Version>,
    /// Boundary of the rows mart.
    pub rows_boundary: Option<EventTime>,
    /// Entries below this version may be gone; there is a checkpoint at it (F6).
    #[serde(default)]
    pub entries_from: Option<Version>,
    /// Per follower the newest version known done.
    pub followers: BTreeMap<String, Version>,
    /// Files of all entries up to here are in place.
    pub rolled: Option<Version>,
    /// How far a rebuild has come that wrote this log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Rebuilt>,
    /// The log that follows, if this one has ended.
    pub ended: Option<String>,
    /// Epoch entries so far.
    pub epochs: u64,
    /// When the newest entry was built, microseconds.
    pub updated_at: i64,
}

/// An entry that doesn't follow from the log before it: damage, or a bug. Nobody may act on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("LOG_DAMAGED: entry {version}: {what}")]
pub struct FoldError {
    /// The entry.
    pub version: Version,
    /// What is wrong.
    pub what: String,
}

impl Fold {
    /// The fold of version 0, which must be a claim entry (L6).
    pub fn first(entry: &Entry, hash: String) -> Result<Self, FoldError> {
        if entry.version != Version(0) || !entry.is_claim() || entry.previous.is_some() {
            return Err(damaged(entry, "the first entry must be a claim at version 0 without a predecessor"));
        }
        let mut fold = Self {
            version: entry.version,
            log_id: entry.log_id.clone(),
            hash: String::new(),
            claim: entry.claim,
            claimed_at: entry.created_at,
            definition: String::new(),
            semantics: entry.semantics,
            partitions: BTreeMap::new(),
            past_incarnations: BTreeMap::new(),
            g: EventTime::MIN,
            files: BTreeMap::new(),
            began_at: None,
            expired: BTreeMap::new(),
            state: Vec::new(),
            state_removed: Vec::new(),
            reigns: BTreeMap::new(),
            first_windows: BTreeMap::new(),
            recent: Recent::default(),
            replays: Vec::new(),
            rows_boundary: None,
            entries_from: None,
            followers: BTreeMap::new(),
            rolled: None,
            rebuilt: None,
            ended: None,
            epochs: 0,
            updated_at: entry.created_at,
        };
        fold.take(entry, hash)?;
        Ok(fold)
    }

    /// Takes the next entry up. `hash` is `entry_hash` of its bytes.
    pub fn apply(&mut self, entry: &Entry, hash: String) -> Result<(), FoldError> {
        if entry.version != self.version.next() {
            return Err(damaged(entry, &format!("it does not follow version {}", self.version)));
        }
        if entry.previous.as_deref() != Some(self.hash.as_str()) {
            return Err(damaged(entry, "its hash link does not name the entry before it"));
        }
        if entry.log_id != self.log_id {
            return Err(damaged(entry, &format!("it belongs to log {}", entry.log_id)));
        }
        if self.ended.is_some() {
            return Err(damaged(entry, "the log had ended"));
        }
        self.take(entry, hash)
    }

    /// Live files of one layer.
    pub fn layer_files(&self, layer: &str) -> impl DoubleEndedIterator<Item = &LiveFile> {
        self.layer_files_above(layer, None)
    }

    /// Live files of one layer that entries above `version` added; `None`: all.
    pub fn layer_files_above(
        &self,
        layer: &str,
        version: Option<Version>,
    ) -> impl DoubleEndedIterator<Item = &LiveFile> {
        self.files.get(layer).into_iter().flat_map(move |files| files.above(version))
    }

    /// Where the reign of `claim` ended for a partition: rows at or above it were never committed under that claim
    /// (F2). A reign that has not ended ends at the head; of a partition that the reign did not know, nothing was.
    #[must_use]
    pub fn reign_end(&self, claim: Version, incarnation: i32, partition: i32) -> i64 {
        if let Some(past) = self.past_incarnations.get(&(partition, incarnation)) {
            return past.to;
        }
        let head = self.partitions.get(&partition).filter(|p| p.incarnation == incarnation);
        let end = match self.reigns.get(&claim) {
            Some(reign) => reign.get(&partition).filter(|(i, _)| *i == incarnation).map(|(_, to)| *to),
            None => head.map(|p| p.to),
        };
        end.or_else(|| head.map(|p| p.start)).unwrap_or(0)
    }

    /// The incarnation of a partition in the entry `version`.
    #[must_use]
    pub fn incarnation_at(&self, version: Version, partition: i32) -> Option<i32> {
        // It changes with a claim only.
        let ended = self.reigns.range(..=version).next_back().filter(|_| version < self.claim);
        match ended {
            Some((_, reign)) => reign.get(&partition).map(|(incarnation, _)| *incarnation),
            None => self.partitions.get(&partition).map(|held| held.incarnation),
        }
    }

    fn take(&mut self, entry: &Entry, hash: String) -> Result<(), FoldError> {
        self.check_order(entry)?;
        for (&partition, new) in &entry.partitions {
            self.take_partition(entry, partition, new)?;
        }
        if let Some(missing) = self.partitions.keys().find(|p| !entry.partitions.contains_key(p)) {
            return Err(damaged(entry, &format!("partition {missing} has left the set")));
        }
        self.take_files(entry)?;
        self.take_state(entry)?;
        self.take_definition(entry)?;
        if entry.partitions.values().any(|partition| !partition.replayed.is_empty()) {
            self.replays.push(entry.version);
        }
        let sum = |of: fn(&Counters) -> u64| entry.partitions.values().map(|p| of(&p.counters)).sum();
        self.recent.add(sum(|c| c.records), sum(|c| c.quarantined));
        let furthest = entry.partitions.values().map(|told| told.watermark).max();
        self.began_at = self.began_at.or(furthest.filter(|time| *time > EventTime::MIN));
        self.g = entry.g;
        self.definition.clone_from(&entry.definition);
        self.semantics = entry.semantics;
        self.rows_boundary = self.rows_boundary.max(entry.rows_boundary);
        if entry.entries_from >= Some(entry.version) {
            return Err(damaged(entry, "it lets itself go"));
        }
        self.entries_from = self.entries_from.max(entry.entries_from);
        for (name, &version) in &entry.followers {
            let known = self.followers.entry(name.clone()).or_insert(version);
            *known = (*known).max(version);
        }
        self.rolled = self.rolled.max(entry.rolled);
        self.rebuilt = entry.rebuilt.or(self.rebuilt);
        match &entry.kind {
            EntryKind::Claim { .. } => {}
            EntryKind::Epoch => self.epochs += 1,
            EntryKind::Ended { next } => self.ended = Some(next.clone()),
        }
        self.version = entry.version;
        self.hash = hash;
        self.updated_at = entry.created_at;
        Ok(())
    }

    fn check_order(&mut self, entry: &Entry) -> Result<(), FoldError> {
        if entry.is_claim() {
            if entry.claim != entry.version {
                return Err(damaged(entry, "a claim entry's claim must be its own version"));
            }
            if entry.version > Version(0) {
                let end = self.partitions.iter().map(|(&p, f)| (p, (f.incarnation, f.to))).collect();
                self.reigns.insert(self.claim, end);
            }
            self.claim = entry.claim;
            self.claimed_at = entry.created_at;
        } else if entry.claim != self.claim {
            return Err(damaged(entry, &format!("claim {} is not the claim {} in force", entry.claim, self.claim)));
        }
        if entry.g < self.g {
            return Err(damaged(entry, "G went back"));
        }
        Ok(())
    }

    fn take_partition(&mut self, entry: &Entry, partition: i32, new: &PartitionEntry) -> Result<(), FoldError> {
        let (mut late_minutes, mut replayed) = (LateMinutes::default(), OffsetSet::default());
        let start = match self.partitions.get_mut(&partition) {
            Some(old) if old.incarnation == new.incarnation => {
                if new.from != old.to {
                    let what = format!("partition {partition} begins at {}, the log is at {}", new.from, old.to);
                    return Err(damaged(entry, &what));
                }
                if new.watermark < old.watermark {
                    return Err(damaged(entry, &format!("the watermark of partition {partition} went back")));
                }
                late_minutes = std::mem::take(&mut old.late_minutes);
                replayed = std::mem::take(&mut old.replayed);
                old.start
            }
            Some(old) if new.incarnation == old.incarnation + 1 => {
                self.past_incarnations.insert((partition, old.incarnation), old.clone());
                new.from
            }
            Some(old) => {
                let what = format!("partition {partition}: incarnation {} after {}", new.incarnation, old.incarnation);
                return Err(damaged(entry, &what));
            }
            None => new.from,
        };
        if new.to < new.from {
            return Err(damaged(entry, &format!("the range of partition {partition} goes back")));
        }
        late_minutes.add(&new.late_minutes);
        Self::check_replayed(entry, partition, new, start, &replayed)?;
        replayed.extend(&new.replayed);
        let fold = PartitionFold {
            incarnation: new.incarnation,
            topic_id: new.topic_id.clone(),
            start,
            to: new.to,
            watermark: new.watermark,
            total: new.total.clone(),
            late_minutes,
            replayed,
        };
        self.partitions.insert(partition, fold);
        Ok(())
    }

    /// A record is replayed once, and only after it was read (H5).
    fn check_replayed(
        entry: &Entry,
        partition: i32,
        new: &PartitionEntry,
        start: i64,
        before: &OffsetSet,
    ) -> Result<(), FoldError> {
        let read = new.replayed.ranges().iter().all(|range| range.from >= start && range.to <= new.from);
        if !read || before.intersects(&new.replayed) || new.replayed.len() != new.counters.replayed {
            let what = format!("partition {partition}: the records that it replays were not read or replayed before");
            return Err(damaged(entry, &what));
        }
        Ok(())
    }

    fn take_files(&mut self, entry: &Entry) -> Result<(), FoldError> {
        let in_place = self.rolled.max(entry.rolled);
        for (layer, change) in &entry.layers {
            for path in &change.expired {
                if version_of(path) > in_place {
                    return Err(damaged(entry, &format!("it lets {path} go, which may not be in place yet")));
                }
                self.expire(layer, path);
            }
            let live = self.files.entry(layer.clone()).or_default();
            for path in change.taken_out() {
                if !live.remove(path) {
                    return Err(damaged(entry, &format!("it removes {path}, which is not live")));
                }
            }
            for file in &change.added {
                if !live.insert(file.clone()) {
                    return Err(damaged(entry, &format!("it adds {} a second time", file.path)));
                }
            }
        }
        Ok(())
    }

    /// Counts a file that retention takes, if it is live.
    fn expire(&mut self, layer: &str, path: &str) {
        let Some(file) = self.files.get(layer).and_then(|live| live.get(path)).cloned() else { return };
        let mut expired = self.expired.remove(layer).unwrap_or_default();
        expired.count(&file, |version, partition| self.incarnation_at(version, partition));
        self.expired.insert(layer.to_owned(), expired);
    }

    /// A definition changes with a claim, and with it a KPI may begin, once (H4).
    fn take_definition(&mut self, entry: &Entry) -> Result<(), FoldError> {
        if entry.is_claim() {
            for (kpi, first) in &entry.first_windows {
                if *first <= self.g || self.first_windows.insert(kpi.clone(), *first).is_some() {
                    return Err(damaged(entry, &format!("KPI {kpi} can't begin at {}", first.0)));
                }
            }
        } else if entry.definition != self.definition || !entry.first_windows.is_empty() {
            return Err(damaged(entry, "the definition changes without a claim"));
        }
        Ok(())
    }

    fn take_state(&mut self, entry: &Entry) -> Result<(), FoldError> {
        for path in &entry.state.removed {
            let before = self.state.len();
            self.state.retain(|object| &object.path != path);
            if self.state.len() == before {
                return Err(damaged(entry, &format!("it removes state {path}, which is not held")));
            }
            self.state_removed.push((entry.version, path.clone()));
        }
        let horizon = Version(entry.version.0.saturating_sub(2 * CHECKPOINT_EVERY));
        self.state_removed.retain(|(removed, _)| *removed >= horizon);
        self.state.extend(entry.state.added.iter().cloned());
        Ok(())
    }
}

fn damaged(entry: &Entry, what: &str) -> FoldError {
    FoldError { version: entry.version, what: what.to_owned() }
}

/// Maps with keys that JSON can't name, as lists of pairs.
pub(super) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter())
    }

    pub fn deserialize<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OffsetRange;
    use crate::log::{
        Author, BarrierFacts, Draft, Member, NewPartition, StagedFile, StagedState, entry_hash, render, render_first,
    };

    fn author(claim: u64, attempt: &str) -> Author {
        Author {
            claim: Version(claim),
            attempt: format!("{attempt:0>32}"),
            member: Member::default(),
            definition: "d".to_owned(),
            now: 7,
        }
    }

    fn claim_draft(partitions: &[(i32, i64)]) -> Draft {
        let mut draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        for &(p, start) in partitions {
            draft.new_partitions.insert(p, NewPartition { incarnation: 0, topic_id: None, start });
        }
        draft
    }

    fn epoch_draft(barriers: &[(i32, i64, i64)]) -> Draft {
        let mut draft = Draft::empty(EntryKind::Epoch);
        for &(p, to, watermark) in barriers {
            let counters = Counters { records: 1, kept: 1, ..Counters::default() };
            let facts = BarrierFacts { to, watermark: Some(EventTime(watermark)), counters, ..BarrierFacts::default() };
            draft.barriers.insert(p, facts);
        }
        draft
    }

    fn commit(fold: &mut Fold, draft: &Draft, author: &Author) -> Result<(), FoldError> {
        let entry = render(fold, draft, author);
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(Entry::parse(&bytes).unwrap(), entry, "an entry reads back as it was written");
        fold.apply(&entry, entry_hash(&bytes))
    }

    fn started() -> Fold {
        let entry = render_first("log", &claim_draft(&[(0, 5), (1, 0)]), &author(0, "a"));
        let bytes = entry.to_bytes().unwrap();
        Fold::first(&entry, entry_hash(&bytes)).unwrap()
    }

    fn staged(path: &str) -> StagedFile {
        StagedFile {
            leaf: "a=1".to_owned(),
            staged: path.to_owned(),
            ext: "parquet".to_owned(),
            length: 1,
            checksum: "c".to_owned(),
            rows: 1,
            event_times: None,
            offsets: BTreeMap::from([(0, OffsetRange { from: 5, to: 9 })]),
        }
    }

    #[test]
    fn g_is_the_minimum_over_the_whole_set_and_partitions_without_a_barrier_hold_it() {
        let mut fold = started();
        commit(&mut fold, &epoch_draft(&[(0, 9, 100)]), &author(0, "b")).unwrap();
        assert_eq!(fold.g, EventTime::MIN, "partition 1 has no watermark yet");
        commit(&mut fold, &epoch_draft(&[(0, 12, 140), (1, 3, 90)]), &author(0, "c")).unwrap();
        assert_eq!(fold.g, EventTime(90));
        commit(&mut fold, &epoch_draft(&[(0, 13, 200)]), &author(0, "d")).unwrap();
        assert_eq!(fold.g, EventTime(90));
        assert_eq!((fold.partitions[&0].to, fold.partitions[&0].total.records), (13, 3));
    }

    #[test]
    fn a_new_partition_enters_with_floor_g() {
        let mut fold = started();
        let mut draft = epoch_draft(&[(0, 9, 100), (1, 3, 90)]);
        draft.new_partitions.insert(2, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        commit(&mut fold, &draft, &author(0, "b")).unwrap();
        assert_eq!(fold.partitions[&2].watermark, EventTime(90));
        assert_eq!(fold.g, EventTime(90));
    }

    #[test]
    fn what_breaks_the_chain_is_refused() {
        let fold = started();
        let good = render(&fold, &epoch_draft(&[(0, 9, 100)]), &author(0, "b"));
        let broken = |change: fn(&mut Entry)| {
            let mut entry = good.clone();
            change(&mut entry);
            fold.clone().apply(&entry, "h".to_owned()).unwrap_err().what
        };
        assert!(broken(|e| e.version = Version(2)).contains("does not follow"));
        assert!(broken(|e| e.previous = Some("x".to_owned())).contains("hash link"));
        assert!(broken(|e| e.log_id = "other".to_owned()).contains("belongs to log"));
        assert!(broken(|e| e.claim = Version(7)).contains("not the claim"));
        assert!(broken(|e| e.partitions.get_mut(&0).unwrap().from = 6).contains("begins at 6"));
        assert!(broken(|e| e.partitions.get_mut(&0).unwrap().to = 4).contains("goes back"));
        assert!(broken(|e| drop(e.partitions.remove(&1))).contains("left the set"));
        assert!(fold.clone().apply(&good, "h".to_owned()).is_ok());
    }

    #[test]
    fn a_reign_ends_where_the_next_claim_found_the_log() {
        let mut fold = started();
        commit(&mut fold, &epoch_draft(&[(0, 9, 100), (1, 3, 90)]), &author(0, "b")).unwrap();
        assert_eq!(fold.reign_end(Version(0), 0, 0), 9, "an open reign ends at the head");
        commit(&mut fold, &Draft::empty(EntryKind::Claim { takes: "all".to_owned() }), &author(0, "c")).unwrap();
        assert_eq!(fold.claim, Version(2));
        commit(&mut fold, &epoch_draft(&[(0, 20, 100), (1, 30, 90)]), &author(2, "d")).unwrap();
        assert_eq!((fold.reign_end(Version(0), 0, 0), fold.reign_end(Version(0), 0, 1)), (9, 3));
        assert_eq!((fold.reign_end(Version(2), 0, 0), fold.reign_end(Version(2), 0, 1)), (20, 30));
    }

    /// H5: the log remembers what was replayed, and takes nothing in twice or before it was read.
    #[test]
    fn a_record_is_replayed_once_and_only_after_it_was_read() {
        let mut fold = started();
        commit(&mut fold, &epoch_draft(&[(0, 20, 100), (1, 3, 90)]), &author(0, "b")).unwrap();
        let replay = |offsets: &[i64], counted: u64| {
            let replayed: OffsetSet = offsets.iter().copied().collect();
            let counters = Counters { replayed: counted, kept: counted, ..Counters::default() };
            let facts = BarrierFacts { to: 20, counters, replayed, ..BarrierFacts::default() };
            let mut draft = Draft::empty(EntryKind::Epoch);
            draft.barriers.insert(0, facts);
            draft
        };
        commit(&mut fold, &replay(&[7, 8, 11], 3), &author(0, "c")).unwrap();
        assert_eq!(fold.replays, [Version(2)]);
        assert_eq!(fold.partitions[&0].replayed.iter().collect::<Vec<_>>(), [7, 8, 11]);
        assert_eq!((fold.partitions[&0].to, fold.partitions[&0].total.records), (20, 1));
        for (offsets, counted) in [(&[8][..], 1), (&[4], 1), (&[20], 1), (&[9], 2)] {
            let refused = commit(&mut fold.clone(), &replay(offsets, counted), &author(0, "d")).unwrap_err();
            assert!(refused.what.contains("replayed before"), "{offsets:?}: {}", refused.what);
        }
        commit(&mut fold, &replay(&[5, 9], 2), &author(0, "d")).unwrap();
        assert_eq!(fold.partitions[&0].replayed.len(), 5);
        let entry = render(&fold, &epoch_draft(&[]), &author(0, "e"));
        assert_eq!(entry.requires, [crate::log::REPLAYED], "a reader that does not know it must stop, also later");
    }

    #[test]
    fn files_and_state_come_and_go_by_name() {
        let mut fold = started();
        let mut draft = epoch_draft(&[(0, 9, 100), (1, 3, 90)]);
        draft.staged.insert("rows".to_owned(), ("silver/x".to_owned(), vec![staged("s/0-a/f.tmp")]));
        let state =
            StagedState { path: "delta".to_owned(), base_of: None, length: 1, checksum: "c".to_owned(), items: 1 };
        draft.state.push(state.clone());
        commit(&mut fold, &draft, &author(0, "b")).unwrap();
        let file = fold.layer_files("rows").next().unwrap();
        assert_eq!(file.path, "silver/x/a=1/part-00000000000000000001-00000-00000000.parquet");
        assert_eq!(fold.state[0].upto, Version(1));

        let mut draft = epoch_draft(&[(0, 10, 101)]);
        draft.state.push(StagedState { path: "base".to_owned(), base_of: Some(Version(1)), ..state });
        draft.state_removed.push("delta".to_owned());
        commit(&mut fold, &draft, &author(0, "c")).unwrap();
        assert_eq!(fold.state.iter().map(|s| s.path.as_str()).collect::<Vec<_>>(), ["base"]);
        assert!(commit(&mut fold, &draft, &author(0, "d")).unwrap_err().what.contains("not held"));
        let json = serde_json::to_vec(&fold).unwrap();
        assert_eq!(serde_json::from_slice::<Fold>(&json).unwrap(), fold, "a checkpoint holds the whole fold");
    }
}
