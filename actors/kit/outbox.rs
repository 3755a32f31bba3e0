//! The only way from one actor to another: an edge with a finite number of credits.
//!
//! actix doesn't bound mailboxes the way one expects (each clone of an address owns a free slot, `do_send` ignores the
//! bound, a dropped `send` future deletes its message), so an edge counts for itself. A credit is taken before the
//! message is sent and travels in its envelope; it comes back when the receiver drops it: when the work is done or
//! handed on. Messages of an edge are numbered, and the receiver checks the number (`Inlet`).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::clock;
use super::gauge::Gauge;
use super::load::Work;

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

impl Credit {
    /// The receiver begins to work on the message.
    #[must_use]
    pub fn work(&self) -> Work {
        Work::begin(&self.gauge)
    }

    /// The receiver's gauge, for one that works on what it has given the credits back for.
    #[must_use]
    pub fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }
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
    edge: Arc<Edge<M>>,
}

impl<M: Send + 'static> Clone for Outbox<M> {
    fn clone(&self) -> Self {
        Self { edge: Arc::clone(&self.edge) }
    }
}

impl<M: Send + 'static> std::fmt::Debug for Outbox<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("edge", &self.edge.number).finish_non_exhaustive()
    }
}

struct Edge<M: Send + 'static> {
    door: Arc<Door<M>>,
    number: u32,
    credits: Arc<Semaphore>,
    size: usize,
    /// Held while a message is posted: the order of numbers is the order in the mailbox.
    next: Mutex<Next>,
}

/// The number of an edge's next message to the receiver's present life.
#[derive(Clone, Copy, Debug, Default)]
struct Next {
    life: u64,
    number: u64,
}

/// Where all edges of one receiver lead. A follower that is started again stands behind the same door.
struct Door<M: Send + 'static> {
    behind: RwLock<(u64, Recipient<Envelope<M>>)>,
    restartable: bool,
    gauge: Arc<Gauge>,
    edges: AtomicU32,
    /// Numbers of edges whose senders are gone, for the next ones: what a receiver knows of its edges stays bounded.
    free: Mutex<Vec<(u32, Next)>>,
}

impl<M: Send + 'static> Drop for Edge<M> {
    fn drop(&mut self) {
        self.door.gauge.capacity.fetch_sub(self.size, Ordering::Relaxed);
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.door.free.lock().unwrap_or_else(PoisonError::into_inner).push((self.number, next));
    }
}

impl<M: Weight + Send + 'static> Outbox<M> {
    /// Waits for a credit and sends. One sender at a time per edge: the order of calls is the order of messages.
    pub async fn send(&self, message: M) -> Result<(), Closed> {
        let permit = Arc::clone(&self.edge.credits).acquire_owned().await.map_err(|_| Closed)?;
        self.post(permit, message)
    }

    /// Sends if a credit is free, else hands the message back.
    pub fn try_send(&self, message: M) -> Result<(), Unsent<M>> {
        match Arc::clone(&self.edge.credits).try_acquire_owned() {
            Ok(permit) => self.post(permit, message).map_err(|Closed| Unsent::Closed),
            Err(_) => Err(Unsent::NoCredit(message)),
        }
    }

    /// Whether a credit is free now.
    #[must_use]
    pub fn has_credit(&self) -> bool {
        self.edge.credits.available_permits() > 0
    }

    /// Takes a credit from a thread that is not the runtime's, waiting up to `timeout`.
    pub fn take_credit(&self, timeout: Duration) -> Option<Held> {
        const STEP: Duration = Duration::from_millis(2);
        let mut left = timeout;
        loop {
            if let Ok(permit) = Arc::clone(&self.edge.credits).try_acquire_owned() {
                return Some(Held(permit));
            }
            if left.is_zero() || !self.connected() {
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

    /// Whether the receiver still lives, or will be started again.
    #[must_use]
    pub fn connected(&self) -> bool {
        let behind = self.edge.door.behind.read().unwrap_or_else(PoisonError::into_inner);
        self.edge.door.restartable || behind.1.connected()
    }

    /// Which life the receiver is in: a greater number than before means that it was started again and knows nothing
    /// of what it was told.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.edge.door.behind.read().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The same edge with messages missing, for tests of those who must notice.
    #[cfg(test)]
    pub fn torn(&self) -> Self {
        self.edge.next.lock().unwrap_or_else(PoisonError::into_inner).number += 6;
        self.clone()
    }

    #[allow(clippy::disallowed_methods, reason = "the kit is where edges are bounded by credits")]
    fn post(&self, permit: OwnedSemaphorePermit, message: M) -> Result<(), Closed> {
        let Edge { door, number: edge, next, .. } = &*self.edge;
        let behind = door.behind.read().unwrap_or_else(PoisonError::into_inner);
        let (life, to) = &*behind;
        if !to.connected() {
            // A follower between two lives misses the message, and its credit comes back at once: it must not hold
            // its senders up (O3).
            return if door.restartable { Ok(()) } else { Err(Closed) };
        }
        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.life != *life {
            *next = Next { life: *life, number: 0 };
        }
        let ticket = door.gauge.enter(clock::now(), message.records());
        let credit = Credit { _permit: permit, gauge: Arc::clone(&door.gauge), ticket };
        to.do_send(Envelope { edge: *edge, number: next.number, message, credit });
        next.number += 1;
        Ok(())
    }
}

/// The receiving end that edges are made from: an actor, its gauge, and numbers that tell its edges apart. Clones are
/// the same inbox.
pub struct Inbox<M: Send + 'static> {
    door: Arc<Door<M>>,
}

impl<M: Send + 'static> Clone for Inbox<M> {
    fn clone(&self) -> Self {
        Self { door: Arc::clone(&self.door) }
    }
}

impl<M: Weight + Send + 'static> Inbox<M> {
    /// The inbox of an actor whose death ends the generation.
    #[must_use]
    pub fn new(to: Recipient<Envelope<M>>, gauge: Arc<Gauge>) -> Self {
        Self::with(to, gauge, false)
    }

    /// The inbox of a follower: while it is dead, what is sent to it is lost, and `reopen` puts another in its place.
    #[must_use]
    pub fn restartable(to: Recipient<Envelope<M>>, gauge: Arc<Gauge>) -> Self {
        Self::with(to, gauge, true)
    }

    /// Puts a new actor behind all edges. Credits of what the old one was sent come back when its mailbox is dropped;
    /// each edge counts its messages from 0 again.
    pub fn reopen(&self, to: Recipient<Envelope<M>>) {
        let mut behind = self.door.behind.write().unwrap_or_else(PoisonError::into_inner);
        *behind = (behind.0 + 1, to);
    }

    /// A new edge into the actor, for one sender.
    #[must_use]
    pub fn edge(&self, credits: usize) -> Outbox<M> {
        let door = Arc::clone(&self.door);
        door.gauge.capacity.fetch_add(credits, Ordering::Relaxed);
        let free = door.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (number, next) = free.unwrap_or_else(|| (door.edges.fetch_add(1, Ordering::Relaxed), Next::default()));
        let edge =
            Edge { door, number, credits: Arc::new(Semaphore::new(credits)), size: credits, next: Mutex::new(next) };
        Outbox { edge: Arc::new(edge) }
    }

    fn with(to: Recipient<Envelope<M>>, gauge: Arc<Gauge>, restartable: bool) -> Self {
        let (behind, edges, free) = (RwLock::new((0, to)), AtomicU32::new(0), Mutex::default());
        Self { door: Arc::new(Door { behind, restartable, gauge, edges, free }) }
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
