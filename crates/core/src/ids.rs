//! Newtypes for the numbers that must not be mixed up, and the half-open offset range.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of a log entry. Entry `v` is immutable; creating it is commit `v` (L1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The version after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of an epoch within one generation of the process; it is never stored, only versions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Offsets of one partition: `from` inclusive, `to` exclusive. Holes (compaction, transaction markers) may lie inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OffsetRange {
    /// First offset covered.
    pub from: i64,
    /// The next offset to fetch after the range.
    pub to: i64,
}

impl OffsetRange {
    /// Whether the range covers no offset.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

/// An event time or watermark: microseconds since 1970-01-01T00:00:00Z. `EventTime::MIN` stands for "none yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    /// The watermark before any record: below every event time.
    pub const MIN: Self = Self(i64::MIN);

    /// This time less `micros`, staying at `MIN` when there is no time yet.
    #[must_use]
    pub fn minus(self, micros: i64) -> Self {
        Self(self.0.saturating_sub(micros))
    }

    /// This time plus `micros`; `MIN` stays `MIN`.
    #[must_use]
    pub fn plus(self, micros: i64) -> Self {
        if self == Self::MIN { self } else { Self(self.0.saturating_add(micros)) }
    }
}
