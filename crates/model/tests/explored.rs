//! Every configuration under all rules: nothing may be wrong anywhere.

#![allow(clippy::panic)]

use std::time::Instant;

use lakeward_model::{Model, Setup, configurations, explore};

/// More states than any configuration has: an exploration that is cut off proves nothing.
const LIMIT: usize = 20_000_000;

fn check(setup: Setup) {
    let started = Instant::now();
    let bounds = format!("{}: {setup}", setup.name);
    let explored = explore(&Model::new(setup), LIMIT);
    println!(
        "{bounds}: {} states, {} steps, depth {}, {} at rest, {:.1?}",
        explored.states,
        explored.steps,
        explored.depth,
        explored.rests,
        started.elapsed()
    );
    if let Some(found) = explored.found {
        panic!("{bounds}\n{}\n  {}", found.violation, found.history.join("\n  "));
    }
    assert!(explored.complete && explored.rests > 0, "{bounds}: not everything was seen");
    assert!(explored.ends, "{bounds}: a history leads back to where it was");
}

#[test]
fn owners_creates_and_checkpoints() {
    check(configurations::owners());
}

#[test]
fn partitions_that_fall_idle_and_wake() {
    check(configurations::idle());
}

#[test]
fn a_partition_that_is_added() {
    check(configurations::added());
}

#[test]
fn a_mart_of_rows_that_is_away() {
    check(configurations::rows());
}

#[test]
fn live_values_of_owners_that_are_fenced() {
    check(configurations::live());
}

#[test]
fn live_values_of_owners_that_die() {
    check(configurations::deaths());
}

#[test]
fn previews_that_no_later_owner_knows() {
    check(configurations::ghosts());
}

#[test]
fn folders_and_rewritten_files() {
    check(configurations::folders());
}

#[test]
fn followers_of_folders_that_begin_anew() {
    check(configurations::followers());
}

#[test]
fn entries_that_go_below_a_checkpoint() {
    check(configurations::retention());
}

#[test]
#[ignore = "takes some minutes"]
fn wider_bounds() {
    configurations::wider().into_iter().for_each(check);
}
