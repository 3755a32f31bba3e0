//! PartitionActor: one per Kafka partition. Receives batches, calls the core's step, fans its output out, and answers
//! a cut with a barrier down every edge.
//!
//! Promises: a record goes into exactly one epoch on all edges (the barrier is sent on each of them between the same
//! two batches), and positions never jump back. It does no arithmetic: `lakeward_core::partition_step` decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use lakeward_connect::kafka::{KafkaError, SourceEvent};
use lakeward_connect::layer::AppendMeta;
use lakeward_core::ids::{Epoch, EventTime, OffsetRange};
use lakeward_core::log::BarrierFacts;
use lakeward_core::partition_step::{PartitionStep, StepOutput};
use lakeward_core::record::RawBatch;
use lakeward_core::watermark::floor_at;

use crate::commit::CommitMsg;
use crate::kit::board::PartitionState;
use crate::kit::{Board, Cause, Clock, Closed, Envelope, Inlet, Outbox, Sentinel, Weight};
use crate::kpi_registry::RegistryMsg;
use crate::layer_writer::LayerMsg;
use crate::row_mart::RowsMsg;

/// What a PartitionActor is told.
#[derive(Debug)]
pub enum PartitionMsg {
    /// From the partition's source thread.
    Source(SourceEvent),
    /// From the CommitActor: end the open epoch here.
    Cut(Cut),
}

/// The end of an epoch for one partition. Floor and barrier are one message (T2).
#[derive(Clone, Debug)]
pub struct Cut {
    /// The epoch that ends.
    pub epoch: Epoch,
    /// How many partitions take part in it.
    pub expected: u32,
    /// Whether it is the generation's last: what comes behind the barrier is left for the next start.
    pub last: bool,
    /// The floor, if the partition was judged idle at the given position; void if it has moved on since.
    pub floor: Option<(EventTime, i64)>,
}

impl Weight for PartitionMsg {
    fn records(&self) -> u64 {
        match self {
            Self::Source(SourceEvent::Batch(batch)) => u64::try_from(batch.records.len()).unwrap_or(u64::MAX),
            _ => 0,
        }
    }
}

/// The edges out of a PartitionActor.
#[derive(Clone)]
pub struct PartitionEdges {
    /// Records as received.
    pub records: Option<Outbox<LayerMsg>>,
    /// Records that failed.
    pub rejects: Option<Outbox<LayerMsg>>,
    /// Typed rows.
    pub rows: Option<Outbox<LayerMsg>>,
    /// Rows that came too late, by the number of the KPI.
    pub late: BTreeMap<usize, Outbox<LayerMsg>>,
    /// Previews of rows.
    pub row_mart: Option<Outbox<RowsMsg>>,
    /// What was added to windows.
    pub registry: Outbox<RegistryMsg>,
    /// Barriers.
    pub commit: Outbox<CommitMsg>,
}

/// What a PartitionActor is started with.
pub struct PartitionSeed {
    /// Kafka partition.
    pub partition: i32,
    /// Incarnation of the topic.
    pub incarnation: i32,
    /// The next offset to fetch.
    pub position: i64,
    /// Records at or above this offset are left alone (`--once`).
    pub until: Option<i64>,
    /// The core's state, restored from the log.
    pub step: PartitionStep,
    /// The epoch that is open.
    pub epoch: Epoch,
    /// How often increments are handed on.
    pub live_tick: std::time::Duration,
}

/// One partition of the topic.
pub struct PartitionActor {
    seed: PartitionSeed,
    edges: Arc<PartitionEdges>,
    board: Board,
    clock: Clock,
    inlet: Inlet,
    sentinel: Sentinel,
}

impl PartitionActor {
    /// An actor that goes on where the log left the partition.
    #[must_use]
    pub fn new(seed: PartitionSeed, edges: PartitionEdges, board: Board, clock: Clock, sentinel: Sentinel) -> Self {
        Self { seed, edges: Arc::new(edges), board, clock, inlet: Inlet::default(), sentinel }
    }

    fn publish(&self, newest: Option<EventTime>) {
        let watermark = self.seed.step.watermark();
        let mut state = self.board.partitions().entry(self.seed.partition).or_insert_with(|| PartitionState {
            position: self.seed.position,
            watermark,
            handed: self.seed.position,
            end: -1,
            newest: EventTime::MIN,
            moved_at: 0,
            drifting: false,
            idle: false,
        });
        state.position = self.seed.position;
        if state.watermark != watermark {
            state.moved_at = u64::try_from(self.clock.wall_micros() / 1_000).unwrap_or(0);
        }
        state.watermark = watermark;
        state.newest = newest.map_or(state.newest, |t| state.newest.max(t));
        drop(state);
        let bytes = u64::try_from(self.seed.step.bytes()).unwrap_or(u64::MAX);
        self.board.state_bytes().insert(format!("partition-{}", self.seed.partition), bytes);
    }

    /// Runs a batch through the core and says what to send where.
    fn batch(&mut self, mut batch: RawBatch) -> Result<Option<Outgoing>, Cause> {
        if let Some(until) = self.seed.until {
            batch.records.retain(|record| record.offset < until);
            batch.range.to = batch.range.to.min(until);
        }
        if batch.records.first().is_some_and(|first| first.offset < self.seed.position) {
            let what = format!("partition {} delivered offsets below {}", self.seed.partition, self.seed.position);
            return Err(Cause::Failed(what));
        }
        if batch.range.to <= self.seed.position {
            return Ok(None);
        }
        batch.range.from = self.seed.position;
        let output = self.seed.step.step(&batch, self.clock.wall_micros());
        let output = output.map_err(|e| Cause::Stop { code: "BUG", message: e.to_string() })?;
        self.seed.position = output.range.to;
        self.board.count(&output.counters);
        self.board.add_epoch_bytes(u64::try_from(batch.arena.len()).unwrap_or(u64::MAX));
        self.publish(output.event_times.map(|(_, last)| last));
        Ok(Some(self.outgoing(output)))
    }

    /// The source has ended. Where Kafka has lost what comes next, what was read before is still to be committed, and
    /// the barrier of that epoch is ours to pass on.
    fn source_failed(&self, error: &KafkaError) -> Result<Option<Plan>, Cause> {
        if !matches!(error, KafkaError::Gap { .. } | KafkaError::Truncated { .. }) {
            return Err(Cause::Failed(error.to_string()));
        }
        self.sentinel.tell(Cause::RecordsLost(error.to_string()));
        Ok(None)
    }

    fn outgoing(&self, output: StepOutput) -> Outgoing {
        let meta =
            |rows, event_times| AppendMeta { partition: self.seed.partition, range: output.range, rows, event_times };
        let lines = |bytes: Vec<u8>, rows, times| LayerMsg::Lines {
            epoch: self.seed.epoch,
            bytes: Bytes::from(bytes),
            meta: meta(rows, times),
        };
        let rows =
            |rows: RecordBatch, times| LayerMsg::Rows { epoch: self.seed.epoch, meta: meta(count(&rows), times), rows };
        Outgoing {
            records: (output.bronze_rows > 0)
                .then(|| lines(output.bronze, output.bronze_rows, output.bronze_event_times)),
            rejects: (output.quarantine_rows > 0).then(|| lines(output.quarantine, output.quarantine_rows, None)),
            rows: output.rows.as_ref().map(|batch| rows(batch.clone(), output.event_times)),
            late: output.late.into_iter().map(|late| (late.kpi, rows(late.rows, late.event_times))).collect(),
            row_mart: RowsMsg::Rows {
                partition: self.seed.partition,
                incarnation: self.seed.incarnation,
                range: output.range,
                rows: output.rows,
            },
        }
    }

    /// Advances over offsets that hold no record.
    fn skip_to(&mut self, next: i64) -> Option<RowsMsg> {
        let next = self.seed.until.map_or(next, |until| next.min(until));
        if next <= self.seed.position {
            return None;
        }
        let range = OffsetRange { from: self.seed.position, to: next };
        self.seed.position = next;
        self.publish(None);
        Some(RowsMsg::Rows { partition: self.seed.partition, incarnation: self.seed.incarnation, range, rows: None })
    }

    /// Ends the open epoch: the increments, then a barrier on every edge.
    fn cut(&mut self, cut: &Cut) -> Result<Barriers, Cause> {
        if cut.epoch != self.seed.epoch {
            let what = format!("partition {} was cut at {:?} in {:?}", self.seed.partition, cut.epoch, self.seed.epoch);
            return Err(Cause::Failed(what));
        }
        let floor = floor_at(self.seed.position, cut.floor);
        let increments = self.increments();
        let barrier = self.seed.step.barrier(floor);
        self.seed.epoch = cut.epoch.next();
        if cut.last {
            self.seed.until = Some(self.seed.position);
        }
        self.publish(None);
        let facts = BarrierFacts {
            to: self.seed.position,
            watermark: Some(barrier.watermark),
            floor: floor.filter(|f| *f == barrier.watermark),
            idle: floor.is_some(),
            counters: barrier.counters,
            late_minutes: barrier.late_minutes,
            ..BarrierFacts::default()
        };
        let registry = RegistryMsg::Barrier {
            epoch: cut.epoch,
            partition: self.seed.partition,
            expected: cut.expected,
            dedup: barrier.dedup_increment,
        };
        let commit = CommitMsg::Barrier { epoch: cut.epoch, partition: self.seed.partition, facts };
        Ok(Barriers {
            epoch: cut.epoch,
            expected: cut.expected,
            increments,
            registry,
            commit,
            partition: self.seed.partition,
        })
    }

    fn increments(&mut self) -> RegistryMsg {
        RegistryMsg::Increments {
            epoch: self.seed.epoch,
            partition: self.seed.partition,
            to: self.seed.position,
            items: self.seed.step.take_increments(),
        }
    }

    fn fail(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.sentinel.fail(cause);
        ctx.stop();
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if !self.edges.registry.has_credit() {
            return;
        }
        let message = self.increments();
        let changed = matches!(&message, RegistryMsg::Increments { items, .. } if items.iter().any(|i| !i.is_empty()));
        if changed && self.edges.registry.try_send(message).is_err() {
            self.fail(Cause::Failed("increments could not be handed on".to_owned()), ctx);
        }
    }
}

impl Actor for PartitionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.publish(None);
        ctx.run_interval(self.seed.live_tick, Self::tick);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sentinel.rest();
    }
}

impl Handler<Envelope<PartitionMsg>> for PartitionActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, envelope: Envelope<PartitionMsg>, ctx: &mut Self::Context) -> Self::Result {
        let work = envelope.credit.work();
        let edges = Arc::clone(&self.edges);
        let admitted = self.inlet.admit(&envelope).map_err(|gap| Cause::Failed(gap.to_string()));
        let plan = admitted.and_then(|()| match envelope.message {
            PartitionMsg::Source(SourceEvent::Batch(batch)) => {
                Ok(self.batch(batch)?.map(|out| Plan::Data(Box::new(out))))
            }
            PartitionMsg::Source(SourceEvent::Position { next, .. }) => Ok(self.skip_to(next).map(Plan::Skip)),
            PartitionMsg::Source(SourceEvent::Failed(error)) => self.source_failed(&error),
            PartitionMsg::Cut(cut) => self.cut(&cut).map(|b| Some(Plan::Barriers(Box::new(b)))),
        });
        match plan {
            Ok(plan) => {
                let credit = envelope.credit;
                let send = async move {
                    if let Some(plan) = plan {
                        // A closed edge means that its receiver has rung the alarm already.
                        let _: Result<(), Closed> = work.handing_on(plan.send(&edges)).await;
                    }
                    drop(credit);
                };
                AtomicResponse::new(Box::pin(send.into_actor(self)))
            }
            Err(cause) => {
                self.fail(cause, ctx);
                AtomicResponse::new(Box::pin(actix::fut::ready(())))
            }
        }
    }
}

struct Outgoing {
    records: Option<LayerMsg>,
    rejects: Option<LayerMsg>,
    rows: Option<LayerMsg>,
    late: Vec<(usize, LayerMsg)>,
    row_mart: RowsMsg,
}

struct Barriers {
    epoch: Epoch,
    expected: u32,
    partition: i32,
    increments: RegistryMsg,
    registry: RegistryMsg,
    commit: CommitMsg,
}

enum Plan {
    Data(Box<Outgoing>),
    Skip(RowsMsg),
    Barriers(Box<Barriers>),
}

impl Plan {
    async fn send(self, edges: &PartitionEdges) -> Result<(), Closed> {
        match self {
            Self::Data(out) => {
                let layers = [(&edges.records, out.records), (&edges.rows, out.rows), (&edges.rejects, out.rejects)];
                for (edge, message) in layers {
                    if let (Some(edge), Some(message)) = (edge, message) {
                        edge.send(message).await?;
                    }
                }
                for (kpi, message) in out.late {
                    if let Some(edge) = edges.late.get(&kpi) {
                        edge.send(message).await?;
                    }
                }
                to_row_mart(edges, out.row_mart).await
            }
            Self::Skip(message) => to_row_mart(edges, message).await,
            Self::Barriers(b) => b.send(edges).await,
        }
    }
}

impl Barriers {
    async fn send(self, edges: &PartitionEdges) -> Result<(), Closed> {
        let barrier = || LayerMsg::Barrier { epoch: self.epoch, expected: self.expected };
        edges.registry.send(self.increments).await?;
        edges.registry.send(self.registry).await?;
        for edge in [&edges.records, &edges.rows, &edges.rejects].into_iter().flatten().chain(edges.late.values()) {
            edge.send(barrier()).await?;
        }
        if let Some(edge) = &edges.row_mart {
            let (epoch, partition, expected) = (self.epoch, self.partition, self.expected);
            edge.send(RowsMsg::Barrier { epoch, partition, expected }).await?;
        }
        edges.commit.send(self.commit).await
    }
}

async fn to_row_mart(edges: &PartitionEdges, message: RowsMsg) -> Result<(), Closed> {
    match &edges.row_mart {
        Some(edge) => edge.send(message).await,
        None => Ok(()),
    }
}

fn count(rows: &RecordBatch) -> u64 {
    u64::try_from(rows.num_rows()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
