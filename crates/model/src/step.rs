//! What can happen, in words.

use std::fmt;

/// What becomes of something that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It takes effect at once.
    Arrives,
    /// It never takes effect.
    Lost,
    /// It takes effect some time later.
    Late,
}

/// One thing that happens. Numbers are processes and partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Kafka gets a record.
    Produce(usize),
    /// What was sent takes effect.
    Land(usize),
    /// A process dies and is started again, or its generation ends.
    Die(usize),
    /// A process reads the log and makes a claim entry.
    Look(usize),
    /// A create is sent.
    Send(usize, Fate),
    /// What became of a create is read back.
    ReadBack(usize),
    /// A create is sent, takes effect and is read back.
    Create(usize),
    /// A record is read.
    Read {
        /// Process.
        process: usize,
        /// Partition.
        partition: usize,
        /// Whether it is found to be from the future.
        refuse: bool,
    },
    /// An epoch is cut.
    Cut {
        /// Process.
        process: usize,
        /// Whether partitions at their end count as idle.
        idle: bool,
    },
    /// A partition passes its barrier.
    Barrier(usize, usize),
    /// A record is read, an epoch cut, all barriers passed.
    Work(usize, usize),
    /// The next entry is made of the oldest epoch.
    Build(usize),
    /// The checkpoint of the head is written.
    Checkpoint(usize),
    /// Entries below the newest checkpoint are removed.
    Retain,
    /// The mart of rows is claimed.
    ClaimRows(usize),
    /// Rows are copied.
    Copy {
        /// Process.
        process: usize,
        /// Partition.
        partition: usize,
        /// What becomes of it.
        fate: Fate,
    },
    /// The KPI's table is claimed.
    ClaimKpi(usize),
    /// Entries are applied to the KPI's table.
    Finals(usize),
    /// The follower is told what changed.
    Tell(usize),
    /// Live values are written.
    Live(usize, Fate),
    /// An entry's files are renamed into sight.
    Roll(usize, Fate),
    /// Staging is swept.
    Sweep(usize),
    /// All files are rewritten into one.
    Compact(usize),
    /// The follower of the folders dies and is started again.
    FollowerDies(usize),
}

fn name(process: usize) -> char {
    ['A', 'B', 'C', 'D'].get(process).copied().unwrap_or('?')
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrives => "",
            Self::Lost => ": it is lost",
            Self::Late => ": it is under way",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Produce(p) => write!(f, "a record comes to p{p}"),
            Self::Land(n) => write!(f, "what is under way takes effect (number {n})"),
            Self::Die(i) => write!(f, "{} dies and begins anew", name(i)),
            Self::Look(i) => write!(f, "{} reads the log and wants it", name(i)),
            Self::Send(i, fate) => write!(f, "{} sends its entry{fate}", name(i)),
            Self::ReadBack(i) => write!(f, "{} reads back", name(i)),
            Self::Create(i) => write!(f, "{} creates its entry and reads back", name(i)),
            Self::Read { process, partition, refuse } => {
                let how = if refuse { " and finds it to be from the future" } else { "" };
                write!(f, "{} reads a record of p{partition}{how}", name(process))
            }
            Self::Cut { process, idle } => {
                write!(f, "{} cuts an epoch{}", name(process), if idle { ", who is at the end is idle" } else { "" })
            }
            Self::Barrier(i, p) => write!(f, "p{p} of {} passes its barrier", name(i)),
            Self::Work(i, p) => write!(f, "{} makes an epoch of a record of p{p}", name(i)),
            Self::Build(i) => write!(f, "{} makes the next entry", name(i)),
            Self::Checkpoint(i) => write!(f, "{} writes the checkpoint", name(i)),
            Self::Retain => f.write_str("entries below the newest checkpoint go"),
            Self::ClaimRows(i) => write!(f, "{} claims the mart of rows", name(i)),
            Self::Copy { process, partition, fate } => {
                write!(f, "{} copies rows of p{partition}{fate}", name(process))
            }
            Self::ClaimKpi(i) => write!(f, "{} claims the KPI's table", name(i)),
            Self::Finals(i) => write!(f, "{} applies entries to the KPI's table", name(i)),
            Self::Tell(i) => write!(f, "{}'s KPI follower is told what changed", name(i)),
            Self::Live(i, fate) => write!(f, "{} writes live values{fate}", name(i)),
            Self::Roll(i, fate) => write!(f, "{} rolls an entry forward{fate}", name(i)),
            Self::Sweep(i) => write!(f, "{} sweeps staging", name(i)),
            Self::Compact(i) => write!(f, "{} rewrites all files into one", name(i)),
            Self::FollowerDies(i) => write!(f, "the folders' follower of {} dies and begins anew", name(i)),
        }
    }
}
