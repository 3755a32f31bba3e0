//! What each stage of a record's way costs: `cargo bench --bench stages`. `bench/stages` makes a table of it, in
//! nanoseconds per event beside what the machine can do; `stages once` runs each stage twice, for `bench/instructions`.

#![allow(clippy::expect_used, reason = "a measurement stops where something is wrong")]

mod work;

use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::ItemsCount;

use work::{Bench, Edge, RECORDS};

static BENCH: LazyLock<Bench> = LazyLock::new(Bench::new);

/// Batches in a file, so that what a file costs is spread as it is in an epoch.
const BATCHES: usize = 64;
const MESSAGES: usize = 1_000;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("once") { once() } else { divan::main() }
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let mut decoder = BENCH.decoder();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| work::decode(&BENCH, &mut decoder));
}

#[divan::bench]
fn decode_check_derive(bencher: Bencher) {
    let mut partition = BENCH.partition();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| work::decide(&BENCH, &mut partition));
}

#[divan::bench]
fn pre_aggregate(bencher: Bencher) {
    let (mut aggregate, prepared) = BENCH.pre_aggregate();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| work::pre_aggregate(&BENCH, &mut aggregate, &prepared));
}

#[divan::bench]
fn merge(bencher: Bencher) {
    bencher
        .counter(ItemsCount::new(RECORDS))
        .with_inputs(|| BENCH.windows())
        .bench_local_values(|(mut windows, increments)| work::merge(&mut windows, increments));
}

#[divan::bench]
fn bronze(bencher: Bencher) {
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| work::bronze(&BENCH));
}

/// Decode to Bronze, without the windows.
#[divan::bench]
fn partition(bencher: Bencher) {
    let mut partition = BENCH.partition();
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| work::step(&BENCH, &mut partition));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn parquet(bencher: Bencher) {
    bencher.counter(ItemsCount::new(BATCHES * RECORDS)).bench_local(|| work::parquet(&BENCH, BATCHES));
}

#[divan::bench]
fn copy(bencher: Bencher) {
    bencher.counter(ItemsCount::new(RECORDS)).bench_local(|| work::copy(&BENCH));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn actor_edge(bencher: Bencher) {
    let edge = Edge::new();
    bencher.counter(ItemsCount::new(MESSAGES * RECORDS)).bench_local(|| work::send(&BENCH, &edge, MESSAGES));
}

/// Of an epoch, not of an event.
#[divan::bench]
fn log_entry(bencher: Bencher) {
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| work::entry(&BENCH));
}

/// Each stage twice: the first time sizes buffers and dictionaries.
fn once() {
    let (mut decoder, mut decided, mut partition) = (BENCH.decoder(), BENCH.partition(), BENCH.partition());
    let (mut aggregate, prepared) = BENCH.pre_aggregate();
    for _ in 0..2 {
        drop(work::decode(&BENCH, &mut decoder));
        assert_eq!(work::decide(&BENCH, &mut decided), 0, "the feed has no odd records");
        work::pre_aggregate(&BENCH, &mut aggregate, &prepared);
        let (mut windows, increments) = BENCH.windows();
        work::merge(&mut windows, increments);
        drop(work::bronze(&BENCH));
        drop(work::step(&BENCH, &mut partition));
        work::parquet(&BENCH, 4);
        drop(work::copy(&BENCH));
        drop(work::entry(&BENCH));
    }
}
