//! What a state is made of: the lake, the marts, what is under way between them, and the processes.

use std::collections::BTreeSet;

use crate::history::Node;
use crate::setup::{Faults, PARTS, Rows, Slices};
use crate::written::{Bar, Tag};

/// Everything that matters for what can happen next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Records that Kafka holds, per partition.
    pub produced: [u8; PARTS],
    /// The store's objects of the log, by version; removed ones are `None`.
    pub objects: Vec<Option<Node>>,
    /// The newest entry that was created as commit. No process sees this.
    pub head: Node,
    /// Versions of checkpoints.
    pub checkpoints: BTreeSet<u64>,
    /// What was sent and has not taken effect.
    pub under_way: Vec<Sent>,
    /// Staged files, with the claim in their folder's name.
    pub staged: BTreeSet<(Tag, u64)>,
    /// Visible files.
    pub visible: BTreeSet<Tag>,
    /// The mart of rows.
    pub rows: RowTable,
    /// The mart of the KPI.
    pub kpi: KpiTable,
    /// The processes.
    pub processes: Vec<Process>,
    /// What may still go wrong.
    pub left: Faults,
}

/// Something under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// A create.
    Create(Node),
    /// A rename into sight.
    Rename(Tag),
    /// A transaction with rows.
    Copy(Copy),
    /// A transaction with live values.
    Live(Live),
}

/// Who sent a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender {
    /// The process.
    pub process: usize,
    /// Its life then.
    pub life: u8,
    /// Its claim.
    pub claim: u64,
}

/// Rows of one partition, `[base, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copy {
    /// By whom.
    pub by: Sender,
    /// Partition.
    pub partition: usize,
    /// The fence's offset before.
    pub base: u8,
    /// The fence's offset after.
    pub to: u8,
    /// The rows.
    pub rows: Rows,
}

/// Live values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Live {
    /// By whom.
    pub by: Sender,
    /// The values.
    pub values: Slices,
    /// Offsets that they reflect.
    pub reflected: [u8; PARTS],
}

/// The mart of rows: one claim row, a fence per partition, the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowTable {
    /// The claim row.
    pub claim: Option<u64>,
    /// (claim, next).
    pub fences: [Option<(u64, u8)>; PARTS],
    /// Rows in the table.
    pub rows: Rows,
}

/// The mart of the KPI: a fence, the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KpiTable {
    /// The fence's claim.
    pub claim: Option<u64>,
    /// The last entry applied.
    pub version: Option<u64>,
    /// Windows that end at or before this are closed.
    pub closed_to: i64,
    /// Offsets that live values reflected.
    pub reflected: [u8; PARTS],
    /// Previews.
    pub live: Slices,
    /// Final rows.
    pub finals: Slices,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// How often it has begun anew.
    pub life: u8,
    /// Whether it has ever tried to own the pipeline. Of those that haven't, one is like the other.
    pub has_tried: bool,
    /// What it is.
    pub role: Role,
}

/// What a process is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It waits for its turn.
    StandBy,
    /// It tries to take over.
    Claiming(Creating),
    /// It takes itself for the owner.
    Owner(Box<Owner>),
    /// It was fenced and has ended.
    Fenced,
}

/// An entry that is being created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Creating {
    /// The entry.
    pub node: Node,
    /// Whether it was sent and not read back since.
    pub sent: bool,
}

/// A generation of a process that took the pipeline over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its claim entry.
    pub claim: Node,
    /// The newest entry that it knows.
    pub head: Node,
    /// The number of its open epoch.
    pub open: u8,
    /// Partitions that it reads.
    pub parts: [Option<Part>; PARTS],
    /// Epochs that were cut and are not committed, oldest first.
    pub epochs: Vec<Epoch>,
    /// The entry that is being created.
    pub creating: Option<Creating>,
    /// Files are in place up to here.
    pub rolled: Option<u64>,
    /// Epochs of its own that are committed.
    pub done: BTreeSet<Tag>,
    /// Its follower of rows.
    pub rows: RowFollower,
    /// Its follower of the KPI.
    pub kpi: KpiFollower,
}

/// A partition as its owner has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// The next offset to fetch.
    pub position: u8,
    /// Its watermark.
    pub watermark: i64,
    /// Records kept since the last barrier.
    pub kept: Rows,
    /// Records refused since the last barrier.
    pub refused: Rows,
    /// Added to windows since the last barrier.
    pub slices: Slices,
    /// Rows that this generation has in hand: all it kept.
    pub in_hand: Rows,
}

/// An epoch that was cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// Its number.
    pub n: u8,
    /// Floors for idle partitions, with the position that they hold for.
    pub floors: [Option<(i64, u8)>; PARTS],
    /// Partitions whose barrier is due.
    pub waiting: BTreeSet<usize>,
    /// Barriers.
    pub bars: [Option<Bar>; PARTS],
}

/// The follower of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowFollower {
    /// Whether it holds the mart.
    pub claimed: bool,
    /// Rows were taken back, the claim is still to come (a mutant's).
    pub half: bool,
    /// Where the fences stand, as far as it knows.
    pub fences: [u8; PARTS],
}

/// The follower of the KPI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KpiFollower {
    /// Whether it holds the table.
    pub claimed: bool,
    /// The last entry applied, as far as it knows.
    pub applied: Option<u64>,
    /// What the table had reflected when it was claimed.
    pub held_back: [u8; PARTS],
    /// Values that it was told, last of each.
    pub told: Slices,
    /// Of them, those to be written.
    pub waiting: Slices,
    /// Whether a transaction is under way.
    pub busy: bool,
}

impl State {
    /// The owner in process `i`, if it takes itself for one.
    #[must_use]
    pub fn owner(&self, i: usize) -> Option<&Owner> {
        match self.processes.get(i).map(|p| &p.role) {
            Some(Role::Owner(owner)) => Some(owner),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn owner_mut(&mut self, i: usize) -> Option<&mut Owner> {
        match self.processes.get_mut(i).map(|p| &mut p.role) {
            Some(Role::Owner(owner)) => Some(owner),
            _ => None,
        }
    }

    /// Puts something under way, in a fixed order: which came first doesn't matter.
    pub fn send(&mut self, sent: Sent) {
        self.under_way.push(sent);
        self.under_way.sort_unstable();
    }

    /// Process `i` begins anew: it dies and is started again, or its generation ends and takes over like a stranger.
    pub fn begin_anew(&mut self, i: usize) {
        if let Some(process) = self.processes.get_mut(i) {
            process.life += 1;
            process.role = Role::StandBy;
        }
    }

    /// Process `i` was fenced.
    pub fn fence(&mut self, i: usize) {
        if let Some(process) = self.processes.get_mut(i) {
            process.role = Role::Fenced;
        }
    }
}
