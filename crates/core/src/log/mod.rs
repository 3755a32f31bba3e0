//! The pipeline's log: what an entry holds, what follows from a sequence of entries, and every decision about it.
//!
//! The shell reads facts from the lake and from Kafka, calls one function of this module and carries the decision
//! out. It promises I1, I2, I7, I9 and I10 as far as they are decided by logic; durability is the store's.

mod draft;
mod entry;
mod fence;
mod fold;
mod garbage;
#[cfg(test)]
mod garbage_properties;
mod live_files;
mod offset_set;
mod owner;
mod paths;
mod reset;
mod resolve;
mod retention;
mod start;
mod take_up;

pub use draft::*;
pub use entry::*;
pub use fence::*;
pub use fold::*;
pub use garbage::*;
pub use live_files::*;
pub use offset_set::*;
pub use owner::*;
pub use paths::*;
pub use reset::*;
pub use resolve::*;
pub use retention::*;
pub use start::*;
pub use take_up::*;

/// A checkpoint stands at each multiple of this many versions (L5): often enough that a start reads at most about a
/// thousand small entries, seldom enough that the fold's size doesn't matter.
pub const CHECKPOINT_EVERY: u64 = 1_000;
