//! Where a source thread meets its PartitionActor: a credit is taken before Kafka is asked for the next batch, so
//! backpressure ends at Kafka.

use std::time::Duration;

use lakeward_connect::kafka::{BatchSink, Credit, SourceEvent};

use crate::kit::outbox::Held;
use crate::kit::{Board, Outbox};
use crate::partition::PartitionMsg;

/// The sink of one partition's source thread.
pub struct PartitionSink {
    partition: i32,
    edge: Outbox<PartitionMsg>,
    held: Option<Held>,
    board: Board,
}

impl PartitionSink {
    /// A sink into the given edge.
    #[must_use]
    pub fn new(partition: i32, edge: Outbox<PartitionMsg>, board: Board) -> Self {
        Self { partition, edge, held: None, board }
    }

    fn must_wait(&self) -> bool {
        self.board.hold() || self.board.partitions().get(&self.partition).is_some_and(|state| state.drifting)
    }
}

impl BatchSink for PartitionSink {
    fn wait_credit(&mut self, timeout: Duration) -> Credit {
        if !self.edge.connected() {
            return Credit::Closed;
        }
        if self.must_wait() {
            std::thread::sleep(timeout.min(Duration::from_millis(10)));
            return Credit::NotYet;
        }
        if self.held.is_none() {
            self.held = self.edge.take_credit(timeout);
        }
        if self.held.is_some() { Credit::Granted } else { Credit::NotYet }
    }

    fn deliver(&mut self, event: SourceEvent) {
        let held = self.held.take().or_else(|| self.edge.take_credit(Duration::MAX));
        if let Some(held) = held {
            // A closed edge: the PartitionActor has rung the alarm already, and the next `wait_credit` says so.
            let _ = self.edge.send_held(held, PartitionMsg::Source(event));
        }
    }
}
