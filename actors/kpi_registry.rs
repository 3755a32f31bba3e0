//! KpiRegistry: spawns a KpiActor on the first sight of a key, routes increments to it, and retires it when it is
//! empty. It also gathers what an epoch's barriers hand over: the state object and the Gold rows (E2, E3).
//!
//! Only the registry spawns and retires, and only between barriers, so no increment can meet an actor that is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use futures::future::try_join_all;
use hashbrown::HashMap;
use lakeward_core::dedup::DedupItem;
use lakeward_core::ids::{Epoch, EventTime};
use lakeward_core::kpi::state::StateIncrements;
use lakeward_core::kpi::{Increment, WindowRow, gold_batch};
use lakeward_core::log::{ClosedWindows, Fold};
use lakeward_core::pipeline::Pipeline;
use tokio::sync::oneshot;

use crate::commit::CommitMsg;
use crate::kit::{Board, Cause, Closed, Envelope, Inlet, Outbox, Sentinel, Weight};
use crate::kpi::{Handed, KpiMsg};
use crate::layer_writer::LayerMsg;
use crate::reviser::Reviser;
use crate::state_writer::StateWriter;

/// What the registry is told.
#[derive(Debug)]
pub enum RegistryMsg {
    /// What a partition added since its last hand-over.
    Increments {
        /// Open epoch of the partition.
        epoch: Epoch,
        /// Kafka partition.
        partition: i32,
        /// Offsets up to here are reflected.
        to: i64,
        /// Additions, per KPI in the pipeline's order.
        items: Vec<Vec<Increment>>,
    },
    /// A partition has handed over everything of the epoch.
    Barrier {
        /// The epoch.
        epoch: Epoch,
        /// Kafka partition.
        partition: i32,
        /// How many partitions take part.
        expected: u32,
        /// Keys that the partition's dedup remembered.
        dedup: Vec<DedupItem>,
    },
    /// G of the epoch is known, from the CommitActor.
    Close {
        /// The epoch.
        epoch: Epoch,
        /// Gold's watermark.
        g: EventTime,
        /// All entries before the epoch's.
        fold: Arc<Fold>,
    },
}

impl Weight for RegistryMsg {
    fn records(&self) -> u64 {
        match self {
            Self::Increments { items, .. } => items.iter().map(|i| u64::try_from(i.len()).unwrap_or(u64::MAX)).sum(),
            _ => 0,
        }
    }
}

/// Makes the KpiActor for a new key of KPI `kpi` and gives the edge into it. `restored` are its windows from the log.
/// `None` if there is no such KPI.
pub type SpawnKpi = Arc<dyn Fn(usize, u32, Vec<Increment>) -> Option<Outbox<KpiMsg>> + Send + Sync>;

/// Edges into the writers of final windows, per KPI; `None` where a KPI has no such layer.
pub type FinalEdges = Vec<Option<Outbox<LayerMsg>>>;

/// Routes keys to KpiActors.
pub struct KpiRegistry {
    pipeline: Arc<Pipeline>,
    routes: Vec<Routes>,
    spawn: SpawnKpi,
    limit: usize,
    next_index: u32,
    finals: FinalEdges,
    state: StateWriter,
    reviser: Reviser,
    commit: Outbox<CommitMsg>,
    epochs: BTreeMap<Epoch, Gathering>,
    board: Board,
    inlet: Inlet,
    sentinel: Sentinel,
}

#[derive(Default)]
struct Routes {
    by_key: HashMap<Box<[u8]>, u32>,
    actors: BTreeMap<u32, Outbox<KpiMsg>>,
}

/// Keys of one actor, with their windows.
type Share = (Vec<Box<[u8]>>, Vec<Increment>);

#[derive(Default)]
struct Gathering {
    barriers: u32,
    expected: Option<u32>,
    dedup: Vec<DedupItem>,
    /// G, and the fold that it was made of.
    close: Option<(EventTime, Arc<Fold>)>,
}

impl Gathering {
    fn is_complete(&self) -> bool {
        self.close.is_some() && self.expected.is_some_and(|expected| self.barriers >= expected)
    }
}

/// What a registry is started with.
pub struct RegistrySeed {
    /// The definition.
    pub pipeline: Arc<Pipeline>,
    /// Makes KpiActors.
    pub spawn: SpawnKpi,
    /// The most KpiActors of the pipeline.
    pub limit: usize,
    /// Edges for final rows.
    pub finals: FinalEdges,
    /// Writes state objects.
    pub state: StateWriter,
    /// Writes Gold's files anew.
    pub reviser: Reviser,
    /// Windows restored from the log, per KPI.
    pub restored: Vec<Vec<Increment>>,
}

impl KpiRegistry {
    /// A registry, with KpiActors for every key that the log holds windows of.
    #[must_use]
    pub fn new(seed: RegistrySeed, commit: Outbox<CommitMsg>, board: Board, sentinel: Sentinel) -> Self {
        let routes = seed.pipeline.kpis.iter().map(|_| Routes::default()).collect();
        let mut registry = Self {
            pipeline: seed.pipeline,
            routes,
            spawn: seed.spawn,
            limit: seed.limit,
            next_index: 0,
            finals: seed.finals,
            state: seed.state,
            reviser: seed.reviser,
            commit,
            epochs: BTreeMap::new(),
            board,
            inlet: Inlet::default(),
            sentinel,
        };
        for (kpi, increments) in seed.restored.into_iter().enumerate() {
            registry.restore(kpi, increments);
        }
        registry
    }

    fn restore(&mut self, kpi: usize, increments: Vec<Increment>) {
        let mut by_actor: BTreeMap<Box<[u8]>, Vec<Increment>> = BTreeMap::new();
        for increment in increments {
            by_actor.entry(increment.key.clone()).or_default().push(increment);
        }
        let live: usize = self.routes.iter().map(|r| r.actors.len()).sum();
        let room = self.limit.saturating_sub(live).max(1);
        let mut shares: Vec<Share> = Vec::new();
        for (n, (key, increments)) in by_actor.into_iter().enumerate() {
            if n < room {
                shares.push((vec![key], increments));
            } else if let Some((keys, held)) = shares.get_mut(n % room) {
                keys.push(key);
                held.extend(increments);
            }
        }
        for (keys, increments) in shares {
            let index = self.spawn_actor(kpi, increments);
            if let Some(routes) = self.routes.get_mut(kpi) {
                routes.by_key.extend(keys.into_iter().map(|key| (key, index)));
            }
        }
    }

    fn spawn_actor(&mut self, kpi: usize, restored: Vec<Increment>) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        let edge = (self.spawn)(kpi, index, restored);
        if let (Some(routes), Some(edge)) = (self.routes.get_mut(kpi), edge) {
            routes.actors.insert(index, edge);
        }
        self.count_actors();
        index
    }

    fn count_actors(&self) {
        let live: usize = self.routes.iter().map(|r| r.actors.len()).sum();
        self.board.set_kpi_actors(u64::try_from(live).unwrap_or(u64::MAX));
    }

    /// The actor that serves a key, spawned on first sight.
    fn route(&mut self, kpi: usize, key: &[u8]) -> Option<u32> {
        let live: usize = self.routes.iter().map(|r| r.actors.len()).sum();
        let routes = self.routes.get_mut(kpi)?;
        if let Some(index) = routes.by_key.get(key) {
            return Some(*index);
        }
        let shared = if live < self.limit { None } else { routes.least_keys() };
        let index = match shared {
            Some(index) => index,
            None => self.spawn_actor(kpi, Vec::new()),
        };
        self.routes.get_mut(kpi)?.by_key.insert(key.into(), index);
        Some(index)
    }

    /// Splits increments by actor: one message each.
    fn split(&mut self, items: Vec<Vec<Increment>>) -> Vec<(Outbox<KpiMsg>, Vec<Increment>)> {
        let mut messages = Vec::new();
        for (kpi, increments) in items.into_iter().enumerate() {
            let mut shares: BTreeMap<u32, Vec<Increment>> = BTreeMap::new();
            for increment in increments {
                if let Some(index) = self.route(kpi, &increment.key) {
                    shares.entry(index).or_default().push(increment);
                }
            }
            let Some(routes) = self.routes.get(kpi) else { continue };
            let edge = |(index, share)| Some((routes.actors.get(&index)?.clone(), share));
            messages.extend(shares.into_iter().filter_map(edge));
        }
        messages
    }

    fn all_actors(&self) -> Vec<(usize, u32, Outbox<KpiMsg>)> {
        let of = |(kpi, routes): (usize, &Routes)| {
            routes.actors.iter().map(move |(&index, edge)| (kpi, index, edge.clone())).collect::<Vec<_>>()
        };
        self.routes.iter().enumerate().flat_map(of).collect()
    }

    /// Forgets keys whose last window is closed, and actors that hold none.
    fn retire(&mut self, answers: &[Answer]) {
        for answer in answers {
            let Some(routes) = self.routes.get_mut(answer.kpi) else { continue };
            for key in &answer.handed.closed.gone {
                routes.by_key.remove(key);
            }
            if let Some(actor) = answer.handed.empty.then(|| routes.actors.remove(&answer.index)).flatten() {
                // It answered a moment ago, so a credit is free; one that has died since has rung the alarm.
                let _ = actor.try_send(KpiMsg::Retire);
            }
        }
        self.count_actors();
    }

    fn fail(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.sentinel.fail(cause);
        ctx.stop();
    }
}

impl Routes {
    /// The actor to share when no more may be spawned: round robin by the number of keys.
    fn least_keys(&self) -> Option<u32> {
        let indices: Vec<u32> = self.actors.keys().copied().collect();
        indices.get(self.by_key.len().checked_rem(indices.len())?).copied()
    }
}

impl Actor for KpiRegistry {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sentinel.rest();
    }
}

impl Handler<Envelope<RegistryMsg>> for KpiRegistry {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, envelope: Envelope<RegistryMsg>, ctx: &mut Self::Context) -> Self::Result {
        if let Err(gap) = self.inlet.admit(&envelope) {
            self.fail(Cause::Failed(gap.to_string()), ctx);
            return AtomicResponse::new(Box::pin(actix::fut::ready(())));
        }
        let credit = envelope.credit;
        let work = credit.work();
        match envelope.message {
            RegistryMsg::Increments { epoch, partition, to, items } => {
                let messages = self.split(items);
                let board = self.board.clone();
                let send = async move {
                    for (edge, increments) in messages {
                        // A closed edge means that the KpiActor has rung the alarm already.
                        let _ = work.handing_on(edge.send(KpiMsg::Apply { epoch, increments })).await;
                    }
                    if let Some(mut state) = board.partitions().get_mut(&partition) {
                        state.handed = to;
                    }
                    drop(credit);
                };
                AtomicResponse::new(Box::pin(send.into_actor(self)))
            }
            RegistryMsg::Barrier { epoch, expected, dedup, .. } => {
                let gathering = self.epochs.entry(epoch).or_default();
                gathering.barriers += 1;
                gathering.expected = Some(expected);
                gathering.dedup.extend(dedup);
                self.close_if_complete(epoch)
            }
            RegistryMsg::Close { epoch, g, fold } => {
                self.epochs.entry(epoch).or_default().close = Some((g, fold));
                self.close_if_complete(epoch)
            }
        }
    }
}

impl KpiRegistry {
    fn close_if_complete(&mut self, epoch: Epoch) -> AtomicResponse<Self, ()> {
        let complete = self.epochs.get(&epoch).is_some_and(Gathering::is_complete);
        let gathered = complete.then(|| self.epochs.remove(&epoch)).flatten();
        let Some(Gathering { dedup, close: Some((g, fold)), .. }) = gathered else {
            return AtomicResponse::new(Box::pin(actix::fut::ready(())));
        };
        let ask = ask_all(self.all_actors(), epoch, g);
        let taken = move |answers: Result<Vec<Answer>, Closed>, actor: &mut Self, ctx: &mut Context<Self>| {
            // Otherwise the KpiActor that is gone has rung the alarm.
            if let Ok(answers) = answers {
                actor.handed(epoch, fold, dedup, answers, ctx);
            }
        };
        AtomicResponse::new(Box::pin(ask.into_actor(self).map(taken)))
    }

    /// Everything of the epoch is here: final rows go to their writers, revised ones replace what Gold holds, increments
    /// go into the state object.
    fn handed(
        &mut self,
        epoch: Epoch,
        fold: Arc<Fold>,
        dedup: Vec<DedupItem>,
        answers: Vec<Answer>,
        ctx: &mut Context<Self>,
    ) {
        let bytes = answers.iter().map(|a| a.handed.bytes).sum();
        self.board.state_bytes().insert("windows".to_owned(), bytes);
        self.retire(&answers);
        let mut rows: Vec<EpochRows> = self.pipeline.kpis.iter().map(|_| EpochRows::default()).collect();
        let mut kpis: Vec<(String, Vec<Increment>)> =
            self.pipeline.kpis.iter().map(|k| (k.name.clone(), Vec::new())).collect();
        for answer in answers {
            if let (Some(rows), Some((_, increments))) = (rows.get_mut(answer.kpi), kpis.get_mut(answer.kpi)) {
                rows.finals.extend(answer.handed.closed.finals);
                rows.revised.extend(answer.handed.closed.revised);
                increments.extend(answer.handed.closed.increments);
            }
        }
        let writer = EpochWriter {
            epoch,
            pipeline: Arc::clone(&self.pipeline),
            edges: self.finals.clone(),
            reviser: self.reviser.clone(),
            state: self.state.clone(),
            commit: self.commit.clone(),
        };
        let write = writer.write(fold, rows, StateIncrements { kpis, dedup });
        let done = |result: Result<(), Cause>, actor: &mut Self, ctx: &mut Context<Self>| {
            if let Err(cause) = result {
                actor.fail(cause, ctx);
            }
        };
        ctx.spawn(write.into_actor(self).map(done));
    }
}

struct Answer {
    kpi: usize,
    index: u32,
    handed: Handed,
}

async fn ask_all(actors: Vec<(usize, u32, Outbox<KpiMsg>)>, epoch: Epoch, g: EventTime) -> Result<Vec<Answer>, Closed> {
    let ask = |(kpi, index, edge): (usize, u32, Outbox<KpiMsg>)| async move {
        let (reply, answer) = oneshot::channel();
        edge.send(KpiMsg::Close { epoch, g, reply }).await?;
        let handed = answer.await.map_err(|_| Closed)?;
        Ok(Answer { kpi, index, handed })
    };
    try_join_all(actors.into_iter().map(ask)).await
}

/// Final and revised rows of one KPI in an epoch.
#[derive(Default)]
struct EpochRows {
    finals: Vec<WindowRow>,
    revised: Vec<WindowRow>,
}

/// Writes what an epoch's KPIs handed over.
struct EpochWriter {
    epoch: Epoch,
    pipeline: Arc<Pipeline>,
    edges: FinalEdges,
    reviser: Reviser,
    state: StateWriter,
    commit: Outbox<CommitMsg>,
}

impl EpochWriter {
    async fn write(self, fold: Arc<Fold>, kpis: Vec<EpochRows>, increments: StateIncrements) -> Result<(), Cause> {
        let epoch = self.epoch;
        let (mut closed, mut revised) = (BTreeMap::new(), Vec::new());
        for (kpi, (rows, definition)) in kpis.iter().zip(&self.pipeline.kpis).enumerate() {
            if !rows.finals.is_empty() || !rows.revised.is_empty() {
                closed.insert(definition.name.clone(), closed_windows(&rows.finals, &rows.revised));
            }
            self.finals(kpi, &rows.finals).await?;
        }
        // The writers work meanwhile.
        for (kpi, rows) in kpis.into_iter().enumerate() {
            match self.reviser.revise(epoch, &fold, kpi, rows.revised).await {
                Ok(files) => revised.extend(files),
                Err(error) => return Err(self.reviser.cause(error, &fold).await),
            }
        }
        let state = self.state.write_delta(epoch, increments).await.map_err(|e| Cause::Failed(e.to_string()))?;
        // A closed edge means that the CommitActor has rung the alarm already.
        let _ = self.commit.send(CommitMsg::KpisClosed { epoch, closed, revised, state }).await;
        Ok(())
    }

    /// Final rows and the barrier behind them go to the KPI's writer.
    async fn finals(&self, kpi: usize, rows: &[WindowRow]) -> Result<(), Cause> {
        let Some(Some(edge)) = self.edges.get(kpi) else { return Ok(()) };
        // Closed edges: the writer has rung the alarm already.
        if !rows.is_empty() {
            let batch = gold_batch(&self.pipeline, kpi, rows).map_err(|e| Cause::Failed(format!("final rows: {e}")))?;
            let (epoch, rows, meta) = (self.epoch, batch.batch, final_meta(rows));
            let _ = edge.send(LayerMsg::Rows { epoch, rows, meta }).await;
        }
        let _ = edge.send(LayerMsg::Barrier { epoch: self.epoch, expected: 1 }).await;
        Ok(())
    }
}

/// What an entry says of final rows, and of those that are revised.
#[must_use]
pub fn closed_windows(finals: &[WindowRow], revised: &[WindowRow]) -> ClosedWindows {
    let windows = |rows: &[WindowRow]| {
        let starts: std::collections::BTreeSet<EventTime> = rows.iter().map(|row| row.window).collect();
        starts.into_iter().collect()
    };
    let count = |rows: &[WindowRow]| u64::try_from(rows.len()).unwrap_or(u64::MAX);
    ClosedWindows {
        windows: windows(finals),
        rows: count(finals),
        revised: windows(revised),
        revisions: count(revised),
    }
}

/// What a file of final rows says of them.
#[must_use]
pub fn final_meta(rows: &[WindowRow]) -> lakeward_connect::layer::AppendMeta {
    let first = rows.iter().map(|row| row.window).min();
    let last = rows.iter().map(|row| row.window).max();
    lakeward_connect::layer::AppendMeta {
        partition: -1,
        range: lakeward_core::ids::OffsetRange::default(),
        rows: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        event_times: first.zip(last),
    }
}

#[cfg(test)]
mod tests;
