//! KpiActor: the windows of one KPI for one key (or, beyond the configured number of actors, for several).
//!
//! Increments come in from the registry in the order of epochs; the live tick sends what changed to the mart; closing
//! an epoch hands its increments over and gives up the windows that G closes. `lakeward_core::kpi` decides all of it.

use std::time::Duration;

use actix::prelude::*;
use lakeward_core::ids::{Epoch, EventTime};
use lakeward_core::kpi::{Closed, Increment, Windows};
use tokio::sync::oneshot;

use crate::kit::{Board, Cause, Envelope, Inlet, Outbox, Sentinel, Weight};
use crate::kpi_mart::KpiMartMsg;

/// What a KpiActor is told, always by the registry.
#[derive(Debug)]
pub enum KpiMsg {
    /// What one partition added since its last hand-over.
    Apply {
        /// Epoch that it belongs to.
        epoch: Epoch,
        /// Additions of this actor's keys.
        increments: Vec<Increment>,
    },
    /// Every partition has passed the epoch's barrier, and G is known.
    Close {
        /// The epoch.
        epoch: Epoch,
        /// Gold's watermark.
        g: EventTime,
        /// Where the answer goes.
        reply: oneshot::Sender<Handed>,
    },
    /// Nothing is held any more and nothing will come: end. (An interval keeps an actor alive that nobody can reach.)
    Retire,
}

/// A KpiActor's answer to `Close`.
#[derive(Debug)]
pub struct Handed {
    /// The epoch's increments and the final rows.
    pub closed: Closed,
    /// Whether nothing is left in the actor.
    pub empty: bool,
    /// Open (window, key) pairs.
    pub open: usize,
    /// Estimated bytes held.
    pub bytes: u64,
}

impl Weight for KpiMsg {
    fn records(&self) -> u64 {
        match self {
            Self::Apply { increments, .. } => u64::try_from(increments.len()).unwrap_or(u64::MAX),
            Self::Close { .. } | Self::Retire => 0,
        }
    }
}

/// The windows of one KPI for some keys.
pub struct KpiActor {
    index: u32,
    windows: Windows,
    mart: Option<Outbox<KpiMartMsg>>,
    /// The life of the mart that has been shown what is open.
    shown_to: u64,
    live_tick: Duration,
    board: Board,
    inlet: Inlet,
    sentinel: Sentinel,
}

impl KpiActor {
    /// An actor that holds `windows`; `mart` receives their live values.
    #[must_use]
    pub fn new(
        index: u32,
        windows: Windows,
        mart: Option<Outbox<KpiMartMsg>>,
        live_tick: Duration,
        board: Board,
        sentinel: Sentinel,
    ) -> Self {
        let shown_to = mart.as_ref().map_or(0, Outbox::life);
        Self { index, windows, mart, shown_to, live_tick, board, inlet: Inlet::default(), sentinel }
    }

    /// Sends the values that changed, if the mart takes them now; else they wait for the next tick. A mart that was
    /// started again gets everything that is open: what the one before had not shown died with it.
    fn live(&mut self) {
        let Some(mart) = self.mart.as_ref().filter(|mart| mart.has_credit()) else { return };
        if mart.life() != self.shown_to {
            self.shown_to = mart.life();
            self.windows.show_all();
        }
        let rows = self.windows.live();
        if !rows.is_empty() {
            // This is the only sender and a credit is free: nothing refuses but a generation that is ending.
            let _ = mart.try_send(KpiMartMsg::Live(rows));
        }
        self.board.set_unshown(&self.name(), 0);
    }

    /// Notes that values wait for the live tick.
    fn unshown(&self) {
        if self.mart.is_some() && !self.windows.is_empty() {
            self.board.set_unshown(&self.name(), 1);
        }
    }

    fn name(&self) -> String {
        format!("kpi-{}", self.index)
    }

    fn close(&mut self, epoch: Epoch, g: EventTime) -> Result<Handed, Cause> {
        let closed = self.windows.close(epoch, g).map_err(|error| Cause::Failed(error.to_string()))?;
        let open = self.windows.open_windows();
        self.board.open_windows().insert(self.index, u64::try_from(open).unwrap_or(u64::MAX));
        Ok(Handed {
            closed,
            empty: self.windows.is_empty(),
            open,
            bytes: u64::try_from(self.windows.bytes()).unwrap_or(u64::MAX),
        })
    }
}

impl Actor for KpiActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.unshown();
        if self.mart.is_some() {
            ctx.run_interval(self.live_tick, |actor, _| actor.live());
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.board.open_windows().remove(&self.index);
        self.board.set_unshown(&self.name(), 0);
        self.sentinel.rest();
    }
}

impl Handler<Envelope<KpiMsg>> for KpiActor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<KpiMsg>, ctx: &mut Self::Context) {
        if let Err(gap) = self.inlet.admit(&envelope) {
            self.sentinel.fail(Cause::Failed(gap.to_string()));
            return ctx.stop();
        }
        let _work = envelope.credit.work();
        match envelope.message {
            KpiMsg::Apply { epoch, increments } => {
                if let Err(error) = self.windows.apply(epoch, increments) {
                    self.sentinel.fail(Cause::Failed(error.to_string()));
                    return ctx.stop();
                }
                self.unshown();
            }
            KpiMsg::Close { epoch, g, reply } => match self.close(epoch, g) {
                // A registry that waits no more has ended the generation.
                Ok(handed) => drop(reply.send(handed)),
                Err(cause) => {
                    self.sentinel.fail(cause);
                    ctx.stop();
                }
            },
            KpiMsg::Retire => ctx.stop(),
        }
    }
}

#[cfg(test)]
mod tests;
