//! Writes entries of a log that this process owns without actors: one loop does what partitions, registry, writers and the
//! CommitActor do together, by the same pure functions. For commands that work on a pipeline while nobody runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_actors::attempt::Attempts;
use lakeward_actors::kit::Clock;
use lakeward_actors::kpi_registry::{closed_windows, final_meta};
use lakeward_actors::reviser::{ReviseError, Revised, Reviser};
use lakeward_actors::state_writer::{StateWriteError, StateWriter, load_state};
use lakeward_connect::lake::Lake;
use lakeward_connect::layer::{AppendMeta, EpochFiles, LayerError, LeafError};
use lakeward_connect::log_store::{CreateOutcome, LogStore};
use lakeward_core::dedup::DedupItem;
use lakeward_core::ids::{Epoch, EventTime};
use lakeward_core::kpi::state::StateIncrements;
use lakeward_core::kpi::{Increment, WindowRow, Windows, gold_batch};
use lakeward_core::log::{
    Author, BarrierFacts, Draft, Entry, EntryKind, Fold, Member, StagedState, base_is_due, next_g, render,
};
use lakeward_core::partition_step::{PartitionStart, PartitionStep, StepOutput};
use lakeward_core::pipeline::{Holds, Pipeline};

use crate::exit::Exit;
use crate::layers::{layer_spec, layer_specs};
use crate::reset::{lake_trouble, log_trouble};

/// What a scribe is started with.
pub struct ScribeSeed {
    /// The definition to decide by.
    pub pipeline: Arc<Pipeline>,
    /// The topic, with overrides applied.
    pub topic: String,
    /// The log that is written; its fold's newest entry is this process's claim.
    pub log: LogStore,
    /// That fold.
    pub fold: Fold,
    /// Information about this process.
    pub member: Member,
    /// Time.
    pub clock: Clock,
}

/// The writer of a log's entries.
pub struct Scribe {
    seed: ScribeSeed,
    definition: String,
    attempts: Attempts,
    state: StateWriter,
    reviser: Reviser,
    epoch: Epoch,
    steps: BTreeMap<i32, (i32, PartitionStep)>,
    windows: Vec<Windows>,
    base: Option<(StagedState, Vec<String>)>,
}

/// An entry that is being made.
pub struct Making {
    files: BTreeMap<String, EpochFiles>,
    dedup: Vec<DedupItem>,
    /// What it will say.
    pub draft: Draft,
}

impl Scribe {
    /// Goes on where the log's fold says.
    pub async fn new(seed: ScribeSeed) -> Result<Self, Exit> {
        let attempts = Attempts::new(rand::random(), seed.fold.claim, seed.log.paths().clone());
        let restored = load_state(seed.log.lake(), &seed.fold, &seed.pipeline).await.map_err(|e| state_trouble(&e))?;
        let mut windows: Vec<Windows> = seed.pipeline.kpis.iter().map(|kpi| Windows::new(kpi, seed.fold.g)).collect();
        for (kpi, windows) in seed.pipeline.kpis.iter().zip(&mut windows) {
            let held = restored.kpis.iter().filter(|(name, _)| *name == kpi.name).flat_map(|(_, held)| held);
            for increment in held {
                windows.restore(increment.clone()).map_err(|e| Exit::bug(e.to_string()))?;
            }
        }
        let state = StateWriter::new(seed.log.lake().clone(), attempts.clone());
        let pipeline = Arc::clone(&seed.pipeline);
        let specs = layer_specs(&pipeline);
        let reviser = Reviser::new(pipeline, seed.log.clone(), attempts.clone(), specs);
        let definition = seed.pipeline.definition_hash();
        let mut scribe = Self {
            definition,
            attempts,
            state,
            reviser,
            epoch: Epoch::default(),
            steps: BTreeMap::new(),
            windows,
            base: None,
            seed,
        };
        let partitions: Vec<i32> = scribe.seed.fold.partitions.keys().copied().collect();
        for partition in partitions {
            let dedup = restored.dedup.iter().filter(|item| item.partition == partition).cloned().collect();
            scribe.begin(partition, dedup);
        }
        Ok(scribe)
    }

    /// What it was started with; the fold is that of the log as far as it is written.
    pub fn seed(&self) -> &ScribeSeed {
        &self.seed
    }

    /// The fold of the log that is written.
    pub fn fold(&self) -> &Fold {
        &self.seed.fold
    }

    /// A partition goes on, or begins, where the fold has it.
    fn begin(&mut self, partition: i32, dedup: Vec<DedupItem>) {
        let Some(held) = self.seed.fold.partitions.get(&partition) else { return };
        let first_windows = self.seed.fold.first_windows.clone();
        let start = PartitionStart { watermark: held.watermark, dedup, first_windows };
        // Bronze is there already: its lines need not be made again.
        let mut pipeline = Pipeline::clone(&self.seed.pipeline);
        pipeline.layers.retain(|layer| layer.holds != Holds::Records);
        let step = PartitionStep::new(&pipeline, &self.seed.topic, held.incarnation, partition, start);
        self.steps.insert(partition, (held.incarnation, step));
    }

    /// The step of a partition of the set.
    pub fn step(&mut self, partition: i32) -> Option<&mut PartitionStep> {
        self.steps.get_mut(&partition).map(|(_, step)| step)
    }

    /// The incarnation of a partition of the set.
    pub fn incarnation(&self, partition: i32) -> Option<i32> {
        self.steps.get(&partition).map(|(incarnation, _)| *incarnation)
    }

    /// Begins an entry.
    pub fn open(&self) -> Result<Making, Exit> {
        Ok(Making { files: self.files()?, dedup: Vec::new(), draft: Draft::empty(EntryKind::Epoch) })
    }

    fn files(&self) -> Result<BTreeMap<String, EpochFiles>, Exit> {
        let layers = self.seed.pipeline.layers.iter().filter(|layer| layer.holds != Holds::Records);
        let files = layers.map(|layer| {
            let (staging, tag) = (self.attempts.staging(self.epoch), layer.name.replace('/', "-"));
            let spec = layer_spec(&self.seed.pipeline, layer);
            let files = EpochFiles::new(self.lake().clone(), staging, tag, &spec);
            Ok((layer.name.clone(), files.map_err(|e| layer_trouble(&layer.name, &e))?))
        });
        files.collect()
    }

    /// Writes what came of a partition's batch to the layers' files.
    pub async fn write(&self, partition: i32, output: StepOutput, making: &mut Making) -> Result<(), Exit> {
        let meta = |rows, event_times| AppendMeta { partition, range: output.range, rows, event_times };
        for layer in &self.seed.pipeline.layers {
            let Some(files) = making.files.get_mut(&layer.name) else { continue };
            let (rows, event_times) = match &layer.holds {
                Holds::Rejects if output.quarantine_rows > 0 => {
                    let lines = output.quarantine.clone().into();
                    let written = files.append_lines(lines, meta(output.quarantine_rows, None)).await;
                    written.map_err(|e| layer_trouble(&layer.name, &e))?;
                    continue;
                }
                Holds::Rows { .. } => (output.rows.as_ref(), output.event_times),
                Holds::LateRows { kpi } => {
                    let late = output.late.iter().find(|late| late.kpi == *kpi);
                    (late.map(|late| &late.rows), late.and_then(|late| late.event_times))
                }
                _ => (None, None),
            };
            let Some(rows) = rows else { continue };
            let count = u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
            let written = files.append_rows(rows.clone(), meta(count, event_times)).await;
            written.map_err(|e| layer_trouble(&layer.name, &e))?;
        }
        Ok(())
    }

    /// A partition has taken its share of the entry; what is told besides is the caller's to fill in. `floor`: see
    /// [`PartitionStep::barrier`].
    pub fn barrier(
        &mut self,
        partition: i32,
        floor: Option<EventTime>,
        making: &mut Making,
    ) -> Result<Option<BarrierFacts>, Exit> {
        let Some((_, step)) = self.steps.get_mut(&partition) else { return Ok(None) };
        for (windows, increments) in self.windows.iter_mut().zip(step.take_increments()) {
            windows.apply(self.epoch, increments).map_err(|e| Exit::bug(e.to_string()))?;
        }
        let barrier = step.barrier(floor);
        making.dedup.extend(barrier.dedup_increment);
        Ok(Some(BarrierFacts {
            watermark: Some(barrier.watermark),
            counters: barrier.counters,
            late_minutes: barrier.late_minutes,
            ..BarrierFacts::default()
        }))
    }

    /// All partitions have passed: windows close, files and state are written (E2, E3).
    async fn close(&mut self, making: &mut Making) -> Result<(), Exit> {
        let g = next_g(&self.seed.fold, &making.draft.barriers);
        let mut kpis: Vec<(String, Vec<Increment>)> = Vec::new();
        let mut revised = Vec::new();
        for (number, (kpi, windows)) in self.seed.pipeline.kpis.iter().zip(&mut self.windows).enumerate() {
            let closed = windows.close(self.epoch, g).map_err(|e| Exit::bug(e.to_string()))?;
            kpis.push((kpi.name.clone(), closed.increments));
            if closed.finals.is_empty() && closed.revised.is_empty() {
                continue;
            }
            let told = closed_windows(&closed.finals, &closed.revised);
            making.draft.closed.insert(kpi.name.clone(), told);
            gold(&self.seed.pipeline, number, &closed.finals, &mut making.files).await?;
            let anew = self.reviser.revise(self.epoch, &self.seed.fold, number, closed.revised).await;
            revised.extend(anew.map_err(|e| revise_trouble(&e))?);
        }
        for (name, files) in std::mem::take(&mut making.files) {
            let staged = files.close().await.map_err(|e| layer_trouble(&name, &e))?;
            let layer = self.seed.pipeline.layers.iter().find(|layer| layer.name == name);
            if let Some(layer) = layer.filter(|_| !staged.is_empty()) {
                making.draft.staged.insert(name, (layer.path.clone(), staged));
            }
        }
        for Revised { layer: name, removed, added } in revised {
            if let Some(layer) = self.seed.pipeline.layers.iter().find(|layer| layer.name == name) {
                making.draft.replace(&name, &layer.path, removed, added);
            }
        }
        let increments = StateIncrements { kpis, dedup: std::mem::take(&mut making.dedup) };
        let delta = self.state.write_delta(self.epoch, increments).await.map_err(|e| state_trouble(&e))?;
        if let Some((base, replaces)) = self.base.take() {
            making.draft.state.push(base);
            making.draft.state_removed = replaces;
        }
        making.draft.state.extend(delta);
        Ok(())
    }

    /// All partitions of the entry have passed: it is closed, looked at by `check`, and created.
    pub async fn commit(
        &mut self,
        mut making: Making,
        check: impl FnOnce(&Entry) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        self.close(&mut making).await?;
        let author = Author {
            claim: self.seed.fold.claim,
            attempt: self.attempts.id(self.epoch),
            member: self.seed.member.clone(),
            definition: self.definition.clone(),
            now: self.seed.clock.wall_micros(),
        };
        let entry = render(&self.seed.fold, &making.draft, &author);
        check(&entry)?;
        let log = self.seed.log.clone();
        let created = log.create(&entry, |error| tracing::warn!(%error, "creating an entry")).await;
        match created.map_err(|e| log_trouble(&e))? {
            CreateOutcome::Committed(hash) => {
                self.seed.fold.apply(&entry, hash).map_err(|e| Exit::bug(e.to_string()))?;
            }
            CreateOutcome::Other(other) => {
                let message = format!("another process works on the pipeline or runs it: {other:?}");
                return Err(Exit::refused("RUNNING", message));
            }
        }
        making.draft.new_partitions.keys().for_each(|partition| self.begin(*partition, Vec::new()));
        self.epoch = self.epoch.next();
        log.checkpoint(&self.seed.fold).await.map_err(|e| log_trouble(&e))?;
        if base_is_due(&self.seed.fold.state) {
            let replaces = self.seed.fold.state.iter().map(|object| object.path.clone()).collect();
            let base = self.state.write_base(self.epoch, &self.seed.fold, &self.seed.pipeline).await;
            self.base = Some((base.map_err(|e| state_trouble(&e))?, replaces));
        }
        Ok(())
    }

    /// The lake.
    pub fn lake(&self) -> &Lake {
        self.seed.log.lake()
    }
}

async fn gold(
    pipeline: &Pipeline,
    kpi: usize,
    finals: &[WindowRow],
    files: &mut BTreeMap<String, EpochFiles>,
) -> Result<(), Exit> {
    let Some((_, layer)) = pipeline.layer(|holds| *holds == Holds::FinalWindows { kpi }) else { return Ok(()) };
    let Some(files) = files.get_mut(&layer.name) else { return Ok(()) };
    let rows = gold_batch(pipeline, kpi, finals).map_err(|e| Exit::bug(e.to_string()))?.batch;
    files.append_rows(rows, final_meta(finals)).await.map_err(|e| layer_trouble(&layer.name, &e))
}

fn layer_trouble(layer: &str, error: &LayerError) -> Exit {
    match error {
        LayerError::Lake(error) => lake_trouble(error),
        LayerError::Leaf(LeafError::TooMany { .. }) => {
            Exit::refused("TOO_MANY_FOLDERS", format!("layer {layer}: {error}"))
        }
        _ => Exit::bug(format!("layer {layer}: {error}")),
    }
}

fn revise_trouble(error: &ReviseError) -> Exit {
    match error {
        _ if error.is_damage() => Exit::refused("LAKE_DAMAGED", error.to_string()),
        ReviseError::Read { source, .. } | ReviseError::Write(LayerError::Lake(source)) => lake_trouble(source),
        ReviseError::Write(_) | ReviseError::Render(_) => Exit::bug(error.to_string()),
    }
}

fn state_trouble(error: &StateWriteError) -> Exit {
    match error {
        StateWriteError::Lake { source, .. } => lake_trouble(source),
        StateWriteError::Missing(_) => Exit::refused("LAKE_DAMAGED", error.to_string()),
        _ => Exit::bug(error.to_string()),
    }
}
