//! What the entries say together, added up anew: ranges, claims, live files, state, followers (I1, I3, I10, I19).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lakeward_core::ids::{EventTime, Version};
use lakeward_core::ledger::Counters;
use lakeward_core::log::{
    Entry, EntryKind, Expired, Fold, LayerChange, LiveFile, LiveFiles, OffsetSet, PartitionEntry, PartitionFold,
    ReignEnd, StateRef, version_of,
};

use crate::invariant::Invariant::{self, I1, I3, I10, I19, I21};
use crate::report::Report;

/// A topic's partition in one incarnation.
pub type Source = (i32, i32);

/// A file that is live at the head.
#[derive(Clone, Debug)]
pub struct Live {
    /// The file.
    pub file: LiveFile,
    /// The entry that added it.
    pub version: Version,
}

/// What retention has taken of a layer.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    /// Files.
    pub files: u64,
    /// Rows or lines in them.
    pub rows: u64,
    /// The newest entry whose files it took.
    pub upto: Version,
    /// Their paths; none of those that went below the base.
    paths: HashSet<String>,
}

impl Gone {
    fn below(base: &Expired) -> Self {
        Self { files: base.files, rows: base.rows, upto: base.upto, paths: HashSet::new() }
    }

    fn take(&mut self, live: &Live) {
        self.files += 1;
        self.rows += live.file.staged.rows;
        self.upto = self.upto.max(live.version);
        self.paths.insert(live.file.path.clone());
    }

    /// Whether some of what an entry changed in the layer is gone.
    #[must_use]
    pub fn touches(&self, change: &LayerChange) -> bool {
        change.added.iter().any(|file| self.paths.contains(&file.path))
    }

    /// What is told of it.
    #[must_use]
    pub fn told(&self, layer: &str) -> String {
        let Self { files, rows, upto, .. } = self;
        format!("retention took {files} files of {layer} with {rows} rows, of entries up to {upto}")
    }
}

/// How far a partition has come.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Kafka's id of the topic, where known.
    pub topic_id: Option<String>,
    /// The first offset.
    pub start: i64,
    /// The next offset to fetch.
    pub to: i64,
    /// The watermark.
    pub watermark: EventTime,
    /// Counters of all records.
    pub total: Counters,
    /// Offsets whose records were replayed out of Quarantine.
    pub replayed: OffsetSet,
}

/// All entries, added up.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every incarnation of every partition.
    pub sources: BTreeMap<Source, Reached>,
    /// The present incarnation of each partition.
    pub incarnations: BTreeMap<i32, i32>,
    /// Live files per layer, by path.
    pub live: BTreeMap<String, BTreeMap<String, Live>>,
    /// Entries that replayed records out of Quarantine.
    pub replays: Vec<Version>,
    /// Layers that entries have taken files out of for another reason than retention.
    pub removed_from: BTreeSet<String>,
    /// What retention has taken, per layer of which it took something.
    pub gone: BTreeMap<String, Gone>,
    /// Files that entries above `rolled` have taken out: they may still be in sight.
    pub going: BTreeMap<Version, Vec<String>>,
    /// State objects held, by path.
    pub state: BTreeMap<String, StateRef>,
    /// State objects that an entry has taken out.
    pub state_removed: Vec<(Version, StateRef)>,
    /// Per claim where each source stood when the next one came; of the newest one there is none.
    reigns: BTreeMap<Version, BTreeMap<Source, i64>>,
    /// The claim in force.
    pub claim: Version,
    /// Gold's watermark.
    pub g: Option<EventTime>,
    /// Boundary of the rows mart.
    pub rows_boundary: Option<EventTime>,
    /// Per follower the newest version that an entry has recorded as done.
    pub followers: BTreeMap<String, Version>,
    /// Files of all entries up to here are in place.
    pub rolled: Option<Version>,
    /// Definitions in the order of their first entry.
    pub definitions: Vec<String>,
}

impl History {
    /// Adds up all entries, above the base if there is one.
    #[must_use]
    pub fn of(base: Option<&Fold>, entries: &[Entry], report: &mut Report) -> Self {
        let mut history = base.map(Self::from_base).unwrap_or_default();
        for entry in entries {
            history.take(entry, report);
        }
        history
    }

    /// Where the reign of `claim` ended for a source: rows at or above were never committed under it (F2).
    #[must_use]
    pub fn reign_end(&self, claim: Version, source: Source) -> i64 {
        let reached = self.sources.get(&source);
        let present = self.incarnations.get(&source.1) == Some(&source.0);
        let end = match self.reigns.get(&claim) {
            Some(reign) if present => reign.get(&source).copied(),
            _ => reached.map(|reached| reached.to),
        };
        end.or_else(|| reached.map(|reached| reached.start)).unwrap_or(0)
    }

    /// What a checkpoint says of the entries that are gone. State taken out below it nobody needs any more.
    fn from_base(fold: &Fold) -> Self {
        let reached = |held: &PartitionFold| Reached {
            topic_id: held.topic_id.clone(),
            start: held.start,
            to: held.to,
            watermark: held.watermark,
            total: held.total.clone(),
            replayed: held.replayed.clone(),
        };
        let now = fold.partitions.iter().map(|(&p, held)| ((held.incarnation, p), reached(held)));
        let past = fold.past_incarnations.iter().map(|(&(p, i), held)| ((i, p), reached(held)));
        let live = |files: &LiveFiles| {
            let of = |file: &LiveFile| Live { file: file.clone(), version: version_of(&file.path).unwrap_or_default() };
            files.iter().map(|file| (file.path.clone(), of(file))).collect()
        };
        let reign = |end: &ReignEnd| end.iter().map(|(&p, &(i, to))| ((i, p), to)).collect();
        Self {
            sources: past.chain(now).collect(),
            incarnations: fold.partitions.iter().map(|(&p, held)| (p, held.incarnation)).collect(),
            live: fold.files.iter().map(|(layer, files)| (layer.clone(), live(files))).collect(),
            replays: fold.replays.clone(),
            removed_from: BTreeSet::new(),
            going: BTreeMap::new(),
            gone: fold.expired.iter().map(|(layer, base)| (layer.clone(), Gone::below(base))).collect(),
            state: fold.state.iter().map(|object| (object.path.clone(), object.clone())).collect(),
            state_removed: Vec::new(),
            reigns: fold.reigns.iter().map(|(&claim, end)| (claim, reign(end))).collect(),
            claim: fold.claim,
            g: Some(fold.g),
            rows_boundary: fold.rows_boundary,
            followers: fold.followers.clone(),
            rolled: fold.rolled,
            definitions: vec![fold.definition.clone()],
        }
    }

    fn take(&mut self, entry: &Entry, report: &mut Report) {
        self.take_claim(entry, report);
        for (&partition, told) in &entry.partitions {
            self.take_partition(entry.version, partition, told, report);
        }
        for partition in self.incarnations.keys().filter(|p| !entry.partitions.contains_key(p)) {
            report.broken(I1, || format!("entry {}: partition {partition} has left the set", entry.version));
        }
        if entry.partitions.values().any(|told| !told.replayed.is_empty()) {
            self.replays.push(entry.version);
        }
        self.take_files(entry, report);
        self.take_state(entry, report);
        report.counted(I10, "values of G", 1);
        if Some(entry.g) < self.g {
            report.broken(I10, || format!("entry {}: G went back to {}", entry.version, entry.g.0));
        }
        self.g = Some(entry.g);
        self.rows_boundary = self.rows_boundary.max(entry.rows_boundary);
        self.rolled = self.rolled.max(entry.rolled);
        self.going.retain(|version, _| Some(*version) > self.rolled);
        for (name, version) in &entry.followers {
            let known = self.followers.entry(name.clone()).or_insert(*version);
            *known = (*known).max(*version);
        }
    }

    fn take_claim(&mut self, entry: &Entry, report: &mut Report) {
        let version = entry.version;
        if matches!(entry.kind, EntryKind::Claim { .. }) {
            if version.0 > 0 {
                let now = self.incarnations.iter().map(|(&p, &i)| (i, p));
                let ends = now.filter_map(|at| Some((at, self.sources.get(&at)?.to))).collect();
                self.reigns.insert(self.claim, ends);
            }
            self.claim = version;
        } else if self.definitions.last() != Some(&entry.definition) {
            report.broken(I19, || format!("entry {version}: the definition changes without a claim"));
        }
        if entry.claim != self.claim {
            report.broken(I1, || format!("entry {version} is of claim {}, in force is {}", entry.claim, self.claim));
        }
        report.counted(I19, "entries", 1);
        if self.definitions.last() != Some(&entry.definition) {
            self.definitions.push(entry.definition.clone());
        }
    }

    fn take_partition(&mut self, version: Version, partition: i32, told: &PartitionEntry, report: &mut Report) {
        let whose = || format!("entry {version}, partition {partition}");
        let source = (told.incarnation, partition);
        let mut broken =
            |invariant: Invariant, what: String| report.broken(invariant, || format!("{}: {what}", whose()));
        let before = self.incarnations.insert(partition, told.incarnation);
        match before {
            Some(before) if before != told.incarnation && before + 1 != told.incarnation => {
                broken(I19, format!("incarnation {} follows {before}", told.incarnation));
            }
            _ => {}
        }
        let mut total = Counters::default();
        let (mut start, mut replayed) = (told.from, OffsetSet::default());
        if let Some(held) = self.sources.get(&source) {
            replayed.clone_from(&held.replayed);
            total = held.total.clone();
            start = held.start;
            if held.to != told.from {
                broken(I1, format!("it begins at offset {}, the entry before ended at {}", told.from, held.to));
            }
            if told.watermark < held.watermark {
                broken(I10, format!("the watermark went back from {} to {}", held.watermark.0, told.watermark.0));
            }
            if held.topic_id.is_some() && told.topic_id.is_some() && held.topic_id != told.topic_id {
                broken(I19, "the topic has another id within one incarnation".to_owned());
            }
        }
        if told.to < told.from {
            broken(I1, format!("its range goes back from {} to {}", told.from, told.to));
        }
        let inside = told.replayed.ranges().iter().all(|range| range.from >= start && range.to <= told.from);
        if !inside || replayed.intersects(&told.replayed) || told.replayed.len() != told.counters.replayed {
            broken(I3, "it replays what was not read before it, or was replayed already".to_owned());
        }
        replayed.extend(&told.replayed);
        total.add(&told.counters);
        for what in unbalanced(&told.counters).into_iter().chain((total != told.total).then_some("totals don't add up"))
        {
            broken(I3, what.to_owned());
        }
        report.counted(I10, "watermarks", 1);
        let (topic_id, to, watermark) = (told.topic_id.clone(), told.to, told.watermark);
        self.sources.insert(source, Reached { topic_id, start, to, watermark, total, replayed });
    }

    fn take_files(&mut self, entry: &Entry, report: &mut Report) {
        let in_place = self.rolled.max(entry.rolled);
        for (layer, change) in &entry.layers {
            self.going.entry(entry.version).or_default().extend(change.taken_out().cloned());
            let live = self.live.entry(layer.clone()).or_default();
            for path in &change.expired {
                match live.remove(path) {
                    Some(file) => self.gone.entry(layer.clone()).or_default().take(&file),
                    None => report.broken(I1, || format!("entry {} lets {path} go, which is not live", entry.version)),
                }
                if version_of(path) > in_place {
                    report.broken(I21, || format!("entry {} lets {path} go, which may not be in place", entry.version));
                }
            }
            for path in &change.removed {
                self.removed_from.insert(layer.clone());
                if live.remove(path).is_none() {
                    report.broken(I1, || format!("entry {} removes {path}, which is not live", entry.version));
                }
            }
            for file in &change.added {
                let version = entry.version;
                if live.insert(file.path.clone(), Live { file: file.clone(), version }).is_some() {
                    report.broken(I1, || format!("entry {version} adds {} a second time", file.path));
                }
            }
        }
    }

    fn take_state(&mut self, entry: &Entry, report: &mut Report) {
        for path in &entry.state.removed {
            match self.state.remove(path) {
                Some(object) => self.state_removed.push((entry.version, object)),
                None => {
                    report.broken(I1, || format!("entry {} removes state {path}, which is not held", entry.version))
                }
            }
        }
        self.state.extend(entry.state.added.iter().map(|object| (object.path.clone(), object.clone())));
    }
}

/// What does not add up in one entry's counters.
fn unbalanced(c: &Counters) -> Vec<&'static str> {
    let sum = |by: &BTreeMap<String, u64>| by.values().sum::<u64>();
    let mut wrong = Vec::new();
    if c.records + c.replayed != c.kept + c.filtered + c.duplicate + c.quarantined + c.tombstones {
        wrong.push("records read and replayed are not kept + filtered + duplicate + quarantined + tombstones");
    }
    if sum(&c.by_reason) != c.quarantined {
        wrong.push("reasons don't add up to what was quarantined");
    }
    if sum(&c.filtered_by_check) != c.filtered {
        wrong.push("checks don't add up to what was filtered");
    }
    wrong
}
