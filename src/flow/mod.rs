//! How records flow through a pipeline of this process, for people: gathered once a second from gauges and the board,
//! never from the lake, and put into words.

mod graph;
mod lag;
mod picture;
mod samples;
mod watermark;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_connect::lake::Lake;
use lakeward_connect::log_store::LogStore;
use lakeward_core::ids::Version;
use lakeward_core::pipeline::Pipeline;
use serde_json::Value;

pub use self::picture::{Kpis, time};
use self::samples::Samples;
use crate::topology::Plan;

/// How often readings are taken.
const EVERY: Duration = Duration::from_secs(1);

/// Entries of the log that are read back when a pipeline is taken over, so that people see more than this process's.
const READ_BACK: u64 = 60;

/// One pipeline of this process, watched.
#[derive(Clone)]
pub struct Flow {
    /// What it does.
    pub pipeline: Arc<Pipeline>,
    /// The topic that it reads.
    pub topic: String,
    /// Where it is.
    pub board: Board,
    /// Its actors.
    pub gauges: Gauges,
    /// Time.
    pub clock: Clock,
    /// Where its files are.
    pub lake: Lake,
    samples: Arc<Mutex<Samples>>,
}

impl Flow {
    /// Watches what is made by `plan`, once `watch` runs.
    #[must_use]
    pub fn new(plan: &Plan, lake: Lake) -> Self {
        let (board, gauges, clock) = (plan.board.clone(), plan.gauges.clone(), plan.clock.clone());
        Self::of(Arc::clone(&plan.pipeline), plan.topic.clone(), board, gauges, clock, lake)
    }

    /// Watches what these tell.
    #[must_use]
    pub fn of(pipeline: Arc<Pipeline>, topic: String, board: Board, gauges: Gauges, clock: Clock, lake: Lake) -> Self {
        Self { pipeline, topic, board, gauges, clock, lake, samples: Arc::default() }
    }

    /// Takes readings for ever.
    pub async fn watch(self) {
        let mut tick = tokio::time::interval(EVERY);
        let mut read_back = None;
        loop {
            tick.tick().await;
            self.take();
            let claim = self.board.fold().map(|fold| fold.claim);
            if claim.is_some() && claim != read_back {
                read_back = claim;
                let flow = self.clone();
                actix::spawn(async move { flow.read_back().await });
            }
        }
    }

    /// Takes one reading.
    pub fn take(&self) {
        self.samples().take(self.clock.steady(), self.clock.wall_micros(), &self.board, &self.gauges);
    }

    /// The topology as it runs, with what every part of it does.
    #[must_use]
    pub fn picture(&self, kpis: Kpis) -> Value {
        picture::picture(self, kpis)
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the newest entries that were there before this process; a store that doesn't answer costs only the look.
    async fn read_back(&self) {
        let Some(fold) = self.board.fold() else { return };
        let Ok(Some(log)) = LogStore::open_existing(&self.lake, &self.pipeline.name).await else { return };
        for version in (fold.version.0.saturating_sub(READ_BACK)..=fold.version.0).rev() {
            match log.entry(Version(version)).await {
                Ok(Some((entry, _))) => self.board.history().note(&entry, None),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests;
