//! What is watched: logs, and the figures that Prometheus scrapes, published once a second from the board and the
//! gauges.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use lakeward_actors::kit::metric::Metric;
use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_core::ids::EventTime;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How often figures are published.
const EVERY: Duration = Duration::from_secs(1);

/// Upper bounds of the epoch histogram, seconds.
const EPOCH_BUCKETS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Starts logging to standard error. `json`: one JSON object per line.
pub fn start_logs(level: &str, json: bool) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start in one process (the demo, tests) keeps the first.
    let _ = if json { builder.json().try_init() } else { builder.with_target(false).try_init() };
}

/// Starts logging to the end of `file`, for a command whose terminal shows something else.
pub fn start_logs_in(file: &Path) -> std::io::Result<()> {
    let file = std::fs::File::options().create(true).append(true).open(file)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter("info")).with_ansi(false).with_target(false);
    // A second start in one process keeps the first.
    let _ = builder.with_writer(Mutex::new(file)).try_init();
    Ok(())
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(format!("{level},librdkafka=warn,hdfs_native=error,actix_server=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Installs the recorder that `/metrics` renders.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(Metric::EpochDurationSeconds.name().to_owned()), &EPOCH_BUCKETS)?;
    let handle = builder.install_recorder()?;
    for metric in Metric::ALL {
        if metric.name().ends_with("_total") {
            metrics::describe_counter!(metric.name(), metric.help());
        } else if metric == Metric::EpochDurationSeconds {
            metrics::describe_histogram!(metric.name(), metric.help());
        } else {
            metrics::describe_gauge!(metric.name(), metric.help());
        }
    }
    Ok(handle)
}

/// Publishes the figures of one pipeline for ever.
pub async fn publish(pipeline: String, board: Board, gauges: Gauges, clock: Clock) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        actors(&pipeline, &gauges, &clock);
        partitions(&pipeline, &board, &clock);
        rows(&pipeline, &board);
        sinks(&pipeline, &board, &clock);
    }
}

fn set(metric: Metric, labels: &[(&'static str, String)], value: f64) {
    let labels: Vec<metrics::Label> = labels.iter().map(|(k, v)| metrics::Label::new(*k, v.clone())).collect();
    metrics::gauge!(metric.name(), labels).set(value);
}

fn actors(pipeline: &str, gauges: &Gauges, clock: &Clock) {
    let now = clock.steady();
    let mut live: BTreeMap<&'static str, u32> = BTreeMap::new();
    for gauge in gauges.live() {
        *live.entry(gauge.kind).or_default() += 1;
        let labels =
            [("pipeline", pipeline.to_owned()), ("kind", gauge.kind.to_owned()), ("index", gauge.index.to_string())];
        let reading = gauge.read(now);
        set(Metric::ActorQueueDepth, &labels, count(reading.depth));
        set(Metric::ActorLagRecords, &labels, wide(reading.lag_records));
        set(Metric::ActorLagSeconds, &labels, reading.lag_seconds);
        if gauge.kind != "kpi" {
            set(Metric::ActorQueuePeak, &labels, count(reading.peak));
            set(Metric::ActorCreditsFree, &labels, count(reading.credits_free));
            set(Metric::ActorCredits, &labels, count(reading.capacity));
            set(Metric::ActorMessagesTotal, &labels, wide(reading.handled));
        }
    }
    for kind in ["partition", "layer_writer", "kpi", "kpi_registry", "row_mart", "kpi_mart", "commit"] {
        let labels = [("pipeline", pipeline.to_owned()), ("kind", kind.to_owned())];
        set(Metric::Actors, &labels, f64::from(live.get(kind).copied().unwrap_or(0)));
    }
}

fn partitions(pipeline: &str, board: &Board, clock: &Clock) {
    let now = clock.wall_micros();
    for state in board.partitions().iter() {
        let labels = [("pipeline", pipeline.to_owned()), ("partition", state.key().to_string())];
        let lag = state.end.saturating_sub(state.position).max(0);
        set(Metric::PartitionLagRecords, &labels, signed(lag));
        let behind = if lag > 0 && state.newest > EventTime::MIN { seconds(now - state.newest.0) } else { 0.0 };
        set(Metric::PartitionLagSeconds, &labels, behind);
        if state.watermark > EventTime::MIN {
            set(Metric::PartitionWatermarkSeconds, &labels, seconds(state.watermark.0));
        }
    }
}

fn rows(pipeline: &str, board: &Board) {
    let totals = board.totals();
    let outcomes = [
        ("read", totals.records),
        ("kept", totals.kept),
        ("filtered", totals.filtered),
        ("duplicate", totals.duplicate),
        ("quarantined", totals.quarantined),
        ("tombstone", totals.tombstones),
    ];
    for (outcome, n) in outcomes {
        let labels = [("pipeline", pipeline.to_owned()), ("outcome", outcome.to_owned())];
        metrics::counter!(Metric::RowsTotal.name(), &labels).absolute(n);
    }
    for (kpi, n) in &totals.late {
        let labels = [("pipeline", pipeline.to_owned()), ("kpi", kpi.clone())];
        metrics::counter!(Metric::LateRowsTotal.name(), &labels).absolute(*n);
    }
}

fn sinks(pipeline: &str, board: &Board, clock: &Clock) {
    let labels = [("pipeline", pipeline.to_owned())];
    let head = board.head();
    set(Metric::LogHead, &labels, wide(head.0));
    set(Metric::Owner, &labels, f64::from(u8::from(board.is_owner())));
    set(Metric::OpenWindows, &labels, wide(board.open_windows().iter().map(|n| *n).sum()));
    set(Metric::StateBytes, &labels, wide(board.state_bytes().iter().map(|n| *n).sum()));
    for follower in board.followers().iter() {
        let labels = [("pipeline", pipeline.to_owned()), ("sink", follower.key().clone())];
        let behind = follower.done.map_or(head.0, |done| head.0.saturating_sub(done.0));
        set(Metric::FollowerLagVersions, &labels, wide(behind));
        set(Metric::FollowerTroubled, &labels, f64::from(u8::from(follower.trouble.is_some())));
        if follower.fresh_at > 0 {
            set(Metric::SinkFreshnessSeconds, &labels, seconds(clock.wall_micros() - follower.fresh_at));
        }
    }
}

/// Figures are doubles in Prometheus: above 2^53 they lose their last digits, nothing else.
#[allow(clippy::cast_precision_loss, reason = "Prometheus holds doubles")]
fn wide(n: u64) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus holds doubles")]
fn signed(n: i64) -> f64 {
    n as f64
}

fn count(n: usize) -> f64 {
    wide(u64::try_from(n).unwrap_or(u64::MAX))
}

fn seconds(micros: i64) -> f64 {
    signed(micros) / 1e6
}
