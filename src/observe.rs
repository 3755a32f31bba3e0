//! What is watched: logs, and the figures that Prometheus scrapes, published once a second from the board and the
//! gauges.

mod process;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakeward_actors::kit::metric::Metric;
use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_core::decode::Reason;
use lakeward_core::ids::EventTime;
use lakeward_core::pipeline::Pipeline;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tracing_subscriber::EnvFilter;

pub use process::publish as publish_process;

/// How often figures are published.
const EVERY: Duration = Duration::from_secs(1);

/// A gauge that nobody has set for this long belongs to an actor, partition or follower that is gone: it is shown no
/// more, and a stand-by doesn't go on telling the lag it had as owner.
const GONE: Duration = Duration::from_secs(30);

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
    let handle = builder(GONE)?.install_recorder()?;
    for metric in Metric::ALL {
        match metric.kind() {
            "counter" => metrics::describe_counter!(metric.name(), metric.help()),
            "histogram" => metrics::describe_histogram!(metric.name(), metric.help()),
            _ => metrics::describe_gauge!(metric.name(), metric.help()),
        }
    }
    Ok(handle)
}

fn builder(gone: Duration) -> anyhow::Result<PrometheusBuilder> {
    let epochs = Matcher::Full(Metric::EpochDurationSeconds.name().to_owned());
    let builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(gone));
    Ok(builder.set_buckets_for_metric(epochs, &EPOCH_BUCKETS)?)
}

/// Publishes the figures of one pipeline for ever.
pub async fn publish(pipeline: Arc<Pipeline>, board: Board, gauges: Gauges, clock: Clock) {
    let name = pipeline.name.as_str();
    begin_at_zero(&pipeline);
    let mut handled = Handled::default();
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        actors(name, &gauges, &clock, &mut handled);
        partitions(name, &board, &clock);
        rows(name, &board);
        sinks(name, &board, &clock);
    }
}

/// Counters of what may happen are there before it does: Prometheus sees no increase in a series that begins with 1.
fn begin_at_zero(pipeline: &Pipeline) {
    let zero = |metric: Metric, label: &'static str, value: &str| add(metric, &pipeline.name, label, value, 0);
    ["committed", "fenced"].iter().for_each(|outcome| zero(Metric::CommitOutcomesTotal, "outcome", outcome));
    ["log", "topic_id"].iter().for_each(|what| zero(Metric::RetriesTotal, "what", what));
    ["entries", "staging", "state", "temporary"].iter().for_each(|what| zero(Metric::RemovedTotal, "what", what));
    Reason::ALL.iter().for_each(|reason| zero(Metric::QuarantinedTotal, "reason", reason.as_str()));
    for kpi in &pipeline.kpis {
        [Metric::LateRowsTotal, Metric::AmendedRowsTotal].into_iter().for_each(|metric| zero(metric, "kpi", &kpi.name));
    }
    for layer in &pipeline.layers {
        for metric in [Metric::LayerRowsTotal, Metric::LayerBytesTotal, Metric::LayerFilesTotal] {
            zero(metric, "layer", &layer.name);
        }
    }
}

fn add(metric: Metric, pipeline: &str, label: &'static str, value: &str, n: u64) {
    let labels = [("pipeline", pipeline.to_owned()), (label, value.to_owned())];
    metrics::counter!(metric.name(), &labels).increment(n);
}

/// Messages that each actor had handled when they were last published. An actor of the next generation begins with 0.
type Handled = BTreeMap<(&'static str, u32), u64>;

fn set(metric: Metric, labels: &[(&'static str, String)], value: f64) {
    let labels: Vec<metrics::Label> = labels.iter().map(|(k, v)| metrics::Label::new(*k, v.clone())).collect();
    metrics::gauge!(metric.name(), labels).set(value);
}

fn actors(pipeline: &str, gauges: &Gauges, clock: &Clock, handled: &mut Handled) {
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
            let before = handled.insert((gauge.kind, gauge.index), reading.handled).unwrap_or(0);
            let more = reading.handled.checked_sub(before).unwrap_or(reading.handled);
            metrics::counter!(Metric::ActorMessagesTotal.name(), &labels).increment(more);
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
        set(Metric::PartitionPosition, &labels, signed(state.position));
        if state.end >= 0 {
            set(Metric::PartitionEnd, &labels, signed(state.end));
        }
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
    let by_name = [
        (Metric::LateRowsTotal, "kpi", &totals.late),
        (Metric::AmendedRowsTotal, "kpi", &totals.amended),
        (Metric::QuarantinedTotal, "reason", &totals.by_reason),
    ];
    for (metric, label, named) in by_name {
        for (name, n) in named {
            let labels = [("pipeline", pipeline.to_owned()), (label, name.clone())];
            metrics::counter!(metric.name(), &labels).absolute(*n);
        }
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
        add(Metric::FollowerRestartsTotal, pipeline, "sink", follower.key(), 0);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names and types in the tables of docs/METRICS.md.
    fn documented() -> BTreeSet<(&'static str, &'static str)> {
        let rows = include_str!("../docs/METRICS.md").lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.strip_suffix('`')?;
            cells.next().filter(|kind| ["gauge", "counter", "histogram"].contains(kind)).map(|kind| (name, kind))
        });
        rows.collect()
    }

    #[test]
    fn the_page_of_metrics_names_each_of_them_with_its_type() {
        let known: BTreeSet<_> = Metric::ALL.iter().map(|metric| (metric.name(), metric.kind())).collect();
        let page = documented();
        let (lacking, foreign): (Vec<_>, Vec<_>) =
            (known.difference(&page).collect(), page.difference(&known).collect());
        assert!(
            lacking.is_empty() && foreign.is_empty(),
            "not in docs/METRICS.md: {lacking:?}; only there: {foreign:?}"
        );
        assert_eq!(known.len(), Metric::ALL.len(), "two metrics share a name");
    }

    #[test]
    fn a_gauge_that_nobody_sets_any_more_is_shown_no_more_and_a_counter_stays() {
        let recorder = builder(Duration::from_millis(100)).unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            set(Metric::ActorQueueDepth, &[("pipeline", "p".to_owned())], 7.0);
            add(Metric::FollowerRestartsTotal, "p", "sink", "s", 1);
        });
        let shown = |metric: Metric| handle.render().contains(&format!("{}{{", metric.name()));
        assert!(shown(Metric::ActorQueueDepth) && shown(Metric::FollowerRestartsTotal));
        let began = std::time::Instant::now();
        while shown(Metric::ActorQueueDepth) {
            assert!(began.elapsed() < Duration::from_secs(10), "still there");
            std::thread::yield_now();
        }
        assert!(shown(Metric::FollowerRestartsTotal));
    }

    #[test]
    fn messages_of_the_next_actor_of_a_number_count_on() {
        let recorder = builder(GONE).unwrap().build_recorder();
        let handle = recorder.handle();
        let (gauges, clock, mut handled) = (Gauges::default(), Clock::system(), Handled::default());
        let mut published = |messages: u64| {
            let gauge = gauges.register("partition", 0);
            for _ in 0..messages {
                gauge.done(gauge.enter(clock.steady(), 1));
            }
            metrics::with_local_recorder(&recorder, || actors("p", &gauges, &clock, &mut handled));
            let name = Metric::ActorMessagesTotal.name();
            let line = handle.render().lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap().to_owned();
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(published(5), 5);
        assert_eq!(published(2), 7);
    }
}
