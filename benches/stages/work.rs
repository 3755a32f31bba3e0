//! One piece of work per stage of a record's way, with its input made beforehand. Each is a function of its own that is
//! never inlined, so that a profiler can count it alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use arrow::array::RecordBatch;
use bytes::Bytes;
use lakeward_actors::kit::{Envelope, Gauges, Inbox, Outbox, Weight};
use lakeward_connect::lake::Lake;
use lakeward_connect::layer::{AppendMeta, EpochFiles, LayerSpec, ParquetSpec};
use lakeward_connect::mart::{MartContext, copy_stream};
use lakeward_core::bronze::write_line;
use lakeward_core::decode::{Decoded, Decoder, RecordKind};
use lakeward_core::generate::{Generator, GeneratorSpec, Ratios};
use lakeward_core::ids::{Epoch, EventTime, Version};
use lakeward_core::json_line::LineContext;
use lakeward_core::kpi::{Increment, PreAggregate, Prepared, Windows};
use lakeward_core::log::{
    Author, BarrierFacts, Draft, EntryKind, Fold, Member, NewPartition, StagedFile, render, render_first,
};
use lakeward_core::partition_step::{PartitionStart, PartitionStep, StepOutput};
use lakeward_core::pipeline::{Holds, Pipeline};
use lakeward_core::record::RawBatch;

/// Records in a batch, as many as a partition's thread takes at once.
pub const RECORDS: usize = 4_096;

/// Microseconds between two records' timestamps: a batch spans some windows of a minute.
const APART: i64 = 50_000;

const NOW: i64 = 1_750_000_000_000_000;
const TOPIC: &str = "orders";

/// Everything that the stages work on.
pub struct Bench {
    /// The built-in feed.
    pub pipeline: Pipeline,
    /// A batch of its records.
    pub batch: RawBatch,
    /// What Bronze makes of each.
    kinds: Vec<RecordKind>,
    /// The rows that come of it.
    pub rows: RecordBatch,
    columns: Vec<arrow::array::ArrayRef>,
    event_times: Vec<EventTime>,
    mart: MartContext,
    fold: Fold,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// Makes the inputs.
    pub fn new() -> Self {
        let pipeline = Pipeline::parse(include_str!("../../pipelines/amazon-sales.toml"), "amazon-sales.toml");
        let pipeline = pipeline.expect("the built-in feed");
        let batch = records();
        let Decoded { kinds, event_times, .. } = Decoder::new(&pipeline).decode(&batch, NOW);
        let step = partition(&pipeline).step(&batch, NOW).expect("a step");
        let rows = step.rows.expect("rows");
        let columns = rows.columns().to_vec();
        let mart = MartContext::new(&pipeline, "log", Version(0)).expect("a mart's plan");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        assert_eq!(rows.num_rows(), event_times.len(), "every record of the feed is a row");
        Self { fold: begun(), pipeline, batch, kinds, rows, columns, event_times, mart, runtime }
    }

    /// JSON to columns.
    pub fn decoder(&self) -> Decoder {
        Decoder::new(&self.pipeline)
    }

    /// A partition that has read nothing.
    pub fn partition(&self) -> PartitionStep {
        partition(&self.pipeline)
    }

    /// Nothing aggregated, and the batch's keys and arguments.
    pub fn pre_aggregate(&self) -> (PreAggregate, Prepared) {
        let aggregate = PreAggregate::new(&self.pipeline, 0);
        let prepared = aggregate.prepare(&self.columns, self.rows.num_rows());
        (aggregate, prepared)
    }

    /// Windows of the first KPI, and what a batch adds to them.
    pub fn windows(&self) -> (Windows, Vec<Increment>) {
        let (mut aggregate, prepared) = self.pre_aggregate();
        pre_aggregate(self, &mut aggregate, &prepared);
        (Windows::new(&self.pipeline.kpis[0], EventTime::MIN), aggregate.take().swap_remove(0))
    }

    fn silver(&self) -> LayerSpec {
        let (_, layer) = self.pipeline.layer(|holds| matches!(holds, Holds::Rows { .. })).expect("a layer of rows");
        let Holds::Rows { partition_by } = &layer.holds else { unreachable!() };
        LayerSpec::Parquet(ParquetSpec::new(self.pipeline.rows_schema(), partition_by.clone()))
    }

    fn meta(&self) -> AppendMeta {
        let rows = u64::try_from(self.rows.num_rows()).unwrap_or(0);
        AppendMeta { partition: 0, range: self.batch.range, rows, event_times: None }
    }
}

fn records() -> RawBatch {
    let spec = GeneratorSpec::parse(include_str!("../../pipelines/amazon-sales.generator.toml")).expect("its rules");
    let mut generator = Generator::new(&spec, 1, Ratios::default());
    let mut batch = RawBatch::new(0, 0);
    for number in 0..RECORDS {
        let record = generator.next(NOW - 3_600_000_000 + i64::try_from(number).unwrap_or(0) * APART);
        batch.push(batch.range.to, record.timestamp_ms, Some(&record.key), Some(&record.payload), None);
    }
    batch
}

fn partition(pipeline: &Pipeline) -> PartitionStep {
    let start = PartitionStart { watermark: EventTime::MIN, dedup: Vec::new(), first_windows: BTreeMap::new() };
    PartitionStep::new(pipeline, TOPIC, 0, 0, start)
}

/// Decode.
#[inline(never)]
pub fn decode(bench: &Bench, decoder: &mut Decoder) -> Decoded {
    decoder.decode(&bench.batch, NOW)
}

/// Decode, checks, derived columns, keys and arguments: all that concerns a record alone.
#[inline(never)]
pub fn decide(bench: &Bench, partition: &mut PartitionStep) -> usize {
    partition.refused(&bench.batch, NOW).len()
}

/// Rows into increments.
#[inline(never)]
pub fn pre_aggregate(bench: &Bench, aggregate: &mut PreAggregate, prepared: &Prepared) {
    let all: Vec<usize> = (0..bench.rows.num_rows()).collect();
    aggregate.add(prepared, &bench.event_times, &vec![all; bench.pipeline.kpis.len()]);
}

/// Increments into the windows of a KPI.
#[inline(never)]
pub fn merge(windows: &mut Windows, increments: Vec<Increment>) {
    windows.apply(Epoch::default(), increments).expect("increments of this KPI");
}

/// Lines with coordinates in front of the payload.
#[inline(never)]
pub fn bronze(bench: &Bench) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bench.batch.arena.len() + 192 * RECORDS);
    let context = LineContext::new(TOPIC, 0, NOW);
    for (record, kind) in bench.batch.records.iter().zip(&bench.kinds) {
        write_line(&mut lines, &context, &bench.batch, record, *kind);
    }
    lines
}

/// All that a partition does with a batch.
#[inline(never)]
pub fn step(bench: &Bench, partition: &mut PartitionStep) -> StepOutput {
    partition.step(&bench.batch, NOW).expect("a step")
}

/// `batches` batches of rows split into folders and written as Parquet, into a lake in memory.
#[inline(never)]
pub fn parquet(bench: &Bench, batches: usize) -> usize {
    bench.runtime.block_on(async {
        let (lake, _) = Lake::memory();
        let mut files = EpochFiles::new(lake, "staging".to_owned(), "s".to_owned(), &bench.silver()).expect("files");
        for _ in 0..batches {
            files.append_rows(bench.rows.clone(), bench.meta()).await.expect("rows");
        }
        files.close().await.expect("files").len()
    })
}

/// Rows as Postgres' COPY takes them.
#[inline(never)]
pub fn copy(bench: &Bench) -> Bytes {
    copy_stream(&bench.mart, &bench.rows).expect("rows of the table")
}

/// An entry of the log: drafted from barriers and files, rendered, written as JSON.
#[inline(never)]
pub fn entry(bench: &Bench) -> Vec<u8> {
    let mut draft = Draft::empty(EntryKind::Epoch);
    let facts = BarrierFacts { to: 1_000_000, watermark: Some(EventTime(NOW)), ..BarrierFacts::default() };
    draft.barriers = (0..3).map(|partition| (partition, facts.clone())).collect();
    let files = (1..=60).map(staged).collect();
    draft.staged = BTreeMap::from([("silver".to_owned(), ("silver/orders".to_owned(), files))]);
    render(&bench.fold, &draft, &author()).to_bytes().expect("an entry")
}

fn staged(month: u64) -> StagedFile {
    StagedFile {
        leaf: format!("year={}/month={}", 2020 + month / 12, month % 12 + 1),
        staged: format!("staging/s-{month}.parquet.tmp"),
        ext: "parquet".to_owned(),
        length: 1_000_000,
        checksum: format!("{month:032x}"),
        rows: 10_000,
        event_times: Some((EventTime(0), EventTime(NOW))),
        offsets: (0..3).map(|partition| (partition, lakeward_core::ids::OffsetRange { from: 0, to: 10_000 })).collect(),
    }
}

fn author() -> Author {
    let (attempt, definition) = (format!("{:032x}", 7), format!("{:064x}", 7));
    Author { claim: Version(0), attempt, member: Member::default(), definition, now: NOW }
}

fn begun() -> Fold {
    let kind = EntryKind::Claim { takes: "all".to_owned() };
    let mut draft = Draft::empty(kind);
    let new = NewPartition { incarnation: 0, topic_id: None, start: 0 };
    draft.new_partitions = (0..3).map(|partition| (partition, new.clone())).collect();
    Fold::first(&render_first("log", &draft, &author()), format!("{:064x}", 1)).expect("a first entry")
}

/// A message that holds a batch's rows.
pub struct Rows(RecordBatch);

impl Weight for Rows {
    fn records(&self) -> u64 {
        u64::try_from(self.0.num_rows()).unwrap_or(0)
    }
}

struct Receiver;

impl Actor for Receiver {
    type Context = Context<Self>;
}

impl Handler<Envelope<Rows>> for Receiver {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Rows>, _: &mut Self::Context) {
        let work = envelope.credit.work();
        assert!(envelope.message.0.num_columns() > 0);
        drop(work);
    }
}

/// A system with an actor on an arbiter of its own, and the edge to it.
pub struct Edge {
    system: SystemRunner,
    _arbiter: Arbiter,
    outbox: Outbox<Rows>,
}

impl Edge {
    /// Starts the actor.
    pub fn new() -> Self {
        let system = System::new();
        let (arbiter, outbox) = system.block_on(async {
            let arbiter = Arbiter::new();
            let addr = Receiver::start_in_arbiter(&arbiter.handle(), |_| Receiver);
            let gauge = Gauges::default().register("receiver", 0);
            (arbiter, Inbox::new(addr.recipient(), Arc::clone(&gauge)).edge(2))
        });
        Self { system, _arbiter: arbiter, outbox }
    }
}

/// Messages from one actor's thread to another's, as many as say that many times, each with its credit.
#[inline(never)]
pub fn send(bench: &Bench, edge: &Edge, messages: usize) {
    edge.system.block_on(async {
        for _ in 0..messages {
            edge.outbox.send(Rows(bench.rows.clone())).await.expect("a receiver");
        }
    });
}
