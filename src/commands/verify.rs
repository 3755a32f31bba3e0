//! `lakeward verify`: reads what the lake, the mart and Kafka hold, works everything out anew by a separate, plain way
//! and says of each invariant whether it holds, what breaks it, or why it can't be told here. Of all that it reads it
//! changes nothing; what it found is kept beside the log, for the dashboard.

use std::fmt::Write;
use std::time::Duration;

use lakeward_actors::kit::Clock;
use lakeward_connect::kafka::{Admin, KafkaError};
use lakeward_connect::lake::Lake;
use lakeward_connect::log_store::LogStore;
use lakeward_core::pipeline::Pipeline;
use lakeward_verify::{Committed, Invariant, Report, Subject, Verdict, Verified, VerifyError, verify as verify_all};

use super::run::{kafka_config, open_mart};
use crate::builtin;
use crate::config::Config;
use crate::exit::Exit;
use crate::last_verify::LastVerify;
use crate::run::patiently;

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(5);

/// Lines of evidence printed per invariant; JSON has more of them.
const SHOWN: usize = 5;

/// Verifies a pipeline; exit code 1 if anything is broken.
pub async fn verify(config: &Config, name_or_file: &str, deep: bool, as_json: bool) -> Result<(), Exit> {
    let pipeline = builtin::load(name_or_file)?;
    let log = open_log(config, &pipeline).await?;
    let committed = committed_offsets(config, &pipeline).await;
    let mart = match open_mart(config) {
        Some(open) => Some(open()().await),
        None => None,
    };
    let subject = Subject { pipeline: &pipeline, log: &log, mart, committed, deep };
    let verified = verify_all(subject).await.map_err(exit_of)?;
    let result = LastVerify::new(&pipeline.name, deep, Clock::system().wall_micros(), &verified);
    if let Err(error) = result.keep(&log).await {
        tracing::warn!(%error, "the result is not kept for the dashboard");
    }
    if as_json {
        let text = serde_json::to_string(&result).map_err(|e| Exit::bug(e.to_string()))?;
        crate::text::say!("{text}");
    } else {
        crate::text::say_as_is(&to_text(&pipeline, &verified));
    }
    let broken: Vec<String> = verified.report.all_broken().map(|invariant| invariant.to_string()).collect();
    if broken.is_empty() { Ok(()) } else { Err(Exit::failed(format!("broken: {}", broken.join(", ")))) }
}

/// The log, though it may be damaged: what is wrong with it is for the report.
async fn open_log(config: &Config, pipeline: &Pipeline) -> Result<LogStore, Exit> {
    let url = config.lake_url().map_err(|e| Exit::usage(e.to_string()))?.clone();
    let open = || Lake::open(url.expose(), config.lake.hadoop_conf.as_deref());
    let lake = patiently(config.start.patience, open, "the lake").await?;
    let log = LogStore::open_existing(&lake, &pipeline.name).await.map_err(|e| Exit::failed(e.to_string()))?;
    log.ok_or_else(|| {
        Exit::failed(format!(
            "pipeline {} has never run in {}; start it with `lakeward run`",
            pipeline.name,
            lake.store()
        ))
    })
}

/// Where the pipeline's group stands in Kafka, or why nobody says it.
async fn committed_offsets(config: &Config, pipeline: &Pipeline) -> Result<Committed, String> {
    let kafka = kafka_config(config, pipeline).map_err(|exit| exit.message)?;
    let group = kafka.group();
    let topic = config.kafka.topic.clone().unwrap_or_else(|| pipeline.source.topic.clone());
    let ask = move || {
        let admin = Admin::new(&kafka, ASK)?;
        let offsets = admin.committed_offsets(&group, &topic)?;
        Ok(Committed { topic_id: admin.topic(&topic)?.id, offsets })
    };
    let asked: Result<Result<_, KafkaError>, _> = tokio::task::spawn_blocking(ask).await;
    asked.map_err(|e| e.to_string())?.map_err(|e| format!("Kafka does not say it: {e}"))
}

fn exit_of(error: VerifyError) -> Exit {
    match error {
        VerifyError::OtherDefinition => Exit::usage(error.to_string()),
        VerifyError::Chain(_) => Exit::refused("LOG", error.to_string()),
        VerifyError::Lake(_) | VerifyError::Mart(_) => Exit::unreachable(error.to_string()),
        VerifyError::Empty => Exit::failed(error.to_string()),
    }
}

fn to_text(pipeline: &Pipeline, verified: &Verified) -> String {
    let report = &verified.report;
    let mut out = format!("{:<4} {:<45} {:<14} compared, or why not\n", "", "invariant", "verdict");
    for invariant in Invariant::ALL {
        let (verdict, told) = match report.verdict(invariant) {
            Verdict::Holds => ("holds".to_owned(), report.compared(invariant)),
            Verdict::Broken(count) => (format!("BROKEN {count}"), report.compared(invariant)),
            Verdict::NotCheckable(why) => ("not checkable".to_owned(), why),
        };
        let name = invariant.to_string();
        let _ = writeln!(out, "{name:<4} {:<45} {verdict:<14} {told}", invariant.title());
    }
    report.all_broken().for_each(|invariant| evidence(&mut out, report, invariant));
    let state = if verified.quiet { "quiet" } else { "at work, or not cleanly ended" };
    let broken = report.all_broken().count();
    let told = if broken == 0 { "nothing is broken".to_owned() } else { format!("{broken} invariants are BROKEN") };
    let _ = writeln!(out, "\n{} at version {}, {state}: {told}", pipeline.name, verified.head);
    out
}

fn evidence(out: &mut String, report: &Report, invariant: Invariant) {
    let _ = writeln!(out, "\n{invariant} {}", invariant.title());
    let found = report.evidence(invariant);
    for line in found.iter().take(SHOWN) {
        let _ = writeln!(out, "  {line}");
    }
    if let Verdict::Broken(count) = report.verdict(invariant)
        && let Some(rest) = count.checked_sub(SHOWN as u64).filter(|rest| *rest > 0)
    {
        let _ = writeln!(out, "  … and {rest} more");
    }
}
