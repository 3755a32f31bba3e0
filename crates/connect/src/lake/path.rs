//! Paths below a lake's root: `/` between components, no leading `/`, and the names of temporary files.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::{TryRngCore, rngs::OsRng};

use super::LakeError;

/// Refuses what could leave the root or be read differently by another store.
pub(super) fn check(store: &str, path: &str) -> Result<(), LakeError> {
    let bad = path.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if bad || path.contains('\0') {
        return Err(LakeError::other(store, path, "not a path below the root (empty, `.` or `..` component, or NUL)"));
    }
    Ok(())
}

/// The folder of `path`, empty for the root.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The last component of `path`.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// `folder/name`, or `name` in the root.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A new name beside `path` that no other try has or will have (L1: a temporary file is never rewritten).
pub(super) fn temporary(path: &str) -> String {
    join(parent(path), &format!(".{}.tmp", unique()))
}

/// 128 random bits as 32 hex digits. Should the system have no randomness to give, process and count stand in: files
/// are only ever made where there is none, so a collision is an error, not a mix-up.
pub(super) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let high = OsRng.try_next_u64().unwrap_or_else(|_| u64::from(std::process::id()));
    let low = OsRng.try_next_u64().unwrap_or_else(|_| COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{high:016x}{low:016x}")
}

/// Whether `name` (a last component) is one of [`temporary`]'s.
pub(super) fn is_temporary(name: &str) -> bool {
    name.strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".tmp"))
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_leave_the_root_is_refused() {
        for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\0b"] {
            assert!(check("s", bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b", "a/..b", "a/col=x%2Fy/f", "ü/🦀"] {
            assert!(check("s", good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_temporary_name_lies_beside_its_file_and_is_recognised() {
        for path in ["a", "x/y/a"] {
            let t = temporary(path);
            assert_eq!(parent(&t), parent(path));
            assert!(is_temporary(file_name(&t)));
        }
        assert!(!is_temporary("silver-0.parquet.tmp"));
    }
}
