//! Brings rows to the mart that come by entries, never ahead of them: late ones and replayed ones (F3).

use lakeward_connect::mart::{AddOutcome, Added, AddedRows, REPLAYED_FENCE, late_fence};
use lakeward_core::ids::Version;
use lakeward_core::log::{Fold, LiveFile, version_of};
use lakeward_core::pipeline::Holds;

use super::{LinkError, MartLink, not_gone};

/// Rows from which on a transaction ends with the entry that it has come to: bounds its memory.
const ROWS: u64 = 100_000;

impl MartLink {
    /// The last entry whose late rows the KPI's table held when the mart was opened; `None` before the first.
    pub async fn late_fence(&self, kpi: usize) -> Result<Option<Version>, LinkError> {
        let name = self.pipeline().kpis.get(kpi).map(|kpi| late_fence(&kpi.name)).unwrap_or_default();
        self.fence_of(&name).await
    }

    /// Adds the late rows of the entries above `above` up to the fold's. What the table's own fence says goes first.
    pub async fn apply_late(&self, kpi: usize, above: Option<Version>, fold: &Fold) -> Result<(), LinkError> {
        let Some((_, layer)) = self.pipeline().layer(|h| *h == Holds::LateRows { kpi }) else { return Ok(()) };
        self.check_kpi(kpi, true, above, fold)?;
        self.add(Added::Late { kpi }, &layer.name, |_| true, above, fold).await
    }

    /// Adds rows that were replayed out of Quarantine (H5) to the table of rows: their offsets lie below its fences.
    pub async fn apply_replayed(&self, fold: &Fold) -> Result<(), LinkError> {
        let Some((_, layer)) = self.pipeline().layer(|h| matches!(h, Holds::Rows { .. })) else { return Ok(()) };
        let above = self.fence_of(REPLAYED_FENCE).await?;
        if fold.replays.last().copied() <= above {
            return Ok(());
        }
        let replayed = |version| fold.replays.binary_search(&version).is_ok();
        self.add(Added::Replayed, &layer.name, replayed, above, fold).await
    }

    async fn fence_of(&self, name: &str) -> Result<Option<Version>, LinkError> {
        let held = self.connected().await?;
        Ok(held.kpis.get(name).and_then(|fence| fence.version))
    }

    /// `brought`: whether an entry brought such rows.
    async fn add(
        &self,
        to: Added,
        layer: &str,
        brought: impl Fn(Version) -> bool,
        mut above: Option<Version>,
        fold: &Fold,
    ) -> Result<(), LinkError> {
        while above < Some(fold.version) {
            let newer = fold.layer_files_above(layer, above);
            let newer = newer.filter(|file| version_of(&file.path).is_some_and(&brought));
            let (step, version) = next_step(newer, fold.version);
            let mut rows = Vec::new();
            for file in &step {
                for batch in self.read_file(layer, file).await? {
                    rows.push(not_gone(&batch, fold.rows_boundary.filter(|_| to == Added::Replayed))?);
                }
            }
            let held = self.connected().await?;
            let outcome = held.mart.add(&self.context()?, to, AddedRows { above, version, rows }).await;
            above = match self.keep_or_drop(outcome).await? {
                AddOutcome::Applied => Some(version),
                AddOutcome::At { version } => version,
                AddOutcome::Fenced { claim } => return Err(LinkError::Fenced(claim)),
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
        LiveFile { path: final_path("late", &staged, Version(version), number, "00000000"), staged, as_of: None }
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
