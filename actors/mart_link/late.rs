//! Brings a mart's table of late rows into line with the log: from the files that entries name, never ahead of them (F3).

use lakeward_connect::mart::{LateBatch, LateOutcome, late_fence};
use lakeward_core::ids::Version;
use lakeward_core::log::{Fold, LiveFile, version_of};
use lakeward_core::pipeline::Holds;

use super::{LinkError, MartLink};

/// Rows from which on a transaction ends with the entry that it has come to: bounds its memory.
const ROWS: u64 = 100_000;

impl MartLink {
    /// The last entry whose late rows the KPI's table held when the mart was opened; `None` before the first.
    pub async fn late_fence(&self, kpi: usize) -> Result<Option<Version>, LinkError> {
        let held = self.connected().await?;
        let name = self.pipeline().kpis.get(kpi).map(|kpi| late_fence(&kpi.name)).unwrap_or_default();
        Ok(held.kpis.get(&name).and_then(|fence| fence.version))
    }

    /// Adds the late rows of the entries above `above` up to the fold's. What the table's own fence says goes first.
    pub async fn apply_late(&self, kpi: usize, mut above: Option<Version>, fold: &Fold) -> Result<(), LinkError> {
        let Some((_, layer)) = self.pipeline().layer(|h| *h == Holds::LateRows { kpi }) else { return Ok(()) };
        while above < Some(fold.version) {
            let (files, version) = next_step(fold.layer_files_above(&layer.name, above), fold.version);
            let mut rows = Vec::new();
            for file in &files {
                rows.extend(self.read_file(&layer.name, file).await?);
            }
            let held = self.connected().await?;
            let outcome = held.mart.apply_late(&self.context()?, kpi, LateBatch { above, version, rows }).await;
            above = match self.keep_or_drop(outcome).await? {
                LateOutcome::Applied => Some(version),
                LateOutcome::At { version } => version,
                LateOutcome::Fenced { claim } => return Err(LinkError::Fenced(claim)),
            };
        }
        Ok(())
    }
}

/// The files of as many whole entries as one transaction takes, and the version that the table has come to with them.
fn next_step<'f>(files: impl Iterator<Item = &'f LiveFile>, head: Version) -> (Vec<LiveFile>, Version) {
    let (mut taken, mut rows, mut last) = (Vec::new(), 0, None);
    for file in files {
        let version = version_of(&file.path);
        if let Some(last) = last.filter(|last| rows >= ROWS && Some(*last) != version) {
            return (taken, last);
        }
        rows += file.staged.rows;
        last = version;
        taken.push(file.clone());
    }
    (taken, head)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lakeward_core::log::{StagedFile, final_path};

    use super::*;

    fn file(version: u64, number: usize, rows: u64) -> LiveFile {
        let staged = StagedFile {
            leaf: String::new(),
            staged: String::new(),
            ext: "parquet".to_owned(),
            length: 1,
            checksum: "c".to_owned(),
            rows,
            event_times: None,
            offsets: BTreeMap::new(),
        };
        LiveFile { path: final_path("late", &staged, Version(version), number, "00000000"), staged }
    }

    #[test]
    fn a_transaction_takes_whole_entries_and_ends_behind_the_one_that_makes_it_large() {
        let check = |files: &[LiveFile], count: usize, version: u64| {
            let (taken, last) = next_step(files.iter(), Version(9));
            assert_eq!((taken.len(), last), (count, Version(version)));
        };
        check(&[], 0, 9);
        check(&[file(3, 0, 5), file(7, 0, 5)], 2, 9);
        check(&[file(3, 0, ROWS), file(3, 1, ROWS), file(5, 0, 1)], 2, 3);
        check(&[file(3, 0, ROWS - 1), file(5, 0, 1), file(6, 0, 1)], 2, 5);
        check(&[file(3, 0, ROWS)], 1, 9);
    }
}
