//! What can be wrong.

use std::fmt;

/// What must hold, by the names of `docs/PROTOCOL.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The log has no holes, hashes link, ranges join.
    I1,
    /// An entry never changes, and what was believed committed is in the log.
    I2,
    /// Visible files are the live ones, each row once.
    I5,
    /// KPI rows equal the recomputation under the log's floors.
    I6,
    /// Fences never go back but to where their claim's reign ended.
    I7,
    /// When all is quiet, all followers have converged.
    I8,
    /// An owner of the past changes nothing.
    I9,
    /// Watermarks never go back.
    I10,
    /// A final KPI row stays as it is.
    I11,
    /// Clearing up removes nothing that is needed.
    I21,
    /// L3: nobody meets another attempt under the own claim.
    OneAttempt,
    /// F3: a preview doesn't go back behind what was shown.
    Shown,
    /// Somebody goes on: in the end all input is committed.
    GoesOn,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneAttempt => f.write_str("L3"),
            Self::Shown => f.write_str("F3"),
            Self::GoesOn => f.write_str("goes on"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it breaks.
    pub invariant: Invariant,
    /// How.
    pub what: String,
}

impl Violation {
    /// A violation of `invariant`.
    pub fn new(invariant: Invariant, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }

    /// The same as an outcome.
    pub fn of<T>(invariant: Invariant, what: impl Into<String>) -> Result<T, Self> {
        Err(Self::new(invariant, what))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}
