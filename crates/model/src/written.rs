//! What makes an entry what it is.

use crate::history::Node;
use crate::setup::{PARTS, Rows, Slices};

/// Who made something: unlike any other maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The process.
    pub process: u8,
    /// How often it had begun anew.
    pub life: u8,
    /// Its epoch, or what else it counts.
    pub n: u8,
}

impl Tag {
    /// The attempt id.
    #[must_use]
    pub fn attempt(self) -> String {
        format!("{:02x}{:02x}{:04x}{:024}", self.process, self.life, self.n, 0)
    }
}

/// What one partition says at a barrier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bar {
    /// The next offset to fetch.
    pub to: u8,
    /// The watermark, floor included.
    pub watermark: i64,
    /// The floor.
    pub floor: Option<i64>,
    /// Whether it was idle.
    pub idle: bool,
    /// Records kept.
    pub kept: Rows,
    /// Records refused as from the future.
    pub refused: Rows,
    /// What was added to windows.
    pub slices: Slices,
}

/// What an entry is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// A claim.
    Claim,
    /// An epoch.
    Epoch {
        /// Barriers.
        bars: Box<[Option<Bar>; PARTS]>,
        /// A partition that enters the set, and the watermark that it begins with if not G (a mutant's).
        enters: Option<(usize, Option<i64>)>,
        /// G.
        g: i64,
        /// Rows of the windows that it closes.
        gold: Slices,
    },
    /// Files rewritten into one.
    Compaction {
        /// Those that go.
        removes: Vec<Tag>,
    },
}

/// What makes an entry what it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Written {
    /// The entry before.
    pub parent: Node,
    /// Its maker, and the attempt.
    pub tag: Tag,
    /// The claim that it is written under; a claim entry's is its version.
    pub claim: u64,
    /// How far files are in place.
    pub rolled: Option<u64>,
    /// The rest.
    pub content: Content,
}
