//! `lakeward demo`: a feed, Kafka, the whole pipeline, lake and mart in one process and one folder, with a live view.
//!
//! It runs what `lakeward run` runs, wired the same; only Kafka is librdkafka's mock, and times are short so that
//! windows close while somebody looks.

mod fit;
mod folder;
mod gather;
mod setting;
mod view;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use lakeward_actors::kit::Board;
use lakeward_connect::kafka::{MockKafka, Producer};
use lakeward_connect::log_store::LogStore;
use lakeward_core::generate::{Generator, GeneratorSpec, Ratios};
use lakeward_core::log::Fold;
use lakeward_core::pipeline::{Holds, Pipeline};
use tokio::sync::watch;

use self::folder::Folder;
use self::gather::Gather;
use super::generate::rules;
use super::ledger::ledger;
use super::run::{kafka_config, prepare, serve_runners};
use crate::builtin;
use crate::cli::{DemoArgs, RunArgs};
use crate::config::{Config, Environment};
use crate::exit::Exit;
use crate::feed::{Feed, Progress, Rate, Records, Sink, Stamps, Until};
use crate::observe;
use crate::run::Runner;

/// Some records are not as they should be, so that quarantine and late rows have something to show.
const RATIOS: Ratios = Ratios { late: 0.005, duplicate: 0.01, bad: 0.01, key_skew: 0.0 };

/// How long reading the last records may take after the feed's end.
const DRAIN: Duration = Duration::from_secs(3);

/// Runs the demo until a signal, or for the given seconds.
pub async fn demo(args: DemoArgs) -> Result<(), Exit> {
    let folder = Folder::open(&args.dir, args.fresh)?;
    observe::start_logs_in(&folder.log()).map_err(|e| Exit::usage(format!("{}: {e}", folder.log().display())))?;
    let (name, spec) = first_with_rules()?;
    let (text, changes) = setting::demo_pipeline(builtin::text(name).unwrap_or_default());
    Folder::write(&folder.pipeline(), &text)?;
    let file = folder.pipeline().display().to_string();
    let pipeline = builtin::load(&file)?;
    let partitions = i32::try_from(spec.partitions).unwrap_or(1);
    let kafka = MockKafka::start(&[(&pipeline.source.topic, partitions)]).map_err(|e| Exit::failed(e.to_string()))?;
    let config = configure(&folder, kafka.brokers())?;
    let run = RunArgs { take_over: true, ..RunArgs::default() };
    let runner = prepare(&config, &run, vec![pipeline.clone()]).await?.pop();
    let mut runner = runner.ok_or_else(|| Exit::bug("no runner".to_owned()))?;
    // The mock tells no id of its topic, and its topic is a new one each time.
    runner.topic_id = Some(format!("demo-{:016x}", rand::random::<u64>()));
    let earlier = newest(&runner, &pipeline).await?;
    let (listen, served) = serve(&config, &runner)?;
    print!("{}", view::introduction(&pipeline, &args.dir, &changes, args.events_per_second, earlier.as_ref()));
    println!("Dashboard: http://{listen}/\n");

    let feed = feed(&config, &runner, &spec, args.events_per_second)?;
    let log = runner.lake.clone();
    let played = play(runner, feed, &config, &args).await;
    served.stop(false).await;
    played.map_err(|e| with_hint(e, &args.dir))?;
    let ended = LogStore::open_existing(&log, &pipeline.name).await;
    if let Some(log) = ended.map_err(|e| Exit::failed(e.to_string()))?
        && let Some(fold) = log.load().await.map_err(|e| Exit::failed(e.to_string()))?
    {
        println!("\nrows of closed windows: {}", closed_rows(&pipeline, &fold));
    }
    let closed = ledger(&config, &file, false, false).await;
    print!("{}", view::farewell(&pipeline, &args.dir));
    drop(kafka);
    closed
}

/// The dashboard on the usual port, or on a free one where that is taken.
fn serve(config: &Config, runner: &Runner) -> Result<(SocketAddr, ServerHandle), Exit> {
    let metrics = observe::start_metrics().map_err(|e| Exit::bug(e.to_string()))?;
    let runners = std::slice::from_ref(runner);
    let usual = config.http.listen;
    let on = |listen| serve_runners(config, listen, runners, metrics.clone());
    on(usual).or_else(|_| on(SocketAddr::new(usual.ip(), 0))).map_err(|e| Exit::failed(format!("the dashboard: {e}")))
}

/// The first built-in pipeline that has rules to generate its records.
fn first_with_rules() -> Result<(&'static str, GeneratorSpec), Exit> {
    for name in builtin::names() {
        if let Some(spec) = rules(name)? {
            return Ok((name, spec));
        }
    }
    Err(Exit::bug("no built-in pipeline has a generator file".to_owned()))
}

/// Writes the folder's configuration and reads it. Variables of the environment don't count: they are for real servers.
fn configure(folder: &Folder, brokers: &str) -> Result<Config, Exit> {
    Folder::write(&folder.config(), &setting::demo_config(&folder.path.display().to_string(), brokers))?;
    Config::load(Some(&folder.config()), &Environment::default()).map_err(|e| Exit::usage(e.to_string()))
}

/// The head that an earlier demo left in the folder.
async fn newest(runner: &Runner, pipeline: &Pipeline) -> Result<Option<Fold>, Exit> {
    let failed = |e: lakeward_connect::log_store::LogError| Exit::failed(e.to_string());
    match LogStore::open_existing(&runner.lake, &pipeline.name).await.map_err(failed)? {
        Some(log) => log.load().await.map_err(failed),
        None => Ok(None),
    }
}

fn feed(config: &Config, runner: &Runner, spec: &GeneratorSpec, per_second: u32) -> Result<Feed, Exit> {
    let kafka = kafka_config(config, &runner.plan.pipeline)?;
    let producer = Producer::new(&kafka).map_err(|e| Exit::failed(e.to_string()))?;
    Ok(Feed {
        records: Records::Rules(Box::new(Generator::new(spec, rand::random(), RATIOS))),
        sink: Sink::Kafka { producer, topic: runner.plan.topic.clone() },
        rate: per_second.try_into().map_or(Rate::Max, Rate::PerSecond),
        stamps: Stamps::Now,
        until: Until::Stopped,
        clock: runner.plan.clock.clone(),
    })
}

/// Runs feed, pipeline and view together; all end when the pipeline does.
async fn play(runner: Runner, feed: Feed, config: &Config, args: &DemoArgs) -> Result<(), Exit> {
    let signals = crate::signal::stop_signals("the last epoch is being committed").subscribe();
    let (stop, stopping) = watch::channel(false);
    let (over, is_over) = watch::channel(false);
    let sent = Arc::new(AtomicU64::new(0));
    let gather = Gather::new(&runner, config, Arc::clone(&sent)).await?;
    let viewing = view::show(gather, args.plain, is_over.clone());
    let board = runner.plan.board.clone();
    let running = async {
        let ended = runner.run(stopping).await;
        over.send_replace(true);
        ended
    };
    let feeding = feed_until(feed, sent, board, end_of(signals, is_over, args.seconds));
    let stopped = async {
        let fed = feeding.await;
        stop.send_replace(true);
        fed
    };
    let (ran, fed, ()) = tokio::join!(running, stopped, viewing);
    ran?;
    fed
}

/// A signal, the end of the time, or the end of the pipeline.
async fn end_of(mut signals: watch::Receiver<bool>, mut over: watch::Receiver<bool>, seconds: Option<u64>) {
    let time = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = signals.wait_for(|asked| *asked) => {}
        _ = over.wait_for(|over| *over) => {}
        () = time => {}
    }
}

/// Feeds until `end`, then waits until what was fed has been read.
async fn feed_until(feed: Feed, sent: Arc<AtomicU64>, board: Board, end: impl Future<Output = ()>) -> Result<(), Exit> {
    let (stop, stopping) = watch::channel(false);
    let tell = move |now: Progress| sent.store(now.delivered, Ordering::Relaxed);
    let mut feeding = tokio::task::spawn_blocking(move || feed.run(&stopping, tell));
    let fed = tokio::select! {
        fed = &mut feeding => fed,
        () = end => {
            stop.send_replace(true);
            feeding.await
        }
    };
    let fed = fed.map_err(|e| Exit::bug(e.to_string()))??;
    let read = async {
        while board.totals().records < fed.delivered {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What is not read in time is gone with the mock; the ledger counts what was read.
    let _ = tokio::time::timeout(DRAIN, read).await;
    Ok(())
}

fn closed_rows(pipeline: &Pipeline, fold: &Fold) -> u64 {
    let finals = pipeline.layers.iter().filter(|l| matches!(l.holds, Holds::FinalWindows { .. }));
    finals.flat_map(|l| fold.layer_files(&l.name)).map(|f| f.staged.rows).sum()
}

/// An earlier version's demo may have decided otherwise.
fn with_hint(mut exit: Exit, dir: &Path) -> Exit {
    if exit.code == 4 {
        exit.message.push_str(&format!("\nOr start anew: lakeward demo --fresh --dir {}", dir.display()));
    }
    exit
}
