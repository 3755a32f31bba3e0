//! What part of its time an actor works, and what part of it waits for others' credits.
//!
//! Written by the actor's own thread around each message, read by anybody: relaxed atomics, no lock, no allocation. A
//! reader that comes between two writes is off by one message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::clock;
use super::gauge::Gauge;

/// Time spent by one actor since it was started.
#[derive(Debug)]
pub struct Load {
    origin: Instant,
    busy: AtomicU64,
    blocked: AtomicU64,
    /// Nanoseconds after `origin` of the last change.
    since: AtomicU64,
    /// Pieces of work under way: an actor may write for several partitions at once.
    under_way: AtomicU32,
    is_blocked: AtomicBool,
}

/// Time spent, up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// At work.
    pub busy: Duration,
    /// Waiting for a receiver that has no credit.
    pub blocked: Duration,
}

impl Load {
    /// Nothing yet, at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            busy: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            since: AtomicU64::new(0),
            under_way: AtomicU32::new(0),
            is_blocked: AtomicBool::new(false),
        }
    }

    /// Time spent until `now`, with the piece of work that is under way.
    #[must_use]
    pub fn spent(&self, now: Instant) -> Spent {
        let (mut busy, mut blocked) = (self.busy.load(Ordering::Relaxed), self.blocked.load(Ordering::Relaxed));
        if self.under_way.load(Ordering::Relaxed) > 0 {
            let running = self.nanos(now).saturating_sub(self.since.load(Ordering::Relaxed));
            if self.is_blocked.load(Ordering::Relaxed) { blocked += running } else { busy += running }
        }
        Spent { busy: Duration::from_nanos(busy), blocked: Duration::from_nanos(blocked) }
    }

    /// Books the time since the last change under what held until now.
    fn book(&self, now: Instant) {
        let at = self.nanos(now);
        let elapsed = at.saturating_sub(self.since.swap(at, Ordering::Relaxed));
        if self.under_way.load(Ordering::Relaxed) > 0 {
            let of = if self.is_blocked.load(Ordering::Relaxed) { &self.blocked } else { &self.busy };
            of.fetch_add(elapsed, Ordering::Relaxed);
        }
    }

    pub(super) fn begin(&self, now: Instant) {
        self.book(now);
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, now: Instant) {
        self.book(now);
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn block(&self, now: Instant, is_blocked: bool) {
        self.book(now);
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A piece of work; it ends when this is dropped.
#[derive(Debug)]
pub struct Work {
    gauge: Arc<Gauge>,
}

impl Work {
    /// Work of the actor behind `gauge` begins.
    #[must_use]
    pub fn begin(gauge: &Arc<Gauge>) -> Self {
        gauge.load.begin(clock::now());
        Self { gauge: Arc::clone(gauge) }
    }

    /// Hands on what came of it: all that this takes is waiting for others' credits.
    pub async fn handing_on<T>(&self, send: impl Future<Output = T>) -> T {
        self.gauge.load.block(clock::now(), true);
        let sent = send.await;
        self.gauge.load.block(clock::now(), false);
        sent
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.gauge.load.end(clock::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_booked_under_what_held_and_the_running_piece_counts() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let spent = |load: &Load, now| {
            let spent = load.spent(now);
            (spent.busy.as_secs(), spent.blocked.as_secs())
        };
        let load = Load::new(start);
        assert_eq!(spent(&load, at(5)), (0, 0), "nothing to do is neither");
        load.begin(at(5));
        assert_eq!(spent(&load, at(8)), (3, 0), "a piece that has not ended yet");
        load.block(at(9), true);
        assert_eq!(spent(&load, at(11)), (4, 2));
        load.block(at(12), false);
        load.end(at(13));
        assert_eq!(spent(&load, at(60)), (5, 3));
    }

    #[test]
    fn two_pieces_at_once_are_no_more_than_all_the_time() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let load = Load::new(start);
        load.begin(at(0));
        load.begin(at(1));
        load.end(at(2));
        load.end(at(4));
        assert_eq!(load.spent(at(10)).busy, Duration::from_secs(4));
    }
}
