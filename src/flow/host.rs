//! What this process takes of its machine, as Linux tells it; nothing where it doesn't.

use std::fs;

/// Ticks per second in /proc: fixed for programs, whatever the kernel's own.
const TICKS: f64 = 100.0;

/// Figures of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Host {
    /// Seconds of processor time since its start, over all threads.
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
        Self::parse(&read("/proc/self/stat"), &read("/proc/self/status"))
    }

    fn parse(stat: &str, status: &str) -> Self {
        let ticks = |fields: &str| {
            let mut fields = fields.split_whitespace().skip(11);
            let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some((user + system) / TICKS)
        };
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.split_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            cpu_seconds: stat.rsplit_once(')').and_then(|(_, fields)| ticks(fields)),
            resident: line("VmRSS:").map(|kib| kib * 1024),
            threads: line("Threads:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_behind_a_name_with_brackets_and_absent_where_there_are_none() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0 100";
        let status = "Name:\ta\nVmRSS:\t    2048 kB\nThreads:\t4\n";
        let host = Host::parse(stat, status);
        assert_eq!(host, Host { cpu_seconds: Some(2.0), resident: Some(2_097_152), threads: Some(4) });
        assert_eq!(Host::parse("", ""), Host::default());
    }
}
