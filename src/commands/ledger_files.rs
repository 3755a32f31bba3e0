//! `lakeward ledger --files`: reads every file that the log names and holds it against its entry and the counters.

use std::collections::BTreeMap;

use lakeward_connect::lake::LakeError;
use lakeward_connect::layer::{FileContent, LayerSpec, file_content};
use lakeward_core::log::{LiveFile, PartitionFold, version_of};
use lakeward_core::pipeline::Layer;

use super::inspect::Inspected;
use super::ledger::partitions;
use crate::exit::Exit;
use crate::layers::layer_spec;
use crate::reset::removed_lately;

/// What the files were found to hold.
#[derive(Default)]
pub(super) struct Read {
    rows: BTreeMap<String, u64>,
    /// What is not as the log says, for people.
    pub(super) open: Vec<String>,
}

impl Read {
    /// Rows or lines of a layer.
    pub(super) fn rows_of(&self, layer: &str) -> u64 {
        self.rows.get(layer).copied().unwrap_or(0)
    }
}

/// Reads all files, one after the other.
pub(super) async fn read_files(seen: &Inspected) -> Result<Read, Exit> {
    let mut read = Read::default();
    for layer in &seen.pipeline.layers {
        let mut by_source: BTreeMap<(i32, i32), u64> = BTreeMap::new();
        let spec = layer_spec(&seen.pipeline, layer);
        for file in seen.fold.layer_files(&layer.name) {
            let Some(content) = content_of(seen, file, &spec, &mut read.open).await? else { continue };
            read.open.extend(difference(file, &content));
            *read.rows.entry(layer.name.clone()).or_default() += content.rows;
            for (source, rows) in content.by_source {
                *by_source.entry(source).or_default() += rows;
            }
        }
        read.open.extend(open_by_partition(seen, layer, &by_source));
        read.open.extend(strangers(seen, layer).await?);
    }
    Ok(read)
}

/// A file from its final place or, while it is not there yet, from staging; it may be renamed between the two looks.
/// What can't be read is noted.
async fn content_of(
    seen: &Inspected,
    file: &LiveFile,
    spec: &LayerSpec,
    open: &mut Vec<String>,
) -> Result<Option<FileContent>, Exit> {
    for path in [&file.path, &file.staged.staged, &file.path] {
        match file_content(seen.log.lake(), path, spec).await {
            Ok(Some(content)) => return Ok(Some(content)),
            Ok(None) => {}
            Err(error @ LakeError::Damaged(_)) => {
                open.push(error.to_string());
                return Ok(None);
            }
            Err(error) => return Err(Exit::failed(error.to_string())),
        }
    }
    open.push(format!("{} is gone", file.path));
    Ok(None)
}

/// What a file holds otherwise than its entry says.
fn difference(file: &LiveFile, found: &FileContent) -> Option<String> {
    let told = &file.staged;
    if found.rows != told.rows {
        return Some(format!("{} holds {} rows, its entry says {}", file.path, found.rows, told.rows));
    }
    let same = found.length == told.length && found.checksum == told.checksum;
    (!same).then(|| format!("{} has other bytes than its entry says", file.path))
}

/// Partitions of which a layer holds more or fewer rows than the counters ask for.
fn open_by_partition(seen: &Inspected, layer: &Layer, found: &BTreeMap<(i32, i32), u64>) -> Vec<String> {
    // Rows that are in folders by their coordinates don't hold them.
    if found.is_empty() && seen.fold.layer_files(&layer.name).any(|file| file.staged.rows > 0) {
        return Vec::new();
    }
    let open = |((partition, incarnation), held): ((i32, i32), &PartitionFold)| {
        let due = held.total.due_in(&seen.pipeline, &layer.holds)?;
        let rows = found.get(&(incarnation, partition)).copied().unwrap_or(0);
        // Whose rows retention took nobody has counted by partition.
        if seen.fold.expired.contains_key(&layer.name) && rows <= due {
            return None;
        }
        let whose = format!("partition {partition} of incarnation {incarnation}");
        (rows != due)
            .then(|| format!("{} holds {rows} rows of {whose} in its files, the ledger says {due}", layer.name))
    };
    partitions(&seen.fold).filter_map(open).collect()
}

/// Visible files that no entry names (I5); those of entries that came meanwhile, or that are about to be removed, are none.
async fn strangers(seen: &Inspected, layer: &Layer) -> Result<Vec<String>, Exit> {
    let listed = seen.log.lake().list_recursive(&layer.path).await.map_err(|e| Exit::failed(e.to_string()))?;
    let live = seen.fold.files.get(&layer.name);
    let newer = |path: &str| version_of(path) > Some(seen.fold.version);
    let removed = removed_lately(&seen.log, &seen.fold).await.map_err(|e| Exit::failed(e.to_string()))?;
    let going = |path: &str| removed.iter().any(|removed| removed == path);
    let known = |path: &str| newer(path) || live.is_some_and(|files| files.contains(path)) || going(path);
    let paths = listed.iter().filter(|file| !file.is_dir).map(|file| format!("{}/{}", layer.path, file.name));
    Ok(paths.filter(|path| !known(path)).map(|path| format!("{path} is visible and no entry names it")).collect())
}
