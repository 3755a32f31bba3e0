//! What is explored: small worlds of two or three features each, chosen so that every rule matters in one of them.

use crate::rule::Rule;
use crate::setup::{Faults, Grain, Setup};

/// Three owners, and creates that are lost or late. A checkpoint stands at every second version, and entries below it go.
#[must_use]
pub fn owners() -> Setup {
    Setup {
        grain: Grain::Records,
        creates: true,
        checkpoint: 2,
        faults: Faults { deaths: 1, take_overs: 2, lost: 1, late: 1, retentions: 1, ..Faults::default() },
        ..Setup::new("owners", 3, &[&[1, 2]])
    }
}

/// Three partitions, of which two fall idle and one wakes; lateness; death anywhere.
#[must_use]
pub fn idle() -> Setup {
    Setup {
        idle: true,
        kpi: true,
        lateness: 2,
        ready: [2, 1, 1],
        faults: Faults { deaths: 1, ..Faults::default() },
        ..Setup::new("idle", 1, &[&[1, 15], &[11, 8], &[2]])
    }
}

/// Two partitions and one that is added while two epochs are under way.
#[must_use]
pub fn added() -> Setup {
    Setup {
        kpi: true,
        added: Some(2),
        ready: [2, 2, 0],
        faults: Faults { deaths: 1, ..Faults::default() },
        ..Setup::new("added", 1, &[&[1, 15], &[2, 16], &[5]])
    }
}

/// Three owners and a mart of rows that is away across some of them; transactions that are late or unanswered; a record
/// that one owner finds to be from the future and another doesn't.
#[must_use]
pub fn rows() -> Setup {
    Setup {
        grain: Grain::Epochs,
        rows: true,
        faults: Faults { deaths: 2, take_overs: 1, late: 1, ..Faults::default() },
        ..Setup::new("rows", 2, &[&[1, 2]]).future(0, 1)
    }
}

/// Two owners and the table of a KPI: live values that are late, final rows, a key that only a dead attempt has seen.
#[must_use]
pub fn live() -> Setup {
    Setup {
        grain: Grain::Epochs,
        kpi: true,
        live: true,
        faults: Faults { take_overs: 1, late: 1, ..Faults::default() },
        ..Setup::new("live", 2, &[&[1, 2, 15]])
    }
}

/// The same, with owners that die instead of being fenced.
#[must_use]
pub fn deaths() -> Setup {
    Setup { name: "deaths", faults: Faults { deaths: 2, late: 1, ..Faults::default() }, ..live() }
}

/// The same with a record that one owner finds to be from the future: a key that only a dead attempt has seen.
#[must_use]
pub fn ghosts() -> Setup {
    Setup {
        grain: Grain::Epochs,
        kpi: true,
        live: true,
        faults: Faults { deaths: 1, take_overs: 1, ..Faults::default() },
        ..Setup::new("ghosts", 2, &[&[1, 15]])
    }
    .future(0, 0)
}

/// Two owners and folders: late renames, sweeps, files rewritten into one.
#[must_use]
pub fn folders() -> Setup {
    Setup {
        grain: Grain::Records,
        folders: true,
        faults: Faults { deaths: 1, take_overs: 1, late: 1, compactions: 1, ..Faults::default() },
        ..Setup::new("folders", 2, &[&[1, 2]])
    }
}

/// The same, with followers that begin anew.
#[must_use]
pub fn followers() -> Setup {
    Setup {
        name: "followers",
        faults: Faults { take_overs: 1, late: 1, followers: 1, compactions: 1, ..Faults::default() },
        ..folders()
    }
}

/// Folders, checkpoints, and entries that go below them.
#[must_use]
pub fn retention() -> Setup {
    Setup {
        grain: Grain::Records,
        folders: true,
        checkpoint: 2,
        faults: Faults { deaths: 1, take_overs: 1, retentions: 1, ..Faults::default() },
        ..Setup::new("retention", 2, &[&[1, 2]])
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Setup> {
    vec![owners(), idle(), added(), rows(), live(), deaths(), ghosts(), folders(), followers(), retention()]
}

/// Wider bounds, for a long run.
#[must_use]
pub fn wider() -> Vec<Setup> {
    let with = |setup: Setup, change: fn(&mut Faults)| {
        let mut faults = setup.faults;
        change(&mut faults);
        Setup { faults, ..setup }
    };
    vec![
        with(owners(), |f| (f.deaths, f.take_overs) = (2, 1)),
        with(idle(), |f| f.deaths = 2),
        with(added(), |f| f.deaths = 2),
        with(rows(), |f| (f.deaths, f.late) = (1, 2)),
        with(live(), |f| (f.deaths, f.late) = (1, 0)),
        with(ghosts(), |f| f.late = 1),
        with(folders(), |f| f.followers = 1),
        Setup {
            faults: retention().faults,
            topic: Setup::new("", 1, &[&[1, 2, 3]]).topic,
            ready: [3, 0, 0],
            ..retention()
        },
    ]
}

/// The configuration in which a rule matters.
#[must_use]
pub fn of(rule: Rule) -> Setup {
    match rule {
        Rule::L1Absent
        | Rule::L3ReadBack
        | Rule::L3SameBytes
        | Rule::L3StepDown
        | Rule::L4OneAtATime
        | Rule::L5Checkpoint
        | Rule::L5Probe
        | Rule::L5AnyAbove
        | Rule::O3NewClaim => owners(),
        Rule::E3Lateness
        | Rule::T1OwnWatermark
        | Rule::T2Floor
        | Rule::T2NotIdle
        | Rule::T2AllIdle
        | Rule::T2OneMessage
        | Rule::T2NotAFlag => idle(),
        Rule::E2Increments | Rule::E3AllPartitions | Rule::E3Barriers | Rule::T3Floor | Rule::T3AfterCommit => added(),
        Rule::O1ClaimFirst
        | Rule::F2OwnClaim
        | Rule::F2Base
        | Rule::F2ClaimFirst
        | Rule::F2Delete
        | Rule::F2ReignEnd
        | Rule::F2Fill
        | Rule::F2Min => rows(),
        Rule::F3OwnClaim | Rule::F3ClosedTo | Rule::F3HoldBack => deaths(),
        Rule::O1NotBack => live(),
        Rule::F3Ghosts => ghosts(),
        Rule::F1Skip | Rule::F1AlreadyThere => followers(),
        Rule::H1Rolled | Rule::H2OwnStaging | Rule::H2Pending | Rule::H3NeverTwice => folders(),
        Rule::F6Followers => retention(),
    }
}
