//! Records on their way to Kafka or standard output: where they come from, how fast, until when.
//!
//! Promises: records from rules are the same for the same seed; what is counted as delivered is durable in Kafka.
//! Deliberately not here: what a record looks like (a generator file or a CSV file says that).

mod pace;
mod records;
mod sink;

use std::time::Duration;

use lakeward_actors::kit::Clock;
use tokio::sync::watch;

pub use pace::{Rate, Stamps};
pub use records::Records;
pub use sink::Sink;

use crate::exit::Exit;

/// Records sent between two looks at the clock.
const CHUNK: u64 = 500;

/// Pause while nothing is due.
const PAUSE: Duration = Duration::from_millis(2);

/// When a feed ends, beside a stop and the end of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After this many records.
    Count(u64),
    /// After this time.
    Elapsed(Duration),
    /// Never.
    Stopped,
}

/// A stream of records with its pace.
pub struct Feed {
    /// Where records come from.
    pub records: Records,
    /// Where they go.
    pub sink: Sink,
    /// How many per second.
    pub rate: Rate,
    /// Their Kafka timestamps.
    pub stamps: Stamps,
    /// When it ends.
    pub until: Until,
    /// Time.
    pub clock: Clock,
}

/// How far a feed is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records handed over.
    pub sent: u64,
    /// Records that are durable where they go.
    pub delivered: u64,
    /// Since the first one.
    pub elapsed: Duration,
}

impl Feed {
    /// Sends until the end or a stop, then waits for the last delivery. Blocks; `tell` hears of the progress often.
    ///
    /// # Errors
    /// A record could not be made or was not delivered.
    pub fn run(mut self, stop: &watch::Receiver<bool>, mut tell: impl FnMut(Progress)) -> Result<Progress, Exit> {
        let began = self.clock.steady();
        let elapsed = |clock: &Clock| clock.steady().saturating_duration_since(began);
        let mut sent = 0;
        while !*stop.borrow() && !self.is_over(sent, elapsed(&self.clock)) {
            let due = self.due(sent, elapsed(&self.clock));
            let before = sent;
            while sent < due && self.send_next(sent)? {
                sent += 1;
            }
            let exhausted = sent < due;
            tell(Progress { sent, delivered: self.sink.delivered(sent), elapsed: elapsed(&self.clock) });
            if exhausted {
                break;
            }
            if sent == before {
                std::thread::sleep(PAUSE);
            }
        }
        self.sink.finish()?;
        Ok(Progress { sent, delivered: self.sink.delivered(sent), elapsed: elapsed(&self.clock) })
    }

    fn is_over(&self, sent: u64, elapsed: Duration) -> bool {
        self.sink.is_closed()
            || match self.until {
                Until::Count(n) => sent >= n,
                Until::Elapsed(span) => elapsed >= span,
                Until::Stopped => false,
            }
    }

    /// The number of records that should be on their way by now.
    fn due(&self, sent: u64, elapsed: Duration) -> u64 {
        let due = self.rate.due(elapsed).min(sent.saturating_add(CHUNK));
        if let Until::Count(n) = self.until { due.min(n) } else { due }
    }

    /// Sends record `number`; `false` if there is none.
    fn send_next(&mut self, number: u64) -> Result<bool, Exit> {
        let stamp = self.stamps.of(number, || self.clock.wall_micros());
        match self.records.next(stamp)? {
            Some(record) => self.sink.send(&record).map(|()| true),
            None => Ok(false),
        }
    }
}
