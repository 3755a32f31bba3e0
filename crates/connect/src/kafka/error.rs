//! What can go wrong with Kafka, said with who must act.

use rdkafka::{error::KafkaError as Rd, types::RDKafkaErrorCode as Code};

/// A failure of Kafka, its configuration, or what a topic holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// The user named an option that librdkafka doesn't know.
    #[error("kafka option `{option}` is unknown to librdkafka; see its CONFIGURATION page for the names")]
    UnknownOption {
        /// The option.
        option: String,
    },
    /// The user gave an option a value that it can't have.
    #[error("kafka option `{option}`: {reason}")]
    BadOption {
        /// The option.
        option: String,
        /// librdkafka's reason; the value is not repeated, it may be a secret.
        reason: String,
    },
    /// The option decides exactness, so it isn't the user's to set.
    #[error("kafka option `{option}` is set by lakeward itself; remove it")]
    ReservedOption {
        /// The option.
        option: String,
    },
    /// No brokers are configured.
    #[error("kafka brokers are not configured; set [kafka] brokers, for example \"localhost:9092\"")]
    NoBrokers,
    /// The topic doesn't exist.
    #[error("topic `{topic}` does not exist; create it, or correct [source] topic in the pipeline")]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// The topic has no such partition (any more).
    #[error("topic `{topic}` has no partition {partition}; was the topic deleted and created again?")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Kafka no longer holds the next offset to fetch (H4, GAP).
    #[error(
        "GAP: partition {partition} of `{topic}` begins at offset {low}, but {wanted} is next: retention has deleted \
         {} offsets that were never read",
        low - wanted
    )]
    Gap {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to fetch.
        wanted: i64,
        /// The lowest offset that Kafka still holds.
        low: i64,
    },
    /// Kafka ends below the next offset to fetch (H4, TRUNCATED).
    #[error(
        "TRUNCATED: partition {partition} of `{topic}` ends at offset {high}, but {wanted} is next: the topic lost \
         records, or was deleted and created again"
    )]
    Truncated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to fetch.
        wanted: i64,
        /// The offset behind the last record that Kafka holds.
        high: i64,
    },
    /// No broker answers. Retrying may help.
    #[error("kafka at {brokers} does not answer ({during}): {reason}")]
    Unreachable {
        /// The bootstrap servers.
        brokers: String,
        /// What was asked.
        during: String,
        /// librdkafka's reason.
        reason: String,
    },
    /// The brokers refuse us: wrong password, certificate or rights.
    #[error("kafka refuses ({during}): {reason}; {}", remedy(reason))]
    Refused {
        /// What was asked.
        during: String,
        /// The reason.
        reason: String,
    },
    /// A partition can't be read on: damaged data, or an answer that must not be skipped.
    #[error("partition {partition} of `{topic}` can't be read at offset {offset}: {reason}")]
    Partition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to fetch.
        offset: i64,
        /// librdkafka's reason.
        reason: String,
    },
    /// Records sent were not taken by the brokers.
    #[error("{failed} records were not delivered; the first because: {first}")]
    Undelivered {
        /// How many.
        failed: u64,
        /// The first one's reason.
        first: String,
    },
    /// Anything else that librdkafka reports.
    #[error("kafka client failed ({during}): {reason}")]
    Client {
        /// What was asked.
        during: String,
        /// librdkafka's reason.
        reason: String,
    },
}

impl KafkaError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Whether librdkafka goes on by itself after this code.
pub(super) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::NetworkException
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::Retry
    )
}

/// Whether the code says that the brokers don't let us in.
pub(super) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::SSL
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
    )
}

/// Whether librdkafka's text is a refusal by certificate, which it may report as a broken connection.
pub(super) fn is_about_certificates(reason: &str) -> bool {
    reason.contains("certificate verify failed") || (reason.contains("alert") && reason.contains("certificate"))
}

/// What to look at. OpenSSL has one text for an authority that isn't trusted and for a name that doesn't fit.
fn remedy(reason: &str) -> &'static str {
    if reason.contains("certificate verify failed") {
        "the brokers' certificate must be signed by an authority in `ssl.ca.location`, and hold for the host as it is \
         spelt in `brokers` and in the brokers' advertised.listeners"
    } else if is_about_certificates(reason) {
        "the brokers want a certificate that they trust: `ssl.certificate.location` and `ssl.key.location`"
    } else {
        "check credentials and ACLs"
    }
}

/// A failure of setting up a client: the option's name is kept, its value never.
pub(super) fn of_setup(error: &Rd) -> KafkaError {
    match error {
        Rd::ClientConfig(result, reason, option, value) => {
            let unknown = *result == rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN;
            if unknown {
                return KafkaError::UnknownOption { option: option.clone() };
            }
            let reason = if value.is_empty() { reason.clone() } else { reason.replace(value.as_str(), "***") };
            KafkaError::BadOption { option: option.clone(), reason }
        }
        other => KafkaError::Client { during: "client setup".to_owned(), reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_look_at() {
        let check = |reason: &str, about: bool, remedy: &str| {
            let error = KafkaError::Refused { during: "ping".to_owned(), reason: reason.to_owned() };
            assert!(error.to_string().contains(remedy), "{error}");
            assert_eq!(is_about_certificates(reason), about, "{reason}");
        };
        check("SSL routines::certificate verify failed (after 2ms)", true, "`ssl.ca.location`");
        check("SSL routines::ssl/tls alert bad certificate: SSL alert number 42", true, "`ssl.key.location`");
        check("SSL routines::tlsv13 alert certificate required", true, "`ssl.key.location`");
        check("SSL routines::unexpected eof while reading", false, "check credentials");
        check("Authentication failed: Invalid username or password", false, "check credentials");
    }
}
