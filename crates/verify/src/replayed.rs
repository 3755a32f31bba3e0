//! Lines of records that a later entry takes out of Quarantine again (H5), kept until it comes.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_core::log::Entry;

use crate::input::Input;
use crate::line::Identity;

/// Those lines.
#[derive(Default)]
pub struct Replayed {
    awaited: BTreeSet<Identity>,
    /// Lines of Bronze; `None` where the record is in Quarantine alone.
    held: BTreeMap<Identity, Option<Vec<u8>>>,
}

impl Replayed {
    /// What the entries replay.
    #[must_use]
    pub fn by(entries: &[Entry]) -> Self {
        let partitions = entries.iter().flat_map(|entry| &entry.partitions);
        let of =
            partitions.flat_map(|(&p, told)| told.replayed.iter().map(move |offset| (told.incarnation, p, offset)));
        Self { awaited: of.collect(), held: BTreeMap::new() }
    }

    /// Keeps the lines of an entry that will be needed.
    pub fn hold(&mut self, input: &Input) {
        if self.awaited.is_empty() {
            return;
        }
        for identity in input.refused().filter(|identity| self.awaited.contains(identity)) {
            self.held.insert(identity, input.bronze_line(identity).map(<[u8]>::to_vec));
        }
    }

    /// The line of Bronze of a record that was refused before; `None`: it was not.
    #[must_use]
    pub fn line(&self, identity: Identity) -> Option<Option<&[u8]>> {
        self.held.get(&identity).map(|line| line.as_deref())
    }
}
