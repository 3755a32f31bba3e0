//! The attempt ids of a generation's epochs, and the names that follow from them.

use std::sync::Arc;

use lakeward_core::ids::{Epoch, Version};
use lakeward_core::log::{LogPaths, attempt_id};

/// Names what a generation stages. Cheap to clone; every writer derives the same names.
#[derive(Clone, Debug)]
pub struct Attempts {
    seed: Arc<[u8; 16]>,
    claim: Version,
    paths: LogPaths,
}

impl Attempts {
    /// `seed` is 128 random bits, fresh for each generation.
    #[must_use]
    pub fn new(seed: [u8; 16], claim: Version, paths: LogPaths) -> Self {
        Self { seed: Arc::new(seed), claim, paths }
    }

    /// The claim that everything is staged under.
    #[must_use]
    pub fn claim(&self) -> Version {
        self.claim
    }

    /// The attempt id of an epoch: 32 hex digits.
    #[must_use]
    pub fn id(&self, epoch: Epoch) -> String {
        attempt_id(&self.seed, epoch)
    }

    /// The folder that an epoch's files are staged in.
    #[must_use]
    pub fn staging(&self, epoch: Epoch) -> String {
        self.paths.staging(self.claim, &self.id(epoch))
    }

    /// The name of that folder alone.
    #[must_use]
    pub fn staging_name(&self, epoch: Epoch) -> String {
        format!("{}-{}", self.claim.0, self.id(epoch))
    }

    /// The path of an epoch's increments.
    #[must_use]
    pub fn delta(&self, epoch: Epoch) -> String {
        self.paths.state(self.claim, &self.id(epoch), "delta")
    }

    /// The path of a base object written beside an epoch.
    #[must_use]
    pub fn base(&self, epoch: Epoch) -> String {
        self.paths.state(self.claim, &self.id(epoch), "base")
    }
}
