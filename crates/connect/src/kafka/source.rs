//! A source: one consumer with partitions assigned by hand at exact offsets, one thread per partition, and one that
//! keeps the client served whatever the partitions do.
//!
//! A partition without credit isn't paused in librdkafka: its fetches stop by themselves once its queue holds its share
//! of the fetch memory, and go on where they stopped. So nothing is dropped and fetched again.
//! Deliberately not here: which partitions there are, and when to start again after a failure.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use lakeward_kafka_ffi::PartitionQueue;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError as Rd,
};

use super::{
    config::KafkaConfig,
    context::Context,
    error::KafkaError,
    partition::{BatchSink, CHUNK, PartitionPosition, PartitionReader, Progress, Shared},
};

/// Outcome of [`Source::stop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Stopped {
    /// All threads have ended and the client is gone.
    Clean,
    /// The bound passed first; they end by themselves, nobody waits for them. Deliveries may still happen until then.
    StillEnding,
}

/// A topic being read. Dropping it tells the threads to stop and doesn't wait.
pub struct Source {
    topic: String,
    consumer: Arc<BaseConsumer<Context>>,
    shared: Arc<Shared>,
    partitions: BTreeMap<i32, Arc<Progress>>,
    threads: Vec<JoinHandle<()>>,
}

impl Source {
    /// Reads `topic` from `starts`, pairs of partition and next offset to fetch. `make_sink` gives each partition its
    /// sink. Whether the offsets can be served shows later, as an event.
    ///
    /// # Errors
    /// The configuration can't be used, or a thread can't be started.
    pub fn start(
        config: &KafkaConfig,
        topic: &str,
        starts: Vec<(i32, i64)>,
        mut make_sink: impl FnMut(i32) -> Box<dyn BatchSink>,
    ) -> Result<Self, KafkaError> {
        let consumer = config.consumer(&config.reading(starts.len()))?;
        let mut source = Self {
            topic: topic.to_owned(),
            consumer,
            shared: Arc::new(Shared::default()),
            partitions: BTreeMap::new(),
            threads: Vec::new(),
        };
        source
            .add_all(starts.into_iter().map(|(partition, next)| (partition, next, make_sink(partition))).collect())?;
        let (consumer, shared) = (Arc::clone(&source.consumer), Arc::clone(&source.shared));
        source.spawn("kafka-events".to_owned(), move || serve_events(&consumer, &shared))?;
        Ok(source)
    }

    /// Reads one more partition, from offset `next` on. Its queue is as large as those of the first ones.
    ///
    /// # Errors
    /// The partition is being read already, or librdkafka refuses.
    pub fn add_partition(&mut self, partition: i32, next: i64, sink: Box<dyn BatchSink>) -> Result<(), KafkaError> {
        self.add_all(vec![(partition, next, sink)])
    }

    /// How far each partition has come.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<i32, PartitionPosition> {
        self.partitions.iter().map(|(partition, progress)| (*partition, progress.position())).collect()
    }

    /// Ends all threads, waiting for them up to `bound`. Sinks are dropped by their threads.
    pub fn stop(mut self, bound: Duration) -> Stopped {
        self.shared.stop.store(true, Ordering::Release);
        let threads = std::mem::take(&mut self.threads);
        let (done, ended) = mpsc::channel::<()>();
        // The last reference to the consumer goes here, after the threads: leaving can take a while when brokers are
        // away, so a thread of its own does it and the caller waits no longer than it wants to.
        let closing = Builder::new().name("kafka-close".to_owned()).spawn(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a kafka thread panicked");
                }
            }
            drop(self);
            drop(done);
        });
        if closing.is_err() {
            return Stopped::StillEnding;
        }
        match ended.recv_timeout(bound) {
            Err(mpsc::RecvTimeoutError::Timeout) => Stopped::StillEnding,
            _ => Stopped::Clean,
        }
    }

    fn add_all(&mut self, starts: Vec<(i32, i64, Box<dyn BatchSink>)>) -> Result<(), KafkaError> {
        let failed = |reason: String| KafkaError::Client { during: "assigning partitions".to_owned(), reason };
        let mut list = TopicPartitionList::new();
        let mut readers = Vec::new();
        for (partition, next, sink) in starts {
            if self.partitions.contains_key(&partition) || list.find_partition(&self.topic, partition).is_some() {
                return Err(failed(format!("partition {partition} is being read already")));
            }
            // Before the assignment, so that no record can reach the consumer's own queue.
            let queue = PartitionQueue::new(Arc::clone(&self.consumer), &self.topic, partition, CHUNK)
                .map_err(|error| failed(error.to_string()))?;
            list.add_partition_offset(&self.topic, partition, Offset::Offset(next))
                .map_err(|error| failed(error.to_string()))?;
            readers.push(PartitionReader {
                topic: self.topic.clone(),
                partition,
                next,
                queue,
                consumer: Arc::clone(&self.consumer),
                sink,
                progress: Arc::new(Progress::new(next)),
                shared: Arc::clone(&self.shared),
                silent: Some(0),
            });
        }
        self.consumer.incremental_assign(&list).map_err(|error| failed(error.to_string()))?;
        for reader in readers {
            self.partitions.insert(reader.partition, Arc::clone(&reader.progress));
            self.spawn(format!("kafka-p{}", reader.partition), move || reader.run())?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), KafkaError> {
        let thread = Builder::new().name(name).spawn(work).map_err(|error| KafkaError::Client {
            during: "starting a thread".to_owned(),
            reason: error.to_string(),
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

/// Serves the client's own queue: log lines, errors, token refreshes. Records never come this way.
fn serve_events(consumer: &BaseConsumer<Context>, shared: &Shared) {
    while !shared.stop.load(Ordering::Acquire) {
        let failure = match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => KafkaError::Client {
                during: "reading".to_owned(),
                reason: format!(
                    "a record of partition {} came past its queue, at offset {}; this is a bug",
                    message.partition(),
                    message.offset()
                ),
            },
            Some(Err(Rd::MessageConsumptionFatal(code))) => {
                KafkaError::Client { during: "reading".to_owned(), reason: code.to_string() }
            }
            // Told to tracing by the context; librdkafka goes on by itself.
            Some(Err(_)) | None => continue,
        };
        // Only the first failure counts.
        shared.failure.set(failure).ok();
    }
}
