//! What tests of actors stand on: a runtime whose clock is paused, neighbours that only listen, a small feed.

#![allow(clippy::unwrap_used, clippy::panic)]

pub mod mart;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use lakeward_connect::lake::{Lake, Memory};
use lakeward_connect::log_store::{CreateOutcome, LogStore};
use lakeward_core::ids::{EventTime, OffsetRange, Version};
use lakeward_core::log::{Author, Draft, EntryKind, Fold, Member, NewPartition, render, render_first};
use lakeward_core::partition_step::{PartitionStart, PartitionStep};
use lakeward_core::pipeline::Pipeline;
use lakeward_core::record::RawBatch;

use crate::attempt::Attempts;
use crate::kit::outbox::Credit;
use crate::kit::{Alarm, Cause, Clock, Envelope, Gauges, Inbox, Inlet, Sentinel, Weight};

/// Wall time at the start of every test, microseconds.
pub const WALL: i64 = 1_000_000_000_000_000;

/// Minutes of event time, microseconds.
pub const MINUTE: i64 = 60_000_000;

/// A test may wait this long for what must come; only a failing one does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test in a system of its own whose clock stands still while anything is to be done.
pub fn on_a_paused_clock(test: impl Future<Output = ()>) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(runtime).block_on(test);
}

/// Runs a test whose actors work with a database: that has a thread of its own, which no paused clock waits for.
pub fn beside_a_database(test: impl Future<Output = ()>) {
    System::new().block_on(test);
}

/// The paused clock, as actors see it.
pub fn clock() -> Clock {
    let start = tokio::time::Instant::now();
    let steady = || tokio::time::Instant::now().into_std();
    Clock::with(move || WALL + i64::try_from(start.elapsed().as_micros()).unwrap(), steady)
}

/// Lets time pass for everybody.
pub async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Lets everybody do what can be done without time passing on the test's account.
pub async fn settle() {
    pass(Duration::from_millis(1)).await;
}

/// Waits for what other threads (encoders, databases) must bring about.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
        settle().await;
    }
}

/// A neighbour that only listens.
struct Listener<M: Weight + Send + 'static> {
    heard: Arc<Mutex<Vec<M>>>,
    credits: Arc<Mutex<Option<Vec<Credit>>>>,
    inlet: Inlet,
}

impl<M: Weight + Send + Unpin + 'static> Actor for Listener<M> {
    type Context = Context<Self>;
}

impl<M: Weight + Send + Unpin + 'static> Handler<Envelope<M>> for Listener<M> {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<M>, _: &mut Context<Self>) {
        self.inlet.admit(&envelope).unwrap();
        self.heard.lock().unwrap().push(envelope.message);
        if let Some(kept) = &mut *self.credits.lock().unwrap() {
            kept.push(envelope.credit);
        }
    }
}

/// What a listener has heard.
pub struct Heard<M> {
    messages: Arc<Mutex<Vec<M>>>,
    credits: Arc<Mutex<Option<Vec<Credit>>>>,
}

impl<M> Heard<M> {
    /// Everything since the last call.
    pub fn take(&self) -> Vec<M> {
        std::mem::take(&mut self.messages.lock().unwrap())
    }

    /// How much is there to take.
    pub fn len(&self) -> usize {
        self.messages.lock().unwrap().len()
    }

    /// From now on the listener gives no credit back.
    pub fn keep_credits(&self) {
        *self.credits.lock().unwrap() = Some(Vec::new());
    }

    /// Gives back what was kept, and keeps no more.
    pub fn release_credits(&self) {
        *self.credits.lock().unwrap() = None;
    }
}

/// A listener and the inbox of it.
pub fn listener<M: Weight + Send + Unpin + 'static>() -> (Inbox<M>, Heard<M>) {
    let (to, heard) = bare_listener();
    (Inbox::new(to, Gauges::default().register("listener", 0)), heard)
}

/// A listener without an inbox, to be put behind a door.
pub fn bare_listener<M: Weight + Send + Unpin + 'static>() -> (Recipient<Envelope<M>>, Heard<M>) {
    let (heard, credits) = (Arc::default(), Arc::default());
    let listener = Listener { heard: Arc::clone(&heard), credits: Arc::clone(&credits), inlet: Inlet::default() };
    (listener.start().recipient(), Heard { messages: heard, credits })
}

/// The inbox of an actor under test.
pub fn inbox<A, M>(addr: Addr<A>) -> Inbox<M>
where
    A: Actor<Context = Context<A>> + Handler<Envelope<M>>,
    M: Weight + Send + 'static,
{
    Inbox::new(addr.recipient(), Gauges::default().register("tested", 0))
}

/// An alarm, as the supervisor hears it.
pub struct Bell {
    alarm: Alarm,
    heard: tokio::sync::mpsc::UnboundedReceiver<Cause>,
}

impl Bell {
    pub fn new() -> Self {
        let (alarm, heard) = Alarm::new();
        Self { alarm, heard }
    }

    pub fn sentinel(&self) -> Sentinel {
        self.alarm.sentinel("tested")
    }

    pub fn follower_sentinel(&self) -> Sentinel {
        self.alarm.follower_sentinel("tested")
    }

    /// Why the generation ended, if it did.
    pub fn cause(&mut self) -> Option<Cause> {
        self.heard.try_recv().ok()
    }

    /// The text of a cause that a new generation may mend.
    pub fn failure(&mut self) -> String {
        match self.cause() {
            Some(Cause::Failed(what)) => what,
            other => panic!("no failure but {other:?}"),
        }
    }
}

/// A feed of `id` and `colour`: every layer, a table of rows, one KPI by minute and colour with tables.
pub fn pipeline() -> Arc<Pipeline> {
    const FEED: &str = r#"
        name = "things"
        [source]
        topic = "things"
        format = "json"
        [fields]
        id = "int64!"
        colour = "string!"
        [time]
        event_time = "kafka"
        out_of_orderness = "0s"
        max_future_skew = "100d"
        [bronze]
        path = "raw"
        [silver]
        path = "rows"
        [quarantine]
        path = "bad"
        [rows]
        table = "things"
        [[kpi]]
        name = "per_minute"
        window = { tumbling = "1m" }
        key = ["colour"]
        gold = { path = "gold" }
        mart = { table = "per_minute" }
        late = "table"
        late_table = { path = "late", table = "too_late" }
        [kpi.measures]
        things = "count(id)"
    "#;
    let parsed = Pipeline::parse(FEED, "things.toml");
    Arc::new(parsed.unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>())))
}

/// A partition's step of that feed, from its beginning.
pub fn step(partition: i32) -> PartitionStep {
    let start = PartitionStart {
        watermark: EventTime::MIN,
        dedup: Vec::new(),
        first_windows: std::collections::BTreeMap::new(),
    };
    PartitionStep::new(&pipeline(), "things", 0, partition, start)
}

/// Records of consecutive offsets, one per minute given, all red.
pub fn records(partition: i32, from: i64, minutes: &[i64]) -> RawBatch {
    coloured(partition, from, minutes, "red")
}

/// The same in another colour.
pub fn coloured(partition: i32, from: i64, minutes: &[i64], colour: &str) -> RawBatch {
    let mut batch = RawBatch::new(partition, from);
    for (offset, minute) in (from..).zip(minutes) {
        let payload = format!(r#"{{"id":{offset},"colour":"{colour}"}}"#);
        batch.push(offset, minute * MINUTE / 1_000, None, Some(payload.as_bytes()), None);
    }
    batch
}

/// `[from, to)`.
pub fn range(from: i64, to: i64) -> OffsetRange {
    OffsetRange { from, to }
}

/// A lake in memory with a log whose newest entry is the claim of whoever runs, over the given partitions from 0 on.
pub struct Ground {
    pub lake: Lake,
    pub memory: Memory,
    pub log: LogStore,
    pub fold: Fold,
}

pub async fn ground(partitions: &[i32]) -> Ground {
    let (lake, memory) = Lake::memory();
    let log = LogStore::open(&lake, "things", "log-a").await.unwrap();
    let mut draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
    for &partition in partitions {
        draft.new_partitions.insert(partition, NewPartition { incarnation: 0, topic_id: None, start: 0 });
    }
    let entry = render_first(log.id(), &draft, &author(Version(0), "claim"));
    let CreateOutcome::Committed(hash) = log.create(&entry, |_| {}).await.unwrap() else { panic!("not created") };
    let fold = Fold::first(&entry, hash).unwrap();
    Ground { lake, memory, log, fold }
}

impl Ground {
    pub fn attempts(&self) -> Attempts {
        Attempts::new([7; 16], self.fold.claim, self.log.paths().clone())
    }

    /// Somebody else takes the log over.
    pub async fn taken_over(&self) {
        let draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        let fold = self.log.load().await.unwrap().unwrap();
        let entry = render(&fold, &draft, &author(fold.claim, "other"));
        assert!(matches!(self.log.create(&entry, |_| {}).await, Ok(CreateOutcome::Committed(_))));
    }
}

pub fn author(claim: Version, attempt: &str) -> Author {
    Author {
        claim,
        attempt: format!("{attempt:0>32}"),
        member: Member::default(),
        definition: "definition".to_owned(),
        now: WALL,
    }
}
