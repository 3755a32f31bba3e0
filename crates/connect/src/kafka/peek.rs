//! A look at a topic's first or last records, for people.
//!
//! Promises: read-only, no group is touched; ends when the records are there, the partitions' ends are reached, or
//! nothing came for `timeout`. Deliberately not fast.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
    let mut found = each_partition(config, topic, from, |_| n, usize::MAX, timeout)?;
    found.sort_by_key(|record| (record.timestamp_ms, record.partition, record.offset));
    if from == PeekFrom::Last {
        found.drain(..found.len().saturating_sub(n));
    }
    found.truncate(n);
    Ok(found)
}

/// About `n` of the newest records of `topic`, as many of each partition, by partition and offset; no more once they
/// hold `bytes`. Blocks.
///
/// # Errors
/// As [`peek`].
pub fn sample(
    config: &KafkaConfig,
    topic: &str,
    n: usize,
    bytes: usize,
    timeout: Duration,
) -> Result<Vec<PeekRecord>, KafkaError> {
    let share = |partitions: usize| n.div_ceil(partitions.max(1));
    let mut found = each_partition(config, topic, PeekFrom::Last, share, bytes, timeout)?;
    found.sort_by_key(|record| (record.partition, record.offset));
    Ok(found)
}

/// The first or last records of each partition, `share` of the number of partitions.
fn each_partition(
    config: &KafkaConfig,
    topic: &str,
    from: PeekFrom,
    share: impl Fn(usize) -> usize,
    bytes: usize,
    timeout: Duration,
) -> Result<Vec<PeekRecord>, KafkaError> {
    let admin = Admin::new(config, timeout)?;
    let partitions = admin.topic(topic)?.partitions;
    let n = share(partitions.len());
    let wanted = i64::try_from(n).unwrap_or(i64::MAX);
    let mut list = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    for partition in partitions {
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
    read(config, &list, open, n, bytes, timeout)
}

/// At most `n` of each partition that is `open`, from where the list begins; no more once they hold `bytes`.
fn read(
    config: &KafkaConfig,
    list: &TopicPartitionList,
    mut open: BTreeSet<i32>,
    n: usize,
    bytes: usize,
    timeout: Duration,
) -> Result<Vec<PeekRecord>, KafkaError> {
    let consumer: BaseConsumer<Context> = config.create(&config.reading(list.count()))?;
    let explain = |error: &Rd| consumer.client().context().explain("peeking", error);
    consumer.assign(list).map_err(|error| explain(&error))?;
    let mut found: Vec<PeekRecord> = Vec::new();
    let (mut held, mut counts) = (0, BTreeMap::new());
    while !open.is_empty() && held < bytes {
        match consumer.poll(timeout) {
            Some(Ok(message)) => {
                let partition = message.partition();
                if open.contains(&partition) {
                    held += message.payload_len() + message.key_len();
                    found.push(owned(&message));
                    let of_partition = counts.entry(partition).or_insert(0_usize);
                    *of_partition += 1;
                    if *of_partition >= n {
                        open.remove(&partition);
                    }
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
