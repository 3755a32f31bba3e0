//! What the view shows, gathered from where it is: the board, the gauges, the log and the mart. Nothing is counted twice
//! for the screen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lakeward_actors::kit::{Board, Clock, Gauges};
use lakeward_connect::lake::Lake;
use lakeward_connect::log_store::LogStore;
use lakeward_connect::mart::Mart;
use lakeward_core::ledger::Counters;
use lakeward_core::log::Fold;
use lakeward_core::pipeline::Pipeline;
use lakeward_core::types::DataType;

use super::view::{LayerPicture, Picture, Table};
use crate::commands::run::open_mart;
use crate::config::Config;
use crate::exit::Exit;
use crate::run::Runner;

/// Rates are means over this time.
const RATE_OVER: Duration = Duration::from_secs(3);

/// KPI rows on the screen, where it has lines for them.
const ROWS: u32 = 20;

/// Columns about the row itself, and one that follows from the window's start.
const UNSHOWN: [&str; 3] = ["window_end", "processing_timestamp", "revision"];

/// Sources of the picture.
pub struct Gather {
    pipeline: Arc<Pipeline>,
    lake: Lake,
    mart: Option<Mart>,
    board: Board,
    gauges: Gauges,
    clock: Clock,
    sent: Arc<AtomicU64>,
    began: Instant,
    log: Option<(LogStore, Fold)>,
    /// Time, records sent, records read.
    past: VecDeque<(Instant, u64, u64)>,
}

impl Gather {
    /// Looks at what `runner` does; `sent` counts what the feed delivered.
    pub async fn new(runner: &Runner, config: &Config, sent: Arc<AtomicU64>) -> Result<Self, Exit> {
        let mart = match open_mart(config) {
            Some(open) => Some(open()().await.map_err(|e| Exit::failed(e.to_string()))?),
            None => None,
        };
        let plan = &runner.plan;
        Ok(Self {
            pipeline: Arc::clone(&plan.pipeline),
            lake: runner.lake.clone(),
            mart,
            board: plan.board.clone(),
            gauges: plan.gauges.clone(),
            clock: plan.clock.clone(),
            sent,
            began: plan.clock.steady(),
            log: None,
            past: VecDeque::new(),
        })
    }

    /// The present state. What does not answer is left out: it is only a look.
    pub async fn look(&mut self) -> Picture {
        self.follow_log().await;
        let (now, sent) = (self.clock.steady(), self.sent.load(Ordering::Relaxed));
        let read = self.board.totals().records;
        self.past.push_back((now, sent, read));
        while self.past.len() > 2 && self.past.front().is_some_and(|(at, ..)| now.duration_since(*at) > RATE_OVER) {
            self.past.pop_front();
        }
        let rate = |of: fn(&(Instant, u64, u64)) -> u64| {
            let (Some(first), Some(last)) = (self.past.front(), self.past.back()) else { return 0 };
            super::super::generate::progress::per_second(of(last) - of(first), last.0.duration_since(first.0))
        };
        let fold = self.log.as_ref().map(|(_, fold)| fold);
        Picture {
            elapsed: now.duration_since(self.began),
            sent,
            sent_rate: rate(|p| p.1),
            read,
            read_rate: rate(|p| p.2),
            version: fold.map(|f| f.version),
            counters: fold.map(totals).unwrap_or_default(),
            layers: fold.map(|f| self.layers(f)).unwrap_or_default(),
            actors: self.actors(),
            newest: self.newest().await,
        }
    }

    async fn follow_log(&mut self) {
        match &mut self.log {
            Some((log, fold)) => {
                if let Ok(Some(now)) = log.catch_up(Some(fold.clone())).await {
                    *fold = now;
                }
            }
            None => {
                if let Ok(Some(log)) = LogStore::open_existing(&self.lake, &self.pipeline.name).await
                    && let Ok(Some(fold)) = log.load().await
                {
                    self.log = Some((log, fold));
                }
            }
        }
    }

    fn layers(&self, fold: &Fold) -> Vec<LayerPicture> {
        let layers = self.pipeline.layers.iter();
        layers
            .map(|layer| LayerPicture {
                name: layer.name.clone(),
                files: fold.layer_files(&layer.name).count(),
                rows: fold.layer_files(&layer.name).map(|f| f.staged.rows).sum(),
            })
            .collect()
    }

    fn actors(&self) -> BTreeMap<&'static str, usize> {
        let mut actors = BTreeMap::new();
        for gauge in self.gauges.live() {
            *actors.entry(gauge.kind).or_default() += 1;
        }
        actors
    }

    /// The newest rows of the first KPI's table, without the columns that say little.
    async fn newest(&self) -> Option<Table> {
        let table = self.pipeline.kpis.iter().find_map(|k| k.mart.as_ref())?;
        let newest = self.mart.as_ref()?.newest(&self.pipeline, &table.table, ROWS).await.ok()?;
        let shown: Vec<usize> = (0..newest.columns.len())
            .filter(|i| newest.columns.get(*i).is_some_and(|c| !UNSHOWN.contains(&c.name.as_str())))
            .collect();
        let is_time = |i: usize| newest.columns.get(i).is_some_and(|c| c.ty == DataType::Timestamp);
        let cell = |row: &[Option<String>], i: usize| {
            let text = row.get(i).cloned().flatten().unwrap_or_default();
            // The time of day is enough on a screen.
            if is_time(i) { text.get(11..19).map_or(text.clone(), str::to_owned) } else { text }
        };
        Some(Table {
            name: table.table.clone(),
            columns: shown.iter().filter_map(|&i| newest.columns.get(i).map(|c| c.name.clone())).collect(),
            rows: newest.rows.iter().map(|row| shown.iter().map(|&i| cell(row, i)).collect()).collect(),
        })
    }
}

fn totals(fold: &Fold) -> Counters {
    let mut total = Counters::default();
    for held in fold.past_incarnations.values().chain(fold.partitions.values()) {
        total.add(&held.total);
    }
    total
}
