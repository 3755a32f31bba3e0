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
