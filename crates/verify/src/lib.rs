//! One checker for users and tests: what the followers hold against what they must hold, invariant by invariant.
//!
//! It shares nothing with the hot path but the pipeline's definition and the formats of log and files: a record is
//! decoded, checked, derived, deduplicated and put into windows anew, in plain code on one thread, in the order of the
//! log. The input is what Bronze and Quarantine hold, so Kafka's retention is no limit; that they hold what Kafka once
//! had is beyond it. It reads only: no claim, no lock, nothing repaired. A running pipeline is checked at the head that
//! was found first; what is ahead of it are previews.

mod calendar;
mod cell;
mod chain;
mod check;
mod counts;
mod definition;
mod eval;
mod field;
mod files;
mod gold;
mod history;
mod input;
mod invariant;
mod late;
mod late_rows;
mod line;
mod mart;
mod mart_kpi;
mod mart_rows;
mod number;
mod object;
mod replay;
mod replayed;
mod report;
mod rules;
mod silver;
mod table;
mod window;

use std::collections::BTreeMap;

use lakeward_connect::lake::LakeError;
use lakeward_connect::log_store::LogStore;
use lakeward_connect::mart::{Mart, MartError, MartSnapshot};
use lakeward_core::ids::Version;
use lakeward_core::pipeline::Pipeline;

pub use invariant::Invariant;
pub use report::{KEPT, Report, Verdict};

use chain::{Chain, ChainError};
use check::Walk;
use files::Shelf;
use history::History;
use invariant::Invariant::{I6, I7, I8, I11, I23};

/// What is to be verified.
pub struct Subject<'a> {
    /// The pipeline, as its file is now.
    pub pipeline: &'a Pipeline,
    /// The pipeline's log; its lake is where everything lies.
    pub log: &'a LogStore,
    /// The mart; `None` where none is configured. An error that opening it gave.
    pub mart: Option<Result<Mart, MartError>>,
    /// What the pipeline's group has committed, asked before; or why Kafka did not say.
    pub committed: Result<Committed, String>,
    /// Every value of the mart's rows, and the bytes of all state.
    pub deep: bool,
}

/// Where a group stands in Kafka.
pub struct Committed {
    /// The topic's id, where the brokers keep one.
    pub topic_id: Option<String>,
    /// The next offset by partition.
    pub offsets: BTreeMap<i32, i64>,
}

/// What came of a verification.
pub struct Verified {
    /// The findings.
    pub report: Report,
    /// The version up to which the log was read.
    pub head: Version,
    /// Whether nobody worked on the pipeline.
    pub quiet: bool,
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log can't be followed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The mart failed while it was read.
    #[error(transparent)]
    Mart(#[from] MartError),
    /// There is no entry.
    #[error("the log has no entry")]
    Empty,
    /// The file decides otherwise than the head.
    #[error("the pipeline file is not the one by which the newest entry was decided; verify with that one")]
    OtherDefinition,
}

/// Verifies a pipeline.
pub async fn verify(subject: Subject<'_>) -> Result<Verified, VerifyError> {
    let Subject { pipeline, log, mart, committed, deep } = subject;
    let (lake, paths) = (log.lake(), log.paths());
    let mut report = Report::default();
    let given_up = check::lease_given_up(lake, paths).await?;
    // The mart's moment comes before the head, so that its fences can't be beyond it.
    let snapshot = take_snapshot(pipeline, log, mart, &mut report).await;
    let chain = Chain::read(lake, paths, &mut report).await?;
    let head = chain.head.ok_or(VerifyError::Empty)?;
    let history = History::of(chain.base.as_deref(), &chain.entries, &mut report);
    let quiet = given_up == Some(history.claim);
    if !quiet {
        report.undecided(I8, "somebody works on the pipeline, or its owner did not end cleanly");
    }
    let known = definition::read(lake, &pipeline.name, &history.definitions, &mut report).await?;
    if chain.intact && history.definitions.last() != Some(&pipeline.definition_hash()) {
        return Err(VerifyError::OtherDefinition);
    }
    let shelf = Shelf::new(lake, &history, quiet, &chain);
    let mut walk = Walk::new(pipeline, shelf, &chain, &known, deep);
    walk.entries(&mut report).await?;
    walk.beside(deep, &mut report).await?;
    if let Some(snapshot) = &snapshot {
        walk.mart(snapshot, head, &mut report).await?;
    }
    kafka_offsets(&committed, &history, quiet, &mut report);
    Ok(Verified { report, head, quiet })
}

async fn take_snapshot(
    pipeline: &Pipeline,
    log: &LogStore,
    mart: Option<Result<Mart, MartError>>,
    report: &mut Report,
) -> Option<MartSnapshot> {
    let opened = mart?;
    let taken = match opened {
        Ok(mart) => mart.snapshot(pipeline, log.id()).await,
        Err(error) => Err(error),
    };
    match taken {
        Ok(snapshot) => {
            if let Some((log_id, claim)) = snapshot.fences().holder.as_ref().filter(|(id, _)| id != log.id()) {
                report.broken(I7, || format!("the mart follows another log, {log_id} (claim {claim})"));
            }
            Some(snapshot)
        }
        Err(error) => {
            for invariant in [I6, I7, I8, I11] {
                report.undecided(invariant, format!("the mart can't be read: {error}"));
            }
            None
        }
    }
}

/// The group's offsets are advice, but they never pass the head (I23); when quiet they are there (I8).
fn kafka_offsets(committed: &Result<Committed, String>, history: &History, quiet: bool, report: &mut Report) {
    let committed = match committed {
        Ok(committed) => committed,
        Err(why) => return report.undecided(I23, why.clone()),
    };
    for (&partition, &incarnation) in &history.incarnations {
        let reached = history.sources.get(&(incarnation, partition));
        let known = reached.and_then(|reached| reached.topic_id.as_ref());
        if known.zip(committed.topic_id.as_ref()).is_some_and(|(known, now)| known != now) {
            return report
                .undecided(I23, "the topic was made anew since, and the group's offsets went with the old one");
        }
        let to = reached.map_or(0, |reached| reached.to);
        let told = committed.offsets.get(&partition).copied();
        report.counted(I23, "offsets", 1);
        report.counted(I8, "offsets", 1);
        if told.is_some_and(|offset| offset > to) {
            report.broken(I23, || format!("partition {partition}: the group is at {told:?}, the head at {to}"));
        } else if quiet && told != Some(to) {
            report.broken(I8, || format!("partition {partition}: the group is at {told:?}, the head at {to}"));
        }
    }
}
