//! Readings of the last seconds and minutes, from which rates and shares are made.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use lakeward_actors::kit::{Board, Gauges, Spent};

use crate::host::Host;

/// Shares and rates are means over this many readings, one a second.
const OVER: usize = 5;

/// Points of the curves: two minutes.
const POINTS: usize = 120;

/// An actor, by kind and number.
pub type Who = (&'static str, u32);

/// What was read.
#[derive(Debug, Default)]
pub struct Samples {
    readings: VecDeque<Reading>,
    points: VecDeque<Point>,
    /// The newest figures of the process.
    pub host: Host,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    spent: BTreeMap<Who, (Spent, u64)>,
    read: u64,
    cpu: Option<f64>,
}

/// A point of the curves.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Wall clock, microseconds.
    pub at: i64,
    /// Records read since the start.
    pub read: u64,
    /// Records read per second.
    pub rate: f64,
    /// Processors in use.
    pub cpu: f64,
    /// Bytes of memory.
    pub resident: u64,
    /// Records waiting in Kafka.
    pub lag: u64,
}

/// What an actor did of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Share of time at work.
    pub busy: f64,
    /// Share of time waiting for others' credits.
    pub blocked: f64,
    /// Messages per second.
    pub messages: f64,
}

impl Samples {
    /// Takes the present readings in.
    pub fn take(&mut self, now: Instant, wall: i64, board: &Board, gauges: &Gauges) {
        self.host = Host::now();
        let spent = gauges.live().into_iter().map(|gauge| {
            let handled = gauge.read(now).handled;
            ((gauge.kind, gauge.index), (gauge.load.spent(now), handled))
        });
        let read = board.totals().records;
        self.readings.push_back(Reading { at: now, spent: spent.collect(), read, cpu: self.host.cpu_seconds });
        if self.readings.len() > OVER + 1 {
            self.readings.pop_front();
        }
        let point = Point {
            at: wall,
            read,
            rate: self.rate_over(1),
            cpu: self.cpu(),
            resident: self.host.resident.unwrap_or(0),
            lag: lag(board),
        };
        self.points.push_back(point);
        if self.points.len() > POINTS {
            self.points.pop_front();
        }
    }

    /// The curves, oldest point first.
    #[must_use]
    pub fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    /// What an actor did of late.
    #[must_use]
    pub fn shares(&self, who: Who) -> Shares {
        let Some((first, last, elapsed)) = self.ends_of(OVER) else { return Shares::default() };
        let of = |reading: &Reading| reading.spent.get(&who).copied();
        let Some((now, handled)) = of(last) else { return Shares::default() };
        let (before, handled_before) = of(first).unwrap_or_default();
        let share = |now: Duration, before: Duration| (now.saturating_sub(before).as_secs_f64() / elapsed).min(1.0);
        Shares {
            busy: share(now.busy, before.busy),
            blocked: share(now.blocked, before.blocked),
            messages: wide(handled.saturating_sub(handled_before)) / elapsed,
        }
    }

    /// Records read per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate_over(OVER)
    }

    /// Records that came into Kafka per second: what was read and what the lag grew by, since the curves' oldest point.
    #[must_use]
    pub fn incoming(&self) -> Option<f64> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        let elapsed = wide(u64::try_from(last.at - first.at).unwrap_or(0)) / 1e6;
        let came = wide(last.read.saturating_sub(first.read)) + wide(last.lag) - wide(first.lag);
        (elapsed > 0.0).then(|| (came / elapsed).max(0.0))
    }

    /// Processors in use.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        let used =
            |(first, last, elapsed): (&Reading, &Reading, f64)| Some((last.cpu? - first.cpu?).max(0.0) / elapsed);
        self.ends_of(OVER).and_then(used).unwrap_or(0.0)
    }

    fn rate_over(&self, readings: usize) -> f64 {
        let rate =
            |(first, last, elapsed): (&Reading, &Reading, f64)| wide(last.read.saturating_sub(first.read)) / elapsed;
        self.ends_of(readings).map_or(0.0, rate)
    }

    /// The newest reading, the one at most `readings` before it, and the seconds between them.
    fn ends_of(&self, readings: usize) -> Option<(&Reading, &Reading, f64)> {
        let last = self.readings.back()?;
        let first = self.readings.get(self.readings.len().saturating_sub(readings + 1))?;
        let elapsed = last.at.saturating_duration_since(first.at).as_secs_f64();
        (elapsed > 0.0).then_some((first, last, elapsed))
    }
}

/// Records of all partitions that wait in Kafka.
#[must_use]
pub fn lag(board: &Board) -> u64 {
    board.partitions().iter().map(|p| u64::try_from(p.end.saturating_sub(p.position)).unwrap_or(0)).sum()
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn wide(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use lakeward_actors::kit::{Clock, Work};

    use super::*;

    #[test]
    fn shares_are_means_of_the_last_seconds_and_a_gone_actor_has_none() {
        let (board, gauges, mut samples) = (Board::default(), Gauges::default(), Samples::default());
        let start = Clock::system().steady();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (working, resting) = (gauges.register("layer_writer", 0), gauges.register("layer_writer", 1));
        samples.take(at(0), 0, &board, &gauges);
        let _work = Work::begin(&working);
        for second in 1..=10 {
            samples.take(at(second), 0, &board, &gauges);
        }
        assert!(samples.shares(("layer_writer", 0)).busy > 0.99);
        assert_eq!(samples.shares(("layer_writer", 1)).busy, 0.0);
        drop(resting);
        samples.take(at(11), 0, &board, &gauges);
        assert_eq!(samples.shares(("layer_writer", 1)), Shares::default());
        for second in 12..400 {
            samples.take(at(second), 0, &board, &gauges);
        }
        assert_eq!((samples.points().len(), samples.readings.len()), (POINTS, OVER + 1));
    }
}
