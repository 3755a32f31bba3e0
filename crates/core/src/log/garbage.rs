//! What may be removed from staging and state (H2). Promises I21: nothing that an entry still needs.

use std::collections::BTreeSet;

use crate::ids::Version;
use crate::log::{Fold, LogPaths, claim_of_folder};

/// Names of staging folders that may go: no live file above `rolled` is staged in them, and they belong to an earlier
/// claim, or to an attempt of this process that it has given up or committed (`own_done`).
#[must_use]
pub fn removable_staging(
    fold: &Fold,
    paths: &LogPaths,
    folders: &[String],
    own_done: &BTreeSet<String>,
) -> Vec<String> {
    let root = paths.staging_root();
    let rolled = fold.rolled;
    let pending: BTreeSet<&str> = fold
        .files
        .values()
        .flat_map(|layer| layer.above(rolled))
        .filter_map(|file| file.staged.staged.strip_prefix(&root)?.trim_start_matches('/').split('/').next())
        .collect();
    let free = |name: &&String| {
        let Some((claim, _)) = claim_of_folder(name) else { return false };
        !pending.contains(name.as_str()) && (claim < fold.claim || own_done.contains(name.as_str()))
    };
    folders.iter().filter(free).cloned().collect()
}

/// Paths of state objects that may go: an entry took them out, and the last checkpoint but one came after it.
#[must_use]
pub fn removable_state(fold: &Fold, last_but_one_checkpoint: Option<Version>) -> Vec<String> {
    let Some(limit) = last_but_one_checkpoint else { return Vec::new() };
    fold.state_removed.iter().filter(|(removed, _)| *removed <= limit).map(|(_, path)| path.clone()).collect()
}

/// Names of folders of state objects that may go: an attempt of an earlier claim wrote them, and no object in them is
/// held, or was taken out so lately that a checkpoint may still name it.
#[must_use]
pub fn removable_state_folders(
    fold: &Fold,
    paths: &LogPaths,
    folders: &[String],
    last_but_one_checkpoint: Option<Version>,
) -> Vec<String> {
    let root = paths.state_root();
    let lately = fold.state_removed.iter().filter(|(removed, _)| Some(*removed) > last_but_one_checkpoint);
    let needed: BTreeSet<&str> = fold
        .state
        .iter()
        .map(|object| object.path.as_str())
        .chain(lately.map(|(_, path)| path.as_str()))
        .filter_map(|path| path.strip_prefix(&root)?.trim_start_matches('/').split('/').next())
        .collect();
    let free = |name: &&String| {
        claim_of_folder(name).is_some_and(|(claim, _)| claim < fold.claim) && !needed.contains(name.as_str())
    };
    folders.iter().filter(free).cloned().collect()
}

/// Below which version entries may go (F6): the newest checkpoint that leaves `keep` entries and another checkpoint above
/// it, and that all files and every follower have passed. `followers`: how far each one has come.
#[must_use]
pub fn entries_boundary(
    fold: &Fold,
    checkpoints: &[Version],
    followers: impl IntoIterator<Item = Option<Version>>,
    keep: u64,
) -> Option<Version> {
    let last_but_one = checkpoints.iter().rev().nth(1).copied()?;
    let passed = followers.into_iter().chain([fold.rolled]).min().flatten()?;
    let kept = Version(fold.version.0.checked_sub(keep)?);
    let limit = last_but_one.min(passed).min(kept);
    checkpoints.iter().rev().find(|checkpoint| **checkpoint <= limit).copied()
}

/// The version in a final file name `part-<v>-…`.
#[must_use]
pub fn version_of(path: &str) -> Option<Version> {
    let name = path.rsplit('/').next()?;
    let digits = name.strip_prefix("part-")?.split('-').next()?;
    Some(Version(digits.parse().ok()?))
}

/// Whether a base of the state should be written (E2): more than ten deltas stand above the newest base and together
/// they outweigh it.
#[must_use]
pub fn base_is_due(state: &[crate::log::StateRef]) -> bool {
    const DELTAS: usize = 10;
    let base: u64 = state.iter().filter(|s| s.base).map(|s| s.length).sum();
    let deltas = state.iter().filter(|s| !s.base);
    let (count, bytes) = deltas.fold((0, 0), |(n, b), s| (n + 1, b + s.length));
    count > DELTAS && bytes >= base
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::log::{
        Author, Draft, EntryKind, Member, PipelinePaths, StagedFile, StagedState, StateRef, entry_hash, render,
        render_first,
    };

    fn author(claim: u64, attempt: &str) -> Author {
        let member = Member::default();
        Author { claim: Version(claim), attempt: attempt.to_owned(), member, definition: "d".to_owned(), now: 0 }
    }

    fn first() -> Fold {
        let draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        Fold::first(&render_first("l", &draft, &author(0, "a")), "h".to_owned()).unwrap()
    }

    fn commit(fold: &mut Fold, draft: &Draft, claim: u64, attempt: &str) {
        let entry = render(fold, draft, &author(claim, attempt));
        fold.apply(&entry, entry_hash(&entry.to_bytes().unwrap())).unwrap();
    }

    #[test]
    fn staging_goes_when_its_files_are_in_place_and_nobody_writes_there_any_more() {
        let paths = PipelinePaths::new("p").log("l");
        let mut fold = first();
        let mut draft = Draft::empty(EntryKind::Epoch);
        let staged = StagedFile {
            leaf: String::new(),
            staged: format!("{}/f.tmp", paths.staging(Version(0), "live")),
            ext: "parquet".to_owned(),
            length: 1,
            checksum: "c".to_owned(),
            rows: 1,
            event_times: None,
            offsets: BTreeMap::new(),
        };
        draft.staged.insert("rows".to_owned(), ("rows".to_owned(), vec![staged]));
        commit(&mut fold, &draft, 0, "live");
        let folders = ["0-live", "0-dead", "2-open", "foreign"].map(str::to_owned);
        let removable = |fold: &Fold, done: &[&str]| {
            removable_staging(fold, &paths, &folders, &done.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(removable(&fold, &[]), [""; 0], "the owner of claim 0 may still write to all of them");
        assert_eq!(removable(&fold, &["0-live", "0-dead"]), ["0-dead"], "the live file is not in place yet");
        commit(&mut fold, &Draft::empty(EntryKind::Claim { takes: "all".to_owned() }), 0, "b");
        assert_eq!(removable(&fold, &[]), ["0-dead"]);
        fold.rolled = Some(Version(1));
        assert_eq!(removable(&fold, &[]), ["0-live", "0-dead"]);
        assert_eq!(removable(&fold, &["2-open"]), ["0-live", "0-dead", "2-open"]);
    }

    #[test]
    fn state_goes_two_checkpoints_after_an_entry_has_taken_it_out() {
        let mut fold = first();
        let state = |path: &str, base_of| StagedState {
            path: path.to_owned(),
            base_of,
            length: 1,
            checksum: "c".to_owned(),
            items: 1,
        };
        let mut draft = Draft::empty(EntryKind::Epoch);
        draft.state = vec![state("delta", None)];
        commit(&mut fold, &draft, 0, "b");
        draft.state = vec![state("base", Some(Version(1)))];
        draft.state_removed = vec!["delta".to_owned()];
        commit(&mut fold, &draft, 0, "c");
        assert_eq!(removable_state(&fold, None), [""; 0]);
        assert_eq!(removable_state(&fold, Some(Version(1))), [""; 0]);
        assert_eq!(removable_state(&fold, Some(Version(2))), ["delta"]);
    }

    #[test]
    fn state_of_attempts_that_died_goes_and_what_a_checkpoint_may_name_stays() {
        let paths = PipelinePaths::new("p").log("l");
        let mut fold = first();
        let state = |attempt: &str, base_of| StagedState {
            path: paths.state(Version(0), attempt, "delta"),
            base_of,
            length: 1,
            checksum: "c".to_owned(),
            items: 1,
        };
        let mut draft = Draft::empty(EntryKind::Epoch);
        draft.state = vec![state("old", None), state("live", None)];
        commit(&mut fold, &draft, 0, "b");
        draft.state = vec![state("base", Some(Version(1)))];
        draft.state_removed = vec![paths.state(Version(0), "old", "delta")];
        commit(&mut fold, &draft, 0, "c");
        let folders = ["0-old", "0-live", "0-base", "0-dead", "9-new", "foreign"].map(str::to_owned);
        let removable = |fold: &Fold, checkpoint| removable_state_folders(fold, &paths, &folders, checkpoint);
        assert_eq!(removable(&fold, None), [""; 0], "the owner of claim 0 may still write to all of them");
        commit(&mut fold, &Draft::empty(EntryKind::Claim { takes: "all".to_owned() }), 0, "d");
        assert_eq!(removable(&fold, None), ["0-dead"]);
        assert_eq!(removable(&fold, Some(Version(2))), ["0-old", "0-dead"]);
    }

    #[test]
    fn entries_go_below_a_checkpoint_that_everybody_has_passed() {
        let mut fold = first();
        (fold.version, fold.rolled) = (Version(5_500), Some(Version(5_490)));
        let check = |fold: &Fold, checkpoints: &[u64], followers: &[Option<u64>], keep, expected: Option<u64>| {
            let checkpoints: Vec<_> = checkpoints.iter().copied().map(Version).collect();
            let followers = followers.iter().map(|f| f.map(Version));
            assert_eq!(entries_boundary(fold, &checkpoints, followers, keep), expected.map(Version));
        };
        const ALL: &[u64] = &[1000, 2000, 3000, 4000, 5000];
        check(&fold, ALL, &[Some(5_499)], 1, Some(4_000));
        check(&fold, ALL, &[Some(5_499), Some(2_500)], 1, Some(2_000));
        check(&fold, ALL, &[Some(5_499), Some(999)], 1, None);
        check(&fold, ALL, &[Some(5_499), None], 1, None);
        check(&fold, ALL, &[], 2_000, Some(3_000));
        check(&fold, ALL, &[], 9_000, None);
        check(&fold, &[5_000], &[], 1, None);
        check(&fold, &[1_000, 5_000], &[], 1, Some(1_000));
        fold.rolled = None;
        check(&fold, ALL, &[], 1, None);
    }

    #[test]
    fn a_base_is_due_when_more_than_ten_deltas_outweigh_the_last_one() {
        let object = |base, length| StateRef {
            path: String::new(),
            base,
            upto: Version(0),
            length,
            checksum: String::new(),
            items: 0,
        };
        let due = |base: u64, deltas: usize| {
            let mut state = vec![object(true, base)];
            state.extend((0..deltas).map(|_| object(false, 10)));
            base_is_due(&state)
        };
        assert!(!due(0, 10) && due(0, 11) && due(110, 11) && !due(111, 11));
    }
}
