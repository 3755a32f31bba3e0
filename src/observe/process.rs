//! The process itself: its version, processor time, memory, and the room that is left on the lake's disk.

use lakeward_actors::kit::metric::Metric;
use lakeward_connect::lake::Lake;

use super::{EVERY, set, wide};
use crate::host::Host;

/// Seconds between two questions for the room on the disk; a file system may be slow to answer.
const DISK_EVERY: u64 = 10;

/// Publishes the figures of the process for ever.
pub async fn publish(lake: Option<Lake>) {
    let mut published = 0;
    let mut tick = tokio::time::interval(EVERY);
    for round in 0.. {
        tick.tick().await;
        set(Metric::BuildInfo, &[("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
        let host = Host::now();
        if let Some(started) = host.started {
            set(Metric::ProcessStartTimeSeconds, &[], started);
        }
        if let Some(resident) = host.resident {
            set(Metric::ProcessResidentMemoryBytes, &[], wide(resident));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds that have passed")]
        if let Some(seconds) = host.cpu_seconds.map(|seconds| seconds as u64) {
            metrics::counter!(Metric::ProcessCpuSecondsTotal.name()).increment(seconds.saturating_sub(published));
            published = published.max(seconds);
        }
        if let Some(lake) = lake.as_ref().filter(|_| round % DISK_EVERY == 0)
            && let Ok(Some(free)) = lake.free_bytes().await
        {
            set(Metric::LakeFreeBytes, &[], wide(free));
        }
    }
}
