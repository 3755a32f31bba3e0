//! Writing records, durably.
//!
//! Promises: a record counts once `flush` returned `Ok`: all in-sync replicas hold it, once, in order per partition. A
//! record that the brokers did not take is reported by the next call. Deliberately not here: transactions, schemas.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    error::KafkaError as Rd,
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode as Code,
};

use super::{
    config::KafkaConfig,
    context::Context,
    error::{KafkaError, of_setup},
};

/// A record to send.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'r> {
    /// The partition, or `None` to let the key (or chance) decide.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'r [u8]>,
    /// The payload; `None` sends a tombstone.
    pub payload: Option<&'r [u8]>,
    /// Milliseconds since 1970; `None`: the client's clock.
    pub timestamp_ms: Option<i64>,
    /// Headers.
    pub headers: &'r [(&'r str, Option<&'r [u8]>)],
}

/// A durable producer; shared by reference between threads.
pub struct Producer {
    inner: ThreadedProducer<Deliveries>,
}

impl Producer {
    /// Makes the client; no broker is asked yet.
    ///
    /// # Errors
    /// The configuration can't be used.
    pub fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let context = Deliveries {
            client: Context::new(config.brokers()),
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            first: Mutex::new(None),
        };
        let inner = config.writing().create_with_context(context).map_err(|error| of_setup(&error))?;
        Ok(Self { inner })
    }

    /// Puts a record on its way; blocks while the queue is full, at most until queued records time out.
    ///
    /// # Errors
    /// An earlier record was not delivered, or this one can't be (too large, no such topic or partition).
    pub fn send(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        timestamp_ms: Option<i64>,
    ) -> Result<(), KafkaError> {
        self.send_record(topic, Outgoing { partition, key, payload, timestamp_ms, headers: &[] })
    }

    /// The same with headers.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_record(&self, topic: &str, record: Outgoing<'_>) -> Result<(), KafkaError> {
        self.check()?;
        let mut waiting: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        waiting.partition = record.partition;
        waiting.key = record.key;
        waiting.payload = record.payload;
        waiting.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            let add = |headers: OwnedHeaders, (key, value): &(&str, Option<&[u8]>)| {
                headers.insert(Header { key, value: *value })
            };
            waiting.headers = Some(record.headers.iter().fold(OwnedHeaders::new(), add));
        }
        loop {
            match self.inner.send(waiting) {
                Ok(()) => return Ok(()),
                Err((Rd::MessageProduction(Code::QueueFull), back)) => {
                    // Delivery reports make room; serving them here waits for the next one.
                    self.inner.poll(Duration::from_millis(20));
                    self.check()?;
                    waiting = back;
                }
                Err((error, _)) => return Err(self.context().client.explain("sending a record", &error)),
            }
        }
    }

    /// Waits until all that was sent is delivered.
    ///
    /// # Errors
    /// Something was not delivered, or `timeout` passed first.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        let outcome = self.inner.flush(timeout);
        self.check()?;
        outcome.map_err(|error| self.context().client.explain("flushing", &error))
    }

    /// Records delivered so far.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.context().delivered.load(Ordering::Acquire)
    }

    fn context(&self) -> &Deliveries {
        self.inner.client().context()
    }

    fn check(&self) -> Result<(), KafkaError> {
        match self.context().failed.load(Ordering::Acquire) {
            0 => Ok(()),
            failed => {
                let first = self.context().first.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(KafkaError::Undelivered { failed, first: first.unwrap_or_default() })
            }
        }
    }
}

/// Counts delivery reports.
struct Deliveries {
    client: Context,
    delivered: AtomicU64,
    failed: AtomicU64,
    first: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        self.client.log(level, fac, log_message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: Rd, reason: &str) {
        self.client.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::AcqRel);
            }
            Err((error, _)) => {
                let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| error.to_string());
                drop(first);
                self.failed.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}
