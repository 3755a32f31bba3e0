//! The crate's contract on librdkafka's mock cluster. `scripts/valgrind` runs these tests: each takes memory from
//! librdkafka in another way, and gives it back in another order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lakeward_kafka_ffi::{DescribeError, Item, PartitionQueue, QueueError, RDKafkaErrorCode, describe_topic_id};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};

/// Long enough under valgrind; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "t";

type Queue = PartitionQueue<rdkafka::consumer::DefaultConsumerContext>;

/// A cluster with one topic of one partition.
struct Bed(MockCluster<'static, DefaultProducerContext>);

impl Bed {
    fn start() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, 1, 1).unwrap();
        Self(cluster)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.0.bootstrap_servers()).set("fetch.wait.max.ms", "20");
        config
    }

    fn consumer(&self) -> Arc<BaseConsumer> {
        Arc::new(self.client().set("group.id", "g").set("enable.partition.eof", "true").create().unwrap())
    }

    /// The partition's queue, opened before the partition is assigned from its beginning.
    fn queue(&self, capacity: usize) -> (Arc<BaseConsumer>, Queue) {
        let consumer = self.consumer();
        let queue = PartitionQueue::new(Arc::clone(&consumer), TOPIC, 0, capacity).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(TOPIC, 0, Offset::Offset(0)).unwrap();
        consumer.assign(&list).unwrap();
        (consumer, queue)
    }

    fn send<'a>(&self, records: impl IntoIterator<Item = BaseRecord<'a, [u8], [u8]>>) {
        let producer: BaseProducer = self.client().create().unwrap();
        for record in records {
            producer.send(record.partition(0)).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn send_numbers(&self, count: usize) {
        let texts: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        self.send(texts.iter().map(|text| record().payload(text.as_bytes())));
    }
}

fn record<'a>() -> BaseRecord<'a, [u8], [u8]> {
    BaseRecord::to(TOPIC)
}

/// Reads until `enough`, handing each batch's items to `take`.
fn read(queue: &mut Queue, max: usize, mut take: impl FnMut(Item<'_>), mut enough: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !enough() {
        assert!(Instant::now() < deadline, "nothing more came");
        let batch = queue.consume_batch(Duration::from_millis(50), max);
        assert!(batch.len() <= max);
        batch.iter().for_each(&mut take);
    }
}

fn offsets_until_the_end(queue: &mut Queue, max: usize) -> Vec<i64> {
    let (mut offsets, end) = (Vec::new(), std::cell::Cell::new(None));
    let take = |item: Item<'_>| match item {
        Item::Message(message) => offsets.push(message.offset()),
        Item::PartitionEof { offset } => end.set(Some(offset)),
        Item::Error { code, text } => panic!("{code}: {text}"),
    };
    read(queue, max, take, || end.get().is_some());
    assert_eq!(end.get(), Some(offsets.len() as i64));
    offsets
}

#[test]
fn messages_come_once_in_order_in_batches_no_larger_than_asked() {
    let bed = Bed::start();
    bed.send_numbers(1000);
    for (capacity, max) in [(1000, 1000), (64, 1000), (1000, 7), (0, 1)] {
        let (_consumer, mut queue) = bed.queue(capacity);
        assert_eq!(offsets_until_the_end(&mut queue, max), (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn a_message_shows_key_payload_headers_and_time_with_their_nulls() {
    let bed = Bed::start();
    let null: Option<&[u8]> = None;
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some(b"\x00\xff".as_slice()) })
        .insert(Header { key: "empty", value: Some(b"".as_slice()) })
        .insert(Header { key: "null", value: null });
    bed.send([
        record().key(b"k".as_slice()).payload(b"v".as_slice()).timestamp(1_700_000_000_123).headers(headers),
        record().payload(b"no key".as_slice()),
        record().key(b"".as_slice()),
    ]);
    let (_consumer, mut queue) = bed.queue(16);
    let seen = std::cell::RefCell::new(Vec::new());
    let take = |item: Item<'_>| {
        if let Item::Message(m) = item {
            let (key, payload) = (m.key().map(<[u8]>::to_vec), m.payload().map(<[u8]>::to_vec));
            seen.borrow_mut().push((key, payload, m.headers(), m.timestamp_ms()));
        }
    };
    read(&mut queue, 16, take, || seen.borrow().len() == 3);
    let seen = seen.into_inner();
    assert_eq!(seen[0].0.as_deref(), Some(b"k".as_slice()));
    assert_eq!(seen[0].1.as_deref(), Some(b"v".as_slice()));
    assert_eq!(seen[0].3, 1_700_000_000_123);
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let wanted = [header("trace", Some(b"\x00\xff")), header("empty", Some(b"")), header("null", None)];
    assert_eq!(seen[0].2, wanted);
    assert_eq!((seen[1].0.as_deref(), seen[1].1.as_deref()), (None, Some(b"no key".as_slice())));
    assert_eq!((seen[2].0.as_deref(), seen[2].1.as_deref()), (Some(b"".as_slice()), None));
    assert!(seen[1].2.is_empty());
}

#[test]
fn a_queue_keeps_its_consumer_alive_and_may_move_to_another_thread() {
    let bed = Bed::start();
    bed.send_numbers(100);
    let (consumer, mut queue) = bed.queue(16);
    drop(consumer);
    let reader = thread::spawn(move || offsets_until_the_end(&mut queue, 16).len());
    assert_eq!(reader.join().unwrap(), 100);
}

#[test]
fn what_was_fetched_and_never_read_is_given_back() {
    let bed = Bed::start();
    bed.send_numbers(1000);
    let (_consumer, mut queue) = bed.queue(10);
    let first = std::cell::Cell::new(0);
    read(&mut queue, 10, |_| first.set(first.get() + 1), || first.get() > 0);
    assert!(first.get() <= 10);
}

#[test]
fn an_offset_that_is_gone_is_an_item_with_code_and_text() {
    let bed = Bed::start();
    bed.send_numbers(1);
    let consumer: BaseConsumer = bed.client().set("group.id", "g").set("auto.offset.reset", "error").create().unwrap();
    let consumer = Arc::new(consumer);
    let mut queue = PartitionQueue::new(Arc::clone(&consumer), TOPIC, 0, 4).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(TOPIC, 0, Offset::Offset(1000)).unwrap();
    consumer.assign(&list).unwrap();
    let failed = std::cell::RefCell::new(None);
    let take = |item: Item<'_>| {
        if let Item::Error { code, text } = item {
            failed.replace(Some((code, text)));
        }
    };
    read(&mut queue, 4, take, || failed.borrow().is_some());
    let (code, text) = failed.into_inner().unwrap();
    assert_eq!(code, RDKafkaErrorCode::AutoOffsetReset);
    assert!(!text.is_empty());
}

#[test]
fn a_name_that_c_can_not_hold_is_refused() {
    let bed = Bed::start();
    let consumer = bed.consumer();
    assert!(matches!(PartitionQueue::new(Arc::clone(&consumer), "a\0b", 0, 1), Err(QueueError::TopicName)));
    let described = describe_topic_id(consumer.client(), "a\0b", None, PATIENCE);
    assert!(matches!(described, Err(DescribeError::TopicName)));
}

#[test]
fn describing_a_topic_ends_with_an_answer_or_in_time() {
    let bed = Bed::start();
    let consumer = bed.consumer();
    let present = describe_topic_id(consumer.client(), TOPIC, Some(1), PATIENCE);
    let again = describe_topic_id(consumer.client(), TOPIC, Some(1), PATIENCE);
    assert_eq!(format!("{present:?}"), format!("{again:?}"));
    let absent = describe_topic_id(consumer.client(), "absent", Some(1), PATIENCE);
    assert!(matches!(absent, Err(DescribeError::Failed { .. })), "{absent:?}");
    let nobody = ClientConfig::new().set("bootstrap.servers", "127.0.0.1:9").create::<BaseConsumer>().unwrap();
    let silent = describe_topic_id(nobody.client(), TOPIC, None, Duration::from_millis(200));
    assert!(matches!(silent, Err(DescribeError::Failed { .. } | DescribeError::TimedOut(_))), "{silent:?}");
}
