//! Hands of the log: reads entries back, folds them, creates the next one and finds out what became of it.
//!
//! Carries out the decisions of `lakeward_core::log`. Promises what L1, L3 and L5 ask of a store's user: a create is
//! resolved by reading back, the head is probed and never trusted, who acts on an entry made it durable first.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use lakeward_core::ids::Version;
use lakeward_core::log::{
    ENTRIES_PER_FOLDER, Entry, EntryError, Fold, FoldError, Found, LogPaths, LogStanding, PipelinePaths, Resolution,
    checkpoint_above, entry_hash, is_checkpoint, resolve_create,
};
use serde::{Deserialize, Serialize};

use crate::lake::{Create, Lake, LakeError};

/// The first pause between two tries of a create whose outcome is unknown, and the longest one.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Entries that are asked for at the same time by who knows none of them.
const READ_AHEAD: usize = 8;

/// The log of one pipeline in a lake.
#[derive(Clone, Debug)]
pub struct LogStore {
    lake: Lake,
    /// Its place among the pipeline's logs, from 0.
    number: u32,
    pipeline: PipelinePaths,
    id: Arc<str>,
    paths: LogPaths,
}

/// Why the log can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store failed; it may answer later.
    #[error("the log at {path}: {source}")]
    Lake {
        /// Path below the lake's root.
        path: String,
        /// What the store said.
        #[source]
        source: LakeError,
    },
    /// An entry's bytes are not for this program.
    #[error("the log at {path}: {source}")]
    Entry {
        /// Path below the lake's root.
        path: String,
        /// What is wrong.
        #[source]
        source: EntryError,
    },
    /// Entries don't follow from each other.
    #[error("the log: {0}")]
    Fold(#[from] FoldError),
    /// A file beside the entries is unreadable.
    #[error("the log at {path} is damaged: {what}")]
    Damaged {
        /// Path below the lake's root.
        path: String,
        /// What is wrong.
        what: String,
    },
}

/// What became of a create.
#[must_use]
#[derive(Debug)]
pub enum CreateOutcome {
    /// It is commit v; its hash.
    Committed(String),
    /// Anything else (L3): who must step down, reload or stop.
    Other(Resolution),
}

#[derive(Serialize, Deserialize)]
struct LogIdFile {
    log_id: String,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    format: u32,
    fold: Fold,
}

const CHECKPOINT_FORMAT: u32 = 1;

impl LogStore {
    /// Opens the pipeline's newest log, fixing the id of log 0 as `new_id` if there is none (L0).
    pub async fn open(lake: &Lake, pipeline: &str, new_id: &str) -> Result<Self, LogError> {
        match Self::all(lake, pipeline).await?.pop() {
            Some(newest) => Ok(newest),
            None => Self::fix(lake, &PipelinePaths::new(pipeline), 0, new_id).await,
        }
    }

    /// Opens the newest log for reading; `None` if the pipeline has never run here.
    pub async fn open_existing(lake: &Lake, pipeline: &str) -> Result<Option<Self>, LogError> {
        Ok(Self::all(lake, pipeline).await?.pop())
    }

    /// The pipeline's logs that count, each but the last ended by an entry that names the next (L0).
    pub async fn all(lake: &Lake, pipeline: &str) -> Result<Vec<Self>, LogError> {
        let paths = PipelinePaths::new(pipeline);
        let mut logs: Vec<Self> = Vec::new();
        for number in 0.. {
            let path = paths.log_id(number);
            let Some(bytes) = lake.read_durable(&path).await.map_err(at(&path))? else { break };
            let id: LogIdFile = parse(&path, &bytes)?;
            if let Some(before) = logs.last()
                && before.load().await?.and_then(|fold| fold.ended).as_deref() != Some(id.log_id.as_str())
            {
                break;
            }
            logs.push(Self::at(lake, &paths, number, &id.log_id));
        }
        Ok(logs)
    }

    /// What each of the logs is good for, for whoever begins or resets one.
    pub async fn standing(logs: &[Self]) -> Result<Vec<LogStanding>, LogError> {
        let mut standing = Vec::new();
        for log in logs {
            let path = log.paths.cleared();
            let cleared = log.lake.stat(&path).await.map_err(at(&path))?.is_some();
            standing.push(LogStanding { begun: log.has_begun().await?, cleared });
        }
        Ok(standing)
    }

    async fn has_begun(&self) -> Result<bool, LogError> {
        Ok(!self.checkpoints().await?.is_empty() || self.entry(Version(0)).await?.is_some())
    }

    /// The log that follows this one once this one has ended: fixes its id, as `new_id` if nobody was quicker (L0).
    pub async fn fix_next(&self, new_id: &str) -> Result<Self, LogError> {
        Self::fix(&self.lake, &self.pipeline, self.number + 1, new_id).await
    }

    /// Says for all time that nothing is left of what this log had put elsewhere.
    pub async fn mark_cleared(&self) -> Result<(), LogError> {
        let path = self.paths.cleared();
        match self.lake.create_new(&path, Bytes::from_static(b"{}")).await {
            Create::Created | Create::Exists => Ok(()),
            Create::Unknown(source) | Create::Failed(source) => Err(LogError::Lake { path, source }),
        }
    }

    /// The log's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Names of the log's files.
    #[must_use]
    pub fn paths(&self) -> &LogPaths {
        &self.paths
    }

    /// The lake that it lies in.
    #[must_use]
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// The fold of the whole log, from the newest checkpoint; `None` while it has no entry.
    pub async fn load(&self) -> Result<Option<Fold>, LogError> {
        self.catch_up(None).await
    }

    /// The same by who knows an older fold of it: reads what came since.
    pub async fn catch_up(&self, known: Option<Fold>) -> Result<Option<Fold>, LogError> {
        // Entries below the newest checkpoint may be gone.
        let checkpoint =
            self.checkpoints().await?.pop().filter(|c| known.as_ref().is_none_or(|known| known.version < *c));
        // Who looks again and again mostly finds nothing new: no requests for more of that.
        let ahead = if known.is_some() { 1 } else { READ_AHEAD };
        let mut fold = match checkpoint {
            Some(version) => Some(self.read_checkpoint(version).await?),
            None => known,
        };
        let next = fold.as_ref().map_or(Version(0), |f| f.version.next());
        let mut entries = pin!(stream::iter(next.0..).map(|version| self.entry(Version(version))).buffered(ahead));
        // Nothing counts behind the last entry (L6).
        while fold.as_ref().is_none_or(|fold| fold.ended.is_none())
            && let Some(Some((entry, hash))) = entries.try_next().await?
        {
            match &mut fold {
                None => fold = Some(Fold::first(&entry, hash)?),
                Some(fold) => fold.apply(&entry, hash)?,
            }
        }
        Ok(fold)
    }

    /// The fold at `version`, from one below it or a checkpoint between them.
    pub async fn fold_at(&self, below: &Fold, version: Version) -> Result<Fold, LogError> {
        let checkpoints = self.checkpoints().await?;
        let between = checkpoints.into_iter().rev().find(|c| *c <= version).filter(|c| *c > below.version);
        let mut fold = match between {
            Some(checkpoint) => self.read_checkpoint(checkpoint).await?,
            None => below.clone(),
        };
        while fold.version < version {
            let next = fold.version.next();
            let path = || self.paths.entry(next);
            let found = self.entry(next).await?;
            let (entry, hash) =
                found.ok_or_else(|| LogError::Damaged { path: path(), what: "it is gone".to_owned() })?;
            fold.apply(&entry, hash)?;
        }
        Ok(fold)
    }

    /// Removes the entries below `version`, oldest first; answers how many there were.
    pub async fn remove_entries_below(&self, version: Version) -> Result<u64, LakeError> {
        let root = self.paths.entries_root();
        let mut removed = 0;
        let of_block =
            |name: &str| name.parse::<u64>().ok().map(|block| Version(block.saturating_mul(ENTRIES_PER_FOLDER)));
        let mut blocks: Vec<(Version, String)> =
            self.lake.list(&root).await?.into_iter().filter_map(|e| Some((of_block(&e.name)?, e.name))).collect();
        blocks.sort_unstable();
        for (_, block) in blocks.into_iter().filter(|(first, _)| *first < version) {
            let folder = format!("{root}/{block}");
            for file in self.lake.list(&folder).await? {
                let of_file = file.name.strip_suffix(".json").and_then(|v| v.parse().ok()).map(Version);
                if of_file.is_some_and(|v| v < version) && self.lake.delete(&format!("{folder}/{}", file.name)).await? {
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Entry `version` and its hash, made durable before anybody acts on it (L1); `None` if it isn't there.
    pub async fn entry(&self, version: Version) -> Result<Option<(Entry, String)>, LogError> {
        let path = self.paths.entry(version);
        let Some(bytes) = self.lake.read_durable(&path).await.map_err(at(&path))? else { return Ok(None) };
        let entry = Entry::parse(&bytes).map_err(|source| LogError::Entry { path, source })?;
        Ok(Some((entry, entry_hash(&bytes))))
    }

    /// Creates an entry and resolves what became of it, trying the same bytes again for as long as the outcome is
    /// unknown. `trouble` hears of each failed try.
    pub async fn create(&self, entry: &Entry, mut trouble: impl FnMut(&LakeError)) -> Result<CreateOutcome, LogError> {
        let path = self.paths.entry(entry.version);
        let bytes = entry.to_bytes().map_err(|e| LogError::Damaged { path: path.clone(), what: e.to_string() })?;
        let bytes = Bytes::from(bytes);
        let mine = Found::from(entry);
        let mut pause = RETRY.0;
        loop {
            match self.lake.create_new(&path, bytes.clone()).await {
                Create::Created | Create::Exists => {}
                Create::Unknown(error) | Create::Failed(error) => trouble(&error),
            }
            match self.resolve(entry.version, &mine).await {
                Ok(Resolution::Committed) => return Ok(CreateOutcome::Committed(entry_hash(&bytes))),
                Ok(Resolution::SendAgain) => {}
                Ok(other) => return Ok(CreateOutcome::Other(other)),
                Err(LogError::Lake { source, .. }) => trouble(&source),
                Err(other) => return Err(other),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Writes the checkpoint of `fold` if one is due at its version (L5). One is due behind a log's last entry too: then
    /// no create of a sleeper counts any more, wherever entries are removed.
    pub async fn checkpoint(&self, fold: &Fold) -> Result<(), LogError> {
        if !is_checkpoint(fold.version) && fold.ended.is_none() {
            return Ok(());
        }
        let path = self.paths.checkpoint(fold.version);
        let body = Checkpoint { format: CHECKPOINT_FORMAT, fold: fold.clone() };
        let damaged = |what: String| LogError::Damaged { path: path.clone(), what };
        // It names every live file: too much to write out between two messages.
        let rendered = tokio::task::spawn_blocking(move || serde_json::to_vec(&body)).await;
        let bytes = rendered.map_err(|e| damaged(e.to_string()))?.map_err(|e| damaged(e.to_string()))?;
        match self.lake.create_new(&path, bytes.into()).await {
            Create::Created | Create::Exists => Ok(()),
            Create::Unknown(source) | Create::Failed(source) => Err(LogError::Lake { path, source }),
        }
    }

    /// Versions of the checkpoints, ascending.
    pub async fn checkpoints(&self) -> Result<Vec<Version>, LogError> {
        let folder = self.paths.checkpoints();
        let names = self.lake.list(&folder).await.map_err(at(&folder))?;
        let version = |name: &str| name.strip_suffix(".json")?.parse().ok().map(Version);
        let mut versions: Vec<_> = names.iter().filter_map(|e| version(&e.name)).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    async fn resolve(&self, version: Version, mine: &Found) -> Result<Resolution, LogError> {
        let found = self.entry(version).await?.map(|(entry, _)| Found::from(&entry));
        let above = checkpoint_above(&self.checkpoints().await?, version);
        Ok(resolve_create(mine, found.as_ref(), above))
    }

    async fn read_checkpoint(&self, version: Version) -> Result<Fold, LogError> {
        let path = self.paths.checkpoint(version);
        let bytes = self.lake.read(&path).await.map_err(at(&path))?;
        let bytes = bytes.ok_or_else(|| LogError::Damaged { path: path.clone(), what: "it is gone".to_owned() })?;
        let checkpoint: Checkpoint = parse(&path, &bytes)?;
        if checkpoint.format > CHECKPOINT_FORMAT {
            let source = EntryError::NewerLog(format!("checkpoint format {}", checkpoint.format));
            return Err(LogError::Entry { path, source });
        }
        Ok(checkpoint.fold)
    }

    async fn fix(lake: &Lake, paths: &PipelinePaths, n: u32, new_id: &str) -> Result<Self, LogError> {
        let path = paths.log_id(n);
        let body = LogIdFile { log_id: new_id.to_owned() };
        let bytes =
            serde_json::to_vec(&body).map_err(|e| LogError::Damaged { path: path.clone(), what: e.to_string() })?;
        if lake.read(&path).await.map_err(at(&path))?.is_none()
            && let Create::Unknown(source) | Create::Failed(source) = lake.create_new(&path, bytes.into()).await
        {
            return Err(LogError::Lake { path, source });
        }
        let bytes = lake.read_durable(&path).await.map_err(at(&path))?;
        let bytes = bytes.ok_or_else(|| LogError::Damaged { path: path.clone(), what: "it is gone".to_owned() })?;
        let id: LogIdFile = parse(&path, &bytes)?;
        Ok(Self::at(lake, paths, n, &id.log_id))
    }

    fn at(lake: &Lake, paths: &PipelinePaths, number: u32, id: &str) -> Self {
        Self { lake: lake.clone(), number, pipeline: paths.clone(), id: id.into(), paths: paths.log(id) }
    }
}

fn at(path: &str) -> impl FnOnce(LakeError) -> LogError + use<> {
    let path = path.to_owned();
    move |source| LogError::Lake { path, source }
}

fn parse<T: serde::de::DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, LogError> {
    serde_json::from_slice(bytes).map_err(|e| LogError::Damaged { path: path.to_owned(), what: e.to_string() })
}

#[cfg(test)]
mod tests;
