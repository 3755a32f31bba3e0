//! The follower of the directories (F1): renames committed files from staging into sight, entry after entry, and
//! clears what staging doesn't need any more (H2).
//!
//! `rolled` is this follower's version: all files of entries up to it are in place. Applying an entry again changes
//! nothing, so a crash anywhere is mended by the next start.

mod sweep;
#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::prelude::*;
use futures::stream::{self, StreamExt, TryStreamExt};
use lakeward_connect::lake::LakeError;
use lakeward_connect::layer::roll_forward;
use lakeward_connect::log_store::{LogError, LogStore};
use lakeward_core::ids::Version;
use lakeward_core::log::{Entry, Fold, LayerChange};
use tokio::sync::watch;

use self::sweep::Sweeper;

use crate::attempt::Attempts;
use crate::commit::Head;
use crate::kit::{Board, Cause, Sentinel};

/// The follower's name, in entries and metrics.
pub const NAME: &str = "directories";

/// Files renamed, or removed, side by side: HDFS answers a rename in milliseconds, so a few in flight hide its latency.
const SIDE_BY_SIDE: usize = 8;

/// Pauses between tries while the store fails.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Brings the directories into line with the log.
pub struct Directories {
    log: LogStore,
    attempts: Attempts,
    head: watch::Receiver<Head>,
    keeping: Keeping,
    board: Board,
    sentinel: Sentinel,
}

/// Whose files are cleared, and what stays.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// The pipeline's name.
    pub pipeline: String,
    /// Newest entries that stay in the log; `None`: all.
    pub entries: Option<u64>,
}

/// Why an entry can't be rolled forward.
#[derive(Debug, thiserror::Error)]
pub enum RollError {
    /// The store failed, or a file is damaged.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The entry is gone.
    #[error("entry {0} is gone from the log")]
    NoEntry(Version),
}

impl Directories {
    /// A follower that goes on above what the head says is in place.
    #[must_use]
    pub fn new(
        log: LogStore,
        attempts: Attempts,
        head: watch::Receiver<Head>,
        keeping: Keeping,
        board: Board,
        sentinel: Sentinel,
    ) -> Self {
        Self { log, attempts, head, keeping, board, sentinel }
    }
}

impl Actor for Directories {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let sweeper = Sweeper::new(self.log.clone(), self.attempts.clone(), self.board.clone(), self.keeping.clone());
        let follow = follow(self.log.clone(), sweeper, self.head.clone(), self.board.clone());
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

async fn follow(log: LogStore, mut sweeper: Sweeper, mut head: watch::Receiver<Head>, board: Board) -> Option<Cause> {
    // The newest word on it: entries below may be gone (F6).
    let mut rolled = head.borrow().fold.rolled;
    let mut pause = BACK_OFF.0;
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
                    return Some(missing(&log, &fold, error.to_string()).await);
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
        let look_again = sweeper.sweep(&fold, rolled, committed).await;
        if let Ok(Err(_)) = tokio::time::timeout(look_again, head.changed()).await {
            return None;
        }
    }
}

/// Why a process ends that misses a file of the log, or finds it damaged: whoever has taken the pipeline over meanwhile may
/// have let it go.
pub(crate) async fn missing(log: &LogStore, fold: &Fold, message: String) -> Cause {
    let now = log.load().await.ok().flatten().map(|now| now.claim);
    match now.filter(|claim| *claim > fold.claim) {
        Some(claim) => Cause::Fenced(claim),
        None => Cause::Stop { code: "LAKE_DAMAGED", message },
    }
}

/// Puts the files of all entries up to the fold's in place, for who works on a log that nobody follows (L6).
pub async fn roll_all(log: &LogStore, fold: &Fold) -> Result<(), RollError> {
    let mut version = fold.rolled.map_or(Version(0), Version::next);
    while version <= fold.version {
        roll_entry(log, fold, version).await?;
        version = version.next();
    }
    Ok(())
}

/// Puts the files of one entry in place. Files that a later entry has removed are skipped.
async fn roll_entry(log: &LogStore, fold: &Fold, version: Version) -> Result<(), RollError> {
    let (entry, _) = log.entry(version).await?.ok_or(RollError::NoEntry(version))?;
    // Before the files that hold their rows from now on: some may be out of sight for a moment, none is seen twice (H3).
    stream::iter(removed(&entry).map(|path| log.lake().delete(path)))
        .buffer_unordered(SIDE_BY_SIDE)
        .try_for_each(|_| async { Ok(()) })
        .await?;
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
    Ok(())
}

fn removed(entry: &Entry) -> impl Iterator<Item = &String> {
    entry.layers.values().flat_map(LayerChange::taken_out)
}
