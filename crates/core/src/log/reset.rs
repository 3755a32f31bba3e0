//! Starting over (L6): which log a reset ends, what it has to finish, and when it must not begin.
//!
//! A reset takes the pipeline over like any owner, by a claim, and appends the last entry under it; that fences whoever
//! still runs. What the ended log put into the lake and the mart is cleared afterwards, by names that no other log has,
//! so it may be cut off and repeated anywhere, and may thaw behind the next log's owner.

use crate::ids::Version;
use crate::log::{Fold, TakeOver};

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
    /// A log has ended, and not all that it had put elsewhere is cleared: a reset or a rebuild was cut off. Nobody may
    /// begin the newest log, or go on with it.
    Unfinished,
    /// There is nothing to reset.
    Nothing,
}

/// Where a pipeline stands, by its logs.
pub fn reset_standing(logs: &[LogStanding]) -> ResetStanding {
    match logs {
        _ if uncleared(logs).is_some() => ResetStanding::Unfinished,
        [.., newest] if newest.begun => ResetStanding::InForce,
        _ => ResetStanding::Nothing,
    }
}

/// The first log that has ended and is not cleared.
#[must_use]
pub fn uncleared(logs: &[LogStanding]) -> Option<usize> {
    logs.split_last().and_then(|(_, ended)| ended.iter().position(|log| !log.cleared))
}

/// What to do with a log that follows the one in force and may hold what a rebuild has prepared (L6).
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// It has no entry: it is free.
    Vacant,
    /// A rebuild by the same definition was cut off: go on with it.
    Resume,
    /// It was prepared for something else. It must not come into force as it is: end it and take the one after it.
    Retire,
    /// It has ended without having been in force: take the one after it.
    Retired,
    /// Who prepares it owns the log in force under a greater claim: step down.
    Fenced {
        /// That claim.
        claim: Version,
    },
}

/// Judges the log after the one in force. `under`: the judge's own claim of the log in force. `wanted`: definition and
/// semantics by which it rebuilds; `None`: it wants an empty log.
pub fn prepared(next: Option<&Fold>, under: Version, wanted: Option<(&str, u32)>) -> Prepared {
    let Some(fold) = next else { return Prepared::Vacant };
    match fold.rebuilt {
        Some(rebuilt) if rebuilt.under > under => Prepared::Fenced { claim: rebuilt.under },
        _ if fold.ended.is_some() => Prepared::Retired,
        Some(_) if wanted == Some((fold.definition.as_str(), fold.semantics)) => Prepared::Resume,
        _ => Prepared::Retire,
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
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::log::{Author, Draft, ENGINE_SEMANTICS, EntryKind, Member, Rebuilt, render_first};

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
        assert_eq!(standing(&[(true, false), (true, false)]), ResetStanding::Unfinished, "a rebuild was switched to");
        assert_eq!(standing(&[(true, false), (true, true), (false, false)]), ResetStanding::Unfinished);
    }

    #[test]
    fn a_prepared_log_is_gone_on_with_or_retired_and_never_taken_from_a_newer_owner() {
        let fold = |under: Option<u64>, definition: &str, ended: bool| {
            let author = Author {
                claim: Version(0),
                attempt: "a".to_owned(),
                member: Member::default(),
                definition: definition.to_owned(),
                now: 0,
            };
            let mut draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
            draft.rebuilt = under.map(|under| Rebuilt { under: Version(under), upto: Version(0) });
            let mut fold = Fold::first(&render_first("log", &draft, &author), "h".to_owned()).unwrap();
            fold.ended = ended.then(|| "next".to_owned());
            fold
        };
        let check = |next: Option<Fold>, wanted: Option<&str>, expected| {
            assert_eq!(prepared(next.as_ref(), Version(5), wanted.map(|w| (w, ENGINE_SEMANTICS))), expected);
        };
        check(None, Some("d"), Prepared::Vacant);
        check(Some(fold(Some(3), "d", false)), Some("d"), Prepared::Resume);
        check(Some(fold(Some(5), "d", false)), Some("d"), Prepared::Resume);
        check(Some(fold(Some(3), "e", false)), Some("d"), Prepared::Retire);
        check(Some(fold(Some(3), "d", false)), None, Prepared::Retire);
        check(Some(fold(None, "d", false)), Some("d"), Prepared::Retire);
        check(Some(fold(Some(3), "d", true)), Some("d"), Prepared::Retired);
        check(Some(fold(Some(6), "d", false)), Some("d"), Prepared::Fenced { claim: Version(6) });
        check(Some(fold(Some(6), "d", true)), None, Prepared::Fenced { claim: Version(6) });
    }

    #[test]
    fn a_lease_that_changes_is_somebody_at_work() {
        assert_eq!(occupied(TakeOver::Now, false), Occupied::No);
        assert_eq!(occupied(TakeOver::StandBy, false), Occupied::NotKnown);
        assert_eq!(occupied(TakeOver::StandBy, true), Occupied::Yes);
    }
}
