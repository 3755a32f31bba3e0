//! The open Parquet files of one layer in one epoch, up to their bytes: no file is touched here.
//!
//! Promises: rows wait until there are enough to be worth encoding, so that many leaves stay cheap; waiting rows and
//! begun row groups together stay near the cap (E1), the largest row group is written out first. Blocks for
//! milliseconds: call it off the arbiters.

use arrow::{
    array::{AsArray, RecordBatch},
    compute::{concat_batches, max, min},
    datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType},
};
use bytes::Bytes;
use lakeward_core::ids::EventTime;
use parquet::{arrow::ArrowWriter, errors::ParquetError, file::properties::WriterProperties};

use super::{AppendMeta, LayerError, ParquetSpec, properties, provenance::Provenance, split, split::Splitter};

/// Rows wait for company until they hold this much, all leaves together.
const WAITING_BYTES: usize = 8 << 20;

/// E1: what open leaves may hold together before the largest writes a row group.
const OPEN_BYTES: usize = 48 << 20;

/// What a Parquet layer holds in memory at most, about.
pub const HELD_BYTES: usize = WAITING_BYTES + OPEN_BYTES;

/// Shares smaller than this are joined before encoding; larger ones are not worth the copy.
const SMALL_SHARE_ROWS: usize = 1024;

/// Bytes to append to the file of a leaf.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) leaf: usize,
    pub(super) bytes: Bytes,
}

/// What is known of a finished file but its bytes.
#[derive(Debug)]
pub(super) struct LeafDone {
    pub(super) leaf: String,
    pub(super) provenance: Provenance,
}

/// All leaves of a layer that an epoch has rows for.
pub(super) struct Leaves {
    schema: SchemaRef,
    file_schema: SchemaRef,
    event_time: Option<usize>,
    splitter: Splitter,
    properties: Option<WriterProperties>,
    waiting: Vec<split::Share>,
    waiting_bytes: usize,
    open: Vec<OpenLeaf>,
    caps: Caps,
}

/// Bounds of memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) waiting: usize,
    pub(super) open: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { waiting: WAITING_BYTES, open: OPEN_BYTES }
    }
}

#[derive(Default)]
struct OpenLeaf {
    writer: Option<ArrowWriter<Vec<u8>>>,
    provenance: Provenance,
}

impl Leaves {
    pub(super) fn new(spec: &ParquetSpec, caps: Caps) -> Result<Self, LayerError> {
        Ok(Self {
            schema: spec.schema.clone(),
            file_schema: spec.file_schema(),
            event_time: spec.event_time.and_then(|column| spec.file_columns().iter().position(|i| *i == column)),
            splitter: Splitter::new(spec)?,
            properties: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            open: Vec::new(),
            caps,
        })
    }

    /// Takes rows in; answers what is ready to be written.
    pub(super) fn append(&mut self, batch: &RecordBatch, meta: &AppendMeta) -> Result<Vec<Encoded>, LayerError> {
        split::check_columns(&self.schema, batch)?;
        let mut shares = self.splitter.split(batch)?;
        self.open.resize_with(self.splitter.leaves().len(), OpenLeaf::default);
        // Shares are slices of one batch, so its memory stays until the last of them is encoded: count it once.
        self.waiting_bytes += shares.first().map_or(0, |share| share.rows.get_array_memory_size());
        for share in &shares {
            let meta = self.meta_of(share, meta);
            if let Some(leaf) = self.open.get_mut(share.leaf) {
                leaf.provenance.add(&meta);
            }
        }
        self.waiting.append(&mut shares);
        if self.waiting_bytes < self.caps.waiting {
            return Ok(Vec::new());
        }
        self.encode_waiting()?;
        self.flush_largest()?;
        Ok(self.ready())
    }

    /// Ends all files; answers their last bytes and, by number of the leaf, what the files hold.
    pub(super) fn finish(mut self) -> Result<(Vec<Encoded>, Vec<LeafDone>), LayerError> {
        self.encode_waiting()?;
        let (mut last, mut done) = (Vec::new(), Vec::new());
        for (number, (open, leaf)) in self.open.into_iter().zip(self.splitter.leaves()).enumerate() {
            if let Some(writer) = open.writer {
                last.push(Encoded { leaf: number, bytes: writer.into_inner()?.into() });
            }
            done.push(LeafDone { leaf: leaf.clone(), provenance: open.provenance });
        }
        Ok((last, done))
    }

    /// Memory held, in bytes.
    pub(super) fn held(&self) -> usize {
        self.waiting_bytes + self.open.iter().map(OpenLeaf::held).sum::<usize>()
    }

    fn meta_of(&self, share: &split::Share, batch: &AppendMeta) -> AppendMeta {
        let own_times = self.event_time.and_then(|column| event_times(&share.rows, column));
        AppendMeta { rows: share.rows.num_rows() as u64, event_times: own_times.or(batch.event_times), ..*batch }
    }

    fn encode_waiting(&mut self) -> Result<(), LayerError> {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if self.properties.is_none() {
            self.properties = Some(properties::choose(&self.file_schema, waiting.iter().map(|share| &share.rows))?);
        }
        waiting.sort_by_key(|share| share.leaf);
        for shares in waiting.chunk_by(|a, b| a.leaf == b.leaf) {
            let Some(number) = shares.first().map(|share| share.leaf) else { continue };
            for rows in joined(&self.file_schema, shares)? {
                self.encode(number, &rows)?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, number: usize, rows: &RecordBatch) -> Result<(), LayerError> {
        let Some(leaf) = self.open.get_mut(number) else { return Ok(()) };
        let writer = match &mut leaf.writer {
            Some(writer) => writer,
            none => {
                let writer = ArrowWriter::try_new(Vec::new(), self.file_schema.clone(), self.properties.clone())?;
                none.insert(writer)
            }
        };
        Ok(writer.write(rows)?)
    }

    fn flush_largest(&mut self) -> Result<(), LayerError> {
        while self.held() > self.caps.open.saturating_sub(self.caps.waiting) {
            let largest = self.open.iter_mut().max_by_key(|leaf| leaf.held());
            match largest.and_then(|leaf| leaf.writer.as_mut()) {
                Some(writer) if writer.in_progress_rows() > 0 => writer.flush()?,
                _ => break,
            }
        }
        Ok(())
    }

    fn ready(&mut self) -> Vec<Encoded> {
        let bytes_of = |leaf: &mut OpenLeaf| leaf.writer.as_mut().map(|writer| std::mem::take(writer.inner_mut()));
        let taken = self.open.iter_mut().enumerate().filter_map(|(leaf, open)| Some((leaf, bytes_of(open)?)));
        taken.filter(|(_, bytes)| !bytes.is_empty()).map(|(leaf, b)| Encoded { leaf, bytes: b.into() }).collect()
    }
}

impl OpenLeaf {
    fn held(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| if writer.in_progress_rows() == 0 { 0 } else { writer.memory_size() })
    }
}

/// The rows of `shares` in order, runs of small ones joined.
fn joined(schema: &SchemaRef, shares: &[split::Share]) -> Result<Vec<RecordBatch>, LayerError> {
    let small = |share: &split::Share| share.rows.num_rows() < SMALL_SHARE_ROWS;
    let mut batches = Vec::new();
    for run in shares.chunk_by(|a, b| small(a) && small(b)) {
        match run {
            [one] => batches.push(one.rows.clone()),
            several => batches.push(concat_batches(schema, several.iter().map(|share| &share.rows))?),
        }
    }
    Ok(batches)
}

fn event_times(rows: &RecordBatch, column: usize) -> Option<(EventTime, EventTime)> {
    let column = rows.columns().get(column)?;
    let DataType::Timestamp(TimeUnit::Microsecond, _) = column.data_type() else { return None };
    let times = column.as_primitive::<TimestampMicrosecondType>();
    Some((EventTime(min(times)?), EventTime(max(times)?)))
}

impl From<ParquetError> for LayerError {
    fn from(error: ParquetError) -> Self {
        Self::Encode(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        datatypes::{Field, Int64Type, Schema},
    };
    use lakeward_core::ids::OffsetRange;

    use super::*;
    use crate::layer::read_parquet;

    fn spec() -> ParquetSpec {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("shop", DataType::Utf8, false)];
        ParquetSpec::new(Arc::new(Schema::new(fields)), vec![1])
    }

    fn batch(ids: std::ops::Range<i64>, shops: i64) -> RecordBatch {
        let id: Int64Array = ids.clone().collect();
        let shop: StringArray = ids.map(|id| Some(format!("s{}", id % shops))).collect();
        RecordBatch::try_new(spec().schema, vec![Arc::new(id) as ArrayRef, Arc::new(shop)]).unwrap()
    }

    fn meta(ids: std::ops::Range<i64>) -> AppendMeta {
        let rows = (ids.end - ids.start).unsigned_abs();
        AppendMeta { partition: 0, range: OffsetRange { from: ids.start, to: ids.end }, rows, event_times: None }
    }

    #[test]
    fn sixty_leaves_hold_little_memory_and_every_row_once() {
        let caps = Caps { waiting: 256 << 10, open: 2 << 20 };
        let mut leaves = Leaves::new(&spec(), caps).unwrap();
        let mut files: Vec<Vec<u8>> = vec![Vec::new(); 60];
        let (step, steps) = (5_000, 60);
        for i in 0..steps {
            let ids = i * step..(i + 1) * step;
            for encoded in leaves.append(&batch(ids.clone(), 60), &meta(ids)).unwrap() {
                files[encoded.leaf].extend_from_slice(&encoded.bytes);
            }
            assert!(leaves.held() <= caps.open, "{} bytes held", leaves.held());
        }
        let (last, done) = leaves.finish().unwrap();
        for encoded in last {
            files[encoded.leaf].extend_from_slice(&encoded.bytes);
        }
        assert_eq!(done.len(), 60);
        for (number, (file, done)) in files.into_iter().zip(done).enumerate() {
            assert_eq!(done.leaf, format!("shop=s{number}"));
            assert_eq!(done.provenance.rows, 5_000);
            let batches = read_parquet(file.into()).unwrap();
            let ids = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec());
            assert!(ids.eq((0..5_000).map(|i| i * 60 + number as i64)));
        }
    }

    #[test]
    fn no_rows_give_no_files() {
        let leaves = Leaves::new(&spec(), Caps::default()).unwrap();
        let (last, done) = leaves.finish().unwrap();
        assert!(last.is_empty() && done.is_empty());
    }
}
