//! Who is wired to whom: the one place that knows all actors. A generation is spawned here, sinks first, and torn
//! down here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use lakeward_actors::attempt::Attempts;
use lakeward_actors::commit::{CommitActor, CommitMsg, CommitSeed, Head, PartitionStarter, Starter};
use lakeward_actors::cutting::Cutting;
use lakeward_actors::directories::{self, Directories, Keeping};
use lakeward_actors::group_offsets::{self, GroupOffsets};
use lakeward_actors::kit::{Alarm, Board, Cause, Clock, Gauge, Gauges, Inbox, Outbox};
use lakeward_actors::kpi::{KpiActor, KpiMsg};
use lakeward_actors::kpi_mart::{KpiMart, KpiMartMsg};
use lakeward_actors::kpi_registry::{KpiRegistry, RegistryMsg, RegistrySeed, SpawnKpi};
use lakeward_actors::late_mart::LateMart;
use lakeward_actors::layer_writer::{LayerMsg, LayerWriter};
use lakeward_actors::mart_link::{MartLink, OpenMart};
use lakeward_actors::partition::{PartitionActor, PartitionEdges, PartitionMsg, PartitionSeed};
use lakeward_actors::reviser::Reviser;
use lakeward_actors::row_mart::{self, Joined, RowMart, RowsMsg};
use lakeward_actors::source::PartitionSink;
use lakeward_actors::state_writer::{StateWriter, load_state};
use lakeward_actors::topic_identity::TopicIdentity;
use lakeward_actors::topic_watch::TopicWatch;
use lakeward_connect::kafka::{Admin, BatchSink, Credit, KafkaConfig, SourceEvent, Stopped};
use lakeward_connect::log_store::LogStore;
use lakeward_core::dedup::DedupItem;
use lakeward_core::ids::{Epoch, EventTime};
use lakeward_core::kpi::{Increment, Windows};
use lakeward_core::log::{Fold, Member, NewPartition};
use lakeward_core::partition_step::{PartitionStart, PartitionStep};
use lakeward_core::pipeline::{Holds, Kpi, Layer, Pipeline};
use tokio::sync::{mpsc, watch};

use crate::layers::{layer_spec, layer_specs};
use crate::reader::{Reader, Stock};

/// Credits per sender of each edge. Two keep a receiver busy while the next message is made; more only cost memory.
pub mod credits {
    /// Source thread to PartitionActor.
    pub const SOURCE: usize = 2;
    /// CommitActor to PartitionActor.
    pub const CUT: usize = 2;
    /// PartitionActor to LayerWriter, and the registry to the writers of final windows.
    pub const LAYER: usize = 2;
    /// PartitionActor to RowMart: batches wait there for the next copy.
    pub const ROWS: usize = 4;
    /// PartitionActor to KpiRegistry.
    pub const REGISTRY: usize = 4;
    /// KpiRegistry to KpiActor.
    pub const KPI: usize = 2;
    /// KpiActor to KpiMart: a newer value replaces one that waits.
    pub const KPI_MART: usize = 1;
    /// Everyone to the CommitActor: messages are small.
    pub const COMMIT: usize = 8;
}

/// Threads per arbiter for work that blocks: encoding, and files on local disk.
const BLOCKING: usize = 16;

/// Everything that a generation is made from.
#[derive(Clone)]
pub struct Plan {
    /// The definition.
    pub pipeline: Arc<Pipeline>,
    /// Its hash.
    pub definition: String,
    /// The topic, with overrides applied.
    pub topic: String,
    /// Information about the process.
    pub member: Member,
    /// Kafka.
    pub kafka: KafkaConfig,
    /// Records to take in place of Kafka's.
    pub stock: Option<Arc<Stock>>,
    /// Asks Kafka questions.
    pub admin: Arc<Admin>,
    /// Opens the mart, if there is one.
    pub mart: Option<Arc<dyn Fn() -> OpenMart + Send + Sync>>,
    /// Whether rows are shown ahead of the log.
    pub previews: bool,
    /// Whether tables are filled though retention took what they would be filled from.
    pub accept_incomplete: bool,
    /// When to cut.
    pub cutting: Cutting,
    /// How often previews and live values move.
    pub live_tick: Duration,
    /// The most KpiActors.
    pub kpi_max: usize,
    /// Bytes of state above which the pipeline stops.
    pub state_cap: u64,
    /// Newest entries that stay in the log; `None`: all.
    pub keep_entries: Option<u64>,
    /// `--once`: per partition the offset to read to.
    pub until: Option<BTreeMap<i32, i64>>,
    /// Shared state.
    pub board: Board,
    /// Gauges of live actors.
    pub gauges: Gauges,
    /// Time.
    pub clock: Clock,
}

/// A running generation.
pub struct Generation {
    /// Causes, as actors ring them.
    pub heard: mpsc::UnboundedReceiver<Cause>,
    /// The head, as followers see it.
    pub head: watch::Receiver<Head>,
    wiring: Arc<Wiring>,
    control: Outbox<CommitMsg>,
    arbiters: Arbiters,
    source: SharedSource,
    deaths: Mutex<BTreeMap<String, u32>>,
    end: watch::Sender<bool>,
}

/// The source, until it is stopped.
type SharedSource = Arc<Mutex<Option<Reader>>>;

/// The first and the longest pause before a follower that died is started again.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long the threads of a source may take to end; they end by themselves later.
const SOURCE_STOP: Duration = Duration::from_secs(5);

impl Generation {
    /// Asks for one last epoch; `Cause::Finished` is heard when it is committed.
    pub async fn finish(&self, close_all: bool) {
        // A closed edge: the generation is ending anyway.
        let _ = self.control.send(CommitMsg::Finish { close_all }).await;
    }

    /// Starts a follower that died again, alone and after a pause that grows with its deaths (O3).
    pub fn restart_follower(&self, name: &str) {
        let deaths = {
            let mut deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
            let count = deaths.entry(name.to_owned()).or_insert(0_u32);
            *count = count.saturating_add(1);
            *count
        };
        let pause = RESTART.0.saturating_mul(1 << deaths.saturating_sub(1).min(10)).min(RESTART.1);
        self.wiring.plan.board.follower_died(name);
        // Not for a generation that has ended meanwhile.
        let (wiring, name) = (Arc::downgrade(&self.wiring), name.to_owned());
        let ended = self.end.subscribe();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(wiring) = wiring.upgrade().filter(|_| !*ended.borrow()) {
                wiring.restart(&name);
            }
        });
    }

    /// Stops all actors and threads of the generation.
    pub async fn stop(self) {
        self.end.send_replace(true);
        self.arbiters.stop();
        let (source, mut arbiters) = (self.source, self.arbiters);
        let stop = move || {
            let source = source.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Stopped::StillEnding) = source.map(|s| s.stop(SOURCE_STOP)) {
                tracing::warn!("kafka's threads take long to end; they end by themselves");
            }
            for arbiter in arbiters.0.drain(..) {
                let _ = arbiter.join();
            }
        };
        let _ = tokio::task::spawn_blocking(stop).await;
    }
}

/// The threads of a generation's actors; they end with it, whatever ends it.
struct Arbiters(Vec<Arbiter>);

impl Arbiters {
    fn start() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self((0..cores + 2).map(|_| Arbiter::try_with_tokio_rt(runtime)).collect::<Result<_, _>>()?))
    }

    fn stop(&self) {
        for arbiter in &self.0 {
            arbiter.stop();
        }
    }
}

impl Drop for Arbiters {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What everything of a generation is made with.
struct Wiring {
    plan: Plan,
    log: LogStore,
    fold: Arc<Fold>,
    attempts: Attempts,
    alarm: Alarm,
    handles: Vec<ArbiterHandle>,
    head: watch::Receiver<Head>,
    marts: OnceLock<Marts>,
}

/// The marts' followers, behind doors that outlive them.
struct Marts {
    link: Arc<MartLink>,
    rows: Option<Inbox<RowsMsg>>,
    kpis: Vec<Option<Inbox<KpiMartMsg>>>,
}

/// The ends of all edges.
struct Ends {
    commit: Inbox<CommitMsg>,
    layers: BTreeMap<String, Inbox<LayerMsg>>,
    registry: Inbox<RegistryMsg>,
}

/// Spawns a generation whose claim entry is the newest of `fold`.
pub async fn spawn(plan: Plan, log: LogStore, fold: Fold) -> anyhow::Result<Generation> {
    let attempts = Attempts::new(rand::random(), fold.claim, log.paths().clone());
    let began = Instant::now();
    let restored = load_state(log.lake(), &fold, &plan.pipeline).await?;
    tracing::info!(objects = fold.state.len(), seconds = began.elapsed().as_secs_f64(), "read the state back");
    let (alarm, heard) = Alarm::new();
    let fold = Arc::new(fold);
    plan.board.clear();
    plan.board.set_head(fold.version);
    plan.board.show_fold(Arc::clone(&fold));
    let (head_sender, head) = watch::channel(Head { fold: Arc::clone(&fold), epochs: Arc::default() });
    let arbiters = Arbiters::start()?;
    let handles = arbiters.0.iter().map(Arbiter::handle).collect();
    let wiring =
        Arc::new(Wiring { plan, log, fold, attempts, alarm, handles, head: head.clone(), marts: OnceLock::new() });
    let ends = Arc::new(wiring.ends(head_sender, restored.kpis));
    let (control, source) = wiring.sources(&ends, restored.dedup).await?;
    wiring.directories();
    wiring.group_offsets();
    wiring.topic_watch(&ends);
    let (deaths, end) = (Mutex::default(), watch::Sender::new(false));
    Ok(Generation { heard, head, wiring, control, arbiters, source, deaths, end })
}

/// An arbiter's runtime. Few threads for what blocks: a layer closes many files at once, and a thread for each would
/// cost more memory than it saves time.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING).build()
}

impl Wiring {
    /// The arbiter of the `n`-th actor that works on data.
    fn worker(&self, n: usize) -> &ArbiterHandle {
        let workers = self.handles.len().saturating_sub(2).max(1);
        self.handles.get(n % workers).unwrap_or_else(|| self.writers())
    }

    /// The arbiter of writers and followers.
    fn writers(&self) -> &ArbiterHandle {
        let last = self.handles.len().saturating_sub(1);
        // There are at least two arbiters: `spawn` makes cores + 2.
        &self.handles[last]
    }

    /// The arbiter of the CommitActor and the registry: nothing there may wait for writers.
    fn commits(&self) -> &ArbiterHandle {
        let last_but_one = self.handles.len().saturating_sub(2);
        &self.handles[last_but_one]
    }

    fn ends(self: &Arc<Self>, head: watch::Sender<Head>, restored: Vec<(String, Vec<Increment>)>) -> Ends {
        let commit = self.commit(head);
        if let Some(marts) = self.marts() {
            let _ = self.marts.set(marts);
        }
        let layers = self.layers(&commit);
        let registry = self.registry(&commit, &layers, restored);
        Ends { commit, layers, registry }
    }

    fn commit(&self, head: watch::Sender<Head>) -> Inbox<CommitMsg> {
        let pipeline = Arc::clone(&self.plan.pipeline);
        let seed = CommitSeed {
            layers: pipeline.layers.iter().map(|l| (l.name.clone(), l.path.clone())).collect(),
            pipeline,
            definition: self.plan.definition.clone(),
            member: self.plan.member.clone(),
            log: self.log.clone(),
            fold: Arc::clone(&self.fold),
            topic: self.topic_identity(),
            attempts: self.attempts.clone(),
            state: self.state_writer(),
            cutting: self.plan.cutting,
            state_cap: self.plan.state_cap,
            head,
        };
        let (board, clock, sentinel) =
            (self.plan.board.clone(), self.plan.clock.clone(), self.alarm.sentinel("commit"));
        let gauge = self.plan.gauges.register("commit", 0);
        let addr =
            CommitActor::start_in_arbiter(self.commits(), move |_| CommitActor::new(seed, board, clock, sentinel));
        Inbox::new(addr.recipient(), gauge)
    }

    fn layers(&self, commit: &Inbox<CommitMsg>) -> BTreeMap<String, Inbox<LayerMsg>> {
        let mut inboxes = BTreeMap::new();
        for (n, layer) in self.plan.pipeline.layers.iter().enumerate() {
            let writer = LayerWriter::new(
                layer.name.clone(),
                self.log.lake().clone(),
                layer_spec(&self.plan.pipeline, layer),
                self.attempts.clone(),
                commit.edge(credits::COMMIT),
                self.alarm.sentinel(format!("layer {}", layer.name)),
            );
            let gauge = self.plan.gauges.register("layer_writer", index(n));
            let addr = LayerWriter::start_in_arbiter(self.writers(), move |_| writer);
            inboxes.insert(layer.name.clone(), Inbox::new(addr.recipient(), gauge));
        }
        inboxes
    }

    fn marts(&self) -> Option<Marts> {
        let pipeline = &self.plan.pipeline;
        let open = self.plan.mart.as_ref()?;
        let specs = layer_specs(pipeline);
        let link = MartLink::new(
            Arc::clone(pipeline),
            self.log.clone(),
            self.fold.claim,
            Arc::clone(&self.fold),
            self.head.clone(),
            open(),
            specs,
        );
        let link = Arc::new(link.accepting_incomplete(self.plan.accept_incomplete));
        let gauge = |kind, n| self.plan.gauges.register(kind, n);
        let rows = pipeline.rows.as_ref().map(|_| {
            let mart = self.row_mart(Arc::clone(&link), Joined::AtTheStart);
            Inbox::restartable(mart.recipient(), gauge("row_mart", 0))
        });
        let kpi_mart = |kpi| {
            let mart = self.kpi_mart(kpi, &link)?;
            Some(Inbox::restartable(mart.recipient(), gauge("kpi_mart", index(kpi))))
        };
        let kpis = (0..pipeline.kpis.len()).map(kpi_mart).collect();
        (0..pipeline.kpis.len()).for_each(|kpi| self.late_mart(kpi, &link));
        Some(Marts { link, rows, kpis })
    }

    /// Puts a new follower in the place of one that died.
    fn restart(&self, name: &str) {
        match name {
            directories::NAME => self.directories(),
            group_offsets::NAME => self.group_offsets(),
            _ => self.restart_mart(name),
        }
    }

    fn restart_mart(&self, name: &str) {
        let Some(marts) = self.marts.get() else { return };
        if let Some(door) = marts.rows.as_ref().filter(|_| name == row_mart::NAME) {
            door.reopen(self.row_mart(Arc::clone(&marts.link), Joined::Midway).recipient());
        }
        let named = |kpi: &Kpi| KpiMart::follower_name(&kpi.name) == name;
        let late = |kpi: &Kpi| LateMart::follower_name(&kpi.name) == name;
        if let Some(kpi) = self.plan.pipeline.kpis.iter().position(late) {
            self.late_mart(kpi, &marts.link);
        }
        let Some(kpi) = self.plan.pipeline.kpis.iter().position(named) else { return };
        if let (Some(Some(door)), Some(mart)) = (marts.kpis.get(kpi), self.kpi_mart(kpi, &marts.link)) {
            door.reopen(mart.recipient());
        }
    }

    fn row_mart(&self, link: Arc<MartLink>, joined: Joined) -> Addr<RowMart> {
        let plan = &self.plan;
        let mart = RowMart::new(
            link,
            plan.previews,
            plan.live_tick,
            joined,
            self.head.clone(),
            plan.board.clone(),
            plan.clock.clone(),
            self.alarm.follower_sentinel(row_mart::NAME),
        );
        plan.board.follower_started(row_mart::NAME);
        RowMart::start_in_arbiter(self.writers(), move |_| mart)
    }

    fn kpi_mart(&self, kpi: usize, link: &Arc<MartLink>) -> Option<Addr<KpiMart>> {
        let definition = self.plan.pipeline.kpis.get(kpi)?;
        definition.mart.as_ref()?;
        let plan = &self.plan;
        let mart = KpiMart::new(
            kpi,
            Arc::clone(link),
            plan.live_tick,
            self.head.clone(),
            plan.board.clone(),
            plan.clock.clone(),
            self.alarm.follower_sentinel(KpiMart::follower_name(&definition.name)),
        );
        plan.board.follower_started(&KpiMart::follower_name(&definition.name));
        Some(KpiMart::start_in_arbiter(self.writers(), move |_| mart))
    }

    /// Starts the follower of a KPI's table of late rows, if it has one.
    fn late_mart(&self, kpi: usize, link: &Arc<MartLink>) {
        let plan = &self.plan;
        let Some(definition) = plan.pipeline.kpis.get(kpi) else { return };
        if definition.late_table.as_ref().is_none_or(|late| late.table.is_none()) {
            return;
        }
        let name = LateMart::follower_name(&definition.name);
        let mart = LateMart::new(
            kpi,
            Arc::clone(link),
            plan.live_tick,
            self.head.clone(),
            plan.board.clone(),
            plan.clock.clone(),
            self.alarm.follower_sentinel(name.clone()),
        );
        plan.board.follower_started(&name);
        LateMart::start_in_arbiter(self.writers(), move |_| mart);
    }

    fn registry(
        self: &Arc<Self>,
        commit: &Inbox<CommitMsg>,
        layers: &BTreeMap<String, Inbox<LayerMsg>>,
        mut restored: Vec<(String, Vec<Increment>)>,
    ) -> Inbox<RegistryMsg> {
        let pipeline = &self.plan.pipeline;
        let final_edge = |kpi: usize| {
            let (_, layer) = pipeline.layer(|h| *h == Holds::FinalWindows { kpi })?;
            Some(layers.get(&layer.name)?.edge(credits::LAYER))
        };
        let mut by_name = |name: &String| {
            restored.iter_mut().find(|(kpi, _)| kpi == name).map_or_else(Vec::new, |(_, held)| std::mem::take(held))
        };
        let seed = RegistrySeed {
            pipeline: Arc::clone(pipeline),
            spawn: self.kpi_spawner(),
            limit: self.plan.kpi_max,
            finals: (0..pipeline.kpis.len()).map(final_edge).collect(),
            state: self.state_writer(),
            reviser: self.reviser(),
            restored: pipeline.kpis.iter().map(|k| by_name(&k.name)).collect(),
        };
        let (edge, board) = (commit.edge(credits::COMMIT), self.plan.board.clone());
        let sentinel = self.alarm.sentinel("kpi registry");
        let gauge = self.plan.gauges.register("kpi_registry", 0);
        let addr =
            KpiRegistry::start_in_arbiter(self.commits(), move |_| KpiRegistry::new(seed, edge, board, sentinel));
        Inbox::new(addr.recipient(), gauge)
    }

    fn kpi_spawner(self: &Arc<Self>) -> SpawnKpi {
        let wiring = Arc::clone(self);
        Arc::new(move |kpi: usize, number: u32, restored: Vec<Increment>| -> Option<Outbox<KpiMsg>> {
            let plan = &wiring.plan;
            let definition = plan.pipeline.kpis.get(kpi)?;
            let mut windows = Windows::new(definition, wiring.head.borrow().fold.g);
            for increment in restored {
                if let Err(error) = windows.restore(increment) {
                    wiring.alarm.ring(Cause::Stop { code: "BUG", message: error.to_string() });
                }
            }
            let door = wiring.marts.get().and_then(|marts| marts.kpis.get(kpi)?.as_ref());
            let mart = door.map(|inbox| inbox.edge(credits::KPI_MART));
            let (tick, board) = (plan.live_tick, plan.board.clone());
            let sentinel = wiring.alarm.sentinel(format!("kpi {number}"));
            let gauge: Arc<Gauge> = plan.gauges.register("kpi", number);
            let arbiter = wiring.worker(usize::try_from(number).unwrap_or(0));
            let addr = KpiActor::start_in_arbiter(arbiter, move |_| {
                KpiActor::new(number, windows, mart, tick, board, sentinel)
            });
            Some(Inbox::new(addr.recipient(), gauge).edge(credits::KPI))
        })
    }

    /// Spawns the PartitionActors of the set, starts Kafka's source and wires both to the CommitActor.
    async fn sources(
        self: &Arc<Self>,
        ends: &Arc<Ends>,
        dedup: Vec<DedupItem>,
    ) -> anyhow::Result<(Outbox<CommitMsg>, SharedSource)> {
        let mut remembered: BTreeMap<i32, Vec<DedupItem>> = BTreeMap::new();
        for item in dedup {
            remembered.entry(item.partition).or_default().push(item);
        }
        let mut cuts = BTreeMap::new();
        let mut sinks: BTreeMap<i32, PartitionSink> = BTreeMap::new();
        let mut starts = Vec::new();
        for (&partition, held) in &self.fold.partitions {
            let start = PartitionStart {
                watermark: held.watermark,
                dedup: remembered.remove(&partition).unwrap_or_default(),
                first_windows: self.fold.first_windows.clone(),
            };
            let (cut, sink) = self.partition(ends, partition, held.incarnation, held.to, start, Epoch::default());
            cuts.insert(partition, cut);
            sinks.insert(partition, sink);
            starts.push((partition, held.to));
        }
        let (kafka, topic) = (self.plan.kafka.clone(), self.plan.topic.clone());
        let stock = self.plan.stock.clone().map(|stock| (stock, self.plan.clock.clone()));
        let starting = move || {
            let sink = |p| sinks.remove(&p).map_or_else(|| Box::new(NoSink) as Box<dyn BatchSink>, |s| Box::new(s));
            Reader::start(&kafka, stock, &topic, starts, sink)
        };
        let source = Arc::new(Mutex::new(Some(tokio::task::spawn_blocking(starting).await??)));
        let control = ends.commit.edge(credits::COMMIT);
        let starter = Starter(Box::new(NewPartitions {
            wiring: Arc::clone(self),
            ends: Arc::clone(ends),
            source: Arc::clone(&source),
        }));
        let registry = ends.registry.edge(credits::REGISTRY);
        // A closed edge: the CommitActor has rung the alarm already.
        let _ = control.send(CommitMsg::Wire { partitions: cuts, registry, starter }).await;
        Ok((control, source))
    }

    /// Spawns a PartitionActor; the edge for cuts, and the sink for its source thread.
    fn partition(
        &self,
        ends: &Ends,
        partition: i32,
        incarnation: i32,
        position: i64,
        start: PartitionStart,
        epoch: Epoch,
    ) -> (Outbox<PartitionMsg>, PartitionSink) {
        let plan = &self.plan;
        let pipeline = &plan.pipeline;
        let layer = |holds: fn(&Holds) -> bool| {
            let (_, layer) = pipeline.layer(holds)?;
            Some(ends.layers.get(&layer.name)?.edge(credits::LAYER))
        };
        let edges = PartitionEdges {
            records: layer(|h| *h == Holds::Records),
            rejects: layer(|h| *h == Holds::Rejects),
            rows: layer(|h| matches!(h, Holds::Rows { .. })),
            late: self.late_layers(ends),
            row_mart: self.marts.get().and_then(|marts| Some(marts.rows.as_ref()?.edge(credits::ROWS))),
            registry: ends.registry.edge(credits::REGISTRY),
            commit: ends.commit.edge(credits::COMMIT),
        };
        let seed = PartitionSeed {
            partition,
            incarnation,
            position,
            until: plan.until.as_ref().and_then(|until| until.get(&partition).copied()),
            step: PartitionStep::new(pipeline, &plan.topic, incarnation, partition, start),
            epoch,
            live_tick: plan.live_tick,
        };
        let (board, clock) = (plan.board.clone(), plan.clock.clone());
        let sentinel = self.alarm.sentinel(format!("partition {partition}"));
        let gauge = plan.gauges.register("partition", u32::try_from(partition).unwrap_or(u32::MAX));
        let arbiter = self.worker(usize::try_from(partition).unwrap_or(0));
        let actor_board = board.clone();
        let addr = PartitionActor::start_in_arbiter(arbiter, move |_| {
            PartitionActor::new(seed, edges, actor_board, clock, sentinel)
        });
        let inbox = Inbox::new(addr.recipient(), gauge);
        let sink = PartitionSink::new(partition, inbox.edge(credits::SOURCE), board);
        (inbox.edge(credits::CUT), sink)
    }

    /// The edges to the layers of late rows, by the number of the KPI.
    fn late_layers(&self, ends: &Ends) -> BTreeMap<usize, Outbox<LayerMsg>> {
        let edge = |layer: &Layer| match layer.holds {
            Holds::LateRows { kpi } => Some((kpi, ends.layers.get(&layer.name)?.edge(credits::LAYER))),
            _ => None,
        };
        self.plan.pipeline.layers.iter().filter_map(edge).collect()
    }

    fn directories(&self) {
        let follower = Directories::new(
            self.log.clone(),
            self.attempts.clone(),
            self.head.clone(),
            Keeping { pipeline: self.plan.pipeline.name.clone(), entries: self.plan.keep_entries },
            self.plan.board.clone(),
            self.alarm.follower_sentinel(directories::NAME),
        );
        self.plan.board.follower_started(directories::NAME);
        Directories::start_in_arbiter(self.writers(), move |_| follower);
    }

    fn group_offsets(&self) {
        let plan = &self.plan;
        let follower = GroupOffsets::new(
            Arc::clone(&plan.admin),
            format!("lakeward-{}", plan.pipeline.name),
            plan.topic.clone(),
            self.head.clone(),
            plan.board.clone(),
            self.alarm.follower_sentinel(group_offsets::NAME),
        );
        plan.board.follower_started(group_offsets::NAME);
        GroupOffsets::start_in_arbiter(self.writers(), move |_| follower);
    }

    fn topic_watch(&self, ends: &Ends) {
        let plan = &self.plan;
        let incarnation = self.fold.partitions.values().map(|p| p.incarnation).max().unwrap_or(0);
        let watch = TopicWatch::new(
            Arc::clone(&plan.admin),
            plan.topic.clone(),
            plan.pipeline.time,
            incarnation,
            ends.commit.edge(credits::COMMIT),
            plan.board.clone(),
            plan.clock.clone(),
            self.alarm.sentinel("topic watch"),
        );
        TopicWatch::start_in_arbiter(self.commits(), move |_| watch);
    }

    /// The topic by the id of its newest incarnation.
    fn topic_identity(&self) -> TopicIdentity {
        let newest = self.fold.partitions.values().max_by_key(|p| p.incarnation);
        TopicIdentity::of(&self.plan.admin, &self.plan.topic, newest.and_then(|p| p.topic_id.clone()))
    }

    fn reviser(&self) -> Reviser {
        let (pipeline, log) = (Arc::clone(&self.plan.pipeline), self.log.clone());
        Reviser::new(pipeline, log, self.attempts.clone(), layer_specs(&self.plan.pipeline))
    }

    fn state_writer(&self) -> StateWriter {
        StateWriter::new(self.log.lake().clone(), self.attempts.clone())
    }
}

/// Starts partitions that have entered the set while the generation runs.
struct NewPartitions {
    wiring: Arc<Wiring>,
    ends: Arc<Ends>,
    source: SharedSource,
}

impl PartitionStarter for NewPartitions {
    fn start(
        &mut self,
        partition: i32,
        new: &NewPartition,
        watermark: EventTime,
        epoch: Epoch,
    ) -> Outbox<PartitionMsg> {
        let first_windows = self.wiring.fold.first_windows.clone();
        let start = PartitionStart { watermark, dedup: Vec::new(), first_windows };
        let (cut, sink) = self.wiring.partition(&self.ends, partition, new.incarnation, new.start, start, epoch);
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let added = source.as_mut().map(|s| s.add_partition(partition, new.start, Box::new(sink)));
        if let Some(Err(error)) = added {
            self.wiring.alarm.ring(Cause::Failed(error.to_string()));
        }
        cut
    }
}

/// The sink of a partition that nobody asked for.
struct NoSink;

impl BatchSink for NoSink {
    fn wait_credit(&mut self, _: Duration) -> Credit {
        Credit::Closed
    }

    fn deliver(&mut self, _: SourceEvent) {}
}

fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
