//! How much waits in front of an actor, and for how long.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::clock;
use super::load::Load;

/// What one actor has in front of it.
#[derive(Debug)]
pub struct Gauge {
    /// Kind of the actor, such as `partition`.
    pub kind: &'static str,
    /// Its number among those of its kind.
    pub index: u32,
    /// Credits that exist on all edges into it.
    pub capacity: AtomicUsize,
    /// What it does with its time.
    pub load: Load,
    peak: AtomicUsize,
    handled: AtomicU64,
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, (Instant, u64)>>,
}

/// One reading of a gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Messages sent and not yet done with.
    pub depth: usize,
    /// Largest depth ever seen.
    pub peak: usize,
    /// Credits not in use.
    pub credits_free: usize,
    /// Credits in all.
    pub capacity: usize,
    /// Records in the waiting messages.
    pub lag_records: u64,
    /// Seconds that the oldest of them has waited.
    pub lag_seconds: f64,
    /// Messages done with since the start.
    pub handled: u64,
}

impl Gauge {
    fn new(kind: &'static str, index: u32) -> Self {
        Self {
            kind,
            index,
            capacity: AtomicUsize::new(0),
            load: Load::new(clock::now()),
            peak: AtomicUsize::new(0),
            handled: AtomicU64::new(0),
            next: AtomicU64::new(0),
            waiting: Mutex::new(BTreeMap::new()),
        }
    }

    /// Notes a message of `records` records; the ticket goes back to `done`.
    #[must_use]
    pub fn enter(&self, now: Instant, records: u64) -> u64 {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(ticket, (now, records));
        self.peak.fetch_max(waiting.len(), Ordering::Relaxed);
        ticket
    }

    /// The message behind `ticket` is done with.
    pub fn done(&self, ticket: u64) {
        self.handled.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
    }

    /// The gauge as it stands at `now`.
    #[must_use]
    pub fn read(&self, now: Instant) -> Reading {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = waiting.values().next().map_or(0.0, |(since, _)| now.duration_since(*since).as_secs_f64());
        let capacity = self.capacity.load(Ordering::Relaxed);
        Reading {
            depth: waiting.len(),
            peak: self.peak.load(Ordering::Relaxed),
            credits_free: capacity.saturating_sub(waiting.len()),
            capacity,
            lag_records: waiting.values().map(|(_, records)| records).sum(),
            lag_seconds: oldest,
            handled: self.handled.load(Ordering::Relaxed),
        }
    }
}

/// The gauges of all live actors of a generation. An actor that is gone takes its gauge with it.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    all: Arc<Mutex<Vec<std::sync::Weak<Gauge>>>>,
}

impl Gauges {
    /// A gauge for a new actor.
    #[must_use]
    pub fn register(&self, kind: &'static str, index: u32) -> Arc<Gauge> {
        let gauge = Arc::new(Gauge::new(kind, index));
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|weak| weak.strong_count() > 0);
        all.push(Arc::downgrade(&gauge));
        gauge
    }

    /// The gauges of the actors that live.
    #[must_use]
    pub fn live(&self) -> Vec<Arc<Gauge>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(std::sync::Weak::upgrade).collect()
    }
}
