//! The pipeline's log: what an entry holds, what follows from a sequence of entries, and every decision about it.

mod entry;

pub use entry::*;
