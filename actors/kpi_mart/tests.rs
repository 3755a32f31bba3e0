#![allow(clippy::unwrap_used, clippy::panic)]

use lakeward_connect::lake::Cue;
use lakeward_connect::mart::{MartCall, MartFaults};
use lakeward_core::kpi::{Value, Windows};

use super::*;
use crate::kit::board::PartitionState;
use crate::kit::{Gauges, Inbox, Outbox};
use crate::testing::mart::{MartBench, Opening, broken, mart_bench, unreachable};
use crate::testing::{Bell, MINUTE, clock, on_a_paused_clock, pass, records, settle, step, until};

const TICK: Duration = Duration::from_millis(200);
const NAME: &str = "kpi-mart/per_minute";

struct Bench {
    mart: MartBench,
    board: Board,
    bell: Bell,
    door: Option<Inbox<KpiMartMsg>>,
    edge: Option<Outbox<KpiMartMsg>>,
}

async fn bench() -> Bench {
    let (mart, board, bell) = (mart_bench(&[0]).await, Board::default(), Bell::new());
    Bench { mart, board, bell, door: None, edge: None }
}

impl Bench {
    fn start(&mut self) {
        let actor = KpiMart::new(
            0,
            Arc::clone(&self.mart.link),
            TICK,
            self.mart.head.subscribe(),
            self.board.clone(),
            clock(),
            self.bell.follower_sentinel(),
        );
        let to = actor.start().recipient();
        match &self.door {
            Some(door) => door.reopen(to),
            None => {
                let door = Inbox::restartable(to, Gauges::default().register("kpi_mart", 0));
                self.edge = Some(door.edge(1));
                self.door = Some(door);
            }
        }
    }

    /// Values of (minute, things), as a KpiActor sends them.
    async fn show(&self, values: &[(i64, i64)]) {
        let value = |&(minute, things): &(i64, i64)| WindowRow {
            window: EventTime(minute * MINUTE),
            key: red(),
            values: vec![Some(Value::Int(things))],
            revision: 0,
        };
        self.edge.as_ref().unwrap().send(KpiMartMsg::Live(values.iter().map(value).collect())).await.unwrap();
        settle().await;
    }

    fn trouble(&self) -> Option<String> {
        self.board.followers().get(NAME)?.trouble.clone()
    }

    fn done(&self) -> Option<Version> {
        self.board.followers().get(NAME)?.done
    }
}

/// The key of what is red.
fn red() -> Box<[u8]> {
    let (mut step, mut windows) = (step(0), Windows::new(&crate::testing::pipeline().kpis[0], EventTime::MIN));
    let _ = step.step(&records(0, 0, &[1]), 0).unwrap();
    windows.apply(lakeward_core::ids::Epoch(0), step.take_increments().remove(0)).unwrap();
    windows.live().remove(0).key
}

const FIRST_LIVE: &str = "1970-01-01T00:01:00.000000Z 2 live";
const FIRST_FINAL: &str = "1970-01-01T00:01:00.000000Z 2 final";
const THIRD_LIVE: &str = "1970-01-01T00:03:00.000000Z 1 live";

#[test]
fn live_values_are_shown_and_final_ones_take_their_place() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.start();
        bench.show(&[(1, 1)]).await;
        bench.show(&[(1, 2)]).await;
        bench.mart.until_kpi(&[FIRST_LIVE]).await;
        bench.mart.commit(&[records(0, 0, &[1, 1, 3])]).await;
        bench.show(&[(1, 7), (3, 1)]).await;
        bench.mart.until_kpi(&[FIRST_FINAL, THIRD_LIVE]).await;
        until("all is shown", || bench.board.all_shown()).await;
        assert_eq!((bench.done(), bench.bell.cause()), (Some(Version(1)), None));
    });
}

#[test]
fn live_values_are_shown_after_a_failure_even_if_no_entry_comes() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        let mut cues = vec![None, Some(Cue::LostRequest)];
        let script = move |call| if call == MartCall::Live { cues.pop().flatten() } else { None };
        bench.mart.openings.lock().unwrap().push_back(Opening::Told(MartFaults::new(Box::new(script))));
        bench.start();
        bench.show(&[(1, 2)]).await;
        bench.mart.until_kpi(&[FIRST_LIVE]).await;
        until("all is shown", || bench.board.all_shown()).await;
        assert_eq!((bench.mart.opened(), bench.trouble()), (2, None));
    });
}

#[test]
fn a_mart_that_is_away_costs_freshness_and_nothing_else() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.mart.openings.lock().unwrap().extend([unreachable(), unreachable()].map(Opening::Fails));
        bench.start();
        bench.show(&[(1, 2), (3, 1)]).await;
        pass(TICK * 2).await;
        assert!(bench.trouble().unwrap().contains("can't be reached"));
        assert_eq!((bench.mart.opened(), bench.board.all_shown()), (1, false));
        bench.mart.until_kpi(&[FIRST_LIVE, THIRD_LIVE]).await;
        assert_eq!((bench.mart.opened(), bench.trouble()), (3, None));
    });
}

#[test]
fn while_the_mart_is_away_values_of_closed_windows_do_not_pile_up() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.mart.openings.lock().unwrap().extend((0..100).map(|_| Opening::Fails(unreachable())));
        bench.start();
        let values: Vec<_> = (0..500).map(|minute| (minute, 1)).collect();
        bench.show(&values).await;
        bench.mart.commit(&[records(0, 0, &[499])]).await;
        pass(Duration::from_secs(60)).await;
        assert!(bench.mart.opened() > 1);
        assert_eq!(bench.board.unshown(NAME), 1, "one window is open");
    });
}

#[test]
fn a_broken_table_is_named_and_looked_over_again_until_it_is_mended() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.mart.openings.lock().unwrap().push_back(Opening::Fails(broken()));
        bench.start();
        pass(TICK * 2).await;
        assert!(bench.trouble().unwrap().contains("MART_SCHEMA: "));
        bench.show(&[(1, 2)]).await;
        bench.mart.until_kpi(&[FIRST_LIVE]).await;
        assert_eq!((bench.trouble(), bench.bell.cause()), (None, None));
    });
}

#[test]
fn a_greater_claim_in_the_mart_ends_the_generation_fenced() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.start();
        bench.show(&[(1, 2)]).await;
        bench.mart.until_kpi(&[FIRST_LIVE]).await;
        bench.mart.taken_over(9).await;
        bench.show(&[(3, 1)]).await;
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
fn live_values_are_held_back_until_the_partitions_have_passed_what_was_shown_before() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        let state = |handed| PartitionState {
            position: 9,
            watermark: EventTime::MIN,
            handed,
            end: -1,
            newest: EventTime::MIN,
            moved_at: 0,
            drifting: false,
            idle: false,
        };
        bench.board.partitions().insert(0, state(9));
        bench.start();
        bench.show(&[(1, 2)]).await;
        bench.mart.until_kpi(&[FIRST_LIVE]).await;
        // The process starts again, from an older state than the one that it had shown.
        bench.mart.reconnected();
        bench.board.partitions().insert(0, state(4));
        bench.start();
        until("the mart is claimed again", || bench.mart.opened() == 2 && bench.done().is_some()).await;
        bench.show(&[(1, 1)]).await;
        pass(TICK * 5).await;
        assert_eq!(bench.mart.kpi(), [FIRST_LIVE]);
        until("a stop need not wait for what only more input shows", || bench.board.all_shown()).await;
        bench.board.partitions().insert(0, state(9));
        assert!(!bench.board.all_shown());
        bench.show(&[(1, 2), (3, 1)]).await;
        bench.mart.until_kpi(&[FIRST_LIVE, THIRD_LIVE]).await;
    });
}

#[test]
fn a_follower_in_the_place_of_a_dead_one_applies_final_rows_from_its_fence() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.start();
        bench.mart.commit(&[records(0, 0, &[1, 1, 3])]).await;
        bench.mart.until_kpi(&[FIRST_FINAL]).await;
        bench.mart.openings.lock().unwrap().push_back(Opening::Panics);
        bench.mart.reconnected();
        bench.start();
        pass(TICK * 2).await;
        assert_eq!(bench.bell.cause(), Some(Cause::FollowerDied("tested".to_owned())));
        bench.show(&[(3, 9)]).await;
        bench.mart.commit(&[records(0, 3, &[4])]).await;
        bench.start();
        bench.show(&[(4, 1)]).await;
        let expected = [FIRST_FINAL, "1970-01-01T00:03:00.000000Z 1 final", "1970-01-01T00:04:00.000000Z 1 live"];
        bench.mart.until_kpi(&expected).await;
        let head = bench.mart.ground.log.load().await.unwrap().unwrap();
        assert_eq!((head.claim, head.version), (Version(0), Version(2)), "nobody had to claim the log again");
    });
}

#[test]
fn a_table_that_was_dropped_gets_every_final_row_again_and_all_live_values_are_asked_for() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.start();
        bench.mart.commit(&[records(0, 0, &[1, 1, 3])]).await;
        bench.show(&[(3, 1)]).await;
        bench.mart.until_kpi(&[FIRST_FINAL, THIRD_LIVE]).await;
        let life = bench.edge.as_ref().unwrap().life();
        bench.mart.sql("DROP TABLE per_minute_raw");
        bench.show(&[(4, 1)]).await;
        let mut cause = None;
        until("it begins again", || {
            cause = cause.take().or_else(|| bench.bell.cause());
            cause.is_some()
        })
        .await;
        assert_eq!(cause, Some(Cause::FollowerDied(NAME.to_owned())));
        bench.start();
        assert!(bench.edge.as_ref().unwrap().life() > life, "KpiActors see by this that they must send all again");
        bench.show(&[(3, 1), (4, 1)]).await;
        bench.mart.until_kpi(&[FIRST_FINAL, THIRD_LIVE, "1970-01-01T00:04:00.000000Z 1 live"]).await;
    });
}

#[test]
fn a_table_that_another_follower_made_anew_is_noticed_though_nothing_changes() {
    on_a_paused_clock(async {
        let mut bench = bench().await;
        bench.start();
        bench.show(&[(1, 2)]).await;
        bench.mart.until_kpi(&[FIRST_LIVE]).await;
        bench.mart.sql("DROP TABLE per_minute_raw");
        bench.mart.link.reopen().await.unwrap();
        pass(TICK * 2).await;
        assert_eq!(bench.bell.cause(), Some(Cause::FollowerDied(NAME.to_owned())));
    });
}
