//! Whether the mart of rows is behind the log, filling up to it, or ahead of it.

use std::collections::BTreeSet;

use lakeward_core::ids::Epoch;

/// What a RowMart is about.
#[derive(Debug)]
pub enum Mood {
    /// Filling whenever the head moves; what partitions send meanwhile is committed sooner or later and filled then.
    Behind,
    /// Filling up to a barrier. What a partition sends behind that barrier is held, what it sends before it is not.
    Filling(Filling),
    /// Copying previews.
    Live,
}

/// A fill up to a barrier.
#[derive(Debug, Default)]
pub struct Filling {
    /// The epoch whose commit is filled up to; `None`: the head at the start of the generation, which every partition
    /// begins behind.
    pub until: Option<Epoch>,
    /// Partitions that have passed the barrier of `until`.
    pub passed: BTreeSet<i32>,
    /// How many take part in it.
    pub expected: usize,
    /// Whether the table holds everything up to it.
    pub filled: bool,
}

impl Filling {
    /// Whether the partition's rows are those of after the barrier.
    pub fn holds(&self, partition: i32) -> bool {
        self.until.is_none() || self.passed.contains(&partition)
    }

    /// Whether all rows up to the barrier are in the table, and all of after it in hand.
    pub fn is_done(&self) -> bool {
        self.filled && self.passed.len() >= self.expected
    }
}
