//! The actors. Each is a thin shell: it receives, calls the core, and hands on.
//!
//! ```text
//!                          2          ┌─2─► LayerWriter(records)     ─┐
//! source thread ──────► PartitionActor├─2─► LayerWriter(rejects, late)─┤
//!  (one per partition)  (one each)    ├─2─► LayerWriter(rows)        ─┼─8─► CommitActor ──► the log
//!        ▲                   ▲        ├─8─► RowMart                   │       │   ▲ │
//!        │ stops fetching    │2       └─4─► KpiRegistry ──2─► KpiActor │       │   │ └─► watch: followers
//!        │ without credit    └────────────────── cut ─────────────────┼───────┘   │      Directories
//!                                     KpiRegistry ─2─► LayerWriter(final windows)─┤      GroupOffsets
//!                                     KpiRegistry ◄─2─ close ─ CommitActor        │      RowMart, KpiMart, LateMart
//!                                     KpiActor ──1─► KpiMart          TopicWatch ─┘2
//! ```
//!
//! The numbers are the credits of the edges, per sender: no more messages than that are ever between two actors.
//! Every edge is an `kit::Outbox`; raw actix sends are refused by clippy. A message carries a batch, or what came of
//! one, never one event. The death of an actor between Kafka and the log ends the generation; a follower is started
//! again alone.

pub mod attempt;
pub mod commit;
pub mod cutting;
pub mod directories;
pub mod group_offsets;
pub mod kit;
pub mod kpi;
pub mod kpi_mart;
pub mod kpi_registry;
pub mod late_mart;
pub mod layer_writer;
pub mod mart_link;
pub mod owner;
pub mod partition;
pub mod reviser;
pub mod row_mart;
pub mod source;
pub mod state_writer;
pub mod topic_identity;
pub mod topic_watch;

#[cfg(test)]
mod testing;
