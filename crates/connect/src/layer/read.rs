//! Reads a layer's Parquet files back, with the columns that only their folder's name holds.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array, new_null_array},
    compute::take,
    datatypes::Field,
};
use bytes::Bytes;
use lakeward_core::log::LiveFile;
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};

use super::{LayerSpec, ParquetSpec, leaf::read_leaf_values};
use crate::lake::{Fault, Lake, LakeError, blocking};

const BATCH_ROWS: usize = 8192;

/// All rows of a Parquet file, in batches of at most 8192.
pub fn read_parquet(bytes: Bytes) -> Result<Vec<RecordBatch>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS).build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// All rows of the layer's file at `path`, in the layer's columns and their order, partition columns read from `leaf`.
/// A column that an older file lacks is NULL. `Damaged` if the file is not what the layer's schema says.
pub async fn read_rows(lake: &Lake, path: &str, leaf: &str, spec: &LayerSpec) -> Result<Vec<RecordBatch>, LakeError> {
    let LayerSpec::Parquet(spec) = spec else {
        return Err(LakeError::Other(Fault::new(lake.store(), path, "read rows: the layer holds lines, not rows")));
    };
    let Some(bytes) = lake.read(path).await? else {
        return Err(LakeError::NotFound(Fault::new(lake.store(), path, "read rows: no such file")));
    };
    let (spec, leaf) = (spec.clone(), leaf.to_owned());
    let (store, file) = (lake.store().to_owned(), path.to_owned());
    blocking(lake.store(), path, move || {
        let rows = rows_of(bytes, &leaf, &spec);
        rows.map_err(|detail| LakeError::damaged(&store, &file, format!("read rows: {detail}")))
    })
    .await
}

/// All rows of a live file where it is: in place, or still under staging. It may be moved meanwhile.
pub async fn read_live_rows(lake: &Lake, file: &LiveFile, spec: &LayerSpec) -> Result<Vec<RecordBatch>, LakeError> {
    for path in [&file.path, &file.staged.staged] {
        match read_rows(lake, path, &file.staged.leaf, spec).await {
            Err(LakeError::NotFound(_)) => {}
            read => return read,
        }
    }
    read_rows(lake, &file.path, &file.staged.leaf, spec).await
}

fn rows_of(bytes: Bytes, leaf: &str, spec: &ParquetSpec) -> Result<Vec<RecordBatch>, String> {
    let fields: Vec<&Field> =
        spec.partition_by.iter().filter_map(|i| spec.schema.fields().get(*i).map(AsRef::as_ref)).collect();
    let values = read_leaf_values(leaf, &fields).map_err(|e| e.to_string())?;
    let inside = read_parquet(bytes).map_err(|e| e.to_string())?;
    inside.iter().map(|batch| whole(batch, spec, &values)).collect()
}

fn whole(batch: &RecordBatch, spec: &ParquetSpec, values: &[ArrayRef]) -> Result<RecordBatch, String> {
    let first_row = UInt32Array::from(vec![0; batch.num_rows()]);
    let mut columns = Vec::with_capacity(spec.schema.fields().len());
    for (i, field) in spec.schema.fields().iter().enumerate() {
        let value = spec.partition_by.iter().position(|p| *p == i).and_then(|p| values.get(p));
        columns.push(match (value, batch.column_by_name(field.name())) {
            (Some(value), _) => take(value, &first_row, None).map_err(|e| e.to_string())?,
            (None, Some(column)) => Arc::clone(column),
            (None, None) => new_null_array(field.data_type(), batch.num_rows()),
        });
    }
    RecordBatch::try_new(spec.schema.clone(), columns).map_err(|e| e.to_string())
}
