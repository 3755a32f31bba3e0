//! A partition's own queue, read many messages at a time.
//!
//! Promises: what arrived is handed out once, in offset order, and freed when the [`Batch`] goes. Forwarding to the
//! consumer's queue is switched off for good, which librdkafka remembers over `assign` when it is done *before* it.
//! Deliberately not here: what an error means.

use std::{
    ffi::{CString, c_void},
    marker::PhantomData,
    ptr::{self, NonNull},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    bindings as rd,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    types::RDKafkaErrorCode,
};

/// A queue could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The topic's name can't be passed to C.
    #[error("topic name holds a NUL byte")]
    TopicName,
    /// librdkafka gave no queue.
    #[error("librdkafka has no queue for partition {partition} of topic {topic}")]
    NoQueue {
        /// The topic asked for.
        topic: String,
        /// The partition asked for.
        partition: i32,
    },
}

/// The queue of one partition, apart from its consumer's. Open it before the partition is assigned; the consumer
/// itself must still be polled.
pub struct PartitionQueue<C: ConsumerContext> {
    queue: NonNull<rd::rd_kafka_queue_t>,
    slots: Vec<*mut rd::rd_kafka_message_t>,
    // Held so that the client outlives the queue; fields drop after `Drop::drop`, which gives the queue back.
    _consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread. `slots` only holds messages while a `Batch` borrows the
// queue mutably, so a queue that can be moved holds none.
unsafe impl<C: ConsumerContext> Send for PartitionQueue<C> {}

impl<C: ConsumerContext> PartitionQueue<C> {
    /// Takes the partition's queue from `consumer` and stops its forwarding. `capacity` is the most messages that one
    /// call of [`Self::consume_batch`] returns.
    ///
    /// # Errors
    /// The topic's name holds a NUL byte, or librdkafka has no such queue.
    pub fn new(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        capacity: usize,
    ) -> Result<Self, QueueError> {
        let name = CString::new(topic).map_err(|_| QueueError::TopicName)?;
        // SAFETY: the client is alive (we hold an Arc), `name` is NUL-terminated and lives over the call.
        let queue =
            unsafe { rd::rd_kafka_queue_get_partition(consumer.client().native_ptr(), name.as_ptr(), partition) };
        let queue = NonNull::new(queue).ok_or_else(|| QueueError::NoQueue { topic: topic.to_owned(), partition })?;
        // SAFETY: `queue` is ours; a null destination means "no forwarding".
        unsafe { rd::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
        Ok(Self { queue, slots: vec![ptr::null_mut(); capacity.max(1)], _consumer: consumer })
    }

    /// Waits up to `timeout` (whole milliseconds) for `max` messages and returns those that came, perhaps none.
    /// It returns early only when `max` (or the capacity) is reached.
    pub fn consume_batch(&mut self, timeout: Duration, max: usize) -> Batch<'_> {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let room = max.min(self.slots.len());
        // SAFETY: the queue is alive; `slots` has at least `room` elements that librdkafka may overwrite, and none
        // of them owns a message now, because the last `Batch` gave its messages back (or leaked them).
        let count =
            unsafe { rd::rd_kafka_consume_batch_queue(self.queue.as_ptr(), millis, self.slots.as_mut_ptr(), room) };
        let filled = usize::try_from(count).unwrap_or(0).min(room);
        let (messages, _) = self.slots.split_at_mut(filled);
        Batch { messages }
    }
}

impl<C: ConsumerContext> Drop for PartitionQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the reference was given to us by `rd_kafka_queue_get_partition`; it is given back once.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) };
    }
}

/// Messages of one call. Dropping it frees them.
#[must_use]
pub struct Batch<'q> {
    messages: &'q mut [*mut rd::rd_kafka_message_t],
}

impl Batch<'_> {
    /// How many messages and events it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Messages and events in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.messages.iter().filter_map(|message| {
            // SAFETY: librdkafka filled these slots; each message stays allocated until this batch is dropped, and
            // the reference borrows the batch. Nothing writes to the message meanwhile (its headers are parsed
            // lazily behind `_private`, which we never read).
            unsafe { message.as_ref() }.map(Item::of)
        })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.messages.iter_mut().filter(|message| !message.is_null()) {
            // SAFETY: the message was handed to us by librdkafka and is given back once: the slot is cleared.
            unsafe { rd::rd_kafka_message_destroy(*message) };
            *message = ptr::null_mut();
        }
    }
}

/// What a slot of a batch holds.
#[derive(Debug)]
pub enum Item<'b> {
    /// A record.
    Message(Message<'b>),
    /// The end of the partition was reached (`enable.partition.eof`).
    PartitionEof {
        /// The next offset to fetch: behind control records and aborted transactions.
        offset: i64,
    },
    /// The partition reports an error.
    Error {
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// Its text.
        text: String,
    },
}

impl<'b> Item<'b> {
    fn of(native: &'b rd::rd_kafka_message_t) -> Self {
        match native.err {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                Self::Message(Message { native, single_thread: PhantomData })
            }
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Self::PartitionEof { offset: native.offset },
            code => Self::Error {
                code: code.into(),
                // SAFETY: the message is alive; the text belongs to it or is static, and is copied here.
                text: unsafe { crate::owned_text(rd::rd_kafka_message_errstr(native)) },
            },
        }
    }
}

/// A record; its slices live as long as the batch.
#[derive(Debug)]
pub struct Message<'b> {
    native: &'b rd::rd_kafka_message_t,
    // Headers are parsed lazily inside librdkafka, so two threads must not ask at once.
    single_thread: PhantomData<*const ()>,
}

impl<'b> Message<'b> {
    /// Kafka offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.native.offset
    }

    /// Milliseconds since 1970, -1 where the record has no timestamp.
    #[must_use]
    pub fn timestamp_ms(&self) -> i64 {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, `kind` is a valid place to write to.
        let millis = unsafe { rd::rd_kafka_message_timestamp(self.native, &mut kind) };
        if kind == rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE { -1 } else { millis }
    }

    /// The key, `None` for a null key; an empty key is `Some(&[])`.
    #[must_use]
    pub fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: librdkafka's key pointer is null or valid for `key_len` bytes while the message lives.
        unsafe { bytes(self.native.key, self.native.key_len) }
    }

    /// The payload, `None` for a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&'b [u8]> {
        // SAFETY: librdkafka's payload pointer is null or valid for `len` bytes while the message lives.
        unsafe { bytes(self.native.payload, self.native.len) }
    }

    /// Headers in the record's order; a header's value may be null.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut list = ptr::null_mut();
        // SAFETY: the message is alive and used by this thread only (`single_thread`); the list stays its own.
        let found = unsafe { rd::rd_kafka_message_headers(self.native, &mut list) };
        if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || list.is_null() {
            return Vec::new();
        }
        (0..).map_while(|index| header(list, index)).collect()
    }
}

fn header(list: *const rd::rd_kafka_headers_t, index: usize) -> Option<(String, Option<Vec<u8>>)> {
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: `list` belongs to a message that is alive in `Message::headers`, the only caller; an index beyond the
    // end is answered with an error. The three places are valid to write to.
    let found = unsafe { rd::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size) };
    if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    // SAFETY: librdkafka's name is NUL-terminated; its value is null or valid for `size` bytes; both are copied.
    Some(unsafe { (crate::owned_text(name), bytes(value, size).map(<[u8]>::to_vec)) })
}

/// # Safety
/// `start` is null or valid for `len` bytes during `'b`.
unsafe fn bytes<'b>(start: *const c_void, len: usize) -> Option<&'b [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller promises `len` readable bytes.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}
