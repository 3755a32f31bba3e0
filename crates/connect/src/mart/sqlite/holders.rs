//! Who holds an SQLite file's locks, as far as the system tells (F5): Linux lists them by inode.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The processes that hold write locks on the file, or words for "unknown".
pub(super) fn holders(path: &Path) -> String {
    let shared = PathBuf::from(format!("{}-shm", path.display()));
    let files = [path.to_path_buf(), shared];
    let inodes: Vec<u64> = files.iter().filter_map(|file| Some(std::fs::metadata(file).ok()?.ino())).collect();
    let pids = writers(&std::fs::read_to_string("/proc/locks").unwrap_or_default(), &inodes);
    if pids.is_empty() {
        return "another process".into();
    }
    let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
    format!("the process with pid {}", pids.join(", "))
}

/// The pids of write locks on the inodes, from lines such as `1: POSIX  ADVISORY  WRITE 4711 fe:00:1234 120 120`.
fn writers(locks: &str, inodes: &[u64]) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    for line in locks.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, "WRITE", pid, place, ..] = words.as_slice() else { continue };
        let inode = place.rsplit(':').next().and_then(|inode| inode.parse().ok());
        if inode.is_some_and(|inode| inodes.contains(&inode)) {
            pids.extend(pid.parse::<u32>().ok());
        }
    }
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writers_of_these_files_are_named() {
        let locks = "1: POSIX  ADVISORY  WRITE 4711 fe:00:12 120 120\n2: POSIX  ADVISORY  READ 4712 fe:00:12 0 0\n\
                     3: FLOCK  ADVISORY  WRITE 4713 fe:00:13 0 EOF\nnonsense\n";
        assert_eq!(writers(locks, &[12]), BTreeSet::from([4711]));
    }
}
