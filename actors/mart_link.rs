//! The followers' connection to a mart: opens it when it is there, claims it once per generation, fills it from the
//! log's files.
//!
//! Shared by the follower of rows and those of KPIs, which run and fail on their own.

mod added;
mod trouble;
mod whole;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, BooleanArray, Int32Array, Int64Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use lakeward_connect::layer::{LayerSpec, read_live_rows};
use lakeward_connect::log_store::LogStore;
use lakeward_connect::mart::{
    Claimed, FinalOutcome, FinalRows, KpiFence, LiveOutcome, LiveRows, Mart, MartContext, MartError, RowsBatch,
    RowsOutcome,
};
use lakeward_core::ids::{EventTime, OffsetRange, Version};
use lakeward_core::kpi::{
    WindowRow, last_closed_window, mart_batch, mart_batch_from_gold, mart_window_values, window_end,
};
use lakeward_core::log::{Fold, LiveFile};
use lakeward_core::pipeline::{Holds, Pipeline};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::commit::Head;

pub use trouble::{BackOff, LinkError, Trouble};

/// Offsets of one partition that a fill copies in one transaction: bounds its memory.
const FILL_OFFSETS: i64 = 100_000;

/// Opens the mart; called again after each failure.
pub type OpenMart = Box<dyn Fn() -> futures::future::BoxFuture<'static, Result<Mart, MartError>> + Send + Sync>;

/// The connection of one generation to its mart.
pub struct MartLink {
    pipeline: Arc<Pipeline>,
    log: LogStore,
    claim: Version,
    start: Arc<Fold>,
    head: watch::Receiver<Head>,
    open: OpenMart,
    specs: BTreeMap<String, LayerSpec>,
    accept_incomplete: bool,
    held: AsyncMutex<Option<Held>>,
    fences: Mutex<BTreeMap<(i32, i32), i64>>,
    openings: Mutex<Openings>,
}

/// How often the mart was opened, and how often a KPI's table was found to hold nothing then.
#[derive(Debug, Default)]
struct Openings {
    count: u64,
    empty: BTreeMap<usize, u64>,
}

#[derive(Clone)]
struct Held {
    mart: Mart,
    kpis: BTreeMap<String, KpiFence>,
}

/// What became of applying entries to a KPI's table.
#[derive(Debug)]
pub enum FinalsOutcome {
    /// The table holds all final rows up to this version; it had shown live values up to these offsets before.
    Applied {
        /// Newest version applied.
        version: Version,
        /// Offsets reflected by live values when it was claimed.
        reflected: BTreeMap<i32, i64>,
    },
    /// A greater claim holds the mart.
    Fenced {
        /// The greater claim.
        claim: Version,
    },
}

impl MartLink {
    /// A link for the generation whose claim entry is the newest of `start`. `specs`: the form of each layer's
    /// files, by the layer's name.
    #[must_use]
    pub fn new(
        pipeline: Arc<Pipeline>,
        log: LogStore,
        claim: Version,
        start: Arc<Fold>,
        head: watch::Receiver<Head>,
        open: OpenMart,
        specs: BTreeMap<String, LayerSpec>,
    ) -> Self {
        let (held, fences, openings) = (AsyncMutex::new(None), Mutex::default(), Mutex::default());
        let accept_incomplete = false;
        Self { pipeline, log, claim, start, head, open, specs, accept_incomplete, held, fences, openings }
    }

    /// The definition.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Opens, prepares and claims the mart, once; takes previews of dead attempts back (F2).
    pub async fn connect(&self) -> Result<(), LinkError> {
        let mut held = self.held.lock().await;
        if held.is_some() { Ok(()) } else { self.open_into(&mut held).await }
    }

    /// The same for a follower that found its table broken: looks the tables over again. Until that succeeds, the
    /// other followers keep the connection that they have.
    pub async fn reopen(&self) -> Result<(), LinkError> {
        let mut held = self.held.lock().await;
        self.open_into(&mut held).await
    }

    async fn open_into(&self, held: &mut Option<Held>) -> Result<(), LinkError> {
        let mart = (self.open)().await?;
        mart.prepare_under(&self.context()?).await?;
        let kpis = self.claim_on(&mart).await?;
        self.count_opening(&kpis);
        *held = Some(Held { mart, kpis });
        Ok(())
    }

    /// Claims the mart, or, again under the same claim, makes fences of partitions that have entered the set since.
    async fn claim_on(&self, mart: &Mart) -> Result<BTreeMap<String, KpiFence>, LinkError> {
        let (start, now) = (Arc::clone(&self.start), Arc::clone(&self.head.borrow().fold));
        let end = Arc::new(move |claim, incarnation, partition| start.reign_end(claim, incarnation, partition));
        // Rows of earlier incarnations too: a table may be switched on after the topic was made anew.
        let past = now.past_incarnations.iter().map(|(&(p, i), held)| (i, p, held.start));
        let present = now.partitions.iter().map(|(&p, held)| (held.incarnation, p, held.start));
        let partitions: Vec<(i32, i32, i64)> = past.chain(present).collect();
        match mart.claim(&self.context()?, end, &partitions).await? {
            Claimed::Held { next, kpis } => {
                *self.fences.lock().unwrap_or_else(PoisonError::into_inner) = next;
                Ok(kpis)
            }
            Claimed::Fenced { claim } => Err(LinkError::Fenced(claim)),
        }
    }

    fn count_opening(&self, kpis: &BTreeMap<String, KpiFence>) {
        let mut openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        openings.count += 1;
        for (kpi, definition) in self.pipeline.kpis.iter().enumerate() {
            if kpis.get(&definition.name).is_some_and(KpiFence::is_new) {
                *openings.empty.entry(kpi).or_default() += 1;
            }
        }
    }

    /// How often the mart was opened: after another time the fences of rows may be elsewhere.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// How often a KPI's table held nothing when the mart was opened: after another time, whoever had written to it
    /// must begin again.
    #[must_use]
    pub fn found_empty(&self, kpi: usize) -> u64 {
        let openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        openings.empty.get(&kpi).copied().unwrap_or_default()
    }

    /// Copies consecutive rows of a partition behind its fence. Those that the fence has passed are there already, so
    /// `At` is answered only if it stands below the range.
    pub async fn copy(
        &self,
        incarnation: i32,
        partition: i32,
        mut range: OffsetRange,
        rows: Vec<RecordBatch>,
    ) -> Result<RowsOutcome, LinkError> {
        if self.fence(incarnation, partition).is_none() {
            let held = self.connected().await?;
            self.claim_on(&held.mart).await?;
        }
        let schema = rows.first().map_or_else(|| self.pipeline.rows_schema(), RecordBatch::schema);
        let mut rows = concat_batches(&schema, &rows)?;
        loop {
            let held = self.connected().await?;
            let batch = RowsBatch { incarnation, partition, base: range.from, to: range.to, rows: rows.clone() };
            let copied = held.mart.copy_rows(&self.context()?, batch).await;
            match self.keep_or_drop(copied).await? {
                RowsOutcome::Applied => {
                    self.set_fence(incarnation, partition, range.to);
                    return Ok(RowsOutcome::Applied);
                }
                RowsOutcome::At { next, .. } if next > range.from => {
                    self.set_fence(incarnation, partition, next);
                    if next >= range.to {
                        return Ok(RowsOutcome::Applied);
                    }
                    range.from = next;
                    rows = pick(&rows, incarnation, partition, range, None)?;
                }
                RowsOutcome::At { next, incarnation: i, partition: p } => {
                    self.set_fence(i, p, next);
                    return Ok(RowsOutcome::At { next, incarnation: i, partition: p });
                }
                fenced @ RowsOutcome::Fenced { .. } => return Ok(fenced),
            }
        }
    }

    /// Whether every partition's fence is at or above the fold's offsets.
    #[must_use]
    pub fn reaches(&self, fold: &Fold) -> bool {
        let fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        fold.partitions.iter().all(|(&p, held)| fences.get(&(held.incarnation, p)).is_some_and(|&n| n >= held.to))
    }

    /// Fills the table of rows from the log's files, up to the fold's offsets (F2).
    pub async fn fill(&self, fold: &Fold) -> Result<(), LinkError> {
        self.check_rows(fold).await?;
        let past = fold.past_incarnations.iter().map(|(&(p, i), held)| (i, p, held.start, held.to));
        let now = fold.partitions.iter().map(|(&p, held)| (held.incarnation, p, held.start, held.to));
        for (incarnation, partition, start, to) in past.chain(now) {
            let fence = self.fence(incarnation, partition);
            let mut next = fence.unwrap_or(start);
            while next < to {
                let range = OffsetRange { from: next, to: to.min(next + FILL_OFFSETS) };
                let rows = self.committed_rows(fold, incarnation, partition, range).await?;
                match self.copy(incarnation, partition, range, rows).await? {
                    RowsOutcome::Applied => next = range.to,
                    RowsOutcome::At { next: at, .. } => next = at,
                    RowsOutcome::Fenced { claim } => return Err(LinkError::Fenced(claim)),
                }
            }
        }
        Ok(())
    }

    /// The fold at an earlier version of this generation.
    pub async fn fold_at(&self, version: Version) -> Result<Fold, LinkError> {
        Ok(self.log.fold_at(&self.start, version).await?)
    }

    /// Applies the final rows of the entries above `from` (`None`: above the table's fence) up to the fold's.
    pub async fn apply_finals(
        &self,
        kpi: usize,
        from: Option<Version>,
        fold: &Fold,
    ) -> Result<FinalsOutcome, LinkError> {
        let held = self.connected().await?;
        let Some(definition) = self.pipeline.kpis.get(kpi) else { return Err(LinkError::NotConnected) };
        let fence = held.kpis.get(&definition.name).cloned();
        let from = from.or(fence.as_ref().and_then(|f| f.version));
        self.check_kpi(kpi, false, from, fold)?;
        let layer = self.pipeline.layer(|h| *h == Holds::FinalWindows { kpi }).map(|(_, l)| l.name.clone());
        let files: Vec<LiveFile> = layer.iter().flat_map(|l| fold.layer_files_above(l, from)).cloned().collect();
        let mut rows = Vec::new();
        for file in &files {
            for gold in self.read_file(layer.as_deref().unwrap_or_default(), file).await? {
                rows.push(mart_batch_from_gold(&self.pipeline, kpi, &gold, fold.updated_at)?);
            }
        }
        let last = last_closed_window(definition, fold.g);
        let windows = |last| mart_window_values(&self.pipeline, kpi, &closed_windows(&files, last));
        let finals = FinalRows {
            version: fold.version,
            above: from,
            closed_to: last.map_or(EventTime::MIN, |window| window_end(definition.window, window)),
            rows,
            closed_windows: last.map(windows).transpose()?,
        };
        let outcome = held.mart.apply_final(&self.context()?, kpi, finals).await;
        if let FinalOutcome::Fenced { claim } = self.keep_or_drop(outcome).await? {
            return Ok(FinalsOutcome::Fenced { claim });
        }
        Ok(FinalsOutcome::Applied { version: fold.version, reflected: self.same_incarnation(fence) })
    }

    /// Writes live values.
    pub async fn upsert_live(
        &self,
        kpi: usize,
        rows: &[WindowRow],
        reflected: &BTreeMap<i32, i64>,
        now: i64,
    ) -> Result<LiveOutcome, LinkError> {
        let held = self.connected().await?;
        let rendered = mart_batch(&self.pipeline, kpi, rows, false, now)?;
        let Some(definition) = self.pipeline.kpis.get(kpi) else { return Err(LinkError::NotConnected) };
        let window_ends = rendered.windows.iter().map(|w| window_end(definition.window, *w)).collect();
        let live = LiveRows { rows: rendered.batch, window_ends, reflected: reflected.clone() };
        let written = held.mart.upsert_live(&self.context()?, kpi, live).await;
        self.keep_or_drop(written).await
    }

    /// What a KPI's table reflected before, without partitions whose topic has been recreated since: their offsets
    /// count anew.
    fn same_incarnation(&self, fence: Option<KpiFence>) -> BTreeMap<i32, i64> {
        let before = self.start.reigns.values().next_back();
        let now = |p: &i32| self.start.partitions.get(p).map(|held| held.incarnation);
        let same = |p: &i32| before.is_none_or(|reign| reign.get(p).map(|(i, _)| *i) == now(p));
        let reflected = fence.map(|f| f.reflected).unwrap_or_default();
        reflected.into_iter().filter(|(p, _)| same(p)).collect()
    }

    /// Deletes rows whose Kafka time is below the boundary.
    pub async fn delete_rows_below(&self, boundary: EventTime) -> Result<(), LinkError> {
        let held = self.connected().await?;
        let deleted = held.mart.delete_rows_below(&self.context()?, boundary).await;
        match self.keep_or_drop(deleted).await? {
            LiveOutcome::Applied => Ok(()),
            LiveOutcome::Fenced { claim } => Err(LinkError::Fenced(claim)),
        }
    }

    fn context(&self) -> Result<MartContext, MartError> {
        MartContext::new(&self.pipeline, self.log.id(), self.claim)
    }

    async fn connected(&self) -> Result<Held, LinkError> {
        self.held.lock().await.clone().ok_or(LinkError::NotConnected)
    }

    /// After an error of the connection the mart is opened and claimed anew: fences are read again. What is wrong with
    /// one table is no business of the others (`reopen`).
    async fn keep_or_drop<T>(&self, result: Result<T, MartError>) -> Result<T, LinkError> {
        if result.as_ref().is_err_and(MartError::is_retryable) {
            *self.held.lock().await = None;
        }
        Ok(result?)
    }

    fn fence(&self, incarnation: i32, partition: i32) -> Option<i64> {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner).get(&(incarnation, partition)).copied()
    }

    fn set_fence(&self, incarnation: i32, partition: i32, next: i64) {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner).insert((incarnation, partition), next);
    }

    async fn committed_rows(
        &self,
        fold: &Fold,
        incarnation: i32,
        partition: i32,
        range: OffsetRange,
    ) -> Result<Vec<RecordBatch>, LinkError> {
        let rows_layer = self.pipeline.layer(|h| matches!(h, Holds::Rows { .. }));
        let Some((_, layer)) = rows_layer else { return Ok(Vec::new()) };
        let touches = |file: &&LiveFile| {
            file.staged.offsets.get(&partition).is_some_and(|o| o.from < range.to && o.to > range.from)
        };
        let files: Vec<LiveFile> = fold.layer_files(&layer.name).filter(touches).cloned().collect();
        let mut rows = Vec::new();
        for file in &files {
            for batch in self.read_file(&layer.name, file).await? {
                let picked = pick(&batch, incarnation, partition, range, fold.rows_boundary)?;
                if picked.num_rows() > 0 {
                    rows.push(picked);
                }
            }
        }
        Ok(rows)
    }

    /// Reads a live file of a layer.
    async fn read_file(&self, layer: &str, file: &LiveFile) -> Result<Vec<RecordBatch>, LinkError> {
        let Some(spec) = self.specs.get(layer) else { return Ok(Vec::new()) };
        Ok(read_live_rows(self.log.lake(), file, spec).await?)
    }
}

/// Starts of windows that the files hold, and the last closed one: previews of all of them go.
fn closed_windows(files: &[LiveFile], last: EventTime) -> Vec<EventTime> {
    let mut windows: std::collections::BTreeSet<EventTime> =
        files.iter().filter_map(|file| file.staged.event_times).flat_map(|(first, until)| [first, until]).collect();
    windows.insert(last);
    windows.into_iter().collect()
}

/// Rows whose Kafka time is not below the boundary.
fn not_gone(batch: &RecordBatch, boundary: Option<EventTime>) -> Result<RecordBatch, LinkError> {
    let Some(boundary) = boundary else { return Ok(batch.clone()) };
    let times = batch.column_by_name("kafka_timestamp").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let gone = |row: usize| times.is_some_and(|times| times.is_valid(row) && times.value(row) < boundary.0);
    let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(!gone(row))).collect();
    Ok(filter_record_batch(batch, &mask)?)
}

/// Rows of one partition whose offsets lie in the range and whose Kafka time is not below the boundary (F2).
fn pick(
    batch: &RecordBatch,
    incarnation: i32,
    partition: i32,
    range: OffsetRange,
    boundary: Option<EventTime>,
) -> Result<RecordBatch, LinkError> {
    let ints = |name: &str| batch.column_by_name(name).and_then(|c| c.as_any().downcast_ref::<Int32Array>());
    let offsets = batch.column_by_name("kafka_offset").and_then(|c| c.as_any().downcast_ref::<Int64Array>());
    let (Some(p), Some(i), Some(o)) = (ints("kafka_partition"), ints("kafka_incarnation"), offsets) else {
        return Ok(batch.slice(0, 0));
    };
    let inside = |row: usize| {
        let theirs = p.value(row) == partition && i.value(row) == incarnation;
        theirs && (range.from..range.to).contains(&o.value(row))
    };
    let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(inside(row))).collect();
    not_gone(&filter_record_batch(batch, &mask)?, boundary)
}
