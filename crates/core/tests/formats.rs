//! What is written for ever is read for ever (I20): the log's entry and the fold of a checkpoint, held against files that are never
//! changed, and every name in them against docs/LOG_FORMAT.md.
//!
//! A new optional field belongs into these values and, by `LAKEWARD_WRITE_GOLDEN=1`, into the newest files. What an
//! older program would misread needs a new format number and files of its own beside these.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use lakeward_core::ids::{EventTime, OffsetRange, Version};
use lakeward_core::late::LateMinutes;
use lakeward_core::ledger::Counters;
use lakeward_core::log::{
    ENGINE_SEMANTICS, ENTRY_FORMAT, EXPIRED, Entry, EntryKind, FIRST_WINDOWS, Fold, GoldItem, LayerChange, LiveFile,
    Member, OffsetSet, PartitionEntry, REPLAYED, StagedFile, StateChange, StateRef, entry_hash,
};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

/// The value in a golden file, which is first written anew where that is asked for.
fn golden(name: &str, found: &Value) -> Value {
    let path = folder().join(name);
    if std::env::var_os("LAKEWARD_WRITE_GOLDEN").is_some() {
        fs::write(&path, format!("{}\n", serde_json::to_string_pretty(found).unwrap())).unwrap();
    }
    serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()
}

#[test]
fn an_entry_of_this_format_is_written_and_read_as_ever() {
    let names = ["claim", "epoch", "ended"].map(|kind| format!("entry-{ENTRY_FORMAT}-{kind}.json"));
    for (name, entry) in names.iter().zip(log()) {
        let value = serde_json::to_value(&entry).unwrap();
        let golden = golden(name, &value);
        assert_eq!(value, golden, "{name}: as it is written");
        assert_eq!(Entry::parse(golden.to_string().as_bytes()).unwrap(), entry, "{name}: as it is read");
    }
}

#[test]
fn every_entry_ever_written_is_read() {
    let mut read = 0;
    for file in fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_string_lossy().starts_with("entry-") {
            Entry::parse(&fs::read(&file).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            read += 1;
        }
    }
    assert!(read >= 3);
}

#[test]
fn the_fold_of_a_checkpoint_is_written_and_read_as_ever() {
    let fold = fold();
    let value = serde_json::to_value(&fold).unwrap();
    let golden = golden("fold-1.json", &value);
    assert_eq!(value, golden, "as it is written");
    assert_eq!(serde_json::from_value::<Fold>(golden).unwrap(), fold, "as it is read");
}

#[test]
fn every_name_in_an_entry_is_documented() {
    let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/LOG_FORMAT.md")).unwrap();
    let mut names = BTreeSet::new();
    for entry in log() {
        names_in(&serde_json::to_value(entry).unwrap(), &mut names);
    }
    let missing: Vec<_> = names.iter().filter(|name| !text.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/LOG_FORMAT.md: {missing:?}");
}

/// Names of fields; keys of maps are numbers or begin with `my_`, and are none.
fn names_in(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if !name.starts_with("my_") && name.parse::<i32>().is_err() {
                    names.insert(name.clone());
                }
                names_in(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, names)),
        _ => {}
    }
}

fn fold() -> Fold {
    let mut fold = None;
    for entry in log() {
        let hash = entry_hash(&entry.to_bytes().unwrap());
        match &mut fold {
            None => fold = Some(Fold::first(&entry, hash).unwrap()),
            Some(fold) => fold.apply(&entry, hash).unwrap(),
        }
    }
    fold.unwrap()
}

/// A whole log in which every field is there.
fn log() -> [Entry; 3] {
    let claim = claim();
    let epoch = epoch(&claim);
    let ended = Entry {
        version: Version(2),
        previous: Some(entry_hash(&epoch.to_bytes().unwrap())),
        attempt: "0c".repeat(16),
        kind: EntryKind::Ended { next: "2b".repeat(16) },
        partitions: BTreeMap::from([(
            0,
            PartitionEntry {
                from: 9,
                counters: Counters { replayed: 2, kept: 2, ..Counters::default() },
                floor: None,
                late_minutes: LateMinutes::default(),
                replayed: [4, 5].into_iter().collect(),
                ..partition()
            },
        )]),
        gold: Vec::new(),
        layers: BTreeMap::from([(
            "my_layer".to_owned(),
            LayerChange { added: Vec::new(), removed: vec![live_file(0).path], expired: vec![live_file(1).path] },
        )]),
        rolled: Some(Version(1)),
        state: StateChange { added: Vec::new(), removed: vec!["_lakeward/p/1a/state/0-0b/delta.arrow".to_owned()] },
        ..epoch.clone()
    };
    [claim, epoch, ended]
}

fn claim() -> Entry {
    Entry {
        format: ENTRY_FORMAT,
        version: Version(0),
        log_id: "1a".repeat(16),
        previous: None,
        claim: Version(0),
        attempt: "0a".repeat(16),
        mode: "single".to_owned(),
        member: Member { id: "m".to_owned(), host: "h".to_owned(), build: "0.1.0".to_owned() },
        requires: vec![FIRST_WINDOWS.to_owned(), REPLAYED.to_owned(), EXPIRED.to_owned()],
        kind: EntryKind::Claim { takes: "all".to_owned() },
        definition: "d".repeat(64),
        semantics: ENGINE_SEMANTICS,
        partitions: BTreeMap::from([(
            0,
            PartitionEntry {
                from: 4,
                to: 4,
                watermark: EventTime(i64::MIN),
                floor: None,
                idle: false,
                counters: Counters::default(),
                total: Counters::default(),
                late_minutes: LateMinutes::default(),
                replayed: OffsetSet::default(),
                ..partition()
            },
        )]),
        g: EventTime(i64::MIN),
        gold: Vec::new(),
        layers: BTreeMap::new(),
        first_windows: BTreeMap::from([("my_kpi".to_owned(), EventTime(60_000_000))]),
        state: StateChange::default(),
        rows_boundary: None,
        entries_from: None,
        followers: BTreeMap::new(),
        rolled: None,
        rebuilt: None,
        created_at: 1_700_000_000_000_000,
    }
}

fn epoch(before: &Entry) -> Entry {
    Entry {
        version: Version(1),
        previous: Some(entry_hash(&before.to_bytes().unwrap())),
        attempt: "0b".repeat(16),
        kind: EntryKind::Epoch,
        partitions: BTreeMap::from([(0, partition())]),
        g: EventTime(120_000_000),
        gold: vec![GoldItem {
            kpi: "my_kpi".to_owned(),
            key_groups: (0, 256),
            upto: Version(1),
            g: EventTime(120_000_000),
            windows: vec![EventTime(60_000_000)],
            rows: 1,
            revised: vec![EventTime(0)],
            revisions: 1,
        }],
        layers: BTreeMap::from([(
            "my_layer".to_owned(),
            LayerChange { added: vec![live_file(0), live_file(1)], removed: Vec::new(), expired: Vec::new() },
        )]),
        first_windows: BTreeMap::new(),
        state: StateChange {
            added: vec![StateRef {
                path: "_lakeward/p/1a/state/0-0b/delta.arrow".to_owned(),
                base: false,
                upto: Version(1),
                length: 300,
                checksum: "cd".repeat(16),
                items: 2,
            }],
            removed: Vec::new(),
        },
        rows_boundary: Some(EventTime(0)),
        entries_from: Some(Version(0)),
        followers: BTreeMap::from([("my_follower".to_owned(), Version(0))]),
        rolled: Some(Version(0)),
        ..before.clone()
    }
}

fn partition() -> PartitionEntry {
    PartitionEntry {
        incarnation: 0,
        topic_id: Some("topic-id".to_owned()),
        claim: Version(0),
        from: 4,
        to: 9,
        watermark: EventTime(120_000_000),
        floor: Some(EventTime(120_000_000)),
        idle: true,
        counters: counters(),
        total: counters(),
        late_minutes: late_minutes(),
        replayed: OffsetSet::default(),
    }
}

fn late_minutes() -> LateMinutes {
    let mut minutes = LateMinutes::default();
    minutes.count("my_kpi", EventTime(61_000_000));
    minutes
}

fn counters() -> Counters {
    let one = |name: &str| BTreeMap::from([(name.to_owned(), 1)]);
    Counters {
        records: 5,
        kept: 1,
        filtered: 1,
        duplicate: 1,
        quarantined: 1,
        tombstones: 1,
        unjudged: 1,
        replayed: 0,
        late: one("my_kpi"),
        amended: one("my_kpi"),
        before_first: one("my_kpi"),
        by_reason: one("my_reason"),
        filtered_by_check: one("my_check"),
    }
}

fn live_file(number: u32) -> LiveFile {
    LiveFile {
        path: format!("silver/year=2024/part-00000000000000000001-{number:05}-0b0b0b0b.parquet"),
        staged: StagedFile {
            leaf: "year=2024".to_owned(),
            staged: format!("_lakeward/p/1a/staging/0-0b/rows-{number}.tmp"),
            ext: "parquet".to_owned(),
            length: 1_000,
            checksum: "ab".repeat(16),
            rows: 1,
            event_times: Some((EventTime(60_000_000), EventTime(119_000_000))),
            offsets: BTreeMap::from([(0, OffsetRange { from: 4, to: 9 })]),
        },
        as_of: Some(EventTime(120_000_000)),
    }
}
