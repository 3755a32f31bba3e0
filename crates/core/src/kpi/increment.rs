//! Increments: what one source partition added to one (window, key) since its previous barrier or tick (E2).

use super::acc::Accs;
use crate::ids::EventTime;

/// What was added to a slice; never the slice's whole value.
#[derive(Clone, Debug, PartialEq)]
pub struct Increment {
    /// Start of the window, inclusive.
    pub window: EventTime,
    /// Encoded key (N2).
    pub key: Box<[u8]>,
    /// Source partition.
    pub partition: i32,
    /// What was added, per measure.
    pub accs: Accs,
}

impl Increment {
    /// Estimated memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.accs.bytes()
    }
}
