//! Every name under the lake's root that the log uses (L0, L1, E2, F1): one builder, so that no two places disagree.

use std::collections::BTreeSet;

use crate::ids::Version;
use crate::log::StagedFile;

/// Entries in one folder (L1): a listing stays short.
pub const ENTRIES_PER_FOLDER: u64 = 10_000;

/// Names of one pipeline, before a log's id is known.
#[derive(Clone, Debug)]
pub struct PipelinePaths {
    root: String,
}

impl PipelinePaths {
    /// Names below `_lakeward/<pipeline>`.
    #[must_use]
    pub fn new(pipeline: &str) -> Self {
        Self { root: format!("_lakeward/{pipeline}") }
    }

    /// The file that fixes the id of log `n` (L0).
    #[must_use]
    pub fn log_id(&self, n: u32) -> String {
        format!("{}/{n:06}.json", self.log_ids())
    }

    /// The parsed definition of the given hash.
    #[must_use]
    pub fn definition(&self, hash: &str) -> String {
        format!("{}/{hash}.json", self.definitions())
    }

    fn log_ids(&self) -> String {
        format!("{}/logs", self.root)
    }

    fn definitions(&self) -> String {
        format!("{}/definitions", self.root)
    }

    /// Names of the log `log_id`.
    #[must_use]
    pub fn log(&self, log_id: &str) -> LogPaths {
        LogPaths { pipeline: self.clone(), root: format!("{}/{log_id}", self.root) }
    }
}

/// Names of one log.
#[derive(Clone, Debug)]
pub struct LogPaths {
    pipeline: PipelinePaths,
    root: String,
}

impl LogPaths {
    /// Entry `v` (L1).
    #[must_use]
    pub fn entry(&self, version: Version) -> String {
        format!("{}/{:020}.json", self.entries(version), version.0)
    }

    fn entries(&self, version: Version) -> String {
        format!("{}/{}", self.entries_root(), version.0 / ENTRIES_PER_FOLDER)
    }

    /// Checkpoint at `v` (L5).
    #[must_use]
    pub fn checkpoint(&self, version: Version) -> String {
        format!("{}/{:020}.json", self.checkpoints(), version.0)
    }

    /// Folder of the checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> String {
        format!("{}/checkpoint", self.root)
    }

    /// The owner's lease, a hint (O2).
    #[must_use]
    pub fn lease(&self) -> String {
        format!("{}/lease", self.root)
    }

    /// There once a reset has cleared all that the log had put into the lake and the mart (L6).
    #[must_use]
    pub fn cleared(&self) -> String {
        format!("{}/cleared", self.root)
    }

    /// What the last verification said, for people (replaced by each; no part of the log).
    #[must_use]
    pub fn verified(&self) -> String {
        format!("{}/verified.json", self.root)
    }

    /// Folder of the folders of entries.
    #[must_use]
    pub fn entries_root(&self) -> String {
        format!("{}/log", self.root)
    }

    /// Every folder in which something is created or replaced while `head` is the newest entry: where a process that
    /// dies may leave a temporary file.
    #[must_use]
    pub fn folders_of_creates(&self, head: Version) -> Vec<String> {
        let entries = BTreeSet::from([self.entries(head), self.entries(head.next())]);
        let others = [self.root.clone(), self.checkpoints(), self.pipeline.log_ids(), self.pipeline.definitions()];
        entries.into_iter().chain(others).collect()
    }

    /// Folder of all staged files.
    #[must_use]
    pub fn staging_root(&self) -> String {
        format!("{}/staging", self.root)
    }

    /// Folder of the files staged under one attempt (E2).
    #[must_use]
    pub fn staging(&self, claim: Version, attempt: &str) -> String {
        format!("{}/{}-{attempt}", self.staging_root(), claim.0)
    }

    /// Folder of all state objects.
    #[must_use]
    pub fn state_root(&self) -> String {
        format!("{}/state", self.root)
    }

    /// A state object of one attempt: `name` is `delta` or `base`.
    #[must_use]
    pub fn state(&self, claim: Version, attempt: &str, name: &str) -> String {
        format!("{}/{}-{attempt}/{name}.arrow", self.state_root(), claim.0)
    }
}

/// The final path of file `n` of an entry in the layer's folder (F1). `attempt` is cut to 8 characters.
#[must_use]
pub fn final_path(layer: &str, file: &StagedFile, version: Version, n: usize, attempt: &str) -> String {
    let short = attempt.get(..8).unwrap_or(attempt);
    let name = format!("part-{:020}-{n:05}-{short}.{}", version.0, file.ext);
    if file.leaf.is_empty() { format!("{layer}/{name}") } else { format!("{layer}/{}/{name}", file.leaf) }
}

/// The claim in the name of a staging or state folder (`<claim>-<attempt>`); `None` for a foreign name.
#[must_use]
pub fn claim_of_folder(name: &str) -> Option<(Version, &str)> {
    let (claim, attempt) = name.split_once('-')?;
    Some((Version(claim.parse().ok()?), attempt))
}

/// The attempt id of one epoch of a generation: 128 bits that look random, derived from the generation's random seed
/// so that every writer knows them without being told.
#[must_use]
pub fn attempt_id(seed: &[u8; 16], epoch: crate::ids::Epoch) -> String {
    let mut bytes = [0_u8; 24];
    bytes[..16].copy_from_slice(seed);
    bytes[16..].copy_from_slice(&epoch.0.to_le_bytes());
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes))
}
