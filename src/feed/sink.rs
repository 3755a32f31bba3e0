//! Where a feed goes: a Kafka topic, durably, or standard output, one payload per line.

use std::io::{BufWriter, ErrorKind, Stdout, Write};
use std::time::Duration;

use lakeward_connect::kafka::Producer;
use lakeward_core::generate::GeneratedRecord;

use crate::exit::Exit;

/// How long the last deliveries may take.
const FLUSH: Duration = Duration::from_secs(60);

/// Where records go.
pub enum Sink {
    /// A topic.
    Kafka {
        /// Writes.
        producer: Producer,
        /// To this topic.
        topic: String,
    },
    /// Standard output.
    Stdout {
        /// Buffered.
        out: BufWriter<Stdout>,
        /// The reader has gone.
        closed: bool,
    },
}

impl Sink {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::Stdout { out: BufWriter::new(std::io::stdout()), closed: false }
    }

    /// Puts a record on its way.
    ///
    /// # Errors
    /// An earlier record was not delivered, or this one can't be.
    pub fn send(&mut self, record: &GeneratedRecord) -> Result<(), Exit> {
        match self {
            Self::Kafka { producer, topic } => producer
                .send(topic, None, Some(&record.key), Some(&record.payload), Some(record.timestamp_ms))
                .map_err(|e| Exit::failed(e.to_string())),
            Self::Stdout { out, closed } => {
                let wrote = out.write_all(&record.payload).and_then(|()| out.write_all(b"\n"));
                until_closed(wrote, closed)
            }
        }
    }

    /// Waits until everything is delivered.
    ///
    /// # Errors
    /// Something was not.
    pub fn finish(&mut self) -> Result<(), Exit> {
        match self {
            Self::Kafka { producer, .. } => producer.flush(FLUSH).map_err(|e| Exit::failed(e.to_string())),
            Self::Stdout { out, closed } => until_closed(out.flush(), closed),
        }
    }

    /// Of `sent` records, those that are durable where they go.
    #[must_use]
    pub fn delivered(&self, sent: u64) -> u64 {
        match self {
            Self::Kafka { producer, .. } => producer.delivered(),
            Self::Stdout { .. } => sent,
        }
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Stdout { closed: true, .. })
    }
}

/// A reader such as `head` that goes away is an end, not an error.
fn until_closed(wrote: std::io::Result<()>, closed: &mut bool) -> Result<(), Exit> {
    match wrote {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => *closed = true,
        Err(error) => return Err(Exit::failed(format!("standard output: {error}"))),
        Ok(()) => {}
    }
    Ok(())
}
