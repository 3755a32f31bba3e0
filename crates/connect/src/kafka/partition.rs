//! One partition's thread: credit, consume, deliver.
//!
//! Promises: one delivery for each credit granted (but for a failure, which is the last event and needs none); ranges
//! join, so every delivery begins where the last one ended; what is delivered was copied once.
//! Deliberately not here: what the records mean, and which partitions there are.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use lakeward_core::record::{Header, RawBatch};
use lakeward_kafka_ffi::{Item, Message, PartitionQueue, RDKafkaErrorCode as Code};
use rdkafka::consumer::BaseConsumer;

use super::{
    admin::watermarks,
    context::Context,
    error::{KafkaError, is_refusal, is_transient},
};

/// Longest wait for a credit or a record before the stop flag is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Once something came, what else arrives within this time joins the batch.
const LINGER: Duration = Duration::from_millis(5);
/// Messages held in librdkafka's form at a time; small, so that large records stay bounded.
pub(super) const CHUNK: usize = 512;
/// Most records of a batch.
const MAX_RECORDS: usize = 4_096;
/// A batch with this many bytes of keys and payloads is full.
pub const MAX_BYTES: usize = 4 << 20;
/// How long a failed partition waits for Kafka's numbers, to say what is missing.
const FACTS: Duration = Duration::from_secs(5);

/// After so many ticks without a single sign of the partition (its end is a sign), Kafka is asked whether it exists:
/// librdkafka waits for it in silence.
const SILENT_TICKS: u32 = 30;

/// Answer to the question for a credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// One event may be delivered.
    Granted,
    /// Ask again.
    NotYet,
    /// Nobody listens any more; the partition's thread ends.
    Closed,
}

/// What a partition's thread delivers.
#[derive(Debug)]
pub enum SourceEvent {
    /// Records; `range` joins the previous event's.
    Batch(RawBatch),
    /// No record, but the next offset to fetch moved over control records or aborted transactions.
    Position {
        /// The partition.
        partition: i32,
        /// The next offset to fetch.
        next: i64,
    },
    /// The partition can't go on. The last event.
    Failed(KafkaError),
}

/// Where a partition's events go.
pub trait BatchSink: Send {
    /// Waits up to `timeout` for the right to deliver one event. Once granted, the credit is held until the next
    /// [`BatchSink::deliver`], however long the partition has nothing.
    fn wait_credit(&mut self, timeout: Duration) -> Credit;

    /// Takes the event. Must not wait: the credit is the right to deliver at once.
    fn deliver(&mut self, event: SourceEvent);
}

/// How far a partition has come, for lag and idleness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionPosition {
    /// The next offset after all that was delivered.
    pub next: i64,
    /// Records delivered so far.
    pub records: u64,
    /// Whether it waits for a credit now.
    pub paused: bool,
    /// How often it asked for a credit in vain (each about 100 ms): unchanged between two looks means that it was not
    /// held back meanwhile.
    pub waits: u64,
}

/// What the thread shows to others.
#[derive(Debug)]
pub(super) struct Progress {
    next: AtomicI64,
    records: AtomicU64,
    paused: AtomicBool,
    waits: AtomicU64,
}

impl Progress {
    pub(super) fn new(next: i64) -> Self {
        Self {
            next: AtomicI64::new(next),
            records: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            waits: AtomicU64::new(0),
        }
    }

    pub(super) fn position(&self) -> PartitionPosition {
        PartitionPosition {
            next: self.next.load(Ordering::Acquire),
            records: self.records.load(Ordering::Acquire),
            paused: self.paused.load(Ordering::Acquire),
            waits: self.waits.load(Ordering::Acquire),
        }
    }
}

/// What all threads of a source share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    /// A failure of the whole client; every partition delivers it.
    pub(super) failure: OnceLock<KafkaError>,
}

/// One partition being read.
pub(super) struct PartitionReader {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) next: i64,
    pub(super) queue: PartitionQueue<Context>,
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) sink: Box<dyn BatchSink>,
    pub(super) progress: Arc<Progress>,
    pub(super) shared: Arc<Shared>,
    /// Ticks without any sign of the partition; `None` once there was one.
    pub(super) silent: Option<u32>,
}

/// What one call of the queue brought.
struct Taken {
    slots: usize,
    failure: Option<KafkaError>,
}

impl PartitionReader {
    /// Reads until told to stop, the sink is closed, or the partition fails.
    pub(super) fn run(mut self) {
        let mut sizes = (0, 0);
        while self.wait_credit() {
            let Some((batch, failure)) = self.collect(sizes) else { return };
            sizes = (batch.arena.len(), batch.records.len());
            self.hand_over(batch);
            if let Some(failure) = failure {
                tracing::warn!(topic = self.topic, partition = self.partition, error = %failure, "partition failed");
                self.sink.deliver(SourceEvent::Failed(failure));
                return;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }

    /// Waits for a credit; false: end the thread.
    fn wait_credit(&mut self) -> bool {
        while !self.stopped() {
            match self.sink.wait_credit(TICK) {
                Credit::Granted => {
                    self.progress.paused.store(false, Ordering::Release);
                    return true;
                }
                Credit::Closed => return false,
                Credit::NotYet => {
                    self.progress.paused.store(true, Ordering::Release);
                    self.progress.waits.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
        false
    }

    /// Waits for something to deliver: a batch that moves on, a failure, or both. `None`: told to stop.
    fn collect(&mut self, (bytes, records): (usize, usize)) -> Option<(RawBatch, Option<KafkaError>)> {
        let mut batch = RawBatch::new(self.partition, self.next);
        loop {
            if self.stopped() {
                return None;
            }
            if let Some(failure) = self.shared.failure.get() {
                return Some((batch, Some(failure.clone())));
            }
            let first = self.take(&mut batch, TICK, 1);
            if first.failure.is_some() {
                return Some((batch, first.failure));
            }
            if first.slots == 0 {
                if let Some(failure) = self.still_silent() {
                    return Some((batch, Some(failure)));
                }
                continue;
            }
            self.silent = None;
            // The last batch's size is the best guess of this one's, and saves growing step by step.
            batch.arena.reserve(bytes);
            batch.records.reserve(records);
            let failure = self.fill(&mut batch);
            if failure.is_some() || !batch.range.is_empty() {
                return Some((batch, failure));
            }
        }
    }

    /// Counts a tick without a sign; says so when the partition turns out not to exist.
    fn still_silent(&mut self) -> Option<KafkaError> {
        let ticks = self.silent.as_mut()?;
        *ticks += 1;
        if *ticks < SILENT_TICKS {
            return None;
        }
        *ticks = 0;
        match watermarks(&self.consumer, &self.topic, self.partition, FACTS) {
            Err(error @ KafkaError::NoPartition { .. }) => Some(error),
            // It exists, or nobody answers: the fetches will tell.
            _ => None,
        }
    }

    fn fill(&mut self, batch: &mut RawBatch) -> Option<KafkaError> {
        while batch.records.len() < MAX_RECORDS && batch.arena.len() < MAX_BYTES {
            let room = CHUNK.min(MAX_RECORDS - batch.records.len());
            let taken = self.take(batch, LINGER, room);
            if taken.failure.is_some() {
                return taken.failure;
            }
            if taken.slots < room {
                break;
            }
        }
        None
    }

    /// One call of the queue, copied into `batch`.
    fn take(&mut self, batch: &mut RawBatch, timeout: Duration, max: usize) -> Taken {
        let mut problem = None;
        let slots = {
            let came = self.queue.consume_batch(timeout, max);
            for item in came.iter() {
                match item {
                    Item::Message(message) => append(batch, &message),
                    Item::PartitionEof { offset } => batch.range.to = batch.range.to.max(offset),
                    Item::Error { code, text } if is_transient(code) => {
                        tracing::debug!(partition = batch.partition, code = ?code, text, "partition has a passing error");
                    }
                    Item::Error { code, text } => {
                        problem = Some((code, text));
                        break;
                    }
                }
            }
            came.len()
        };
        let failure = problem.map(|(code, text)| self.failure(batch.range.to, code, text));
        Taken { slots, failure }
    }

    fn hand_over(&mut self, batch: RawBatch) {
        if batch.range.is_empty() {
            return;
        }
        self.next = batch.range.to;
        let records = u64::try_from(batch.records.len()).unwrap_or(u64::MAX);
        let event = if batch.records.is_empty() {
            SourceEvent::Position { partition: self.partition, next: self.next }
        } else {
            SourceEvent::Batch(batch)
        };
        self.sink.deliver(event);
        self.progress.records.fetch_add(records, Ordering::AcqRel);
        self.progress.next.store(self.next, Ordering::Release);
    }

    /// Says what an error of the partition means, with Kafka's numbers where an offset can't be served.
    fn failure(&self, wanted: i64, code: Code, text: String) -> KafkaError {
        let (topic, partition) = (self.topic.clone(), self.partition);
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                match watermarks(&self.consumer, &topic, partition, FACTS) {
                    Ok((low, _)) if wanted < low => KafkaError::Gap { topic, partition, wanted, low },
                    Ok((_, high)) if wanted > high => KafkaError::Truncated { topic, partition, wanted, high },
                    Ok(_) => KafkaError::Partition { topic, partition, offset: wanted, reason: text },
                    Err(error) => error,
                }
            }
            Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition => {
                KafkaError::NoPartition { topic, partition }
            }
            code if is_refusal(code) => {
                KafkaError::Refused { during: format!("reading partition {partition} of `{topic}`"), reason: text }
            }
            _ => KafkaError::Partition { topic, partition, offset: wanted, reason: text },
        }
    }
}

/// Copies a record behind the batch. An offset below the range's end was delivered before and is passed over; Kafka
/// doesn't send such, but a record counted twice would be worse than one comparison.
fn append(batch: &mut RawBatch, message: &Message<'_>) {
    let offset = message.offset();
    if offset < batch.range.to {
        tracing::warn!(partition = batch.partition, offset, "kafka repeated an offset; passed over");
        return;
    }
    batch.push(offset, message.timestamp_ms(), message.key(), message.payload(), headers(message));
}

fn headers(message: &Message<'_>) -> Option<Box<[Header]>> {
    let found = message.headers();
    if found.is_empty() {
        return None;
    }
    Some(found.into_iter().map(|(key, value)| Header { key, value }).collect())
}
