#![allow(clippy::unwrap_used, clippy::panic)]

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;
use crate::expr::{Aggregate, MeasureExpr};
use crate::ids::Epoch;
use crate::kpi::state::{StateIncrements, compact, decode, encode};
use crate::kpi::{WindowRow, Windows};
use crate::pipeline::{
    EventTimeSource, FieldDef, Kpi, LateTable, Layer, Measure, RowsMart, Source, StartOffset, Time, Window,
};
use crate::types::DataType;

/// Event times below are seconds.
const SECOND: i64 = 1_000_000;
const NOW: i64 = 1_000_000 * SECOND;

fn field(name: &str, ty: DataType) -> FieldDef {
    FieldDef { name: name.into(), ty, required: false, round: false }
}

fn count(name: &str, key: Vec<usize>, size: i64, allowed_lateness: i64) -> Kpi {
    let expr = MeasureExpr { aggregate: Aggregate::Count, arg: None, ty: DataType::Int64, nullable: false };
    Kpi {
        name: name.into(),
        window: Window::Tumbling { size: size * SECOND },
        key,
        null_key: "none".into(),
        measures: vec![Measure { name: "n".into(), expr, ty: DataType::Int64 }],
        derived: Vec::new(),
        allowed_lateness: allowed_lateness * SECOND,
        amend_for: 0,
        gold: Vec::new(),
        mart: None,
        late_table: None,
    }
}

/// Fields `id` and `colour`, dedup on `id` within 20 s, out-of-orderness 5 s, two KPIs.
fn pipeline() -> Pipeline {
    let layer = |name: &str, holds| Layer {
        name: name.into(),
        path: name.into(),
        encoding: Encoding::RawJson,
        holds,
        retention: None,
    };
    Pipeline {
        name: "p".into(),
        source: Source { topic: "t".into(), start: StartOffset::Earliest },
        fields: vec![field("id", DataType::Int64), field("colour", DataType::String)],
        time: Time {
            event_time: EventTimeSource::Kafka,
            out_of_orderness: 5 * SECOND,
            max_future_skew: 0,
            idle_after: 0,
            max_drift: 0,
        },
        checks: Vec::new(),
        derived: Vec::new(),
        dedup: Some(crate::pipeline::Dedup { key: vec![0], within: 20 * SECOND }),
        layers: vec![layer("raw", Holds::Records), layer("bad", Holds::Rejects)],
        max_refused: None,
        rows: Some(RowsMart { table: "r".into(), columns: Vec::new(), retention: None }),
        kpis: vec![count("by_colour", vec![1], 10, 0), count("slow", vec![], 30, 10)],
        dashboard: None,
    }
}

fn start() -> PartitionStart {
    PartitionStart { watermark: EventTime::MIN, dedup: Vec::new(), first_windows: BTreeMap::new() }
}

fn step_of(pipeline: &Pipeline, start: PartitionStart) -> PartitionStep {
    PartitionStep::new(pipeline, "t", 0, 3, start)
}

/// (event time in seconds, payload), one record per offset from `from` on.
fn batch(from: i64, records: &[(i64, Option<String>)]) -> RawBatch {
    let mut batch = RawBatch::new(3, from);
    for (offset, (second, payload)) in (from..).zip(records) {
        batch.push(offset, second * 1000, None, payload.as_ref().map(String::as_bytes), None);
    }
    batch
}

fn row(second: i64, id: i64, colour: &str) -> (i64, Option<String>) {
    (second, Some(format!(r#"{{"id":{id},"colour":"{colour}"}}"#)))
}

#[test]
fn every_record_has_one_outcome_and_the_ledger_balances() {
    let mut step = step_of(&pipeline(), start());
    let records = [
        row(100, 1, "red"),
        row(101, 1, "red"),
        (102, None),
        (103, Some("[]".into())),
        (104, Some(r#"{"id":"x"}"#.into())),
        row(105, 2, &"x".repeat(2000)),
        row(106, 3, "blue"),
    ];
    let out = step.step(&batch(7, &records), NOW).unwrap();
    let c = &out.counters;
    assert_eq!((c.records, c.kept, c.duplicate, c.tombstones, c.quarantined), (7, 2, 1, 1, 3));
    assert!(c.is_balanced());
    assert_eq!(c.by_reason.get("KEY_TOO_LARGE"), Some(&1));
    assert_eq!((out.range, out.bronze_rows, out.quarantine_rows), (OffsetRange { from: 7, to: 14 }, 6, 3));
    assert_eq!(out.bronze.iter().filter(|b| **b == b'\n').count(), 6);
    let rows = out.rows.unwrap();
    assert_eq!(rows.num_columns(), pipeline().silver_columns().len());
    assert_eq!(rows.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>().values(), &[7, 13]);
    assert_eq!(rows.column_by_name("id").unwrap().as_primitive::<Int64Type>().values(), &[1, 3]);
    assert_eq!(out.event_times, Some((EventTime(100 * SECOND), EventTime(106 * SECOND))));
    assert_eq!(step.barrier(None).counters, out.counters);
    assert_eq!(step.barrier(None).counters, Counters::default());
}

/// H5: what was refused for its time counts where it belongs once the clock has come there, and is late like any other.
#[test]
fn a_replayed_record_is_judged_as_if_it_had_come_now() {
    let mut step = step_of(&pipeline(), start());
    let records = [row(100, 1, "a"), row(300, 2, "a"), row(101, 3, "a")];
    let out = step.step(&batch(0, &records), 200 * SECOND).unwrap();
    assert_eq!((out.counters.kept, out.counters.by_reason.get("FUTURE")), (2, Some(&1)));
    let _ = step.barrier(None);
    let mut again = RawBatch::new(3, 1);
    for (offset, (second, payload)) in [(1, row(300, 2, "a")), (5, row(301, 1, "a")), (6, row(80, 9, "a"))] {
        again.push(offset, second * 1000, None, payload.as_deref().map(str::as_bytes), None);
    }
    assert_eq!(step.refused(&again, 300 * SECOND), BTreeMap::from([(1, Reason::Future)]));
    assert!(step.refused(&again, 301 * SECOND).is_empty());
    let out = step.replay(&again, 301 * SECOND, 400 * SECOND).unwrap();
    let c = &out.counters;
    assert_eq!((c.records, c.replayed, c.kept, c.duplicate, c.quarantined), (0, 3, 3, 0, 0));
    assert_eq!(c.late, BTreeMap::from([("by_colour".to_owned(), 1), ("slow".to_owned(), 1)]), "1 is the third one");
    assert!(c.is_balanced() && out.quarantine_rows == 0);
    let rows = out.rows.unwrap();
    assert_eq!(rows.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>().values(), &[1, 5, 6]);
    let barrier = step.barrier(None);
    assert_eq!((barrier.counters, barrier.watermark), (out.counters, EventTime(296 * SECOND)));
}

#[test]
fn a_kpi_that_was_taken_up_later_gets_no_row_before_its_first_window() {
    let first_windows = BTreeMap::from([("by_colour".to_owned(), EventTime(110 * SECOND))]);
    let mut step = step_of(&pipeline(), PartitionStart { first_windows, ..start() });
    let out = step.step(&batch(0, &[row(109, 1, "a"), row(110, 2, "a"), row(111, 3, "a")]), NOW).unwrap();
    assert_eq!((out.counters.kept, out.counters.before_first.get("by_colour")), (3, Some(&1)));
    assert!(out.counters.late.is_empty() && out.counters.is_balanced());
    let increments = step.take_increments();
    assert_eq!(increments[0].iter().map(|i| i.window).collect::<Vec<_>>(), [EventTime(110 * SECOND)]);
    assert_eq!(increments[1].iter().map(|i| i.window).collect::<Vec<_>>(), [EventTime(90 * SECOND)]);
}

#[test]
fn a_row_is_late_by_the_watermark_before_it_and_per_kpi() {
    let mut step = step_of(&pipeline(), start());
    // The window [100, 110) of `by_colour` closes once a row of 115 has been seen; `slow` holds [90, 120) up to 130.
    let records = [row(109, 1, "a"), row(115, 2, "a"), row(109, 3, "a"), row(136, 4, "a"), row(119, 5, "a")];
    let out = step.step(&batch(0, &records), NOW).unwrap();
    assert_eq!(out.counters.kept, 5);
    assert_eq!(out.counters.late.get("by_colour"), Some(&2));
    assert_eq!(out.counters.late.get("slow"), Some(&1));
    let minutes = step.barrier(None).late_minutes;
    let of = |kpi: &str| minutes.of(kpi).map(|(minute, rows)| (minute.0 / SECOND, rows)).collect::<Vec<_>>();
    assert_eq!(
        (of("by_colour"), of("slow")),
        (vec![(60, 2)], vec![(60, 1)]),
        "the minute of the row, not of the window"
    );
    assert!(step.barrier(None).late_minutes.is_empty(), "each is told once");
    assert_eq!(step.watermark(), EventTime(131 * SECOND));
    let increments = step.take_increments();
    let windows = |kpi: usize| increments.get(kpi).unwrap().iter().map(|i| i.window.0 / SECOND).collect::<Vec<_>>();
    assert_eq!((windows(0), windows(1)), (vec![100, 110, 130], vec![90, 120]));
}

#[test]
fn a_late_row_goes_with_its_window_and_watermark_to_the_table_of_each_kpi_that_has_one() {
    let mut pipeline = pipeline();
    pipeline.kpis[0].late_table = Some(LateTable { table: None });
    let mut step = step_of(&pipeline, start());
    let records =
        [row(109, 1, "a"), row(115, 2, "a"), row(109, 3, "b"), (109, None), row(136, 4, "a"), row(119, 5, "c")];
    let out = step.step(&batch(7, &records), NOW).unwrap();
    let [late] = out.late.as_slice() else { panic!("{:?}", out.late) };
    assert_eq!((late.kpi, late.event_times), (0, Some((EventTime(109 * SECOND), EventTime(119 * SECOND)))));
    assert_eq!(late.rows.schema(), pipeline.late_schema());
    let int = |name: &str| late.rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
    let seconds = |name: &str| {
        let times = late.rows.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>();
        times.values().iter().map(|micros| micros / SECOND).collect::<Vec<_>>()
    };
    assert_eq!((int("id"), int("kafka_offset")), (vec![3, 5], vec![9, 12]));
    assert_eq!((seconds("window_start"), seconds("window_end")), (vec![100, 110], vec![110, 120]));
    assert_eq!(seconds("watermark"), [110, 131], "the one before the row");
    let kpis = late.rows.column_by_name("kpi").unwrap().as_string::<i32>();
    assert_eq!(kpis.iter().flatten().collect::<Vec<_>>(), ["by_colour"; 2]);
    assert_eq!(out.rows.unwrap().num_rows(), 5, "it is in Silver too");
    assert!(step.step(&batch(13, &[row(140, 6, "a")]), NOW).unwrap().late.is_empty());
}

#[test]
fn a_late_row_that_may_revise_its_window_is_counted_and_taken() {
    let mut pipeline = pipeline();
    pipeline.kpis[0].amend_for = 15 * SECOND;
    pipeline.kpis[0].late_table = Some(LateTable { table: None });
    let mut step = step_of(&pipeline, start());
    // The watermarks before the rows of 109, whose window ends at 110, are 110, 124 and 125.
    let records =
        [row(115, 1, "a"), row(109, 2, "a"), row(129, 3, "a"), row(109, 4, "a"), row(130, 5, "a"), row(109, 6, "a")];
    let out = step.step(&batch(0, &records), NOW).unwrap();
    let by_colour = |counts: &BTreeMap<String, u64>| counts.get("by_colour").copied();
    assert_eq!((by_colour(&out.counters.amended), by_colour(&out.counters.late)), (Some(2), Some(1)));
    assert_eq!(out.late[0].rows.num_rows(), 1);
    assert!(!out.counters.amended.contains_key("slow"));
    let taken = step.take_increments().remove(0);
    assert!(taken.iter().any(|increment| increment.window == EventTime(100 * SECOND)));
}

#[test]
fn a_floor_raises_the_watermark_at_the_barrier_and_later_records_are_judged_by_it() {
    let mut step = step_of(&pipeline(), start());
    let _first = step.step(&batch(0, &[row(100, 1, "a")]), NOW).unwrap();
    assert_eq!(step.barrier(Some(EventTime(110 * SECOND))).watermark, EventTime(110 * SECOND));
    let out = step.step(&batch(1, &[row(109, 2, "a"), row(110, 3, "a")]), NOW).unwrap();
    assert_eq!(out.counters.late.get("by_colour"), Some(&1));
}

#[test]
fn nothing_is_written_that_no_layer_takes() {
    let bare = Pipeline { layers: Vec::new(), rows: None, kpis: Vec::new(), dedup: None, ..pipeline() };
    let mut step = step_of(&bare, start());
    let out = step.step(&batch(0, &[row(100, 1, "a"), (100, Some("{".into()))]), NOW).unwrap();
    assert!(out.bronze.is_empty() && out.quarantine.is_empty() && out.rows.is_none());
    assert_eq!((out.counters.kept, out.counters.quarantined), (1, 1));
    assert!(step.take_increments().is_empty());
}

/// What a run makes of records: kept offsets, the ledger, final rows per KPI, the watermark.
type Outcome = (Vec<i64>, Counters, Vec<Vec<WindowRow>>, EventTime);

/// Runs `records`: `cuts` says after how many records each batch ends, and what follows it.
fn run(records: &[(i64, Option<String>)], cuts: &[(usize, Then)]) -> Outcome {
    let pipeline = pipeline();
    let mut run = Run::new(&pipeline);
    let mut from = 0_usize;
    for (size, then) in cuts.iter().chain([&(usize::MAX, Then::Go)]) {
        let to = from.max(from.saturating_add(*size).min(records.len()));
        let out = run.step.step(&batch(from as i64, &records[from..to]), NOW).unwrap();
        if let Some(rows) = &out.rows {
            run.kept.extend(rows.column_by_name("kafka_offset").unwrap().as_primitive::<Int64Type>().values());
        }
        run.counters.add(&out.counters);
        assert!(out.counters.is_balanced());
        from = to;
        match then {
            Then::Go => {}
            Then::Tick => run.tick(),
            Then::Cut => run.cut(),
            Then::Restart => {
                run.cut();
                run.restart();
            }
        }
    }
    run.finish()
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Go,
    Tick,
    Cut,
    Restart,
}

/// A partition, its KPIs, and the state that the log would hold of them.
struct Run<'a> {
    pipeline: &'a Pipeline,
    step: PartitionStep,
    kpis: Vec<Windows>,
    epoch: Epoch,
    g: EventTime,
    state: Vec<u8>,
    finals: Vec<Vec<WindowRow>>,
    kept: Vec<i64>,
    counters: Counters,
}

impl<'a> Run<'a> {
    fn new(pipeline: &'a Pipeline) -> Self {
        Self {
            pipeline,
            step: step_of(pipeline, start()),
            kpis: pipeline.kpis.iter().map(|kpi| Windows::new(kpi, EventTime::MIN)).collect(),
            epoch: Epoch(1),
            g: EventTime::MIN,
            state: encode(&StateIncrements::default()).unwrap(),
            finals: vec![Vec::new(); pipeline.kpis.len()],
            kept: Vec::new(),
            counters: Counters::default(),
        }
    }

    fn tick(&mut self) {
        for (windows, increments) in self.kpis.iter_mut().zip(self.step.take_increments()) {
            windows.apply(self.epoch, increments).unwrap();
            windows.live();
        }
    }

    fn cut(&mut self) {
        self.tick();
        let barrier = self.step.barrier(None);
        self.g = barrier.watermark;
        let mut delta = StateIncrements { kpis: Vec::new(), dedup: barrier.dedup_increment };
        let mut gone = Vec::new();
        for (index, windows) in self.kpis.iter_mut().enumerate() {
            let closed = windows.close(self.epoch, self.g).unwrap();
            let name = self.pipeline.kpis[index].name.clone();
            gone.extend(closed.windows.iter().map(|window| (name.clone(), *window)));
            delta.kpis.push((name, closed.increments));
            self.finals[index].extend(closed.finals);
        }
        let objects = [decode(&self.state).unwrap(), decode(&encode(&delta).unwrap()).unwrap()];
        let dropped = |kpi: &str, window| gone.contains(&(kpi.to_owned(), window));
        let base = compact(objects, dropped, |_| self.g.minus(20 * SECOND)).unwrap();
        self.state = encode(&base).unwrap();
        self.epoch = self.epoch.next();
    }

    fn restart(&mut self) {
        let state = decode(&self.state).unwrap();
        self.step = step_of(self.pipeline, PartitionStart { watermark: self.g, dedup: state.dedup, ..start() });
        self.kpis = self.pipeline.kpis.iter().map(|kpi| Windows::new(kpi, self.g)).collect();
        for (name, increments) in state.kpis {
            let index = self.pipeline.kpis.iter().position(|kpi| kpi.name == name).unwrap();
            increments.into_iter().for_each(|increment| self.kpis[index].restore(increment).unwrap());
        }
    }

    /// Closes everything.
    fn finish(mut self) -> Outcome {
        let watermark = self.step.watermark();
        self.tick();
        for (windows, finals) in self.kpis.iter_mut().zip(&mut self.finals) {
            finals.extend(windows.close(self.epoch, EventTime(i64::MAX)).unwrap().finals);
        }
        (self.kept, self.counters, self.finals, watermark)
    }
}

fn records() -> impl Strategy<Value = Vec<(i64, Option<String>)>> {
    let record = prop_oneof![
        12 => (0..40_i64, 0..8_i64, 0..3_usize).prop_map(|(jitter, id, c)| row(jitter, id, ["a", "b", "c"][c])),
        1 => (0..40_i64).prop_map(|jitter| (jitter, None)),
        1 => (0..40_i64).prop_map(|jitter| (jitter, Some("{]".into()))),
        1 => (0..40_i64).prop_map(|jitter| (jitter, Some("{}".into()))),
    ];
    prop::collection::vec(record, 0..60).prop_map(|records| {
        let placed = records.into_iter().enumerate();
        placed.map(|(i, (jitter, payload))| (100 + 2 * i as i64 - jitter, payload)).collect()
    })
}

fn cuts() -> impl Strategy<Value = Vec<(usize, Then)>> {
    let then = prop_oneof![Just(Then::Go), Just(Then::Tick), Just(Then::Cut), Just(Then::Restart)];
    prop::collection::vec((0..12_usize, then), 0..12)
}

proptest! {
    #[test]
    fn any_batching_ticking_cutting_and_restarting_gives_the_same(records in records(), cuts in cuts()) {
        prop_assert_eq!(run(&records, &cuts), run(&records, &[]));
    }
}

#[test]
fn a_text_that_is_too_long_for_the_name_of_its_folder_is_quarantined_and_nothing_else() {
    let mut pipeline = pipeline();
    pipeline.kpis.clear();
    let (name, holds) = ("rows".to_owned(), Holds::Rows { partition_by: vec![1] });
    pipeline.layers.push(Layer { path: name.clone(), name, encoding: Encoding::Parquet, holds, retention: None });
    let mut step = step_of(&pipeline, start());
    let long = [
        "x".repeat(200),
        "x".repeat(201),
        "/".repeat(82),
        "/".repeat(83),
        "\u{1f600}".repeat(50),
        "\u{1f600}".repeat(51),
    ];
    let records: Vec<_> = (0..).zip(&long).map(|(i, colour)| row(100 + i, i, colour)).collect();
    let out = step.step(&batch(7, &records), NOW).unwrap();
    let c = &out.counters;
    assert_eq!((c.records, c.kept, c.quarantined, out.bronze_rows), (6, 3, 3, 6));
    assert_eq!(c.by_reason.get("KEY_TOO_LARGE"), Some(&3));
    assert!(c.is_balanced());
}
