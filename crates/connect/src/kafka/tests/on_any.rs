//! What holds on the mock cluster as on real brokers.

use std::{collections::BTreeMap, sync::mpsc, time::Duration};

use lakeward_core::record::Header;

use super::bed::{Bed, Credits, PATIENCE, eventually, sink, texts};
use crate::kafka::{KafkaError, Outgoing, PeekFrom, Producer, Stopped, peek};

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{{\"id\":{n}}}")).collect()
}

#[test]
fn a_record_arrives_with_all_its_parts() {
    Bed::each(1, |bed| {
        let producer = Producer::new(&bed.config).unwrap();
        let headers: &[(&str, Option<&[u8]>)] = &[("shop", Some(b"a")), ("none", None), ("shop", Some(b""))];
        let full = Outgoing {
            partition: Some(0),
            key: Some(b"k"),
            payload: Some(b"{}"),
            timestamp_ms: Some(1_700_000_000_123),
            headers,
        };
        producer.send_record(&bed.topic, full).unwrap();
        producer.send(&bed.topic, Some(0), Some(b""), None, Some(1_700_000_000_456)).unwrap();
        producer.send(&bed.topic, Some(0), None, Some(b""), Some(1)).unwrap();
        producer.flush(PATIENCE).unwrap();
        assert_eq!(producer.delivered(), 3);

        let (source, mut received) = bed.source(vec![(0, 0)], &Credits::plenty());
        let batches = received.records(3);
        let records: Vec<_> = batches.iter().flat_map(|b| b.records.iter().map(move |record| (b, record))).collect();
        let timestamps: Vec<i64> = records.iter().map(|(_, record)| record.timestamp_ms).collect();
        assert_eq!(timestamps, [1_700_000_000_123, 1_700_000_000_456, 1]);
        let keys: Vec<_> = records.iter().map(|(batch, record)| batch.key(record)).collect();
        assert_eq!(keys, [Some(&b"k"[..]), Some(b""), None]);
        let payloads: Vec<_> = records.iter().map(|(batch, record)| batch.payload(record)).collect();
        assert_eq!(payloads, [Some(&b"{}"[..]), None, Some(b"")]);
        let header = |key: &str, value: Option<&[u8]>| Header { key: key.to_owned(), value: value.map(<[u8]>::to_vec) };
        let expected = [header("shop", Some(b"a")), header("none", None), header("shop", Some(b""))];
        assert_eq!(records[0].1.headers.as_deref(), Some(expected.as_slice()));
        assert_eq!(records[1].1.headers, None);
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    });
}

#[test]
fn reading_starts_at_exactly_the_offset_given() {
    Bed::each(2, |bed| {
        bed.send(0, numbered(10));
        bed.send(1, numbered(4));
        let (source, mut received) = bed.source(vec![(0, 7), (1, 0)], &Credits::plenty());
        let mut offsets: Vec<(i32, i64)> = received
            .records(7)
            .iter()
            .flat_map(|batch| batch.records.iter().map(|record| (batch.partition, record.offset)))
            .collect();
        offsets.sort_unstable();
        assert_eq!(offsets, [(0, 7), (0, 8), (0, 9), (1, 0), (1, 1), (1, 2), (1, 3)]);
        eventually("positions at the ends", || {
            source.positions().values().map(|at| (at.next, at.records)).eq([(10, 3), (4, 4)])
        });
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    });
}

#[test]
fn without_credit_nothing_is_delivered_and_nothing_is_lost_or_repeated_afterwards() {
    Bed::each(1, |bed| {
        let credits = std::sync::Arc::new(Credits::default());
        let (source, mut received) = bed.source(vec![(0, 0)], &credits);
        bed.send(0, numbered(5_000));
        eventually("it asked in vain", || source.positions()[&0].waits > 3);
        assert!(received.events.try_recv().is_err());
        let at = source.positions()[&0];
        assert_eq!((at.next, at.records, at.paused), (0, 0, true));

        credits.give(1);
        let first = match received.next() {
            crate::kafka::SourceEvent::Batch(batch) => batch,
            other => panic!("{other:?}"),
        };
        eventually("it asks again", || source.positions()[&0].paused);
        assert!(received.events.try_recv().is_err(), "one credit, one delivery");
        credits.give(1 << 20);
        let mut all = texts(&[first]);
        all.extend(texts(&received.records(5_000 - all.len())));
        let expected: Vec<(i64, String)> = (0..).zip(numbered(5_000)).collect();
        assert_eq!(all, expected);
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    });
}

#[test]
fn a_partition_can_be_added_while_others_run() {
    Bed::each(2, |bed| {
        bed.send(0, numbered(2));
        bed.send(1, numbered(5));
        let credits = Credits::plenty();
        let (mut source, mut received) = bed.source(vec![(0, 0)], &credits);
        received.records(2);
        let (events, added) = mpsc::channel();
        source.add_partition(1, 3, sink(&events, &credits)).unwrap();
        let event = added.recv_timeout(PATIENCE).unwrap();
        let crate::kafka::SourceEvent::Batch(batch) = event else { panic!("{event:?}") };
        assert_eq!((batch.partition, batch.range.from), (1, 3));
        bed.send(0, numbered(1));
        received.records(1);
        assert!(source.add_partition(1, 3, sink(&events, &credits)).is_err(), "it is being read already");
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    });
}

#[test]
fn an_offset_beyond_the_end_is_truncated() {
    Bed::each(1, |bed| {
        bed.send(0, numbered(3));
        let (source, mut received) = bed.source(vec![(0, 50)], &Credits::plenty());
        let expected = KafkaError::Truncated { topic: bed.topic.clone(), partition: 0, wanted: 50, high: 3 };
        assert_eq!(received.failure(), expected);
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    });
}

#[test]
fn a_partition_that_does_not_exist_fails() {
    Bed::each(1, |bed| {
        let (source, mut received) = bed.source(vec![(7, 0)], &Credits::plenty());
        assert_eq!(received.failure(), KafkaError::NoPartition { topic: bed.topic.clone(), partition: 7 });
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    });
}

#[test]
fn admin_answers_about_topics_and_offsets() {
    Bed::each(2, |bed| {
        let admin = bed.admin();
        admin.ping(PATIENCE).unwrap();
        let facts = admin.topic(&bed.topic).unwrap();
        assert_eq!(facts.partitions, [0, 1]);
        assert_eq!(admin.topic(&bed.topic).unwrap(), facts, "an id stays");
        assert_eq!(facts.id.map(|id| id.len()), Some(22));
        assert_eq!(admin.topic("missing"), Err(KafkaError::NoTopic { topic: "missing".to_owned() }));

        let producer = Producer::new(&bed.config).unwrap();
        for n in 0..5 {
            producer.send(&bed.topic, Some(0), None, Some(b"{}"), Some(1_000 * n)).unwrap();
            producer.flush(PATIENCE).unwrap();
        }
        assert_eq!(admin.watermarks(&bed.topic, 0).unwrap(), (0, 5));
        assert_eq!(admin.watermarks(&bed.topic, 1).unwrap(), (0, 0));
        let missing = admin.watermarks(&bed.topic, 9);
        assert_eq!(missing, Err(KafkaError::NoPartition { topic: bed.topic.clone(), partition: 9 }));
    });
}

#[test]
fn group_offsets_are_told_without_membership() {
    Bed::each(2, |bed| {
        let (admin, group) = (bed.admin(), bed.config.group());
        for offsets in [BTreeMap::from([(0, 3), (1, 7)]), BTreeMap::from([(0, 4)]), BTreeMap::new()] {
            admin.commit_offsets(&group, &bed.topic, &offsets).unwrap();
        }
        assert_eq!(admin.committed_offsets(&group, &bed.topic).unwrap(), BTreeMap::from([(0, 4), (1, 7)]));
    });
}

#[test]
fn group_offsets_can_be_told_while_the_source_reads() {
    Bed::each(1, |bed| {
        bed.send(0, numbered(2));
        let (source, mut received) = bed.source(vec![(0, 0)], &Credits::plenty());
        received.records(2);
        let (admin, group) = (bed.admin(), bed.config.group());
        admin.commit_offsets(&group, &bed.topic, &BTreeMap::from([(0, 2)])).unwrap();
        assert_eq!(admin.committed_offsets(&group, &bed.topic).unwrap(), BTreeMap::from([(0, 2)]));
        assert_eq!(source.stop(PATIENCE), Stopped::Clean);
    });
}

#[test]
fn peek_shows_either_end() {
    Bed::each(2, |bed| {
        let producer = Producer::new(&bed.config).unwrap();
        for n in 0..10 {
            let text = format!("{n}");
            producer.send(&bed.topic, Some(n % 2), None, Some(text.as_bytes()), Some(i64::from(n) + 1)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let check = |from, n, expected: &[&str]| {
            let found = peek(&bed.config, &bed.topic, from, n, Duration::from_secs(10)).unwrap();
            let texts: Vec<String> =
                found.iter().map(|r| String::from_utf8_lossy(r.payload.as_deref().unwrap()).into_owned()).collect();
            assert_eq!(texts, expected);
        };
        check(PeekFrom::First, 3, &["0", "1", "2"]);
        check(PeekFrom::Last, 3, &["7", "8", "9"]);
        check(PeekFrom::Last, 0, &[]);
        check(PeekFrom::First, 99, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    });
}

#[test]
fn what_can_not_be_sent_is_said() {
    Bed::each(1, |bed| {
        let producer = Producer::new(&bed.config).unwrap();
        let large = vec![b'x'; 2_000_000];
        assert!(producer.send(&bed.topic, Some(0), None, Some(&large), None).is_err(), "larger than a message may be");
        let producer = Producer::new(&bed.config).unwrap();
        let sent = producer.send(&bed.topic, Some(77), None, Some(b"{}"), None);
        assert!(sent.and_then(|()| producer.flush(PATIENCE)).is_err(), "there is no such partition");
    });
}
