//! Where a test runs, and a sink whose credits it controls.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, mpsc},
    time::Duration,
};

use lakeward_core::record::RawBatch;
use rand::TryRngCore;

use crate::kafka::{Admin, BatchSink, Created, Credit, KafkaConfig, MockKafka, Producer, Source, SourceEvent};

/// Long enough for a slow machine; reached only by a test that fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A Kafka with one topic of its own.
pub(super) struct Bed {
    pub(super) mock: Option<MockKafka>,
    pub(super) config: KafkaConfig,
    pub(super) topic: String,
}

impl Bed {
    pub(super) fn mock(partitions: i32) -> Self {
        let mock = MockKafka::start(&[("t", partitions)]).unwrap();
        let config = config_of(mock.brokers());
        Self { mock: Some(mock), config, topic: "t".to_owned() }
    }

    /// `None` where no real brokers are named; then it says so.
    pub(super) fn real(partitions: i32) -> Option<Self> {
        let Ok(brokers) = std::env::var("LAKEWARD_TEST_KAFKA") else {
            assert!(
                std::env::var("LAKEWARD_TEST_REQUIRE_SERVERS").as_deref() != Ok("1"),
                "LAKEWARD_TEST_REQUIRE_SERVERS=1, but LAKEWARD_TEST_KAFKA names no brokers"
            );
            eprintln!("skipped: LAKEWARD_TEST_KAFKA names no brokers");
            return None;
        };
        let config = config_of(&brokers);
        let topic = format!("lw-test-{:016x}", random());
        let created = Admin::new(&config, PATIENCE).unwrap().create_topic(&topic, partitions, 1).unwrap();
        assert_eq!(created, Created::Created);
        Some(Self { mock: None, config, topic })
    }

    /// Runs `test` on the mock cluster, and on real brokers where there are some.
    pub(super) fn each(partitions: i32, test: impl Fn(&Self)) {
        test(&Self::mock(partitions));
        Self::real(partitions).iter().for_each(test);
    }

    pub(super) fn admin(&self) -> Admin {
        Admin::new(&self.config, PATIENCE).unwrap()
    }

    /// Sends `payloads` to one partition and waits until they are there.
    pub(super) fn send(&self, partition: i32, payloads: impl IntoIterator<Item = String>) {
        let producer = Producer::new(&self.config).unwrap();
        for payload in payloads {
            producer.send(&self.topic, Some(partition), None, Some(payload.as_bytes()), None).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Starts a source with one sink for all partitions.
    pub(super) fn source(&self, starts: Vec<(i32, i64)>, credits: &Arc<Credits>) -> (Source, Received) {
        let (events, received) = mpsc::channel();
        let make = |_| sink(&events, credits);
        let source = Source::start(&self.config, &self.topic, starts, make).unwrap();
        (source, Received { events: received, to: BTreeMap::new() })
    }
}

/// Names that no other run uses.
fn random() -> u64 {
    rand::rngs::OsRng.try_next_u64().unwrap()
}

pub(super) fn config_of(brokers: &str) -> KafkaConfig {
    let options = BTreeMap::from([("bootstrap.servers".to_owned(), brokers.to_owned())]);
    KafkaConfig::new(&format!("test-{:016x}", random()), options).unwrap()
}

pub(super) fn sink(events: &mpsc::Sender<SourceEvent>, credits: &Arc<Credits>) -> Box<dyn BatchSink> {
    Box::new(Sink { events: events.clone(), credits: Arc::clone(credits) })
}

/// Credits that a test gives out.
#[derive(Default)]
pub(super) struct Credits {
    left: Mutex<u64>,
    more: Condvar,
}

impl Credits {
    pub(super) fn plenty() -> Arc<Self> {
        let credits = Self::default();
        credits.give(1 << 40);
        Arc::new(credits)
    }

    pub(super) fn give(&self, count: u64) {
        *self.left.lock().unwrap() += count;
        self.more.notify_all();
    }
}

struct Sink {
    events: mpsc::Sender<SourceEvent>,
    credits: Arc<Credits>,
}

impl BatchSink for Sink {
    fn wait_credit(&mut self, timeout: Duration) -> Credit {
        let left = self.credits.left.lock().unwrap();
        let (mut left, _) = self.credits.more.wait_timeout_while(left, timeout, |left| *left == 0).unwrap();
        if *left == 0 {
            return Credit::NotYet;
        }
        *left -= 1;
        Credit::Granted
    }

    fn deliver(&mut self, event: SourceEvent) {
        self.events.send(event).ok();
    }
}

/// What a source delivered; checks that ranges join.
pub(super) struct Received {
    pub(super) events: mpsc::Receiver<SourceEvent>,
    to: BTreeMap<i32, i64>,
}

impl Received {
    pub(super) fn next(&mut self) -> SourceEvent {
        let event = self.events.recv_timeout(PATIENCE).expect("an event in time");
        let (partition, from, to) = match &event {
            SourceEvent::Batch(batch) => (batch.partition, Some(batch.range.from), batch.range.to),
            SourceEvent::Position { partition, next } => (*partition, None, *next),
            SourceEvent::Failed(_) => return event,
        };
        if let (Some(before), Some(from)) = (self.to.insert(partition, to), from) {
            assert_eq!(before, from, "the ranges of partition {partition} join");
        }
        event
    }

    /// Batches until `count` records came.
    pub(super) fn records(&mut self, count: usize) -> Vec<RawBatch> {
        let (mut batches, mut came) = (Vec::new(), 0);
        while came < count {
            match self.next() {
                SourceEvent::Batch(batch) => {
                    came += batch.records.len();
                    batches.push(batch);
                }
                SourceEvent::Position { .. } => {}
                SourceEvent::Failed(error) => panic!("{error}"),
            }
        }
        assert_eq!(came, count, "no record too many");
        batches
    }

    pub(super) fn failure(&mut self) -> crate::kafka::KafkaError {
        loop {
            if let SourceEvent::Failed(error) = self.next() {
                return error;
            }
        }
    }
}

/// Pairs of offset and payload text.
pub(super) fn texts(batches: &[RawBatch]) -> Vec<(i64, String)> {
    let text = |batch: &RawBatch, record| String::from_utf8_lossy(batch.payload(record).unwrap_or(b"-")).into_owned();
    batches.iter().flat_map(|b| b.records.iter().map(|r| (r.offset, text(b, r)))).collect()
}

/// Waits until `done` holds, looking every 20 ms.
pub(super) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let (_keep, never) = mpsc::channel::<()>();
    for _ in 0..1_500 {
        if done() {
            return;
        }
        never.recv_timeout(Duration::from_millis(20)).ok();
    }
    panic!("never happened: {what}");
}
