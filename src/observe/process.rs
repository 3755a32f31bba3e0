//! The process itself: its version, processor time, memory, and the room that is left on the lake's disk.

use std::fs;

use lakeward_actors::kit::metric::Metric;
use lakeward_connect::lake::Lake;

use super::{EVERY, set, wide};

/// Ticks in a second, in which /proc tells times: the same on all of Linux' platforms that we are built for.
const TICKS: u64 = 100;

/// Seconds between two questions for the room on the disk; a file system may be slow to answer.
const DISK_EVERY: u64 = 10;

/// Publishes the figures of the process for ever.
pub async fn publish(lake: Option<Lake>) {
    let mut published = 0;
    let mut tick = tokio::time::interval(EVERY);
    for round in 0.. {
        tick.tick().await;
        set(Metric::BuildInfo, &[("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
        if let Some(usage) = Usage::now() {
            set(Metric::ProcessStartTimeSeconds, &[], usage.started);
            set(Metric::ProcessResidentMemoryBytes, &[], wide(usage.resident));
            let cpu = metrics::counter!(Metric::ProcessCpuSecondsTotal.name());
            cpu.increment(usage.cpu.saturating_sub(published));
            published = published.max(usage.cpu);
        }
        if let Some(lake) = lake.as_ref().filter(|_| round % DISK_EVERY == 0)
            && let Ok(Some(free)) = lake.free_bytes().await
        {
            set(Metric::LakeFreeBytes, &[], wide(free));
        }
    }
}

/// What the kernel says of this process.
#[derive(Debug, PartialEq)]
struct Usage {
    /// Seconds since 1970.
    started: f64,
    /// Whole seconds of processor time, of all threads.
    cpu: u64,
    /// Bytes.
    resident: u64,
}

impl Usage {
    /// `None` where there is no /proc.
    fn now() -> Option<Self> {
        let read = |path| fs::read_to_string(path).ok();
        Self::of(&read("/proc/self/stat")?, &read("/proc/self/status")?, &read("/proc/stat")?)
    }

    fn of(stat: &str, status: &str, system: &str) -> Option<Self> {
        // The name in front may hold anything, brackets too.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
        let kib: u64 = after(status, "VmRSS:")?.parse().ok()?;
        let boot: u64 = after(system, "btime")?.parse().ok()?;
        Some(Self {
            started: wide(boot) + wide(ticks(19)?) / wide(TICKS),
            cpu: (ticks(11)? + ticks(12)?) / TICKS,
            resident: kib * 1024,
        })
    }
}

/// The first word behind `name` at the start of a line.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_words_are_read() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 5 0 0 0 1234 66 0 0 20 0 9 0 5000 1 2";
        let usage = Usage::of(stat, "VmPeak: 9 kB\nVmRSS:\t   2048 kB\n", "cpu 1 2\nbtime 1700000000\n");
        assert_eq!(usage, Some(Usage { started: 1_700_000_050.0, cpu: 13, resident: 2 << 20 }));
        assert_eq!(Usage::of("", "", ""), None);
    }

    #[test]
    fn this_process_started_in_the_past_and_takes_memory() {
        let usage = Usage::now().unwrap();
        assert!(usage.started > 1.6e9 && usage.resident > 1 << 20, "{usage:?}");
    }
}
