//! The same for `lakeward reset`: cut off at any of its calls, the next one finishes, and everything is read anew.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_connect::lake::Lake;
use lakeward_connect::mart::{Mart, MartOptions};
use lakeward_core::log::PipelinePaths;

use super::life::{Age, Bed, End, NAME, Offline, World};
use super::point::{Plan, Point};
use super::{Case, cases, run_all};

#[test]
fn a_reset_that_is_cut_off_at_any_call_is_finished_by_the_next_and_all_is_read_anew() {
    let bed = Bed::new();
    let lived = World::new(&bed, Age::Old);
    assert!(matches!(lived.live(&Plan::none()), End::Stopped));
    let calls = lived.fork().calls_of(Offline::Reset);
    let cases = cases(Age::Old, &calls);
    let met = run_all(&cases, |case| run(&lived, case));
    eprintln!("{} points, {} cases of a reset: {calls:?}", calls.len(), cases.len());
    untested(&met.iter().filter(|(_, counts)| counts.met == 0).map(|(point, _)| point).collect::<Vec<_>>());
}

pub fn untested(points: &[&Point]) {
    assert!(!points.iter().any(|point| point.changes()), "never met: {points:?}");
}

/// Whether the point was met.
fn run(lived: &World, case: &Case) -> bool {
    let world = lived.fork();
    let plan = Plan::new(case.point.clone(), case.occurrence, case.fault);
    let first = world.reset(&plan);
    if let End::Exit(exit) = &first {
        assert!([3, 4].contains(&exit.code), "{exit}");
    }
    if world.reset_is_unfinished() {
        match world.live(&Plan::none()) {
            End::Exit(exit) => assert_eq!(exit.reason, "RESET_UNFINISHED", "{exit}"),
            _ => panic!("a run began before the reset was finished"),
        }
    }
    if !matches!(first, End::Stopped) {
        match world.reset(&Plan::none()) {
            End::Stopped => {}
            // It had come to its end before it heard of that.
            End::Exit(exit) if exit.code == 1 => {}
            End::Exit(exit) => panic!("the second reset: {exit}"),
            End::Died => panic!("the second reset died"),
        }
    }
    nothing_is_left(&world, 2);
    // What arrives late has to find nothing that it could harm.
    world.finish();
    plan.met()
}

/// Of the old log only its last entry, its checkpoints, its lease and its mark are left, of its rows none.
pub fn nothing_is_left(world: &World, logs: usize) {
    let lake = Lake::of_memory(&world.memory.next_life());
    let kinds: BTreeMap<String, usize> = world.memory.paths().iter().fold(BTreeMap::new(), |mut kinds, path| {
        *kinds.entry(lakeward_connect::crash_point::kind_of(path)).or_default() += 1;
        kinds
    });
    let kept = ["checkpoint", "definition", "entry", "lease", "log id", "mark of a cleared log"];
    let found: BTreeSet<&str> = kinds.keys().map(String::as_str).collect();
    assert!(found.is_subset(&kept.into()), "{kinds:?} of {}", lake.store());
    let ended = logs - 1;
    assert_eq!((kinds.get("entry"), kinds.get("log id")), (Some(&ended), Some(&logs)), "{kinds:?}");
    let last = u32::try_from(ended).unwrap();
    assert!(world.memory.paths().contains(&PipelinePaths::new(NAME).log_id(last)));
    let rows = super::life::in_a_system(async {
        let url = format!("sqlite://{}", world.mart_file().display());
        let mart = Mart::open(&url, MartOptions::default()).await.unwrap();
        let status = mart.status(&world.pipeline()).await.unwrap();
        status.tables.iter().map(|table| table.rows).sum::<i64>()
    });
    assert_eq!(rows, 0, "rows in the mart");
}
