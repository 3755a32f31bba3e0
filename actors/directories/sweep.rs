//! What nothing needs any more goes (H2): staging of finished and of dead attempts, state below the checkpoints,
//! temporary files of calls that died with their process.

use std::collections::BTreeSet;
use std::time::Duration;

use lakeward_connect::lake::LakeError;
use lakeward_connect::log_store::{LogError, LogStore};
use lakeward_core::ids::{Epoch, Version};
use lakeward_core::log::{Fold, entries_boundary, removable_staging, removable_state, removable_state_folders};

use super::Keeping;
use crate::attempt::Attempts;
use crate::kit::Board;
use crate::kit::metric::Metric;

/// Epochs between two sweeps: a listing of a few folders each time.
pub(super) const SWEEP_EVERY: u64 = 20;

/// How soon a sweep is repeated that is not done. HDFS takes a few heartbeats to close a dead writer's file, and a
/// temporary file must be seen twice before it goes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Sweeps one generation's lake.
pub(super) struct Sweeper {
    log: LogStore,
    attempts: Attempts,
    board: Board,
    keeping: Keeping,
    /// Epochs committed at the last sweep that was done.
    swept: Option<u64>,
    /// Temporary files that the last look found.
    temporary: BTreeSet<String>,
}

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Sweeper {
    /// A sweeper of the generation whose attempts are given.
    pub(super) fn new(log: LogStore, attempts: Attempts, board: Board, keeping: Keeping) -> Self {
        Self { log, attempts, board, keeping, swept: None, temporary: BTreeSet::new() }
    }

    /// Sweeps if it is time to; `committed`: epochs of this generation whose entries are in the log. Answers how long it
    /// may take until the next call if nothing is committed before.
    pub(super) async fn sweep(&mut self, fold: &Fold, rolled: Option<Version>, committed: u64) -> Duration {
        if self.swept.is_some_and(|until| committed < until + SWEEP_EVERY) {
            return Duration::MAX;
        }
        match self.look(fold, rolled, committed).await {
            Ok(true) => {
                self.swept = Some(committed);
                Duration::MAX
            }
            Ok(false) => LOOK_AGAIN,
            Err(error) => {
                tracing::warn!(%error, "clearing staging failed; it is tried again");
                LOOK_AGAIN
            }
        }
    }

    /// Answers whether all that could go has gone.
    async fn look(&mut self, fold: &Fold, rolled: Option<Version>, committed: u64) -> Result<bool, SweepError> {
        let since = self.swept.unwrap_or(0);
        let own = (since..committed).map(|epoch| self.attempts.staging_name(Epoch(epoch))).collect();
        let staging = self.clear_staging(fold, rolled, &own).await?;
        let checkpoints = self.log.checkpoints().await?;
        self.clear_state(fold, &checkpoints).await?;
        self.clear_entries(fold, &checkpoints).await?;
        let temporary = self.clear_temporary(fold).await?;
        Ok(staging && temporary)
    }

    /// `own`: folders of this generation's committed epochs.
    async fn clear_staging(
        &self,
        fold: &Fold,
        rolled: Option<Version>,
        own: &BTreeSet<String>,
    ) -> Result<bool, SweepError> {
        let lake = self.log.lake();
        let root = self.log.paths().staging_root();
        let folders: Vec<String> = lake.list(&root).await?.into_iter().map(|entry| entry.name).collect();
        let mut now = fold.clone();
        now.rolled = rolled;
        let mut all_closed = true;
        for name in removable_staging(&now, self.log.paths(), &folders, own) {
            let folder = format!("{root}/{name}");
            // From a dead writer, or one that only seems dead: once the lease is taken away it can't write on.
            if lake.recover_leases(&folder).await? {
                self.count("staging", u64::from(lake.delete_dir(&folder).await?));
            } else {
                all_closed = false;
            }
        }
        Ok(all_closed)
    }

    async fn clear_state(&self, fold: &Fold, checkpoints: &[Version]) -> Result<(), SweepError> {
        let (lake, root) = (self.log.lake(), self.log.paths().state_root());
        let last_but_one = checkpoints.iter().rev().nth(1).copied();
        for path in removable_state(fold, last_but_one) {
            self.count("state", u64::from(lake.delete(&path).await?));
        }
        let folders: Vec<String> = lake.list(&root).await?.into_iter().map(|entry| entry.name).collect();
        for name in removable_state_folders(fold, self.log.paths(), &folders, last_but_one) {
            self.count("state", u64::from(lake.delete_dir(&format!("{root}/{name}")).await?));
        }
        Ok(())
    }

    /// Removes what the log lets go, and offers what it may let go next: only an entry makes it known (F6).
    async fn clear_entries(&self, fold: &Fold, checkpoints: &[Version]) -> Result<(), SweepError> {
        if let Some(version) = fold.entries_from {
            self.count("entries", self.log.remove_entries_below(version).await?);
        }
        let Some(keep) = self.keeping.entries else { return Ok(()) };
        let followers: Vec<_> = self.board.followers().iter().map(|follower| follower.done).collect();
        if let Some(version) = entries_boundary(fold, checkpoints, followers, keep) {
            self.board.offer_entries_from(version);
        }
        Ok(())
    }

    fn count(&self, what: &'static str, removed: u64) {
        let labels = [("pipeline", self.keeping.pipeline.clone()), ("what", what.to_owned())];
        metrics::counter!(Metric::RemovedTotal.name(), &labels).increment(removed);
    }

    /// A temporary file that two looks have found belongs to a call that died. Should it still be under way, slowly, it
    /// fails now as if its request had been lost, and is resolved and sent again under a new name (L1, L3).
    async fn clear_temporary(&mut self, fold: &Fold) -> Result<bool, SweepError> {
        let lake = self.log.lake();
        let mut found = BTreeSet::new();
        for folder in self.log.paths().folders_of_creates(fold.version) {
            found.extend(lake.list_temporary(&folder).await?.into_iter().map(|e| format!("{folder}/{}", e.name)));
        }
        for path in found.intersection(&self.temporary) {
            self.count("temporary", u64::from(lake.delete(path).await?));
        }
        self.temporary = found.difference(&self.temporary).cloned().collect();
        Ok(self.temporary.is_empty())
    }
}
