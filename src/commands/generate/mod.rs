//! `lakeward generate`: records for a feed, from its rules or a CSV file, to Kafka or standard output.

pub mod progress;

use std::sync::Arc;
use std::time::Duration;

use lakeward_actors::kit::Clock;
use lakeward_connect::kafka::{Admin, Created, KafkaError, Producer};
use lakeward_core::generate::{Generator, GeneratorSpec, Ratios};
use lakeward_core::pipeline::Pipeline;
use tokio::sync::watch;

use self::progress::{Shown, per_second};
use super::run::kafka_config;
use crate::builtin;
use crate::cli::{GenerateArgs, To};
use crate::config::Config;
use crate::exit::Exit;
use crate::feed::{Feed, Progress, Rate, Records, Sink, Stamps, Until};
use crate::run::patiently;

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(10);

/// Partitions of a topic for which no generator file says a number.
const PARTITIONS: u32 = 3;

/// The brokers' own default.
const REPLICATION: i32 = -1;

/// Sends records until the end that was asked for, or a stop signal.
pub async fn generate(config: &Config, args: GenerateArgs) -> Result<(), Exit> {
    let pipeline = builtin::load(&args.pipeline)?;
    let spec = rules(&args.pipeline)?;
    let clock = Clock::system();
    let (rate, until) = pace(&args, spec.as_ref())?;
    let stamps = stamps(&args, until, clock.wall_micros())?;
    let records = records(&args, &pipeline, spec.as_ref())?;
    let stop = crate::signal::stop_signals("records on their way are being delivered");
    let sink = match args.to {
        To::Stdout => Sink::stdout(),
        To::Kafka => kafka_sink(config, &pipeline, spec.as_ref()).await?,
    };
    let place = match &sink {
        Sink::Kafka { topic, .. } => format!("topic {topic} at {}", config.kafka.brokers),
        Sink::Stdout { .. } => "standard output".to_owned(),
    };
    let feed = Feed { records, sink, rate, stamps, until, clock };
    let done = run(feed, stop.subscribe()).await?;
    eprintln!(
        "{} records delivered to {place} in {:.1} s, {}/s",
        done.delivered,
        done.elapsed.as_secs_f64(),
        per_second(done.delivered, done.elapsed)
    );
    Ok(())
}

async fn run(feed: Feed, stop: watch::Receiver<bool>) -> Result<Progress, Exit> {
    let total = if let Until::Count(n) = feed.until { Some(n) } else { None };
    let blocking = move || {
        let mut shown = Shown::new(total);
        let done = feed.run(&stop, |now| shown.show(now));
        shown.done();
        done
    };
    tokio::task::spawn_blocking(blocking).await.map_err(|e| Exit::bug(e.to_string()))?
}

/// The generator file of a pipeline: the built-in one, or `x.generator.toml` beside `x.toml`.
pub fn rules(pipeline: &str) -> Result<Option<GeneratorSpec>, Exit> {
    let Some((text, file)) = builtin::generator(pipeline)? else { return Ok(None) };
    GeneratorSpec::parse(&text).map(Some).map_err(|e| Exit::usage(format!("{file}: {e}")))
}

fn pace(args: &GenerateArgs, spec: Option<&GeneratorSpec>) -> Result<(Rate, Until), Exit> {
    let usual = spec.and_then(|s| s.rate.try_into().ok()).map_or(Rate::Max, Rate::PerSecond);
    // What ends by itself need not be slow.
    let finite = args.events.is_some() || args.csv.is_some();
    let rate = args.rate.unwrap_or(if finite { Rate::Max } else { usual });
    let until = match (args.events, args.duration) {
        (Some(events), _) => Until::Count(events),
        (None, Some(duration)) => rate.within(duration).map_or(Until::Elapsed(duration), Until::Count),
        (None, None) => Until::Stopped,
    };
    if args.span.is_some() && !matches!(until, Until::Count(_)) {
        return Err(Exit::usage(
            "--span needs the number of records: give --events, or --duration with a --rate".into(),
        ));
    }
    Ok((rate, until))
}

fn stamps(args: &GenerateArgs, until: Until, now: i64) -> Result<Stamps, Exit> {
    let (Some(span), Until::Count(count)) = (args.span, until) else { return Ok(Stamps::Now) };
    let span = i64::try_from(span.as_micros()).map_err(|_| Exit::usage("--span is too long".into()))?;
    let start = args.start_time.unwrap_or(now.saturating_sub(span));
    Ok(Stamps::Spread { start, span, count })
}

fn records(args: &GenerateArgs, pipeline: &Pipeline, spec: Option<&GeneratorSpec>) -> Result<Records, Exit> {
    if let Some(path) = &args.csv {
        let keyed = spec.and_then(|s| s.members.get(s.key)).map(|m| m.name.as_str());
        let first = pipeline.fields.first().map(|f| f.name.as_str());
        return Records::csv(path, &pipeline.fields, keyed.or(first).unwrap_or_default());
    }
    let spec = spec.ok_or_else(|| {
        let near = args.pipeline.strip_suffix(".toml").unwrap_or(&args.pipeline);
        Exit::usage(format!("{}: no rules; write them into {near}.generator.toml, or give --csv FILE", args.pipeline))
    })?;
    let ratios = Ratios { late: args.late, duplicate: args.duplicates, bad: args.bad, key_skew: args.key_skew };
    Ok(Records::Rules(Box::new(Generator::new(spec, args.seed, ratios))))
}

/// A durable producer to the pipeline's topic, which is created if it is absent.
async fn kafka_sink(config: &Config, pipeline: &Pipeline, spec: Option<&GeneratorSpec>) -> Result<Sink, Exit> {
    let kafka = kafka_config(config, pipeline)?;
    let topic = config.kafka.topic.clone().unwrap_or_else(|| pipeline.source.topic.clone());
    let partitions = i32::try_from(spec.map_or(PARTITIONS, |s| s.partitions))
        .map_err(|_| Exit::usage("partitions: more than Kafka can have".into()))?;
    let admin = Arc::new(Admin::new(&kafka, ASK).map_err(|e| Exit::usage(e.to_string()))?);
    let ready = || {
        let (admin, topic) = (Arc::clone(&admin), topic.clone());
        async move {
            let ask = move || create_if_absent(&admin, &topic, partitions);
            Ok::<_, anyhow::Error>(tokio::task::spawn_blocking(ask).await??)
        }
    };
    patiently(config.start.patience, ready, "Kafka").await?;
    let producer = Producer::new(&kafka).map_err(|e| Exit::usage(e.to_string()))?;
    Ok(Sink::Kafka { producer, topic })
}

fn create_if_absent(admin: &Admin, topic: &str, partitions: i32) -> Result<(), KafkaError> {
    match admin.topic(topic) {
        Err(KafkaError::NoTopic { .. }) => {}
        found => return found.map(drop),
    }
    if admin.create_topic(topic, partitions, REPLICATION)? == Created::Created {
        tracing::info!(topic, partitions, "created the topic");
    }
    Ok(())
}
