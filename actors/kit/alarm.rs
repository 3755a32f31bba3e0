//! How a generation learns that it must end: an actor died, failed, or found that somebody else owns the pipeline.

use lakeward_core::ids::Version;
use tokio::sync::mpsc;

/// Why a generation, or one follower of it, ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// An actor on the path from Kafka to the log is gone without having said why: it panicked.
    #[error("actor {0} died")]
    Died(String),
    /// A follower or mart is gone: it is started again alone (O3).
    #[error("follower {0} died")]
    FollowerDied(String),
    /// Something failed that a new generation may mend.
    #[error("{0}")]
    Failed(String),
    /// A greater claim owns the pipeline (L3, I9).
    #[error("claim {0} owns the pipeline now")]
    Fenced(Version),
    /// Kafka has lost records that come next. What was read before still counts: the generation ends with one more epoch.
    #[error("{0}")]
    RecordsLost(String),
    /// Going on can't be exact; the code and the message are for the user.
    #[error("{code}: {message}")]
    Stop {
        /// Stable code, such as `GAP`.
        code: &'static str,
        /// What happened and what to do.
        message: String,
    },
    /// Everything asked for is done (`--once`, a stop signal).
    #[error("finished")]
    Finished,
}

/// The way to the supervisor.
#[derive(Clone, Debug)]
pub struct Alarm {
    to: mpsc::UnboundedSender<Cause>,
}

impl Alarm {
    /// An alarm and what it rings at.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Cause>) {
        let (to, heard) = mpsc::unbounded_channel();
        (Self { to }, heard)
    }

    /// Rings. Unbounded on purpose: an actor rings once and ends, and a follower is started again only after a pause.
    pub fn ring(&self, cause: Cause) {
        let _ = self.to.send(cause);
    }

    /// A guard that an actor holds as a field: it rings `Died` when the actor is dropped without `rest`.
    #[must_use]
    pub fn sentinel(&self, name: impl Into<String>) -> Sentinel {
        Sentinel { alarm: self.clone(), cause: Some(Cause::Died(name.into())) }
    }

    /// The same for a follower, which is restarted alone.
    #[must_use]
    pub fn follower_sentinel(&self, name: impl Into<String>) -> Sentinel {
        Sentinel { alarm: self.clone(), cause: Some(Cause::FollowerDied(name.into())) }
    }
}

/// Rings when it is dropped before it was put to rest.
#[derive(Debug)]
pub struct Sentinel {
    alarm: Alarm,
    cause: Option<Cause>,
}

impl Sentinel {
    /// The actor ends on purpose. Without effect while a panic unwinds: actix calls `stopped` then too, and a panic is
    /// never on purpose.
    pub fn rest(&mut self) {
        if !std::thread::panicking() {
            self.cause = None;
        }
    }

    /// Tells a cause and stays on guard: the actor goes on as far as it can.
    pub fn tell(&self, cause: Cause) {
        self.alarm.ring(cause);
    }

    /// Ends the generation for the given cause.
    pub fn fail(&mut self, cause: Cause) {
        self.cause = None;
        self.alarm.ring(cause);
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if let Some(cause) = self.cause.take() {
            self.alarm.ring(cause);
        }
    }
}
