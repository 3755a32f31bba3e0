//! Hands: Kafka, lake stores, Parquet, Postgres, SQLite. Nothing here decides; nothing here knows an actor.

pub mod crash_point;
pub mod host;
pub mod kafka;
pub mod lake;
pub mod layer;
pub mod log_store;
pub mod mart;
