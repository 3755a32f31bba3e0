//! The follower of the directories (F1): renames committed files from staging into sight, entry after entry, and
//! clears what staging doesn't need any more (H2).
//!
//! `rolled` is this follower's version: all files of entries up to it are in place. Applying an entry again changes
//! nothing, so a crash anywhere is mended by the next start.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::prelude::*;
use futures::stream::{self, StreamExt, TryStreamExt};
use lakeward_connect::lake::LakeError;
use lakeward_connect::layer::roll_forward;
use lakeward_connect::log_store::{LogError, LogStore};
use lakeward_core::ids::{Epoch, Version};
use lakeward_core::log::{Entry, Fold, removable_staging, removable_state};
use tokio::sync::watch;

use crate::attempt::Attempts;
use crate::commit::Head;
use crate::kit::{Board, Cause, Sentinel};

/// The follower's name, in entries and metrics.
pub const NAME: &str = "directories";

/// Files renamed side by side: HDFS answers a rename in milliseconds, so a few in flight hide its latency.
const SIDE_BY_SIDE: usize = 8;

/// Epochs between two sweeps of staging: a listing of a few folders each time.
const SWEEP_EVERY: u64 = 20;

/// How soon a sweep is repeated that waits for HDFS to close files of a dead writer. It takes a few heartbeats.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Pauses between tries while the store fails.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Brings the directories into line with the log.
pub struct Directories {
    log: LogStore,
    attempts: Attempts,
    head: watch::Receiver<Head>,
    rolled: Option<Version>,
    board: Board,
    sentinel: Sentinel,
}

/// Why an entry can't be rolled forward.
#[derive(Debug, thiserror::Error)]
enum RollError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("entry {0} is gone from the log")]
    NoEntry(Version),
}

impl Directories {
    /// A follower that goes on above `rolled`.
    #[must_use]
    pub fn new(
        log: LogStore,
        attempts: Attempts,
        head: watch::Receiver<Head>,
        rolled: Option<Version>,
        board: Board,
        sentinel: Sentinel,
    ) -> Self {
        Self { log, attempts, head, rolled, board, sentinel }
    }
}

impl Actor for Directories {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let follow =
            follow(self.log.clone(), self.attempts.clone(), self.head.clone(), self.rolled, self.board.clone());
        let ended = |cause: Option<Cause>, actor: &mut Self, ctx: &mut Context<Self>| {
            match cause {
                Some(cause) => actor.sentinel.fail(cause),
                None => actor.sentinel.rest(),
            }
            ctx.stop();
        };
        ctx.spawn(follow.into_actor(self).map(ended));
    }
}

async fn follow(
    log: LogStore,
    attempts: Attempts,
    mut head: watch::Receiver<Head>,
    mut rolled: Option<Version>,
    board: Board,
) -> Option<Cause> {
    let mut pause = BACK_OFF.0;
    let mut swept = None;
    loop {
        let Head { fold, epochs } = head.borrow_and_update().clone();
        let target = fold.version;
        let mut failed = None;
        while rolled.is_none_or(|r| r < target) {
            let next = rolled.map_or(Version(0), Version::next);
            match roll_entry(&log, &fold, next).await {
                Ok(()) => {
                    rolled = Some(next);
                    pause = BACK_OFF.0;
                    board.follower_done(NAME, next);
                }
                Err(RollError::Lake(error)) if matches!(error, LakeError::Damaged(_)) => {
                    return Some(Cause::Stop { code: "LAKE_DAMAGED", message: error.to_string() });
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = failed {
            board.follower_trouble(NAME, &error.to_string());
            tracing::warn!(%error, "rolling files forward failed; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACK_OFF.1);
            continue;
        }
        // Epochs are committed in order, and all files of theirs are in place by now.
        let committed = epochs.last_key_value().map_or(0, |(epoch, _)| epoch.0 + 1);
        let mut look_again = Duration::MAX;
        if swept.is_none_or(|until| committed >= until + SWEEP_EVERY) {
            let since = swept.unwrap_or(0);
            let own = (since..committed).map(|epoch| attempts.staging_name(Epoch(epoch))).collect();
            match sweep(&log, &fold, rolled, &own).await {
                Swept::Done => swept = Some(committed),
                Swept::WaitsForLeases => look_again = LOOK_AGAIN,
                Swept::Failed => {}
            }
        }
        if let Ok(Err(_)) = tokio::time::timeout(look_again, head.changed()).await {
            return None;
        }
    }
}

/// Puts the files of one entry in place. Files that a later entry has removed are skipped.
async fn roll_entry(log: &LogStore, fold: &Fold, version: Version) -> Result<(), RollError> {
    let (entry, _) = log.entry(version).await?.ok_or(RollError::NoEntry(version))?;
    let live = |layer: &str, path: &str| fold.files.get(layer).is_some_and(|files| files.contains(path));
    let added = entry.layers.iter().flat_map(|(layer, change)| {
        change.added.iter().filter(move |file| live(layer, &file.path)).map(|file| (&file.staged, &file.path))
    });
    stream::iter(added.map(|(staged, path)| {
        let lake = log.lake();
        async move { roll_forward(lake, &staged.staged, path, staged.length, &staged.checksum).await }
    }))
    .buffer_unordered(SIDE_BY_SIDE)
    .try_for_each(|_| async { Ok(()) })
    .await?;
    for path in removed(&entry) {
        log.lake().delete(path).await?;
    }
    Ok(())
}

fn removed(entry: &Entry) -> impl Iterator<Item = &String> {
    entry.layers.values().flat_map(|change| &change.removed)
}

/// Outcome of a sweep. All but `Done` are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    /// All that could go has gone.
    Done,
    /// Folders stay because HDFS has not closed all files in them yet.
    WaitsForLeases,
    /// The store failed.
    Failed,
}

/// Removes staging folders and state objects that nothing needs; `own`: folders of this generation's committed epochs.
async fn sweep(log: &LogStore, fold: &Fold, rolled: Option<Version>, own: &BTreeSet<String>) -> Swept {
    let mut swept = Swept::Done;
    let result: Result<(), RollError> = async {
        let root = log.paths().staging_root();
        let folders: Vec<String> = log.lake().list(&root).await?.into_iter().map(|e| e.name).collect();
        let mut now = fold.clone();
        now.rolled = rolled;
        for name in removable_staging(&now, log.paths(), &folders, own) {
            let folder = format!("{root}/{name}");
            // From a dead writer, or one that only seems dead: once the lease is taken away it can't write on.
            if log.lake().recover_leases(&folder).await? {
                log.lake().delete_dir(&folder).await?;
            } else {
                swept = Swept::WaitsForLeases;
            }
        }
        let checkpoints = log.checkpoints().await?;
        let last_but_one = checkpoints.len().checked_sub(2).and_then(|i| checkpoints.get(i).copied());
        for path in removable_state(fold, last_but_one) {
            log.lake().delete(&path).await?;
        }
        Ok(())
    }
    .await;
    if let Err(error) = &result {
        tracing::warn!(%error, "clearing staging failed; the next sweep tries again");
        return Swept::Failed;
    }
    swept
}
