//! What the last `lakeward verify` found, kept beside the log for whoever looks at the running service.
//!
//! A note for people: nothing is decided by it and nothing depends on its being there. It is written once a
//! verification is through, whole or not at all, and the next one takes its place; a reset removes it, and a log that
//! has just begun has none.

use bytes::Bytes;
use lakeward_connect::lake::Lake;
use lakeward_connect::log_store::LogStore;
use lakeward_core::log::PipelinePaths;
use lakeward_verify::Verified;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::text::timestamp;

/// Pieces of evidence told per invariant; the file has more of them.
const TOLD: usize = 5;

/// A verification, as `lakeward verify --json` prints it and the lake keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastVerify {
    pipeline: String,
    /// When it was through.
    at: String,
    /// The newest entry that was there when it began.
    version: u64,
    /// Whether nobody worked on the pipeline.
    quiet: bool,
    /// Whether every value was compared.
    deep: bool,
    /// Names of the broken invariants.
    broken: Vec<String>,
    invariants: Vec<Told>,
}

/// What was found about one invariant.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    verdict: String,
    evidence: Vec<String>,
    #[serde(flatten)]
    rest: Value,
}

impl LastVerify {
    /// What was found, at `now` in microseconds.
    #[must_use]
    pub fn new(pipeline: &str, deep: bool, now: i64, verified: &Verified) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            at: timestamp(now),
            version: verified.head.0,
            quiet: verified.quiet,
            deep,
            broken: verified.report.all_broken().map(|invariant| invariant.to_string()).collect(),
            invariants: serde_json::from_value(verified.report.to_json()).unwrap_or_default(),
        }
    }

    /// Takes the place of the one before.
    pub async fn keep(&self, log: &LogStore) -> Result<(), String> {
        let bytes = serde_json::to_vec(self).map_err(|e| e.to_string())?;
        log.lake().put(&log.paths().verified(), Bytes::from(bytes)).await.map_err(|e| e.to_string())
    }

    /// As the page Trust shows it.
    #[must_use]
    pub fn told(mut self) -> Value {
        let count = |verdict: &str| self.invariants.iter().filter(|told| told.verdict == verdict).count();
        let (holds, broken, undecided) = (count("holds"), count("broken"), count("not checkable"));
        self.invariants.iter_mut().for_each(|told| told.evidence.truncate(TOLD));
        json!({
            "at": self.at, "version": self.version, "quiet": self.quiet, "deep": self.deep,
            "holds": holds, "broken": broken, "not_checkable": undecided, "invariants": self.invariants,
        })
    }
}

/// The last one of that log; `None` if there was none, or why it can't be had.
pub async fn read(lake: &Lake, pipeline: &str, log_id: &str) -> Result<Option<LastVerify>, String> {
    let path = PipelinePaths::new(pipeline).log(log_id).verified();
    let bytes = lake.read(&path).await.map_err(|e| e.to_string())?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|e| format!("{path} can't be read: {e}"))).transpose()
}

#[cfg(test)]
mod tests {
    use lakeward_core::ids::Version;
    use lakeward_verify::{Invariant, Report};

    use super::*;
    use crate::http::openapi::{answer_of, differences};

    #[test]
    fn the_last_result_is_the_one_that_is_told_and_as_described() {
        actix::System::new().block_on(async {
            let (lake, _) = Lake::memory();
            let log = LogStore::open(&lake, "p", "l").await.unwrap();
            assert!(read(&lake, "p", "l").await.unwrap().is_none());
            let mut report = Report::default();
            for version in [4, 7] {
                report.counted(Invariant::I1, "entries", 8);
                (0..9).for_each(|n| report.broken(Invariant::I5, || format!("file {n} is gone, version {version}")));
                let verified = Verified { report: report.clone(), head: Version(version), quiet: true };
                LastVerify::new("p", true, 1_700_000_000_000_000, &verified).keep(&log).await.unwrap();
            }
            let told = read(&lake, "p", "l").await.unwrap().unwrap().told();
            let picture = json!({ "verify": told });
            assert_eq!(differences(&answer_of("/api/v1/trust")["properties"]["verify"], &told, ""), [""; 0]);
            let told = &picture["verify"];
            assert_eq!((&told["version"], &told["holds"], &told["broken"]), (&json!(7), &json!(1), &json!(1)));
            let gone = &told["invariants"][4];
            assert_eq!((&gone["broken"], gone["evidence"].as_array().unwrap().len()), (&json!(18), TOLD));
            assert!(read(&lake, "p", "another").await.unwrap().is_none(), "a new log begins without");
            lake.put(&log.paths().verified(), Bytes::from_static(b"{")).await.unwrap();
            assert!(read(&lake, "p", "l").await.unwrap_err().contains("can't be read"));
        });
    }
}
