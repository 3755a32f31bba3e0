//! Edges, inlets and the alarm, with receivers that do as they are told.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use futures::FutureExt;

use super::outbox::{Credit, Unsent};
use super::*;
use crate::testing::{Bell, on_a_paused_clock, settle};

/// What the receiver shall do with the message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Done,
    Keep,
    Stop,
    Panic,
}

impl Weight for Order {
    fn records(&self) -> u64 {
        10
    }
}

struct Receiver {
    kept: Vec<Credit>,
    handled: Arc<AtomicUsize>,
    inlet: Inlet,
    sentinel: Sentinel,
}

impl Actor for Receiver {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.sentinel.rest();
    }
}

impl Handler<Envelope<Order>> for Receiver {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<Order>, ctx: &mut Context<Self>) {
        if let Err(gap) = self.inlet.admit(&envelope) {
            self.sentinel.fail(Cause::Failed(gap.to_string()));
            return ctx.stop();
        }
        self.handled.fetch_add(1, Ordering::Relaxed);
        match envelope.message {
            Order::Done => {}
            Order::Keep => self.kept.push(envelope.credit),
            Order::Stop => ctx.stop(),
            Order::Panic => panic!("as told"),
        }
    }
}

struct Bench {
    bell: Bell,
    gauges: Gauges,
    handled: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        Self { bell: Bell::new(), gauges: Gauges::default(), handled: Arc::default() }
    }

    fn receiver(&self) -> Recipient<Envelope<Order>> {
        let (sentinel, handled) = (self.bell.sentinel(), Arc::clone(&self.handled));
        Receiver { kept: Vec::new(), handled, inlet: Inlet::default(), sentinel }.start().recipient()
    }

    fn handled(&self) -> usize {
        self.handled.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn no_more_messages_are_under_way_than_there_are_credits() {
    on_a_paused_clock(async {
        let bench = Bench::new();
        let gauge = bench.gauges.register("receiver", 0);
        let edge = Inbox::new(bench.receiver(), Arc::clone(&gauge)).edge(2);
        for _ in 0..2 {
            edge.send(Order::Keep).await.unwrap();
        }
        assert!(!edge.has_credit());
        assert!(matches!(edge.try_send(Order::Done), Err(Unsent::NoCredit(Order::Done))));
        assert!(edge.send(Order::Done).now_or_never().is_none(), "it must wait");
        settle().await;
        assert_eq!(bench.handled(), 2);
        let reading = gauge.read(std::time::Instant::now());
        assert_eq!((reading.depth, reading.lag_records, reading.credits_free), (2, 20, 0));
    });
}

#[test]
fn a_credit_comes_back_when_the_message_is_done_with() {
    on_a_paused_clock(async {
        let bench = Bench::new();
        let edge = Inbox::new(bench.receiver(), bench.gauges.register("receiver", 0)).edge(1);
        for _ in 0..5 {
            edge.send(Order::Done).await.unwrap();
        }
        settle().await;
        assert_eq!((bench.handled(), edge.has_credit()), (5, true));
    });
}

#[test]
fn a_thread_gets_a_credit_or_gives_up_in_time_and_sends_with_it() {
    on_a_paused_clock(async {
        let bench = Bench::new();
        let edge = Inbox::new(bench.receiver(), bench.gauges.register("receiver", 0)).edge(1);
        let held = edge.take_credit(Duration::ZERO).unwrap();
        assert!(edge.take_credit(Duration::ZERO).is_none());
        edge.send_held(held, Order::Done).unwrap();
        settle().await;
        assert_eq!((bench.handled(), edge.has_credit()), (1, true));
    });
}

#[test]
fn a_gap_ends_the_generation() {
    on_a_paused_clock(async {
        let mut bench = Bench::new();
        let receiver = bench.receiver();
        let gauge = bench.gauges.register("receiver", 0);
        // Two doors before one actor give the same numbers to two edges: for the actor a message comes twice.
        let (one, two) = (Inbox::new(receiver.clone(), Arc::clone(&gauge)), Inbox::new(receiver, gauge));
        one.edge(1).send(Order::Done).await.unwrap();
        two.edge(1).send(Order::Done).await.unwrap();
        settle().await;
        assert_eq!(bench.handled(), 1);
        assert_eq!(bench.bell.failure(), "edge 0: message 0 came where 1 was due");
    });
}

#[test]
fn a_receiver_that_is_gone_says_closed_and_rings_nothing_if_it_ended_on_purpose() {
    on_a_paused_clock(async {
        let mut bench = Bench::new();
        let edge = Inbox::new(bench.receiver(), bench.gauges.register("receiver", 0)).edge(3);
        edge.send(Order::Keep).await.unwrap();
        edge.send(Order::Stop).await.unwrap();
        edge.send(Order::Done).await.unwrap();
        settle().await;
        assert_eq!(edge.send(Order::Done).await, Err(Closed));
        assert!(matches!(edge.try_send(Order::Done), Err(Unsent::Closed)));
        assert!(!edge.connected() && edge.has_credit());
        assert_eq!(bench.bell.cause(), None);
    });
}

#[test]
fn a_panic_rings_the_alarm() {
    on_a_paused_clock(async {
        let mut bench = Bench::new();
        let edge = Inbox::new(bench.receiver(), bench.gauges.register("receiver", 0)).edge(1);
        edge.send(Order::Panic).await.unwrap();
        settle().await;
        assert_eq!(bench.bell.cause(), Some(Cause::Died("tested".to_owned())));
        assert_eq!(edge.send(Order::Done).await, Err(Closed));
    });
}

#[test]
fn a_dead_follower_gives_all_credits_back_and_holds_nobody_up() {
    on_a_paused_clock(async {
        let bench = Bench::new();
        let edge = Inbox::restartable(bench.receiver(), bench.gauges.register("receiver", 0)).edge(3);
        for order in [Order::Keep, Order::Panic, Order::Keep] {
            edge.send(order).await.unwrap();
        }
        settle().await;
        bench.handled();
        for _ in 0..20 {
            edge.send(Order::Keep).now_or_never().expect("it waits").unwrap();
        }
        assert!(edge.connected() && edge.has_credit());
        assert_eq!(bench.handled(), 0);
    });
}

#[test]
fn a_follower_that_is_started_again_hears_every_edge_from_number_0() {
    on_a_paused_clock(async {
        let mut bench = Bench::new();
        let inbox = Inbox::restartable(bench.receiver(), bench.gauges.register("receiver", 0));
        let (one, two) = (inbox.edge(3), inbox.edge(3));
        for edge in [&one, &one, &two] {
            edge.send(Order::Done).await.unwrap();
        }
        one.send(Order::Panic).await.unwrap();
        settle().await;
        two.send(Order::Done).await.unwrap();
        assert!(bench.bell.cause().is_some());
        assert_eq!((bench.handled(), one.life()), (4, 0));
        inbox.reopen(bench.receiver());
        let three = inbox.edge(3);
        for edge in [&two, &one, &three, &two] {
            edge.send(Order::Done).await.unwrap();
        }
        settle().await;
        assert_eq!((bench.handled(), one.life(), bench.bell.cause()), (4, 1, None));
    });
}

#[test]
fn senders_that_come_and_go_leave_nothing_behind() {
    on_a_paused_clock(async {
        let mut bench = Bench::new();
        let gauge = bench.gauges.register("receiver", 0);
        let inbox = Inbox::new(bench.receiver(), Arc::clone(&gauge));
        for _ in 0..100 {
            let edge = inbox.edge(2);
            assert!(format!("{edge:?}").contains("edge: 0"), "{edge:?}");
            edge.send(Order::Done).await.unwrap();
        }
        settle().await;
        assert_eq!((bench.handled(), bench.bell.cause()), (100, None));
        assert_eq!(gauge.read(std::time::Instant::now()).capacity, 0);
    });
}
