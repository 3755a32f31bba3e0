//! Kafka options: the user's, and those that exactness depends on.
//!
//! Promises: an unknown option is refused by name, an option that decides exactness can't be overridden, no value of a
//! secret option is ever printed (I17), and what librdkafka buffers stays within the fetch memory (I15).

use std::{collections::BTreeMap, fmt, sync::Arc};

use rdkafka::{
    ClientConfig,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::BaseConsumer,
};

use super::{
    context::Context,
    error::{KafkaError, of_setup},
};

/// Options by which records would be skipped, repeated or committed behind our back.
const RESERVED: [&str; 8] = [
    "group.id",
    "enable.auto.commit",
    "auto.commit.enable",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "group.instance.id",
    "test.mock.num.brokers",
];

/// Default of [`KafkaConfig::with_fetch_memory`].
const FETCH_MEMORY: u64 = 64 << 20;

/// A response may be this large: a single record of 100 MB still arrives. It is a bound, nothing is set aside.
const RESPONSE_MAX: &str = "268435456";

/// How to reach Kafka, checked.
#[derive(Clone)]
pub struct KafkaConfig {
    pipeline: String,
    options: BTreeMap<String, String>,
    fetch_memory: u64,
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mask = |(key, value): (&String, &String)| {
            (key.clone(), if is_secret(key) { "***".to_owned() } else { value.clone() })
        };
        f.debug_struct("KafkaConfig")
            .field("pipeline", &self.pipeline)
            .field("options", &self.options.iter().map(mask).collect::<BTreeMap<_, _>>())
            .field("fetch_memory", &self.fetch_memory)
            .finish()
    }
}

impl KafkaConfig {
    /// `options` are librdkafka's own names; `bootstrap.servers` must be among them. `pipeline` names the group
    /// (`lakeward-<pipeline>`) and the client.
    ///
    /// # Errors
    /// An option is unknown, has an impossible value or is reserved, or the brokers are missing.
    pub fn new(pipeline: &str, options: BTreeMap<String, String>) -> Result<Self, KafkaError> {
        if let Some(option) = RESERVED.into_iter().find(|name| options.contains_key(*name)) {
            return Err(KafkaError::ReservedOption { option: option.to_owned() });
        }
        let config = Self { pipeline: pipeline.to_owned(), options, fetch_memory: FETCH_MEMORY };
        if config.brokers().is_empty() {
            return Err(KafkaError::NoBrokers);
        }
        config.base().create_native_config().map_err(|error| of_setup(&error))?;
        Ok(config)
    }

    /// The same with `bytes` of memory for records fetched ahead, shared by all partitions of a source.
    #[must_use]
    pub fn with_fetch_memory(mut self, bytes: u64) -> Self {
        self.fetch_memory = bytes;
        self
    }

    /// The bootstrap servers.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.options.get("bootstrap.servers").or_else(|| self.options.get("metadata.broker.list")).map_or("", |s| s)
    }

    /// The consumer group that lag tools watch.
    #[must_use]
    pub fn group(&self) -> String {
        format!("lakeward-{}", self.pipeline)
    }

    /// A client that only asks: metadata, offsets. It has no group.
    pub(super) fn asking(&self) -> ClientConfig {
        let mut config = self.base();
        config.set("isolation.level", self.isolation());
        config
    }

    /// A client that commits offsets to `group` and reads nothing.
    pub(super) fn committing(&self, group: &str) -> ClientConfig {
        let mut config = self.asking();
        config.set("group.id", group).set("enable.auto.commit", "false");
        config
    }

    /// A client that reads `partitions` partitions at offsets given to it.
    pub(super) fn reading(&self, partitions: usize) -> ClientConfig {
        let share = self.fetch_memory / u64::try_from(partitions.max(1)).unwrap_or(u64::MAX);
        let queue_kib = (share / 1024).clamp(512, 1 << 20);
        // Counted compressed, while the queue counts records: a small fetch keeps what one answer unpacks to small.
        let fetch_bytes = (queue_kib * 1024 / 8).clamp(64 << 10, 1 << 20);
        let mut config = self.base();
        config
            .set("isolation.level", self.isolation())
            .set("queued.max.messages.kbytes", queue_kib.to_string())
            .set("max.partition.fetch.bytes", fetch_bytes.to_string())
            .set("fetch.max.bytes", (self.fetch_memory / 2).clamp(1 << 20, 64 << 20).to_string())
            .set("receive.message.max.bytes", RESPONSE_MAX)
            // A partition whose queue was full looks again after 10 ms: the default of 1 s halves the throughput.
            .set("fetch.queue.backoff.ms", "10")
            .set("check.crcs", "true");
        self.over(&mut config);
        config
            .set("group.id", self.group())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error");
        config
    }

    /// A client that writes durably, each record once.
    pub(super) fn writing(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "20000")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072");
        self.over(&mut config);
        config.set("acks", "all").set("enable.idempotence", "true");
        config
    }

    /// A client of `config` with our context.
    pub(super) fn create<T: FromClientConfigAndContext<Context>>(
        &self,
        config: &ClientConfig,
    ) -> Result<T, KafkaError> {
        config.create_with_context(Context::new(self.brokers())).map_err(|error| of_setup(&error))
    }

    /// A consumer of `config`, shared between threads.
    pub(super) fn consumer(&self, config: &ClientConfig) -> Result<Arc<BaseConsumer<Context>>, KafkaError> {
        self.create(config).map(Arc::new)
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", format!("lakeward-{}", self.pipeline))
            // After a broker's restart lag should go down at once, not when a back-off of 10 s has passed.
            .set("reconnect.backoff.max.ms", "2000")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Info);
        self.over(&mut config);
        config
    }

    fn over(&self, config: &mut ClientConfig) {
        for (option, value) in &self.options {
            config.set(option, value);
        }
    }

    fn isolation(&self) -> &str {
        self.options.get("isolation.level").map_or("read_committed", |s| s)
    }
}

/// Whether an option's value must not be shown. Errs on the side of hiding.
fn is_secret(option: &str) -> bool {
    ["password", "secret", "jaas", "oauthbearer", "key.pem", "username", "token"]
        .iter()
        .any(|part| option.contains(part))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn options_are_checked_by_name_and_value() {
        let check = |pairs: &[(&str, &str)], expected: Option<&str>| {
            let mut all = options(&[("bootstrap.servers", "h:1")]);
            all.extend(options(pairs));
            assert_eq!(KafkaConfig::new("t", all).err().map(|error| error.to_string()).as_deref(), expected);
        };
        check(&[], None);
        check(&[("security.protocol", "ssl"), ("ssl.ca.pem", "")], None);
        check(
            &[("sasl.pasword", "x")],
            Some("kafka option `sasl.pasword` is unknown to librdkafka; see its CONFIGURATION page for the names"),
        );
        check(&[("group.id", "x")], Some("kafka option `group.id` is set by lakeward itself; remove it"));
        check(
            &[("auto.offset.reset", "x")],
            Some("kafka option `auto.offset.reset` is set by lakeward itself; remove it"),
        );
        check(
            &[("socket.timeout.ms", "soon")],
            Some("kafka option `socket.timeout.ms`: Invalid value for configuration property \"socket.timeout.ms\""),
        );
    }

    #[test]
    fn brokers_are_needed() {
        assert_eq!(KafkaConfig::new("t", BTreeMap::new()).err(), Some(KafkaError::NoBrokers));
    }

    #[test]
    fn no_secret_is_printed() {
        let config = KafkaConfig::new(
            "t",
            options(&[("bootstrap.servers", "h:1"), ("sasl.password", "hush"), ("ssl.key.password", "hush")]),
        );
        let text = format!("{:?}", config.unwrap());
        assert!(!text.contains("hush") && text.contains("***") && text.contains("h:1"), "{text}");
    }

    #[test]
    fn fetch_memory_is_shared_by_the_partitions() {
        let config = KafkaConfig::new("t", options(&[("bootstrap.servers", "h:1")])).unwrap();
        let check = |memory: u64, partitions: usize, queue_kib: &str, fetch: &str| {
            let reading = config.clone().with_fetch_memory(memory).reading(partitions);
            assert_eq!(reading.get("queued.max.messages.kbytes"), Some(queue_kib));
            assert_eq!(reading.get("max.partition.fetch.bytes"), Some(fetch));
        };
        check(64 << 20, 1, "65536", "1048576");
        check(64 << 20, 16, "4096", "524288");
        check(1 << 20, 100, "512", "65536");
    }
}
