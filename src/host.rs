//! What this process takes of its machine, as Linux tells it; nothing where it doesn't.

use std::fs;

/// Ticks in a second, in which /proc tells times: the same on all of Linux' platforms that we are built for.
const TICKS: f64 = 100.0;

/// Figures of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Host {
    /// When the process started, seconds since 1970.
    pub started: Option<f64>,
    /// Seconds of processor time since then, over all threads.
    pub cpu_seconds: Option<f64>,
    /// Bytes of memory in use.
    pub resident: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Host {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/stat"))
    }

    fn parse(stat: &str, status: &str, system: &str) -> Self {
        // The name in front may hold anything, brackets too.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let seconds = |field: usize| Some(fields.get(field)?.parse::<f64>().ok()? / TICKS);
        let boot = after(system, "btime").and_then(|text| text.parse::<f64>().ok());
        let number = |name: &str| after(status, name)?.parse::<u64>().ok();
        Self {
            started: boot.zip(seconds(19)).map(|(boot, since)| boot + since),
            cpu_seconds: seconds(11).zip(seconds(12)).map(|(user, system)| user + system),
            resident: number("VmRSS:").map(|kib| kib * 1024),
            threads: number("Threads:"),
        }
    }
}

/// The first word behind `name` at the start of a line.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_behind_a_name_with_brackets_and_absent_where_there_are_none() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 5 0 0 0 1234 66 0 0 20 0 9 0 5000 1 2";
        let host = Host::parse(stat, "VmPeak: 9 kB\nVmRSS:\t   2048 kB\nThreads:\t4\n", "cpu 1 2\nbtime 1700000000\n");
        let (started, cpu_seconds) = (Some(1_700_000_050.0), Some(13.0));
        assert_eq!(host, Host { started, cpu_seconds, resident: Some(2 << 20), threads: Some(4) });
        assert_eq!(Host::parse("", "", ""), Host::default());
    }

    #[test]
    fn this_process_started_in_the_past_and_takes_memory() {
        let host = Host::now();
        assert!(host.started > Some(1.6e9) && host.resident > Some(1 << 20), "{host:?}");
    }
}
