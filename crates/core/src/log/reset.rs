//! Starting over (L6): which log a reset ends, what it has to finish, and when it must not begin.
//!
//! A reset takes the pipeline over like any owner, by a claim, and appends the last entry under it; that fences whoever
//! still runs. What the ended log put into the lake and the mart is cleared afterwards, by names that no other log has,
//! so it may be cut off and repeated anywhere, and may thaw behind the next log's owner.

use crate::log::TakeOver;

/// What is known of one log of a pipeline, in the order of the logs; the last is the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStanding {
    /// Whether it has an entry.
    pub begun: bool,
    /// Whether all that it had put into the lake and the mart was cleared after its end.
    pub cleared: bool,
}

/// What a reset finds.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetStanding {
    /// The log in force has entries: it can be ended.
    InForce,
    /// An earlier reset has ended the last log but one and did not come to its end. Nobody may begin the next log.
    Unfinished,
    /// There is nothing to reset.
    Nothing,
}

/// Where a pipeline stands, by its logs.
pub fn reset_standing(logs: &[LogStanding]) -> ResetStanding {
    match logs {
        [.., newest] if newest.begun => ResetStanding::InForce,
        [.., ended, _] if !ended.cleared => ResetStanding::Unfinished,
        _ => ResetStanding::Nothing,
    }
}

/// Whether a process runs the pipeline.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// None does, as far as the lease tells.
    No,
    /// Its lease changes: one does.
    Yes,
    /// The lease has not been watched for long enough.
    NotKnown,
}

/// What an observer makes of the lease: `decision` as of one who wants to take over, `moved` whether the lease has
/// changed while it was watched. Comfort only: what fences a running process is the entry.
pub fn occupied(decision: TakeOver, moved: bool) -> Occupied {
    match decision {
        TakeOver::Now => Occupied::No,
        TakeOver::StandBy | TakeOver::TooSoon if moved => Occupied::Yes,
        TakeOver::StandBy | TakeOver::TooSoon => Occupied::NotKnown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_ends_what_has_begun_and_finishes_what_was_cut_off() {
        let standing = |logs: &[(bool, bool)]| {
            let logs: Vec<_> = logs.iter().map(|&(begun, cleared)| LogStanding { begun, cleared }).collect();
            reset_standing(&logs)
        };
        assert_eq!(standing(&[]), ResetStanding::Nothing);
        assert_eq!(standing(&[(false, false)]), ResetStanding::Nothing, "an id was fixed and nothing came of it");
        assert_eq!(standing(&[(true, false)]), ResetStanding::InForce);
        assert_eq!(standing(&[(true, false), (false, false)]), ResetStanding::Unfinished);
        assert_eq!(standing(&[(true, true), (false, false)]), ResetStanding::Nothing);
        assert_eq!(standing(&[(true, true), (true, false)]), ResetStanding::InForce);
        assert_eq!(standing(&[(true, true), (true, false), (false, false)]), ResetStanding::Unfinished);
    }

    #[test]
    fn a_lease_that_changes_is_somebody_at_work() {
        assert_eq!(occupied(TakeOver::Now, false), Occupied::No);
        assert_eq!(occupied(TakeOver::StandBy, false), Occupied::NotKnown);
        assert_eq!(occupied(TakeOver::StandBy, true), Occupied::Yes);
    }
}
