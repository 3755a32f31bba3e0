//! Entry after entry of the log before, decided anew by the pipeline's own functions, into entries of the log after it.
//!
//! No actors: one loop does what partitions, registry, writers and the CommitActor do together. Ranges, floors, idleness,
//! partitions and incarnations are those of the log before (T2, T3), so each entry becomes one entry.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_actors::attempt::Attempts;
use lakeward_actors::kit::Clock;
use lakeward_actors::kpi_registry::{closed_windows, final_meta};
use lakeward_actors::state_writer::{StateWriteError, StateWriter, load_state};
use lakeward_connect::lake::Lake;
use lakeward_connect::layer::{AppendMeta, EpochFiles, LayerError, LeafError};
use lakeward_connect::log_store::{CreateOutcome, LogStore};
use lakeward_core::dedup::DedupItem;
use lakeward_core::ids::{Epoch, Version};
use lakeward_core::kpi::state::StateIncrements;
use lakeward_core::kpi::{Increment, WindowRow, Windows, gold_batch};
use lakeward_core::log::{
    Author, BarrierFacts, Draft, Entry, EntryKind, Fold, Member, NewPartition, PartitionEntry, Rebuilt, StagedState,
    base_is_due, next_g, render,
};
use lakeward_core::partition_step::{PartitionStart, PartitionStep, StepOutput};
use lakeward_core::pipeline::{Holds, Pipeline};

use super::input::{INCOMPLETE, Input};
use crate::exit::Exit;
use crate::layers::layer_spec;
use crate::reset::{lake_trouble, log_trouble};

/// What a replay is started with.
pub struct ReplaySeed {
    /// The definition to decide by.
    pub pipeline: Pipeline,
    /// The topic, with overrides applied.
    pub topic: String,
    /// The log that is written; its fold's newest entry is this process's claim.
    pub log: LogStore,
    /// That fold.
    pub fold: Fold,
    /// The claim of the log before under which it is written.
    pub under: Version,
    /// Information about this process.
    pub member: Member,
    /// Time.
    pub clock: Clock,
}

/// The writing of a log from the one before it.
pub struct Replay {
    seed: ReplaySeed,
    definition: String,
    attempts: Attempts,
    state: StateWriter,
    epoch: Epoch,
    steps: BTreeMap<i32, (i32, PartitionStep)>,
    windows: Vec<Windows>,
    base: Option<(StagedState, Vec<String>)>,
}

/// An entry that is being made.
struct Making {
    files: BTreeMap<String, EpochFiles>,
    dedup: Vec<DedupItem>,
    draft: Draft,
}

impl Replay {
    /// Goes on where the log's fold says.
    pub async fn new(seed: ReplaySeed) -> Result<Self, Exit> {
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
        let definition = seed.pipeline.definition_hash();
        let mut replay = Self {
            definition,
            attempts,
            state,
            epoch: Epoch::default(),
            steps: BTreeMap::new(),
            windows,
            base: None,
            seed,
        };
        let partitions: Vec<i32> = replay.seed.fold.partitions.keys().copied().collect();
        for partition in partitions {
            let dedup = restored.dedup.iter().filter(|item| item.partition == partition).cloned().collect();
            replay.begin(partition, dedup);
        }
        Ok(replay)
    }

    /// The fold of the log that is written.
    pub fn fold(&self) -> &Fold {
        &self.seed.fold
    }

    /// A partition goes on, or begins, where the fold has it.
    fn begin(&mut self, partition: i32, dedup: Vec<DedupItem>) {
        let Some(held) = self.seed.fold.partitions.get(&partition) else { return };
        let start = PartitionStart { watermark: held.watermark, dedup, first_windows: BTreeMap::new() };
        // Bronze is there already: its lines need not be made again.
        let mut pipeline = self.seed.pipeline.clone();
        pipeline.layers.retain(|layer| layer.holds != Holds::Records);
        let step = PartitionStep::new(&pipeline, &self.seed.topic, held.incarnation, partition, start);
        self.steps.insert(partition, (held.incarnation, step));
    }

    /// Makes the entry that says the same as `entry` of the log before, whose fold is `before`. `exactly`: it was decided
    /// by the same definition, so it must come to the same.
    pub async fn take(&mut self, entry: &Entry, before: &Fold, exactly: bool) -> Result<(), Exit> {
        let (input, kept) = self.input(entry, before).await?;
        if kept.is_empty() && self.says_nothing(entry) {
            return Ok(());
        }
        let mut draft = Draft::empty(EntryKind::Epoch);
        draft.kept = kept;
        draft.rows_boundary = entry.rows_boundary;
        draft.rebuilt = Some(Rebuilt { under: self.seed.under, upto: entry.version });
        let mut making = Making { files: self.files()?, dedup: Vec::new(), draft };
        for (&partition, told) in &entry.partitions {
            input.check(partition, told)?;
            if self.enters(partition, told) {
                let new =
                    NewPartition { incarnation: told.incarnation, topic_id: told.topic_id.clone(), start: told.from };
                making.draft.new_partitions.insert(partition, new);
            } else {
                self.partition(partition, told, &input, exactly, &mut making).await?;
            }
        }
        drop(input);
        self.close(&mut making).await?;
        self.commit(making, entry, before, exactly).await
    }

    /// Records of the entry, and the files of Bronze that stay.
    async fn input(
        &self,
        entry: &Entry,
        before: &Fold,
    ) -> Result<(Input, BTreeMap<String, Vec<lakeward_core::log::LiveFile>>), Exit> {
        let (mut input, mut kept) = (Input::default(), BTreeMap::new());
        for layer in &self.seed.pipeline.layers {
            if !matches!(layer.holds, Holds::Records | Holds::Rejects) {
                continue;
            }
            let files = entry.layers.get(&layer.name).map_or(&[][..], |change| &change.added);
            for file in files {
                if !before.files.get(&layer.name).is_some_and(|live| live.contains(&file.path)) {
                    let message = format!("{} was taken out of the lake, which held records", file.path);
                    return Err(Exit::refused(INCOMPLETE, message));
                }
                if layer.holds == Holds::Records && !file.path.starts_with(&format!("{}/", layer.path)) {
                    let message = format!("{} is not below {}: Bronze can't move in a rebuild", file.path, layer.path);
                    return Err(Exit::refused(INCOMPLETE, message));
                }
                input.add(self.lake(), file, layer.holds == Holds::Rejects).await?;
            }
            if layer.holds == Holds::Records && !files.is_empty() {
                kept.insert(layer.name.clone(), files.to_vec());
            }
        }
        Ok((input, kept))
    }

    /// Claims and the like, which only say who owned the log before.
    fn says_nothing(&self, entry: &Entry) -> bool {
        let nothing = |(partition, told): (&i32, &PartitionEntry)| {
            told.from == told.to && told.floor.is_none() && !told.idle && !self.enters(*partition, told)
        };
        entry.partitions.iter().all(nothing) && entry.rows_boundary <= self.seed.fold.rows_boundary
    }

    fn enters(&self, partition: i32, told: &PartitionEntry) -> bool {
        self.steps.get(&partition).is_none_or(|(incarnation, _)| *incarnation != told.incarnation)
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

    /// One partition's share of the entry, up to its barrier.
    async fn partition(
        &mut self,
        partition: i32,
        told: &PartitionEntry,
        input: &Input,
        exactly: bool,
        making: &mut Making,
    ) -> Result<(), Exit> {
        for judged in input.batches(partition, told, exactly) {
            let judged = judged?;
            let Some((_, step)) = self.steps.get_mut(&partition) else { continue };
            let now = self.seed.clock.wall_micros();
            let output = step.step_judged(&judged.batch, judged.judged_us, now);
            let output = output.map_err(|e| Exit::bug(e.to_string()))?;
            self.write(partition, output, making).await?;
        }
        let Some((_, step)) = self.steps.get_mut(&partition) else { return Ok(()) };
        for (windows, increments) in self.windows.iter_mut().zip(step.take_increments()) {
            windows.apply(self.epoch, increments).map_err(|e| Exit::bug(e.to_string()))?;
        }
        let barrier = step.barrier(told.floor);
        making.dedup.extend(barrier.dedup_increment);
        let facts = BarrierFacts {
            to: told.to,
            watermark: Some(barrier.watermark),
            floor: told.floor.filter(|floor| *floor == barrier.watermark),
            idle: told.idle,
            counters: barrier.counters,
            late_minutes: barrier.late_minutes,
        };
        making.draft.barriers.insert(partition, facts);
        Ok(())
    }

    async fn write(&self, partition: i32, output: StepOutput, making: &mut Making) -> Result<(), Exit> {
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

    /// All partitions have passed: windows close, files and state are written (E2, E3).
    async fn close(&mut self, making: &mut Making) -> Result<(), Exit> {
        let g = next_g(&self.seed.fold, &making.draft.barriers);
        let mut kpis: Vec<(String, Vec<Increment>)> = Vec::new();
        for (number, (kpi, windows)) in self.seed.pipeline.kpis.iter().zip(&mut self.windows).enumerate() {
            let closed = windows.close(self.epoch, g).map_err(|e| Exit::bug(e.to_string()))?;
            kpis.push((kpi.name.clone(), closed.increments));
            if closed.finals.is_empty() {
                continue;
            }
            making.draft.closed.insert(kpi.name.clone(), closed_windows(&closed.finals));
            gold(&self.seed.pipeline, number, &closed.finals, &mut making.files).await?;
        }
        for (name, files) in std::mem::take(&mut making.files) {
            let staged = files.close().await.map_err(|e| layer_trouble(&name, &e))?;
            let layer = self.seed.pipeline.layers.iter().find(|layer| layer.name == name);
            if let Some(layer) = layer.filter(|_| !staged.is_empty()) {
                making.draft.staged.insert(name, (layer.path.clone(), staged));
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

    async fn commit(&mut self, making: Making, of: &Entry, before: &Fold, exactly: bool) -> Result<(), Exit> {
        let author = Author {
            claim: self.seed.fold.claim,
            attempt: self.attempts.id(self.epoch),
            member: self.seed.member.clone(),
            definition: self.definition.clone(),
            now: self.seed.clock.wall_micros(),
        };
        let entry = render(&self.seed.fold, &making.draft, &author);
        if exactly && let Some(what) = deviation(of, &entry, before) {
            let message = format!(
                "entry {} of the log in force, decided again by the same definition, came out otherwise: {what}. It stays \
                 in force",
                of.version
            );
            return Err(Exit::bug(message));
        }
        let log = self.seed.log.clone();
        let created = log.create(&entry, |error| tracing::warn!(%error, "creating an entry")).await;
        match created.map_err(|e| log_trouble(&e))? {
            CreateOutcome::Committed(hash) => {
                self.seed.fold.apply(&entry, hash).map_err(|e| Exit::bug(e.to_string()))?;
            }
            CreateOutcome::Other(other) => {
                let message = format!("another process rebuilds the pipeline or runs it: {other:?}");
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

    fn lake(&self) -> &Lake {
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

/// What two entries that must say the same do not (I14). KPIs that the log before took up later begin earlier now.
fn deviation(was: &Entry, is: &Entry, before: &Fold) -> Option<String> {
    let later: BTreeSet<&String> = before.first_windows.keys().collect();
    for (partition, was) in &was.partitions {
        let Some(is) = is.partitions.get(partition) else { return Some(format!("partition {partition} is missing")) };
        let told = |told: &PartitionEntry| {
            let mut counters = told.counters.clone();
            counters.late.retain(|kpi, _| !later.contains(kpi));
            counters.before_first.retain(|kpi, _| !later.contains(kpi));
            (told.to, told.watermark, counters)
        };
        if told(was) != told(is) {
            return Some(format!("partition {partition} was {:?} and is {:?}", told(was), told(is)));
        }
    }
    let closed = |entry: &Entry| {
        let items = entry.gold.iter().filter(|item| !later.contains(&item.kpi));
        items.map(|item| (item.kpi.clone(), (item.windows.clone(), item.rows))).collect::<BTreeMap<_, _>>()
    };
    (was.g != is.g || closed(was) != closed(is)).then(|| {
        format!("G was {} and is {}, windows were {:?} and are {:?}", was.g.0, is.g.0, closed(was), closed(is))
    })
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

fn state_trouble(error: &StateWriteError) -> Exit {
    match error {
        StateWriteError::Lake { source, .. } => lake_trouble(source),
        StateWriteError::Missing(_) => Exit::refused("LAKE_DAMAGED", error.to_string()),
        _ => Exit::bug(error.to_string()),
    }
}
