//! Points at which a test makes a whole process die: before and after every call to the lake or the mart.
//!
//! `LAKEWARD_TEST_CRASH_AT="before CALL"` or `"after CALL"` aborts the process at the first such call, and
//! `LAKEWARD_TEST_CRASH_CALLS=FILE` adds the name of every call to a file when it is first made. Debug builds only: in a
//! release build nothing of it is left. Deliberately no list of calls: what a run makes is what there is.

use crate::lake::Operation;
use crate::mart::MartCall;

/// A call from its beginning to its end.
#[must_use]
pub struct Around {
    #[cfg(debug_assertions)]
    call: Option<String>,
}

#[cfg(debug_assertions)]
impl Around {
    /// A call to the lake.
    pub fn lake(operation: Operation, path: &str) -> Self {
        Self::of(|| format!("{operation:?} {}", kind_of(path)))
    }

    /// A call that changes the mart.
    pub fn mart(call: MartCall) -> Self {
        Self::of(|| format!("mart {call:?}"))
    }

    fn of(name: impl FnOnce() -> String) -> Self {
        let Some(asked) = asked::asked() else { return Self { call: None } };
        let call = name();
        asked.meet(&call);
        asked.die_at("before", &call);
        Self { call: Some(call) }
    }
}

#[cfg(debug_assertions)]
impl Drop for Around {
    fn drop(&mut self) {
        if let (Some(call), Some(asked)) = (&self.call, asked::asked()) {
            asked.die_at("after", call);
        }
    }
}

#[cfg(not(debug_assertions))]
impl Around {
    /// A call to the lake.
    pub const fn lake(_: Operation, _: &str) -> Self {
        Self {}
    }

    /// A call that changes the mart.
    pub const fn mart(_: MartCall) -> Self {
        Self {}
    }
}

/// What a path of the lake is for, without ids and numbers.
#[must_use]
pub fn kind_of(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["_lakeward", _, "logs", ..] => "log id".to_owned(),
        ["_lakeward", _, "definitions", ..] => "definition".to_owned(),
        ["_lakeward", _, _, "lease"] => "lease".to_owned(),
        ["_lakeward", _, _, "verified.json"] => "result of a verification".to_owned(),
        ["_lakeward", _, _, "cleared"] => "mark of a cleared log".to_owned(),
        ["_lakeward", _, _, "log", _, _] => "entry".to_owned(),
        ["_lakeward", _, _, "log", ..] => "folder of entries".to_owned(),
        ["_lakeward", _, _, "checkpoint", _] => "checkpoint".to_owned(),
        ["_lakeward", _, _, "checkpoint"] => "folder of checkpoints".to_owned(),
        ["_lakeward", _, _, "staging"] => "folder of staging".to_owned(),
        ["_lakeward", _, _, "staging", _] => "staging of an attempt".to_owned(),
        ["_lakeward", _, _, "staging", _, file] => format!("staged {}", file.split('-').next().unwrap_or_default()),
        ["_lakeward", _, _, "state", _, file] => format!("state {file}"),
        ["_lakeward", _, _] => "folder of the log".to_owned(),
        ["_lakeward", ..] => "other".to_owned(),
        [layer] => format!("folder {layer}"),
        [layer, ..] => format!("file of {layer}"),
        [] => String::new(),
    }
}

#[cfg(debug_assertions)]
mod asked {
    use std::collections::BTreeSet;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::sync::{Mutex, OnceLock, PoisonError};

    /// What the environment asks for.
    pub struct Asked {
        at: Option<String>,
        calls: Option<String>,
        met: Mutex<BTreeSet<String>>,
    }

    /// Nothing, for all but the tests' own processes.
    pub fn asked() -> Option<&'static Asked> {
        static ASKED: OnceLock<Option<Asked>> = OnceLock::new();
        let read = || {
            let at = std::env::var("LAKEWARD_TEST_CRASH_AT").ok();
            let calls = std::env::var("LAKEWARD_TEST_CRASH_CALLS").ok();
            (at.is_some() || calls.is_some()).then(|| Asked { at, calls, met: Mutex::default() })
        };
        ASKED.get_or_init(read).as_ref()
    }

    impl Asked {
        pub fn die_at(&self, side: &str, call: &str) {
            if self.at.as_deref().and_then(|at| at.strip_prefix(side)).map(str::trim_start) == Some(call) {
                std::process::abort();
            }
        }

        pub fn meet(&self, call: &str) {
            let Some(file) = &self.calls else { return };
            if !self.met.lock().unwrap_or_else(PoisonError::into_inner).insert(call.to_owned()) {
                return;
            }
            let written = OpenOptions::new().create(true).append(true).open(file);
            if let Err(error) = written.and_then(|mut file| writeln!(file, "{call}")) {
                tracing::warn!(%error, %file, "a call could not be noted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_says_what_a_path_is_for_and_nothing_of_ids_and_numbers() {
        for (path, kind) in [
            ("_lakeward/p/logs/000000.json", "log id"),
            ("_lakeward/p/1f/log/0/00000000000000000007.json", "entry"),
            ("_lakeward/p/1f/staging/3-ab/rows-0-1.tmp", "staged rows"),
            ("_lakeward/p/1f/state/3-ab/7.arrow", "state 7.arrow"),
            ("silver/x/year=2024/part-1.parquet", "file of silver"),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
    }
}
