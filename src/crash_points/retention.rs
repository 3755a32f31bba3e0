//! The same where layers keep their files for a span of event time (H1): what is over goes, nothing else does, wherever it
//! is cut off.

use std::collections::BTreeMap;

use lakeward_connect::lake::{Lake, Operation};
use lakeward_connect::log_store::LogStore;
use lakeward_core::log::Fold;

use super::life::{Age, Bed, NAME, World, in_a_system};
use super::point::{Occurrence, Point, is_long};
use super::reset::untested;
use super::{cases, live_through, run_all};

/// About two instalments of event time.
const ALL: &[(&str, &str)] = &[
    ("[bronze]\n", "retention = \"5m\"\n"),
    ("[silver]\n", "retention = \"5m\"\n"),
    ("[quarantine]\n", "retention = \"5m\"\n"),
    ("path = \"late\"", ", retention = \"5m\""),
    ("gold = { path = \"gold\"", ", retention = \"5m\""),
];

/// Where all input stays, what is gone can be worked out.
const BEHIND: &[(&str, &str)] = &[ALL[1], ALL[3], ALL[4]];

/// Enough for the silent partition to be idle, so that event time goes on, and for files to be old then.
const INSTALMENTS: i64 = 9;
/// Entries that every life makes, however its threads race: its claim, and an epoch per instalment.
const ENTRIES: Occurrence = Occurrence(10);

#[test]
fn files_go_when_they_are_old_and_whatever_happens_then_the_rest_is_in_every_place_once() {
    let bed = Bed::new();
    for also in [ALL, BEHIND] {
        let world = World::saying(&bed, also, INSTALMENTS);
        let calls = world.clean_run();
        let fold = fold(&world);
        assert_eq!(fold.expired.len(), also.len(), "{:?}", fold.expired);
        if also == ALL {
            check(&bed, calls);
        }
    }
}

/// The first file of a layer that goes, and the last entry that says so: the other layers' go the same way.
fn check(bed: &Bed, mut calls: BTreeMap<Point, usize>) {
    let entry = Point::Lake(Operation::Create, "entry".to_owned());
    let deletion = Point::of(Operation::Delete, "rows/f");
    calls.retain(|point, _| [&entry, &deletion].contains(&point));
    assert_eq!(calls.len(), 2, "{calls:?}");
    let mut cases = cases(Age::Young, &calls);
    cases.retain(|case| is_long() || case.occurrence.is_first() != (case.point == entry));
    for case in cases.iter_mut().filter(|case| case.point == entry) {
        case.occurrence = case.occurrence.min(ENTRIES);
    }
    let met = run_all(&cases, |case| live_through(&World::saying(bed, ALL, INSTALMENTS), case));
    eprintln!("{} cases of retention: {met:?}", cases.len());
    untested(&met.iter().filter(|(_, counts)| counts.met == 0).map(|(point, _)| point).collect::<Vec<_>>());
}

fn fold(world: &World) -> Fold {
    in_a_system(async {
        let lake = Lake::of_memory(&world.memory.next_life());
        let log = LogStore::open_existing(&lake, NAME).await.unwrap().unwrap();
        log.load().await.unwrap().unwrap()
    })
}
