#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;
use std::time::Duration;

use lakeward_connect::lake::{Cue, Operation};
use lakeward_core::ledger::Counters;

use super::*;
use crate::kit::board::PartitionState;
use crate::testing::{
    Bell, Ground, Heard, MINUTE, clock, ground, inbox, listener, on_a_paused_clock, pass, pipeline, settle,
};
use crate::topic_identity::AskId;

const AGE: Duration = Duration::from_secs(30);
const CUTTING: Cutting = Cutting { age: AGE, rows: 1_000, bytes: 1_000_000 };
/// Longer than the pause between two looks.
const LOOK: Duration = Duration::from_millis(150);

type Started = Arc<Mutex<Vec<(i32, EventTime, Epoch, Heard<PartitionMsg>)>>>;

struct Bench {
    ground: Ground,
    board: Board,
    bell: Bell,
    head: watch::Receiver<Head>,
    edge: Outbox<CommitMsg>,
    partitions: BTreeMap<i32, Heard<PartitionMsg>>,
    registry: Heard<RegistryMsg>,
    started: Started,
}

struct Nursery(Started);

impl PartitionStarter for Nursery {
    fn start(&mut self, partition: i32, _: &NewPartition, watermark: EventTime, epoch: Epoch) -> Outbox<PartitionMsg> {
        let (inbox, heard) = listener();
        self.0.lock().unwrap().push((partition, watermark, epoch, heard));
        inbox.edge(2)
    }
}

async fn bench(partitions: &[i32]) -> Bench {
    bench_of_topic(partitions, Arc::new(Mutex::new("one"))).await
}

/// Kafka says that the topic has the given id, `one` is the log's.
async fn bench_of_topic(partitions: &[i32], id: Arc<Mutex<&'static str>>) -> Bench {
    let (bench, wire) = unwired(partitions, id).await;
    bench.wired(partitions, wire).await
}

/// An actor that has not been told yet whom it works with, and that message.
async fn unwired(partitions: &[i32], id: Arc<Mutex<&'static str>>) -> (Bench, CommitMsg) {
    let asking: AskId = Arc::new(move || {
        let now = id.lock().unwrap().to_owned();
        Box::pin(async move { Ok(Some(now)) })
    });
    let (ground, board, bell) = (ground(partitions).await, Board::default(), Bell::new());
    let fold = Arc::new(ground.fold.clone());
    let (sender, head) = watch::channel(Head { fold: Arc::clone(&fold), epochs: Arc::default() });
    let seed = CommitSeed {
        pipeline: pipeline(),
        definition: "definition".to_owned(),
        member: Member::default(),
        log: ground.log.clone(),
        fold,
        topic: TopicIdentity::new("topic".to_owned(), Some("one".to_owned()), asking),
        attempts: ground.attempts(),
        state: StateWriter::new(ground.lake.clone(), ground.attempts()),
        cutting: CUTTING,
        state_cap: 1_000,
        layers: BTreeMap::from([("silver".to_owned(), "rows".to_owned())]),
        head: sender,
    };
    let actor = CommitActor::new(seed, board.clone(), clock(), bell.sentinel());
    let edge = inbox(actor.start()).edge(8);
    let (registry, heard) = listener();
    let (mut edges, mut heards) = (BTreeMap::new(), BTreeMap::new());
    for &partition in partitions {
        let (inbox, heard) = listener();
        edges.insert(partition, inbox.edge(2));
        heards.insert(partition, heard);
    }
    let started = Started::default();
    let starter = Starter(Box::new(Nursery(Arc::clone(&started))));
    let wire = CommitMsg::Wire { partitions: edges, registry: registry.edge(2), starter };
    (Bench { ground, board, bell, head, edge, partitions: heards, registry: heard, started }, wire)
}

impl Bench {
    async fn wired(self, partitions: &[i32], wire: CommitMsg) -> Self {
        self.edge.send(wire).await.unwrap();
        for &partition in partitions {
            self.at(partition, 0, EventTime::MIN);
        }
        self
    }

    /// The partition has come so far.
    fn at(&self, partition: i32, position: i64, watermark: EventTime) {
        let state = PartitionState {
            position,
            watermark,
            handed: position,
            end: -1,
            newest: EventTime::MIN,
            moved_at: 0,
            drifting: false,
            idle: false,
        };
        self.board.partitions().insert(partition, state);
    }

    async fn tell(&self, message: CommitMsg) {
        let _ = self.edge.send(message).await;
        settle().await;
    }

    /// The cuts that the partition heard.
    fn cuts(&self, partition: i32) -> Vec<Cut> {
        let cut = |message| match message {
            PartitionMsg::Cut(cut) => cut,
            PartitionMsg::Source(_) => panic!("not from the source"),
        };
        self.partitions[&partition].take().into_iter().map(cut).collect()
    }

    fn epochs_cut(&self, partition: i32) -> Vec<u64> {
        self.cuts(partition).iter().map(|cut| cut.epoch.0).collect()
    }

    async fn barrier(&self, epoch: u64, partition: i32, to: i64, minute: i64) {
        let counters = Counters { records: 1, kept: 1, ..Counters::default() };
        let watermark = Some(EventTime(minute * MINUTE));
        let facts = BarrierFacts { to, watermark, counters, ..BarrierFacts::default() };
        self.tell(CommitMsg::Barrier { epoch: Epoch(epoch), partition, facts }).await;
    }

    /// The layer and the KPIs are done with the epoch.
    async fn closed(&self, epoch: u64) {
        self.layer_closed(epoch).await;
        self.kpis_closed(epoch).await;
    }

    async fn layer_closed(&self, epoch: u64) {
        self.tell(CommitMsg::LayerClosed { epoch: Epoch(epoch), layer: "silver".to_owned(), files: Vec::new() }).await;
    }

    async fn kpis_closed(&self, epoch: u64) {
        let (epoch, closed, revised) = (Epoch(epoch), BTreeMap::new(), Vec::new());
        self.tell(CommitMsg::KpisClosed { epoch, closed, revised, state: None }).await;
    }

    /// A whole epoch of one record of partition 0.
    async fn epoch(&self, epoch: u64) {
        let to = i64::try_from(epoch).unwrap() + 1;
        self.at(0, to, EventTime(to * MINUTE));
        pass(AGE + LOOK).await;
        self.barrier(epoch, 0, to, to).await;
        self.closed(epoch).await;
    }

    fn head(&self) -> u64 {
        self.head.borrow().fold.version.0
    }

    async fn entry(&self, version: u64) -> Entry {
        self.ground.log.entry(Version(version)).await.unwrap().unwrap().0
    }

    /// The epochs and minutes that the registry was told to close.
    fn closes(&self) -> Vec<(u64, i64)> {
        let close = |message| match message {
            RegistryMsg::Close { epoch, g, .. } => (epoch.0, g.0 / MINUTE),
            other => panic!("{other:?}"),
        };
        self.registry.take().into_iter().map(close).collect()
    }
}

#[test]
fn an_epoch_is_cut_by_age_if_anything_moved() {
    on_a_paused_clock(async {
        let bench = bench(&[0, 1]).await;
        pass(AGE * 3).await;
        assert_eq!(bench.epochs_cut(0), [] as [u64; 0]);
        bench.at(0, 1, EventTime(0));
        pass(LOOK).await;
        let cut = bench.cuts(0).pop().unwrap();
        assert_eq!((cut.epoch, cut.expected, cut.last), (Epoch(0), 2, false));
        assert_eq!(bench.epochs_cut(1), [0]);
    });
}

#[test]
fn nothing_is_cut_before_the_partitions_are_known() {
    on_a_paused_clock(async {
        let (bench, wire) = unwired(&[0], Arc::new(Mutex::new("one"))).await;
        bench.at(0, 1, EventTime(MINUTE));
        pass(AGE * 2).await;
        bench.tell(wire).await;
        pass(LOOK).await;
        assert_eq!(bench.epochs_cut(0), [0]);
        bench.barrier(0, 0, 1, 1).await;
        bench.closed(0).await;
        assert_eq!(bench.head(), 1, "it is not waited for an epoch that nobody takes part in");
    });
}

#[test]
fn an_epoch_is_cut_by_rows_and_by_bytes() {
    on_a_paused_clock(async {
        let bench = bench(&[0, 1]).await;
        bench.at(0, 600, EventTime(0));
        bench.at(1, 399, EventTime(0));
        pass(LOOK).await;
        assert_eq!(bench.epochs_cut(0), [] as [u64; 0]);
        bench.at(1, 400, EventTime(0));
        pass(LOOK).await;
        assert_eq!(bench.epochs_cut(0), [0]);
        for (partition, to) in [(0, 600), (1, 400)] {
            bench.barrier(0, partition, to, 1).await;
        }
        bench.board.add_epoch_bytes(CUTTING.bytes - 1);
        pass(LOOK).await;
        assert_eq!(bench.epochs_cut(0), [] as [u64; 0]);
        bench.board.add_epoch_bytes(1);
        pass(LOOK).await;
        assert_eq!(bench.epochs_cut(0), [1]);
        assert_eq!(bench.board.epoch_bytes(), 0, "the next epoch counts from zero");
    });
}

#[test]
fn an_entry_is_created_when_every_part_of_the_epoch_is_there() {
    on_a_paused_clock(async {
        let bench = bench(&[0, 1]).await;
        bench.at(0, 5, EventTime(0));
        pass(AGE + LOOK).await;
        bench.barrier(0, 0, 5, 7).await;
        bench.layer_closed(0).await;
        assert_eq!(bench.closes(), [], "partition 1 has not passed the barrier");
        bench.barrier(0, 1, 0, 4).await;
        assert_eq!(bench.closes(), [(0, 4)], "G is the minimum over the set");
        assert_eq!(bench.head(), 0, "the windows are not closed");
        bench.kpis_closed(0).await;
        assert_eq!((bench.head(), bench.board.head()), (1, Version(1)));
        let entry = bench.entry(1).await;
        assert_eq!((entry.partitions[&0].from, entry.partitions[&0].to, entry.g), (0, 5, EventTime(4 * MINUTE)));
        assert_eq!(bench.head.borrow().epochs.get(&Epoch(0)), Some(&Version(1)));
    });
}

#[test]
fn at_most_two_epochs_are_in_flight_and_then_the_sources_wait() {
    on_a_paused_clock(async {
        let bench = bench(&[0]).await;
        bench.at(0, 1, EventTime(0));
        pass(AGE + LOOK).await;
        bench.at(0, 2, EventTime(0));
        pass(AGE * 2).await;
        assert_eq!(bench.epochs_cut(0), [0], "the partition has not passed the first barrier");
        bench.barrier(0, 0, 1, 1).await;
        pass(LOOK).await;
        assert_eq!((bench.epochs_cut(0), bench.board.hold()), (vec![1], false));
        bench.barrier(1, 0, 2, 2).await;
        bench.at(0, 3, EventTime(0));
        pass(AGE * 2).await;
        assert_eq!((bench.epochs_cut(0), bench.board.hold()), (vec![], true));
        bench.closed(0).await;
        pass(LOOK).await;
        assert_eq!((bench.head(), bench.epochs_cut(0), bench.board.hold()), (1, vec![2], false));
    });
}

#[test]
fn the_second_epoch_is_rendered_after_the_first_is_committed_whatever_comes_first() {
    on_a_paused_clock(async {
        let bench = bench(&[0]).await;
        bench.at(0, 1, EventTime(0));
        pass(AGE + LOOK).await;
        bench.barrier(0, 0, 1, 1).await;
        bench.at(0, 2, EventTime(0));
        pass(AGE + LOOK).await;
        bench.barrier(1, 0, 2, 2).await;
        bench.layer_closed(1).await;
        assert_eq!((bench.head(), bench.closes()), (0, vec![(0, 1)]), "the second epoch's G waits for the first entry");
        bench.closed(0).await;
        assert_eq!((bench.head(), bench.closes()), (1, vec![(1, 2)]));
        bench.kpis_closed(1).await;
        assert_eq!(bench.head(), 2);
        let (first, second) = (bench.entry(1).await, bench.entry(2).await);
        assert_eq!((first.partitions[&0].to, second.partitions[&0].from), (1, 1));
        let loaded = bench.ground.log.load().await.unwrap().unwrap();
        assert_eq!(loaded, *bench.head.borrow().fold, "the fold that is shared is the log's");
    });
}

#[test]
fn a_create_that_is_lost_to_another_claim_steps_down() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        bench.ground.taken_over().await;
        bench.epoch(0).await;
        assert_eq!(bench.bell.cause(), Some(Cause::Fenced(Version(1))));
        assert_eq!(bench.head(), 0, "no follower hears of an entry that is not ours");
    });
}

#[test]
fn an_epoch_of_a_topic_that_was_made_anew_is_not_committed() {
    on_a_paused_clock(async {
        let id = Arc::new(Mutex::new("one"));
        let mut bench = bench_of_topic(&[0], Arc::clone(&id)).await;
        bench.epoch(0).await;
        assert_eq!((bench.head(), bench.bell.cause()), (1, None));
        *id.lock().unwrap() = "two";
        bench.epoch(1).await;
        assert_eq!(bench.head(), 1, "nobody knows whose records these are");
        assert!(matches!(bench.bell.cause(), Some(Cause::Failed(why)) if why.contains("made anew")));
    });
}

#[test]
fn an_answer_that_is_lost_is_resolved_by_reading_the_entry_back() {
    for cue in [Cue::LostAnswer, Cue::LostRequest] {
        on_a_paused_clock(async move {
            let mut bench = bench(&[0]).await;
            bench.ground.memory.fail_next(Operation::Create, "/log/", cue);
            bench.epoch(0).await;
            pass(Duration::from_secs(1)).await;
            assert_eq!((bench.head(), bench.bell.cause()), (1, None), "{cue:?}");
        });
    }
}

#[test]
fn a_create_that_arrives_late_is_found_and_not_made_twice() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        bench.ground.memory.fail_next(Operation::Create, "/log/", Cue::Late);
        bench.epoch(0).await;
        assert_eq!(bench.head(), 0);
        assert_eq!(bench.ground.memory.deliver_late(), 1);
        pass(Duration::from_secs(1)).await;
        assert_eq!((bench.head(), bench.bell.cause()), (1, None));
        bench.epoch(1).await;
        assert_eq!(bench.entry(2).await.partitions[&0].from, 1);
    });
}

#[test]
fn above_the_state_cap_the_pipeline_stops() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        bench.board.state_bytes().insert("windows".to_owned(), 600);
        bench.board.state_bytes().insert("partition-0".to_owned(), 400);
        pass(LOOK).await;
        assert_eq!(bench.bell.cause(), None);
        bench.board.state_bytes().insert("partition-0".to_owned(), 401);
        pass(LOOK).await;
        assert!(matches!(bench.bell.cause(), Some(Cause::Stop { code: "STATE_FULL", .. })));
    });
}

#[test]
fn finishing_cuts_one_last_epoch_and_ends_when_it_is_committed() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        bench.at(0, 1, EventTime(0));
        bench.tell(CommitMsg::Finish { close_all: false }).await;
        let cut = bench.cuts(0).pop().unwrap();
        assert_eq!((cut.epoch, cut.last, bench.board.hold()), (Epoch(0), true, true));
        bench.barrier(0, 0, 1, 1).await;
        bench.closed(0).await;
        assert_eq!((bench.head(), bench.bell.cause()), (1, Some(Cause::Finished)));
    });
}

#[test]
fn closing_all_raises_every_watermark_to_the_furthest_ones() {
    on_a_paused_clock(async {
        let bench = bench(&[0, 1]).await;
        bench.at(0, 7, EventTime(5));
        bench.at(1, 3, EventTime(2));
        bench.tell(CommitMsg::Finish { close_all: true }).await;
        assert_eq!(bench.cuts(0).pop().unwrap().floor, None);
        assert_eq!(bench.cuts(1).pop().unwrap().floor, Some((EventTime(5), 3)));
    });
}

#[test]
fn an_idle_partition_gets_the_others_minimum_as_its_floor_if_it_has_not_moved() {
    on_a_paused_clock(async {
        let bench = bench(&[0, 1, 2]).await;
        bench.at(0, 7, EventTime(5));
        bench.at(1, 3, EventTime(2));
        bench.at(2, 4, EventTime(1));
        bench.tell(CommitMsg::Topic { idle: BTreeMap::from([(1, 3), (2, 3)]), new: BTreeMap::new() }).await;
        pass(AGE + LOOK).await;
        let floor = |partition| bench.cuts(partition).pop().unwrap().floor;
        assert_eq!((floor(0), floor(1), floor(2)), (None, None, None), "partition 2 moved and holds partition 1");
        for (partition, to) in [(0, 7), (1, 3), (2, 4)] {
            bench.barrier(0, partition, to, 0).await;
        }
        bench.at(0, 8, EventTime(6));
        bench.tell(CommitMsg::Topic { idle: BTreeMap::from([(1, 3), (2, 4)]), new: BTreeMap::new() }).await;
        pass(AGE + LOOK).await;
        assert_eq!((floor(0), floor(1), floor(2)), (None, Some((EventTime(6), 3)), Some((EventTime(6), 4))));
    });
}

#[test]
fn a_new_partition_enters_by_an_entry_and_is_read_only_then() {
    on_a_paused_clock(async {
        let bench = bench(&[0]).await;
        let new = BTreeMap::from([(1, NewPartition { incarnation: 0, topic_id: None, start: 0 })]);
        bench.tell(CommitMsg::Topic { idle: BTreeMap::new(), new: new.clone() }).await;
        bench.at(0, 1, EventTime(0));
        pass(AGE + LOOK).await;
        bench.barrier(0, 0, 1, 3).await;
        bench.layer_closed(0).await;
        assert!(bench.started.lock().unwrap().is_empty());
        bench.kpis_closed(0).await;
        let (partition, watermark, epoch) = {
            let started = bench.started.lock().unwrap();
            (started[0].0, started[0].1, started[0].2)
        };
        assert_eq!((partition, watermark, epoch), (1, EventTime(3 * MINUTE), Epoch(1)));
        // The same answer of Kafka again, from before it was told of.
        bench.tell(CommitMsg::Topic { idle: BTreeMap::new(), new }).await;
        bench.at(0, 2, EventTime(0));
        pass(AGE + LOOK).await;
        assert_eq!(bench.cuts(0).pop().unwrap().expected, 2);
        let started = bench.started.lock().unwrap();
        assert_eq!((started.len(), started[0].3.len()), (1, 1));
    });
}

#[test]
fn a_gap_ends_the_generation() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        let fresh: Outbox<CommitMsg> = bench.edge.torn();
        fresh.send(CommitMsg::Finish { close_all: false }).await.unwrap();
        settle().await;
        assert!(bench.bell.failure().starts_with("edge 0: message 7 came where 1 was due"));
    });
}

#[test]
fn the_head_names_the_newest_epochs_only_however_long_the_generation_lives() {
    on_a_paused_clock(async {
        let bench = bench(&[0]).await;
        for epoch in 0..40 {
            bench.epoch(epoch).await;
        }
        assert_eq!(bench.head(), 40);
        let head = bench.head.borrow().clone();
        assert_eq!(head.epochs.len(), EPOCHS_NAMED);
        assert_eq!(head.epochs.last_key_value(), Some((&Epoch(39), &Version(40))));
    });
}
