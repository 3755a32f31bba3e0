//! Which process this is, and whether another one on the same host still lives: a hint for leases (O2).

use std::fs;

/// A process on a host, told apart from a later one with the same number by when it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Start time in the kernel's ticks since boot, and the boot's id; empty where the system doesn't tell.
    pub started: String,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let pid = std::process::id();
        Self { host, pid, started: started(pid).unwrap_or_default() }
    }

    /// Whether a process that ran on this host is certainly gone. A process of another host never is.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let here = Self::this();
        let comparable = !self.started.is_empty() && !here.started.is_empty() && self.host == here.host;
        comparable && started(self.pid).as_deref() != Some(self.started.as_str())
    }
}

/// Start ticks and boot id; `None` if the process is gone or a zombie, or the system has no /proc.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let state = fields.first()?;
    if matches!(*state, "Z" | "X") {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{}@{}", fields.get(19)?, boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_started_at_another_time_is_gone() {
        let this = Process::this();
        assert!(!this.is_gone());
        assert!(Process { started: "1@other".to_owned(), ..this.clone() }.is_gone());
        assert!(!Process { host: "elsewhere".to_owned(), started: "1@other".to_owned(), ..this }.is_gone());
    }
}
