//! From what an epoch's barriers said to the log's next entry (E1-E3, T2, T3, L2).
//!
//! A draft knows nothing of versions; `render` makes the entry for the version after the fold's, so a draft can be
//! rendered again when the head has moved.

use std::collections::BTreeMap;

use crate::ids::{EventTime, Version};
use crate::late::LateMinutes;
use crate::ledger::Counters;
use crate::log::{
    ENGINE_SEMANTICS, ENTRY_FORMAT, EXPIRED, Entry, EntryKind, FIRST_WINDOWS, Fold, GoldItem, LayerChange, LiveFile,
    Member, OffsetSet, PartitionEntry, REPLAYED, Rebuilt, StagedFile, StateChange, StateRef, final_path,
};
use crate::watermark;

/// What one partition said at its barrier.
#[derive(Clone, Debug, Default)]
pub struct BarrierFacts {
    /// The next offset to fetch.
    pub to: i64,
    /// The watermark, after the floor.
    pub watermark: Option<EventTime>,
    /// The floor that came with the barrier, if the partition was idle (T2).
    pub floor: Option<EventTime>,
    /// Whether it was judged idle.
    pub idle: bool,
    /// What became of its records since the previous barrier.
    pub counters: Counters,
    /// When the late ones among them lay.
    pub late_minutes: LateMinutes,
    /// Offsets whose records were taken out of Quarantine again; the counters are of these too.
    pub replayed: OffsetSet,
}

/// A partition that enters the set (T3), or begins a new incarnation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartition {
    /// Incarnation of the topic.
    pub incarnation: i32,
    /// Kafka's id of the topic, where known.
    pub topic_id: Option<String>,
    /// The first offset to fetch.
    pub start: i64,
}

/// The Gold rows of one KPI that an epoch closes or revises.
#[derive(Clone, Debug, Default)]
pub struct ClosedWindows {
    /// Starts of the windows that had rows.
    pub windows: Vec<EventTime>,
    /// Final rows.
    pub rows: u64,
    /// Starts of windows closed before that are revised.
    pub revised: Vec<EventTime>,
    /// Rows of those that are new or revised.
    pub revisions: u64,
}

/// A state object that was written under staging names.
#[derive(Clone, Debug)]
pub struct StagedState {
    /// Path below the lake's root.
    pub path: String,
    /// `Some(v)`: a base that stands for everything up to v; `None`: this epoch's increments.
    pub base_of: Option<Version>,
    /// Bytes.
    pub length: u64,
    /// XXH3-128, hex.
    pub checksum: String,
    /// Increments held.
    pub items: u64,
}

/// Everything the next entry says, but for version, links and names.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What the entry is for.
    pub kind: EntryKind,
    /// Barriers, for an epoch; partitions of the set without one keep their values.
    pub barriers: BTreeMap<i32, BarrierFacts>,
    /// Partitions that enter the set.
    pub new_partitions: BTreeMap<i32, NewPartition>,
    /// Windows closed and revised, by KPI name.
    pub closed: BTreeMap<String, ClosedWindows>,
    /// Staged files by layer name, with the layer's folder.
    pub staged: BTreeMap<String, (String, Vec<StagedFile>)>,
    /// Files of the log before that this log goes on with where they are, by layer name (L6).
    pub kept: BTreeMap<String, Vec<LiveFile>>,
    /// Paths of live files that are taken out, by layer name (H1).
    pub removed: BTreeMap<String, Vec<String>>,
    /// Paths of live files whose retention is over, by layer name (H1).
    pub expired: BTreeMap<String, Vec<String>>,
    /// State objects written.
    pub state: Vec<StagedState>,
    /// Paths of state objects that a base among `state` replaces.
    pub state_removed: Vec<String>,
    /// KPIs that a claim takes up, with the start of each one's first window.
    pub first_windows: BTreeMap<String, EventTime>,
    /// New boundary of the rows mart.
    pub rows_boundary: Option<EventTime>,
    /// Entries below this version may go from this entry on.
    pub entries_from: Option<Version>,
    /// What followers have done.
    pub followers: BTreeMap<String, Version>,
    /// How far files are in place.
    pub rolled: Option<Version>,
    /// What of the log before a rebuild has written.
    pub rebuilt: Option<Rebuilt>,
}

impl Draft {
    /// A draft that changes nothing.
    #[must_use]
    pub fn empty(kind: EntryKind) -> Self {
        Self {
            kind,
            barriers: BTreeMap::new(),
            new_partitions: BTreeMap::new(),
            closed: BTreeMap::new(),
            staged: BTreeMap::new(),
            kept: BTreeMap::new(),
            removed: BTreeMap::new(),
            expired: BTreeMap::new(),
            state: Vec::new(),
            state_removed: Vec::new(),
            first_windows: BTreeMap::new(),
            rows_boundary: None,
            entries_from: None,
            followers: BTreeMap::new(),
            rolled: None,
            rebuilt: None,
        }
    }

    /// Staged files take the place of live ones in a layer (H1). `folder`: the layer's.
    pub fn replace(&mut self, layer: &str, folder: &str, removed: Vec<String>, added: Vec<StagedFile>) {
        let staged = self.staged.entry(layer.to_owned());
        staged.or_insert_with(|| (folder.to_owned(), Vec::new())).1.extend(added);
        self.removed.entry(layer.to_owned()).or_default().extend(removed);
    }
}

/// Who writes an entry, and under what.
#[derive(Clone, Debug)]
pub struct Author {
    /// The claim; ignored in a claim entry, whose claim is its version.
    pub claim: Version,
    /// 128 random bits, hex.
    pub attempt: String,
    /// Information about the process.
    pub member: Member,
    /// Hash of the definition that decided.
    pub definition: String,
    /// Wall clock, microseconds.
    pub now: i64,
}

/// G after these barriers (E3): the minimum over the previous entry's set, with its values where a partition has no
/// barrier; never of nothing, never back.
#[must_use]
pub fn next_g(fold: &Fold, barriers: &BTreeMap<i32, BarrierFacts>) -> EventTime {
    let watermarks = fold.partitions.iter().map(|(p, held)| {
        let said = barriers.get(p).and_then(|b| b.watermark).unwrap_or(held.watermark);
        said.max(held.watermark)
    });
    watermark::global(watermarks, fold.g)
}

/// The entry at version 0 of a new log, a claim (L6). Its set holds the partitions with their start offsets.
#[must_use]
pub fn render_first(log_id: &str, draft: &Draft, author: &Author) -> Entry {
    let mut entry = blank(log_id, Version(0), None, draft, author);
    entry.claim = Version(0);
    entry.partitions = enter(&draft.new_partitions, EventTime::MIN, Version(0));
    entry
}

/// The entry after the fold's newest.
#[must_use]
pub fn render(fold: &Fold, draft: &Draft, author: &Author) -> Entry {
    let version = fold.version.next();
    let claim = if matches!(draft.kind, EntryKind::Claim { .. }) { version } else { author.claim };
    let mut entry = blank(&fold.log_id, version, Some(fold.hash.clone()), draft, author);
    entry.claim = claim;
    entry.g = next_g(fold, &draft.barriers);
    entry.partitions = carried(fold, draft, claim);
    entry.partitions.extend(enter(&draft.new_partitions, entry.g, claim));
    entry.gold = gold(draft, version, entry.g);
    entry.layers = layers(draft, version, &author.attempt, furthest(fold, &entry));
    entry.state = state(draft, version);
    if !(fold.first_windows.is_empty() && draft.first_windows.is_empty()) {
        entry.requires.push(FIRST_WINDOWS.to_owned());
    }
    if !fold.replays.is_empty() || draft.barriers.values().any(|said| !said.replayed.is_empty()) {
        entry.requires.push(REPLAYED.to_owned());
    }
    if !fold.expired.is_empty() || draft.expired.values().any(|paths| !paths.is_empty()) {
        entry.requires.push(EXPIRED.to_owned());
    }
    entry.rows_boundary = draft.rows_boundary.filter(|b| Some(*b) > fold.rows_boundary).or(fold.rows_boundary);
    entry.entries_from = draft.entries_from.max(fold.entries_from);
    entry.rolled = draft.rolled.max(fold.rolled);
    entry
}

fn blank(log_id: &str, version: Version, previous: Option<String>, draft: &Draft, author: &Author) -> Entry {
    Entry {
        format: ENTRY_FORMAT,
        version,
        log_id: log_id.to_owned(),
        previous,
        claim: author.claim,
        attempt: author.attempt.clone(),
        mode: "single".to_owned(),
        member: author.member.clone(),
        requires: Vec::new(),
        kind: draft.kind.clone(),
        definition: author.definition.clone(),
        semantics: ENGINE_SEMANTICS,
        partitions: BTreeMap::new(),
        g: EventTime::MIN,
        gold: Vec::new(),
        layers: BTreeMap::new(),
        first_windows: draft.first_windows.clone(),
        state: StateChange::default(),
        rows_boundary: draft.rows_boundary,
        entries_from: draft.entries_from,
        followers: draft.followers.clone(),
        rolled: draft.rolled,
        rebuilt: draft.rebuilt,
        created_at: author.now,
    }
}

fn carried(fold: &Fold, draft: &Draft, claim: Version) -> BTreeMap<i32, PartitionEntry> {
    let carry = |(&p, held): (&i32, &super::PartitionFold)| {
        let facts = draft.barriers.get(&p);
        let counters = facts.map(|b| b.counters.clone()).unwrap_or_default();
        let mut total = held.total.clone();
        total.add(&counters);
        let entry = PartitionEntry {
            incarnation: held.incarnation,
            topic_id: held.topic_id.clone(),
            claim,
            from: held.to,
            to: facts.map_or(held.to, |b| b.to),
            watermark: facts.and_then(|b| b.watermark).map_or(held.watermark, |w| w.max(held.watermark)),
            floor: facts.and_then(|b| b.floor),
            idle: facts.is_some_and(|b| b.idle),
            counters,
            total,
            late_minutes: facts.map(|b| b.late_minutes.clone()).unwrap_or_default(),
            replayed: facts.map(|b| b.replayed.clone()).unwrap_or_default(),
        };
        (p, entry)
    };
    fold.partitions.iter().map(carry).collect()
}

fn enter(new: &BTreeMap<i32, NewPartition>, g: EventTime, claim: Version) -> BTreeMap<i32, PartitionEntry> {
    let entry = |(&p, n): (&i32, &NewPartition)| {
        let entry = PartitionEntry {
            incarnation: n.incarnation,
            topic_id: n.topic_id.clone(),
            claim,
            from: n.start,
            to: n.start,
            watermark: g,
            floor: (g > EventTime::MIN).then_some(g),
            idle: false,
            counters: Counters::default(),
            total: Counters::default(),
            late_minutes: LateMinutes::default(),
            replayed: OffsetSet::default(),
        };
        (p, entry)
    };
    new.iter().map(entry).collect()
}

fn gold(draft: &Draft, version: Version, g: EventTime) -> Vec<GoldItem> {
    let item = |(kpi, closed): (&String, &ClosedWindows)| GoldItem {
        kpi: kpi.clone(),
        key_groups: (0, 256),
        upto: version,
        g,
        windows: closed.windows.clone(),
        rows: closed.rows,
        revised: closed.revised.clone(),
        revisions: closed.revisions,
    };
    draft.closed.iter().map(item).collect()
}

/// The furthest watermark that any partition has had; `None` before the first event time.
fn furthest(fold: &Fold, entry: &Entry) -> Option<EventTime> {
    let past = fold.past_incarnations.values().chain(fold.partitions.values()).map(|held| held.watermark);
    past.chain(entry.partitions.values().map(|now| now.watermark)).max().filter(|time| *time > EventTime::MIN)
}

fn layers(draft: &Draft, version: Version, attempt: &str, as_of: Option<EventTime>) -> BTreeMap<String, LayerChange> {
    let mut n = 0;
    let mut changes: BTreeMap<String, LayerChange> = BTreeMap::new();
    for (layer, files) in draft.kept.iter().filter(|(_, files)| !files.is_empty()) {
        changes.entry(layer.clone()).or_default().added.clone_from(files);
    }
    for (layer, paths) in draft.removed.iter().filter(|(_, paths)| !paths.is_empty()) {
        changes.entry(layer.clone()).or_default().removed.clone_from(paths);
    }
    for (layer, paths) in draft.expired.iter().filter(|(_, paths)| !paths.is_empty()) {
        changes.entry(layer.clone()).or_default().expired.clone_from(paths);
    }
    for (layer, (folder, files)) in &draft.staged {
        let mut added = Vec::with_capacity(files.len());
        for staged in files {
            let path = final_path(folder, staged, version, n, attempt);
            added.push(LiveFile { path, staged: staged.clone(), as_of });
            n += 1;
        }
        if !added.is_empty() {
            changes.entry(layer.clone()).or_default().added.extend(added);
        }
    }
    changes
}

fn state(draft: &Draft, version: Version) -> StateChange {
    let reference = |s: &StagedState| StateRef {
        path: s.path.clone(),
        base: s.base_of.is_some(),
        upto: s.base_of.unwrap_or(version),
        length: s.length,
        checksum: s.checksum.clone(),
        items: s.items,
    };
    StateChange { added: draft.state.iter().map(reference).collect(), removed: draft.state_removed.clone() }
}

/// The boundary of the rows mart after an entry with this G (F2): whole minutes of Kafka time below `g - keep`.
#[must_use]
pub fn rows_boundary(g: EventTime, keep: i64) -> Option<EventTime> {
    const MINUTE: i64 = 60_000_000;
    if g == EventTime::MIN {
        return None;
    }
    let limit = g.minus(keep).0;
    Some(EventTime(limit - limit.rem_euclid(MINUTE)))
}
