//! The pure core: bytes, batches, offsets and times in; values out.
//!
//! Nothing here awaits, reads a clock, opens a file or knows an actor. A shell gathers facts, calls one function of
//! this crate and carries the decision out. The rules of exactness are cited by number (L1, E3, T2 …); the page
//! `docs/PROTOCOL.md` explains them.

pub mod bronze;
pub mod decimal;
pub mod decode;
pub mod dedup;
pub mod document;
pub mod duration;
pub mod expr;
pub mod generate;
pub mod hive;
pub mod idle;
pub mod ids;
pub mod json_line;
pub mod kpi;
pub mod lake_line;
pub mod late;
pub mod ledger;
pub mod log;
pub mod partition_step;
pub mod pipeline;
pub mod quarantine;
pub mod record;
pub mod types;
pub mod watermark;
