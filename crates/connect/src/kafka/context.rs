//! What librdkafka tells besides records: log lines, errors. They go to `tracing`; the last error is kept, because a
//! time-out by itself doesn't say that the password was wrong.

use std::sync::{Mutex, PoisonError};

use rdkafka::{
    ClientContext, Statistics, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError as Rd,
    types::RDKafkaErrorCode as Code,
};

use super::error::{KafkaError, is_about_certificates, is_refusal, is_transient};

/// The context of every client of ours.
#[derive(Debug)]
pub(super) struct Context {
    brokers: String,
    last: Mutex<Option<(Code, String)>>,
}

impl Context {
    pub(super) fn new(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), last: Mutex::new(None) }
    }

    /// Turns librdkafka's `error` of the call `during` into ours. A time-out is told by the client's last own error.
    pub(super) fn explain(&self, during: &str, error: &Rd) -> KafkaError {
        let code = if let Rd::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() };
        let Some(code) = code else {
            return KafkaError::Client { during: during.to_owned(), reason: error.to_string() };
        };
        self.explain_code(during, code, error.to_string())
    }

    /// The same for a bare code and its text.
    pub(super) fn explain_code(&self, during: &str, code: Code, text: String) -> KafkaError {
        let (brokers, during) = (self.brokers.clone(), during.to_owned());
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last {
            _ if is_refusal(code) => KafkaError::Refused { during, reason: text },
            Some((earlier, reason))
                if is_transient(code) && (is_refusal(earlier) || is_about_certificates(&reason)) =>
            {
                KafkaError::Refused { during, reason }
            }
            // A broker that can't be reached has an error of its own; one that hangs up has none.
            Some((Code::AllBrokersDown, reason)) if is_transient(code) => {
                let reason = format!("{reason}: they close the connection; check the port and `security.protocol`");
                KafkaError::Unreachable { brokers, during, reason }
            }
            Some((_, reason)) if is_transient(code) => KafkaError::Unreachable { brokers, during, reason },
            None if is_transient(code) => KafkaError::Unreachable { brokers, during, reason: text },
            _ => KafkaError::Client { during, reason: text },
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, log_message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility = fac, text = log_message, "librdkafka reports an error");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility = fac, text = log_message, "librdkafka warns"),
            _ => tracing::debug!(facility = fac, text = log_message, "librdkafka says"),
        }
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: Rd, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            tracing::warn!(error = %error, reason, "kafka client error");
            return;
        };
        if code == Code::PartitionEOF {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // An idle client hears of dead brokers thousands of times in a row: the first time says it all.
        if code == Code::AllBrokersDown || last.as_ref().is_some_and(|(known, _)| *known == code) {
            tracing::debug!(error = %error, reason, "kafka client error, again");
        } else {
            tracing::warn!(error = %error, reason, "kafka client error");
        }
        // "All brokers down" follows the error that says why: keep the telling one.
        if code != Code::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {}
