//! What is told of a pipeline, from a board and gauges that a test sets.

use std::collections::BTreeSet;

use lakeward_actors::kit::board::PartitionState;
use lakeward_actors::kit::{Gauge, Work};
use lakeward_core::ids::EventTime;
use serde_json::json;

use super::*;
use crate::http::openapi::{answer_of, differences};

/// 2023-11-14, in microseconds.
const NOW: i64 = 1_700_000_000_000_000;

const PIPELINE: &str = r#"
    name = "p"
    source.topic = "t"
    fields = { id = "string!", amount = "int64!" }
    bronze = {}
    silver = {}
    [[kpi]]
    name = "k"
    window = { tumbling = "1m" }
    key = ["id"]
    measures = { n = "count(id)" }
"#;

fn flow() -> Flow {
    let pipeline = Arc::new(Pipeline::parse(PIPELINE, "p").unwrap());
    let (lake, _) = Lake::memory();
    let clock = Clock::with_wall(|| NOW);
    let flow = Flow::of(pipeline, "t".to_owned(), Board::default(), Gauges::default(), clock, lake);
    flow.board.set_owner(true);
    flow
}

fn partition(flow: &Flow, partition: i32, watermark: i64, lag: i64) {
    let state = PartitionState {
        position: 10,
        watermark: EventTime(watermark),
        handed: 10,
        end: 10 + lag,
        newest: EventTime(watermark),
        moved_at: u64::try_from(NOW / 1_000).unwrap(),
        drifting: false,
        idle: false,
    };
    flow.board.partitions().insert(partition, state);
}

fn actors(flow: &Flow) -> Vec<Arc<Gauge>> {
    let kinds = ["partition", "partition", "layer_writer", "layer_writer", "kpi_registry", "commit"];
    let mut gauges: Vec<_> =
        kinds.iter().zip([0, 1, 0, 1, 0, 0]).map(|(kind, n)| flow.gauges.register(kind, n)).collect();
    gauges.extend((0..40).map(|n| flow.gauges.register("kpi", n)));
    gauges
}

#[test]
fn what_is_told_is_as_described_and_names_every_live_actor() {
    let flow = flow();
    let _gauges = actors(&flow);
    partition(&flow, 0, NOW - 5, 3);
    partition(&flow, 1, NOW - 9_000_000, 0);
    flow.board.follower_started("directories");
    flow.take();
    let told = flow.picture(Kpis::All);
    assert_eq!(differences(&answer_of("/api/v1/flow"), &told, "flow"), Vec::<String>::new());
    let who = |value: &Value| (value["kind"].as_str().map(str::to_owned), value["index"].as_u64());
    let named: BTreeSet<_> = told["actors"].as_array().unwrap().iter().map(who).collect();
    let live: BTreeSet<_> =
        flow.gauges.live().iter().map(|g| (Some(g.kind.to_owned()), Some(u64::from(g.index)))).collect();
    assert_eq!(named, live);
    assert_eq!(told["lag"]["records"], 3);
    assert_eq!(told["watermark"]["held_by"]["partition"], 1);
    let short = flow.picture(Kpis::Busiest);
    assert_eq!(short["actors"].as_array().unwrap().len(), live.len() - 20, "twenty of the forty");
}

#[test]
fn a_slow_sink_is_busy_and_those_before_it_wait() {
    let flow = flow();
    let gauges = actors(&flow);
    partition(&flow, 0, NOW - 5, 1_000);
    flow.take();
    let state = |told: &Value, id: &str| {
        let node = told["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).cloned().unwrap();
        (node["state"].as_str().unwrap().to_owned(), node["busy"].as_f64().unwrap(), node["blocked"].as_f64().unwrap())
    };
    assert_eq!(state(&flow.picture(Kpis::All), "partition").0, "ok");
    // The second writer works on something long while the first partition wants to hand on.
    let (_writes, waits) = (Work::begin(&gauges[3]), Work::begin(&gauges[0]));
    let mut waiting = Box::pin(waits.handing_on(std::future::pending::<()>()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    // Until all readings are from after that moment.
    let mut told = flow.picture(Kpis::All);
    while state(&told, "partition").2 < 0.9 || state(&told, "layer:silver").1 < 0.9 {
        flow.take();
        told = flow.picture(Kpis::All);
    }
    assert_eq!(state(&told, "partition").0, "backpressure");
    let silver = state(&told, "layer:silver");
    assert_eq!(silver.0, "busy", "{silver:?}");
    assert_eq!(state(&told, "layer:bronze"), ("ok".to_owned(), 0.0, 0.0));
}

#[test]
fn an_epoch_that_failed_and_a_process_that_stands_by_are_told() {
    let flow = flow();
    flow.board.set_owner(false);
    flow.board.history().failed(lakeward_core::ids::Version(4), NOW, "kafka is away");
    let told = flow.picture(Kpis::All);
    assert_eq!(told["epochs"][0]["result"], "kafka is away");
    assert_eq!(told["watermark"]["held_by"]["reason"], "standby");
    assert_eq!(told["owner"], json!(false));
    assert_eq!(differences(&answer_of("/api/v1/flow"), &told, "flow"), Vec::<String>::new());
}
