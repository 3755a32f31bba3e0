//! The same where old entries are removed (F6): the log goes on from its checkpoints, and nothing is missing.

use lakeward_connect::lake::{Cue, Lake, Operation};
use lakeward_connect::log_store::LogStore;
use lakeward_core::ids::Version;
use lakeward_core::log::Fold;

use super::life::{Age, Bed, End, NAME, World, in_a_system};
use super::point::{Fault, Occurrence, Plan, Point};

/// Epochs between two sweeps, as the folders' follower has them.
const SWEEP_EVERY: i64 = 20;

#[test]
fn old_entries_go_and_the_log_goes_on_from_its_checkpoints() {
    let bed = Bed::new();
    let world = World::new(&bed, Age::Ancient);
    // It passes the second checkpoint.
    assert!(matches!(world.live(&Plan::none()), End::Stopped));
    assert_eq!((fold(&world).entries_from, first_entry(&world)), (None, Version(0)));
    // A sweep finds that all followers have passed the checkpoint; the next entry says so.
    world.more(SWEEP_EVERY + 2);
    assert!(matches!(world.live(&Plan::none()), End::Stopped));
    assert_eq!((fold(&world).entries_from, first_entry(&world)), (Some(Version(1000)), Version(0)));
    world.more(1);
    let dies =
        Plan::new(Point::Lake(Operation::Delete, "entry".to_owned()), Occurrence(300), Fault::Cue(Cue::DieAfter));
    assert!(matches!(world.live(&dies), End::Died));
    assert_eq!(first_entry(&world), Version(300));
    // The next one removes the rest, and one more begins where nothing is left below.
    assert!(matches!(world.live(&Plan::none()), End::Stopped));
    assert_eq!(first_entry(&world), Version(1000));
    world.more(1);
    world.finish();
}

fn fold(world: &World) -> Fold {
    in_a_system(async {
        let lake = Lake::of_memory(&world.memory.next_life());
        let log = LogStore::open_existing(&lake, NAME).await.unwrap().unwrap();
        log.load().await.unwrap().unwrap()
    })
}

fn first_entry(world: &World) -> Version {
    let mut entries: Vec<_> = world.memory.paths().into_iter().filter(|p| p.split('/').nth(3) == Some("log")).collect();
    entries.sort();
    let name = entries.first().and_then(|path| path.rsplit('/').next()).unwrap();
    Version(name.strip_suffix(".json").unwrap().parse().unwrap())
}
