#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;

use lakeward_core::kpi::state::decode;
use lakeward_core::kpi::{Closed as ClosedEpoch, Value};
use lakeward_core::log::StagedState;

use super::*;
use crate::kit::board::PartitionState;
use crate::testing::{
    Bell, Ground, Heard, MINUTE, ground, inbox, listener, on_a_paused_clock, pipeline, settle, until,
};

const FIRST: Epoch = Epoch(0);
const SECOND: Epoch = Epoch(1);

/// KpiActors that were spawned: windows they began with, and what they were told.
type Spawned = Arc<Mutex<Vec<(usize, Heard<KpiMsg>)>>>;

struct Bench {
    ground: Ground,
    spawned: Spawned,
    commit: Heard<CommitMsg>,
    gold: Heard<LayerMsg>,
    board: Board,
    edge: Outbox<RegistryMsg>,
}

async fn bench(limit: usize, restored: Vec<Increment>) -> Bench {
    let (ground, board) = (ground(&[0, 1]).await, Board::default());
    let spawned: Spawned = Arc::default();
    let nursery = Arc::clone(&spawned);
    let spawn: SpawnKpi = Arc::new(move |_, _, restored: Vec<Increment>| {
        let (actor, heard) = listener();
        nursery.lock().unwrap().push((restored.len(), heard));
        Some(actor.edge(2))
    });
    let ((commit, heard), (gold, gold_heard)) = (listener(), listener());
    let seed = RegistrySeed {
        pipeline: pipeline(),
        spawn,
        limit,
        finals: vec![Some(gold.edge(2))],
        state: StateWriter::new(ground.lake.clone(), ground.attempts()),
        reviser: reviser(&ground),
        restored: vec![restored],
    };
    let registry = KpiRegistry::new(seed, commit.edge(8), board.clone(), Bell::new().sentinel());
    let edge = inbox(registry.start()).edge(8);
    Bench { ground, spawned, commit: heard, gold: gold_heard, board, edge }
}

fn reviser(ground: &Ground) -> Reviser {
    Reviser::new(pipeline(), ground.log.clone(), ground.attempts(), BTreeMap::new())
}

/// One thing of the key in the minute.
fn thing(minute: i64, key: &str) -> Increment {
    let mut step = crate::testing::step(0);
    let _ = step.step(&crate::testing::coloured(0, 0, &[minute], key), 0).unwrap();
    step.take_increments().remove(0).remove(0)
}

fn row(increment: &Increment) -> WindowRow {
    WindowRow { window: increment.window, key: increment.key.clone(), values: vec![Some(Value::Int(1))], revision: 0 }
}

impl Bench {
    async fn tell(&self, message: RegistryMsg) {
        self.edge.send(message).await.unwrap();
        settle().await;
    }

    async fn things(&self, epoch: Epoch, keys: &[&str]) {
        let items = vec![keys.iter().map(|key| thing(1, key)).collect()];
        self.tell(RegistryMsg::Increments { epoch, partition: 0, to: 7, items }).await;
    }

    async fn barrier(&self, epoch: Epoch, partition: i32) {
        self.tell(RegistryMsg::Barrier { epoch, partition, expected: 2, dedup: Vec::new() }).await;
    }

    async fn close(&self, epoch: Epoch) {
        let fold = Arc::new(self.ground.fold.clone());
        self.tell(RegistryMsg::Close { epoch, g: EventTime(2 * MINUTE), fold }).await;
    }

    fn actors(&self) -> usize {
        self.spawned.lock().unwrap().len()
    }

    /// How many increments the actor was sent; anything else is put aside by `asked`.
    fn applied(&self, actor: usize) -> Vec<usize> {
        let told = self.spawned.lock().unwrap()[actor].1.take();
        told.into_iter().map(|m| if let KpiMsg::Apply { increments, .. } = m { increments.len() } else { 0 }).collect()
    }

    /// Answers the actor's question for the epoch, with all that it was given before.
    async fn answer(&self, actor: usize, epoch: Epoch, closes: bool) {
        let mut given = Vec::new();
        for message in self.spawned.lock().unwrap()[actor].1.take() {
            match message {
                KpiMsg::Apply { increments, .. } => given.extend(increments),
                KpiMsg::Retire => panic!("retired before it answered"),
                KpiMsg::Close { epoch: asked, reply, .. } => {
                    assert_eq!(asked, epoch);
                    let finals: Vec<_> = if closes { given.iter().map(row).collect() } else { Vec::new() };
                    let gone = finals.iter().map(|row| row.key.clone()).collect();
                    let increments = std::mem::take(&mut given);
                    let closed = ClosedEpoch { increments, finals, gone, ..ClosedEpoch::default() };
                    reply.send(Handed { closed, empty: closes, open: 0, bytes: 9 }).unwrap();
                }
            }
        }
        settle().await;
    }

    fn retired(&self, actor: usize) -> bool {
        self.spawned.lock().unwrap()[actor].1.take().iter().any(|m| matches!(m, KpiMsg::Retire))
    }

    fn closed(&self) -> (Epoch, BTreeMap<String, ClosedWindows>, Option<StagedState>) {
        match self.commit.take().pop() {
            Some(CommitMsg::KpisClosed { epoch, closed, state, .. }) => (epoch, closed, state),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_key_gets_an_actor_at_first_sight_and_each_actor_one_message() {
    on_a_paused_clock(async {
        let bench = bench(10, Vec::new()).await;
        bench.board.partitions().insert(
            0,
            PartitionState {
                position: 7,
                watermark: EventTime::MIN,
                handed: 0,
                end: -1,
                newest: EventTime::MIN,
                moved_at: 0,
                drifting: false,
                idle: false,
            },
        );
        bench.things(FIRST, &["red", "blue", "red"]).await;
        bench.things(FIRST, &["red"]).await;
        assert_eq!((bench.actors(), bench.board.kpi_actors()), (2, 2));
        assert_eq!((bench.applied(0), bench.applied(1)), (vec![2, 1], vec![1]));
        assert_eq!(bench.board.partitions().get(&0).unwrap().handed, 7);
    });
}

#[test]
fn more_keys_than_the_limit_share_actors() {
    on_a_paused_clock(async {
        let bench = bench(2, Vec::new()).await;
        bench.things(FIRST, &["a", "b", "c", "d", "e"]).await;
        assert_eq!(bench.actors(), 2);
        assert_eq!(bench.applied(0).iter().chain(&bench.applied(1)).sum::<usize>(), 5);
    });
}

#[test]
fn restored_windows_go_to_one_actor_per_key_up_to_the_limit() {
    on_a_paused_clock(async {
        let restored = ["a", "a", "b", "c"].map(|key| thing(1, key)).into();
        let bench = bench(2, restored).await;
        let began: Vec<usize> = bench.spawned.lock().unwrap().iter().map(|(n, _)| *n).collect();
        assert_eq!(began.iter().sum::<usize>(), 4);
        bench.things(FIRST, &["a", "b", "c"]).await;
        assert_eq!(bench.actors(), 2, "every key has an actor already");
    });
}

#[test]
fn an_epoch_is_closed_at_the_last_barrier_and_once_g_is_known() {
    on_a_paused_clock(async {
        let bench = bench(10, Vec::new()).await;
        bench.things(FIRST, &["red"]).await;
        bench.barrier(FIRST, 0).await;
        bench.close(FIRST).await;
        assert_eq!(bench.applied(0), [1], "partition 1 has not passed the barrier");
        bench.things(SECOND, &["red"]).await;
        bench.barrier(FIRST, 1).await;
        bench.answer(0, FIRST, false).await;
        until("the epoch is reported", || bench.commit.len() == 1).await;
        let (epoch, closed, state) = bench.closed();
        assert_eq!((epoch, closed.len()), (FIRST, 0));
        let state = state.unwrap();
        let bytes = bench.ground.lake.read(&state.path).await.unwrap().unwrap();
        assert_eq!((decode(&bytes).unwrap().kpis[0].1.len(), state.items), (1, 1));
        assert!(matches!(&bench.gold.take()[..], [LayerMsg::Barrier { epoch: FIRST, expected: 1 }]));

        bench.barrier(SECOND, 0).await;
        bench.barrier(SECOND, 1).await;
        assert_eq!(bench.applied(0), [] as [usize; 0], "G of the second epoch is not known");
    });
}

#[test]
fn windows_that_close_become_final_rows_before_the_barrier_and_empty_actors_are_retired() {
    on_a_paused_clock(async {
        let bench = bench(10, Vec::new()).await;
        bench.things(FIRST, &["red", "blue"]).await;
        bench.barrier(FIRST, 0).await;
        bench.barrier(FIRST, 1).await;
        bench.close(FIRST).await;
        bench.answer(0, FIRST, true).await;
        assert_eq!((bench.gold.len(), bench.board.kpi_actors()), (0, 2), "the other actor has not answered");
        bench.answer(1, FIRST, false).await;
        until("the epoch is reported", || bench.commit.len() == 1).await;
        assert_eq!(bench.closed().1["per_minute"].rows, 1);
        match &bench.gold.take()[..] {
            [LayerMsg::Rows { rows, .. }, LayerMsg::Barrier { .. }] => assert_eq!(rows.num_rows(), 1),
            other => panic!("{other:?}"),
        }
        assert_eq!((bench.retired(0), bench.retired(1), bench.board.kpi_actors()), (true, false, 1));
        bench.things(SECOND, &["red", "blue"]).await;
        assert_eq!(bench.actors(), 3, "the key gets a new actor when it comes back");
        assert_eq!((bench.applied(1), bench.applied(2)), (vec![1], vec![1]));
    });
}

#[test]
fn a_key_whose_windows_are_all_closed_is_forgotten_though_its_actor_lives() {
    on_a_paused_clock(async {
        let mut routes = Routes::default();
        routes.by_key.extend([(Box::from(*b"a"), 0), (Box::from(*b"b"), 0)]);
        let (actor, _heard) = listener();
        routes.actors.insert(0, actor.edge(2));
        let ground = ground(&[0]).await;
        let seed = RegistrySeed {
            pipeline: pipeline(),
            spawn: Arc::new(|_, _, _| None),
            limit: 1,
            finals: Vec::new(),
            state: StateWriter::new(ground.lake.clone(), ground.attempts()),
            reviser: reviser(&ground),
            restored: Vec::new(),
        };
        let (commit, _heard) = listener();
        let mut registry = KpiRegistry::new(seed, commit.edge(1), Board::default(), Bell::new().sentinel());
        registry.routes = vec![routes];
        let closed = ClosedEpoch { gone: vec![Box::from(*b"a")], ..ClosedEpoch::default() };
        let handed = Handed { closed, empty: false, open: 1, bytes: 0 };
        registry.retire(&[Answer { kpi: 0, index: 0, handed }]);
        let left: Vec<_> = registry.routes[0].by_key.keys().collect();
        assert_eq!((left, registry.routes[0].actors.len()), (vec![&Box::from(*b"b")], 1));
        registry.sentinel.rest();
    });
}
