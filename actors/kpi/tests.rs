#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use lakeward_core::kpi::WindowRow;

use super::*;
use crate::kit::{Gauges, Inbox};
use crate::testing::{
    Bell, Heard, MINUTE, bare_listener, inbox, listener, on_a_paused_clock, pass, pipeline, records, settle, step,
};

const TICK: Duration = Duration::from_millis(200);
const NOTHING: [i64; 0] = [];

struct Bench {
    mart: Heard<KpiMartMsg>,
    edge: Outbox<KpiMsg>,
    board: Board,
    bell: Bell,
}

fn bench_with(windows: Windows, mart: &Inbox<KpiMartMsg>, heard: Heard<KpiMartMsg>) -> Bench {
    let (board, bell) = (Board::default(), Bell::new());
    let actor = KpiActor::new(4, windows, Some(mart.edge(1)), TICK, board.clone(), bell.sentinel());
    Bench { mart: heard, edge: inbox(actor.start()).edge(2), board, bell }
}

fn bench() -> Bench {
    let (mart, heard) = listener();
    bench_with(Windows::new(&pipeline().kpis[0], EventTime::MIN), &mart, heard)
}

/// One thing in each of the minutes.
fn things(minutes: &[i64]) -> Vec<Increment> {
    let mut step = step(0);
    let _ = step.step(&records(0, 0, minutes), 0).unwrap();
    step.take_increments().remove(0)
}

impl Bench {
    async fn apply(&self, epoch: u64, minutes: &[i64]) {
        self.edge.send(KpiMsg::Apply { epoch: Epoch(epoch), increments: things(minutes) }).await.unwrap();
        settle().await;
    }

    async fn close(&self, epoch: u64, g: i64) -> Option<Handed> {
        let (reply, answer) = oneshot::channel();
        self.edge.send(KpiMsg::Close { epoch: Epoch(epoch), g: EventTime(g * MINUTE), reply }).await.unwrap();
        answer.await.ok()
    }

    /// Minutes of the values shown, ascending.
    fn shown(&self) -> Vec<i64> {
        let rows = self.mart.take().into_iter().flat_map(|KpiMartMsg::Live(rows)| rows);
        let mut minutes: Vec<i64> = rows.map(|row: WindowRow| row.window.0 / MINUTE).collect();
        minutes.sort_unstable();
        minutes
    }
}

#[test]
fn values_that_changed_are_shown_at_the_tick_once() {
    on_a_paused_clock(async {
        let bench = bench();
        bench.apply(0, &[1, 1, 2]).await;
        assert_eq!((bench.shown(), bench.board.all_shown()), (vec![], false));
        pass(TICK).await;
        assert_eq!((bench.shown(), bench.board.all_shown()), (vec![1, 2], true));
        pass(TICK * 3).await;
        assert_eq!(bench.shown(), NOTHING);
    });
}

#[test]
fn without_credit_at_the_mart_values_wait_and_are_shown_as_they_are_then() {
    on_a_paused_clock(async {
        let bench = bench();
        bench.mart.keep_credits();
        bench.apply(0, &[1]).await;
        pass(TICK).await;
        bench.apply(0, &[1, 2]).await;
        pass(TICK * 2).await;
        assert_eq!((bench.shown(), bench.board.all_shown()), (vec![1], false));
        bench.mart.release_credits();
        pass(TICK).await;
        assert_eq!((bench.shown(), bench.board.all_shown()), (vec![1, 2], true));
    });
}

#[test]
fn a_mart_that_is_started_again_is_shown_everything_that_is_open() {
    on_a_paused_clock(async {
        let (first, heard) = bare_listener::<KpiMartMsg>();
        let door = Inbox::restartable(first, Gauges::default().register("kpi_mart", 0));
        let bench = bench_with(Windows::new(&pipeline().kpis[0], EventTime::MIN), &door, heard);
        bench.apply(0, &[1, 2]).await;
        pass(TICK).await;
        assert_eq!(bench.shown(), [1, 2]);
        let (second, heard) = bare_listener::<KpiMartMsg>();
        door.reopen(second);
        pass(TICK).await;
        let again = Bench { mart: heard, ..bench };
        assert_eq!(again.shown(), [1, 2]);
        pass(TICK * 2).await;
        assert_eq!(again.shown(), NOTHING);
    });
}

#[test]
fn closing_an_epoch_hands_over_its_increments_and_the_windows_that_g_closes() {
    on_a_paused_clock(async {
        let bench = bench();
        bench.apply(0, &[1, 2]).await;
        let handed = bench.close(0, 2).await.unwrap();
        assert_eq!((handed.closed.increments.len(), handed.closed.finals.len()), (2, 1));
        assert_eq!((handed.open, handed.empty, handed.closed.gone.len()), (1, false, 0), "red is still in minute 2");
        let handed = bench.close(1, 3).await.unwrap();
        assert_eq!((handed.closed.finals.len(), handed.empty, handed.closed.gone.len()), (1, true, 1));
        pass(TICK).await;
        assert_eq!(bench.shown(), NOTHING, "what is closed is no preview any more");
    });
}

#[test]
fn epochs_out_of_order_end_the_generation() {
    on_a_paused_clock(async {
        let mut bench = bench();
        bench.apply(0, &[1]).await;
        assert!(bench.close(1, 0).await.is_none());
        assert_eq!(bench.bell.failure(), "epoch 1 is to be closed, but epoch 0 is open");
    });
}

#[test]
fn an_actor_that_is_retired_ends_though_its_tick_would_keep_it() {
    on_a_paused_clock(async {
        let mut bench = bench();
        bench.apply(0, &[1]).await;
        assert!(bench.close(0, 9).await.unwrap().empty);
        assert!(bench.board.open_windows().contains_key(&4));
        bench.edge.send(KpiMsg::Retire).await.unwrap();
        settle().await;
        assert!(!bench.edge.connected() && bench.board.open_windows().is_empty());
        assert_eq!(bench.bell.cause(), None);
    });
}
