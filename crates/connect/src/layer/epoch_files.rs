//! The open files of one layer in one epoch (E2): lines or rows in, staged files out.
//!
//! Promises: one file per leaf for all partitions, under the attempt's staging folder, names ending in `.tmp`; what
//! `close` answers is durable, files are closed side by side; no rows, no files. Encoding runs off the caller's thread.
//! Deliberately knows no version: final names are the committer's (L2). After an error the epoch's files are of no
//! more use: abort.

use bytes::Bytes;
use futures::{StreamExt, stream};
use lakeward_core::log::StagedFile;
use std::collections::{BTreeMap, btree_map::Entry};

use arrow::array::RecordBatch;

use super::{
    AppendMeta, LayerError, LayerSpec,
    encode::{Caps, Encoded, LeafDone, Leaves},
    provenance::Provenance,
};
use crate::lake::{Lake, LakeError, LakeWriter};

/// Files closed at the same time: hides the half second that an HDFS close may wait, without exhausting descriptors.
const SIDE_BY_SIDE: usize = 64;

/// One layer's files of one epoch.
pub struct EpochFiles {
    lake: Lake,
    staging_dir: String,
    tag: String,
    content: Content,
}

enum Content {
    Lines { writer: Option<LakeWriter>, provenance: Provenance },
    Rows { leaves: Option<Box<Leaves>>, writers: BTreeMap<usize, LakeWriter> },
}

impl EpochFiles {
    /// No file is made yet. `staging_dir` is the attempt's folder below the lake's root, `layer_tag` begins the files'
    /// names and tells them from other layers' in that folder.
    pub fn new(lake: Lake, staging_dir: String, layer_tag: String, spec: &LayerSpec) -> Result<Self, LayerError> {
        let content = match spec {
            LayerSpec::RawJson => Content::Lines { writer: None, provenance: Provenance::default() },
            LayerSpec::Parquet(spec) => {
                Content::Rows { leaves: Some(Box::new(Leaves::new(spec, Caps::default())?)), writers: BTreeMap::new() }
            }
        };
        Ok(Self { lake, staging_dir, tag: layer_tag, content })
    }

    /// Appends whole lines, each with its line end, to the epoch's one file.
    pub async fn append_lines(&mut self, bytes: Bytes, meta: AppendMeta) -> Result<(), LayerError> {
        let Content::Lines { writer, provenance } = &mut self.content else {
            return Err(LayerError::Columns("lines for a layer of rows".into()));
        };
        if meta.rows == 0 && bytes.is_empty() {
            return Ok(());
        }
        let writer = match writer {
            Some(writer) => writer,
            none => none.insert(self.lake.writer(&staged_name(&self.staging_dir, &self.tag, 0, "json")).await?),
        };
        writer.write(bytes).await?;
        provenance.add(&meta);
        Ok(())
    }

    /// Appends rows of the layer's schema, partition columns included.
    pub async fn append_rows(&mut self, rows: RecordBatch, meta: AppendMeta) -> Result<(), LayerError> {
        let Content::Rows { leaves, .. } = &mut self.content else {
            return Err(LayerError::Columns("rows for a layer of lines".into()));
        };
        if rows.num_rows() == 0 {
            return Ok(());
        }
        // Gone if an earlier append failed or was given up half-way.
        let mut taken = leaves.take().ok_or(LayerError::Broken)?;
        let work = tokio::task::spawn_blocking(move || {
            let encoded = taken.append(&rows, &meta);
            encoded.map(|encoded| (taken, encoded))
        });
        let (given_back, encoded) = work.await.map_err(|e| LayerError::Encode(e.to_string()))??;
        *leaves = Some(given_back);
        for Encoded { leaf, bytes } in encoded {
            self.leaf_writer(leaf).await?.write(bytes).await?;
        }
        Ok(())
    }

    /// Memory held by rows that are not in files yet, in bytes.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.content {
            Content::Lines { .. } => 0,
            Content::Rows { leaves, .. } => leaves.as_ref().map_or(0, |leaves| leaves.held()),
        }
    }

    /// Closes and syncs all files side by side. Waits for all of them even if one fails.
    pub async fn close(self) -> Result<Vec<StagedFile>, LayerError> {
        let Self { lake, staging_dir, tag, content } = self;
        let (ends, ext) = match content {
            Content::Lines { writer: None, .. } => return Ok(Vec::new()),
            Content::Lines { writer, provenance } => (
                vec![FileEnd {
                    writer,
                    last: Bytes::new(),
                    number: 0,
                    done: LeafDone { leaf: String::new(), provenance },
                }],
                "json",
            ),
            Content::Rows { leaves, writers } => (finish(leaves.ok_or(LayerError::Broken)?, writers).await?, "parquet"),
        };
        let closes = ends.into_iter().map(|end| {
            let staged = staged_name(&staging_dir, &tag, end.number, ext);
            end.close(&lake, staged, ext)
        });
        let closed: Vec<_> = stream::iter(closes).buffered(SIDE_BY_SIDE).collect().await;
        closed.into_iter().map(|file| file.map_err(LayerError::Lake)).collect()
    }

    /// Gives the epoch's files up and removes what there is of them, as far as the store allows.
    pub async fn abort(self) {
        let writers: Vec<LakeWriter> = match self.content {
            Content::Lines { writer, .. } => writer.into_iter().collect(),
            Content::Rows { writers, .. } => writers.into_values().collect(),
        };
        stream::iter(writers).for_each_concurrent(SIDE_BY_SIDE, LakeWriter::abort).await;
    }

    async fn leaf_writer(&mut self, leaf: usize) -> Result<&mut LakeWriter, LayerError> {
        let Content::Rows { writers, .. } = &mut self.content else { return Err(LayerError::Broken) };
        match writers.entry(leaf) {
            Entry::Occupied(writer) => Ok(writer.into_mut()),
            Entry::Vacant(place) => {
                let name = staged_name(&self.staging_dir, &self.tag, leaf, "parquet");
                Ok(place.insert(self.lake.writer(&name).await?))
            }
        }
    }
}

/// A file on its last steps.
struct FileEnd {
    writer: Option<LakeWriter>,
    last: Bytes,
    number: usize,
    done: LeafDone,
}

impl FileEnd {
    async fn close(self, lake: &Lake, staged: String, ext: &str) -> Result<StagedFile, LakeError> {
        let mut writer = match self.writer {
            Some(writer) => writer,
            None => lake.writer(&staged).await?,
        };
        writer.write(self.last).await?;
        let closed = writer.close().await?;
        let Provenance { rows, event_times, offsets } = self.done.provenance;
        Ok(StagedFile {
            leaf: self.done.leaf,
            staged,
            ext: ext.to_owned(),
            length: closed.length,
            checksum: closed.checksum,
            rows,
            event_times,
            offsets,
        })
    }
}

async fn finish(leaves: Box<Leaves>, mut writers: BTreeMap<usize, LakeWriter>) -> Result<Vec<FileEnd>, LayerError> {
    let work = tokio::task::spawn_blocking(move || leaves.finish());
    let (last, done) = work.await.map_err(|e| LayerError::Encode(e.to_string()))??;
    let mut last: BTreeMap<usize, Bytes> = last.into_iter().map(|encoded| (encoded.leaf, encoded.bytes)).collect();
    let ends = done.into_iter().enumerate().map(|(number, done)| FileEnd {
        writer: writers.remove(&number),
        last: last.remove(&number).unwrap_or_default(),
        number,
        done,
    });
    Ok(ends.collect())
}

fn staged_name(staging_dir: &str, tag: &str, number: usize, ext: &str) -> String {
    format!("{staging_dir}/{tag}-{number}.{ext}.tmp")
}
