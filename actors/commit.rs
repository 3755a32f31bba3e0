//! CommitActor: cuts epochs, gathers what the writers and partitions say, creates the log's next entry (L4) and wakes
//! the followers.
//!
//! It numbers and creates entries one at a time: entry v + 1 is rendered after v is Committed, and an epoch's G is
//! asked of the fold that holds the epoch before it, so that the windows it closes are those that its entry says.
//! All decisions are `lakeward_core::log`'s.

mod report;
mod retention;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use lakeward_connect::log_store::{CreateOutcome, LogError, LogStore};
use lakeward_core::ids::{Epoch, EventTime, Version};
use lakeward_core::log::{
    Author, BarrierFacts, ClosedWindows, Draft, Entry, EntryKind, Fold, Member, NewPartition, Resolution, StagedFile,
    StagedState, next_g, render,
};
use lakeward_core::pipeline::Pipeline;
use lakeward_core::watermark::{Standing, floors};
use tokio::sync::watch;

use crate::attempt::Attempts;
use crate::cutting::{CutReason, Cutting};
use crate::kit::metric::Metric;
use crate::kit::{Board, Cause, Clock, Envelope, Inlet, Outbox, Sentinel, Weight};
use crate::kpi_registry::RegistryMsg;
use crate::partition::{Cut, PartitionMsg};
use crate::reviser::Revised;
use crate::state_writer::StateWriter;
use crate::topic_identity::TopicIdentity;

/// What the CommitActor is told.
#[derive(Debug)]
pub enum CommitMsg {
    /// A partition has passed its barrier.
    Barrier {
        /// The epoch.
        epoch: Epoch,
        /// Kafka partition.
        partition: i32,
        /// What it says of itself.
        facts: BarrierFacts,
    },
    /// A layer's files of the epoch are closed and synced.
    LayerClosed {
        /// The epoch.
        epoch: Epoch,
        /// The layer's name.
        layer: String,
        /// Its files.
        files: Vec<StagedFile>,
    },
    /// The KPIs' windows are closed and their increments written.
    KpisClosed {
        /// The epoch.
        epoch: Epoch,
        /// Windows closed and revised, by KPI.
        closed: BTreeMap<String, ClosedWindows>,
        /// Gold's files that are replaced.
        revised: Vec<Revised>,
        /// The increments' object, if there were any.
        state: Option<StagedState>,
    },
    /// What Kafka says of the topic: end offsets, and partitions not in the set.
    Topic {
        /// Idle partitions and the position at which each is.
        idle: BTreeMap<i32, i64>,
        /// Partitions that must enter the set.
        new: BTreeMap<i32, NewPartition>,
    },
    /// The wiring that is known only after the partitions are spawned; the first message.
    Wire {
        /// Edges to the PartitionActors of the set.
        partitions: BTreeMap<i32, Outbox<PartitionMsg>>,
        /// The edge to the registry.
        registry: Outbox<RegistryMsg>,
        /// Starts partitions that enter the set.
        starter: Starter,
    },
    /// End now: one last epoch, then `Cause::Finished`.
    Finish {
        /// Whether floors are raised as if all partitions were idle (`--close-all`).
        close_all: bool,
    },
}

/// A `PartitionStarter` in a message.
pub struct Starter(pub Box<dyn PartitionStarter>);

impl std::fmt::Debug for Starter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Starter")
    }
}

impl Weight for CommitMsg {
    fn records(&self) -> u64 {
        0
    }
}

/// The head as followers see it.
#[derive(Clone, Debug)]
pub struct Head {
    /// All entries folded.
    pub fold: Arc<Fold>,
    /// The newest epochs of this generation that are committed, each with its version (a mart goes live at a barrier).
    pub epochs: Arc<BTreeMap<Epoch, Version>>,
}

/// Committed epochs that the head names. A follower that lags by more has no use for a barrier that old.
const EPOCHS_NAMED: usize = 32;

/// Starts partitions that have entered the set: spawns the actor with the given watermark and open epoch, and has
/// Kafka read for it.
pub trait PartitionStarter: Send {
    /// The edge to the new PartitionActor.
    fn start(&mut self, partition: i32, new: &NewPartition, watermark: EventTime, epoch: Epoch)
    -> Outbox<PartitionMsg>;
}

/// What a CommitActor is started with.
pub struct CommitSeed {
    /// The definition.
    pub pipeline: Arc<Pipeline>,
    /// Its hash.
    pub definition: String,
    /// Information about the process.
    pub member: Member,
    /// The log.
    pub log: LogStore,
    /// Its fold; the newest entry is this generation's claim.
    pub fold: Arc<Fold>,
    /// Whose records these are.
    pub topic: TopicIdentity,
    /// Names of what is staged.
    pub attempts: Attempts,
    /// Writes state objects.
    pub state: StateWriter,
    /// When to cut.
    pub cutting: Cutting,
    /// Bytes of state above which the pipeline stops (H6).
    pub state_cap: u64,
    /// Layers that report for each epoch.
    pub layers: BTreeMap<String, String>,
    /// Where followers watch the head.
    pub head: watch::Sender<Head>,
}

/// The actor that commits.
pub struct CommitActor {
    seed: CommitSeed,
    partitions: BTreeMap<i32, Outbox<PartitionMsg>>,
    registry: Option<Outbox<RegistryMsg>>,
    starter: Option<Starter>,
    pending: BTreeMap<Epoch, Pending>,
    open: Epoch,
    opened_at: Instant,
    closing: Option<Epoch>,
    creating: bool,
    idle: BTreeMap<i32, i64>,
    new_partitions: BTreeMap<i32, NewPartition>,
    finish: Option<Finish>,
    base: BaseWork,
    epochs: BTreeMap<Epoch, Version>,
    board: Board,
    clock: Clock,
    inlet: Inlet,
    sentinel: Sentinel,
}

struct Finish {
    close_all: bool,
    cut: Option<Epoch>,
}

enum BaseWork {
    None,
    Running,
    Ready { state: StagedState, replaces: Vec<String> },
}

struct Pending {
    cut_at: Instant,
    waiting: BTreeSet<i32>,
    barriers: BTreeMap<i32, BarrierFacts>,
    layers: BTreeMap<String, Vec<StagedFile>>,
    kpis: Option<KpisHandedOver>,
}

#[derive(Clone)]
struct KpisHandedOver {
    closed: BTreeMap<String, ClosedWindows>,
    revised: Vec<Revised>,
    state: Option<StagedState>,
}

impl CommitActor {
    /// An actor that goes on from the seed's fold. Partitions and the registry come with `Wire`.
    #[must_use]
    pub fn new(seed: CommitSeed, board: Board, clock: Clock, sentinel: Sentinel) -> Self {
        Self {
            opened_at: clock.steady(),
            seed,
            partitions: BTreeMap::new(),
            registry: None,
            starter: None,
            pending: BTreeMap::new(),
            open: Epoch::default(),
            closing: None,
            creating: false,
            idle: BTreeMap::new(),
            new_partitions: BTreeMap::new(),
            finish: None,
            base: BaseWork::None,
            epochs: BTreeMap::new(),
            board,
            clock,
            inlet: Inlet::default(),
            sentinel,
        }
    }

    /// Ends the generation.
    fn fail(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.sentinel.fail(cause);
        ctx.stop();
    }

    /// Looks whether the open epoch should end, and ends it.
    fn maybe_cut(&mut self, ctx: &mut Context<Self>) {
        // An epoch cut before the partitions are known would wait for nobody, and for ever.
        if self.registry.is_none() {
            return;
        }
        let state: u64 = self.board.state_bytes().iter().map(|b| *b).sum();
        if state > self.seed.state_cap {
            let message = format!(
                "windows and dedup keys hold about {state} bytes, memory.state_cap is {}; raise it, or use shorter \
                 windows, fewer keys or a shorter dedup span",
                self.seed.state_cap
            );
            return self.fail(Cause::Stop { code: "STATE_FULL", message }, ctx);
        }
        let reason = self.cut_reason();
        self.board.set_hold(self.finish.is_some() || reason.is_some() && self.pending.len() >= 2);
        if reason.is_none() || self.pending.len() >= 2 {
            return;
        }
        self.cut(ctx);
    }

    fn cut_reason(&self) -> Option<CutReason> {
        if self.finish.as_ref().is_some_and(|f| f.cut.is_none()) {
            return Some(CutReason::Finish);
        }
        let barriers_due = self.pending.values().any(|p| !p.waiting.is_empty());
        if self.finish.is_some() || barriers_due {
            return None;
        }
        let age = self.clock.steady().duration_since(self.opened_at);
        let floor = || !self.floors().is_empty() || !self.new_partitions.is_empty();
        self.seed.cutting.reason(age, &self.board, &self.positions(), floor)
    }

    /// Positions that the epochs cut so far reach.
    fn positions(&self) -> BTreeMap<i32, i64> {
        let mut positions: BTreeMap<i32, i64> =
            self.seed.fold.partitions.iter().map(|(&p, held)| (p, held.to)).collect();
        for pending in self.pending.values() {
            positions.extend(pending.barriers.iter().map(|(&p, facts)| (p, facts.to)));
        }
        positions
    }

    /// The floors that idle partitions get if the epoch is cut now (T2).
    fn floors(&self) -> BTreeMap<i32, (EventTime, i64)> {
        let all = self.finish.as_ref().is_some_and(|f| f.close_all);
        if self.finish.is_some() && !all {
            return BTreeMap::new();
        }
        let standing = |p: &i32| {
            let state = self.board.partitions().get(p)?;
            let idle = all || self.idle.get(p) == Some(&state.position);
            Some(Standing { partition: *p, watermark: state.watermark, position: state.position, idle })
        };
        let standing: Vec<Standing> = self.partitions.keys().filter_map(standing).collect();
        floors(&standing)
    }

    fn cut(&mut self, ctx: &mut Context<Self>) {
        let epoch = self.open;
        let floors = self.floors();
        let now = self.clock.steady();
        let waiting: BTreeSet<i32> = self.partitions.keys().copied().collect();
        let expected = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        if let Some(finish) = &mut self.finish {
            finish.cut = Some(epoch);
        }
        let pending = Pending { cut_at: now, waiting, barriers: BTreeMap::new(), layers: BTreeMap::new(), kpis: None };
        self.pending.insert(epoch, pending);
        self.open = epoch.next();
        self.opened_at = now;
        self.board.reset_epoch_bytes();
        let last = self.finish.is_some();
        let sends: Vec<_> = self
            .partitions
            .iter()
            .map(|(p, edge)| (edge.clone(), Cut { epoch, expected, last, floor: floors.get(p).copied() }))
            .collect();
        let send = async move {
            for (edge, cut) in sends {
                // A closed edge means that the PartitionActor has rung the alarm already.
                let _ = edge.send(PartitionMsg::Cut(cut)).await;
            }
        };
        ctx.spawn(send.into_actor(self));
    }

    /// Takes up what was said of an epoch and goes on as far as possible.
    fn progress(&mut self, ctx: &mut Context<Self>) {
        let Some((&epoch, pending)) = self.pending.first_key_value() else { return };
        if !pending.waiting.is_empty() {
            return;
        }
        if self.closing != Some(epoch) {
            self.closing = Some(epoch);
            let g = next_g(&self.seed.fold, &pending.barriers);
            if let Some(registry) = self.registry.clone() {
                let fold = Arc::clone(&self.seed.fold);
                let close = async move {
                    // A closed edge means that the registry has rung the alarm already.
                    let _ = registry.send(RegistryMsg::Close { epoch, g, fold }).await;
                };
                ctx.spawn(close.into_actor(self));
            }
            return;
        }
        let complete = pending.kpis.is_some() && pending.layers.len() == self.seed.layers.len();
        if complete && !self.creating {
            self.create(epoch, ctx);
        }
    }

    fn draft(&mut self, epoch: Epoch) -> Option<Draft> {
        let pending = self.pending.get(&epoch)?;
        let mut draft = Draft::empty(EntryKind::Epoch);
        draft.barriers.clone_from(&pending.barriers);
        draft.new_partitions.clone_from(&self.new_partitions);
        for (layer, files) in &pending.layers {
            let folder = self.seed.layers.get(layer)?;
            draft.staged.insert(layer.clone(), (folder.clone(), files.clone()));
        }
        let KpisHandedOver { closed, revised, state: delta } = pending.kpis.clone()?;
        draft.closed = closed;
        for Revised { layer, removed, added } in revised {
            draft.replace(&layer, self.seed.layers.get(&layer)?, removed, added);
        }
        if let BaseWork::Ready { .. } = self.base
            && let BaseWork::Ready { state, replaces } = std::mem::replace(&mut self.base, BaseWork::None)
        {
            draft.state.push(state);
            draft.state_removed = replaces;
        }
        draft.state.extend(delta);
        for follower in self.board.followers().iter() {
            if let Some(done) = follower.done {
                draft.followers.insert(follower.key().clone(), done);
            }
        }
        draft.rolled = self.board.followers().get(crate::directories::NAME).and_then(|f| f.done);
        draft.entries_from = self.board.entries_from();
        draft.rows_boundary = self.rows_boundary(&draft);
        draft.expired = retention::expired(&self.seed.pipeline, &self.seed.fold, &draft, &self.board);
        Some(draft)
    }

    fn rows_boundary(&self, draft: &Draft) -> Option<EventTime> {
        let keep = self.seed.pipeline.rows.as_ref()?.retention?;
        let g = next_g(&self.seed.fold, &draft.barriers);
        lakeward_core::log::rows_boundary(g, keep)
    }

    fn create(&mut self, epoch: Epoch, ctx: &mut Context<Self>) {
        let Some(draft) = self.draft(epoch) else { return };
        let author = Author {
            claim: self.seed.attempts.claim(),
            attempt: self.seed.attempts.id(epoch),
            member: self.seed.member.clone(),
            definition: self.seed.definition.clone(),
            now: self.clock.wall_micros(),
        };
        let entry = render(&self.seed.fold, &draft, &author);
        self.creating = true;
        let (log, topic) = (self.seed.log.clone(), self.seed.topic.clone());
        let pipeline = self.seed.pipeline.name.clone();
        let entering = draft.new_partitions.values().filter_map(|new| new.topic_id.clone()).collect();
        let create = async move {
            if let Err(cause) = topic.confirm(&pipeline, &entering).await {
                return (entry, Err(cause));
            }
            let outcome = log
                .create(&entry, |error| {
                    metrics::counter!(Metric::RetriesTotal.name(), "pipeline" => pipeline.clone(), "what" => "log")
                        .increment(1);
                    tracing::warn!(version = entry.version.0, %error, "creating the entry has no certain outcome yet");
                })
                .await;
            (entry, Ok(outcome))
        };
        let done = move |(entry, outcome), actor: &mut Self, ctx: &mut Context<Self>| {
            actor.creating = false;
            match outcome {
                Ok(outcome) => actor.created(epoch, &entry, outcome, ctx),
                Err(cause) => actor.fail(cause, ctx),
            }
        };
        ctx.spawn(create.into_actor(self).map(done));
    }

    fn created(
        &mut self,
        epoch: Epoch,
        entry: &Entry,
        outcome: Result<CreateOutcome, LogError>,
        ctx: &mut Context<Self>,
    ) {
        let cause = match outcome {
            Ok(CreateOutcome::Committed(hash)) => match Arc::make_mut(&mut self.seed.fold).apply(entry, hash) {
                Ok(()) => return self.committed(epoch, entry, ctx),
                Err(error) => Cause::Stop { code: "BUG", message: error.to_string() },
            },
            Ok(CreateOutcome::Other(Resolution::StepDown { claim })) => Cause::Fenced(claim),
            Ok(CreateOutcome::Other(Resolution::Stray)) => Cause::Fenced(entry.version),
            Ok(CreateOutcome::Other(Resolution::Bug)) => Cause::Stop {
                code: "BUG",
                message: format!("entry {} exists under this claim with another attempt id", entry.version),
            },
            Ok(CreateOutcome::Other(other)) => Cause::Failed(format!("entry {}: {other:?}", entry.version)),
            Err(error) => Cause::Failed(error.to_string()),
        };
        self.fail(cause, ctx);
    }

    fn committed(&mut self, epoch: Epoch, entry: &Entry, ctx: &mut Context<Self>) {
        let Some(pending) = self.pending.remove(&epoch) else { return };
        self.closing = None;
        let seconds = self.clock.steady().duration_since(pending.cut_at).as_secs_f64();
        report::committed(&self.seed.pipeline.name, entry, seconds);
        self.epochs.insert(epoch, entry.version);
        if self.epochs.len() > EPOCHS_NAMED {
            self.epochs.pop_first();
        }
        self.board.set_head(entry.version);
        self.board.history().note(entry, Some(seconds));
        self.board.show_fold(Arc::clone(&self.seed.fold));
        let head = Head { fold: Arc::clone(&self.seed.fold), epochs: Arc::new(self.epochs.clone()) };
        self.seed.head.send_replace(head);
        self.start_new_partitions(entry);
        self.housekeeping(epoch, ctx);
        if self.finish.as_ref().is_some_and(|f| f.cut == Some(epoch)) {
            return self.fail(Cause::Finished, ctx);
        }
        self.progress(ctx);
        self.maybe_cut(ctx);
    }

    /// Partitions are read only after the entry that takes them into the set is Committed (T3).
    fn start_new_partitions(&mut self, entry: &Entry) {
        for (partition, new) in std::mem::take(&mut self.new_partitions) {
            if entry.partitions.get(&partition).is_some_and(|p| p.incarnation == new.incarnation) {
                if let Some(Starter(starter)) = &mut self.starter {
                    self.partitions.insert(partition, starter.start(partition, &new, entry.g, self.open));
                }
            } else {
                self.new_partitions.insert(partition, new);
            }
        }
    }

    fn housekeeping(&mut self, epoch: Epoch, ctx: &mut Context<Self>) {
        let (log, fold) = (self.seed.log.clone(), Arc::clone(&self.seed.fold));
        if lakeward_core::log::is_checkpoint(fold.version) {
            let checkpoint = async move {
                if let Err(error) = log.checkpoint(&fold).await {
                    tracing::warn!(%error, "the checkpoint was not written; the next start reads more entries");
                }
            };
            ctx.spawn(checkpoint.into_actor(self));
        }
        if !matches!(self.base, BaseWork::None) || !lakeward_core::log::base_is_due(&self.seed.fold.state) {
            return;
        }
        self.base = BaseWork::Running;
        let (state, fold) = (self.seed.state.clone(), Arc::clone(&self.seed.fold));
        let pipeline = Arc::clone(&self.seed.pipeline);
        let work = async move {
            let replaces = fold.state.iter().map(|s| s.path.clone()).collect();
            (state.write_base(epoch, &fold, &pipeline).await, replaces)
        };
        let done = |(result, replaces), actor: &mut Self, _: &mut Context<Self>| {
            actor.base = match result {
                Ok(state) => BaseWork::Ready { state, replaces },
                Err(error) => {
                    tracing::warn!(%error, "the state base was not written; the next start reads more increments");
                    BaseWork::None
                }
            };
        };
        ctx.spawn(work.into_actor(self).map(done));
    }
}

impl Actor for CommitActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.seed.cutting.look_every(), Self::maybe_cut);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sentinel.rest();
    }
}

impl Handler<Envelope<CommitMsg>> for CommitActor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<CommitMsg>, ctx: &mut Self::Context) {
        if let Err(gap) = self.inlet.admit(&envelope) {
            return self.fail(Cause::Failed(gap.to_string()), ctx);
        }
        let _work = envelope.credit.work();
        match envelope.message {
            CommitMsg::Barrier { epoch, partition, facts } => {
                if let Some(pending) = self.pending.get_mut(&epoch) {
                    pending.waiting.remove(&partition);
                    pending.barriers.insert(partition, facts);
                }
            }
            CommitMsg::LayerClosed { epoch, layer, files } => {
                if let Some(pending) = self.pending.get_mut(&epoch) {
                    pending.layers.insert(layer, files);
                }
            }
            CommitMsg::KpisClosed { epoch, closed, revised, state } => {
                if let Some(pending) = self.pending.get_mut(&epoch) {
                    pending.kpis = Some(KpisHandedOver { closed, revised, state });
                }
            }
            CommitMsg::Topic { idle, new } => {
                self.idle = idle;
                let known = &self.seed.fold.partitions;
                self.new_partitions.extend(new.into_iter().filter(|(p, _)| !known.contains_key(p)));
            }
            CommitMsg::Wire { partitions, registry, starter } => {
                self.starter = Some(starter);
                self.partitions = partitions;
                self.registry = Some(registry);
            }
            CommitMsg::Finish { close_all } => {
                self.finish.get_or_insert(Finish { close_all, cut: None });
                self.maybe_cut(ctx);
            }
        }
        self.progress(ctx);
    }
}

#[cfg(test)]
mod tests;
