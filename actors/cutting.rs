//! When an epoch ends (E1): by age, rows or bytes, whichever is first, and never without anything to commit.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kit::Board;

/// The limits of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Cutting {
    /// Longest age.
    pub age: Duration,
    /// Most records.
    pub rows: u64,
    /// Most bytes of payload.
    pub bytes: u64,
}

/// Why an epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// It is old enough and there is something to commit.
    Age,
    /// It holds enough records.
    Rows,
    /// It holds enough bytes.
    Bytes,
    /// The process ends.
    Finish,
}

impl Cutting {
    /// How often to look: often enough that an age of half a second is met, at most every 100 ms.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        (self.age / 10).clamp(Duration::from_millis(10), Duration::from_millis(100))
    }

    /// Whether the open epoch ends now. `reached` are the positions that earlier epochs reach; `floor` tells whether
    /// an entry would raise a floor or take up a partition though no record came.
    #[must_use]
    pub fn reason(
        &self,
        age: Duration,
        board: &Board,
        reached: &BTreeMap<i32, i64>,
        floor: impl Fn() -> bool,
    ) -> Option<CutReason> {
        let mut rows = 0_u64;
        let mut moved = false;
        for (partition, &from) in reached {
            let position = board.partitions().get(partition).map_or(from, |state| state.position);
            moved |= position > from;
            rows = rows.saturating_add(u64::try_from(position - from).unwrap_or(0));
        }
        if rows >= self.rows {
            return Some(CutReason::Rows);
        }
        if board.epoch_bytes() >= self.bytes {
            return Some(CutReason::Bytes);
        }
        (age >= self.age && (moved || floor())).then_some(CutReason::Age)
    }
}
