//! What a run took: watched while it runs, told as a text or as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lakeward_actors::kit::{Clock, Gauges};
use lakeward_core::log::Fold;
use lakeward_core::pipeline::Pipeline;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::host::Host;
use crate::topology::Plan;

/// How often actors and memory are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks at the process while it works.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    looking: JoinHandle<()>,
    cpu_seconds: f64,
}

#[derive(Default)]
struct Seen {
    /// Time at work, by kind and number of the actor: gauges go with their generation.
    busy: BTreeMap<(&'static str, u32), Duration>,
    resident: u64,
}

/// What was seen.
pub struct Spent {
    seen: Seen,
    elapsed: Duration,
    cpu_seconds: f64,
}

impl Watch {
    /// Begins to look.
    #[must_use]
    pub fn start(plan: &Plan) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (into, gauges, clock) = (Arc::clone(&seen), plan.gauges.clone(), plan.clock.clone());
        let looking = async move {
            let mut tick = tokio::time::interval(LOOK_EVERY);
            loop {
                tick.tick().await;
                into.lock().unwrap_or_else(PoisonError::into_inner).look(&gauges, &clock);
            }
        };
        Self { seen, looking: tokio::spawn(looking), cpu_seconds: Host::now().cpu_seconds.unwrap_or_default() }
    }

    /// Ends it; `opened` is when the first batch was handed over.
    pub async fn stop(self, clock: &Clock, opened: Option<Instant>) -> Spent {
        let elapsed = opened.map(|opened| clock.steady().saturating_duration_since(opened)).unwrap_or_default();
        let cpu_seconds = Host::now().cpu_seconds.unwrap_or_default() - self.cpu_seconds;
        self.looking.abort();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        Spent { seen, elapsed, cpu_seconds }
    }
}

impl Seen {
    fn look(&mut self, gauges: &Gauges, clock: &Clock) {
        let now = clock.steady();
        for gauge in gauges.live() {
            self.busy.insert((gauge.kind, gauge.index), gauge.load.spent(now).busy);
        }
        self.resident = self.resident.max(Host::now().resident.unwrap_or_default());
    }
}

/// The figures.
#[derive(Debug, Serialize)]
pub struct Report {
    pipeline: String,
    events: u64,
    partitions: u32,
    cores: usize,
    seconds: f64,
    events_per_second: u64,
    /// Processor time of the whole process.
    cpu_ns_per_event: u64,
    peak_resident_mb: u64,
    /// Of which the records themselves, before they are taken.
    records_mb: u64,
    entries: u64,
    files: usize,
    /// Time at work, waiting for disks included and waiting for others excluded, by actor.
    busy_ns_per_event: BTreeMap<String, u64>,
}

impl Report {
    /// Of a run that ended at `fold`.
    #[must_use]
    pub fn new(pipeline: &Pipeline, fold: &Fold, partitions: u32, records_bytes: usize, spent: &Spent) -> Self {
        let events: u64 = fold.partitions.values().map(|partition| partition.total.records).sum();
        let mut busy_ns_per_event = BTreeMap::<String, u64>::new();
        for (&(kind, index), busy) in &spent.seen.busy {
            *busy_ns_per_event.entry(name(pipeline, kind, index)).or_default() += per(busy.as_secs_f64() * 1e9, events);
        }
        Self {
            pipeline: pipeline.name.clone(),
            events,
            partitions,
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            seconds: spent.elapsed.as_secs_f64(),
            events_per_second: rounded(wide(events) / spent.elapsed.as_secs_f64().max(1e-9)),
            cpu_ns_per_event: per(spent.cpu_seconds * 1e9, events),
            peak_resident_mb: spent.seen.resident >> 20,
            records_mb: u64::try_from(records_bytes >> 20).unwrap_or(u64::MAX),
            entries: fold.version.0,
            files: pipeline.layers.iter().map(|layer| fold.layer_files(&layer.name).count()).sum(),
            busy_ns_per_event,
        }
    }

    /// One line.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { pipeline, events, partitions, cores, .. } = self;
        writeln!(f, "{pipeline}: {events} events from memory, {partitions} partitions, {cores} cores")?;
        writeln!(f, "  {} events/s, {:.2} s to the last file", self.events_per_second, self.seconds)?;
        writeln!(f, "  {} ns of processor time per event", self.cpu_ns_per_event)?;
        writeln!(f, "  {} MB at most, {} MB of it the events", self.peak_resident_mb, self.records_mb)?;
        writeln!(f, "  {} files, {} entries", self.files, self.entries)?;
        let busy: Vec<String> = self.busy_ns_per_event.iter().map(|(name, ns)| format!("{name} {ns}")).collect();
        write!(f, "  busy, ns per event: {}", busy.join(", "))
    }
}

/// Writers by the name of their layer, the others by kind.
fn name(pipeline: &Pipeline, kind: &str, index: u32) -> String {
    let layer = || pipeline.layers.get(usize::try_from(index).ok()?);
    let layer = if kind == "layer_writer" { layer() } else { None };
    layer.map_or_else(|| kind.to_owned(), |layer| layer.name.clone())
}

fn per(amount: f64, events: u64) -> u64 {
    rounded(amount / wide(events.max(1)))
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn wide(value: u64) -> f64 {
    value as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people, never negative")]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}
