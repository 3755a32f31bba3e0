//! The `DescribeTopics` admin call, for a topic's id.
//!
//! Promises: the call waits no longer than its timeout, and a missing topic is an error, never "no id".

use std::{
    ffi::{CString, c_char},
    ptr::{self, NonNull},
    time::Duration,
};

use rdkafka::{
    bindings as rd,
    client::{Client, ClientContext},
    types::RDKafkaErrorCode,
};

/// The topic could not be described.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// The topic's name can't be passed to C.
    #[error("topic name holds a NUL byte")]
    TopicName,
    /// librdkafka could not even send the request.
    #[error("librdkafka could not prepare the request")]
    NotSent,
    /// No answer within the timeout.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The brokers, or librdkafka, answered with an error.
    #[error("{text}")]
    Failed {
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// Its text.
        text: String,
    },
}

/// Asks for the id of `topic`, as Kafka's tools print it. `None`: the brokers keep no topic ids. Any `broker` knows it;
/// without one librdkafka waits for the controller, which may be away, or not be told (the mock cluster).
///
/// # Errors
/// The topic doesn't exist, may not be described, or nobody answers within `timeout`.
pub fn describe_topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    broker: Option<i32>,
    timeout: Duration,
) -> Result<Option<String>, DescribeError> {
    let name = CString::new(topic).map_err(|_| DescribeError::TopicName)?;
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let options = Options::new(client, broker, millis)?;
    let queue = Queue::new(client)?;
    let topics = Topics::new(&name)?;
    // SAFETY: the client is borrowed, the three guards own live values; librdkafka copies what it keeps.
    unsafe {
        rd::rd_kafka_DescribeTopics(client.native_ptr(), topics.0.as_ptr(), options.0.as_ptr(), queue.0.as_ptr())
    };
    // A moment longer than the request itself may take, so that its own answer wins.
    let event = queue.poll(millis.saturating_add(500)).ok_or(DescribeError::TimedOut(timeout))?;
    event.topic_id()
}

struct Options(NonNull<rd::rd_kafka_AdminOptions_t>);

impl Options {
    fn new<C: ClientContext>(client: &Client<C>, broker: Option<i32>, timeout_ms: i32) -> Result<Self, DescribeError> {
        // SAFETY: the client is alive.
        let raw = unsafe {
            rd::rd_kafka_AdminOptions_new(
                client.native_ptr(),
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            )
        };
        let options = Self(NonNull::new(raw).ok_or(DescribeError::NotSent)?);
        let (raw, no_text) = (options.0.as_ptr(), ptr::null_mut::<c_char>());
        // SAFETY: the options are ours; a null text buffer of size 0 is never written to.
        let timeout = unsafe { rd::rd_kafka_AdminOptions_set_request_timeout(raw, timeout_ms, no_text, 0) };
        let target = match broker {
            // SAFETY: as above.
            Some(broker) => unsafe { rd::rd_kafka_AdminOptions_set_broker(raw, broker, no_text, 0) },
            None => rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        };
        let fine = [timeout, target].iter().all(|set| *set == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
        if fine { Ok(options) } else { Err(DescribeError::NotSent) }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_AdminOptions_new`, given back once.
        unsafe { rd::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) };
    }
}

struct Topics(NonNull<rd::rd_kafka_TopicCollection_t>);

impl Topics {
    fn new(name: &CString) -> Result<Self, DescribeError> {
        let mut names = [name.as_ptr()];
        // SAFETY: one NUL-terminated name, copied by librdkafka.
        let raw = unsafe { rd::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len()) };
        NonNull::new(raw).map(Self).ok_or(DescribeError::NotSent)
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_TopicCollection_of_topic_names`, given back once.
        unsafe { rd::rd_kafka_TopicCollection_destroy(self.0.as_ptr()) };
    }
}

struct Queue(NonNull<rd::rd_kafka_queue_t>);

impl Queue {
    fn new<C: ClientContext>(client: &Client<C>) -> Result<Self, DescribeError> {
        // SAFETY: the client is alive.
        let raw = unsafe { rd::rd_kafka_queue_new(client.native_ptr()) };
        NonNull::new(raw).map(Self).ok_or(DescribeError::NotSent)
    }

    fn poll(&self, timeout_ms: i32) -> Option<Event> {
        // SAFETY: the queue is ours; the event is null (time-out) or ours.
        NonNull::new(unsafe { rd::rd_kafka_queue_poll(self.0.as_ptr(), timeout_ms) }).map(Event)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, given back once.
        unsafe { rd::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

struct Event(NonNull<rd::rd_kafka_event_t>);

impl Event {
    fn topic_id(&self) -> Result<Option<String>, DescribeError> {
        let event = self.0.as_ptr();
        // SAFETY: the event is ours and alive during this call; librdkafka answers null for one of another type.
        let (code, text, result) = unsafe {
            let code = rd::rd_kafka_event_error(event);
            let text = crate::owned_text(rd::rd_kafka_event_error_string(event));
            (code, text, rd::rd_kafka_event_DescribeTopics_result(event))
        };
        check(code, || text)?;
        if result.is_null() {
            return Err(DescribeError::NotSent);
        }
        let mut count = 0;
        // SAFETY: `result` belongs to the event; the array has `count` elements that live as long as the event.
        let first = unsafe {
            let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            if topics.is_null() || count == 0 { ptr::null() } else { *topics }
        };
        if first.is_null() {
            return Err(DescribeError::NotSent);
        }
        // SAFETY: `first` is a description inside the event, which is alive.
        unsafe { id_of(first) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: handed to us by `rd_kafka_queue_poll`, given back once.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// # Safety
/// `topic` points to a description whose event is alive.
unsafe fn id_of(topic: *const rd::rd_kafka_TopicDescription_t) -> Result<Option<String>, DescribeError> {
    // SAFETY: the caller's promise; error and id belong to the description, texts are copied.
    unsafe {
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            check(rd::rd_kafka_error_code(error), || crate::owned_text(rd::rd_kafka_error_string(error)))?;
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let zero = id.is_null()
            || (rd::rd_kafka_Uuid_most_significant_bits(id) == 0 && rd::rd_kafka_Uuid_least_significant_bits(id) == 0);
        Ok(if zero { None } else { Some(crate::owned_text(rd::rd_kafka_Uuid_base64str(id))) })
    }
}

fn check(code: rd::rd_kafka_resp_err_t, text: impl FnOnce() -> String) -> Result<(), DescribeError> {
    match code {
        rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(DescribeError::Failed { code: code.into(), text: text() }),
    }
}
