//! The only way from one actor to another: an edge with a finite number of credits.
//!
//! actix doesn't bound mailboxes the way one expects (each clone of an address owns a free slot, `do_send` ignores the
//! bound, a dropped `send` future deletes its message), so an edge counts for itself. A credit is taken before the
//! message is sent and travels in its envelope; it comes back when the receiver drops it: when the work is done or
//! handed on. Messages of an edge are numbered, and the receiver checks the number (`Inlet`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gauge::Gauge;

/// How many records a message stands for, for the receiver's lag.
pub trait Weight {
    /// Records in the message; 0 for control messages.
    fn records(&self) -> u64;
}

/// A message with its number and its credit.
#[derive(Debug)]
pub struct Envelope<M> {
    /// The edge that it came by.
    pub edge: u32,
    /// Its number on that edge, from 0, without gaps.
    pub number: u64,
    /// What is said.
    pub message: M,
    /// The credit; dropping it lets the sender send one more.
    pub credit: Credit,
}

impl<M: 'static> Message for Envelope<M> {
    type Result = ();
}

/// The right to have one message in flight, given back on drop.
#[derive(Debug)]
pub struct Credit {
    _permit: OwnedSemaphorePermit,
    gauge: Arc<Gauge>,
    ticket: u64,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.gauge.done(self.ticket);
    }
}

/// The receiver is gone: the generation is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiving actor is gone")]
pub struct Closed;

/// The sending end of one edge. Clones share its credits and its numbers.
pub struct Outbox<M: Send + 'static> {
    to: Recipient<Envelope<M>>,
    credits: Arc<Semaphore>,
    numbers: Arc<AtomicU64>,
    gauge: Arc<Gauge>,
    edge: u32,
}

impl<M: Send + 'static> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self {
            to: self.to.clone(),
            credits: Arc::clone(&self.credits),
            numbers: Arc::clone(&self.numbers),
            gauge: Arc::clone(&self.gauge),
            edge: self.edge,
        }
    }
}

impl<M: Send + 'static> std::fmt::Debug for Outbox<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("edge", &self.edge).finish_non_exhaustive()
    }
}

impl<M: Weight + Send + 'static> Outbox<M> {
    /// An edge into `to` with `credits` credits. `gauge` is the receiver's, `edge` a number that tells the receiver's
    /// edges apart.
    #[must_use]
    pub fn new(to: Recipient<Envelope<M>>, gauge: Arc<Gauge>, edge: u32, credits: usize) -> Self {
        gauge.capacity.fetch_add(credits, Ordering::Relaxed);
        let credits = Arc::new(Semaphore::new(credits));
        Self { to, credits, numbers: Arc::new(AtomicU64::new(0)), gauge, edge }
    }

    /// Waits for a credit and sends. One sender at a time per edge: the order of calls is the order of messages.
    pub async fn send(&self, message: M) -> Result<(), Closed> {
        let permit = Arc::clone(&self.credits).acquire_owned().await.map_err(|_| Closed)?;
        self.post(permit, message)
    }

    /// Sends if a credit is free, else hands the message back.
    pub fn try_send(&self, message: M) -> Result<(), Unsent<M>> {
        match Arc::clone(&self.credits).try_acquire_owned() {
            Ok(permit) => self.post(permit, message).map_err(|Closed| Unsent::Closed),
            Err(_) => Err(Unsent::NoCredit(message)),
        }
    }

    /// Whether a credit is free now.
    #[must_use]
    pub fn has_credit(&self) -> bool {
        self.credits.available_permits() > 0
    }

    /// Takes a credit from a thread that is not the runtime's, waiting up to `timeout`.
    pub fn take_credit(&self, timeout: Duration) -> Option<Held> {
        const STEP: Duration = Duration::from_millis(2);
        let mut left = timeout;
        loop {
            if let Ok(permit) = Arc::clone(&self.credits).try_acquire_owned() {
                return Some(Held(permit));
            }
            if left.is_zero() || !self.to.connected() {
                return None;
            }
            let nap = STEP.min(left);
            std::thread::sleep(nap);
            left -= nap;
        }
    }

    /// Sends with a credit taken before.
    pub fn send_held(&self, held: Held, message: M) -> Result<(), Closed> {
        self.post(held.0, message)
    }

    /// Whether the receiver still lives.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.to.connected()
    }

    #[allow(clippy::disallowed_methods, reason = "the kit is where edges are bounded by credits")]
    fn post(&self, permit: OwnedSemaphorePermit, message: M) -> Result<(), Closed> {
        if !self.to.connected() {
            return Err(Closed);
        }
        let ticket = self.gauge.enter(std::time::Instant::now(), message.records());
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let credit = Credit { _permit: permit, gauge: Arc::clone(&self.gauge), ticket };
        self.to.do_send(Envelope { edge: self.edge, number, message, credit });
        Ok(())
    }
}

/// The receiving end that edges are made from: an actor, its gauge, and numbers that tell its edges apart.
pub struct Inbox<M: Send + 'static> {
    to: Recipient<Envelope<M>>,
    gauge: Arc<Gauge>,
    edges: AtomicU32,
}

impl<M: Weight + Send + 'static> Inbox<M> {
    /// The inbox of an actor.
    #[must_use]
    pub fn new(to: Recipient<Envelope<M>>, gauge: Arc<Gauge>) -> Self {
        Self { to, gauge, edges: AtomicU32::new(0) }
    }

    /// A new edge into the actor, for one sender.
    #[must_use]
    pub fn edge(&self, credits: usize) -> Outbox<M> {
        let edge = self.edges.fetch_add(1, Ordering::Relaxed);
        Outbox::new(self.to.clone(), Arc::clone(&self.gauge), edge, credits)
    }
}

/// A credit taken by a thread before it has the message.
pub struct Held(OwnedSemaphorePermit);

/// Why `try_send` did not send.
#[derive(Debug)]
pub enum Unsent<M> {
    /// No credit was free; here is the message.
    NoCredit(M),
    /// The receiver is gone.
    Closed,
}

/// Checks on the receiver's side that no message of an edge was lost or came twice.
#[derive(Debug, Default)]
pub struct Inlet {
    expected: std::collections::BTreeMap<u32, u64>,
}

/// A message is missing on an edge: the generation must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("edge {edge}: message {got} came where {expected} was due")]
pub struct Gap {
    /// The edge.
    pub edge: u32,
    /// The number that was due.
    pub expected: u64,
    /// The number that came.
    pub got: u64,
}

impl Inlet {
    /// Admits the next message of an edge.
    pub fn admit<M>(&mut self, envelope: &Envelope<M>) -> Result<(), Gap> {
        let expected = self.expected.entry(envelope.edge).or_insert(0);
        if envelope.number != *expected {
            return Err(Gap { edge: envelope.edge, expected: *expected, got: envelope.number });
        }
        *expected += 1;
        Ok(())
    }
}
