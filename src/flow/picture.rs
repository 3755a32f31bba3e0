//! The whole of `/api/v1/flow`, made from one look at board, gauges and samples.

use lakeward_actors::kit::board::PartitionState;
use lakeward_actors::kit::gauge::Reading;
use lakeward_core::ids::EventTime;
use lakeward_core::pipeline::Window;
use serde_json::{Value, json};

use super::graph::{Node, graph};
use super::samples::{Samples, Shares, lag};
use super::watermark::{Facts, Standing, hold};
use super::{Flow, lag as lags};
use crate::text::timestamp;

/// Which KPI actors are listed one by one; there may be a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kpis {
    /// All.
    All,
    /// Those that are busiest.
    Busiest,
}

/// How many those are.
const BUSIEST: usize = 20;

/// An actor at one moment.
struct Actor {
    kind: &'static str,
    index: u32,
    reading: Reading,
    shares: Shares,
}

/// Makes it.
pub fn picture(flow: &Flow, kpis: Kpis) -> Value {
    let samples = flow.samples();
    let now = flow.clock.steady();
    let mut actors: Vec<Actor> = flow
        .gauges
        .live()
        .iter()
        .map(|gauge| Actor {
            kind: gauge.kind,
            index: gauge.index,
            reading: gauge.read(now),
            shares: samples.shares((gauge.kind, gauge.index)),
        })
        .collect();
    let has_mart = actors.iter().any(|actor| actor.kind.ends_with("_mart"));
    let (nodes, arrows) = graph(&flow.pipeline, &flow.topic, has_mart);
    // Waiting for a credit is how a batch grows; it is worth a word once Kafka holds more than a second's records.
    let is_pressed = wide(lag(&flow.board)) > samples.rate();
    let nodes: Vec<Value> = nodes.iter().map(|node| told_node(flow, node, &actors, is_pressed)).collect();
    let lag_facts = lag_facts(flow, &samples, &actors);
    if kpis == Kpis::Busiest {
        keep_busiest(&mut actors);
    }
    json!({
        "pipeline": flow.pipeline.name, "topic": flow.topic, "at": time(flow.clock.wall_micros()),
        "owner": flow.board.is_owner(), "version": flow.board.head().0, "claim": flow.board.claim().0,
        "nodes": nodes,
        "edges": arrows.iter().map(|(from, to, credits)| json!({ "from": from, "to": to, "credits": credits })).collect::<Vec<_>>(),
        "actors": actors.iter().map(|actor| told_actor(flow, actor)).collect::<Vec<_>>(),
        "kpi_actors": flow.board.kpi_actors(),
        "rates": { "read": rounded(samples.rate()), "incoming": samples.incoming().map(rounded) },
        "lag": { "records": lag(&flow.board), "where": lags::places(&lag_facts) },
        "process": {
            "cpu": rounded(samples.cpu()), "resident_bytes": samples.host.resident, "threads": samples.host.threads,
            "state_bytes": flow.board.state_bytes().iter().map(|bytes| *bytes).sum::<u64>(),
        },
        "series": series(&samples),
        "partitions": partitions(flow),
        "watermark": watermark(flow),
        "sinks": sinks(flow),
        "epochs": epochs(flow),
        "open_windows": flow.board.open_windows().iter().map(|n| *n).sum::<u64>(),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a comparison for people")]
fn wide(n: u64) -> f64 {
    n as f64
}

/// A time as people and programs read it; null where there is none.
pub fn time(micros: i64) -> Value {
    if micros == i64::MIN || micros == 0 { Value::Null } else { json!(timestamp(micros)) }
}

/// Three digits behind the point are enough for a look.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

fn keep_busiest(actors: &mut Vec<Actor>) {
    let (mut kpis, others): (Vec<Actor>, Vec<Actor>) = actors.drain(..).partition(|actor| actor.kind == "kpi");
    kpis.sort_by(|a, b| {
        (b.reading.lag_records, b.shares.busy)
            .partial_cmp(&(a.reading.lag_records, a.shares.busy))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    kpis.truncate(BUSIEST);
    actors.extend(others);
    actors.extend(kpis);
}

/// What an actor is called: its layer, table or number.
fn name(flow: &Flow, kind: &str, index: u32) -> String {
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let pipeline = &flow.pipeline;
    let found = match kind {
        "layer_writer" => pipeline.layers.get(at).map(|layer| format!("writer of {}", layer.name)),
        "row_mart" => pipeline.rows.as_ref().map(|rows| format!("table {}", rows.table)),
        "kpi_mart" => pipeline.kpis.get(at).and_then(|kpi| Some(format!("table {}", kpi.mart.as_ref()?.table))),
        "kpi_registry" => Some("KPI registry".to_owned()),
        "commit" => Some("commits".to_owned()),
        "kpi" => Some(format!("KPI actor {index}")),
        _ => None,
    };
    found.unwrap_or_else(|| format!("{kind} {index}"))
}

fn told_actor(flow: &Flow, actor: &Actor) -> Value {
    let Actor { kind, index, reading: r, shares } = actor;
    json!({
        "kind": kind, "index": index, "name": name(flow, kind, *index), "queue_depth": r.depth, "queue_peak": r.peak,
        "credits": r.capacity, "credits_free": r.credits_free, "lag_records": r.lag_records,
        "lag_seconds": rounded(r.lag_seconds), "messages": r.handled, "messages_per_second": rounded(shares.messages),
        "busy": rounded(shares.busy), "blocked": rounded(shares.blocked),
    })
}

/// A box with the figures of its actors: sums, and of shares and times the greatest.
fn told_node(flow: &Flow, node: &Node, actors: &[Actor], is_pressed: bool) -> Value {
    let own = || actors.iter().filter(|a| a.kind == node.kind && node.index.is_none_or(|index| index == a.index));
    let sum = |of: fn(&Reading) -> u64| own().map(|actor| of(&actor.reading)).sum::<u64>();
    let most = |of: fn(&Actor) -> f64| own().map(of).fold(0.0, f64::max);
    let (busy, blocked) = (most(|a| a.shares.busy), most(|a| a.shares.blocked));
    let follower = node.follower.as_ref().and_then(|name| Some(flow.board.followers().get(name)?.clone()));
    let trouble = follower.as_ref().and_then(|follower| follower.trouble.clone());
    let behind = follower.map(|f| flow.board.head().0.saturating_sub(f.done.map_or(0, |done| done.0)));
    let is_kafka = node.kind == "kafka";
    let lag_records = if is_kafka { lag(&flow.board) } else { sum(|r| r.lag_records) };
    let lag_seconds = if is_kafka { kafka_lag_seconds(flow) } else { most(|a| a.reading.lag_seconds) };
    let state = match () {
        () if trouble.is_some() => "trouble",
        () if is_pressed && blocked >= 0.25 => "backpressure",
        () if busy >= 0.7 => "busy",
        () if lag_records > 0 && lag_seconds > 5.0 => "lag",
        () => "ok",
    };
    json!({
        "id": node.id, "kind": node.kind, "title": node.title, "actors": own().count(), "state": state,
        "queue_depth": sum(|r| u64::try_from(r.depth).unwrap_or(u64::MAX)),
        "credits": sum(|r| u64::try_from(r.capacity).unwrap_or(u64::MAX)),
        "credits_free": sum(|r| u64::try_from(r.credits_free).unwrap_or(u64::MAX)),
        "lag_records": lag_records, "lag_seconds": rounded(lag_seconds), "busy": rounded(busy),
        "blocked": rounded(blocked), "behind": behind, "trouble": trouble,
    })
}

/// How old the newest event is that was read of the partition which is furthest behind and has lag.
fn kafka_lag_seconds(flow: &Flow) -> f64 {
    let now = flow.clock.wall_micros();
    let behind =
        |p: &PartitionState| if p.end > p.position && p.newest > EventTime::MIN { now - p.newest.0 } else { 0 };
    let most = flow.board.partitions().iter().map(|p| behind(&p)).max().unwrap_or(0);
    std::time::Duration::from_micros(u64::try_from(most).unwrap_or(0)).as_secs_f64()
}

fn lag_facts(flow: &Flow, samples: &Samples, actors: &[Actor]) -> lags::Facts {
    let load = |actor: &Actor| lags::ActorLoad {
        kind: actor.kind,
        name: name(flow, actor.kind, actor.index),
        busy: actor.shares.busy,
        blocked: actor.shares.blocked,
    };
    let mut drifting: Vec<i32> = flow.board.partitions().iter().filter(|p| p.drifting).map(|p| *p.key()).collect();
    drifting.sort_unstable();
    let mut troubled: Vec<_> =
        flow.board.followers().iter().filter_map(|f| Some((f.key().clone(), f.trouble.clone()?))).collect();
    troubled.sort();
    lags::Facts {
        owner: flow.board.is_owner(),
        lag_records: lag(&flow.board),
        rates: (samples.rate(), samples.incoming().unwrap_or(0.0)),
        actors: actors.iter().map(load).collect(),
        hold: flow.board.hold(),
        drifting,
        troubled,
    }
}

fn series(samples: &Samples) -> Value {
    let points = samples.points();
    let of = |value: fn(&super::samples::Point) -> Value| points.iter().map(value).collect::<Vec<_>>();
    json!({
        "at": of(|p| json!(p.at / 1_000)), "read": of(|p| json!(p.rate.round())), "lag": of(|p| json!(p.lag)),
        "cpu": of(|p| json!(rounded(p.cpu))), "resident_bytes": of(|p| json!(p.resident)),
    })
}

fn standings(flow: &Flow) -> Vec<(PartitionState, Standing)> {
    let standing = |partition, p: &PartitionState| Standing {
        partition,
        watermark: p.watermark,
        lag: p.end.saturating_sub(p.position).max(0),
        idle: p.idle && p.end <= p.position,
        drifting: p.drifting,
        moved_at: i64::try_from(p.moved_at).unwrap_or(0).saturating_mul(1_000),
    };
    let mut all: Vec<_> = flow.board.partitions().iter().map(|p| (p.clone(), standing(*p.key(), &p))).collect();
    all.sort_by_key(|(_, standing)| standing.partition);
    all
}

fn partitions(flow: &Flow) -> Vec<Value> {
    let fold = flow.board.fold();
    let g = fold.as_ref().map_or(EventTime::MIN, |fold| fold.g);
    let told = |(state, standing): &(PartitionState, Standing)| {
        let committed = fold.as_ref().and_then(|fold| fold.partitions.get(&standing.partition)).map(|held| held.to);
        let ahead = standing.watermark.0.saturating_sub(g.0) / 1_000;
        json!({
            "partition": standing.partition, "position": state.position, "end": (state.end >= 0).then_some(state.end),
            "committed": committed, "lag_records": standing.lag, "watermark": time(standing.watermark.0),
            "ahead_ms": (g > EventTime::MIN && standing.watermark > EventTime::MIN).then_some(ahead),
            "newest": time(state.newest.0), "idle": standing.idle, "waits": standing.drifting,
        })
    };
    standings(flow).iter().map(told).collect()
}

fn watermark(flow: &Flow) -> Value {
    let fold = flow.board.fold();
    let g = fold.as_ref().map(|fold| fold.g).filter(|g| *g > EventTime::MIN);
    let facts = Facts {
        owner: flow.board.is_owner(),
        partitions: standings(flow).into_iter().map(|(_, standing)| standing).collect(),
        now: flow.clock.wall_micros(),
        out_of_orderness: flow.pipeline.time.out_of_orderness,
        idle_after: flow.pipeline.time.idle_after,
    };
    let windows: Vec<Value> = flow
        .pipeline
        .kpis
        .iter()
        .map(|kpi| {
            let Window::Tumbling { size } = kpi.window;
            // The first window whose end, with the lateness, G has not reached.
            let next = g.map(|g| {
                g.0.saturating_sub(kpi.allowed_lateness).div_euclid(size).saturating_add(1).saturating_mul(size)
            });
            json!({
                "kpi": kpi.name, "next_end": next.map(timestamp),
                "closes_at": next.map(|end| timestamp(end.saturating_add(kpi.allowed_lateness))),
            })
        })
        .collect();
    json!({ "global": g.map(|g| timestamp(g.0)), "held_by": hold(&facts), "windows": windows })
}

fn sinks(flow: &Flow) -> Vec<Value> {
    let head = flow.board.head().0;
    let now = flow.clock.wall_micros();
    let mut sinks: Vec<_> = flow.board.followers().iter().map(|f| (f.key().clone(), f.value().clone())).collect();
    sinks.sort_by(|a, b| a.0.cmp(&b.0));
    let told = |(name, state): &(String, lakeward_actors::kit::board::FollowerState)| {
        let age = (state.fresh_at > 0).then(|| (now - state.fresh_at).max(0) / 1_000);
        json!({
            "sink": name, "version": state.done.map(|done| done.0),
            "behind": head.saturating_sub(state.done.map_or(0, |done| done.0)), "fresh_at": time(state.fresh_at),
            "age_ms": age, "trouble": state.trouble,
        })
    };
    sinks.iter().map(told).collect()
}

fn epochs(flow: &Flow) -> Vec<Value> {
    let history = flow.board.history();
    let told = |entry: &lakeward_actors::kit::Noted| {
        json!({
            "version": entry.version.0, "kind": entry.kind, "at": time(entry.at), "seconds": entry.seconds.map(rounded),
            "read": entry.counters.records, "kept": entry.counters.kept, "quarantined": entry.counters.quarantined,
            "files": entry.files, "result": entry.trouble.as_deref().unwrap_or("committed"),
        })
    };
    history.entries().iter().map(told).collect()
}
