//! The log as it lies in the lake: every entry up to one head, taken once, with holes and links looked at (I1, I2).
//!
//! The folder is listed, not probed: a missing entry must not make the log look shorter than it is.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use lakeward_connect::lake::{Lake, LakeError};
use lakeward_core::ids::Version;
use lakeward_core::log::{Entry, EntryError, Fold, LogPaths};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::invariant::Invariant::{I1, I2};
use crate::report::Report;

/// Entries that are asked for at once.
const AT_ONCE: usize = 16;

/// The entries of a log.
pub struct Chain {
    /// Names of the log's files.
    pub paths: LogPaths,
    /// Where entries were removed as the log lets them go (F6): the checkpoint from which on it is there.
    pub base: Option<Box<Fold>>,
    /// In order, from version 0 on, or from the one above the base, if nothing is missing.
    pub entries: Vec<Entry>,
    /// Whether nothing is missing and all links hold. Only then the entries can be followed.
    pub intact: bool,
    /// The newest version; `None` where there is no entry.
    pub head: Option<Version>,
    /// Versions of the checkpoints, ascending.
    pub checkpoints: Vec<Version>,
    hashes: Vec<String>,
}

#[derive(Deserialize)]
struct Checkpoint {
    fold: Fold,
}

impl Chain {
    /// Takes the head and reads all entries up to it.
    pub async fn read(lake: &Lake, paths: &LogPaths, report: &mut Report) -> Result<Self, ChainError> {
        let mut versions = versions(lake, &paths.entries_root()).await?;
        let checkpoints = versions_in(lake.list(&paths.checkpoints()).await?.into_iter().map(|e| e.name));
        let mut chain = Self {
            paths: paths.clone(),
            base: None,
            entries: Vec::with_capacity(versions.len()),
            intact: true,
            head: versions.last().copied(),
            checkpoints: checkpoints.into_iter().collect(),
            hashes: Vec::with_capacity(versions.len()),
        };
        chain.find_base(lake, &mut versions, report).await?;
        chain.note_holes(&versions, report);
        let found = stream::iter(versions.into_iter().map(|version| {
            let path = paths.entry(version);
            async move { lake.read(&path).await.map(|bytes| (version, path, bytes)) }
        }));
        let mut found = found.buffered(AT_ONCE);
        while let Some(read) = found.next().await {
            let (version, path, bytes) = read?;
            chain.take(version, &path, bytes.as_deref(), report)?;
        }
        chain.check_checkpoints(lake, report).await?;
        report.counted(I1, "entries", chain.entries.len());
        Ok(chain)
    }

    /// The newest entry says below which version others may be gone. If some are, the log begins at that checkpoint.
    async fn find_base(
        &mut self,
        lake: &Lake,
        versions: &mut BTreeSet<Version>,
        report: &mut Report,
    ) -> Result<(), LakeError> {
        let Some(head) = self.head else { return Ok(()) };
        let newest = lake.read(&self.paths.entry(head)).await?.and_then(|bytes| Entry::parse(&bytes).ok());
        let Some(from) = newest.and_then(|entry| entry.entries_from) else { return Ok(()) };
        if (0..from.0).all(|version| versions.contains(&Version(version))) {
            return Ok(());
        }
        versions.retain(|version| *version > from);
        let path = self.paths.checkpoint(from);
        let checkpoint = lake.read(&path).await?;
        let base = checkpoint.and_then(|bytes| serde_json::from_slice::<Checkpoint>(&bytes).ok());
        let hash = lake.read(&self.paths.entry(from)).await?.map(|bytes| hex::encode(Sha256::digest(&bytes)));
        match base {
            Some(Checkpoint { fold }) if fold.version == from && Some(&fold.hash) == hash.as_ref() => {
                report.counted(I1, "entries", 1);
                self.base = Some(Box::new(fold));
            }
            _ => self
                .refuse(report, format!("entries below {from} are gone, and {path} is not the checkpoint of {from}")),
        }
        Ok(())
    }

    fn note_holes(&mut self, versions: &BTreeSet<Version>, report: &mut Report) {
        let Some(head) = self.head else { return };
        let first = self.base.as_ref().map_or(0, |base| base.version.0 + 1);
        for version in (first..head.0).map(Version).filter(|version| !versions.contains(version)) {
            self.intact = false;
            report.broken(I1, || format!("entry {version} is missing: {} is not there", self.paths.entry(version)));
        }
    }

    fn take(
        &mut self,
        version: Version,
        path: &str,
        bytes: Option<&[u8]>,
        report: &mut Report,
    ) -> Result<(), ChainError> {
        let bytes = bytes.unwrap_or_default();
        let hash = hex::encode(Sha256::digest(bytes));
        let entry = match Entry::parse(bytes) {
            Ok(entry) if entry.version == version => entry,
            Ok(entry) => {
                self.refuse(report, format!("{path} says that it is entry {}", entry.version));
                return Ok(());
            }
            Err(EntryError::NewerLog(what)) => return Err(ChainError::Newer(what)),
            Err(error) => {
                self.refuse(report, format!("{path}: {error}"));
                return Ok(());
            }
        };
        let base = self.base.as_ref().map(|base| base.version);
        let before = self.entries.last().map(|before| before.version).or(base);
        if version == before.map_or(Version(0), Version::next) {
            self.check_link(&entry, report);
        }
        self.entries.push(entry);
        self.hashes.push(hash);
        Ok(())
    }

    /// An entry that changed is known by its successor, which names its hash (I2).
    fn check_link(&mut self, entry: &Entry, report: &mut Report) {
        report.counted(I2, "links", 1);
        let before = self.hashes.last().or(self.base.as_ref().map(|base| &base.hash));
        if entry.previous.as_ref() != before {
            self.intact = false;
            let version = entry.version;
            report.broken(I1, || format!("entry {version} names another hash than that of the entry before it"));
            if let Some(before) = version.0.checked_sub(1) {
                report.broken(I2, || format!("entry {before} is not the one that entry {version} followed"));
            }
        }
        if self.entries.first().is_some_and(|first| first.log_id != entry.log_id) {
            self.intact = false;
            report.broken(I1, || format!("entry {} belongs to the log {}", entry.version, entry.log_id));
        }
    }

    fn refuse(&mut self, report: &mut Report, what: String) {
        self.intact = false;
        report.broken(I2, || what.clone());
        report.broken(I1, || what);
    }

    /// A checkpoint stands for all entries up to its version (L5): it must be at or below the head, and name the same.
    async fn check_checkpoints(&mut self, lake: &Lake, report: &mut Report) -> Result<(), ChainError> {
        report.counted(I1, "checkpoints", self.checkpoints.len());
        let Some(newest) = self.checkpoints.last().copied() else { return Ok(()) };
        if Some(newest) > self.head {
            self.intact = false;
            let head = self.head.map_or_else(|| "none".to_owned(), |head| head.to_string());
            report.broken(I1, || format!("a checkpoint stands at {newest}, the newest entry is {head}"));
            return Ok(());
        }
        if self.base.as_ref().is_some_and(|base| base.version == newest) {
            return Ok(());
        }
        let path = self.paths.checkpoint(newest);
        let bytes = lake.read(&path).await?.unwrap_or_default();
        let at = self.entries.binary_search_by_key(&newest, |entry| entry.version).ok();
        let hash = at.and_then(|at| self.hashes.get(at));
        match serde_json::from_slice::<Checkpoint>(&bytes) {
            Ok(Checkpoint { fold }) if fold.version != newest || Some(&fold.hash) != hash => {
                report.broken(I2, || format!("{path} is of another entry {newest} than the one that is there"));
            }
            Ok(_) => report.counted(I2, "checkpoints", 1),
            Err(error) => report.broken(I1, || format!("{path} can't be read: {error}")),
        }
        Ok(())
    }
}

/// Whether an entry is there by now: the pipeline may have gone on since the head was taken.
pub async fn exists(lake: &Lake, paths: &LogPaths, version: Version) -> Result<bool, LakeError> {
    Ok(lake.stat(&paths.entry(version)).await?.is_some())
}

async fn versions(lake: &Lake, folder: &str) -> Result<BTreeSet<Version>, LakeError> {
    let found = lake.list_recursive(folder).await?.into_iter().filter(|entry| !entry.is_dir);
    Ok(versions_in(found.map(|entry| entry.name.rsplit('/').next().unwrap_or_default().to_owned())))
}

fn versions_in(names: impl Iterator<Item = String>) -> BTreeSet<Version> {
    names.filter_map(|name| name.strip_suffix(".json")?.parse().ok().map(Version)).collect()
}

/// Why the log can't be followed by this program.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Written by a newer program; the user updates this one.
    #[error("NEWER_LOG: the log holds {0}, which this version of lakeward does not know; update lakeward")]
    Newer(String),
    /// The store failed; it may answer later.
    #[error(transparent)]
    Lake(#[from] LakeError),
}
