#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use lakeward_connect::kafka::KafkaError;
use lakeward_core::record::RawBatch;

use super::*;
use crate::testing::{Bell, Heard, MINUTE, clock, inbox, listener, on_a_paused_clock, pass, records, settle, step};

const TICK: Duration = Duration::from_millis(200);
const FIRST: Epoch = Epoch(0);
const SECOND: Epoch = Epoch(1);

struct Bench {
    records: Heard<LayerMsg>,
    rejects: Heard<LayerMsg>,
    rows: Heard<LayerMsg>,
    row_mart: Heard<RowsMsg>,
    late: Heard<LayerMsg>,
    registry: Heard<RegistryMsg>,
    commit: Heard<CommitMsg>,
    board: Board,
    bell: Bell,
    edge: Outbox<PartitionMsg>,
}

fn bench(position: i64, until: Option<i64>) -> Bench {
    let (records, rejects, rows) = (listener(), listener(), listener());
    let (row_mart, registry, commit) = (listener(), listener(), listener());
    let late = listener();
    let edges = PartitionEdges {
        records: Some(records.0.edge(2)),
        rejects: Some(rejects.0.edge(2)),
        rows: Some(rows.0.edge(2)),
        late: BTreeMap::from([(0, late.0.edge(2))]),
        row_mart: Some(row_mart.0.edge(8)),
        registry: registry.0.edge(4),
        commit: commit.0.edge(8),
    };
    let seed =
        PartitionSeed { partition: 0, incarnation: 0, position, until, step: step(0), epoch: FIRST, live_tick: TICK };
    let (board, bell) = (Board::default(), Bell::new());
    let actor = PartitionActor::new(seed, edges, board.clone(), clock(), bell.sentinel());
    Bench {
        records: records.1,
        rejects: rejects.1,
        rows: rows.1,
        late: late.1,
        row_mart: row_mart.1,
        registry: registry.1,
        commit: commit.1,
        board,
        bell,
        edge: inbox(actor.start()).edge(8),
    }
}

impl Bench {
    async fn batch(&self, batch: RawBatch) {
        self.tell(PartitionMsg::Source(SourceEvent::Batch(batch))).await;
    }

    async fn cut(&self, epoch: Epoch, floor: Option<(EventTime, i64)>) {
        self.tell(PartitionMsg::Cut(Cut { epoch, expected: 3, last: false, floor })).await;
    }

    async fn tell(&self, message: PartitionMsg) {
        let _ = self.edge.send(message).await;
        settle().await;
    }

    fn position(&self) -> i64 {
        self.board.partitions().get(&0).unwrap().position
    }

    /// What the CommitActor was told at barriers.
    fn facts(&self) -> Vec<(Epoch, BarrierFacts)> {
        let facts = |message| match message {
            CommitMsg::Barrier { epoch, facts, .. } => (epoch, facts),
            other => panic!("{other:?}"),
        };
        self.commit.take().into_iter().map(facts).collect()
    }

    /// What the registry was told: `+n` for n increments, `|` for a barrier.
    fn registry(&self) -> String {
        let word = |message: RegistryMsg| match message {
            RegistryMsg::Increments { items, .. } => format!("+{}", items.iter().map(Vec::len).sum::<usize>()),
            RegistryMsg::Barrier { .. } => "|".to_owned(),
            RegistryMsg::Close { .. } => "?".to_owned(),
        };
        self.registry.take().into_iter().map(word).collect()
    }
}

/// What a writer was told: the offsets of each append with its epoch, `|` for a barrier.
fn appends(heard: &Heard<LayerMsg>) -> String {
    let word = |message: LayerMsg| match message {
        LayerMsg::Lines { epoch, meta, .. } | LayerMsg::Rows { epoch, meta, .. } => {
            format!("{}:{}-{} ", epoch.0, meta.range.from, meta.range.to)
        }
        LayerMsg::Barrier { epoch, expected } => format!("{}|{expected} ", epoch.0),
    };
    heard.take().into_iter().map(word).collect()
}

/// The same for the mart of rows.
fn previews(heard: &Heard<RowsMsg>) -> String {
    let word = |message: RowsMsg| match message {
        RowsMsg::Rows { range, rows, .. } => {
            format!("{}-{}({}) ", range.from, range.to, rows.map_or(0, |rows| rows.num_rows()))
        }
        RowsMsg::Barrier { epoch, expected, .. } => format!("{}|{expected} ", epoch.0),
    };
    heard.take().into_iter().map(word).collect()
}

fn with_a_bad_record(from: i64) -> RawBatch {
    let mut batch = records(0, from, &[1]);
    batch.push(from + 1, MINUTE / 1_000, None, Some(b"no json"), None);
    batch
}

#[test]
fn a_batch_fans_out_to_every_edge_and_the_barrier_lies_between_the_same_two_batches_on_each() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        bench.batch(with_a_bad_record(0)).await;
        bench.cut(FIRST, None).await;
        bench.batch(with_a_bad_record(2)).await;
        for layer in [&bench.records, &bench.rejects, &bench.rows] {
            assert_eq!(appends(layer), "0:0-2 0|3 1:2-4 ");
        }
        assert_eq!(previews(&bench.row_mart), "0-2(1) 0|3 2-4(1) ");
        assert_eq!(bench.registry(), "+1|");
        let (epoch, facts) = bench.facts().pop().unwrap();
        assert_eq!((epoch, facts.to, facts.watermark), (FIRST, 2, Some(EventTime(MINUTE))));
        assert_eq!((facts.counters.records, facts.counters.kept, facts.counters.quarantined), (2, 1, 1));
        assert_eq!(bench.board.totals().records, 4);
    });
}

#[test]
fn late_rows_go_to_the_layer_of_their_kpi_too_and_its_barrier_lies_where_the_others_do() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        bench.batch(records(0, 0, &[1, 5, 2])).await;
        bench.batch(records(0, 3, &[6])).await;
        bench.cut(FIRST, None).await;
        bench.batch(records(0, 4, &[7, 1])).await;
        assert_eq!(appends(&bench.late), "0:0-3 0|3 1:4-6 ");
        assert_eq!(appends(&bench.rows), "0:0-3 0:3-4 0|3 1:4-6 ");
        let (_, facts) = bench.facts().pop().unwrap();
        assert_eq!(facts.counters.late.get("per_minute"), Some(&1));
        assert_eq!(facts.late_minutes.of("per_minute").collect::<Vec<_>>(), [(EventTime(2 * MINUTE), 1)]);
    });
}

#[test]
fn a_batch_without_rejects_or_rows_leaves_their_edges_alone() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        bench.batch(records(0, 0, &[1])).await;
        assert_eq!((appends(&bench.records), appends(&bench.rejects)), ("0:0-1 ".to_owned(), String::new()));
    });
}

#[test]
fn what_lies_behind_until_is_left_alone() {
    on_a_paused_clock(async {
        let bench = bench(0, Some(2));
        bench.batch(records(0, 0, &[1, 1, 1, 1])).await;
        bench.batch(records(0, 4, &[1])).await;
        bench.tell(PartitionMsg::Source(SourceEvent::Position { partition: 0, next: 9 })).await;
        assert_eq!((appends(&bench.rows), bench.position()), ("0:0-2 ".to_owned(), 2));
        assert_eq!(previews(&bench.row_mart), "0-2(2) ");
    });
}

#[test]
fn behind_the_last_barrier_nothing_is_taken_up() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        bench.tell(PartitionMsg::Cut(Cut { epoch: FIRST, expected: 1, last: true, floor: None })).await;
        bench.batch(records(0, 0, &[1])).await;
        assert_eq!((appends(&bench.rows), bench.position()), ("0|1 ".to_owned(), 0));
    });
}

#[test]
fn offsets_without_records_move_the_position_and_the_mart_hears_of_them() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        bench.tell(PartitionMsg::Source(SourceEvent::Position { partition: 0, next: 5 })).await;
        bench.tell(PartitionMsg::Source(SourceEvent::Position { partition: 0, next: 5 })).await;
        bench.batch(records(0, 8, &[1])).await;
        assert_eq!((previews(&bench.row_mart), bench.position()), ("0-5(0) 5-9(1) ".to_owned(), 9));
        assert_eq!(appends(&bench.records), "0:5-9 ");
    });
}

#[test]
fn offsets_below_the_position_end_the_generation() {
    on_a_paused_clock(async {
        let mut bench = bench(5, None);
        bench.batch(records(0, 4, &[1, 1])).await;
        assert_eq!(bench.bell.failure(), "partition 0 delivered offsets below 5");
        assert_eq!(bench.records.len(), 0);
    });
}

#[test]
fn a_cut_of_another_epoch_ends_the_generation() {
    on_a_paused_clock(async {
        let mut bench = bench(0, None);
        bench.cut(SECOND, None).await;
        assert_eq!(bench.bell.failure(), "partition 0 was cut at Epoch(1) in Epoch(0)");
        assert_eq!(bench.commit.len(), 0);
    });
}

#[test]
fn a_gap_in_kafka_is_told_and_what_was_read_before_it_can_be_cut() {
    on_a_paused_clock(async {
        let mut bench = bench(0, None);
        bench.batch(records(0, 0, &[1])).await;
        let gap = KafkaError::Gap { topic: "things".to_owned(), partition: 0, wanted: 1, low: 7 };
        bench.tell(PartitionMsg::Source(SourceEvent::Failed(gap))).await;
        assert!(matches!(bench.bell.cause(), Some(Cause::RecordsLost(why)) if why.starts_with("GAP")));
        bench.cut(FIRST, None).await;
        assert_eq!(bench.facts().pop().unwrap().1.to, 1);
    });
}

#[test]
fn a_floor_holds_only_at_the_position_that_it_was_judged_at() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        bench.batch(records(0, 0, &[1])).await;
        let floor = EventTime(9 * MINUTE);
        bench.cut(FIRST, Some((floor, 0))).await;
        let moved = bench.facts().pop().unwrap().1;
        assert_eq!((moved.watermark, moved.floor, moved.idle), (Some(EventTime(MINUTE)), None, false));
        bench.cut(SECOND, Some((floor, 1))).await;
        let idle = bench.facts().pop().unwrap().1;
        assert_eq!((idle.watermark, idle.floor, idle.idle), (Some(floor), Some(floor), true));
    });
}

#[test]
fn increments_are_handed_on_at_the_tick_and_only_if_there_are_any() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        pass(TICK * 3 + TICK / 2).await;
        assert_eq!(bench.registry(), "");
        bench.batch(records(0, 0, &[1, 2])).await;
        assert_eq!(bench.registry(), "");
        pass(TICK).await;
        assert_eq!(bench.registry(), "+2");
        pass(TICK * 3).await;
        assert_eq!(bench.registry(), "");
    });
}

#[test]
fn without_credit_at_the_registry_the_tick_waits_and_nothing_is_lost() {
    on_a_paused_clock(async {
        let mut bench = bench(0, None);
        bench.registry.keep_credits();
        for offset in 0..6 {
            bench.batch(records(0, offset, &[offset])).await;
            pass(TICK).await;
        }
        assert_eq!(bench.registry(), "+1+1+1+1", "the edge has four credits");
        bench.registry.release_credits();
        pass(TICK).await;
        assert_eq!((bench.registry().as_str(), bench.bell.cause()), ("+2", None));
    });
}

#[test]
fn without_credit_at_a_writer_the_partition_stops_and_its_own_credits_run_out() {
    on_a_paused_clock(async {
        let bench = bench(0, None);
        bench.records.keep_credits();
        for offset in 0..11 {
            let _ = bench.edge.try_send(PartitionMsg::Source(SourceEvent::Batch(records(0, offset, &[1]))));
            settle().await;
        }
        assert_eq!(appends(&bench.records), "0:0-1 0:1-2 ", "the edge has two credits");
        assert_eq!((bench.edge.has_credit(), bench.position()), (false, 3));
        bench.records.release_credits();
        settle().await;
        assert_eq!((bench.edge.has_credit(), bench.position()), (true, 10));
        assert_eq!(bench.row_mart.take().len(), 10);
    });
}
