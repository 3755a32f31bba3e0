//! The program's own step of a partition as a second opinion: the same odd records go through both.

use arrow::array::RecordBatch;
use lakeward_core::ids::{EventTime, Version};
use lakeward_core::late::LateMinutes;
use lakeward_core::log::{
    Author, BarrierFacts, Draft, EntryKind, Fold, LiveFile, Member, NewPartition, StagedFile, render, render_first,
};
use lakeward_core::partition_step::{PartitionStart, PartitionStep};
use lakeward_core::pipeline::Pipeline;
use lakeward_core::record::RawBatch;

use super::*;
use crate::cell::{Cell, Column, digest};
use crate::history::Live;
use crate::report::Verdict;
use crate::silver::{Expected, Silver};

const FEED: &str = r#"
name = "p"
source.topic = "t"
[fields]
id = "string!"
flag = "bool"
small = "int32"
large = "int64"
ratio = "float64"
price = "decimal(10,2) round"
exact = "decimal(6,3)"
day = "date!"
colour = "string"
at = "timestamp"
[time]
event_time = "kafka"
out_of_orderness = "5s"
[checks]
positive = { that = "small > 0 or small is null", otherwise = "filter" }
known = { that = "id <> 'none'", otherwise = "quarantine" }
[derive]
doubled = "price * 2"
share = { sql = "100 / (small - 5)", type = "decimal(10,4)" }
month = "extract(month from day)"
[dedup]
key = ["id", "day"]
within = "20s"
[bronze]
path = "b"
[silver]
path = "s"
[[kpi]]
name = "k"
window = { tumbling = "10s" }
key = ["colour", "day"]
measures = { n = "count(*)", total = "sum(doubled)", ids = "count(distinct id)" }
gold = { path = "g" }
[[kpi]]
name = "m"
window = { tumbling = "10s" }
late = "amend"
amend_for = "20s"
measures = { n = "count(*)" }
"#;

/// What a field may be given, whether it fits or not.
const VALUES: [&str; 46] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "5",
    "5.0",
    "5e0",
    "50e-1",
    "5.5",
    "2147483647",
    "2147483648",
    "-2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "1e2",
    "1e400",
    "-0",
    "-0.0",
    "0.005",
    "0.0049999",
    "71.30000000000001",
    "99999999.99",
    "99999999.995",
    "123.4560",
    "123.4561",
    "999.9995",
    "1e-400",
    "\"\"",
    "\"x\"",
    "\"none\"",
    "\"2024-02-29\"",
    "\"2023-02-29\"",
    "\"2024-02-29T10:11:12.5Z\"",
    "\"2024-02-29 10:11:12\"",
    "\"2024-02-29T23:59:59.1234567Z\"",
    "\"0001-01-01T00:00:00+01:00\"",
    "\"9999-12-31\"",
    "\"a\\u0000b\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "[1,{\"a\":1,\"a\":2}]",
    "[]",
    "{\"a\":[{}]}",
    "\"5\"",
];

const FIELDS: [&str; 10] = ["id", "flag", "small", "large", "ratio", "price", "exact", "day", "at", "colour"];

/// Payloads as a generator that is always the same makes them, and some that are no object.
fn payloads(count: usize) -> Vec<Option<Vec<u8>>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut dice = move |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(sides).unwrap()).unwrap()
    };
    let good =
        ["\"n7\"", "true", "3", "12", "0.5", "1.25", "0.125", "\"2024-05-06\"", "\"2024-05-06T07:08:09Z\"", "\"red\""];
    let odd = [
        &b""[..],
        b" ",
        b"[]",
        b"1",
        b"{",
        b"{}x",
        b"\xef\xbb\xbf{}",
        b"{\"id\":\"\xff\"}",
        b"{\"id\":NaN}",
        b"{\"id\":1,\"id\":2}",
    ];
    let one = |_| match dice(20) {
        0 => None,
        1 => Some(odd[dice(odd.len())].to_vec()),
        kind => {
            let mut members = Vec::new();
            for (name, usual) in FIELDS.iter().zip(good) {
                match dice(if kind < 6 { 12 } else { 120 }) {
                    0 => {}
                    1..=3 => members.push(format!("\"{name}\":{}", VALUES[dice(VALUES.len())])),
                    _ if *name == "id" => members.push(format!("\"id\": \"n{}\"", dice(40))),
                    _ => members.push(format!("\"{name}\":{usual}")),
                }
            }
            if dice(9) == 0 {
                members.push(format!(
                    "\"{}\":{}",
                    ["other", "offset", "_offset", "topic"][dice(4)],
                    VALUES[dice(VALUES.len())]
                ));
            }
            let space = [",", " ,\n ", ",\t"][dice(3)];
            Some(format!("{{{}}}", members.join(space)).into_bytes())
        }
    };
    (0..count).map(one).collect()
}

fn batch(count: usize) -> RawBatch {
    let mut batch = RawBatch::new(0, 0);
    for (offset, payload) in (0_i64..).zip(payloads(count)) {
        // Out of order, now and then late, now and then without a time.
        let jump = [0, 0, 3_000, -2_000, -30_000, 1_000][usize::try_from(offset % 6).unwrap()];
        let time = if offset % 97 == 5 { -1 } else { 1_000_000 + offset * 40 + jump };
        batch.push(offset, time, Some(b"k"), payload.as_deref(), None);
    }
    batch
}

struct Both {
    pipeline: Pipeline,
    entries: Vec<Entry>,
    bronze: Vec<u8>,
    quarantine: Vec<u8>,
    rows: RecordBatch,
}

/// The program's outcome: its lines, rows, and the entry that it would make of them.
fn program(count: usize) -> Both {
    program_at(count, 2_000_000_000_000).0
}

/// The same with the clock at so many microseconds; and the step, for more.
fn program_at(count: usize, clock: i64) -> (Both, PartitionStep) {
    let pipeline = Pipeline::parse(FEED, "p").unwrap();
    let start = PartitionStart { watermark: EventTime::MIN, dedup: Vec::new(), first_windows: BTreeMap::new() };
    let mut step = PartitionStep::new(&pipeline, "t", 0, 0, start);
    let out = step.step(&batch(count), clock).unwrap();
    let barrier = step.barrier(None);
    let author = Author {
        claim: Version(0),
        attempt: "a".to_owned(),
        member: Member::default(),
        definition: pipeline.definition_hash(),
        now: 0,
    };
    let mut claim = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
    claim.new_partitions.insert(0, NewPartition { incarnation: 0, topic_id: None, start: 0 });
    let first = render_first("log", &claim, &author);
    let fold = Fold::first(&first, "h".to_owned()).unwrap();
    let mut epoch = Draft::empty(EntryKind::Epoch);
    let to = i64::try_from(count).unwrap();
    let facts = BarrierFacts {
        to,
        watermark: Some(barrier.watermark),
        counters: barrier.counters,
        late_minutes: barrier.late_minutes,
        ..Default::default()
    };
    epoch.barriers.insert(0, facts);
    let entries = vec![first, render(&fold, &epoch, &author)];
    let both = Both { pipeline, entries, bronze: out.bronze, quarantine: out.quarantine, rows: out.rows.unwrap() };
    (both, step)
}

fn live(bytes: &[u8]) -> Live {
    let staged = StagedFile {
        leaf: String::new(),
        staged: "s".to_owned(),
        ext: "x".to_owned(),
        length: 0,
        checksum: String::new(),
        rows: u64::try_from(bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap(),
        event_times: None,
        offsets: BTreeMap::new(),
    };
    Live { file: LiveFile { path: "f".to_owned(), staged, as_of: None }, version: Version(1) }
}

fn strictness(field: &lakeward_core::pipeline::FieldDef) -> (String, crate::definition::Strictness) {
    let strict = crate::definition::Strictness { required: field.required, round: field.round };
    (field.name.clone(), strict)
}

/// What the checker says of it: findings, rows by identity.
fn check(both: &Both) -> (Report, Expected) {
    let mut report = Report::default();
    let mut replay = Replay::new(Rules::new(&both.pipeline));
    let names = |names: Vec<String>| names.into_iter().collect();
    let known = Known {
        fields: both.pipeline.fields.iter().map(strictness).collect(),
        checks: names(both.pipeline.checks.iter().map(|c| c.name.clone()).collect()),
        kpis: names(both.pipeline.kpis.iter().map(|k| k.name.clone()).collect()),
    };
    let silver = Silver::of(&both.pipeline);
    let (mut expected, mut scratch) = (Expected::new(), Vec::new());
    replay.decide_by(&known, &both.entries[0], &mut report);
    let mut replayed = Replayed::by(&both.entries);
    for (place, entry) in both.entries.iter().enumerate() {
        let mut input = Input::default();
        if place == 1 {
            input.add_bronze(&live(&both.bronze), both.bronze.clone().into(), &mut report);
            input.add_quarantine(&live(&both.quarantine), &both.quarantine.clone().into(), &mut report);
        }
        input.settle(entry, &mut report);
        replayed.hold(&input);
        replay.take(entry, &input, &replayed, &mut report, |row| {
            expected.insert(row.line.identity, silver.expect(&row, &mut scratch));
        });
    }
    (report, expected)
}

#[test]
fn the_program_and_the_checker_decide_every_odd_record_alike() {
    let both = program(20_000);
    let (report, mut expected) = check(&both);
    let counters = &both.entries[1].partitions[&0].counters;
    println!("{counters:?}");
    for invariant in report.all_broken() {
        println!("{invariant}: {:#?}", &report.evidence(invariant)[..report.evidence(invariant).len().min(5)]);
    }
    assert_eq!(report.all_broken().count(), 0);
    assert!(counters.by_reason.len() >= 10 && counters.duplicate > 1_000 && counters.unjudged > 1_000, "{counters:?}");
    assert!(counters.late["k"] > 1_000 && counters.filtered > 30 && counters.kept > 3_000, "{counters:?}");
    let columns: Vec<Column<'_>> = both.rows.columns().iter().map(|array| Column::new(array).unwrap()).collect();
    let processing = both.pipeline.row_columns().len();
    let offset = both.rows.schema().index_of("kafka_offset").unwrap();
    for row in 0..both.rows.num_rows() {
        let Cell::Int(offset) = columns[offset].cell(row) else { panic!("no offset") };
        let mut encoded = Vec::new();
        columns.iter().enumerate().filter(|(at, _)| *at != processing).for_each(|(_, c)| c.encode(row, &mut encoded));
        assert_eq!(expected.remove(&(0, 0, offset)), Some(digest(&encoded)), "offset {offset}");
    }
    assert!(expected.is_empty());
}

#[test]
fn the_minutes_of_late_rows_are_held_against_entries_that_tell_them() {
    let mut both = program(20_000);
    let told = &mut both.entries[1].partitions.get_mut(&0).unwrap().late_minutes;
    assert!(told.of("k").count() > 5, "{told:?}");
    *told = LateMinutes::default();
    let (report, _) = check(&both);
    let Verdict::NotCheckable(why) = report.verdict(I12) else { panic!("{:?}", report.verdict(I12)) };
    assert!(why.contains("earlier version"), "{why}");
}

#[test]
fn what_is_counted_or_written_otherwise_is_broken() {
    let broken = |invariant: Invariant, change: fn(&mut Both)| {
        let mut both = program(600);
        assert_eq!(check(&both).0.all_broken().count(), 0);
        change(&mut both);
        let report = check(&both).0;
        assert!(
            matches!(report.verdict(invariant), Verdict::Broken(_)),
            "{invariant} is {:?}",
            report.verdict(invariant)
        );
    };
    fn told(both: &mut Both) -> &mut PartitionEntry {
        both.entries[1].partitions.get_mut(&0).unwrap()
    }
    broken(I3, |both| told(both).counters.duplicate += 1);
    broken(I3, |both| told(both).counters.unjudged += 1);
    broken(I10, |both| told(both).watermark.0 += 1);
    broken(I10, |both| both.entries[1].g.0 += 1);
    broken(I12, |both| *told(both).counters.late.get_mut("k").unwrap() += 1);
    broken(I12, |both| *told(both).counters.late.get_mut("m").unwrap() += 1);
    broken(I12, |both| *told(both).counters.amended.get_mut("m").unwrap() += 1);
    broken(I12, |both| told(both).late_minutes.count("k", EventTime(0)));
    broken(I12, |both| told(both).late_minutes.count("z", EventTime(0)));
    broken(I13, |both| *told(both).counters.by_reason.get_mut("WRONG_TYPE").unwrap() += 1);
    broken(I3, |both| both.bronze.extend_from_slice(b"{\"topic\""));
    broken(I4, |both| {
        let first = both.bronze.split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec();
        both.bronze.extend_from_slice(&first);
    });
    broken(I13, |both| {
        let text = String::from_utf8(both.quarantine.clone()).unwrap();
        both.quarantine = text.replacen("WRONG_TYPE", "OUT_OF_RANGE", 1).into_bytes();
    });
    broken(I13, |both| {
        let first = both.quarantine.iter().position(|byte| *byte == b'\n').unwrap();
        both.quarantine.drain(..=first);
    });
}

/// H5: what was ahead of the clock is taken in later, in an entry of its own.
#[test]
fn a_replay_is_decided_by_the_program_and_the_checker_alike() {
    const COUNT: usize = 600;
    let (mut both, mut step) = program_at(COUNT, 700_000_000);
    let future = both.entries[1].partitions[&0].counters.by_reason["FUTURE"];
    let all = batch(COUNT);
    let refused_now = step.refused(&all, 2_000_000_000_000);
    let refused_then = step.refused(&all, 700_000_000);
    let mut again = RawBatch::new(0, 0);
    for (place, record) in all.records.iter().enumerate() {
        if refused_then.contains_key(&place) && !refused_now.contains_key(&place) {
            again.push(record.offset, record.timestamp_ms, all.key(record), all.payload(record), None);
        }
    }
    let out = step.replay(&again, 2_000_000_000_000, 2_000_000_000_000).unwrap();
    assert!(out.counters.replayed > 100 && out.counters.replayed <= future, "{:?}", out.counters);
    let barrier = step.barrier(None);
    let mut fold = Fold::first(&both.entries[0], "h".to_owned()).unwrap();
    fold.apply(&both.entries[1], "i".to_owned()).unwrap();
    let author = Author {
        claim: Version(0),
        attempt: "b".to_owned(),
        member: Member::default(),
        definition: both.pipeline.definition_hash(),
        now: 0,
    };
    let mut epoch = Draft::empty(EntryKind::Epoch);
    let facts = BarrierFacts {
        to: i64::try_from(COUNT).unwrap(),
        watermark: Some(barrier.watermark),
        counters: barrier.counters,
        late_minutes: barrier.late_minutes,
        replayed: again.records.iter().map(|record| record.offset).collect(),
        ..Default::default()
    };
    epoch.barriers.insert(0, facts);
    both.entries.push(render(&fold, &epoch, &author));
    let (report, expected) = check(&both);
    for invariant in report.all_broken() {
        println!("{invariant}: {:#?}", &report.evidence(invariant)[..report.evidence(invariant).len().min(5)]);
    }
    assert_eq!(report.all_broken().count(), 0);
    assert_eq!(expected.len(), both.rows.num_rows() + out.rows.unwrap().num_rows());
    let kept = first_offset(&both.rows);
    let told = both.entries[2].partitions.get_mut(&0).unwrap();
    told.replayed.extend(&[kept].into_iter().collect());
    told.counters.replayed += 1;
    told.counters.kept += 1;
    assert!(matches!(check(&both).0.verdict(I13), Verdict::Broken(_)), "a kept record can't be replayed");
}

fn first_offset(rows: &RecordBatch) -> i64 {
    let offset = rows.schema().index_of("kafka_offset").unwrap();
    match Column::new(rows.column(offset)).unwrap().cell(0) {
        Cell::Int(offset) => offset,
        other => panic!("{other:?}"),
    }
}
