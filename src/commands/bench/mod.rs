//! `lakeward bench`: how fast this machine takes a feed in. The records lie in memory; everything behind Kafka's client
//! is what `lakeward run` runs, wired the same, with a lake in a folder and every fsync. Nothing is measured before the
//! first batch is handed over, and the clock stops when the last file is in sight.
//!
//! Questions about the topic go to librdkafka's mock, which holds no records. Deliberately not here: Kafka's own cost, marts.

mod report;
mod stock;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lakeward_connect::kafka::MockKafka;
use lakeward_core::log::Fold;
use lakeward_core::pipeline::Pipeline;
use tokio::sync::watch;

use self::report::{Report, Watch};
use self::stock::Plan;
use super::generate::rules;
use super::run::prepare;
use crate::builtin;
use crate::cli::{BenchArgs, RunArgs};
use crate::config::{Config, Environment};
use crate::exit::Exit;
use crate::observe;
use crate::run::Runner;

/// The mock holds nothing, so a partition would soon be judged idle.
const NEVER_IDLE: i64 = 86_400_000_000;

/// Pins the process where `--cores` says so.
///
/// # Errors
/// There are fewer cores.
pub fn keep_to_cores(args: &BenchArgs) -> Result<(), Exit> {
    let Some(cores) = args.cores else { return Ok(()) };
    lakeward_connect::host::keep_to_cores(cores).map_err(|e| Exit::usage(format!("--cores {cores}: {e}")))
}

/// Runs the feed through once and prints what it took.
pub async fn bench(args: BenchArgs) -> Result<(), Exit> {
    observe::start_logs("warn", false);
    let pipeline = builtin::load(&args.pipeline)?;
    let spec = rules(&args.pipeline)?.ok_or_else(|| {
        Exit::usage(format!("{}: there are no rules to make its records by; write a generator file", args.pipeline))
    })?;
    let partitions = args.partitions.unwrap_or(spec.partitions).max(1);
    let folder = Folder::new(args.dir.as_deref())?;
    let stock = stock::make(&spec, &Plan { partitions, events: args.events, span: args.span, seed: args.seed });
    let stock_bytes = stock.bytes;
    let count = i32::try_from(partitions).map_err(|_| Exit::usage("--partitions: too many".to_owned()))?;
    let kafka = MockKafka::start(&[(&pipeline.source.topic, count)]).map_err(|e| Exit::failed(e.to_string()))?;
    let mut runner = runner(&folder, &args, kafka.brokers(), pipeline.clone()).await?;
    runner.plan.until = Some(stock.ends);
    let stock = Arc::new(stock.stock);
    runner.plan.stock = Some(Arc::clone(&stock));

    let watch = Watch::start(&runner.plan);
    let (clock, lake_pipeline) = (runner.plan.clock.clone(), Arc::clone(&runner.plan.pipeline));
    // Nobody asks for a stop: a signal ends the process.
    let (_stop, stopping) = watch::channel(false);
    let ended = runner.run(stopping).await?;
    let spent = watch.stop(&clock, stock.opened()).await;
    let fold = ended.fold.ok_or_else(|| Exit::failed("the pipeline did not come to its end".to_owned()))?;
    check(&fold, args.events)?;
    let report = Report::new(&lake_pipeline, &fold, partitions, stock_bytes, &spent);
    crate::text::say!("{}", if args.json { report.json() } else { report.to_string() });
    Ok(())
}

/// Every record has been counted once, and the balance closes.
fn check(fold: &Fold, events: u64) -> Result<(), Exit> {
    let mut total = lakeward_core::ledger::Counters::default();
    fold.partitions.values().for_each(|partition| total.add(&partition.total));
    let fates = total.kept + total.filtered + total.duplicate + total.quarantined + total.tombstones;
    if total.records != events || fates != events {
        return Err(Exit::failed(format!(
            "{events} records were made, {} were read, {fates} have a fate",
            total.records
        )));
    }
    Ok(())
}

async fn runner(folder: &Folder, args: &BenchArgs, brokers: &str, mut pipeline: Pipeline) -> Result<Runner, Exit> {
    let text = folder.config(brokers, &args.epoch_age);
    let file = folder.path.join("lakeward.toml");
    std::fs::write(&file, &text).map_err(|e| Exit::usage(format!("{}: {e}", file.display())))?;
    // Variables of the environment don't count: they are for real servers.
    let config = Config::parse(&text, &file.display().to_string(), &Environment::default())
        .map_err(|e| Exit::usage(e.to_string()))?;
    pipeline.time.idle_after = NEVER_IDLE;
    let run = RunArgs { once: true, take_over: true, ..RunArgs::default() };
    let mut runner =
        prepare(&config, &run, vec![pipeline]).await?.pop().ok_or_else(|| Exit::bug("no runner".to_owned()))?;
    runner.patience = Duration::from_secs(10);
    // The mock tells no id of its topic.
    runner.topic_id = Some("bench".to_owned());
    Ok(runner)
}

/// Where the lake is; removed at the end unless it was asked for.
struct Folder {
    path: PathBuf,
    goes: bool,
}

impl Folder {
    fn new(wanted: Option<&Path>) -> Result<Self, Exit> {
        let unique = || std::env::temp_dir().join(format!("lakeward-bench-{:016x}", rand::random::<u64>()));
        let path = wanted.map_or_else(unique, Path::to_path_buf);
        let made = std::fs::create_dir(&path).and_then(|()| path.canonicalize());
        let path = made.map_err(|e| Exit::usage(format!("{}: cannot make it: {e}", path.display())))?;
        Ok(Self { path, goes: wanted.is_none() })
    }

    fn config(&self, brokers: &str, epoch_age: &str) -> String {
        let quoted = |text: String| toml::Value::String(text).to_string();
        format!(
            "# Written by `lakeward bench`.\n[kafka]\nbrokers = {}\n\n[lake]\nurl = {}\n\n[mart]\nurl = \"none\"\n\n\
             [epoch]\nage = {}\n\n[owner]\nmin_tenure = \"0s\"\n",
            quoted(brokers.to_owned()),
            quoted(format!("file://{}/lake", self.path.display())),
            quoted(epoch_age.to_owned()),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.goes {
            // Whatever stays is in the system's temporary folder.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
