#![allow(clippy::unwrap_used, clippy::panic)]

use lakeward_connect::kafka::{KafkaConfig, MockKafka};
use lakeward_core::ids::EventTime;
use lakeward_core::pipeline::EventTimeSource;

use super::*;
use crate::kit::board::PartitionState;
use crate::testing::{Bell, Heard, MINUTE, beside_a_database, clock, listener, settle, until};

const PATIENCE: Duration = Duration::from_secs(10);

fn time() -> Time {
    Time {
        event_time: EventTimeSource::Kafka,
        out_of_orderness: 0,
        max_future_skew: MINUTE,
        idle_after: 400_000,
        max_drift: 60 * MINUTE,
    }
}

struct Bench {
    board: Board,
    heard: Heard<CommitMsg>,
    _bell: Bell,
    _mock: MockKafka,
}

/// A watch over a topic `t` on a mock cluster, not started.
fn watch(partitions: i32, known: &[i32]) -> (TopicWatch, Bench) {
    let mock = MockKafka::start(&[("t", partitions)]).unwrap();
    let options = [("bootstrap.servers".to_owned(), mock.brokers().to_owned())];
    let config = KafkaConfig::new("tested", options.into()).unwrap();
    let admin = Arc::new(Admin::new(&config, PATIENCE).unwrap());
    let (board, bell) = (Board::default(), Bell::new());
    for &partition in known {
        at(&board, partition, 0, EventTime::MIN);
    }
    let (commit, heard) = listener();
    let commit = commit.edge(64);
    let watch = TopicWatch::new(admin, "t".to_owned(), time(), 3, commit, board.clone(), clock(), bell.sentinel());
    (watch, Bench { board, heard, _bell: bell, _mock: mock })
}

fn at(board: &Board, partition: i32, position: i64, watermark: EventTime) {
    let newest = watermark;
    let moved_at = u64::try_from(crate::testing::WALL / 1_000).unwrap();
    let state = PartitionState {
        position,
        watermark,
        handed: position,
        end: -1,
        newest,
        moved_at,
        drifting: false,
        idle: false,
    };
    board.partitions().insert(partition, state);
}

fn ends<const N: usize>(ends: [(i32, Option<i64>); N]) -> Answer {
    Answer { ends: ends.into(), partitions: None }
}

impl Bench {
    /// What the CommitActor was told last: idle partitions with their positions, and new ones.
    async fn told(&self) -> (BTreeMap<i32, i64>, BTreeMap<i32, NewPartition>) {
        settle().await;
        match self.heard.take().pop() {
            Some(CommitMsg::Topic { idle, new }) => (idle, new),
            other => panic!("{other:?}"),
        }
    }

    async fn idle(&self) -> Vec<(i32, i64)> {
        self.told().await.0.into_iter().collect()
    }
}

#[test]
fn a_partition_is_idle_after_four_equal_answers_and_one_that_failed_starts_anew() {
    beside_a_database(async {
        let (mut watch, bench) = watch(2, &[0, 1]);
        at(&bench.board, 0, 7, EventTime::MIN);
        at(&bench.board, 1, 7, EventTime::MIN);
        for answers in 1..=4 {
            watch.hear(&ends([(0, Some(7)), (1, Some(9))]));
            let expected = if answers < 4 { vec![] } else { vec![(0, 7)] };
            assert_eq!(bench.idle().await, expected, "after {answers} answers; partition 1 has lag");
        }
        watch.hear(&ends([(0, None), (1, Some(9))]));
        assert_eq!(bench.idle().await, []);
        for _ in 0..3 {
            watch.hear(&ends([(0, Some(7)), (1, Some(9))]));
            assert_eq!(bench.idle().await, []);
        }
        watch.hear(&ends([(0, Some(7)), (1, Some(9))]));
        assert_eq!(bench.idle().await, [(0, 7)]);
        assert_eq!(bench.board.partitions().get(&1).unwrap().end, 9, "what lag is counted to");
    });
}

#[test]
fn a_record_in_between_ends_idleness() {
    beside_a_database(async {
        let (mut watch, bench) = watch(1, &[0]);
        for _ in 0..4 {
            watch.hear(&ends([(0, Some(0))]));
        }
        assert_eq!(bench.idle().await, [(0, 0)]);
        at(&bench.board, 0, 1, EventTime(5));
        watch.hear(&ends([(0, Some(1))]));
        assert_eq!(bench.idle().await, [], "all equal again, but not for four answers");
    });
}

#[test]
fn a_partition_far_ahead_of_a_lagging_one_must_wait_until_that_has_caught_up() {
    beside_a_database(async {
        let (mut watch, bench) = watch(2, &[0, 1]);
        at(&bench.board, 0, 100, EventTime(200 * MINUTE));
        at(&bench.board, 1, 10, EventTime(100 * MINUTE));
        let drifting = |partition| bench.board.partitions().get(&partition).unwrap().drifting;
        watch.hear(&ends([(0, Some(200)), (1, Some(200))]));
        assert_eq!((drifting(0), drifting(1)), (true, false));
        at(&bench.board, 1, 10, EventTime(141 * MINUTE));
        watch.hear(&ends([(0, Some(200)), (1, Some(200))]));
        assert_eq!((drifting(0), drifting(1)), (false, false));
    });
}

#[test]
fn partitions_that_are_not_in_the_set_are_told_with_the_incarnation_that_is_read() {
    beside_a_database(async {
        let (mut watch, bench) = watch(3, &[0, 1]);
        watch.hear(&Answer { ends: BTreeMap::new(), partitions: Some((Some("id".to_owned()), vec![0, 1, 2])) });
        let new = NewPartition { incarnation: 3, topic_id: Some("id".to_owned()), start: 0 };
        assert_eq!(bench.told().await.1, BTreeMap::from([(2, new)]));
        watch.hear(&ends([]));
        assert_eq!(bench.told().await.1, BTreeMap::new(), "no answer, no news");
    });
}

#[test]
fn kafka_is_asked_at_the_start_and_again_and_again() {
    beside_a_database(async {
        let (watch, bench) = watch(2, &[0]);
        watch.start();
        let mut told = Vec::new();
        until("a new and an idle partition were told", || {
            told.extend(bench.heard.take());
            let any = |found: &dyn Fn(&CommitMsg) -> bool| told.iter().any(found);
            any(&|message| matches!(message, CommitMsg::Topic { new, .. } if new.contains_key(&1)))
                && any(&|message| matches!(message, CommitMsg::Topic { idle, .. } if idle.get(&0) == Some(&0)))
        })
        .await;
        assert_eq!(bench.board.partitions().get(&0).unwrap().end, 0);
    });
}
