//! The lake's files: where each live file lies, whether its bytes are those of its entry, and what lies there that no
//! entry names (I3, I5, I8, I21).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lakeward_connect::lake::{Lake, LakeError, checksum_of};
use lakeward_core::ids::Version;
use lakeward_core::log::{Entry, LayerChange, version_of};
use lakeward_core::pipeline::Pipeline;

use crate::chain::{self, Chain};
use crate::history::{History, Live};
use crate::invariant::Invariant::{I3, I5, I8, I21};
use crate::report::Report;

/// The lake's files at a head.
pub struct Shelf<'a> {
    /// The lake.
    pub lake: &'a Lake,
    /// What the entries say together.
    pub history: &'a History,
    /// Whether nobody works on the pipeline: then all files must be in place.
    pub quiet: bool,
    /// The entries.
    pub chain: &'a Chain,
    later: Mutex<Later>,
}

/// What entries above the head have taken out, as far as they were looked at.
#[derive(Clone, Default)]
struct Later {
    upto: Option<Version>,
    paths: HashSet<String>,
}

/// What is told where that happened.
pub const MEANWHILE: &str =
    "files were taken out while they were read: verify again, or while nobody runs the pipeline";

impl<'a> Shelf<'a> {
    /// The files at the head of `chain`.
    #[must_use]
    pub fn new(lake: &'a Lake, history: &'a History, quiet: bool, chain: &'a Chain) -> Self {
        Self { lake, history, quiet, chain, later: Mutex::default() }
    }
}

impl Shelf<'_> {
    /// Whether an entry that came after the head has taken the file out: a pipeline may go on while it is verified.
    pub async fn went_later(&self, path: &str) -> Result<bool, LakeError> {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut version = later.upto.or(self.chain.head).unwrap_or_default().next();
        while let Some(bytes) = self.lake.read(&self.chain.paths.entry(version)).await? {
            let Ok(entry) = Entry::parse(&bytes) else { break };
            later.paths.extend(entry.layers.values().flat_map(LayerChange::taken_out).cloned());
            later.upto = Some(version);
            version = version.next();
        }
        let found = later.paths.contains(path);
        *self.later.lock().unwrap_or_else(PoisonError::into_inner) = later;
        Ok(found)
    }

    /// A live file's bytes, from its final place or, while it is not there yet, from staging. `None`, and evidence or why
    /// there is none, if it is gone. Other bytes than its entry says are evidence too.
    pub async fn read(&self, live: &Live, report: &mut Report) -> Result<Option<Bytes>, LakeError> {
        let (path, staged) = (&live.file.path, &live.file.staged);
        report.counted(I5, "files", 1);
        report.counted(I21, "files", 1);
        // It may be renamed between two looks.
        for (at, is_final) in [(path, true), (&staged.staged, false), (path, true)] {
            let Some(bytes) = self.lake.read(at).await? else { continue };
            if !is_final {
                self.note_staged(live, report);
            }
            report.counted(I3, "files", 1);
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if length != staged.length {
                report.broken(I3, || format!("{path} has {length} bytes, its entry says {}", staged.length));
            } else if checksum_of(&bytes) != staged.checksum {
                report.broken(I3, || format!("{path} has other bytes than its entry says (checksum)"));
            }
            return Ok(Some(bytes));
        }
        if self.went_later(path).await? {
            [I3, I5, I21].into_iter().for_each(|invariant| report.undecided(invariant, MEANWHILE));
            return Ok(None);
        }
        report.broken(I5, || format!("{path} is gone; entry {} added it", live.version));
        report.broken(I21, || format!("{path} is gone; the head needs it"));
        Ok(None)
    }

    fn note_staged(&self, live: &Live, report: &mut Report) {
        let path = &live.file.path;
        if Some(live.version) <= self.history.rolled {
            report.broken(I5, || format!("{path} is not in sight, though the log says that it is in place"));
        } else if self.quiet {
            report.broken(I8, || format!("{path} is still in staging"));
        }
    }

    /// Visible files that no entry names. The pipeline may have gone on meanwhile: those of newer entries are none.
    pub async fn strangers(&self, pipeline: &Pipeline, chain: &Chain, report: &mut Report) -> Result<(), LakeError> {
        for layer in &pipeline.layers {
            let live = self.history.live.get(&layer.name);
            for entry in self.lake.list_recursive(&layer.path).await? {
                let path = format!("{}/{}", layer.path, entry.name);
                let hidden = entry.name.split('/').any(|part| part.starts_with(['_', '.']));
                if entry.is_dir || hidden || live.is_some_and(|live| live.contains_key(&path)) {
                    continue;
                }
                let going = self.history.going.values().any(|paths| paths.contains(&path));
                if going && !self.quiet {
                    continue;
                }
                if !self.came_later(&path, chain).await? {
                    report.broken(I5, || format!("{path} is visible and no entry names it"));
                }
            }
        }
        Ok(())
    }

    async fn came_later(&self, path: &str, chain: &Chain) -> Result<bool, LakeError> {
        match version_of(path).filter(|version| Some(*version) > chain.head) {
            Some(version) => chain::exists(self.lake, &chain.paths, version).await,
            None => Ok(false),
        }
    }

    /// State objects: those that the head holds, and those that the last checkpoint but one needs (H2).
    pub async fn state(&self, chain: &Chain, deep: bool, report: &mut Report) -> Result<(), LakeError> {
        let last_but_one = chain.checkpoints.iter().rev().nth(1);
        let needed = self.history.state_removed.iter().filter(|(removed, _)| Some(removed) > last_but_one);
        for object in self.history.state.values().chain(needed.map(|(_, object)| object)) {
            report.counted(I21, "state objects", 1);
            let length = self.lake.stat(&object.path).await?.map(|found| found.len);
            let same = match length {
                Some(length) if length == object.length && deep => {
                    self.lake.checksum(&object.path).await?.as_ref() == Some(&object.checksum)
                }
                length => length == Some(object.length),
            };
            if length.is_none() {
                report.broken(I21, || format!("state {} is gone", object.path));
            } else if !same {
                report.broken(I3, || format!("state {} has other bytes than its entry says", object.path));
            }
        }
        Ok(())
    }
}
