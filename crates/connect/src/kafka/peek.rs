//! A look at a topic's first or last records, for people.
//!
//! Promises: read-only, no group is touched; ends when the records are there, the partitions' ends are reached, or
//! nothing came for `timeout`. Deliberately not fast.

use std::{collections::BTreeSet, time::Duration};

use lakeward_core::record::Header;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError as Rd,
    message::{BorrowedMessage, Headers},
};

use super::{
    admin::Admin,
    config::KafkaConfig,
    context::Context,
    error::{KafkaError, is_transient},
};

/// Which end of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeekFrom {
    /// The oldest records.
    First,
    /// The newest records.
    Last,
}

/// One record with its coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeekRecord {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// Milliseconds since 1970; -1: none.
    pub timestamp_ms: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The payload; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers.
    pub headers: Vec<Header>,
}

/// The first or last `n` records of `topic` over all partitions, by timestamp, then partition and offset. Blocks.
///
/// # Errors
/// `NoTopic`; unreachable; refused.
pub fn peek(
    config: &KafkaConfig,
    topic: &str,
    from: PeekFrom,
    n: usize,
    timeout: Duration,
) -> Result<Vec<PeekRecord>, KafkaError> {
    let admin = Admin::new(config, timeout)?;
    let wanted = i64::try_from(n).unwrap_or(i64::MAX);
    let mut list = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for partition in admin.topic(topic)?.partitions {
        let (low, high) = admin.watermarks(topic, partition)?;
        if low >= high || n == 0 {
            continue;
        }
        let start = match from {
            PeekFrom::First => low,
            PeekFrom::Last => high.saturating_sub(wanted).max(low),
        };
        list.add_partition_offset(topic, partition, Offset::Offset(start))
            .map_err(|error| KafkaError::Client { during: "peeking".to_owned(), reason: error.to_string() })?;
        open.insert(partition);
    }
    let mut found = read(config, &list, open, n, from, timeout)?;
    found.sort_by_key(|record| (record.timestamp_ms, record.partition, record.offset));
    if from == PeekFrom::Last {
        found.drain(..found.len().saturating_sub(n));
    }
    found.truncate(n);
    Ok(found)
}

fn read(
    config: &KafkaConfig,
    list: &TopicPartitionList,
    mut open: BTreeSet<i32>,
    n: usize,
    from: PeekFrom,
    timeout: Duration,
) -> Result<Vec<PeekRecord>, KafkaError> {
    let consumer: BaseConsumer<Context> = config.create(&config.reading(list.count()))?;
    let explain = |error: &Rd| consumer.client().context().explain("peeking", error);
    consumer.assign(list).map_err(|error| explain(&error))?;
    let mut found: Vec<PeekRecord> = Vec::new();
    while !open.is_empty() {
        match consumer.poll(timeout) {
            Some(Ok(message)) => {
                let partition = message.partition();
                if open.contains(&partition) {
                    found.push(owned(&message));
                }
                if from == PeekFrom::First && found.iter().filter(|r| r.partition == partition).count() >= n {
                    open.remove(&partition);
                }
            }
            Some(Err(Rd::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_transient) => {}
            Some(Err(error)) => return Err(explain(&error)),
            None => break,
        }
    }
    Ok(found)
}

fn owned(message: &BorrowedMessage<'_>) -> PeekRecord {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|h| Header { key: h.key.to_owned(), value: h.value.map(<[u8]>::to_vec) }).collect()
    });
    PeekRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}
