//! `lakeward run`: reaches what the configuration names and runs pipelines until a signal.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use lakeward_actors::cutting::Cutting;
use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_actors::mart_link::OpenMart;
use lakeward_actors::owner::OwnerTimes;
use lakeward_connect::host::Process;
use lakeward_connect::kafka::{Admin, KafkaConfig};
use lakeward_connect::lake::Lake;
use lakeward_connect::mart::{Mart, MartOptions};
use lakeward_core::log::{Accept, Member};
use lakeward_core::pipeline::Pipeline;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::builtin;
use crate::cli::RunArgs;
use crate::config::{Config, MartUrl, RowsMode, Secret};
use crate::exit::Exit;
use crate::flow::Flow;
use crate::http::{BoardSource, Shown, ShownConfig, ShownPipeline, serve};
use crate::observe;
use crate::run::{Runner, Summary, micros, patiently};
use crate::topology::Plan;

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(10);

/// Runs the pipelines until a stop signal, or until one of them ends the process.
pub async fn run(config: Config, args: RunArgs) -> Result<(), Exit> {
    let pipelines = args.pipelines.iter().map(|p| builtin::load(p)).collect::<Result<Vec<_>, _>>()?;
    refuse_twice(&pipelines)?;
    let metrics = observe::start_metrics().map_err(|e| Exit::bug(e.to_string()))?;
    let stop = crate::signal::stop_signals("the last epoch is being committed");
    let runners = prepare(&config, &args, pipelines).await?;
    let (listen, handle) = serve_runners(&config, config.http.listen, &runners, metrics)
        .map_err(|e| Exit::usage(format!("http.listen {}: {e}; choose another port", config.http.listen)))?;
    say_where(listen, config.http.token.as_ref());
    let result = run_all(runners, &stop, args.once).await;
    handle.stop(false).await;
    result
}

/// Serves pages, API and metrics of these pipelines.
pub fn serve_runners(
    config: &Config,
    listen: SocketAddr,
    runners: &[Runner],
    metrics: PrometheusHandle,
) -> std::io::Result<(SocketAddr, ServerHandle)> {
    let clock = Clock::system();
    let shown = Shown {
        metrics,
        pipelines: runners.iter().map(|runner| shown_pipeline(runner, mart_url(config))).collect(),
        clock: clock.clone(),
        token: config.http.token.as_ref().map(|token| token.expose().to_owned()),
        allowed_hosts: config.http.allowed_hosts.clone(),
        config: Arc::new(ShownConfig::from(config)),
    };
    let (listen, server) = serve(listen, shown)?;
    let handle = server.handle();
    actix::spawn(server);
    for runner in runners {
        let (plan, clock) = (&runner.plan, clock.clone());
        actix::spawn(observe::publish(Arc::clone(&plan.pipeline), plan.board.clone(), plan.gauges.clone(), clock));
    }
    actix::spawn(observe::publish_process(runners.first().map(|runner| runner.lake.clone())));
    Ok((listen, handle))
}

fn shown_pipeline(runner: &Runner, mart: Option<String>) -> ShownPipeline {
    let flow = Flow::new(&runner.plan, runner.lake.clone());
    actix::spawn(flow.clone().watch());
    ShownPipeline::new(flow, mart.map(|url| BoardSource::new(&url)))
}

/// Where the dashboard is. The link holds the token only on a terminal: a log is kept, and read by others.
fn say_where(listen: SocketAddr, token: Option<&Secret>) {
    let link = |token: &str| format!("http://{listen}/{token}");
    match token {
        None => tracing::info!(dashboard = link(""), "metrics, health and the dashboard are served"),
        Some(_) => {
            let dashboard = link("?token=<http.token>");
            tracing::info!(dashboard, "metrics, health and the dashboard are served");
        }
    }
    if let Some(token) = token.filter(|_| std::io::stderr().is_terminal()) {
        eprintln!("dashboard: {}", link(&format!("?token={}", token.expose())));
    }
}

/// Runs all; the first that ends with an error ends the others cleanly.
async fn run_all(runners: Vec<Runner>, stop: &watch::Sender<bool>, once: bool) -> Result<(), Exit> {
    let running = runners.into_iter().map(|runner| {
        let (heard, stop) = (stop.subscribe(), stop.clone());
        let pipeline = Arc::clone(&runner.plan.pipeline);
        async move {
            let result = runner.run(heard).await;
            if result.is_err() {
                stop.send_replace(true);
            }
            result.map(|summary| {
                if once {
                    print_summary(&pipeline, &summary);
                }
            })
        }
    });
    futures::future::join_all(running).await.into_iter().collect()
}

/// Of two pipelines of one name the second would stand by for the first for ever.
fn refuse_twice(pipelines: &[Pipeline]) -> Result<(), Exit> {
    let mut seen = BTreeSet::new();
    match pipelines.iter().find(|pipeline| !seen.insert(pipeline.name.as_str())) {
        Some(twice) => Err(Exit::usage(format!("pipeline {} is given twice; name each once", twice.name))),
        None => Ok(()),
    }
}

fn print_summary(pipeline: &Pipeline, summary: &Summary) {
    let Some(fold) = &summary.fold else { return };
    let mut total = lakeward_core::ledger::Counters::default();
    for partition in fold.partitions.values() {
        total.add(&partition.total);
    }
    crate::text::say!(
        "{}: head {}, {} records read{} = {} kept + {} filtered + {} duplicate + {} quarantined + {} tombstones",
        pipeline.name,
        fold.version,
        total.records,
        if total.replayed > 0 { format!(" + {} replayed", total.replayed) } else { String::new() },
        total.kept,
        total.filtered,
        total.duplicate,
        total.quarantined,
        total.tombstones
    );
    let slowest = fold.partitions.iter().min_by_key(|(_, p)| p.watermark);
    if let Some((partition, held)) = slowest
        && fold.g > lakeward_core::ids::EventTime::MIN
    {
        crate::text::say!(
            "{}: windows that end after {} stay open: that is the watermark of partition {partition}, the slowest; \
             later events close them",
            pipeline.name,
            crate::text::timestamp(held.watermark.0)
        );
    }
}

/// Tries the store's promises out. One that is away or full says nothing about them: it is tried again.
async fn check_store(lake: &Lake, patience: Duration) -> Result<(), Exit> {
    let verdict = || async {
        match lake.self_test().await {
            Err(error) if error.is_transient() => Err(error),
            verdict => Ok(verdict),
        }
    };
    patiently(patience, verdict, "the lake").await?.map_err(|e| Exit::refused("STORE", e.to_string()))
}

/// Reaches the lake, Kafka and the mart, with patience, and makes a runner for each pipeline.
pub async fn prepare(config: &Config, args: &RunArgs, pipelines: Vec<Pipeline>) -> Result<Vec<Runner>, Exit> {
    for warning in &config.warnings {
        tracing::warn!(warning, "configuration");
    }
    let patience = config.start.patience;
    let url = config.lake_url().map_err(|e| Exit::usage(e.to_string()))?.clone();
    let open = || Lake::open(url.expose(), config.lake.hadoop_conf.as_deref());
    let lake = patiently(patience, open, "the lake").await?;
    check_store(&lake, patience).await?;
    let mut runners = Vec::new();
    for pipeline in pipelines {
        runners.push(runner(config, args, pipeline, &lake).await?);
    }
    Ok(runners)
}

async fn runner(config: &Config, args: &RunArgs, pipeline: Pipeline, lake: &Lake) -> Result<Runner, Exit> {
    let patience = config.start.patience;
    let kafka = kafka_config(config, &pipeline)?;
    let admin = Arc::new(Admin::new(&kafka, ASK).map_err(|e| Exit::usage(e.to_string()))?);
    let ping = || {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, anyhow::Error>(tokio::task::spawn_blocking(move || admin.ping(ASK.min(patience))).await??) }
    };
    patiently(patience, ping, "Kafka").await?;
    let mart = open_mart(config);
    if let Some(open) = &mart {
        // Trying again helps only while nobody answers.
        let reach = || async {
            match async { open()().await?.holding(&pipeline).await }.await {
                Err(error) if error.is_retryable() => Err(error),
                answered => Ok(answered),
            }
        };
        let answered = patiently(patience, reach, "the mart").await?;
        // What is wrong with a table is said better by its preparation, before the claim.
        if let Some(error) = answered.err().filter(|error| error.code() != "MART_SCHEMA") {
            return Err(Exit::refused(error.code(), error.to_string()));
        }
    }
    let process = Process::this();
    let member = Member {
        id: format!("{:016x}", rand::random::<u64>()),
        host: process.host,
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let plan = Plan {
        definition: pipeline.definition_hash(),
        topic: topic_of(config, &pipeline),
        pipeline: Arc::new(pipeline),
        member,
        kafka,
        stock: None,
        admin,
        mart,
        previews: config.mart.rows == RowsMode::Preview,
        accept_incomplete: config.mart.accept_incomplete,
        cutting: Cutting { age: config.epoch.age, rows: config.epoch.rows, bytes: config.epoch.bronze_bytes },
        live_tick: config.live.tick,
        kpi_max: usize::try_from(config.actors.kpi_max).unwrap_or(usize::MAX),
        state_cap: config.memory.state_cap,
        keep_entries: config.lake.keep_entries,
        until: None,
        board: Board::default(),
        gauges: Gauges::default(),
        clock: Clock::system(),
    };
    Ok(Runner {
        plan,
        lake: lake.clone(),
        times: owner_times(config),
        once: args.once,
        close_all: args.close_all,
        take_over: args.take_over,
        accept: accepted(config),
        topic_id: None,
        stop_bound: config.stop.bound,
        patience,
    })
}

/// The topic that is read: the configuration's overrides the file's.
pub fn topic_of(config: &Config, pipeline: &Pipeline) -> String {
    config.kafka.topic.clone().unwrap_or_else(|| pipeline.source.topic.clone())
}

/// What of the topic is accepted that is refused otherwise.
pub fn accepted(config: &Config) -> Accept {
    Accept {
        new_topic: config.kafka.accept_new_topic_id,
        lost_records: config.kafka.accept_lost_records,
        refused: config.kafka.accept_refused,
    }
}

/// Spans of ownership, as configured.
pub fn owner_times(config: &Config) -> OwnerTimes {
    OwnerTimes {
        renew: micros(config.owner.lease_renew),
        expiry: micros(config.owner.lease_expiry),
        min_tenure: micros(config.owner.min_tenure),
    }
}

/// Kafka's options: the configured ones, with the brokers.
pub fn kafka_config(config: &Config, pipeline: &Pipeline) -> Result<KafkaConfig, Exit> {
    Ok(kafka_options(config, &pipeline.name)?.with_fetch_memory(config.memory.fetched()))
}

/// The same for a client of another `name` than a pipeline's.
pub fn kafka_options(config: &Config, name: &str) -> Result<KafkaConfig, Exit> {
    let mut options: BTreeMap<String, String> =
        config.kafka.options.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect();
    options.insert("bootstrap.servers".to_owned(), config.kafka.brokers.clone());
    KafkaConfig::new(name, options).map_err(|e| Exit::usage(e.to_string()))
}

/// The mart's URL, with its secret.
fn mart_url(config: &Config) -> Option<String> {
    match &config.mart.url {
        MartUrl::None => None,
        MartUrl::Postgres(url) => Some(url.expose().to_owned()),
        MartUrl::Sqlite(path) => Some(format!("sqlite://{}", path.display())),
    }
}

/// How the mart is opened; `None` if there is none.
pub fn open_mart(config: &Config) -> Option<Arc<dyn Fn() -> OpenMart + Send + Sync>> {
    let url = mart_url(config)?;
    Some(Arc::new(move || {
        let url = url.clone();
        Box::new(move || {
            let url = url.clone();
            Box::pin(async move { Mart::open(&url, MartOptions::default()).await })
        })
    }))
}
