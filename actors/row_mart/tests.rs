#![allow(clippy::unwrap_used, clippy::panic)]

use lakeward_core::record::RawBatch;

use super::*;
use crate::kit::{Gauges, Inbox, Outbox};
use crate::testing::mart::{MartBench, Opening, broken, mart_bench, unreachable};
use crate::testing::{Bell, beside_a_database, clock, on_a_paused_clock, pass, records, settle, until};

const TICK: Duration = Duration::from_millis(20);

struct Bench {
    mart: MartBench,
    board: Board,
    bell: Bell,
    door: Option<Inbox<RowsMsg>>,
    edges: BTreeMap<i32, Outbox<RowsMsg>>,
}

async fn bench(partitions: &[i32]) -> Bench {
    let (mart, board, bell) = (mart_bench(partitions).await, Board::default(), Bell::new());
    Bench { mart, board, bell, door: None, edges: BTreeMap::new() }
}

impl Bench {
    fn start(&mut self, joined: Joined) {
        self.start_with(joined, true);
    }

    fn start_with(&mut self, joined: Joined, previews: bool) {
        let actor = RowMart::new(
            Arc::clone(&self.mart.link),
            previews,
            TICK,
            joined,
            self.mart.head.subscribe(),
            self.board.clone(),
            clock(),
            self.bell.follower_sentinel(),
        );
        let to = actor.start().recipient();
        match &self.door {
            Some(door) => door.reopen(to),
            None => {
                let door = Inbox::restartable(to, Gauges::default().register("row_mart", 0));
                let partitions = self.mart.ground.fold.partitions.keys();
                self.edges = partitions.map(|&p| (p, door.edge(8))).collect();
                self.door = Some(door);
            }
        }
    }

    async fn send(&mut self, batch: &RawBatch) {
        let (partition, range) = (batch.partition, batch.range);
        let rows = Some(self.mart.rows(batch));
        self.edges[&partition].send(RowsMsg::Rows { partition, incarnation: 0, range, rows }).await.unwrap();
    }

    async fn barrier(&self, partition: i32, epoch: u64) {
        let expected = u32::try_from(self.edges.len()).unwrap();
        self.edges[&partition].send(RowsMsg::Barrier { epoch: Epoch(epoch), partition, expected }).await.unwrap();
        settle().await;
    }

    fn done(&self) -> Option<Version> {
        self.board.followers().get(NAME)?.done
    }

    fn trouble(&self) -> Option<String> {
        self.board.followers().get(NAME)?.trouble.clone()
    }
}

#[test]
fn rows_are_shown_before_any_commit() {
    beside_a_database(async {
        let mut bench = bench(&[0, 1]).await;
        bench.start(Joined::AtTheStart);
        bench.send(&records(0, 0, &[1, 1])).await;
        bench.send(&records(1, 0, &[1])).await;
        bench.mart.until_table(&[(0, 0..2), (1, 0..1)]).await;
        assert_eq!(bench.done(), Some(Version(0)));
    });
}

#[test]
fn small_batches_do_not_run_out_of_credit_before_the_tick() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.start(Joined::AtTheStart);
        until("it is live", || bench.done() == Some(Version(0))).await;
        for offset in 0..30 {
            assert!(bench.edges[&0].has_credit(), "at offset {offset}");
            bench.send(&records(0, offset, &[1])).await;
            settle().await;
        }
        bench.mart.until_table(&[(0, 0..30)]).await;
    });
}

#[test]
fn what_was_committed_before_is_filled_and_what_comes_then_is_shown_behind_it() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.mart.commit(&[records(0, 0, &[1, 1, 1])]).await;
        bench.start(Joined::AtTheStart);
        bench.send(&records(0, 3, &[1])).await;
        bench.mart.until_table(&[(0, 0..4)]).await;
    });
}

#[test]
fn without_previews_rows_follow_the_commits() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.start_with(Joined::AtTheStart, false);
        bench.send(&records(0, 0, &[1, 1])).await;
        bench.barrier(0, 0).await;
        until("it is at the head", || bench.done() == Some(Version(0))).await;
        bench.mart.until_table(&[]).await;
        bench.mart.commit(&[records(0, 0, &[1, 1])]).await;
        bench.mart.until_table(&[(0, 0..2)]).await;
    });
}

#[test]
fn a_fence_below_what_comes_is_filled_from_the_log_and_previews_go_on_at_the_next_barrier() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.start(Joined::AtTheStart);
        until("it is live", || bench.done() == Some(Version(0))).await;
        // Offsets 0 and 1 never came this way: the fence stands below.
        bench.mart.rows(&records(0, 0, &[1, 1]));
        bench.send(&records(0, 2, &[1])).await;
        pass(TICK * 2).await;
        bench.barrier(0, 0).await;
        bench.send(&records(0, 3, &[1])).await;
        bench.mart.commit(&[records(0, 0, &[1, 1, 1])]).await;
        bench.mart.until_table(&[(0, 0..4)]).await;
        assert_eq!(bench.bell.cause(), None);
    });
}

#[test]
fn what_the_fence_has_passed_is_there_already_and_the_rest_is_copied() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.mart.commit(&[records(0, 0, &[1, 1])]).await;
        bench.start(Joined::AtTheStart);
        until("it is live", || bench.done() == Some(Version(1))).await;
        bench.send(&records(0, 0, &[1, 1, 1])).await;
        bench.mart.until_table(&[(0, 0..3)]).await;
        bench.send(&records(0, 1, &[1])).await;
        bench.send(&records(0, 3, &[1])).await;
        bench.mart.until_table(&[(0, 0..4)]).await;
    });
}

#[test]
fn a_mart_that_is_away_is_tried_again_with_back_off_though_nothing_is_sent_any_more() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        bench.mart.openings.lock().unwrap().extend([unreachable(), unreachable(), unreachable()].map(Opening::Fails));
        bench.mart.commit(&[records(0, 0, &[1, 1])]).await;
        bench.start(Joined::AtTheStart);
        settle().await;
        for _ in 0..20 {
            bench.send(&records(0, 2, &[1])).await;
            settle().await;
        }
        assert!(bench.edges[&0].has_credit(), "it must not hold the partition up");
        assert!(bench.trouble().unwrap().contains("can't be reached"));
        assert_eq!(bench.mart.opened(), 1);
        pass(Duration::from_millis(1_100)).await;
        assert_eq!(bench.mart.opened(), 2);
        pass(Duration::from_millis(1_500)).await;
        assert_eq!(bench.mart.opened(), 2, "the second pause is longer");
        pass(Duration::from_millis(600)).await;
        assert_eq!(bench.mart.opened(), 3);
        bench.mart.until_table(&[(0, 0..2)]).await;
        until("the trouble is over", || bench.trouble().is_none()).await;
        assert_eq!((bench.done(), bench.bell.cause()), (Some(Version(1)), None));
    });
}

#[test]
fn a_broken_table_is_named_and_the_generation_goes_on() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        bench.mart.openings.lock().unwrap().extend([broken(), broken()].map(Opening::Fails));
        bench.mart.commit(&[records(0, 0, &[1])]).await;
        bench.start(Joined::AtTheStart);
        settle().await;
        assert!(bench.trouble().unwrap().contains("MART_SCHEMA: "));
        assert_eq!(bench.bell.cause(), None);
        bench.mart.until_table(&[(0, 0..1)]).await;
    });
}

#[test]
fn a_greater_claim_in_the_mart_ends_the_generation_fenced() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.start(Joined::AtTheStart);
        bench.send(&records(0, 0, &[1])).await;
        bench.mart.until_table(&[(0, 0..1)]).await;
        bench.mart.taken_over(9).await;
        bench.send(&records(0, 1, &[1])).await;
        let mut cause = None;
        until("it hears of the claim", || {
            cause = cause.take().or_else(|| bench.bell.cause());
            cause.is_some()
        })
        .await;
        assert_eq!(cause, Some(Cause::Fenced(Version(9))));
    });
}

#[test]
fn a_mart_that_hangs_holds_its_partitions_up_for_some_seconds_only() {
    on_a_paused_clock(async {
        let mut bench = bench(&[0]).await;
        bench.mart.openings.lock().unwrap().push_back(Opening::Hangs);
        bench.start(Joined::AtTheStart);
        for offset in 0..8 {
            bench.send(&records(0, offset, &[1])).await;
        }
        settle().await;
        assert!(!bench.edges[&0].has_credit());
        pass(HOLD_AT_MOST).await;
        assert!(bench.edges[&0].has_credit());
        for offset in 8..40 {
            bench.send(&records(0, offset, &[1])).await;
        }
    });
}

#[test]
fn a_mart_that_panics_is_followed_by_another_that_shows_every_row_and_the_claim_stands() {
    beside_a_database(async {
        let mut bench = bench(&[0, 1]).await;
        bench.mart.openings.lock().unwrap().push_back(Opening::Panics);
        bench.start(Joined::AtTheStart);
        bench.send(&records(0, 0, &[1, 1])).await;
        settle().await;
        assert_eq!(bench.bell.cause(), Some(Cause::FollowerDied("tested".to_owned())));
        // While it is dead its partitions go on.
        for offset in 2..30 {
            bench.send(&records(0, offset, &[1])).await;
        }
        bench.start(Joined::Midway);
        until("it is at the head", || bench.done() == Some(Version(0))).await;
        // Partition 1 passed the barrier of epoch 0 before: this barrier is torn.
        bench.send(&records(1, 0, &[1])).await;
        bench.barrier(0, 0).await;
        bench.mart.commit(&[records(0, 0, &[1; 30])]).await;
        bench.mart.until_table(&[(0, 0..30)]).await;
        until("it is at the head", || bench.done() == Some(Version(1))).await;
        bench.send(&records(0, 30, &[1])).await;
        bench.barrier(1, 1).await;
        bench.send(&records(1, 1, &[1])).await;
        bench.barrier(0, 1).await;
        bench.send(&records(0, 31, &[1])).await;
        bench.mart.commit(&[records(0, 30, &[1]), records(1, 0, &[1])]).await;
        bench.mart.until_table(&[(0, 0..32), (1, 0..2)]).await;
        assert_eq!(bench.bell.cause(), None);
        let head = bench.mart.ground.log.load().await.unwrap().unwrap();
        assert_eq!((head.claim, head.version), (Version(0), Version(2)), "nobody had to claim the log again");
    });
}

#[test]
fn a_partition_that_enters_the_set_later_is_shown_without_any_trouble() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.start(Joined::AtTheStart);
        bench.send(&records(0, 0, &[1])).await;
        bench.mart.until_table(&[(0, 0..1)]).await;
        bench.mart.enter(1).await;
        bench.edges.insert(1, bench.door.as_ref().unwrap().edge(8));
        bench.send(&records(1, 0, &[1])).await;
        bench.mart.until_table(&[(0, 0..1), (1, 0..1)]).await;
        assert_eq!((bench.mart.opened(), bench.trouble(), bench.bell.cause()), (1, None, None));
    });
}

#[test]
fn a_table_that_was_dropped_is_made_and_filled_again() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.mart.commit(&[records(0, 0, &[1, 1])]).await;
        bench.start(Joined::AtTheStart);
        bench.send(&records(0, 2, &[1])).await;
        bench.mart.until_table(&[(0, 0..3)]).await;
        bench.mart.sql("DROP TABLE things_raw");
        bench.send(&records(0, 3, &[1])).await;
        bench.mart.until_table(&[(0, 0..2)]).await;
        bench.mart.commit(&[records(0, 2, &[1, 1])]).await;
        bench.mart.until_table(&[(0, 0..4)]).await;
        assert_eq!((bench.trouble(), bench.bell.cause()), (None, None));
    });
}

#[test]
fn a_table_that_another_follower_made_anew_is_filled_again_though_nothing_is_sent() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.mart.commit(&[records(0, 0, &[1, 1])]).await;
        bench.start(Joined::AtTheStart);
        until("it is live", || bench.done() == Some(Version(1))).await;
        bench.mart.sql("DROP TABLE things_raw");
        bench.mart.link.reopen().await.unwrap();
        bench.mart.until_table(&[(0, 0..2)]).await;
    });
}

#[test]
fn missing_rows_end_the_follower_and_not_the_generation() {
    beside_a_database(async {
        let mut bench = bench(&[0]).await;
        bench.start(Joined::AtTheStart);
        let torn = bench.edges[&0].torn();
        bench.edges.insert(0, torn);
        bench.send(&records(0, 0, &[1])).await;
        settle().await;
        assert_eq!(bench.bell.cause(), Some(Cause::FollowerDied(NAME.to_owned())));
    });
}
