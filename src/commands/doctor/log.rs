//! The pipeline's log: whether a run can go on from it.

use lakeward_connect::lake::Lake;
use lakeward_connect::log_store::LogStore;
use lakeward_core::log::{Fold, Lease, expired_input};
use lakeward_core::pipeline::Pipeline;

use super::Finding;
use crate::admission::{Judgement, judge};
use crate::config::Config;

/// Looks at it.
pub async fn look(config: &Config, pipeline: &Pipeline, lake: &Lake) -> Vec<Finding> {
    const DAMAGED: &str = "run `lakeward verify`; what a newer version wrote needs that version";
    let log = match LogStore::open_existing(lake, &pipeline.name).await {
        Ok(Some(log)) => log,
        Ok(None) => return vec![Finding::ok("log", "the pipeline has never run here")],
        Err(error) => return vec![Finding::bad("log", error.to_string(), DAMAGED)],
    };
    let fold = match log.load().await {
        Ok(Some(fold)) => fold,
        Ok(None) => return vec![Finding::ok("log", "the pipeline has never run here")],
        Err(error) => return vec![Finding::bad("log", error.to_string(), DAMAGED)],
    };
    let mut findings = vec![Finding::ok("log", format!("its newest entry is {}", fold.version))];
    if fold.ended.is_some() {
        findings.push(Finding::bad("log", "a reset or rebuild was cut off", "run the same command again"));
    }
    findings.extend(changes(pipeline, lake, &fold).await);
    if let Some(percent) = pipeline.max_refused.filter(|percent| fold.recent.exceeds(*percent)) {
        let found = format!("more than {percent} % of the newest records were refused (TOO_MANY_REFUSED)");
        let refuses = !config.kafka.accept_refused;
        let remedy = "`lakeward quarantine list` shows why; then go on with kafka.accept_refused";
        findings.push(if refuses {
            Finding::bad("quarantine", found, remedy)
        } else {
            Finding::note("quarantine", found, remedy)
        });
    }
    findings.push(owner(lake, &log, &fold).await);
    findings
}

async fn changes(pipeline: &Pipeline, lake: &Lake, fold: &Fold) -> Option<Finding> {
    match judge(lake, pipeline, Some(fold)).await {
        Judgement::First | Judgement::Unchanged => None,
        Judgement::TakenUp { changes, .. } => {
            Some(Finding::ok("definition", format!("the next run takes up: {}", changes.join(", "))))
        }
        Judgement::Refused { changes } => {
            let remedy = match expired_input(fold, pipeline).next() {
                None => "put it back, or `lakeward rebuild --from bronze`, or `lakeward reset`",
                Some(_) => "put it back, or `lakeward reset`; retention took records that a rebuild would need",
            };
            let found = format!("it decides otherwise than the log (DEFINITION_CHANGED): {}", changes.join(", "));
            Some(Finding::bad("definition", found, remedy))
        }
    }
}

/// Who owns the pipeline, as its lease says. A lease is a hint.
async fn owner(lake: &Lake, log: &LogStore, fold: &Fold) -> Finding {
    let bytes = lake.read(&log.paths().lease()).await.ok().flatten();
    let lease = bytes.and_then(|bytes| serde_json::from_slice::<Lease>(&bytes).ok());
    match lease.filter(|lease| lease.claim == fold.claim) {
        Some(lease) if lease.given_up => Finding::ok("owner", "nobody runs the pipeline; the last run ended cleanly"),
        Some(lease) => Finding::ok("owner", format!("process {} on {} held the lease last", lease.pid, lease.host)),
        None => Finding::ok("owner", "nobody has a lease"),
    }
}
