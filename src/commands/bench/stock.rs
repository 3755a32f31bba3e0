//! Records made before the clock starts, in batches as Kafka's client would hand them over. Pure but for the time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lakeward_actors::kit::Clock;
use lakeward_core::generate::{Generator, GeneratorSpec, Ratios};
use lakeward_core::record::RawBatch;

use crate::feed::Stamps;
use crate::reader::Stock;

/// The largest batch that a partition's thread makes of Kafka's records.
const BATCH: usize = 4_096;

/// How many records of which kind.
pub struct Plan {
    /// Partitions, which take turns.
    pub partitions: u32,
    /// Records over all of them.
    pub events: u64,
    /// Time that their timestamps are spread over; it ends now.
    pub span: Duration,
    /// The same one gives the same records.
    pub seed: u64,
}

/// What was made.
pub struct Made {
    /// The records.
    pub stock: Stock,
    /// The offset behind the last one, per partition.
    pub ends: BTreeMap<i32, i64>,
    /// Bytes of keys and payloads.
    pub bytes: usize,
}

/// Makes the records of a plan.
#[must_use]
pub fn make(spec: &GeneratorSpec, plan: &Plan) -> Made {
    let span = i64::try_from(plan.span.as_micros()).unwrap_or(i64::MAX);
    let stamps = Stamps::Spread { start: Clock::system().wall_micros().saturating_sub(span), span, count: plan.events };
    let mut generator = Generator::new(spec, plan.seed, Ratios::default());
    let partitions: Vec<i32> = (0..i32::try_from(plan.partitions).unwrap_or(i32::MAX)).collect();
    let mut open: Vec<RawBatch> = partitions.iter().map(|&partition| RawBatch::new(partition, 0)).collect();
    let mut full: BTreeMap<i32, VecDeque<RawBatch>> = partitions.iter().map(|&p| (p, VecDeque::new())).collect();
    let mut bytes = 0;
    for number in 0..plan.events {
        let record = generator.next(stamps.of(number, || 0));
        let turn = usize::try_from(number % u64::from(plan.partitions.max(1))).unwrap_or(0);
        let Some(batch) = open.get_mut(turn) else { continue };
        bytes += record.key.len() + record.payload.len();
        batch.push(batch.range.to, record.timestamp_ms, Some(&record.key), Some(&record.payload), None);
        if batch.records.len() == BATCH {
            close(batch, &mut full);
        }
    }
    let ends = open.iter().map(|batch| (batch.partition, batch.range.to)).collect();
    open.iter_mut().filter(|batch| !batch.records.is_empty()).for_each(|batch| close(batch, &mut full));
    Made { stock: Stock::new(full), ends, bytes }
}

fn close(batch: &mut RawBatch, full: &mut BTreeMap<i32, VecDeque<RawBatch>>) {
    let mut next = RawBatch::new(batch.partition, batch.range.to);
    // As large as the last one, which saves growing step by step.
    next.arena.reserve(batch.arena.len());
    next.records.reserve(batch.records.len());
    let done = std::mem::replace(batch, next);
    full.entry(done.partition).or_default().push_back(done);
}
