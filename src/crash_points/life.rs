//! Lives of a pipeline over one lake, one mart and one topic.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakeward_actors::cutting::Cutting;
use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_actors::owner::OwnerTimes;
use lakeward_connect::kafka::{Admin, KafkaConfig, MockKafka, Producer};
use lakeward_connect::lake::{Lake, Memory, Operation};
use lakeward_connect::log_store::{CreateOutcome, LogStore};
use lakeward_connect::mart::{Mart, MartFaults, MartOptions, MartTwin};
use lakeward_core::log::{Accept, Author, CHECKPOINT_EVERY, Draft, EntryKind, Member, render};
use lakeward_core::pipeline::Pipeline;
use tokio::sync::{mpsc, watch};

use super::judge;
use super::point::{Plan as FaultPlan, Point};
use crate::exit::Exit;
use crate::rebuild::Rebuild;
use crate::reset::Reset;
use crate::run::Runner;
use crate::topology::Plan;

pub const NAME: &str = "things";
pub const PARTITIONS: i32 = 3;
/// Records per partition of each instalment; the last partition stays empty, so it is idle.
pub const RECORDS: [i64; 2] = [8, 5];
/// The next instalment is sent when the last one is committed.
const INSTALMENTS: i64 = 3;
/// Instalments of a pipeline's first life before its log has grown old: just few enough that no base is due yet.
const EARLIER: i64 = 8;
/// What a world goes on with after that.
const LATER: i64 = 4;
/// Claims from here to the next checkpoint, so that a life's claim and first epochs come before it.
const SHORT_OF_CHECKPOINT: u64 = 4;
/// Event time of the first record of partition 0.
pub const BEGIN_MS: i64 = 1_700_000_040_000;
/// Event time of one instalment.
const INSTALMENT_MS: i64 = 160_000;

/// A life that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const ASK: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);

const FEED: &str = r#"
    name = "things"
    [source]
    topic = "TOPIC"
    format = "json"
    [fields]
    id = "int64!"
    colour = "string!"
    [time]
    event_time = "kafka"
    out_of_orderness = "0s"
    idle_after = "400ms"
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
    [[kpi]]
    name = "amended"
    window = { tumbling = "1m" }
    key = ["colour"]
    gold = { path = "gold_amended" }
    mart = { table = "amended" }
    late = "amend"
    amend_for = "30d"
    [kpi.measures]
    things = "count(id)"
"#;

/// What all worlds share.
pub struct Bed {
    mock: MockKafka,
    topics: AtomicUsize,
}

impl Bed {
    pub fn new() -> Self {
        Self { mock: MockKafka::start(&[]).unwrap(), topics: AtomicUsize::new(0) }
    }
}

/// Where a world begins.
#[derive(Clone, Copy, Debug)]
pub enum Age {
    /// With nothing.
    Young,
    /// Where one ended that was long, and one that left staged files: the log is about to reach a checkpoint, and the
    /// state a base.
    Old,
    /// The same, with a checkpoint behind it.
    Ancient,
}

/// Claims that nobody made anything of, up to shortly before a checkpoint.
async fn claim_for_nothing(lake: &Lake, checkpoints: u64) {
    let log = LogStore::open_existing(lake, NAME).await.unwrap().unwrap();
    let mut fold = log.load().await.unwrap().unwrap();
    assert!(fold.state.iter().all(|state| !state.base), "a base is written already");
    while fold.version.0 + SHORT_OF_CHECKPOINT < checkpoints * CHECKPOINT_EVERY {
        let draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        let attempt = format!("{:032x}", fold.version.0);
        let definition = fold.definition.clone();
        let author = Author { claim: fold.claim, attempt, member: Member::default(), definition, now: 0 };
        let entry = render(&fold, &draft, &author);
        match log.create(&entry, |error| panic!("{error}")).await.unwrap() {
            CreateOutcome::Committed(hash) => fold.apply(&entry, hash).unwrap(),
            CreateOutcome::Other(other) => panic!("{other:?}"),
        }
        log.checkpoint(&fold).await.unwrap();
    }
}

/// How a life ended.
pub enum End {
    /// It was asked to stop and did.
    Stopped,
    /// It died as planned.
    Died,
    /// It ended itself.
    Exit(Exit),
}

/// A command that works on a log which nobody runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    Reset,
    Rebuild,
}

/// One lake, one mart, one topic.
pub struct World {
    config: KafkaConfig,
    topic: String,
    producer: Producer,
    pub memory: Memory,
    folder: tempfile::TempDir,
    /// How many there will be, and how many are sent.
    instalments: AtomicI64,
    sent: Mutex<i64>,
    /// Requests that arrive in the next life.
    late: Mutex<Option<(Memory, MartFaults)>>,
}

/// A life's connections.
struct Connections {
    memory: Memory,
    faults: MartFaults,
    /// The points that were met, and whether the planned thing happened there.
    calls: Arc<Mutex<BTreeMap<Point, usize>>>,
    happened: mpsc::UnboundedReceiver<()>,
}

impl World {
    pub fn new(bed: &Bed, age: Age) -> Self {
        let topic = format!("things-{}", bed.topics.fetch_add(1, Ordering::Relaxed));
        let name = topic.clone();
        bed.mock.with(move |cluster| cluster.create_topic(&name, PARTITIONS, 1).unwrap());
        let options = [("bootstrap.servers".to_owned(), bed.mock.brokers().to_owned())];
        let config = KafkaConfig::new(NAME, options.into()).unwrap();
        let producer = Producer::new(&config).unwrap();
        let (_, memory) = Lake::memory();
        let (folder, late, sent) = (tempfile::tempdir().unwrap(), Mutex::default(), Mutex::new(0));
        let young =
            Self { config, topic, producer, memory, folder, instalments: AtomicI64::new(INSTALMENTS), sent, late };
        match age {
            Age::Young => young,
            Age::Old => young.grow_old(1),
            Age::Ancient => young.grow_old(2),
        }
    }

    fn grow_old(mut self, checkpoints: u64) -> Self {
        *self.instalments.get_mut() = EARLIER - 1;
        assert!(matches!(self.live(&FaultPlan::none()), End::Stopped));
        *self.instalments.get_mut() = EARLIER;
        assert!(matches!(self.live(&FaultPlan::dies_before_its_first_epoch()), End::Died));
        in_a_system(claim_for_nothing(&Lake::of_memory(&self.memory.next_life()), checkpoints));
        *self.instalments.get_mut() += LATER;
        self
    }

    fn instalments(&self) -> i64 {
        self.instalments.load(Ordering::Relaxed)
    }

    /// So many more instalments are to come; each is an epoch at least.
    pub fn more(&self, instalments: i64) {
        self.instalments.fetch_add(instalments, Ordering::Relaxed);
    }

    /// Sends one more instalment, which nobody has read yet; forks find it in their topic.
    pub fn send_more(&self) {
        self.more(1);
        assert!(self.send_next());
    }

    /// A world of its own that has come as far as this one; Kafka's topic is the same.
    pub fn fork(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The last connection of a life may close a little after it, which takes SQLite's log into the file and away.
        while copy_all(self.folder.path(), folder.path()).is_err() {
            std::thread::yield_now();
        }
        Self {
            config: self.config.clone(),
            topic: self.topic.clone(),
            producer: Producer::new(&self.config).unwrap(),
            memory: self.memory.copy(),
            folder,
            instalments: AtomicI64::new(self.instalments()),
            sent: Mutex::new(*self.sent.lock().unwrap()),
            late: Mutex::default(),
        }
    }

    /// How often each call is made by a command without a fault.
    pub fn calls_of(&self, command: Offline) -> BTreeMap<Point, usize> {
        let connections = self.connect(&FaultPlan::none());
        let calls = Arc::clone(&connections.calls);
        assert!(matches!(self.command_by(command, connections, &FaultPlan::none()), End::Stopped));
        calls.lock().unwrap().clone()
    }

    /// A reset in which the plan's fault happens.
    pub fn reset(&self, plan: &FaultPlan) -> End {
        self.command_by(Offline::Reset, self.connect(plan), plan)
    }

    /// A rebuild in which the plan's fault happens.
    pub fn rebuild(&self, plan: &FaultPlan) -> End {
        self.command_by(Offline::Rebuild, self.connect(plan), plan)
    }

    fn command_by(&self, command: Offline, mut connections: Connections, plan: &FaultPlan) -> End {
        let end = in_a_system(async {
            let life = self.command_once(command, &connections.memory, &connections.faults);
            tokio::pin!(life);
            loop {
                tokio::select! {
                    biased;
                    Some(()) = connections.happened.recv() => {
                        if plan.ends_life() {
                            break End::Died;
                        }
                        connections.memory.deliver_late();
                        connections.faults.deliver_late().await;
                    }
                    ended = &mut life => break ended.map_or_else(End::Exit, |()| End::Stopped),
                    () = tokio::time::sleep(PATIENCE) => panic!("the {command:?} hangs"),
                }
            }
        });
        connections.memory.die();
        connections.faults.die();
        if plan.delivers_in_next_life() {
            *self.late.lock().unwrap() = Some((connections.memory, connections.faults));
        }
        end
    }

    async fn command_once(&self, command: Offline, memory: &Memory, faults: &MartFaults) -> Result<(), Exit> {
        let file = self.mart_file().display().to_string();
        let mart = MartTwin::open(&file, &MartOptions::default(), faults).await.map(Mart::Twin).unwrap();
        let reset = self.a_reset(Lake::of_memory(memory), Some(mart));
        let Some(mut subject) = reset.find().await? else { return Err(Exit::failed("nothing".to_owned())) };
        reset.check_mart(&subject).await?;
        if subject.rebuilt {
            reset.clear_ended().await?;
            if command == Offline::Rebuild {
                return Ok(());
            }
            subject = reset.find().await?.ok_or_else(|| Exit::failed("nothing".to_owned()))?;
        }
        reset.refuse_while_running(&subject).await?;
        match command {
            Offline::Reset => reset.carry_out(subject).await,
            Offline::Rebuild => {
                let rebuild = Rebuild { reset, topic: self.topic.clone() };
                let outcome = rebuild.carry_out(subject, &mut |_| {}).await?;
                assert!(outcome.equal, "the same definition has decided otherwise");
                Ok(())
            }
        }
    }

    fn a_reset(&self, lake: Lake, mart: Option<Mart>) -> Reset {
        let times = OwnerTimes { renew: 50_000, expiry: 200_000, min_tenure: 0 };
        Reset { pipeline: self.pipeline(), lake, mart, times, member: Member::default(), clock: Clock::system() }
    }

    /// Whether a log has ended and is not cleared.
    pub fn reset_is_unfinished(&self) -> bool {
        let reset = self.a_reset(Lake::of_memory(&self.memory.next_life()), None);
        let subject = in_a_system(async { reset.find().await.unwrap() });
        subject.is_some_and(|subject| subject.fold.ended.is_some())
    }

    /// A life without a fault, then the judgement; how often each call was made.
    pub fn clean_run(&self) -> BTreeMap<Point, usize> {
        let connections = self.connect(&FaultPlan::none());
        let calls = Arc::clone(&connections.calls);
        if let End::Exit(exit) = self.run(connections, &FaultPlan::none(), false) {
            panic!("a life without a fault ended itself: {exit}");
        }
        let calls = calls.lock().unwrap().clone();
        self.finish();
        calls
    }

    /// A life in which the plan's fault happens.
    pub fn live(&self, plan: &FaultPlan) -> End {
        self.run(self.connect(plan), plan, false)
    }

    /// A life in which a request of the one before arrives, once an epoch is committed.
    pub fn live_with_late_arrival(&self) -> End {
        self.run(self.connect(&FaultPlan::none()), &FaultPlan::none(), true)
    }

    /// A last life that reads to the end and closes all windows; then everything must be in its place.
    pub fn finish(&self) {
        while self.send_next() {}
        self.deliver_late();
        let connections = self.connect(&FaultPlan::none());
        let mut runner = self.runner(&connections);
        (runner.once, runner.close_all) = (true, true);
        let (_stop, asked) = watch::channel(false);
        let ended = in_a_system(async { tokio::time::timeout(PATIENCE, runner.run(asked)).await });
        match ended {
            Ok(Ok(_)) => {}
            Ok(Err(exit)) => panic!("the last life ended with {}: {exit}", exit.code),
            Err(_) => panic!("the last life hangs"),
        }
        let (lake, mart) = (self.memory.next_life(), self.mart_file());
        in_a_system(judge::judge(&lake, &mart, &self.pipeline(), self.instalments()));
    }

    /// Runs until all instalments are committed, something ends it, or it dies.
    fn run(&self, mut connections: Connections, plan: &FaultPlan, late_arrival: bool) -> End {
        let runner = self.runner(&connections);
        let (board, gauges, clock) = (runner.plan.board.clone(), runner.plan.gauges.clone(), runner.plan.clock.clone());
        let (stop, asked) = watch::channel(false);
        let end = in_a_system(async {
            let life = runner.run(asked);
            tokio::pin!(life);
            let mut look = tokio::time::interval(Duration::from_millis(5));
            let deadline = tokio::time::sleep(PATIENCE);
            tokio::pin!(deadline);
            let start = self.entries();
            let mut late = late_arrival;
            loop {
                tokio::select! {
                    ended = &mut life => break match ended {
                        Ok(_) => End::Stopped,
                        Err(exit) => End::Exit(exit),
                    },
                    Some(()) = connections.happened.recv() => {
                        if plan.ends_life() {
                            break End::Died;
                        }
                        // It arrives a little later, whatever else happens meanwhile.
                        let (memory, faults) = (connections.memory.clone(), connections.faults.clone());
                        tokio::spawn(async move {
                            tokio::time::sleep(TICK * 3).await;
                            memory.deliver_late();
                            faults.deliver_late().await;
                        });
                    }
                    _ = look.tick() => {
                        if late && self.entries() > start + 1 {
                            late = false;
                            self.deliver_late_here().await;
                        }
                        if self.all_committed() && !self.send_next() && !late {
                            stop.send_replace(true);
                        }
                    }
                    () = &mut deadline => {
                        let gauges: Vec<_> = gauges.live().iter().map(|g| (g.kind, g.read(clock.steady()).depth)).collect();
                        panic!(
                            "a life hangs: {} sent, stop {}, entries {:?}, {board:?}, {gauges:?}",
                            self.sent.lock().unwrap(), *stop.borrow(), self.entry_paths().last()
                        );
                    }
                }
            }
        });
        connections.memory.die();
        connections.faults.die();
        if plan.delivers_in_next_life() {
            *self.late.lock().unwrap() = Some((connections.memory, connections.faults));
        }
        end
    }

    fn connect(&self, plan: &FaultPlan) -> Connections {
        let (happens, happened) = mpsc::unbounded_channel();
        let calls: Arc<Mutex<BTreeMap<Point, usize>>> = Arc::default();
        let memory = self.memory.next_life();
        let (lake_plan, mart_plan) = (plan.clone(), plan.clone());
        let decide = move |plan: &FaultPlan, point: Point, calls: &Mutex<BTreeMap<Point, usize>>| {
            let cue = plan.cue(&point);
            *calls.lock().unwrap().entry(point).or_default() += 1;
            if cue.is_some() {
                let _ = happens.send(());
            }
            cue
        };
        let (of_lake, lake_calls) = (decide.clone(), Arc::clone(&calls));
        memory.play(Box::new(move |operation: Operation, path: &str| {
            of_lake(&lake_plan, Point::of(operation, path), &lake_calls)
        }));
        let mart_calls = Arc::clone(&calls);
        let faults = MartFaults::new(Box::new(move |call| decide(&mart_plan, Point::Mart(call), &mart_calls)));
        Connections { memory, faults, calls, happened }
    }

    fn runner(&self, connections: &Connections) -> Runner {
        let pipeline = self.pipeline();
        let admin = Arc::new(Admin::new(&self.config, ASK).unwrap());
        let (file, faults) = (self.mart_file(), connections.faults.clone());
        let open = move || {
            let (file, faults) = (file.clone(), faults.clone());
            let open: lakeward_actors::mart_link::OpenMart = Box::new(move || {
                let (file, faults) = (file.clone(), faults.clone());
                Box::pin(async move {
                    let file = file.display().to_string();
                    MartTwin::open(&file, &MartOptions::default(), &faults).await.map(Mart::Twin)
                })
            });
            open
        };
        let plan = Plan {
            definition: pipeline.definition_hash(),
            topic: self.topic.clone(),
            pipeline: Arc::new(pipeline),
            member: Member::default(),
            kafka: self.config.clone(),
            stock: None,
            admin,
            mart: Some(Arc::new(open)),
            previews: true,
            cutting: Cutting { age: TICK * 2, rows: 1_000, bytes: 1_000_000 },
            live_tick: TICK,
            kpi_max: 16,
            state_cap: 100_000_000,
            keep_entries: Some(1),
            until: None,
            board: Board::default(),
            gauges: Gauges::default(),
            clock: Clock::system(),
        };
        Runner {
            plan,
            lake: Lake::of_memory(&connections.memory),
            times: OwnerTimes { renew: 50_000, expiry: 10_000_000, min_tenure: 0 },
            once: false,
            close_all: false,
            take_over: true,
            accept: Accept::default(),
            topic_id: Some("one".to_owned()),
            stop_bound: Duration::from_secs(30),
            patience: Duration::from_secs(5),
        }
    }

    pub fn pipeline(&self) -> Pipeline {
        Pipeline::parse(&FEED.replace("TOPIC", &self.topic), "things.toml").unwrap_or_else(|_| panic!("the feed"))
    }

    pub fn mart_file(&self) -> PathBuf {
        self.folder.path().join("mart.db")
    }

    /// Sends one more instalment; false if all are sent.
    fn send_next(&self) -> bool {
        let mut sent = self.sent.lock().unwrap();
        if *sent == self.instalments() {
            return false;
        }
        for (partition, &count) in (0..).zip(&RECORDS) {
            for offset in *sent * count..(*sent + 1) * count {
                let (time, payload) = record(partition, offset);
                self.producer.send(&self.topic, Some(partition), None, Some(payload.as_bytes()), Some(time)).unwrap();
            }
        }
        self.producer.flush(PATIENCE).unwrap();
        *sent += 1;
        true
    }

    /// Entries of the log.
    fn entries(&self) -> usize {
        self.entry_paths().len()
    }

    fn entry_paths(&self) -> Vec<String> {
        self.memory.paths().into_iter().filter(|path| path.split('/').nth(3) == Some("log")).collect()
    }

    /// Whether the newest entry of a log covers all that was sent.
    fn all_committed(&self) -> bool {
        let of_log = |path: &str| path.split('/').nth(2).map(str::to_owned);
        let newest: BTreeMap<_, _> = self.entry_paths().into_iter().map(|path| (of_log(&path), path)).collect();
        let sent = *self.sent.lock().unwrap();
        newest.values().any(|path| {
            let entry = serde_json::from_slice::<serde_json::Value>(&self.memory.bytes(path)).unwrap();
            let to = |partition: usize| entry["partitions"][partition.to_string()]["to"].as_i64().unwrap_or(0);
            RECORDS.iter().enumerate().all(|(partition, count)| to(partition) >= sent * count)
        })
    }

    fn deliver_late(&self) {
        in_a_system(self.deliver_late_here());
    }

    async fn deliver_late_here(&self) {
        let late = self.late.lock().unwrap().take();
        if let Some((memory, faults)) = late {
            memory.deliver_late();
            faults.deliver_late().await;
        }
    }
}

/// Copies the files of a folder into another; an error where one came or went meanwhile.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    let names =
        || -> std::io::Result<BTreeSet<_>> { std::fs::read_dir(from)?.map(|file| Ok(file?.file_name())).collect() };
    for file in std::fs::read_dir(to)? {
        std::fs::remove_file(file?.path())?;
    }
    let found = names()?;
    for name in &found {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    if names()? == found { Ok(()) } else { Err(std::io::ErrorKind::Interrupted.into()) }
}

/// Whether the record comes so late that its own partition has left its window, whatever the floors.
pub fn is_late(partition: i32, offset: i64) -> bool {
    partition == 0 && offset % 8 == 5
}

/// The record at an offset: its time in milliseconds, and its payload. Every sixth of partition 1 is no JSON. An
/// instalment's times are behind those of the one before in all partitions: one that looks idle meanwhile is not late.
pub fn record(partition: i32, offset: i64) -> (i64, String) {
    let count = RECORDS[usize::try_from(partition).unwrap()];
    let within = offset % count * (INSTALMENT_MS / count);
    let behind = if is_late(partition, offset) { 180_000 } else { 0 };
    let time = BEGIN_MS + offset / count * INSTALMENT_MS + within + i64::from(partition) - behind;
    if partition == 1 && offset % 6 == 5 {
        return (time, "{broken".to_owned());
    }
    let colour = if offset % 2 == 0 { "red" } else { "blue" };
    (time, format!(r#"{{"id":{offset},"colour":"{colour}"}}"#))
}

pub fn in_a_system<T>(work: impl Future<Output = T>) -> T {
    actix::System::new().block_on(work)
}
