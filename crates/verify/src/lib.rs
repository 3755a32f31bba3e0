//! One checker for a pipeline: what the followers hold against what they must hold.

mod calendar;
mod cell;
mod chain;
mod eval;
mod field;
mod history;
mod invariant;
mod line;
mod number;
mod object;
mod report;

pub use invariant::Invariant;
pub use report::{KEPT, Report, Verdict};
