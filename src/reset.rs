//! Starting a pipeline over (L6): ends its log, so that nobody who still runs can commit, and clears what that log had
//! put into the lake and the mart. A rebuild, which has filled the next log before, ends in the same steps.
//!
//! Each step may be cut off and repeated, by this process or another, and may thaw behind the next log's owner: what is
//! removed has names of the ended log, the mart asks who holds it, and the mark that lets the next log begin is set
//! last. Before that a start is refused (`RESET_UNFINISHED`). Deliberately not here: asking people, printing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use lakeward_actors::directories;
use lakeward_actors::kit::{Board, Clock};
use lakeward_actors::owner::{Claimed, Entering, LeaseWatch, Owner, OwnerTimes};
use lakeward_connect::lake::{Lake, LakeError};
use lakeward_connect::log_store::{LogError, LogStore};
use lakeward_connect::mart::{Mart, MartError};
use lakeward_core::ids::Version;
use lakeward_core::log::{
    Fold, LayerChange, Member, Occupied, Prepared, Rebuilt, ResetStanding, prepared, reset_standing, uncleared,
};
use lakeward_core::pipeline::Pipeline;

use crate::exit::Exit;

/// How often the lease is looked at, and a dead writer's files.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long HDFS may take to close the files of a dead writer: it needs some heartbeats.
const CLOSING: Duration = Duration::from_secs(120);

/// Files removed side by side.
const SIDE_BY_SIDE: usize = 16;

/// What a reset works with.
pub struct Reset {
    /// The pipeline, whose tables are emptied.
    pub pipeline: Pipeline,
    /// Its lake.
    pub lake: Lake,
    /// Its mart, if there is one.
    pub mart: Option<Mart>,
    /// Spans of ownership.
    pub times: OwnerTimes,
    /// Information about this process.
    pub member: Member,
    /// Time.
    pub clock: Clock,
}

/// A log that is to be cleared, or to be ended before.
pub struct Subject {
    /// The log.
    pub log: LogStore,
    /// Its fold; `ended` tells whether a reset has ended it already.
    pub fold: Fold,
    /// Ids of all logs up to this one.
    past: Vec<String>,
    /// Ids of the logs after it.
    later: Vec<String>,
    /// Whether the newest log holds something: then a rebuild had switched to it.
    pub rebuilt: bool,
}

impl Reset {
    /// What there is to reset; `None`: nothing.
    pub async fn find(&self) -> Result<Option<Subject>, Exit> {
        let mut logs = LogStore::all(&self.lake, &self.pipeline.name).await.map_err(|e| log_trouble(&e))?;
        let standing = LogStore::standing(&logs).await.map_err(|e| log_trouble(&e))?;
        let number = match reset_standing(&standing) {
            ResetStanding::Nothing => return Ok(None),
            ResetStanding::Unfinished => uncleared(&standing).unwrap_or_default(),
            ResetStanding::InForce => logs.len().saturating_sub(1),
        };
        let rebuilt = number + 1 < logs.len() && standing.last().is_some_and(|newest| newest.begun);
        let later = logs.drain(number + 1..).map(|log| log.id().to_owned()).collect();
        let past = logs.iter().map(|log| log.id().to_owned()).collect();
        let Some(log) = logs.pop() else { return Ok(None) };
        let fold = log.load().await.map_err(|e| log_trouble(&e))?;
        Ok(fold.map(|fold| Subject { log, fold, past, later, rebuilt }))
    }

    /// Refuses a mart that another lake's log holds: it isn't this pipeline's to empty.
    pub async fn check_mart(&self, subject: &Subject) -> Result<(), Exit> {
        let Some(mart) = &self.mart else { return Ok(()) };
        let holding = mart.holding(&self.pipeline).await.map_err(|e| mart_trouble(&e))?;
        let later = subject.later.iter();
        match holding.holder {
            Some((holder, _)) if !subject.past.iter().chain(later).any(|log| *log == holder) => {
                let message = format!(
                    "the mart follows log {holder} of pipeline {}, which is not in {}; it belongs to another lake: take \
                     mart.url out of the configuration to reset the lake alone",
                    self.pipeline.name,
                    self.lake.store()
                );
                Err(Exit::refused("OTHER_LOG", message))
            }
            _ => Ok(()),
        }
    }

    /// Refuses while a process runs the pipeline, as far as its lease tells.
    pub async fn refuse_while_running(&self, subject: &Subject) -> Result<(), Exit> {
        if subject.fold.ended.is_some() {
            return Ok(());
        }
        let (owner, mut watch) = (self.owner(subject), LeaseWatch::default());
        loop {
            match owner.occupied(&mut watch, &subject.fold).await.map_err(|e| log_trouble(&e))? {
                Occupied::No => return Ok(()),
                Occupied::Yes => return Err(self.running()),
                Occupied::NotKnown => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Ends the log if no earlier reset has, clears what it had put elsewhere, and lets the next log begin.
    pub async fn carry_out(&self, subject: Subject) -> Result<(), Exit> {
        let Subject { log, fold, .. } = subject;
        if fold.ended.is_none() {
            // Known to all before anybody owns it, so that this process dies at as few points under its claim as can be.
            log.fix_next(&random()).await.map_err(|e| log_trouble(&e))?;
            let (owner, fold) = self.own(&log, fold).await?;
            // The lease tells the owner before, should it thaw, that it is one no more.
            owner.give_up(fold.claim).await;
            self.next_log(&log, fold.claim, None).await?;
            self.switch(&log, fold).await?;
        }
        self.clear_ended().await
    }

    /// Takes the pipeline over, which fences whoever runs it.
    pub async fn own(&self, log: &LogStore, fold: Fold) -> Result<(Owner, Fold), Exit> {
        let owner = self.owner_of(log, &fold);
        let claimed = owner.claim(Some(fold), Entering::default(), random()).await.map_err(|e| log_trouble(&e))?;
        let Claimed::Ours(fold) = claimed else { return Err(self.running()) };
        Ok((owner, *fold))
    }

    /// The log that will be in force once `log` has ended, and its fold if a rebuild has begun it that can be gone on
    /// with. What was prepared for something else is ended: it must not come into force (L6). `under`: this process's
    /// claim of `log`, which is the one in force.
    pub async fn next_log(
        &self,
        log: &LogStore,
        under: Version,
        wanted: Option<(&str, u32)>,
    ) -> Result<(LogStore, Option<Fold>), Exit> {
        let mut before = log.clone();
        loop {
            let next = before.fix_next(&random()).await.map_err(|e| log_trouble(&e))?;
            let fold = next.load().await.map_err(|e| log_trouble(&e))?;
            match (prepared(fold.as_ref(), under, wanted), fold) {
                (Prepared::Fenced { .. }, _) => return Err(self.running()),
                (Prepared::Vacant, _) | (_, None) => return Ok((next, None)),
                (Prepared::Resume, fold) => return Ok((next, fold)),
                (Prepared::Retired, _) => before = next,
                (Prepared::Retire, Some(fold)) => {
                    self.retire(&next, fold, under).await?;
                    before = next;
                }
            }
        }
    }

    /// Ends a log that was never in force. The claim says under whose reign: one who was overtaken meanwhile finds a
    /// greater one there, or an entry where his should be.
    async fn retire(&self, log: &LogStore, fold: Fold, under: Version) -> Result<(), Exit> {
        let after = log.fix_next(&random()).await.map_err(|e| log_trouble(&e))?;
        let owner = self.owner_of(log, &fold);
        let upto = fold.rebuilt.map_or(Version(0), |rebuilt| rebuilt.upto);
        let entering = Entering { rebuilt: Some(Rebuilt { under, upto }), ..Entering::default() };
        let claimed = owner.claim(Some(fold), entering, random()).await.map_err(|e| log_trouble(&e))?;
        let Claimed::Ours(fold) = claimed else { return Err(self.running()) };
        let ended = owner.end(*fold, after.id(), random()).await.map_err(|e| log_trouble(&e))?;
        ended.map(drop).ok_or_else(|| self.running())
    }

    /// Appends the last entry of `log`, which this process owns: from then on the log after it counts (L0).
    pub async fn switch(&self, log: &LogStore, fold: Fold) -> Result<(), Exit> {
        let next = log.fix_next(&random()).await.map_err(|e| log_trouble(&e))?;
        let owner = self.owner_of(log, &fold);
        let ended = owner.end(fold, next.id(), random()).await.map_err(|e| log_trouble(&e))?;
        ended.map(drop).ok_or_else(|| self.running())
    }

    /// Clears what logs that have ended had put elsewhere, but for files that the newest one goes on with, brings that
    /// one's own into sight, and lets it begin.
    pub async fn clear_ended(&self) -> Result<(), Exit> {
        let mut logs = LogStore::all(&self.lake, &self.pipeline.name).await.map_err(|e| log_trouble(&e))?;
        let standing = LogStore::standing(&logs).await.map_err(|e| log_trouble(&e))?;
        let Some(newest) = logs.pop() else { return Ok(()) };
        let fold = newest.load().await.map_err(|e| log_trouble(&e))?;
        let live = fold.iter().flat_map(|fold| fold.files.values()).flat_map(|files| files.iter());
        let kept: BTreeSet<String> = live.map(|file| file.path.clone()).collect();
        let past: Vec<String> = logs.iter().map(|log| log.id().to_owned()).collect();
        let mut uncleared = Vec::new();
        for (log, _) in logs.into_iter().zip(&standing).filter(|(_, standing)| !standing.cleared) {
            let fold = log.load().await.map_err(|e| log_trouble(&e))?;
            let fold = fold.filter(|fold| fold.ended.is_some());
            let fold = fold.ok_or_else(|| Exit::bug(format!("log {} has not ended", log.id())))?;
            // From here on no create of a sleeper counts, also where its entry is gone (L5).
            log.checkpoint(&fold).await.map_err(|e| log_trouble(&e))?;
            self.clear_layers(&log, &fold, &kept).await?;
            uncleared.push((log, fold));
        }
        if let Some(mart) = &self.mart {
            mart.hand_over(&self.pipeline, &past, newest.id()).await.map_err(|e| mart_trouble(&e))?;
        }
        // Only now: nothing is ever seen twice (H3).
        if let Some(fold) = &fold {
            directories::roll_all(&newest, fold).await.map_err(|e| roll_trouble(&e))?;
        }
        for (log, fold) in uncleared {
            self.clear_log(&log, &fold).await.map_err(|e| lake_trouble(&e))?;
            log.mark_cleared().await.map_err(|e| log_trouble(&e))?;
        }
        Ok(())
    }

    /// Staging first: what is not there can't be renamed into sight any more. Then the files by name.
    async fn clear_layers(&self, log: &LogStore, fold: &Fold, kept: &BTreeSet<String>) -> Result<(), Exit> {
        self.clear_staging(log).await?;
        let live = fold.files.values().flat_map(|files| files.iter().map(|file| file.path.clone()));
        let removed = removed_lately(log, fold).await.map_err(|e| log_trouble(&e))?;
        let paths = live.chain(removed).filter(|path| !kept.contains(path));
        delete_all(&self.lake, paths).await.map_err(|e| lake_trouble(&e))
    }

    async fn clear_staging(&self, log: &LogStore) -> Result<(), Exit> {
        let root = log.paths().staging_root();
        let began = tokio::time::Instant::now();
        // From writers that are dead, or only seem so: once the lease is taken away they can't write on.
        while !self.lake.recover_leases(&root).await.map_err(|e| lake_trouble(&e))? {
            if began.elapsed() > CLOSING {
                return Err(Exit::unreachable(format!("files below {root} are still being closed; {AGAIN}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.lake.delete_dir(&root).await.map(drop).map_err(|e| lake_trouble(&e))
    }

    /// State, what was said of it, and all entries but the last one.
    async fn clear_log(&self, log: &LogStore, fold: &Fold) -> Result<(), LakeError> {
        self.lake.delete_dir(&log.paths().state_root()).await?;
        self.lake.delete(&log.paths().verified()).await?;
        let root = log.paths().entries_root();
        let last = log.paths().entry(fold.version);
        let entries = self.lake.list_recursive(&root).await?;
        let paths = entries.into_iter().filter(|e| !e.is_dir).map(|e| format!("{root}/{}", e.name));
        delete_all(&self.lake, paths.filter(|path| *path != last)).await
    }

    fn owner(&self, subject: &Subject) -> Owner {
        self.owner_of(&subject.log, &subject.fold)
    }

    pub fn owner_of(&self, log: &LogStore, fold: &Fold) -> Owner {
        Owner {
            log: log.clone(),
            times: self.times,
            member: self.member.clone(),
            definition: fold.definition.clone(),
            board: Board::default(),
            clock: self.clock.clone(),
        }
    }

    /// The refusal where somebody else works on the pipeline.
    pub fn running(&self) -> Exit {
        let message =
            format!("a process runs pipeline {}; stop it first, nothing was removed so far", self.pipeline.name);
        Exit::refused("RUNNING", message)
    }
}

/// Files that entries took out of their layers and that nobody may have removed yet (H1).
pub async fn removed_lately(log: &LogStore, fold: &Fold) -> Result<Vec<String>, LogError> {
    let mut removed = Vec::new();
    let mut version = fold.rolled.map_or(Version(0), Version::next);
    while version <= fold.version {
        if let Some((entry, _)) = log.entry(version).await? {
            removed.extend(entry.layers.values().flat_map(LayerChange::taken_out).cloned());
        }
        version = version.next();
    }
    Ok(removed)
}

async fn delete_all(lake: &Lake, paths: impl Iterator<Item = String>) -> Result<(), LakeError> {
    let deletions = stream::iter(paths.map(|path| async move { lake.delete(&path).await }));
    deletions.buffer_unordered(SIDE_BY_SIDE).try_for_each(|_| async { Ok(()) }).await
}

const AGAIN: &str = "run the same command again, it goes on from there";

/// What an error of the lake means for whoever runs the command.
pub fn lake_trouble(error: &LakeError) -> Exit {
    Exit::unreachable(format!("{error}; {AGAIN}"))
}

/// The same of the log.
pub fn log_trouble(error: &LogError) -> Exit {
    match error {
        LogError::Lake { .. } => Exit::unreachable(format!("{error}; {AGAIN}")),
        _ => Exit::refused("LOG", error.to_string()),
    }
}

/// The same of files that don't come into sight.
pub fn roll_trouble(error: &directories::RollError) -> Exit {
    match error {
        directories::RollError::Lake(error @ LakeError::Damaged(_)) => Exit::stopped("LAKE_DAMAGED", error.to_string()),
        directories::RollError::Lake(error) => lake_trouble(error),
        directories::RollError::Log(error) => log_trouble(error),
        directories::RollError::NoEntry(_) => Exit::refused("LOG", error.to_string()),
    }
}

fn mart_trouble(error: &MartError) -> Exit {
    match error.is_retryable() {
        true => Exit::unreachable(format!("{error}; {AGAIN}")),
        false => Exit::refused(error.code(), error.to_string()),
    }
}

/// 128 random bits, 32 hex digits.
pub fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}
