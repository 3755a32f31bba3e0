//! What a layer's file really holds, to be held against what its entry says (I3).

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use lakeward_core::json_line::source_of_line;
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};

use super::LayerSpec;
use crate::lake::{Lake, LakeError, blocking, checksum_of};

/// A file as it is in the lake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileContent {
    /// Bytes.
    pub length: u64,
    /// XXH3-128 of the bytes, 32 hex digits.
    pub checksum: String,
    /// Rows or lines.
    pub rows: u64,
    /// Rows or lines by (incarnation, partition), as far as they have coordinates.
    pub by_source: BTreeMap<(i32, i32), u64>,
}

/// Reads the whole file at `path`; `None` if it isn't there. `Damaged` if it can't be read as the layer's encoding.
pub async fn file_content(lake: &Lake, path: &str, spec: &LayerSpec) -> Result<Option<FileContent>, LakeError> {
    let Some(bytes) = lake.read(path).await? else { return Ok(None) };
    let lines = matches!(spec, LayerSpec::RawJson);
    let (store, file) = (lake.store().to_owned(), path.to_owned());
    let content = blocking(lake.store(), path, move || {
        let (length, checksum) = (u64::try_from(bytes.len()).unwrap_or(u64::MAX), checksum_of(&bytes));
        let counted = if lines { Ok(count_lines(&bytes)) } else { count_rows(bytes) };
        let (rows, by_source) = counted.map_err(|e| LakeError::damaged(&store, &file, format!("count rows: {e}")))?;
        Ok(FileContent { length, checksum, rows, by_source })
    });
    content.await.map(Some)
}

type Counted = (u64, BTreeMap<(i32, i32), u64>);

fn count_lines(bytes: &[u8]) -> Counted {
    let mut by_source = BTreeMap::new();
    let mut rows = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        rows += 1;
        if let Some(source) = source_of_line(line) {
            *by_source.entry(source).or_default() += 1;
        }
    }
    (rows, by_source)
}

fn count_rows(bytes: Bytes) -> Result<Counted, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let mut by_source = BTreeMap::new();
    let columns = ["kafka_incarnation", "kafka_partition"];
    if columns.iter().any(|name| builder.schema().column_with_name(name).is_none()) {
        return Ok((rows, by_source));
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let column = |name| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int32Type>());
        let [Some(incarnations), Some(partitions)] = columns.map(column) else { continue };
        for (incarnation, partition) in incarnations.values().iter().zip(partitions.values()) {
            *by_source.entry((*incarnation, *partition)).or_default() += 1;
        }
    }
    Ok((rows, by_source))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use arrow::datatypes::Schema;
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::layer::ParquetSpec;

    fn parquet(columns: Vec<(&str, Vec<i32>)>) -> Bytes {
        let arrays = columns.into_iter().map(|(name, of)| (name, Arc::new(Int32Array::from(of)) as ArrayRef));
        let batch = RecordBatch::try_from_iter(arrays).unwrap();
        let mut out = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        out.into()
    }

    fn parquet_spec() -> LayerSpec {
        LayerSpec::Parquet(ParquetSpec::new(Schema::empty().into(), vec![]))
    }

    async fn content(bytes: Bytes, spec: &LayerSpec) -> Result<FileContent, LakeError> {
        let (lake, _) = Lake::memory();
        lake.put("l/f", bytes).await.unwrap();
        Ok(file_content(&lake, "l/f", spec).await?.unwrap())
    }

    #[tokio::test]
    async fn rows_are_counted_by_the_partition_they_came_from() {
        let bytes = parquet(vec![
            ("n", vec![5, 6, 7]),
            ("kafka_partition", vec![1, 0, 1]),
            ("kafka_incarnation", vec![0, 0, 0]),
        ]);
        let found = content(bytes.clone(), &parquet_spec()).await.unwrap();
        assert_eq!((found.rows, found.by_source), (3, BTreeMap::from([((0, 0), 1), ((0, 1), 2)])));
        assert_eq!((found.length, found.checksum), (bytes.len() as u64, checksum_of(&bytes)));
        let found = content(parquet(vec![("n", vec![5])]), &parquet_spec()).await.unwrap();
        assert_eq!((found.rows, found.by_source), (1, BTreeMap::new()), "without coordinates only rows are known");
    }

    #[tokio::test]
    async fn lines_are_counted_by_the_partition_they_came_from() {
        let line = |p| format!("{{\"topic\":\"t\",\"partition\":{p},\"offset\":1,\"kafka_incarnation\":2,\"a\":1}}\n");
        let lines = [line(4), line(4), line(0), "{\"a\":1}\n".to_owned()].concat();
        let found = content(lines.into(), &LayerSpec::RawJson).await.unwrap();
        assert_eq!((found.rows, found.by_source), (4, BTreeMap::from([((2, 0), 1), ((2, 4), 2)])));
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_none_and_one_that_is_no_parquet_is_damage() {
        assert_eq!(file_content(&Lake::memory().0, "l/f", &parquet_spec()).await.unwrap(), None);
        let error = content(Bytes::from_static(b"PAR1 no more"), &parquet_spec()).await.unwrap_err();
        assert!(matches!(error, LakeError::Damaged(_)) && error.to_string().contains("l/f"), "{error}");
    }
}
