//! What must hold once a pipeline is quiet: every record in every place once, computed here from the records alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use lakeward_connect::lake::{Lake, Memory};
use lakeward_connect::layer::read_rows;
use lakeward_connect::log_store::LogStore;
use lakeward_connect::mart::{Mart, MartOptions};
use lakeward_core::log::Fold;
use lakeward_core::pipeline::Pipeline;
use lakeward_verify::{Subject, verify};

use super::life::{NAME, RECORDS, is_late, record};
use crate::layers::layer_spec;

const MANY: u32 = 10_000;

/// (partition, offset)
type At = (i64, i64);

pub async fn judge(memory: &Memory, mart: &Path, pipeline: &Pipeline, instalments: i64) {
    let lake = Lake::of_memory(memory);
    let log = LogStore::open_existing(&lake, NAME).await.unwrap().unwrap();
    let fold = log.load().await.unwrap().unwrap();
    let expected = Expected::of(instalments);
    counters(&fold, &expected);
    visible_files(&lake, &fold, pipeline).await;
    lines(&lake, &fold, "bronze", &expected.kept).await;
    lines(&lake, &fold, "quarantine", &expected.bad).await;
    assert_eq!(fold.g.0 / 1_000, expected.newest_ms, "G, with all floors raised");
    windows_of_gold("gold/per_minute", &fold, gold("gold", &lake, &fold, pipeline).await, expected.windows(true));
    windows_of_gold("gold/amended", &fold, gold("gold_amended", &lake, &fold, pipeline).await, expected.amended(true));
    rows_of("silver", &lake, &fold, pipeline, &expected.kept).await;
    rows_of("late/per_minute", &lake, &fold, pipeline, &expected.late).await;
    marts(mart, pipeline, &expected).await;
    verified(&log, mart, pipeline).await;
    let staged = lake.list_recursive(&log.paths().staging_root()).await.unwrap();
    let of_this_life = format!("{}-", fold.claim.0);
    let old: Vec<_> = staged.iter().filter(|e| !e.is_dir && !e.name.starts_with(&of_this_life)).collect();
    assert!(old.is_empty(), "staging of dead lives: {old:?}");
}

/// The same by the checker that users have, with all that it looks at.
async fn verified(log: &LogStore, mart: &Path, pipeline: &Pipeline) {
    let mart = Mart::open(&format!("sqlite://{}", mart.display()), MartOptions::default()).await;
    let committed = Err("the worlds share a group".to_owned());
    let subject = Subject { pipeline, log, mart: Some(mart), committed, deep: true };
    let verified = verify(subject).await.unwrap();
    assert!(verified.quiet, "the last life ended cleanly");
    let broken = verified.report.all_broken().map(|i| (i, verified.report.evidence(i).to_vec())).collect::<Vec<_>>();
    assert!(broken.is_empty(), "{broken:?}");
}

struct Expected {
    kept: BTreeSet<At>,
    bad: BTreeSet<At>,
    late: BTreeSet<At>,
    windows: Windows,
    /// With late rows.
    amended: Windows,
    newest_ms: i64,
}

/// (minute, colour) -> count
type Windows = BTreeMap<(i64, String), i64>;

impl Expected {
    fn of(instalments: i64) -> Self {
        let (mut kept, mut bad, mut late) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut windows, mut amended, mut newest_ms) = (Windows::new(), Windows::new(), 0);
        for (partition, count) in (0..).zip(RECORDS) {
            for offset in 0..count * instalments {
                let (time, payload) = record(partition, offset);
                let Ok(value) = serde_json::from_str::<serde_json::Value>(&payload) else {
                    bad.insert((i64::from(partition), offset));
                    continue;
                };
                newest_ms = newest_ms.max(time);
                kept.insert((i64::from(partition), offset));
                let colour = value["colour"].as_str().unwrap().to_owned();
                *amended.entry((time.div_euclid(60_000), colour.clone())).or_insert(0) += 1;
                if is_late(partition, offset) {
                    late.insert((i64::from(partition), offset));
                    continue;
                }
                *windows.entry((time / 60_000, colour)).or_insert(0) += 1;
            }
        }
        Self { kept, bad, late, windows, amended, newest_ms }
    }

    /// The windows that are closed, or those that are not.
    fn windows(&self, closed: bool) -> Windows {
        self.that_are(closed, &self.windows)
    }

    fn amended(&self, closed: bool) -> Windows {
        self.that_are(closed, &self.amended)
    }

    fn that_are(&self, closed: bool, windows: &Windows) -> Windows {
        let wanted = |minute: i64| ((minute + 1) * 60_000 <= self.newest_ms) == closed;
        windows.iter().filter(|((minute, _), _)| wanted(*minute)).map(|(key, n)| (key.clone(), *n)).collect()
    }
}

fn counters(fold: &Fold, expected: &Expected) {
    let total = |count: fn(&lakeward_core::ledger::Counters) -> u64| {
        fold.partitions.values().map(|p| count(&p.total)).sum::<u64>()
    };
    let (kept, bad) = (expected.kept.len() as u64, expected.bad.len() as u64);
    assert_eq!(total(|c| c.records), kept + bad, "records read");
    assert_eq!(total(|c| c.kept), kept, "kept");
    assert_eq!(total(|c| c.quarantined), bad, "quarantined");
    assert_eq!(total(|c| c.late.values().sum()), expected.late.len() as u64, "late");
}

/// I5: a file is visible if it is live in the log, and only then.
async fn visible_files(lake: &Lake, fold: &Fold, pipeline: &Pipeline) {
    for layer in &pipeline.layers {
        let files = lake.list_recursive(&layer.path).await.unwrap();
        let visible: BTreeSet<_> =
            files.into_iter().filter(|e| !e.is_dir).map(|e| format!("{}/{}", layer.path, e.name)).collect();
        let live: BTreeSet<_> = fold.layer_files(&layer.name).map(|file| file.path.clone()).collect();
        assert_eq!(visible, live, "files of {}", layer.name);
    }
}

async fn lines(lake: &Lake, fold: &Fold, layer: &str, expected: &BTreeSet<At>) {
    let mut found = Vec::new();
    for file in fold.layer_files(layer) {
        let bytes = lake.read(&file.path).await.unwrap().unwrap();
        for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            let number = |name: &str| value[name].as_i64().unwrap();
            found.push((number("partition"), number("offset")));
        }
    }
    once_but_for_expired(layer, fold, found, expected);
}

fn once(place: &str, mut found: Vec<At>, expected: &BTreeSet<At>) {
    found.sort_unstable();
    assert_eq!(found, expected.iter().copied().collect::<Vec<_>>(), "records of {place}");
}

/// Retention takes the oldest of each partition, as many as it says.
fn once_but_for_expired(layer: &str, fold: &Fold, mut found: Vec<At>, expected: &BTreeSet<At>) {
    found.sort_unstable();
    let expired = fold.expired.get(layer).map_or(0, |expired| expired.rows);
    assert_eq!(found.len() as u64 + expired, expected.len() as u64, "records of {layer}, {expired} of them expired");
    let oldest = |partition: i64| found.iter().find(|at| at.0 == partition).map_or(i64::MAX, |at| at.1);
    let newer: Vec<_> = expected.iter().copied().filter(|at| at.1 >= oldest(at.0)).collect();
    assert_eq!(found, newer, "records of {layer}");
}

fn windows_of_gold(layer: &str, fold: &Fold, found: Windows, mut expected: Windows) {
    if let Some(expired) = fold.expired.get(layer) {
        assert_eq!(found.len() as u64 + expired.rows, expected.len() as u64, "Gold, {} expired", expired.rows);
        expected.retain(|window, _| found.contains_key(window));
    }
    assert_eq!(found, expected, "{layer}");
}

async fn rows_of(name: &str, lake: &Lake, fold: &Fold, pipeline: &Pipeline, expected: &BTreeSet<At>) {
    let layer = pipeline.layers.iter().find(|l| l.name == name).unwrap();
    let mut found = Vec::new();
    for file in fold.layer_files(name) {
        for rows in read_rows(lake, &file.path, &file.staged.leaf, &layer_spec(pipeline, layer)).await.unwrap() {
            let partitions =
                rows.column_by_name("kafka_partition").unwrap().as_primitive::<arrow::datatypes::Int32Type>();
            let offsets = rows.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>();
            found.extend((0..rows.num_rows()).map(|row| (i64::from(partitions.value(row)), offsets.value(row))));
        }
    }
    once_but_for_expired(name, fold, found, expected);
}

/// Every window must be there once.
async fn gold(path: &str, lake: &Lake, fold: &Fold, pipeline: &Pipeline) -> Windows {
    let layer = pipeline.layers.iter().find(|l| l.path == path).unwrap();
    let mut found = BTreeMap::new();
    for file in fold.layer_files(&layer.name) {
        for rows in read_rows(lake, &file.path, &file.staged.leaf, &layer_spec(pipeline, layer)).await.unwrap() {
            let start = rows.column_by_name("window_start").unwrap();
            let start = start.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
            let colour =
                arrow::compute::cast(rows.column_by_name("colour").unwrap(), &arrow::datatypes::DataType::Utf8);
            let colour = colour.unwrap();
            let things = rows.column_by_name("things").unwrap().as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                let key = (start.value(row).div_euclid(60_000_000), colour.as_string::<i32>().value(row).to_owned());
                assert_eq!(found.insert(key.clone(), things.value(row)), None, "{key:?} is in Gold twice");
            }
        }
    }
    found
}

async fn marts(file: &Path, pipeline: &Pipeline, expected: &Expected) {
    let url = format!("sqlite://{}", file.display());
    let mart = Mart::open(&url, MartOptions::default()).await.unwrap();
    let text = |rows: &lakeward_connect::mart::NewestRows, name: &str, row: usize| {
        let column = rows.columns.iter().position(|c| c.name == name).unwrap_or_else(|| panic!("no column {name}"));
        rows.rows[row][column].clone().unwrap_or_default()
    };
    for (table, expected) in [("things", &expected.kept), ("too_late", &expected.late)] {
        let rows = mart.newest(pipeline, table, MANY).await.unwrap();
        let number = |name: &str, row| text(&rows, name, row).parse::<i64>().unwrap();
        let found = (0..rows.rows.len()).map(|row| (number("kafka_partition", row), number("kafka_offset", row)));
        once(table, found.collect(), expected);
    }
    let windows = |of: fn(&Expected, bool) -> Windows| [true, false].map(|closed| of(expected, closed));
    for (table, [closed, open]) in [("per_minute", windows(Expected::windows)), ("amended", windows(Expected::amended))]
    {
        let kpis = mart.newest(pipeline, table, MANY).await.unwrap();
        let (mut finals, mut live) = (Windows::new(), Windows::new());
        for row in 0..kpis.rows.len() {
            let found = if text(&kpis, "is_final", row) == "true" { &mut finals } else { &mut live };
            let start = chrono::DateTime::parse_from_rfc3339(&text(&kpis, "window_start", row)).unwrap().timestamp();
            let key = (start.div_euclid(60), text(&kpis, "colour", row));
            assert_eq!(found.insert(key, text(&kpis, "things", row).parse().unwrap()), None);
        }
        assert_eq!(finals, closed, "final rows of {table}");
        assert_eq!(live, open, "live rows of {table}");
    }
}
