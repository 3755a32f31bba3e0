//! The crash-point matrix: whatever happens at any one call to the lake or the mart, the next lives of the pipeline end
//! with every record in every place once.
//!
//! A point is a call, named by what it does and to what (`create entry`, `rename staged raw`). The list is not written
//! down: a run without a fault tells which calls are made, so a new step of the protocol is a new point by itself. At
//! each point, at its first and last time (and its second, in the long run), each thing happens that can: the process dies before or after, the
//! answer is an error, is lost with or without the effect, or the request arrives late, in this life or in the next.
//! Kafka is librdkafka's mock cluster, the lake the twin in memory, the mart SQLite behind its twin; all else is what
//! `lakeward run` runs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

mod entries;
mod judge;
mod life;
mod point;
mod rebuild;
mod reset;
mod retention;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use self::life::{Age, Bed, End, World};
use self::point::{Fault, Occurrence, Plan, Point, faults_of};

/// Lives that run at the same time: they mostly wait.
const SIDE_BY_SIDE: usize = 8;

/// One cell of the matrix.
#[derive(Clone, Debug)]
struct Case {
    age: Age,
    point: Point,
    occurrence: Occurrence,
    fault: Fault,
}

#[test]
fn whatever_happens_at_any_call_every_record_is_in_every_place_once() {
    let bed = Bed::new();
    let calls = World::new(&bed, Age::Young).clean_run();
    let mut of_old_age = World::new(&bed, Age::Old).clean_run();
    of_old_age.retain(|point, _| !calls.contains_key(point));
    assert!(!of_old_age.is_empty(), "an old log has checkpoints, and bases of its state");
    check(&bed, Age::Old, &of_old_age);
    check(&bed, Age::Young, &calls);
}

fn check(bed: &Bed, age: Age, calls: &BTreeMap<Point, usize>) {
    let began = Instant::now();
    let cases = cases(age, calls);
    let met = run_all(&cases, |case| run(bed, case));
    let missed: usize = met.values().map(|counts| counts.missed).sum();
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{age:?}: {} points, {} cases, {missed} of them not met, {seconds:.0} s", calls.len(), cases.len());
    eprintln!("{calls:?}");
    // Threads race, so a call may be made less often than in the clean run, and one that only asks not at all. A point
    // that changes something and is never met is not tested.
    let untested: Vec<_> = met.iter().filter(|(point, counts)| point.changes() && counts.met == 0).collect();
    assert!(untested.is_empty(), "never met: {untested:?}");
}

/// Cases of a point by whether the call was made.
#[derive(Debug, Default)]
struct Counts {
    met: usize,
    missed: usize,
}

fn cases(age: Age, calls: &BTreeMap<Point, usize>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (point, &count) in calls {
        for occurrence in Occurrence::of(count) {
            for &fault in faults_of(point) {
                cases.push(Case { age, point: point.clone(), occurrence, fault });
            }
        }
    }
    cases
}

fn run_all(cases: &[Case], run: impl Fn(&Case) -> bool + Sync) -> BTreeMap<Point, Counts> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((Vec::new(), BTreeMap::<Point, Counts>::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(case)));
            let (failed, counts) = &mut *results.lock().unwrap();
            match outcome {
                Ok(true) => counts.entry(case.point.clone()).or_default().met += 1,
                Ok(false) => counts.entry(case.point.clone()).or_default().missed += 1,
                Err(what) => failed.push(format!("{case:?}: {}", text(&*what))),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(work);
        }
    });
    let (failed, counts) = results.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
    counts
}

/// Whether the point was met.
fn run(bed: &Bed, case: &Case) -> bool {
    live_through(&World::new(bed, case.age), case)
}

fn live_through(world: &World, case: &Case) -> bool {
    let plan = Plan::new(case.point.clone(), case.occurrence, case.fault);
    match world.live(&plan) {
        End::Stopped | End::Died => {}
        End::Exit(exit) => assert_eq!(exit.code, 3, "{exit}"),
    }
    if plan.delivers_in_next_life() {
        assert!(!matches!(world.live_with_late_arrival(), End::Died));
    }
    world.finish();
    plan.met()
}

fn text(what: &(dyn std::any::Any + Send)) -> String {
    let text = what.downcast_ref::<String>().cloned().or_else(|| what.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "a panic".to_owned())
}
