//! Rows without a value, and why.

use std::fmt;
use std::sync::Arc;

use crate::types::DataType;

/// Why a row has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::expr) enum Cause {
    DivisionByZero,
    OutOfRange(DataType),
    NotA { text: Arc<str>, ty: DataType },
    NegativeLength,
}

impl Cause {
    /// A text that is no value of a type; only its start is kept.
    pub(in crate::expr) fn not_a(text: &str, ty: DataType) -> Self {
        Self::NotA { text: text.chars().take(40).collect::<String>().into(), ty }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DivisionByZero => f.write_str("division by zero"),
            Self::OutOfRange(ty) => write!(f, "the value is out of range for {ty}"),
            Self::NotA { text, ty } => write!(f, "{text:?} is not a {ty}"),
            Self::NegativeLength => f.write_str("substring with a negative length"),
        }
    }
}

/// Failed rows, ascending, each once with its first cause.
#[derive(Clone, Debug, Default)]
pub(in crate::expr) struct Failures(Vec<(usize, Cause)>);

impl Failures {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Cause> {
        self.0.first().map(|(_, cause)| cause)
    }

    /// Adds a row behind all rows so far.
    pub(super) fn push(&mut self, row: usize, cause: Cause) {
        self.0.push((row, cause));
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(row, _)| *row)
    }

    /// Forgets the rows that don't count.
    pub(super) fn retain(&mut self, counts: impl Fn(usize) -> bool) {
        self.0.retain(|(row, _)| counts(*row));
    }

    /// Both; where a row is in both, the cause of `self` stays.
    pub(super) fn and(mut self, other: Self) -> Self {
        if other.0.is_empty() {
            return self;
        }
        if self.0.is_empty() {
            return other;
        }
        self.0.extend(other.0);
        self.0.sort_by_key(|(row, _)| *row);
        self.0.dedup_by_key(|(row, _)| *row);
        self
    }
}

impl IntoIterator for Failures {
    type Item = (usize, Cause);
    type IntoIter = std::vec::IntoIter<(usize, Cause)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
