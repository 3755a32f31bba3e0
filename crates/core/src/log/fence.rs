//! Fences of marts (F2, F3): when a transaction may write, what a fence that did not move says, and what a take-over
//! takes back.
//!
//! The marts' SQL carries these decisions out, inside its transactions. Promises I7 and I9 as far as logic decides them.

use std::collections::BTreeMap;

use crate::ids::{EventTime, Version};

/// (incarnation, partition)
pub type Coordinates = (i32, i32);

/// One row fence's move by a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FenceStep {
    /// Which fence.
    pub at: Coordinates,
    /// The offset that it must stand at.
    pub base: i64,
    /// The offset that it moves to.
    pub to: i64,
}

/// What became of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum RowsOutcome {
    /// All are in the mart, once.
    Applied,
    /// A greater claim holds the mart: step down. Nothing was changed.
    Fenced {
        /// The claim that holds it.
        claim: Version,
    },
    /// The fence is mine but stands elsewhere: go on, or fill, from there. Nothing was changed.
    At {
        /// Incarnation of the first batch that did not fit.
        incarnation: i32,
        /// Its partition.
        partition: i32,
        /// Where its fence stands.
        next: i64,
    },
}

/// What the fences say where a step did not happen: `None` if all of them stand under `claim` at `expected`, otherwise
/// the first that doesn't. A step happens where this is `None` for its base.
pub fn judge_steps(
    steps: &[FenceStep],
    fences: &BTreeMap<Coordinates, (Version, i64)>,
    claim: Version,
    expected: impl Fn(&FenceStep) -> i64,
) -> Option<Result<RowsOutcome, String>> {
    // Who is fenced by any of them is fenced.
    let greatest = steps.iter().filter_map(|step| fences.get(&step.at)).map(|fence| fence.0).max();
    if let Some(greatest) = greatest.filter(|greatest| *greatest > claim) {
        return Some(Ok(RowsOutcome::Fenced { claim: greatest }));
    }
    steps.iter().find_map(|step| match fences.get(&step.at) {
        Some((held, _)) if *held < claim => Some(Err(format!("partition {} was not claimed under {claim}", step.at.1))),
        Some((_, next)) if *next == expected(step) => None,
        Some((_, next)) => Some(Ok(RowsOutcome::At { incarnation: step.at.0, partition: step.at.1, next: *next })),
        None => Some(Err(format!("partition {} of incarnation {} has no fence", step.at.1, step.at.0))),
    })
}

/// What a take-over does with the fence of one partition and its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeBack {
    /// Rows at or above this offset go.
    pub rows_from: i64,
    /// Where the fence stands afterwards.
    pub next: i64,
}

/// Takes a fence at `next` back to where the reign of its claim ended (F2). Rows at or above that were shown by an
/// attempt that died, even if a later owner committed the same offsets; a fence that never came so far stays.
#[must_use]
pub fn take_back(next: i64, reign_end: i64) -> TakeBack {
    TakeBack { rows_from: reign_end, next: next.min(reign_end) }
}

/// What the fence of a KPI's table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KpiStanding {
    /// The claim that holds the table.
    pub claim: Version,
    /// The last entry applied.
    pub version: Option<Version>,
    /// Windows that end at or before this are closed.
    pub closed_to: EventTime,
}

/// Whether a transaction may write to a KPI's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum KpiWrite {
    /// It may.
    Go,
    /// What it brings is there already.
    Done,
    /// A greater claim holds the table: step down.
    Fenced {
        /// The greater claim.
        claim: Version,
    },
    /// The writer never claimed it.
    NotClaimed,
    /// Entries that had been applied are gone: the table was made anew.
    TableLost,
}

/// Whether a transaction may add rows to a table that takes every entry's rows once, such as that of late rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Addition {
    /// It may.
    Go,
    /// The table holds the rows up to another entry: go on from there. Nothing was changed.
    At {
        /// That entry; `None` before the first, as where the table was made anew.
        version: Option<Version>,
    },
    /// A greater claim holds the table: step down.
    Fenced {
        /// The greater claim.
        claim: Version,
    },
    /// The writer never claimed it.
    NotClaimed,
}

impl KpiStanding {
    /// Rows of the entries above `above`: they are added, so only where exactly those up to it are there (F3).
    pub fn additions(&self, claim: Version, above: Option<Version>) -> Addition {
        match self.live(claim) {
            KpiWrite::Fenced { claim } => Addition::Fenced { claim },
            KpiWrite::NotClaimed => Addition::NotClaimed,
            _ if self.version == above => Addition::Go,
            _ => Addition::At { version: self.version },
        }
    }

    /// Live values (F3); which of them, says `shows`.
    pub fn live(&self, claim: Version) -> KpiWrite {
        match self.claim {
            held if held > claim => KpiWrite::Fenced { claim: held },
            held if held < claim => KpiWrite::NotClaimed,
            _ => KpiWrite::Go,
        }
    }

    /// Final rows of the entries above `above` up to `version`.
    pub fn finals(&self, claim: Version, above: Option<Version>, version: Version) -> KpiWrite {
        match self.live(claim) {
            KpiWrite::Go if self.version < above => KpiWrite::TableLost,
            KpiWrite::Go if self.version >= Some(version) => KpiWrite::Done,
            other => other,
        }
    }

    /// Whether live values of a window may be shown: not once it is closed.
    #[must_use]
    pub fn shows(&self, window_end: EventTime) -> bool {
        window_end > self.closed_to
    }
}

/// Whether live values may be shown after a restart (F3): partitions have passed what the table reflected before.
/// `handed` says how far one has come; partitions that are gone hold nothing back.
pub fn has_caught_up(reflected: &BTreeMap<i32, i64>, handed: impl Fn(i32) -> Option<i64>) -> bool {
    reflected.iter().all(|(&p, offset)| handed(p).is_none_or(|handed| handed >= *offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_happens_only_under_the_own_claim_at_the_expected_offset() {
        let step = FenceStep { at: (0, 1), base: 5, to: 9 };
        let judge = |held: u64, next: i64| {
            judge_steps(&[step], &BTreeMap::from([((0, 1), (Version(held), next))]), Version(4), |s| s.base)
        };
        assert_eq!(judge(4, 5), None);
        assert_eq!(judge(4, 7), Some(Ok(RowsOutcome::At { incarnation: 0, partition: 1, next: 7 })));
        assert_eq!(judge(6, 5), Some(Ok(RowsOutcome::Fenced { claim: Version(6) })));
        assert!(judge(2, 5).unwrap().is_err(), "never claimed");
    }

    #[test]
    fn a_take_over_never_moves_a_fence_ahead() {
        assert_eq!(take_back(9, 5), TakeBack { rows_from: 5, next: 5 });
        assert_eq!(take_back(3, 5), TakeBack { rows_from: 5, next: 3 });
    }

    #[test]
    fn entries_are_applied_once_and_by_the_holder_only() {
        let fence = KpiStanding { claim: Version(4), version: Some(Version(7)), closed_to: EventTime(10) };
        let finals =
            |claim, above: Option<u64>, version| fence.finals(Version(claim), above.map(Version), Version(version));
        assert_eq!(finals(4, Some(7), 8), KpiWrite::Go);
        assert_eq!(finals(4, Some(5), 7), KpiWrite::Done);
        assert_eq!(finals(4, Some(8), 9), KpiWrite::TableLost);
        assert_eq!(finals(3, None, 9), KpiWrite::Fenced { claim: Version(4) });
        assert_eq!(finals(5, None, 9), KpiWrite::NotClaimed);
        assert!(fence.shows(EventTime(11)) && !fence.shows(EventTime(10)));
    }

    #[test]
    fn rows_are_added_where_the_ones_before_are_and_nothing_else() {
        let fence = KpiStanding { claim: Version(4), version: Some(Version(7)), closed_to: EventTime::MIN };
        let add = |claim, above: Option<u64>| fence.additions(Version(claim), above.map(Version));
        assert_eq!(add(4, Some(7)), Addition::Go);
        for above in [None, Some(6), Some(8)] {
            assert_eq!(add(4, above), Addition::At { version: Some(Version(7)) }, "{above:?}");
        }
        assert_eq!((add(3, Some(7)), add(5, Some(7))), (Addition::Fenced { claim: Version(4) }, Addition::NotClaimed));
        let anew = KpiStanding { version: None, ..fence };
        assert_eq!(anew.additions(Version(4), Some(Version(7))), Addition::At { version: None });
    }

    #[test]
    fn live_values_wait_for_what_was_shown_before() {
        let reflected = BTreeMap::from([(0, 5), (1, 3)]);
        let at = |zero, one| has_caught_up(&reflected, move |p| [zero, one].get(p as usize).copied().flatten());
        assert!(!at(Some(4), Some(3)) && at(Some(5), Some(3)) && at(Some(5), None));
    }
}
