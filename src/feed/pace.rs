//! How many records are due by when, and which Kafka timestamps they get. Pure.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// Records per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// This many, evenly.
    PerSecond(NonZeroU32),
    /// As fast as they are taken.
    Max,
}

impl Rate {
    /// Records due once `elapsed` has passed, the one at time zero included.
    #[must_use]
    pub fn due(self, elapsed: Duration) -> u64 {
        match self {
            Self::Max => u64::MAX,
            Self::PerSecond(rate) => {
                let due = elapsed.as_micros() * u128::from(rate.get()) / 1_000_000;
                u64::try_from(due).unwrap_or(u64::MAX).saturating_add(1)
            }
        }
    }

    /// Records within `span`; `None` where nobody knows.
    #[must_use]
    pub fn within(self, span: Duration) -> Option<u64> {
        match self {
            Self::Max => None,
            Self::PerSecond(rate) => u64::try_from(span.as_micros() * u128::from(rate.get()) / 1_000_000).ok(),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let rate = text.parse::<NonZeroU32>();
        rate.map(Self::PerSecond).map_err(|_| "give records per second, 1 or more, or \"max\"".to_owned())
    }
}

/// The Kafka timestamps of a feed, microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// The time at which a record is made.
    Now,
    /// `count` records evenly over `[start, start + span)`.
    Spread {
        /// The first record's.
        start: i64,
        /// Microseconds.
        span: i64,
        /// Records.
        count: u64,
    },
}

impl Stamps {
    /// The timestamp of record `number`, counted from 0.
    pub fn of(self, number: u64, now: impl FnOnce() -> i64) -> i64 {
        match self {
            Self::Now => now(),
            Self::Spread { start, span, count } => {
                let offset = i128::from(span) * i128::from(number) / i128::from(count.max(1));
                start.saturating_add(i64::try_from(offset).unwrap_or(i64::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_are_due_evenly_from_the_first_moment_on() {
        let check = |rate: &str, millis: u64, expected: u64| {
            assert_eq!(rate.parse::<Rate>().unwrap().due(Duration::from_millis(millis)), expected, "{rate} {millis}");
        };
        check("100", 0, 1);
        check("100", 9, 1);
        check("100", 10, 2);
        check("100", 1000, 101);
        check("3", 1000, 4);
        check("max", 0, u64::MAX);
    }

    #[test]
    fn a_rate_is_a_number_or_max() {
        for wrong in ["0", "-1", "fast", "", "1.5"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn spread_timestamps_start_at_the_start_and_end_before_the_end() {
        let stamps = Stamps::Spread { start: 1_000, span: 900, count: 3 };
        assert_eq!([0, 1, 2].map(|n| stamps.of(n, || 7)), [1_000, 1_300, 1_600]);
        assert_eq!(Stamps::Now.of(5, || 7), 7);
    }
}
