//! The same for `lakeward rebuild`: cut off at any of its calls, the next one goes on, a run goes on from the log in force,
//! and a reset is not misled by what was half prepared.

use std::collections::BTreeMap;

use lakeward_core::log::PipelinePaths;

use super::life::{Age, Bed, End, NAME, Offline, World};
use super::point::{Plan, is_long};
use super::reset::{nothing_is_left, untested};
use super::{Case, cases, run_all};

#[test]
fn a_rebuild_that_is_cut_off_at_any_call_is_finished_by_the_next_and_every_record_is_in_every_place_once() {
    let bed = Bed::new();
    let lived = World::new(&bed, Age::Old);
    assert!(matches!(lived.live(&Plan::none()), End::Stopped));
    lived.send_more();
    let bronze = bronze(&lived);
    let calls = lived.fork().calls_of(Offline::Rebuild);
    let mut cases = cases(Age::Old, &calls);
    // A rebuild does for each entry what it does for the first: elsewhere only where more cases are asked for.
    cases.retain(|case| case.occurrence.is_first() || is_long());
    let met = run_all(&cases, |case| run(&lived, case, &bronze));
    eprintln!("{} points, {} cases of a rebuild: {calls:?}", calls.len(), cases.len());
    untested(&met.iter().filter(|(_, counts)| counts.met == 0).map(|(point, _)| point).collect::<Vec<_>>());
}

/// Whether the point was met.
fn run(lived: &World, case: &Case, bronze: &BTreeMap<String, Vec<u8>>) -> bool {
    let world = lived.fork();
    let plan = Plan::new(case.point.clone(), case.occurrence, case.fault);
    let first = world.rebuild(&plan);
    if let End::Exit(exit) = &first {
        assert!([3, 4].contains(&exit.code), "{exit}");
    }
    if matches!(first, End::Died) {
        run_between(&world.fork());
        reset_between(&world.fork());
    }
    if !matches!(first, End::Stopped) {
        rebuilt(&world);
    }
    assert!(!world.reset_is_unfinished());
    assert_eq!(&self::bronze(&world), bronze, "Bronze was touched");
    world.finish();
    plan.met()
}

/// A second rebuild comes to its end.
fn rebuilt(world: &World) {
    match world.rebuild(&Plan::none()) {
        End::Stopped => {}
        End::Exit(exit) => panic!("the second rebuild: {exit}"),
        End::Died => panic!("the second rebuild died"),
    }
}

/// Before the switch a run goes on from the log in force, and the next rebuild catches up with it.
fn run_between(world: &World) {
    let unfinished = world.reset_is_unfinished();
    match world.live(&Plan::none()) {
        End::Stopped => assert!(!unfinished),
        End::Exit(exit) => assert!(unfinished && exit.reason == "RESET_UNFINISHED", "{exit}"),
        End::Died => panic!("the run died"),
    }
    rebuilt(world);
    world.finish();
}

/// A reset ends what was prepared: nothing of it comes into force.
fn reset_between(world: &World) {
    match world.reset(&Plan::none()) {
        End::Stopped => {}
        End::Exit(exit) => panic!("the reset: {exit}"),
        End::Died => panic!("the reset died"),
    }
    let logs = (0..).take_while(|n| world.memory.paths().contains(&PipelinePaths::new(NAME).log_id(*n))).count();
    nothing_is_left(world, logs);
    world.finish();
}

fn bronze(world: &World) -> BTreeMap<String, Vec<u8>> {
    let paths = world.memory.paths().into_iter().filter(|path| path.starts_with("raw/"));
    paths.map(|path| (path.clone(), world.memory.bytes(&path).to_vec())).collect()
}
