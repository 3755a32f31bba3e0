//! Points, and what happens at them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lakeward_connect::crash_point::kind_of;
use lakeward_connect::lake::{Cue, Operation};
use lakeward_connect::mart::MartCall;

/// A kind of call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// To the lake, on a path of this kind.
    Lake(Operation, String),
    /// To the mart.
    Mart(MartCall),
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lake(operation, kind) => write!(f, "{operation:?} {kind}"),
            Self::Mart(call) => write!(f, "mart {call:?}"),
        }
    }
}

impl Point {
    /// The point of an operation on a path: what the path is for, without ids and numbers.
    pub fn of(operation: Operation, path: &str) -> Self {
        Self::Lake(operation, kind_of(path))
    }

    /// Whether the call changes what outlives its caller.
    pub fn changes(&self) -> bool {
        use Operation::{Close, Create, Delete, List, Put, Read, Recover, Rename, Stat, Write};
        match self {
            Self::Lake(Read | Stat | List | Write | Recover, _) => false,
            Self::Lake(Create | Rename | Delete | Put | Close, _) | Self::Mart(_) => true,
        }
    }
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call goes as the cue says.
    Cue(Cue),
    /// The request arrives after the life in which it was made.
    LateInNextLife,
}

/// All that can happen at a point. A call that changes nothing that outlives its caller only fails.
pub fn faults_of(point: &Point) -> &'static [Fault] {
    use Cue::{DieAfter, DieBefore, Full, Late, LostAnswer, LostRequest};
    const CHANGES: &[Fault] = &[
        Fault::Cue(DieBefore),
        Fault::Cue(DieAfter),
        Fault::Cue(Full),
        Fault::Cue(LostRequest),
        Fault::Cue(LostAnswer),
        Fault::Cue(Late),
        Fault::LateInNextLife,
    ];
    const ASKS: &[Fault] = &[Fault::Cue(DieBefore), Fault::Cue(LostRequest)];
    if point.changes() { CHANGES } else { ASKS }
}

/// Which time a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence(pub usize);

impl Occurrence {
    /// The first and the last of `count`; where more cases are asked for, the second too.
    pub fn of(count: usize) -> Vec<Self> {
        let mut numbers = if is_long() { vec![1, 2, count] } else { vec![1, count] };
        numbers.retain(|n| *n <= count);
        numbers.dedup();
        numbers.into_iter().map(Self).collect()
    }

    /// Whether it is the first.
    pub fn is_first(self) -> bool {
        self.0 == 1
    }
}

/// Whether more cases are asked for.
pub fn is_long() -> bool {
    std::env::var_os("LAKEWARD_TEST_CASES").is_some()
}

/// One fault that happens once.
#[derive(Clone)]
pub struct Plan {
    point: Option<Point>,
    occurrence: usize,
    fault: Fault,
    seen: Arc<AtomicUsize>,
}

impl Plan {
    pub fn new(point: Point, occurrence: Occurrence, fault: Fault) -> Self {
        Self { point: Some(point), occurrence: occurrence.0, fault, seen: Arc::default() }
    }

    /// Nothing happens.
    pub fn none() -> Self {
        Self { point: None, occurrence: 0, fault: Fault::Cue(Cue::Full), seen: Arc::default() }
    }

    /// The process dies with its first epoch staged, before the entry.
    pub fn dies_before_its_first_epoch() -> Self {
        let entry = Point::Lake(Operation::Create, "entry".to_owned());
        Self::new(entry, Occurrence(2), Fault::Cue(Cue::DieBefore))
    }

    /// How this call goes.
    pub fn cue(&self, point: &Point) -> Option<Cue> {
        if self.point.as_ref() != Some(point) || self.seen.fetch_add(1, Ordering::AcqRel) + 1 != self.occurrence {
            return None;
        }
        Some(match self.fault {
            Fault::Cue(cue) => cue,
            Fault::LateInNextLife => Cue::Late,
        })
    }

    /// Whether the life ends with the call.
    pub fn ends_life(&self) -> bool {
        matches!(self.fault, Fault::Cue(Cue::DieBefore | Cue::DieAfter) | Fault::LateInNextLife)
    }

    /// Whether the request arrives in the next life.
    pub fn delivers_in_next_life(&self) -> bool {
        self.fault == Fault::LateInNextLife && self.met()
    }

    /// Whether it has happened.
    pub fn met(&self) -> bool {
        self.seen.load(Ordering::Acquire) >= self.occurrence
    }
}
