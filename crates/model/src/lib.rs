//! The log's rules as a state machine that is explored exhaustively, within bounds that each configuration names.
//!
//! A *state* is what the lake, the marts, the network and the processes hold; a *step* is one thing that happens: a record
//! comes, an entry is sent, a transaction takes effect late, a process dies. `explorer` visits every state that can be
//! reached and finds the shortest history of what must not be. What decides is production's: entries are made by
//! `log::render` and checked by `log::Fold`, creates resolved by `log::resolve_create`, windows closed by `kpi::Windows`,
//! fences judged by `log::{judge_steps, take_back, KpiStanding}`, staging by `log::removable_staging`. What production
//! leaves to a shell, to SQL or to a store is imitated here, and the place says what it imitates.
//!
//! Any rule can be left out (`Rule`), in the model only: then the exploration must find a counter-example. A rule whose
//! absence breaks nothing is either not needed or not explored.
//!
//! A process that is frozen, thawed, slow or dead for long needs no step of its own: others do any number of steps
//! before its next one. Clocks play no part, except that a record may be found to be from the future by one process and
//! not by another.

mod commit;
pub mod configurations;
mod explorer;
mod folders;
mod history;
mod kpi_mart;
mod log;
mod partition;
mod recompute;
mod rest;
mod row_mart;
mod rule;
mod setup;
mod state;
mod step;
mod violation;
mod world;
mod written;

pub use explorer::{CounterExample, Explored, World, explore};
pub use rule::Rule;
pub use setup::{Faults, Grain, Setup};
pub use step::{Fate, Step};
pub use violation::{Invariant, Violation};
pub use world::Model;
