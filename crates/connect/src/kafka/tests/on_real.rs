//! What only real brokers can judge.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngCore, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use super::bed::{Bed, Credits, PATIENCE, eventually, sink, texts};
use crate::kafka::{Created, KafkaError, Producer, SourceEvent, Stopped};

fn transactional(bed: &Bed) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bed.config.brokers())
        .set("transactional.id", &bed.topic)
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn transaction(bed: &Bed, producer: &BaseProducer, payloads: &[&str], commit: bool) {
    producer.begin_transaction().unwrap();
    for payload in payloads {
        producer.send(BaseRecord::<str, str>::to(&bed.topic).partition(0).payload(*payload)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    if commit {
        producer.commit_transaction(PATIENCE).unwrap();
    } else {
        producer.abort_transaction(PATIENCE).unwrap();
    }
}

fn native_admin(bed: &Bed) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bed.config.brokers()).create().unwrap()
}

#[test]
fn aborted_transactions_are_never_read_and_the_position_passes_them() {
    let Some(bed) = Bed::real(1) else { return };
    let producer = transactional(&bed);
    transaction(&bed, &producer, &["a", "b"], true); // 0 1, marker 2
    transaction(&bed, &producer, &["x", "y", "z"], false); // 3 4 5, marker 6
    transaction(&bed, &producer, &["c"], true); // 7, marker 8
    transaction(&bed, &producer, &["v"], false); // 9, marker 10
    let (source, mut received) = bed.source(vec![(0, 0)], &Credits::plenty());
    let batches = received.records(3);
    assert_eq!(texts(&batches), [(0, "a".to_owned()), (1, "b".to_owned()), (7, "c".to_owned())]);
    eventually("the position is behind the last marker", || source.positions()[&0].next == 11);
    assert_eq!(bed.admin().watermarks(&bed.topic, 0).unwrap(), (0, 11));
    // Only markers and aborted records from here: a position, no batch.
    while received.events.try_recv().is_ok() {}
    transaction(&bed, &producer, &["w"], false);
    let next = loop {
        match received.next() {
            SourceEvent::Position { next, .. } => break next,
            SourceEvent::Batch(batch) => assert!(batch.records.is_empty()),
            SourceEvent::Failed(error) => panic!("{error}"),
        }
    };
    assert_eq!(next, 13);
    assert_eq!(source.stop(PATIENCE), Stopped::Clean);
}

#[test]
fn the_high_watermark_stops_at_an_open_transaction() {
    let Some(bed) = Bed::real(1) else { return };
    bed.send(0, ["a".to_owned(), "b".to_owned()]);
    let producer = transactional(&bed);
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(&bed.topic).partition(0).payload("c")).unwrap();
    producer.flush(PATIENCE).unwrap();
    let (source, mut received) = bed.source(vec![(0, 0)], &Credits::plenty());
    received.records(2);
    let admin = bed.admin();
    assert_eq!(admin.watermarks(&bed.topic, 0).unwrap(), (0, 2), "the last stable offset");
    assert_eq!(source.positions()[&0].next, 2);
    producer.commit_transaction(PATIENCE).unwrap();
    received.records(1);
    assert_eq!(admin.watermarks(&bed.topic, 0).unwrap(), (0, 4));
    assert_eq!(source.stop(PATIENCE), Stopped::Clean);
}

#[test]
fn deleted_records_are_a_gap_with_numbers() {
    let Some(bed) = Bed::real(1) else { return };
    bed.send(0, (0..10).map(|n| n.to_string()));
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&bed.topic, 0, Offset::Offset(6)).unwrap();
    let (native, options) = (native_admin(&bed), AdminOptions::new());
    futures::executor::block_on(native.delete_records(&until, &options)).unwrap();
    let (source, mut received) = bed.source(vec![(0, 2)], &Credits::plenty());
    let expected = KafkaError::Gap { topic: bed.topic.clone(), partition: 0, wanted: 2, low: 6 };
    assert_eq!(received.failure(), expected);
    assert!(expected.to_string().contains("deleted 4 offsets"), "{expected}");
    assert_eq!(source.stop(PATIENCE), Stopped::Clean);
}

#[test]
fn offsets_are_found_by_time() {
    let Some(bed) = Bed::real(2) else { return };
    let producer = Producer::new(&bed.config).unwrap();
    for n in 0..5 {
        producer.send(&bed.topic, Some(0), None, Some(b"{}"), Some(1_700_000_000_000 + 1_000 * n)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let check = |at, expected| {
        assert_eq!(bed.admin().offsets_at(&bed.topic, at).unwrap(), BTreeMap::from([(0, expected), (1, 0)]));
    };
    check(0, 0);
    check(1_700_000_002_000, 2);
    check(1_700_000_002_001, 3);
    check(1_800_000_000_000, 5);
}

#[test]
fn a_topic_created_again_has_another_id() {
    let Some(bed) = Bed::real(1) else { return };
    let admin = bed.admin();
    assert_eq!(admin.create_topic(&bed.topic, 3, 1).unwrap(), Created::Exists);
    let before = admin.topic(&bed.topic).unwrap();
    let (native, options) = (native_admin(&bed), AdminOptions::new());
    futures::executor::block_on(native.delete_topics(&[bed.topic.as_str()], &options)).unwrap();
    eventually("the topic is gone", || matches!(admin.topic(&bed.topic), Err(KafkaError::NoTopic { .. })));
    assert_eq!(admin.create_topic(&bed.topic, 1, 1).unwrap(), Created::Created);
    eventually("the topic is back", || admin.topic(&bed.topic).is_ok());
    assert_ne!(before.id, admin.topic(&bed.topic).unwrap().id);
}

#[test]
fn a_partition_added_to_the_topic_is_seen_and_read() {
    let Some(bed) = Bed::real(1) else { return };
    let credits = Credits::plenty();
    let (mut source, mut received) = bed.source(vec![(0, 0)], &credits);
    bed.send(0, ["a".to_owned()]);
    received.records(1);
    let (native, options, wanted) = (native_admin(&bed), AdminOptions::new(), NewPartitions::new(&bed.topic, 2));
    futures::executor::block_on(native.create_partitions([&wanted], &options)).unwrap();
    eventually("two partitions", || bed.admin().topic(&bed.topic).unwrap().partitions == [0, 1]);
    bed.send(1, ["b".to_owned()]);
    let (events, added) = std::sync::mpsc::channel();
    source.add_partition(1, 0, sink(&events, &credits)).unwrap();
    match added.recv_timeout(PATIENCE).unwrap() {
        SourceEvent::Batch(batch) => assert_eq!(texts(&[batch]), [(0, "b".to_owned())]),
        other => panic!("{other:?}"),
    }
    assert_eq!(source.stop(PATIENCE), Stopped::Clean);
}

/// Counts what a process holds, so it needs one in which no other test runs.
#[test]
fn memory_stays_bounded_without_credit() {
    const ALONE: &str = "LAKEWARD_TEST_ALONE";
    let name = "kafka::tests::on_real::memory_stays_bounded_without_credit";
    if std::env::var_os(ALONE).is_none() {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = again.args([name, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        eprintln!("{said}");
        assert!(ended.status.success(), "{said}");
        return;
    }
    let Some(mut bed) = Bed::real(2) else { return };
    let producer = Producer::new(&bed.config).unwrap();
    let (mut random, mut payload) = (StdRng::seed_from_u64(1), vec![0; 10_000]);
    for n in 0..20_000 {
        random.fill_bytes(&mut payload);
        producer.send(&bed.topic, Some(n % 2), None, Some(&payload), None).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    bed.config = bed.config.with_fetch_memory(8 << 20);
    let credits = Arc::new(Credits::default());
    let before = resident_bytes();
    let (source, mut received) = bed.source(vec![(0, 0), (1, 0)], &credits);
    eventually("it asked in vain for 3 s", || source.positions().values().all(|at| at.waits > 30));
    let grown = resident_bytes().saturating_sub(before);
    eprintln!("without credit, 200 MB waiting, 8 MiB of fetch memory: resident set grew by {} KiB", grown / 1024);
    assert!(grown < 64 << 20, "{grown}");
    credits.give(1 << 20);
    let count: usize = received.records(20_000).iter().map(|batch| batch.records.len()).sum();
    assert_eq!(count, 20_000);
    assert_eq!(source.stop(PATIENCE), Stopped::Clean);
}

/// Kill and restart the broker by hand while it runs: `--ignored --nocapture`, about 25 s.
#[test]
#[ignore = "needs a hand at the broker"]
fn reading_goes_on_while_the_broker_is_killed_and_restarted() {
    let Some(bed) = Bed::real(1) else { return };
    let producer = Producer::new(&bed.config).unwrap();
    let (source, mut received) = bed.source(vec![(0, 0)], &Credits::plenty());
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let count = 20_000;
    for n in 0..count {
        producer.send(&bed.topic, Some(0), None, Some(n.to_string().as_bytes()), None).unwrap();
        never.recv_timeout(Duration::from_millis(1)).ok();
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    let texts: Vec<String> = texts(&received.records(count)).into_iter().map(|(_, text)| text).collect();
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    assert!(texts == expected, "all of them, in order, once");
    assert_eq!(source.stop(PATIENCE), Stopped::Clean);
}

/// The rates of writing and reading 432-byte records, by hand: `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn rates_of_writing_and_reading() {
    let Some(bed) = Bed::real(2) else { return };
    let count: usize = 2_000_000;
    let payload = vec![b'x'; 432];
    let producer = Producer::new(&bed.config).unwrap();
    let began = Instant::now();
    for n in 0..count {
        let partition = i32::try_from(n % 2).unwrap();
        producer.send(&bed.topic, Some(partition), None, Some(&payload), None).unwrap();
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    eprintln!("wrote {count} in {:?}: {:.0} ns each", began.elapsed(), nanos(began, count));
    for _ in 0..2 {
        let began = Instant::now();
        let (source, mut received) = bed.source(vec![(0, 0), (1, 0)], &Credits::plenty());
        let batches = received.records(count);
        eprintln!(
            "read {count} in {:?}: {:.0} ns each, {} batches",
            began.elapsed(),
            nanos(began, count),
            batches.len()
        );
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    }
}

#[allow(clippy::cast_precision_loss)]
fn nanos(began: Instant, count: usize) -> f64 {
    began.elapsed().as_nanos() as f64 / count as f64
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
