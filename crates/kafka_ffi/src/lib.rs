//! The only unsafe code of Lakeward: two things of librdkafka that the `rdkafka` crate doesn't offer.
//!
//! - [`PartitionQueue`]: many messages of one partition in one call (`rd_kafka_consume_batch_queue`);
//! - [`describe_topic_id`]: a topic's id, by which a topic deleted and created again is told from the old one
//!   (the `DescribeTopics` admin call).
//!
//! # The contract
//! - Every pointer that librdkafka hands out is owned by one value here and given back in its `Drop`: the queue by
//!   [`PartitionQueue`], messages by [`Batch`], the admin call's event, queue and options by private guards.
//! - Nothing outlives its owner: a [`PartitionQueue`] keeps its consumer alive and drops its queue first; a [`Batch`]
//!   borrows the queue mutably, a [`Message`] and its slices borrow the batch. So messages are gone before the client.
//! - A `PartitionQueue` may move to another thread, it is never shared between threads. librdkafka's handles are
//!   thread safe.
//! - Text from librdkafka is copied, never kept. Pointers are checked for null before use.
//! - Leaking a value (`mem::forget`) is sound, and leaks memory; librdkafka's client then waits for leaked messages for
//!   ever when it is dropped.
//!
//! It deliberately knows nothing of offsets, retries, batches of Lakeward or configuration.

mod describe;
mod queue;

pub use describe::{DescribeError, describe_topic_id};
pub use queue::{Batch, Item, Message, PartitionQueue, QueueError};
pub use rdkafka::types::RDKafkaErrorCode;

use std::ffi::{CStr, c_char};

/// Copies a C string; a null pointer gives an empty text.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that stays valid during the call.
unsafe fn owned_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller promises a NUL-terminated string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
