//! Faults that the mock cluster plays, and its own ways.

use std::time::Duration;

use super::bed::{Bed, Credits, PATIENCE, config_of, texts};
use crate::kafka::{Admin, KafkaError, Stopped};

#[test]
fn reading_goes_on_after_the_broker_was_away() {
    let bed = Bed::mock(1);
    bed.send(0, ["a".to_owned()]);
    let (source, mut received) = bed.source(vec![(0, 0)], &Credits::plenty());
    let mut batches = received.records(1);
    let mock = bed.mock.as_ref().unwrap();
    mock.with(|cluster| cluster.broker_down(1).unwrap());
    mock.with(|cluster| cluster.broker_up(1).unwrap());
    bed.send(0, ["b".to_owned(), "c".to_owned()]);
    batches.extend(received.records(2));
    assert_eq!(texts(&batches), [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())]);
    assert_eq!(source.stop(PATIENCE), Stopped::Clean);
}

#[test]
fn stop_is_bounded_while_the_broker_is_away() {
    let bed = Bed::mock(3);
    let (source, mut received) = bed.source(vec![(0, 0), (1, 0), (2, 0)], &Credits::plenty());
    bed.send(1, ["a".to_owned()]);
    received.records(1);
    bed.mock.as_ref().unwrap().with(|cluster| cluster.broker_down(1).unwrap());
    assert_eq!(source.stop(Duration::from_secs(5)), Stopped::Clean);
}

#[test]
fn brokers_that_do_not_answer_are_named() {
    // Nothing listens on the discard port of loopback.
    let admin = Admin::new(&config_of("127.0.0.1:9"), Duration::from_millis(500)).unwrap();
    let error = admin.topic("t").unwrap_err();
    assert!(matches!(&error, KafkaError::Unreachable { brokers, .. } if brokers == "127.0.0.1:9"), "{error:?}");
    assert!(error.is_transient());
    assert!(matches!(admin.ping(Duration::from_millis(200)), Err(KafkaError::Unreachable { .. })));
}
