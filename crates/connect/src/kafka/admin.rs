//! Questions about topics and offsets, topics created, offsets told to lag tools.
//!
//! Promises: every call ends within the timeout given to [`Admin::new`] or shortly after. All calls block: use
//! `spawn_blocking` from async code. Deliberately not here: retries.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lakeward_kafka_ffi::{DescribeError, describe_topic_id};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, CommitMode, Consumer},
    types::RDKafkaErrorCode as Code,
};

use super::{config::KafkaConfig, context::Context, error::KafkaError};

/// How long a client's waiting events are served. Not zero: such a poll ends behind the first log line, and the error
/// that tells why nobody answers stands behind it.
const DRAIN: Duration = Duration::from_millis(10);

/// What Kafka says about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// The topic's id; `None` where the brokers keep none (before 2.8).
    pub id: Option<String>,
    /// Its partitions, ascending.
    pub partitions: Vec<i32>,
}

/// Outcome of [`Admin::create_topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Created {
    /// We created it.
    Created,
    /// It was there; its partitions were not looked at.
    Exists,
}

/// A client that asks. Cheap to keep, shared by reference.
pub struct Admin {
    config: KafkaConfig,
    timeout: Duration,
    asking: Arc<BaseConsumer<Context>>,
    committing: Mutex<Option<(String, BaseConsumer<Context>)>>,
}

impl Admin {
    /// Makes the client; no broker is asked yet.
    ///
    /// # Errors
    /// The configuration can't be used.
    pub fn new(config: &KafkaConfig, timeout: Duration) -> Result<Self, KafkaError> {
        let asking = config.consumer(&config.asking())?;
        Ok(Self { config: config.clone(), timeout, asking, committing: Mutex::new(None) })
    }

    /// Whether the brokers answer.
    ///
    /// # Errors
    /// They don't, or they refuse us.
    pub fn ping(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.serve_events();
        self.asking.fetch_metadata(None, timeout).map(drop).map_err(|error| self.explain("ping", &error))
    }

    /// Id and partitions of `topic`. Asked anew each time, so it also shows partitions added meanwhile.
    ///
    /// # Errors
    /// `NoTopic` where it doesn't exist; unreachable; refused.
    pub fn topic(&self, topic: &str) -> Result<TopicFacts, KafkaError> {
        let (partitions, broker) = self.partitions(topic)?;
        let id = self.topic_id(topic, broker)?;
        Ok(TopicFacts { id, partitions })
    }

    /// The oldest offset that Kafka holds, and the offset behind the last record that the configured isolation level
    /// lets us read: `[low, high)`.
    ///
    /// # Errors
    /// No such partition; unreachable; refused.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.serve_events();
        watermarks(&self.asking, topic, partition, self.timeout)
    }

    /// For each partition the first offset whose record's timestamp is at or after `timestamp_ms`; the high watermark
    /// where there is none.
    ///
    /// # Errors
    /// `NoTopic`; unreachable; refused.
    pub fn offsets_at(&self, topic: &str, timestamp_ms: i64) -> Result<BTreeMap<i32, i64>, KafkaError> {
        const DURING: &str = "offsets at a time";
        let mut asked = TopicPartitionList::new();
        for partition in self.partitions(topic)?.0 {
            asked
                .add_partition_offset(topic, partition, Offset::Offset(timestamp_ms))
                .map_err(|error| self.explain(DURING, &error))?;
        }
        let answer =
            self.asking.offsets_for_times(asked, self.timeout).map_err(|error| self.explain(DURING, &error))?;
        let mut offsets = BTreeMap::new();
        for element in answer.elements() {
            element.error().map_err(|error| self.explain(DURING, &error))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => self.watermarks(topic, element.partition())?.1,
            };
            offsets.insert(element.partition(), offset);
        }
        Ok(offsets)
    }

    /// Creates `topic`.
    ///
    /// # Errors
    /// The brokers refuse the numbers or us; unreachable.
    pub fn create_topic(&self, topic: &str, partitions: i32, replication: i32) -> Result<Created, KafkaError> {
        const DURING: &str = "creating a topic";
        let admin: AdminClient<Context> = self.config.create(&self.config.asking())?;
        let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        let options = AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout));
        let answer = futures::executor::block_on(admin.create_topics([&wanted], &options))
            .map_err(|error| self.explain(DURING, &error))?;
        match answer.into_iter().next() {
            Some(Ok(_)) => Ok(Created::Created),
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(Created::Exists),
            Some(Err((_, code))) => Err(self.context().explain_code(DURING, code, code.to_string())),
            None => Err(KafkaError::Client { during: DURING.to_owned(), reason: "empty answer".to_owned() }),
        }
    }

    /// Tells lag tools how far `group` has come in `topic`: partition -> next offset to fetch. Advice only; nothing
    /// reads it back. Works without membership, as long as no members hold the group.
    ///
    /// # Errors
    /// Unreachable; refused; somebody else is a member of the group.
    pub fn commit_offsets(&self, group: &str, topic: &str, offsets: &BTreeMap<i32, i64>) -> Result<(), KafkaError> {
        const DURING: &str = "committing group offsets";
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(|error| self.explain(DURING, &error))?;
        }
        if list.count() == 0 {
            return Ok(());
        }
        let mut held = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match held.take() {
            Some((name, client)) if name == group => client,
            _ => self.config.create(&self.config.committing(group))?,
        };
        let outcome = client.commit(&list, CommitMode::Sync);
        drain(&client);
        let outcome = outcome.map_err(|error| client.client().context().explain(DURING, &error));
        *held = Some((group.to_owned(), client));
        outcome
    }

    /// Settings of `topic`, by name; those that the brokers don't tell are left out.
    ///
    /// # Errors
    /// Unreachable; refused.
    pub fn topic_settings(&self, topic: &str) -> Result<BTreeMap<String, String>, KafkaError> {
        const DURING: &str = "asking for a topic's settings";
        let admin: AdminClient<Context> = self.config.create(&self.config.asking())?;
        let options = AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout));
        let asked = [ResourceSpecifier::Topic(topic)];
        let answer = futures::executor::block_on(admin.describe_configs(&asked, &options))
            .map_err(|error| self.explain(DURING, &error))?;
        match answer.into_iter().next() {
            Some(Ok(resource)) => {
                let entries = resource.entries.into_iter();
                Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
            }
            Some(Err(code)) => Err(self.context().explain_code(DURING, code, code.to_string())),
            None => Err(KafkaError::Client { during: DURING.to_owned(), reason: "empty answer".to_owned() }),
        }
    }

    /// Forgets what `group` has committed, in all topics; a group that is not there is forgotten already.
    ///
    /// # Errors
    /// Unreachable; refused; somebody is a member of the group.
    pub fn forget_group(&self, group: &str) -> Result<(), KafkaError> {
        const DURING: &str = "deleting the group's offsets";
        let admin: AdminClient<Context> = self.config.create(&self.config.asking())?;
        let options = AdminOptions::new().request_timeout(Some(self.timeout)).operation_timeout(Some(self.timeout));
        let answer = futures::executor::block_on(admin.delete_groups(&[group], &options))
            .map_err(|error| self.explain(DURING, &error))?;
        match answer.into_iter().next() {
            Some(Ok(_) | Err((_, Code::GroupIdNotFound))) => Ok(()),
            Some(Err((_, code))) => Err(self.context().explain_code(DURING, code, code.to_string())),
            None => Err(KafkaError::Client { during: DURING.to_owned(), reason: "empty answer".to_owned() }),
        }
    }

    /// The offsets last committed by `group`, for those partitions that have one.
    ///
    /// # Errors
    /// Unreachable; refused.
    pub fn committed_offsets(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, KafkaError> {
        const DURING: &str = "asking for group offsets";
        let mut asked = TopicPartitionList::new();
        for partition in self.partitions(topic)?.0 {
            asked.add_partition(topic, partition);
        }
        let client: BaseConsumer<Context> = self.config.create(&self.config.committing(group))?;
        let answer = client
            .committed_offsets(asked, self.timeout)
            .map_err(|error| client.client().context().explain(DURING, &error))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        Ok(answer.elements().iter().filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect())
    }

    /// The partitions, ascending, and a broker that is there: the one that answered, where its id is known yet.
    fn partitions(&self, topic: &str) -> Result<(Vec<i32>, Option<i32>), KafkaError> {
        const DURING: &str = "asking for the topic";
        self.serve_events();
        let metadata =
            self.asking.fetch_metadata(Some(topic), self.timeout).map_err(|error| self.explain(DURING, &error))?;
        let missing = || KafkaError::NoTopic { topic: topic.to_owned() };
        let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or_else(missing)?;
        if let Some(error) = found.error() {
            return Err(match Code::from(error) {
                Code::UnknownTopicOrPartition | Code::UnknownTopic => missing(),
                code => self.context().explain_code(DURING, code, code.to_string()),
            });
        }
        let mut partitions: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
        partitions.sort_unstable();
        let answered = Some(metadata.orig_broker_id()).filter(|id| *id >= 0);
        let broker = answered.or_else(|| metadata.brokers().first().map(|broker| broker.id()));
        if partitions.is_empty() { Err(missing()) } else { Ok((partitions, broker)) }
    }

    fn topic_id(&self, topic: &str, broker: Option<i32>) -> Result<Option<String>, KafkaError> {
        const DURING: &str = "asking for the topic's id";
        match describe_topic_id(self.asking.client(), topic, broker, self.timeout) {
            Ok(id) => Ok(id),
            Err(DescribeError::Failed { code: Code::UnsupportedFeature | Code::UnsupportedVersion, .. }) => Ok(None),
            Err(DescribeError::Failed { code: Code::UnknownTopicOrPartition | Code::UnknownTopic, .. }) => {
                Err(KafkaError::NoTopic { topic: topic.to_owned() })
            }
            Err(DescribeError::Failed { code, text }) => Err(self.context().explain_code(DURING, code, text)),
            Err(DescribeError::TimedOut(waited)) => {
                let text = format!("no answer within {waited:?}");
                Err(self.context().explain_code(DURING, Code::OperationTimedOut, text))
            }
            Err(error) => Err(KafkaError::Client { during: DURING.to_owned(), reason: error.to_string() }),
        }
    }

    fn context(&self) -> &Context {
        self.asking.client().context()
    }

    fn explain(&self, during: &str, error: &rdkafka::error::KafkaError) -> KafkaError {
        // The client's own error events say more than the call's time-out.
        self.serve_events();
        self.context().explain(during, error)
    }

    fn serve_events(&self) {
        drain(&self.asking);
    }
}

/// `[low, high)` of a partition, under the client's isolation level.
pub(super) fn watermarks(
    client: &BaseConsumer<Context>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<(i64, i64), KafkaError> {
    client.fetch_watermarks(topic, partition, timeout).map_err(|error| match error.rdkafka_error_code() {
        Some(Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
            KafkaError::NoPartition { topic: topic.to_owned(), partition }
        }
        _ => client.client().context().explain("asking for the watermarks", &error),
    })
}

/// Serves what waits on a client that nobody polls: log lines and errors.
fn drain(client: &BaseConsumer<Context>) {
    while client.poll(DRAIN).is_some() {}
}
