//! Where a generation's records come from: Kafka, or memory for `lakeward bench`. Both hand batches to the same sinks,
//! under the same credits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use lakeward_actors::kit::Clock;
use lakeward_connect::kafka::{BatchSink, Credit, KafkaConfig, KafkaError, Source, SourceEvent, Stopped};
use lakeward_core::record::RawBatch;

/// How long a thread waits for a credit before it looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// Records that lie ready: batches per partition, from offset 0 on. Each is given out once.
#[derive(Default)]
pub struct Stock {
    partitions: BTreeMap<i32, Mutex<VecDeque<RawBatch>>>,
    opened: OnceLock<Instant>,
}

impl Stock {
    /// Batches whose ranges join, per partition.
    #[must_use]
    pub fn new(batches: BTreeMap<i32, VecDeque<RawBatch>>) -> Self {
        let partitions = batches.into_iter().map(|(partition, batches)| (partition, Mutex::new(batches))).collect();
        Self { partitions, opened: OnceLock::new() }
    }

    /// When the first batch was given out.
    #[must_use]
    pub fn opened(&self) -> Option<Instant> {
        self.opened.get().copied()
    }

    fn take(&self, partition: i32, clock: &Clock) -> Option<RawBatch> {
        self.opened.get_or_init(|| clock.steady());
        self.partitions.get(&partition)?.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Reads partitions until it is stopped.
pub enum Reader {
    /// From Kafka.
    Kafka(Source),
    /// From memory.
    Memory(MemoryReader),
}

impl Reader {
    /// Reads `topic` from `starts`, pairs of partition and next offset: Kafka's, or a stock's where one is given.
    ///
    /// # Errors
    /// Kafka's configuration can't be used, or a thread can't be started.
    pub fn start(
        kafka: &KafkaConfig,
        stock: Option<(Arc<Stock>, Clock)>,
        topic: &str,
        starts: Vec<(i32, i64)>,
        mut sink: impl FnMut(i32) -> Box<dyn BatchSink>,
    ) -> Result<Self, KafkaError> {
        let Some((stock, clock)) = stock else {
            return Source::start(kafka, topic, starts, sink).map(Self::Kafka);
        };
        let mut reader = MemoryReader { stock, clock, stop: Arc::default(), threads: Vec::new() };
        for (partition, _) in starts {
            reader.spawn(partition, sink(partition))?;
        }
        Ok(Self::Memory(reader))
    }

    /// Reads one more partition, from offset `next` on.
    ///
    /// # Errors
    /// The partition is being read already, or a thread can't be started.
    pub fn add_partition(&mut self, partition: i32, next: i64, sink: Box<dyn BatchSink>) -> Result<(), KafkaError> {
        match self {
            Self::Kafka(source) => source.add_partition(partition, next, sink),
            Self::Memory(reader) => reader.spawn(partition, sink),
        }
    }

    /// Ends all threads, waiting for them up to `bound`.
    pub fn stop(self, bound: Duration) -> Stopped {
        match self {
            Self::Kafka(source) => source.stop(bound),
            Self::Memory(mut reader) => {
                reader.stop.store(true, Ordering::Release);
                // They look at the flag at every tick.
                reader.threads.drain(..).for_each(|thread| drop(thread.join()));
                Stopped::Clean
            }
        }
    }
}

/// A thread per partition that hands a stock's batches over.
pub struct MemoryReader {
    stock: Arc<Stock>,
    clock: Clock,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl MemoryReader {
    fn spawn(&mut self, partition: i32, mut sink: Box<dyn BatchSink>) -> Result<(), KafkaError> {
        let (stock, clock, stop) = (Arc::clone(&self.stock), self.clock.clone(), Arc::clone(&self.stop));
        let work = move || {
            while !stop.load(Ordering::Acquire) {
                match sink.wait_credit(TICK) {
                    Credit::NotYet => {}
                    Credit::Closed => return,
                    Credit::Granted => match stock.take(partition, &clock) {
                        Some(batch) => sink.deliver(SourceEvent::Batch(batch)),
                        None => return,
                    },
                }
            }
        };
        let thread = Builder::new().name(format!("memory-p{partition}")).spawn(work);
        let failed = |error: std::io::Error| KafkaError::Client {
            during: "starting a thread".to_owned(),
            reason: error.to_string(),
        };
        self.threads.push(thread.map_err(failed)?);
        Ok(())
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}
