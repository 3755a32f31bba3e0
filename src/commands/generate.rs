//! `lakeward generate`: a feed's records, the same for the same seed, to Kafka or to standard output.

use std::io::Write;
use std::time::{Duration, Instant};

use lakeward_connect::kafka::{Admin, Created, Producer};
use lakeward_core::generate::{GeneratedRecord, Generator, GeneratorSpec, Ratios};

use super::run::kafka_config;
use crate::builtin;
use crate::cli::{GenerateArgs, Target};
use crate::config::Config;
use crate::exit::Exit;

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(10);

/// How long the last records may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(60);

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The longest pause of a paced run.
const NAP: Duration = Duration::from_millis(5);

/// Generates until the number, the duration, or a signal.
pub fn generate(config: &Config, args: &GenerateArgs) -> Result<(), Exit> {
    let pipeline = builtin::load(&args.pipeline)?;
    let rules = builtin::generator(&args.pipeline)
        .ok_or_else(|| Exit::usage(format!("{}: only built-in pipelines have a generator", args.pipeline)))?;
    let spec = GeneratorSpec::parse(rules).map_err(|e| Exit::bug(e.to_string()))?;
    let topic = config.kafka.topic.clone().unwrap_or_else(|| pipeline.source.topic.clone());
    let ratios = Ratios { late: args.late, duplicate: args.duplicates, bad: args.bad, key_skew: args.key_skew };
    let plan = Plan::new(args, f64::from(spec.rate))?;
    let mut records = Generator::new(&spec, args.seed, ratios);
    match args.to {
        Target::Stdout => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            let sent = plan.run(&mut records, |record| {
                let line = out.write_all(&record.payload).and_then(|()| out.write_all(b"\n"));
                line.map_err(|e| Exit::failed(format!("standard output: {e}")))
            })?;
            out.flush().map_err(|e| Exit::failed(format!("standard output: {e}")))?;
            eprintln!("{sent} records of {} written", pipeline.name);
        }
        Target::Kafka => {
            let kafka = kafka_config(config, &pipeline)?;
            let failed = |e: lakeward_connect::kafka::KafkaError| Exit::unreachable(e.to_string());
            let admin = Admin::new(&kafka, ASK).map_err(failed)?;
            let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
            if admin.create_topic(&topic, partitions, 1).map_err(failed)? == Created::Created {
                eprintln!("created topic {topic} with {partitions} partitions");
            }
            let producer = Producer::new(&kafka).map_err(failed)?;
            let started = Instant::now();
            plan.run(&mut records, |r| {
                producer.send(&topic, None, Some(&r.key), Some(&r.payload), Some(r.timestamp_ms)).map_err(failed)
            })?;
            producer.flush(FLUSH).map_err(failed)?;
            let seconds = started.elapsed().as_secs_f64();
            let sent = producer.delivered();
            eprintln!("{sent} records in topic {topic}, acknowledged in {seconds:.1} s");
        }
    }
    Ok(())
}

/// When which record is due, and what its time is.
struct Plan {
    events: u64,
    duration: Option<Duration>,
    rate: Option<f64>,
    span_us: Option<i64>,
    until_us: i64,
}

impl Plan {
    fn new(args: &GenerateArgs, default_rate: f64) -> Result<Self, Exit> {
        let duration = args.duration.as_deref().map(micros).transpose()?;
        let span_us = args.span.as_deref().map(micros).transpose()?;
        let rate = match args.rate.as_deref() {
            Some("max") => None,
            Some(text) => Some(positive(text)?),
            None if args.events.is_some() => None,
            None => Some(default_rate),
        };
        let until_us = chrono::Utc::now().timestamp_micros();
        let duration = duration.map(|us| Duration::from_micros(u64::try_from(us).unwrap_or(0)));
        Ok(Self { events: args.events.unwrap_or(u64::MAX), duration, rate, span_us, until_us })
    }

    /// The wall clock that record `n` is made at: now, or its place in the span that ends now.
    fn time(&self, n: u64) -> i64 {
        match self.span_us {
            Some(span) if self.events < u64::MAX => {
                let share = i128::from(span) * i128::from(n) / i128::from(self.events.max(1));
                self.until_us - span + i64::try_from(share).unwrap_or(0)
            }
            _ => chrono::Utc::now().timestamp_micros(),
        }
    }

    fn run(
        &self,
        records: &mut Generator,
        mut send: impl FnMut(&GeneratedRecord) -> Result<(), Exit>,
    ) -> Result<u64, Exit> {
        let started = Instant::now();
        let mut told = started;
        let mut sent = 0;
        while sent < self.events && self.duration.is_none_or(|limit| started.elapsed() < limit) {
            if let Some(rate) = self.rate {
                let due = started + Duration::from_secs_f64(sent_seconds(sent, rate));
                let now = Instant::now();
                if due > now {
                    std::thread::sleep((due - now).min(NAP));
                    continue;
                }
            }
            send(&records.next(self.time(sent)))?;
            sent += 1;
            if sent.is_multiple_of(1024) && told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                self.tell(sent, started.elapsed());
            }
        }
        Ok(sent)
    }

    fn tell(&self, sent: u64, took: Duration) {
        let rate = seconds_rate(sent, took);
        if self.events == u64::MAX {
            eprintln!("{sent} records, {rate:.0}/s");
        } else {
            let left = seconds_left(self.events - sent, rate);
            eprintln!("{sent} of {} records, {rate:.0}/s, {left:.0} s left", self.events);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people and pacing")]
fn sent_seconds(sent: u64, rate: f64) -> f64 {
    sent as f64 / rate
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn seconds_rate(sent: u64, took: Duration) -> f64 {
    sent as f64 / took.as_secs_f64().max(1e-3)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn seconds_left(left: u64, rate: f64) -> f64 {
    left as f64 / rate.max(1.0)
}

fn micros(text: &str) -> Result<i64, Exit> {
    lakeward_core::duration::parse_duration(text).map_err(|e| Exit::usage(format!("{text}: {e}")))
}

fn positive(text: &str) -> Result<f64, Exit> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err(Exit::usage(format!("--rate {text}: give a number above 0, or max"))),
    }
}
