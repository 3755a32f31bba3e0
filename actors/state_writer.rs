//! Writes state objects: an epoch's increments, and bases that stand for many of them (E2).

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use lakeward_connect::lake::{Create, Lake, LakeError, checksum_of};
use lakeward_core::ids::{Epoch, EventTime, Version};
use lakeward_core::kpi::RenderError;
use lakeward_core::kpi::state::{StateError, StateIncrements, compact, decode, encode};
use lakeward_core::log::{Fold, StagedState, StateRef};
use lakeward_core::pipeline::Pipeline;

use crate::attempt::Attempts;

/// State objects that are read at the same time.
const READ_AT_ONCE: usize = 4;

/// Where state objects of a generation go.
#[derive(Clone)]
pub struct StateWriter {
    lake: Lake,
    attempts: Attempts,
}

/// Why a state object could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StateWriteError {
    /// The store failed.
    #[error("state object {path}: {source}")]
    Lake {
        /// Path below the lake's root.
        path: String,
        /// What the store said.
        #[source]
        source: LakeError,
    },
    /// The bytes are not a state object.
    #[error("state object {path}: {source}")]
    State {
        /// Path below the lake's root.
        path: String,
        /// What is wrong.
        #[source]
        source: StateError,
    },
    /// The object named by the log is gone.
    #[error("LAKE_DAMAGED: state object {0} is named by the log and is not there")]
    Missing(String),
    /// An attempt wrote the same object twice: a bug.
    #[error("state object {0} exists already")]
    Twice(String),
    /// Final rows could not be rendered.
    #[error("final rows: {0}")]
    Render(#[from] RenderError),
    /// A blocking task was cancelled: the process is ending.
    #[error("the encoding task was cancelled")]
    Cancelled,
}

impl StateWriter {
    /// A writer for one generation.
    #[must_use]
    pub fn new(lake: Lake, attempts: Attempts) -> Self {
        Self { lake, attempts }
    }

    /// Writes an epoch's increments; `None` if there are none.
    pub async fn write_delta(
        &self,
        epoch: Epoch,
        increments: StateIncrements,
    ) -> Result<Option<StagedState>, StateWriteError> {
        if items(&increments) == 0 {
            return Ok(None);
        }
        self.write(self.attempts.delta(epoch), None, increments).await.map(Some)
    }

    /// Folds the state objects that `fold` holds into one base object and writes it. Windows that take no row any more, and
    /// dedup keys that can't match any more, are left out.
    pub async fn write_base(
        &self,
        epoch: Epoch,
        fold: &Fold,
        pipeline: &Arc<Pipeline>,
    ) -> Result<StagedState, StateWriteError> {
        let increments = load_state(&self.lake, fold, pipeline).await?;
        self.write(self.attempts.base(epoch), Some(fold.version), increments).await
    }

    async fn write(
        &self,
        path: String,
        base_of: Option<Version>,
        increments: StateIncrements,
    ) -> Result<StagedState, StateWriteError> {
        let items = items(&increments);
        let encoded = beside(move || encode(&increments).map(|bytes| (checksum_of(&bytes), bytes))).await?;
        let (checksum, bytes) = encoded.map_err(|source| StateWriteError::State { path: path.clone(), source })?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match self.lake.create_new(&path, bytes.into()).await {
            Create::Created => Ok(StagedState { path, base_of, length, checksum, items }),
            Create::Exists => Err(StateWriteError::Twice(path)),
            Create::Unknown(source) | Create::Failed(source) => Err(StateWriteError::Lake { path, source }),
        }
    }
}

/// Reads all state that the fold holds, merged, without what can't matter any more. The work is done beside the caller's
/// thread: an actor goes on meanwhile.
pub async fn load_state(
    lake: &Lake,
    fold: &Fold,
    pipeline: &Arc<Pipeline>,
) -> Result<StateIncrements, StateWriteError> {
    let objects = stream::iter(fold.state.clone()).map(|reference| read_object(lake, reference));
    let objects: Vec<_> = objects.buffered(READ_AT_ONCE).try_collect().await?;
    let (g, pipeline) = (fold.g, Arc::clone(pipeline));
    let watermarks: BTreeMap<_, _> = fold.partitions.iter().map(|(&number, p)| (number, p.watermark)).collect();
    let merged = beside(move || {
        let closed = |kpi: &str, window: EventTime| {
            let definition = pipeline.kpis.iter().find(|k| k.name == kpi);
            definition.is_none_or(|k| k.is_settled(window, g))
        };
        let within = pipeline.dedup.as_ref().map_or(0, |d| d.within);
        let horizon = |partition: i32| watermarks.get(&partition).map_or(EventTime::MIN, |w| w.minus(within));
        compact(objects, closed, horizon)
    });
    merged.await?.map_err(|source| StateWriteError::State { path: log_position(fold), source })
}

async fn read_object(lake: &Lake, reference: StateRef) -> Result<StateIncrements, StateWriteError> {
    let path = reference.path;
    let bytes = lake.read(&path).await.map_err(|source| StateWriteError::Lake { path: path.clone(), source })?;
    let bytes = bytes.ok_or_else(|| StateWriteError::Missing(path.clone()))?;
    let decoded = beside(move || (checksum_of(&bytes) == reference.checksum).then(|| decode(&bytes))).await?;
    let decoded = decoded.ok_or_else(|| StateWriteError::Missing(format!("{path} (its checksum differs)")))?;
    decoded.map_err(|source| StateWriteError::State { path, source })
}

/// Does work on a thread that may block.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StateWriteError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StateWriteError::Cancelled)
}

fn items(state: &StateIncrements) -> u64 {
    let increments: usize = state.kpis.iter().map(|(_, increments)| increments.len()).sum();
    u64::try_from(increments + state.dedup.len()).unwrap_or(u64::MAX)
}

fn log_position(fold: &Fold) -> String {
    format!("of version {}", fold.version)
}
