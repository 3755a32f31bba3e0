//! Layers from append to read back, over local and memory lakes.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray,
    },
    compute::concat_batches,
    datatypes::Schema,
};
use bytes::Bytes;
use lakeward_core::{
    ids::{EventTime, OffsetRange},
    log::StagedFile,
    types::{Column, DataType},
};

use super::*;
use crate::lake::{Cue, Lake, Operation, checksum_of};

fn every_type() -> ParquetSpec {
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    let columns = [
        Column::new("shop", DataType::String, true),
        Column::new("id", DataType::Int64, false),
        Column::new("n", DataType::Int32, true),
        Column::new("flag", DataType::Bool, true),
        Column::new("ratio", DataType::Float64, true),
        Column::new("small", decimal(9, 2), true),
        Column::new("amount", decimal(12, 2), false),
        Column::new("wide", decimal(38, 4), true),
        Column::new("day", DataType::Date, false),
        Column::new("at", DataType::Timestamp, false),
        Column::new("note", DataType::String, true),
    ];
    let schema = Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>());
    ParquetSpec { event_time: Some(9), ..ParquetSpec::new(schema.into(), vec![8, 0]) }
}

fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let decimal = |precision, scale, of: fn(i64) -> Option<i128>| -> ArrayRef {
        let values: Decimal128Array = ids.clone().map(of).collect();
        Arc::new(values.with_precision_and_scale(precision, scale).unwrap())
    };
    let shop = |id: i64| [Some("a/b"), None, Some("ü=🦀"), Some("plain")][(id % 4) as usize];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.clone().map(shop).collect::<StringArray>()),
        Arc::new(ids.clone().collect::<Int64Array>()),
        Arc::new(ids.clone().map(|id| (id % 3 != 0).then_some(id as i32)).collect::<Int32Array>()),
        Arc::new(ids.clone().map(|id| (id % 5 != 0).then_some(id % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(ids.clone().map(|id| Some(id as f64 / 7.0)).collect::<Float64Array>()),
        decimal(9, 2, |id| (id % 3 != 0).then_some(i128::from(id) * 7)),
        decimal(12, 2, |id| Some(i128::from(id) * -101)),
        decimal(38, 4, |id| Some(i128::from(id) * 10i128.pow(30))),
        Arc::new(ids.clone().map(|id| Some(19_000 + (id % 3) as i32)).collect::<Date32Array>()),
        Arc::new(
            ids.clone().map(|id| Some(id * 1_000_001)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        ),
        Arc::new(ids.map(|id| (id % 4 != 1).then(|| format!("note {id}"))).collect::<StringArray>()),
    ];
    RecordBatch::try_new(every_type().schema, columns).unwrap()
}

fn meta(partition: i32, ids: std::ops::Range<i64>) -> AppendMeta {
    let rows = (ids.end - ids.start).unsigned_abs();
    AppendMeta { partition, range: OffsetRange { from: ids.start, to: ids.end }, rows, event_times: None }
}

fn files(lake: &Lake, spec: &LayerSpec) -> EpochFiles {
    EpochFiles::new(lake.clone(), "_lakeward/p/1/staging/7-ab".into(), "silver".into(), spec).unwrap()
}

async fn staged_rows(lake: &Lake, ranges: &[(i32, std::ops::Range<i64>)]) -> Vec<StagedFile> {
    let mut files = files(lake, &LayerSpec::Parquet(every_type()));
    for (partition, ids) in ranges {
        files.append_rows(rows(ids.clone()), meta(*partition, ids.clone())).await.unwrap();
    }
    files.close().await.unwrap()
}

#[tokio::test]
async fn rows_come_back_as_they_were_from_their_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(&format!("file://{}", folder.path().display()), None).await.unwrap();
    let spec = LayerSpec::Parquet(every_type());
    let staged = staged_rows(&lake, &[(0, 0..500), (1, 500..501), (0, 501..3000)]).await;
    assert_eq!(staged.len(), 12, "one file per leaf for all partitions");
    assert_eq!(staged.iter().map(|f| f.rows).sum::<u64>(), 3000);
    let mut back = Vec::new();
    for (n, file) in staged.iter().enumerate() {
        assert_eq!(file.ext, "parquet");
        assert_eq!(file.staged, format!("_lakeward/p/1/staging/7-ab/silver-{n}.parquet.tmp"));
        let to = format!("silver/{}/part-{n}.parquet", file.leaf);
        assert_eq!(roll_forward(&lake, &file.staged, &to, file.length, &file.checksum).await.unwrap(), Rolled::Moved);
        let batches = read_rows(&lake, &to, &file.leaf, &spec).await.unwrap();
        let (first, last) = file.event_times.unwrap();
        let rows = concat_batches(&every_type().schema, &batches).unwrap();
        let at = rows.column(9).as_any().downcast_ref::<TimestampMicrosecondArray>().unwrap();
        assert_eq!(EventTime(*at.values().iter().min().unwrap()), first);
        assert_eq!(EventTime(*at.values().iter().max().unwrap()), last);
        back.push(rows);
    }
    let all = concat_batches(&every_type().schema, &back).unwrap();
    let by_id = arrow::compute::sort_to_indices(all.column(1), None, None).unwrap();
    assert_eq!(arrow::compute::take_record_batch(&all, &by_id).unwrap(), rows(0..3000));
    if let Ok(keep) = std::env::var("LAKEWARD_TEST_KEEP_PARQUET") {
        std::fs::rename(folder.path().join("silver"), keep).unwrap();
    }
}

#[tokio::test]
async fn a_file_states_the_offsets_of_each_partition() {
    let (lake, _) = Lake::memory();
    let staged = staged_rows(&lake, &[(0, 0..12), (3, 100..112), (0, 12..24)]).await;
    let expected = [(0, OffsetRange { from: 0, to: 24 }), (3, OffsetRange { from: 100, to: 112 })];
    assert!(staged.iter().all(|file| file.offsets == BTreeMap::from(expected)));
}

#[tokio::test]
async fn lines_go_to_one_file_with_length_and_checksum() {
    let (lake, _) = Lake::memory();
    let mut files = files(&lake, &LayerSpec::RawJson);
    let mut all = Vec::new();
    for i in 0..50i64 {
        let line = format!("{{\"i\":{i},\"pad\":\"{}\"}}\n", "x".repeat(50_000));
        all.extend_from_slice(line.as_bytes());
        let times = Some((EventTime(i), EventTime(i + 1)));
        files.append_lines(line.into(), AppendMeta { event_times: times, ..meta(2, i..i + 1) }).await.unwrap();
    }
    let staged = files.close().await.unwrap();
    let [file] = staged.as_slice() else { panic!("{staged:?}") };
    assert_eq!((file.leaf.as_str(), file.ext.as_str(), file.rows), ("", "json", 50));
    assert_eq!(file.staged, "_lakeward/p/1/staging/7-ab/silver-0.json.tmp");
    assert_eq!((file.length, &file.checksum), (all.len() as u64, &checksum_of(&all)));
    assert_eq!(file.event_times, Some((EventTime(0), EventTime(50))));
    assert_eq!(lake.read(&file.staged).await.unwrap().unwrap(), all);
}

#[tokio::test]
async fn nothing_appended_gives_no_files() {
    let (lake, _) = Lake::memory();
    for spec in [LayerSpec::RawJson, LayerSpec::Parquet(every_type())] {
        let mut files = files(&lake, &spec);
        match spec {
            LayerSpec::RawJson => files.append_lines(Bytes::new(), meta(0, 5..5)).await.unwrap(),
            LayerSpec::Parquet(_) => files.append_rows(rows(0..0), meta(0, 0..0)).await.unwrap(),
        }
        assert!(files.close().await.unwrap().is_empty());
    }
    assert!(lake.list_recursive("").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_aborted_epoch_leaves_no_files() {
    let (lake, _) = Lake::memory();
    let mut files = files(&lake, &LayerSpec::RawJson);
    files.append_lines(Bytes::from(vec![b'x'; 3 << 20]), meta(0, 0..1)).await.unwrap();
    files.abort().await;
    assert!(lake.list_recursive("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_close_reports_no_file() {
    let (lake, memory) = Lake::memory();
    let mut files = files(&lake, &LayerSpec::Parquet(every_type()));
    files.append_rows(rows(0..100), meta(0, 0..100)).await.unwrap();
    memory.fail_next(Operation::Close, "silver-3", Cue::Full);
    assert!(matches!(files.close().await, Err(LayerError::Lake(LakeError::Full(_)))));
}

#[tokio::test]
async fn after_a_refused_batch_the_epoch_is_broken() {
    let (lake, _) = Lake::memory();
    let spec = ParquetSpec { max_leaves: 3, ..every_type() };
    let mut files = files(&lake, &LayerSpec::Parquet(spec));
    let refused = files.append_rows(rows(0..100), meta(0, 0..100)).await.unwrap_err();
    assert!(matches!(refused, LayerError::Leaf(LeafError::TooMany { .. })), "{refused}");
    assert!(matches!(files.close().await, Err(LayerError::Broken)));
}

#[tokio::test]
async fn an_older_file_lacks_a_newer_column_and_reads_as_null() {
    let (lake, _) = Lake::memory();
    let staged = staged_rows(&lake, &[(0, 0..1)]).await;
    let mut fields: Vec<_> = every_type().schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Column::new("added", DataType::Int32, true).field());
    let newer = ParquetSpec { schema: Schema::new(fields.clone()).into(), ..every_type() };
    let rows = read_rows(&lake, &staged[0].staged, &staged[0].leaf, &LayerSpec::Parquet(newer)).await.unwrap();
    assert_eq!(rows[0].column(11).null_count(), 1);
    fields[11] = Column::new("required", DataType::Int32, false).field();
    let wrong = ParquetSpec { schema: Schema::new(fields).into(), ..every_type() };
    let read = read_rows(&lake, &staged[0].staged, &staged[0].leaf, &LayerSpec::Parquet(wrong)).await;
    assert!(matches!(read, Err(LakeError::Damaged(_))));
}

#[tokio::test]
async fn a_file_is_rolled_forward_once_whatever_gets_lost() {
    let content = Bytes::from_static(b"rows");
    let sum = checksum_of(&content);
    for cue in [None, Some(Cue::LostRequest), Some(Cue::LostAnswer), Some(Cue::Late)] {
        let (lake, memory) = Lake::memory();
        lake.put("s/a.tmp", content.clone()).await.unwrap();
        if let Some(cue) = cue {
            memory.fail_next(Operation::Rename, "s/a.tmp", cue);
            assert!(roll_forward(&lake, "s/a.tmp", "l/a", 4, &sum).await.is_err());
            memory.deliver_late();
        }
        let again = roll_forward(&lake, "s/a.tmp", "l/a", 4, &sum).await.unwrap();
        let moved = matches!(cue, None | Some(Cue::LostRequest));
        assert_eq!(again, if moved { Rolled::Moved } else { Rolled::AlreadyThere });
        assert_eq!(roll_forward(&lake, "s/a.tmp", "l/a", 4, &sum).await.unwrap(), Rolled::AlreadyThere);
        assert_eq!(lake.read("l/a").await.unwrap().unwrap(), content);
        assert_eq!(lake.read("s/a.tmp").await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_the_log_promises_but_the_lake_lacks_is_damage() {
    let (lake, memory) = Lake::memory();
    let sum = checksum_of(b"rows");
    let damage = async |staged: &str, to: &str| {
        let error = roll_forward(&lake, staged, to, 4, &sum).await.unwrap_err();
        assert!(matches!(error, LakeError::Damaged(_)) && error.to_string().starts_with("LAKE_DAMAGED "), "{error}");
    };
    damage("s/none.tmp", "l/none").await;
    memory.corrupt("s/short.tmp", Bytes::from_static(b"row"));
    damage("s/short.tmp", "l/short").await;
    memory.corrupt("l/foreign", Bytes::from_static(b"worn"));
    damage("s/none.tmp", "l/foreign").await;
    memory.corrupt("s/both.tmp", Bytes::from_static(b"rows"));
    memory.corrupt("l/both", Bytes::from_static(b"rows"));
    assert_eq!(roll_forward(&lake, "s/both.tmp", "l/both", 4, &sum).await.unwrap(), Rolled::AlreadyThere);
    assert_eq!(lake.read("s/both.tmp").await.unwrap(), None, "the left-over of a link without unlink goes");
}
