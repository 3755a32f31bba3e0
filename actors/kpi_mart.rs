//! KpiMart: the follower that keeps one KPI's table in the mart in line with the log, and shows live values ahead of
//! it (F3).
//!
//! Live values are absolute and coalesced by (window, key), so a slow mart costs freshness, never memory. Final rows
//! are written only by applying entries, from the Gold files that they name, in order and behind the table's fence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use lakeward_connect::mart::LiveOutcome;
use lakeward_core::ids::{EventTime, Version};
use lakeward_core::kpi::WindowRow;
use tokio::sync::watch;

use crate::commit::Head;
use crate::kit::{Board, Cause, Clock, Envelope, Gauge, Inlet, Sentinel, Weight, Work};
use crate::mart_link::{BackOff, FinalsOutcome, LinkError, MartLink, Trouble};

/// What the KpiMart is told by KpiActors.
#[derive(Debug)]
pub enum KpiMartMsg {
    /// Values that changed.
    Live(Vec<WindowRow>),
}

impl Weight for KpiMartMsg {
    fn records(&self) -> u64 {
        let Self::Live(rows) = self;
        u64::try_from(rows.len()).unwrap_or(u64::MAX)
    }
}

/// The follower of one KPI's table.
pub struct KpiMart {
    kpi: usize,
    name: String,
    link: Arc<MartLink>,
    tick: Duration,
    head: watch::Receiver<Head>,
    waiting: BTreeMap<(EventTime, Box<[u8]>), WindowRow>,
    applied: Option<Version>,
    /// Whether it is known, and told to the board, what the table reflected before.
    reflects: bool,
    /// How often the table had been found empty when this follower first wrote to it.
    found_empty: Option<u64>,
    busy: bool,
    back_off: BackOff,
    reopen: bool,
    /// Whether something failed since the mart was last connected: it must be again, even if no entry comes.
    lost: bool,
    board: Board,
    clock: Clock,
    inlet: Inlet,
    /// Known from the first message on.
    gauge: Option<Arc<Gauge>>,
    sentinel: Sentinel,
}

impl KpiMart {
    /// The follower's name, in entries and metrics.
    #[must_use]
    pub fn follower_name(kpi: &str) -> String {
        format!("kpi-mart/{kpi}")
    }

    /// A follower of KPI `kpi`.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "a constructor of plain parts")]
    pub fn new(
        kpi: usize,
        link: Arc<MartLink>,
        tick: Duration,
        head: watch::Receiver<Head>,
        board: Board,
        clock: Clock,
        sentinel: Sentinel,
    ) -> Self {
        let name = link.pipeline().kpis.get(kpi).map_or_else(String::new, |k| Self::follower_name(&k.name));
        Self {
            kpi,
            name,
            link,
            tick,
            head,
            waiting: BTreeMap::new(),
            applied: None,
            reflects: false,
            found_empty: None,
            busy: false,
            back_off: BackOff::default(),
            reopen: false,
            lost: false,
            board,
            clock,
            inlet: Inlet::default(),
            gauge: None,
            sentinel,
        }
    }

    fn work(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        if self.found_empty.is_some_and(|before| before != self.link.found_empty(self.kpi)) {
            return self.begin_again(ctx);
        }
        let head = self.head.borrow().fold.version;
        if self.reopen || self.lost || !self.reflects || self.applied.is_none_or(|done| done < head) {
            self.catch_up(ctx);
        } else if !self.waiting.is_empty() && self.has_caught_up() {
            self.show(ctx);
        }
    }

    /// Notes what is not in the table yet.
    fn note_unshown(&self) {
        self.board.set_unshown(&self.name, self.waiting.len() + usize::from(self.busy));
    }

    /// Live values are held back until the partitions have passed what the table reflected before (F3).
    fn has_caught_up(&self) -> bool {
        self.reflects && !self.board.is_held_back(&self.name)
    }

    /// Applies the entries between the table's fence and the head.
    fn catch_up(&mut self, ctx: &mut Context<Self>) {
        self.busy = true;
        let (link, kpi) = (Arc::clone(&self.link), self.kpi);
        let fold = Arc::clone(&self.head.borrow().fold);
        let (from, reopen, before) = (self.applied, self.reopen, self.found_empty);
        let work = async move {
            if reopen {
                link.reopen().await?
            } else {
                link.connect().await?
            }
            let now = link.found_empty(kpi);
            if before.is_some_and(|before| before != now) {
                return Ok(None);
            }
            Ok(Some((now, link.apply_finals(kpi, from, &fold).await?)))
        };
        let done =
            |result: Result<Option<(u64, FinalsOutcome)>, LinkError>, actor: &mut Self, ctx: &mut Context<Self>| {
                actor.busy = false;
                match result {
                    Ok(Some((found_empty, FinalsOutcome::Applied { version, reflected }))) => {
                        actor.found_empty.get_or_insert(found_empty);
                        actor.caught_up(version, reflected);
                    }
                    Ok(Some((_, FinalsOutcome::Fenced { claim }))) => actor.end(Cause::Fenced(claim), ctx),
                    Ok(None) => actor.begin_again(ctx),
                    Err(error) => actor.trouble(&error, ctx),
                }
            };
        ctx.spawn(work.into_actor(self).map(done));
    }

    fn caught_up(&mut self, version: Version, reflected: BTreeMap<i32, i64>) {
        self.applied = Some(version);
        if !std::mem::replace(&mut self.reflects, true) {
            self.board.hold_back(&self.name, reflected);
        }
        self.back_off.reset();
        (self.reopen, self.lost) = (false, false);
        self.board.follower_done(&self.name, version);
        self.drop_closed();
    }

    /// Live values of closed windows are no previews any more. While the mart is away nothing else takes them out.
    fn drop_closed(&mut self) {
        let g = self.head.borrow().fold.g;
        if let Some(kpi) = self.link.pipeline().kpis.get(self.kpi) {
            self.waiting.retain(|(window, _), _| !kpi.is_closed(*window, g));
        }
        self.note_unshown();
    }

    /// Writes the live values that wait.
    fn show(&mut self, ctx: &mut Context<Self>) {
        self.busy = true;
        let rows: Vec<WindowRow> = std::mem::take(&mut self.waiting).into_values().collect();
        let handed: BTreeMap<i32, i64> = self.board.partitions().iter().map(|p| (*p.key(), p.handed)).collect();
        let (link, kpi, now) = (Arc::clone(&self.link), self.kpi, self.clock.wall_micros());
        let busy = self.gauge.as_ref().map(Work::begin);
        let work = async move {
            let result = link.upsert_live(kpi, &rows, &handed, now).await;
            drop(busy);
            (rows, result)
        };
        let done = move |(rows, result): (Vec<WindowRow>, Result<LiveOutcome, LinkError>),
                         actor: &mut Self,
                         ctx: &mut Context<Self>| {
            actor.busy = false;
            actor.note_unshown();
            match result {
                Ok(LiveOutcome::Applied) => {
                    actor.board.followers().entry(actor.name.clone()).or_default().fresh_at = now
                }
                Ok(LiveOutcome::Fenced { claim }) => actor.end(Cause::Fenced(claim), ctx),
                Err(error) => {
                    for row in rows {
                        actor.waiting.entry((row.window, row.key.clone())).or_insert(row);
                    }
                    actor.note_unshown();
                    actor.trouble(&error, ctx);
                }
            }
        };
        ctx.spawn(work.into_actor(self).map(done));
    }

    fn trouble(&mut self, error: &LinkError, ctx: &mut Context<Self>) {
        let trouble = error.trouble();
        if let Trouble::Fenced(claim) = trouble {
            return self.end(Cause::Fenced(claim), ctx);
        }
        self.reopen |= matches!(trouble, Trouble::Reopen);
        self.lost = true;
        self.board.follower_trouble(&self.name, &error.to_string());
        tracing::warn!(%error, follower = self.name, "the mart can't be written; the lake goes on, it is tried again");
        self.busy = true;
        ctx.run_later(self.back_off.pause(), |actor, _| {
            actor.busy = false;
            actor.drop_closed();
        });
    }

    /// The table was made anew: all final rows must be applied and all live values sent again, as for a new follower.
    fn begin_again(&mut self, ctx: &mut Context<Self>) {
        tracing::warn!(follower = self.name, "the table was made anew; everything is written to it again");
        self.end(Cause::FollowerDied(self.name.clone()), ctx);
    }

    fn end(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.sentinel.fail(cause);
        ctx.stop();
    }
}

impl Actor for KpiMart {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.note_unshown();
        ctx.run_interval(self.tick, Self::work);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sentinel.rest();
    }
}

impl Handler<Envelope<KpiMartMsg>> for KpiMart {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<KpiMartMsg>, ctx: &mut Self::Context) {
        if let Err(gap) = self.inlet.admit(&envelope) {
            tracing::error!(%gap, follower = self.name, "values are missing; the follower begins again");
            return self.end(Cause::FollowerDied(self.name.clone()), ctx);
        }
        if self.gauge.is_none() {
            self.gauge = Some(Arc::clone(envelope.credit.gauge()));
        }
        let KpiMartMsg::Live(rows) = envelope.message;
        for row in rows {
            self.waiting.insert((row.window, row.key.clone()), row);
        }
        self.note_unshown();
    }
}

#[cfg(test)]
mod tests;
