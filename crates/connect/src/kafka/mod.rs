//! Kafka: reading partitions in large batches, asking about topics, writing records.
//!
//! Promises: records come in offset order from exactly the offset asked for, none twice, none left out (I4); an offset
//! that Kafka can't serve is a `GAP` or `TRUNCATED`, never a silent jump (H4); without credit nothing is delivered and
//! memory stays bounded (I15); every stop is bounded (I18); no secret is printed (I17).
//!
//! Deliberately not here: groups that rebalance (the log decides who reads what), what an offset means for the log,
//! when a partition is idle, retries of a whole source (its owner starts another).

mod admin;
mod config;
mod context;
mod error;
mod mock;
mod partition;
mod peek;
mod producer;
mod source;
#[cfg(test)]
mod tests;

pub use admin::{Admin, Created, TopicFacts};
pub use config::KafkaConfig;
pub use error::KafkaError;
pub use mock::{Cluster, MockKafka};
pub use partition::MAX_BYTES as BATCH_BYTES;
pub use partition::{BatchSink, Credit, PartitionPosition, SourceEvent};
pub use peek::{PeekFrom, PeekRecord, peek, sample};
pub use producer::{Outgoing, Producer};
pub use source::{Source, Stopped};
