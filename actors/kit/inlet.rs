//! The receiver's check that nothing of an edge was lost or came twice.

use std::collections::BTreeMap;

use super::outbox::Envelope;

/// Checks on the receiver's side that no message of an edge was lost or came twice.
#[derive(Debug, Default)]
pub struct Inlet {
    expected: BTreeMap<u32, u64>,
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
