//! What is told of a commit: a line in the program's log, and figures for Prometheus.

use lakeward_core::ledger::Counters;
use lakeward_core::log::{Entry, LiveFile};

use crate::kit::metric::Metric;

/// One line per epoch, and the figures for Prometheus.
pub(super) fn committed(pipeline: &str, entry: &Entry, seconds: f64) {
    let sum = |f: fn(&Counters) -> u64| entry.partitions.values().map(|p| f(&p.counters)).sum();
    let (read, kept): (u64, u64) = (sum(|c| c.records), sum(|c| c.kept));
    let (filtered, duplicate): (u64, u64) = (sum(|c| c.filtered), sum(|c| c.duplicate));
    let (quarantined, tombstones): (u64, u64) = (sum(|c| c.quarantined), sum(|c| c.tombstones));
    let files: usize = entry.layers.values().map(|l| l.added.len()).sum();
    let finals: u64 = entry.gold.iter().map(|g| g.rows).sum();
    tracing::info!(
        pipeline,
        version = entry.version.0,
        read,
        kept,
        filtered,
        duplicate,
        quarantined,
        tombstones,
        files,
        finals,
        seconds,
        "epoch committed"
    );
    metrics::histogram!(Metric::EpochDurationSeconds.name(), "pipeline" => pipeline.to_owned()).record(seconds);
    let labels = [("pipeline", pipeline.to_owned()), ("outcome", "committed".to_owned())];
    metrics::counter!(Metric::CommitOutcomesTotal.name(), &labels).increment(1);
    count_files(pipeline, entry);
}

/// What the entry has added to each layer, and what retention takes.
fn count_files(pipeline: &str, entry: &Entry) {
    for (layer, change) in &entry.layers {
        let labels = [("pipeline", pipeline.to_owned()), ("layer", layer.clone())];
        let sum = |f: fn(&LiveFile) -> u64| change.added.iter().map(f).sum();
        let figures = [
            (Metric::LayerRowsTotal, sum(|file| file.staged.rows)),
            (Metric::LayerBytesTotal, sum(|file| file.staged.length)),
            (Metric::LayerFilesTotal, sum(|_| 1)),
        ];
        for (metric, n) in figures {
            metrics::counter!(metric.name(), &labels).increment(n);
        }
        let expired = u64::try_from(change.expired.len()).unwrap_or(u64::MAX);
        if expired > 0 {
            let labels = [("pipeline", pipeline.to_owned()), ("what", "expired".to_owned())];
            metrics::counter!(Metric::RemovedTotal.name(), &labels).increment(expired);
        }
    }
}
