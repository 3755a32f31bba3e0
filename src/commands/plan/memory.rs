//! What a run may need of memory: bounds that the program keeps, added up. Windows and dedup keys depend on the records, so
//! of them the cap is told and what the log holds now.

use std::fmt::Write;

use lakeward_connect::kafka::BATCH_BYTES;
use lakeward_connect::layer::HELD_BYTES;
use lakeward_core::pipeline::{Encoding, Pipeline};
use serde::Serialize;

use super::size;
use crate::config::Config;
use crate::text::table;
use crate::topology::credits;

/// The program, its libraries and threads, before the first record. Measured, and rounded up.
const AT_REST: u64 = 64 << 20;

/// What librdkafka takes for a partition at least.
const QUEUE_AT_LEAST: u64 = 512 << 10;

/// An estimate in bytes.
#[derive(Debug, Serialize)]
pub struct Memory {
    at_rest: u64,
    fetched_ahead: u64,
    /// Batches between actors, if every edge is full of the largest.
    under_way: u64,
    /// Rows that wait in open files.
    open_files: u64,
    /// All of these.
    without_state: u64,
    /// What windows and dedup keys take in the log now.
    state_now: Option<u64>,
    /// What they may take.
    state_cap: u64,
    /// For how many partitions.
    partitions: u64,
}

/// Estimates it; one partition where Kafka did not say how many.
pub fn of(pipeline: &Pipeline, partitions: Option<usize>, config: &Config, state_now: Option<u64>) -> Memory {
    let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let partitions = wide(partitions.unwrap_or(1).max(1));
    let fetched_ahead = config.memory.fetched().max(partitions.saturating_mul(QUEUE_AT_LEAST));
    let batches = wide(credits::SOURCE + credits::LAYER + credits::ROWS);
    let under_way = partitions
        .saturating_mul(batches)
        .saturating_mul(wide(BATCH_BYTES))
        .min(config.memory.cap.max(wide(BATCH_BYTES)));
    let columnar = pipeline.layers.iter().filter(|layer| layer.encoding == Encoding::Parquet).count();
    let open_files = wide(columnar).saturating_mul(wide(HELD_BYTES));
    let without_state = AT_REST + fetched_ahead + under_way + open_files;
    Memory {
        at_rest: AT_REST,
        fetched_ahead,
        under_way,
        open_files,
        without_state,
        state_now,
        state_cap: config.memory.state_cap,
        partitions,
    }
}

impl Memory {
    /// The parts and their sum.
    pub fn tell(&self, text: &mut String) {
        let _ = writeln!(text, "\nmemory (estimated, at most, for {} partitions)", self.partitions);
        let row = |what: &str, bytes: u64, about: &str| [format!("  {what}"), size(bytes), about.to_owned()];
        let now = self.state_now.map_or_else(String::new, |bytes| format!("; the log holds {} now", size(bytes)));
        table(
            text,
            &[
                row("at rest", self.at_rest, "the program, its libraries and threads"),
                row("fetched ahead", self.fetched_ahead, "records in Kafka's client"),
                row("under way", self.under_way, "batches between actors"),
                row("open files", self.open_files, "rows that wait to be encoded"),
                row("together", self.without_state, ""),
                row("windows and keys", self.state_cap, &format!("memory.state_cap, beyond it STATE_FULL{now}")),
            ],
        );
    }
}
