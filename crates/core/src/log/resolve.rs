//! What the answer to a create means (L3, L5).

use crate::ids::Version;
use crate::log::{CHECKPOINT_EVERY, Entry};

/// What was read back at the version that was to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Attempt id of the entry there.
    pub attempt: String,
    /// Its claim.
    pub claim: Version,
}

impl From<&Entry> for Found {
    fn from(entry: &Entry) -> Self {
        Self { attempt: entry.attempt.clone(), claim: entry.claim }
    }
}

/// What follows for the process that tried to create an entry.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The entry is mine: commit v happened.
    Committed,
    /// Nothing is there: send the same bytes again.
    SendAgain,
    /// An entry that was in flight under a smaller claim came first: reload, go on at the next version.
    Behind,
    /// Somebody with a greater claim owns the pipeline.
    StepDown {
        /// The greater claim.
        claim: Version,
    },
    /// The log below has been checkpointed away: what was created is on a stray branch.
    Stray,
    /// My claim under another attempt: a bug; stop.
    Bug,
}

/// Resolves a create by what is there now (L3). `checkpoint_above` says whether, looked up after the create, a checkpoint
/// at or above the version exists (L5).
pub fn resolve_create(mine: &Found, found: Option<&Found>, checkpoint_above: bool) -> Resolution {
    match found {
        _ if checkpoint_above => Resolution::Stray,
        None => Resolution::SendAgain,
        Some(there) if there.attempt == mine.attempt => Resolution::Committed,
        Some(there) if there.claim < mine.claim => Resolution::Behind,
        Some(there) if there.claim > mine.claim => Resolution::StepDown { claim: there.claim },
        Some(_) => Resolution::Bug,
    }
}

/// Whether a checkpoint stands at or above `version` (L5). Any of them counts, not only the next: one may be missing,
/// because its writer died first, or because a claim came to stand at that version.
#[must_use]
pub fn checkpoint_above(checkpoints: &[Version], version: Version) -> bool {
    checkpoints.iter().any(|checkpoint| *checkpoint >= version)
}

/// Whether a checkpoint is due once `version` is committed.
#[must_use]
pub fn is_checkpoint(version: Version) -> bool {
    version.0 > 0 && version.0.is_multiple_of(CHECKPOINT_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mine: (&str, u64), there: Option<(&str, u64)>, checkpoint: bool, expected: Resolution) {
        let found = |(attempt, claim): (&str, u64)| Found { attempt: attempt.to_owned(), claim: Version(claim) };
        assert_eq!(resolve_create(&found(mine), there.map(found).as_ref(), checkpoint), expected);
    }

    #[test]
    fn every_answer_to_a_create_has_one_meaning() {
        check(("a", 5), Some(("a", 5)), false, Resolution::Committed);
        check(("a", 5), None, false, Resolution::SendAgain);
        check(("a", 5), Some(("b", 3)), false, Resolution::Behind);
        check(("a", 5), Some(("b", 7)), false, Resolution::StepDown { claim: Version(7) });
        check(("a", 5), Some(("b", 5)), false, Resolution::Bug);
        check(("a", 5), Some(("a", 5)), true, Resolution::Stray);
    }

    #[test]
    fn any_checkpoint_at_or_above_counts_though_the_next_one_is_missing() {
        let above = |v| checkpoint_above(&[Version(1000), Version(3000)], Version(v));
        assert!(above(999) && above(1000) && above(1001) && above(3000) && !above(3001));
        assert!(!checkpoint_above(&[], Version(0)));
    }

    #[test]
    fn checkpoints_are_due_at_multiples() {
        assert!(is_checkpoint(Version(2000)) && !is_checkpoint(Version(0)) && !is_checkpoint(Version(1)));
    }
}
