//! What many threads read while actors write: newest positions, watermarks, lag, what followers have done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use lakeward_core::ids::{EventTime, Version};
use lakeward_core::ledger::Counters;
use lakeward_core::log::{Fold, has_caught_up};

use super::history::History;

/// One partition, as its actor last said.
#[derive(Clone, Debug)]
pub struct PartitionState {
    /// The next offset to fetch.
    pub position: i64,
    /// Its watermark.
    pub watermark: EventTime,
    /// Offsets up to here are in what was handed to the KPI actors.
    pub handed: i64,
    /// The end offset that Kafka last told, -1 before the first answer.
    pub end: i64,
    /// Largest event time seen.
    pub newest: EventTime,
    /// Milliseconds of wall time when the watermark last moved.
    pub moved_at: u64,
    /// Whether it must wait for slower partitions (T7).
    pub drifting: bool,
    /// Whether Kafka's answers say that it has had nothing new for a while (T2).
    pub idle: bool,
}

/// A follower's progress and trouble.
#[derive(Clone, Debug, Default)]
pub struct FollowerState {
    /// Everything up to this version is applied; `None` before the first.
    pub done: Option<Version>,
    /// What it last stumbled over, until it went on.
    pub trouble: Option<String>,
    /// Wall clock of the newest data visible in it, microseconds.
    pub fresh_at: i64,
}

/// The shared state of one pipeline in this process.
#[derive(Clone, Debug, Default)]
pub struct Board {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    partitions: DashMap<i32, PartitionState>,
    followers: DashMap<String, FollowerState>,
    totals: DashMap<(), Counters>,
    open_windows: DashMap<u32, u64>,
    unshown: DashMap<String, u64>,
    entries_from: DashMap<(), Version>,
    held_back: DashMap<String, BTreeMap<i32, i64>>,
    state_bytes: DashMap<String, u64>,
    kpi_actors: AtomicU64,
    head: AtomicU64,
    owner: AtomicBool,
    claim: AtomicU64,
    hold: AtomicBool,
    epoch_bytes: AtomicU64,
    history: Mutex<History>,
    fold: Mutex<Option<Arc<Fold>>>,
}

impl Board {
    /// Partitions by number.
    #[must_use]
    pub fn partitions(&self) -> &DashMap<i32, PartitionState> {
        &self.inner.partitions
    }

    /// Followers by name.
    #[must_use]
    pub fn followers(&self) -> &DashMap<String, FollowerState> {
        &self.inner.followers
    }

    /// The newest entries, as they were committed here.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.inner.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest state of the log that this process knows, for people.
    pub fn show_fold(&self, fold: Arc<Fold>) {
        *self.inner.fold.lock().unwrap_or_else(PoisonError::into_inner) = Some(fold);
    }

    /// The newest state of the log that this process knows; `None` before it has owned the pipeline.
    #[must_use]
    pub fn fold(&self) -> Option<Arc<Fold>> {
        self.inner.fold.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the next entry say that entries below `version` may go.
    pub fn offer_entries_from(&self, version: Version) {
        self.inner.entries_from.insert((), version);
    }

    /// What was offered.
    #[must_use]
    pub fn entries_from(&self) -> Option<Version> {
        self.inner.entries_from.get(&()).map(|version| *version)
    }

    /// Open windows per KPI actor.
    #[must_use]
    pub fn open_windows(&self) -> &DashMap<u32, u64> {
        &self.inner.open_windows
    }

    /// Live values that are not in the mart yet, by who has them.
    pub fn set_unshown(&self, holder: &str, values: usize) {
        if values == 0 {
            self.inner.unshown.remove(holder);
        } else {
            self.inner.unshown.insert(holder.to_owned(), u64::try_from(values).unwrap_or(u64::MAX));
        }
    }

    /// How many live values the holder has.
    #[must_use]
    pub fn unshown(&self, holder: &str) -> u64 {
        self.inner.unshown.get(holder).map_or(0, |values| *values)
    }

    /// The holder shows nothing until the partitions have handed on what lies below these offsets (F3).
    pub fn hold_back(&self, holder: &str, until: BTreeMap<i32, i64>) {
        self.inner.held_back.insert(holder.to_owned(), until);
    }

    /// Whether the holder still shows nothing.
    #[must_use]
    pub fn is_held_back(&self, holder: &str) -> bool {
        let handed = |p: i32| self.inner.partitions.get(&p).map(|state| state.handed);
        self.inner.held_back.get(holder).is_some_and(|until| !has_caught_up(&until, handed))
    }

    /// Whether all live values are in the mart, but for those that wait for more input.
    #[must_use]
    pub fn all_shown(&self) -> bool {
        self.inner.unshown.iter().all(|values| self.is_held_back(values.key()))
    }

    /// Bytes of state in memory, by holder.
    #[must_use]
    pub fn state_bytes(&self) -> &DashMap<String, u64> {
        &self.inner.state_bytes
    }

    /// Adds what became of the records of a batch.
    pub fn count(&self, counters: &Counters) {
        self.inner.totals.entry(()).or_default().add(counters);
    }

    /// What became of all records that this process has read.
    #[must_use]
    pub fn totals(&self) -> Counters {
        self.inner.totals.get(&()).map(|c| c.clone()).unwrap_or_default()
    }

    /// Live KPI actors.
    pub fn set_kpi_actors(&self, n: u64) {
        self.inner.kpi_actors.store(n, Ordering::Relaxed);
    }

    /// Live KPI actors.
    #[must_use]
    pub fn kpi_actors(&self) -> u64 {
        self.inner.kpi_actors.load(Ordering::Relaxed)
    }

    /// The newest version known committed.
    pub fn set_head(&self, head: Version) {
        self.inner.head.store(head.0, Ordering::Relaxed);
    }

    /// The newest version known committed.
    #[must_use]
    pub fn head(&self) -> Version {
        Version(self.inner.head.load(Ordering::Relaxed))
    }

    /// Whether this process owns the pipeline.
    pub fn set_owner(&self, owner: bool) {
        self.inner.owner.store(owner, Ordering::Relaxed);
    }

    /// Whether this process owns the pipeline.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.inner.owner.load(Ordering::Relaxed)
    }

    /// The claim that this process last took.
    pub fn set_claim(&self, claim: Version) {
        self.inner.claim.store(claim.0, Ordering::Relaxed);
    }

    /// The claim that this process last took.
    #[must_use]
    pub fn claim(&self) -> Version {
        Version(self.inner.claim.load(Ordering::Relaxed))
    }

    /// Whether sources must wait: two epochs are in flight and the open one is full (E1).
    pub fn set_hold(&self, hold: bool) {
        self.inner.hold.store(hold, Ordering::Relaxed);
    }

    /// Whether sources must wait.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.inner.hold.load(Ordering::Relaxed)
    }

    /// Adds payload bytes to the open epoch's figure.
    pub fn add_epoch_bytes(&self, bytes: u64) {
        self.inner.epoch_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Payload bytes since the last cut.
    #[must_use]
    pub fn epoch_bytes(&self) -> u64 {
        self.inner.epoch_bytes.load(Ordering::Relaxed)
    }

    /// An epoch was cut: bytes count from zero.
    pub fn reset_epoch_bytes(&self) {
        self.inner.epoch_bytes.store(0, Ordering::Relaxed);
    }

    /// A follower was started: it counts as behind until it says how far it is, so that nobody who waits for all
    /// followers leaves before it had its first turn.
    pub fn follower_started(&self, name: &str) {
        self.inner.followers.entry(name.to_owned()).or_default();
    }

    /// A follower died and will be started again: nobody knows how far it is.
    pub fn follower_died(&self, name: &str) {
        let mut state = self.inner.followers.entry(name.to_owned()).or_default();
        state.done = None;
        state.trouble = Some("it died and is started again".to_owned());
    }

    /// A follower has applied everything up to `version`.
    pub fn follower_done(&self, name: &str, version: Version) {
        let mut state = self.inner.followers.entry(name.to_owned()).or_default();
        state.done = state.done.max(Some(version));
        state.trouble = None;
    }

    /// A follower can't go on for now.
    pub fn follower_trouble(&self, name: &str, trouble: &str) {
        self.inner.followers.entry(name.to_owned()).or_default().trouble = Some(trouble.to_owned());
    }

    /// Forgets what belongs to a generation.
    pub fn clear(&self) {
        self.inner.partitions.clear();
        self.inner.open_windows.clear();
        self.inner.unshown.clear();
        self.inner.held_back.clear();
        self.inner.followers.clear();
        self.inner.entries_from.clear();
        self.inner.state_bytes.clear();
        self.inner.kpi_actors.store(0, Ordering::Relaxed);
        self.inner.hold.store(false, Ordering::Relaxed);
        self.reset_epoch_bytes();
    }
}
