//! Writes Gold's files anew whose rows late rows revise (T5, H1): each gets a successor of its own, staged like what the
//! epoch's writers stage, and the entry takes the old one out.
//!
//! A successor holds the windows of its predecessor and no others, so files don't grow by revisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::stream::{self, FuturesUnordered, StreamExt};
use lakeward_connect::lake::LakeError;
use lakeward_connect::layer::{AppendMeta, EpochFiles, LayerError, LayerSpec, read_live_rows};
use lakeward_connect::log_store::LogStore;
use lakeward_core::ids::{Epoch, EventTime, OffsetRange};
use lakeward_core::kpi::{RenderError, Revisions, WindowRow, gold_batch};
use lakeward_core::log::{Fold, LiveFile, StagedFile};
use lakeward_core::pipeline::{Holds, Pipeline};

use crate::attempt::Attempts;
use crate::directories::missing;
use crate::kit::Cause;
use crate::kpi_registry::final_meta;

/// Files read, and files written, at the same time.
const SIDE_BY_SIDE: usize = 16;

/// Where a generation's revisions go.
#[derive(Clone)]
pub struct Reviser {
    pipeline: Arc<Pipeline>,
    log: LogStore,
    attempts: Attempts,
    /// The form of each layer's files, by the layer's name.
    specs: BTreeMap<String, LayerSpec>,
}

/// Files of a layer that take the place of others.
#[derive(Clone, Debug)]
pub struct Revised {
    /// The layer's name.
    pub layer: String,
    /// Paths of the live files that go.
    pub removed: Vec<String>,
    /// Their successors, and one for rows that had none.
    pub added: Vec<StagedFile>,
}

/// Why files could not be revised.
#[derive(Debug, thiserror::Error)]
pub enum ReviseError {
    /// A file of Gold could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the store said.
        #[source]
        source: LakeError,
    },
    /// A successor could not be written.
    #[error(transparent)]
    Write(#[from] LayerError),
    /// Rows could not be rendered.
    #[error("revised rows: {0}")]
    Render(#[from] RenderError),
}

impl ReviseError {
    /// Whether the lake lacks or holds damaged what the log names.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read { source: LakeError::Damaged(_) | LakeError::NotFound(_), .. })
    }
}

impl Reviser {
    /// For one generation.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, log: LogStore, attempts: Attempts, specs: BTreeMap<String, LayerSpec>) -> Self {
        Self { pipeline, log, attempts, specs }
    }

    /// Why the generation ends that met the error.
    pub async fn cause(&self, error: ReviseError, fold: &Fold) -> Cause {
        if error.is_damage() {
            return missing(&self.log, fold, error.to_string()).await;
        }
        Cause::Failed(error.to_string())
    }

    /// Stages what becomes of the KPI's Gold when closed windows have the values `rows`. `fold` is that of the entry
    /// before the epoch's. `None` if there is nothing to revise.
    pub async fn revise(
        &self,
        epoch: Epoch,
        fold: &Fold,
        kpi: usize,
        rows: Vec<WindowRow>,
    ) -> Result<Option<Revised>, ReviseError> {
        let layer = self.pipeline.layer(|holds| *holds == Holds::FinalWindows { kpi });
        let Some((name, spec)) = layer.and_then(|(_, layer)| Some((&layer.name, self.specs.get(&layer.name)?))) else {
            return Ok(None);
        };
        if rows.is_empty() {
            return Ok(None);
        }
        let mut revisions = Revisions::new(&self.pipeline, kpi, rows)?;
        let mut revised = Revised { layer: name.clone(), removed: Vec::new(), added: Vec::new() };
        let candidates = self.candidates(fold, name, &revisions).into_iter();
        let mut read = stream::iter(candidates.map(|file| self.read(file, spec))).buffered(SIDE_BY_SIDE);
        let mut writes = FuturesUnordered::new();
        while !revisions.are_done()
            && let Some(held) = read.next().await
        {
            let (file, held) = held?;
            let Some(anew) = revisions.rewrite(&held)? else { continue };
            if writes.len() >= SIDE_BY_SIDE
                && let Some(staged) = writes.next().await
            {
                revised.added.extend(staged?);
            }
            writes.push(self.write(epoch, name, spec, revised.removed.len(), anew, file.staged.event_times));
            revised.removed.push(file.path.clone());
        }
        let rest = revisions.rest();
        if !rest.is_empty() {
            let (batch, windows) = (gold_batch(&self.pipeline, kpi, &rest)?.batch, final_meta(&rest).event_times);
            writes.push(self.write(epoch, name, spec, revised.removed.len(), vec![batch], windows));
        }
        while let Some(staged) = writes.next().await {
            revised.added.extend(staged?);
        }
        Ok(Some(revised))
    }

    /// Live files that may hold rows that are replaced, the newest first. A file holds windows that were closed when it
    /// came, so the search ends where no watermark had passed the first of these.
    fn candidates<'f>(&self, fold: &'f Fold, layer: &str, revisions: &Revisions<'_>) -> Vec<&'f LiveFile> {
        let from = revisions.closed_from();
        let touched = |file: &&LiveFile| file.staged.event_times.is_none_or(|(a, b)| revisions.may_touch(a, b));
        let newest = fold.layer_files(layer).rev();
        newest.take_while(|file| file.as_of.is_none() || file.as_of >= from).filter(touched).collect()
    }

    async fn read<'f>(
        &self,
        file: &'f LiveFile,
        spec: &LayerSpec,
    ) -> Result<(&'f LiveFile, Vec<RecordBatch>), ReviseError> {
        let rows = read_live_rows(self.log.lake(), file, spec).await;
        rows.map(|rows| (file, rows)).map_err(|source| ReviseError::Read { path: file.path.clone(), source })
    }

    /// `number` tells the epoch's files of the layer apart.
    async fn write(
        &self,
        epoch: Epoch,
        layer: &str,
        spec: &LayerSpec,
        number: usize,
        batches: Vec<RecordBatch>,
        windows: Option<(EventTime, EventTime)>,
    ) -> Result<Vec<StagedFile>, LayerError> {
        let tag = format!("{}-revised-{number}", layer.replace('/', "-"));
        let mut files = EpochFiles::new(self.log.lake().clone(), self.attempts.staging(epoch), tag, spec)?;
        for batch in batches {
            let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            let meta = AppendMeta { partition: -1, range: OffsetRange::default(), rows, event_times: windows };
            files.append_rows(batch, meta).await?;
        }
        files.close().await
    }
}
