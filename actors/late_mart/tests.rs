#![allow(clippy::unwrap_used, clippy::panic)]

use lakeward_connect::lake::Cue;
use lakeward_connect::mart::{MartCall, MartFaults};

use super::*;
use crate::testing::mart::{MartBench, Opening, mart_bench, unreachable};
use crate::testing::{Bell, clock, on_a_paused_clock, pass, records, until};

const TICK: Duration = Duration::from_millis(200);
const NAME: &str = "late-mart/per_minute";

struct Bench {
    mart: MartBench,
    board: Board,
    bell: Bell,
}

async fn bench() -> Bench {
    Bench { mart: mart_bench(&[0]).await, board: Board::default(), bell: Bell::new() }
}

impl Bench {
    fn start(&self) {
        let (link, head) = (Arc::clone(&self.mart.link), self.mart.head.subscribe());
        LateMart::new(0, link, TICK, head, self.board.clone(), clock(), self.bell.follower_sentinel()).start();
    }

    /// Commits records of these minutes, from offset `from` on.
    async fn commit(&mut self, from: i64, minutes: &[i64]) {
        self.mart.commit(&[records(0, from, minutes)]).await;
    }

    async fn until_done(&self, version: u64) {
        until("the head is applied", || {
            self.board.followers().get(NAME).is_some_and(|state| state.done == Some(Version(version)))
        })
        .await;
    }
}

#[test]
fn late_rows_of_committed_entries_come_to_the_table_and_no_others() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.start();
        bench.commit(0, &[1, 5, 2, 5]).await;
        bench.mart.until_late(&[2]).await;
        bench.commit(4, &[6]).await;
        bench.until_done(2).await;
        bench.commit(5, &[1, 2, 6, 7]).await;
        bench.mart.until_late(&[2, 5, 6]).await;
        bench.until_done(3).await;
        assert_eq!(bench.bell.cause(), None);
        // The next owner goes on behind what is there.
        bench.mart.reconnected();
        bench.start();
        bench.commit(9, &[3]).await;
        bench.mart.until_late(&[2, 5, 6, 9]).await;
    });
}

#[test]
fn whatever_happens_to_the_transaction_every_row_is_there_once() {
    for cue in [Cue::LostRequest, Cue::LostAnswer, Cue::Late] {
        on_a_paused_clock(async {
            let mut bench = bench().await;
            let mut cues = vec![Some(cue), None];
            let faults =
                MartFaults::new(Box::new(move |call| if call == MartCall::Add { cues.pop().flatten() } else { None }));
            bench.mart.openings.lock().unwrap().push_back(Opening::Told(faults.clone()));
            bench.start();
            bench.commit(0, &[1, 5, 2]).await;
            bench.until_done(1).await;
            bench.commit(3, &[3, 6]).await;
            bench.until_done(2).await;
            bench.mart.until_late(&[2, 3]).await;
            let _arrived = faults.deliver_late().await;
            bench.commit(5, &[4, 7]).await;
            bench.mart.until_late(&[2, 3, 5]).await;
            assert_eq!(bench.bell.cause(), None, "{cue:?}");
        });
    }
}

#[test]
fn a_mart_that_is_away_and_a_table_made_anew_are_filled_from_the_lake() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.mart.openings.lock().unwrap().extend([unreachable(), unreachable()].map(Opening::Fails));
        bench.start();
        bench.commit(0, &[1, 5, 2]).await;
        pass(TICK * 2).await;
        assert!(bench.board.followers().get(NAME).unwrap().trouble.is_some());
        bench.mart.until_late(&[2]).await;
        bench.until_done(1).await;
        bench.mart.sql("DROP TABLE too_late_raw");
        bench.commit(3, &[3, 6]).await;
        bench.mart.until_late(&[2, 3]).await;
        bench.until_done(2).await;
        // Another follower looks the tables over: nothing comes from Kafka meanwhile.
        bench.mart.sql("DROP TABLE too_late_raw");
        bench.mart.link.reopen().await.unwrap();
        bench.mart.until_late(&[2, 3]).await;
        assert_eq!(bench.bell.cause(), None);
    });
}

#[test]
fn who_is_fenced_ends() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.start();
        bench.commit(0, &[1, 5, 2]).await;
        bench.until_done(1).await;
        bench.mart.taken_over(9).await;
        bench.commit(3, &[3, 6]).await;
        let mut cause = None;
        for _ in 0..1_000 {
            pass(TICK).await;
            cause = bench.bell.cause();
            if cause.is_some() {
                break;
            }
        }
        assert!(matches!(cause, Some(Cause::Fenced(Version(9)))), "{cause:?}");
        assert_eq!(bench.mart.late(), [2]);
    });
}
