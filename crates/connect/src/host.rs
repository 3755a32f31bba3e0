//! Which process this is, whether another one on the same host still lives (a hint for leases, O2), and which cores it
//! keeps to.

use std::{fs, io};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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

/// Keeps this thread, and those that it starts from now on, to the first `count` of the cores that it may use.
///
/// # Errors
/// There are fewer.
pub fn keep_to_cores(count: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut kept = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).take(count).for_each(|core| kept.set(core));
    if count == 0 || kept.count() as usize != count {
        let message = format!("this process may use {} cores, not {count}", allowed.count());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(sched_setaffinity(None, &kept)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_to_fewer_cores_and_never_to_more_than_there_are() {
        let cores = || std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let had = cores();
        assert!(keep_to_cores(had + 1).is_err() && keep_to_cores(0).is_err());
        assert_eq!(cores(), had, "refused is unchanged");
        // A thread of its own: the others of this process stay as they are.
        let kept = std::thread::spawn(move || keep_to_cores(1).map(|()| cores()));
        assert_eq!(kept.join().ok().and_then(Result::ok), Some(1));
    }

    #[test]
    fn this_process_lives_and_one_that_started_at_another_time_is_gone() {
        let this = Process::this();
        assert!(!this.is_gone());
        assert!(Process { started: "1@other".to_owned(), ..this.clone() }.is_gone());
        assert!(!Process { host: "elsewhere".to_owned(), started: "1@other".to_owned(), ..this }.is_gone());
    }
}
