//! Kafka tests: the same ones on librdkafka's mock cluster and, where `LAKEWARD_TEST_KAFKA` names brokers, on real
//! servers; what only real servers can judge (transactions, deleted records) is in `real`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;
mod on_any;
mod on_mock;
mod on_real;
