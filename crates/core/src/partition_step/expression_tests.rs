#![allow(clippy::unwrap_used)]

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type};

use super::*;
use crate::ids::Epoch;
use crate::kpi::{Windows, gold_batch, mart_batch, render};

const FEED: &str = r#"
name = "p"
[source]
topic = "t"
[fields]
id = "int64!"
colour = "string"
amount = "decimal(10,2)!"
[time]
event_time = "kafka"
out_of_orderness = "5s"
[checks]
positive = { that = "amount > 0", otherwise = "filter" }
known = { that = "colour <> 'none'", otherwise = "quarantine" }
[derive]
doubled = { sql = "amount * 2", type = "decimal(10,2)" }
share = { sql = "100 / (amount - 5)", type = "decimal(10,4)" }
[bronze]
path = "raw"
[silver]
path = "rows"
[[kpi]]
name = "k"
window = { tumbling = "10s" }
key = ["colour"]
gold = { path = "gold" }
[kpi.measures]
n = "count(*)"
total = "sum(doubled)"
ids = "count(distinct id)"
[kpi.derive]
mean = { sql = "total / (n - 1)", type = "decimal(14,2)" }
"#;

fn pipeline() -> Pipeline {
    Pipeline::parse(FEED, "p.toml").unwrap()
}

fn batch() -> RawBatch {
    let mut batch = RawBatch::new(0, 0);
    for (offset, (id, colour, amount)) in (0..).zip([
        (1, "\"red\"", "1.50"),
        (2, "\"red\"", "2.25"),
        (3, "\"red\"", "-1"),
        (4, "\"none\"", "1"),
        (5, "null", "1"),
        (6, "\"blue\"", "5"),
        (7, "\"blue\"", "99999999.99"),
        (2, "\"blue\"", "3"),
        (1, "\"red\"", "0.01"),
    ]) {
        let payload = format!(r#"{{"id":{id},"colour":{colour},"amount":{amount}}}"#);
        batch.push(offset, 100_000, None, Some(payload.as_bytes()), None);
    }
    batch
}

fn ints(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn decimals(batch: &RecordBatch, name: &str) -> Vec<Option<i128>> {
    batch.column_by_name(name).unwrap().as_primitive::<Decimal128Type>().iter().collect()
}

#[test]
fn checks_and_derived_columns_decide_in_order() {
    let pipeline = pipeline();
    let mut step = PartitionStep::new(
        &pipeline,
        "t",
        0,
        0,
        PartitionStart { watermark: EventTime::MIN, dedup: Vec::new(), first_windows: BTreeMap::new() },
    );
    let out = step.step(&batch(), 1_000_000_000).unwrap();
    let c = &out.counters;
    assert_eq!((c.records, c.kept, c.filtered, c.quarantined), (9, 4, 1, 4));
    assert_eq!(c.filtered_by_check.get("positive"), Some(&1));
    assert_eq!(c.by_reason.get("CHECK"), Some(&2));
    assert_eq!(c.by_reason.get("OVERFLOW"), Some(&2));
    let rows = out.rows.unwrap();
    assert_eq!(ints(&rows, "kafka_offset"), [0, 1, 7, 8]);
    assert_eq!(decimals(&rows, "doubled"), [Some(300), Some(450), Some(600), Some(2)]);
    let lines = String::from_utf8(out.quarantine).unwrap();
    let order: Vec<_> = lines.lines().map(|line| line.contains("CHECK")).collect();
    assert_eq!(order, [true, true, false, false]);
}

#[test]
fn gold_and_mart_hold_keys_measures_and_derived_measures_sorted() {
    let pipeline = pipeline();
    let mut step = PartitionStep::new(
        &pipeline,
        "t",
        0,
        0,
        PartitionStart { watermark: EventTime::MIN, dedup: Vec::new(), first_windows: BTreeMap::new() },
    );
    let _out = step.step(&batch(), 1_000_000_000).unwrap();
    let kpi = pipeline.kpis.first().unwrap();
    let mut windows = Windows::new(kpi, EventTime::MIN);
    windows.apply(Epoch(1), step.take_increments().remove(0)).unwrap();
    let finals = windows.close(Epoch(1), EventTime(110_000_000)).unwrap().finals;
    let scope = render(&pipeline, 0, &finals).unwrap();
    let batch = &scope.batch;
    assert_eq!(
        batch.column_by_name("colour").unwrap().as_string::<i32>().iter().collect::<Vec<_>>(),
        [Some("blue"), Some("red")]
    );
    assert_eq!((ints(batch, "n"), ints(batch, "ids")), (vec![1, 3], vec![1, 2]));
    assert_eq!(decimals(batch, "total"), [Some(600), Some(752)]);
    assert_eq!(decimals(batch, "mean"), [None, Some(376)]);
    assert_eq!(scope.failures, 1);
    assert_eq!(batch.column_by_name("revision").unwrap().as_primitive::<Int32Type>().values(), &[0, 0]);
    assert_eq!(
        batch.schema().field_with_name("window_start").unwrap().data_type(),
        &crate::types::DataType::Timestamp.arrow()
    );
    let gold = gold_batch(&pipeline, 0, &finals).unwrap();
    assert_eq!(gold.batch.num_columns(), kpi.gold.len());
    assert_eq!(gold.windows, [EventTime(100_000_000); 2]);
    assert_ne!(gold.batch.schema().field(0).data_type(), &DataType::Null);
    assert_eq!(mart_batch(&pipeline, 0, &finals, true, 7).unwrap().batch.num_rows(), 2);
}
