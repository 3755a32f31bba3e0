//! LateMart: the follower that keeps one KPI's table of late rows in the mart in line with the log (F3).
//!
//! It shows nothing ahead of the log: late rows are looked at afterwards. So it has no inbox; it watches the head.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use lakeward_core::ids::Version;
use tokio::sync::watch;

use crate::commit::Head;
use crate::kit::{Board, Cause, Clock, Sentinel};
use crate::mart_link::{BackOff, LinkError, MartLink, Trouble};

/// The follower of one KPI's table of late rows.
pub struct LateMart {
    seed: Option<Work>,
    sentinel: Sentinel,
}

/// What the follower works with; it moves into its one task.
struct Work {
    kpi: usize,
    name: String,
    link: Arc<MartLink>,
    tick: Duration,
    head: watch::Receiver<Head>,
    board: Board,
    clock: Clock,
    /// How often the mart had been opened when the table was last brought into line: after another time it may be a new one.
    openings: Option<u64>,
    applied: Option<Version>,
    back_off: BackOff,
    reopen: bool,
}

/// How a follower's work ends.
enum Ended {
    OnPurpose,
    Fenced(Version),
}

impl LateMart {
    /// The follower's name, in entries and metrics.
    #[must_use]
    pub fn follower_name(kpi: &str) -> String {
        format!("late-mart/{kpi}")
    }

    /// A follower of KPI `kpi`. Whether the table was made anew is looked at every `tick`.
    #[must_use]
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
        let (openings, applied, back_off, reopen) = (None, None, BackOff::default(), false);
        let seed = Work { kpi, name, link, tick, head, board, clock, openings, applied, back_off, reopen };
        Self { seed: Some(seed), sentinel }
    }
}

impl Work {
    async fn follow(mut self) -> Ended {
        loop {
            let pause = match self.catch_up().await {
                Ok(()) => self.tick,
                Err(error) => match self.trouble(&error) {
                    Ok(pause) => pause,
                    Err(claim) => return Ended::Fenced(claim),
                },
            };
            // Nothing comes any more once there is no sender; what the last entry brought is applied before the end.
            let behind = self.applied < Some(self.head.borrow().fold.version);
            if !behind && self.head.has_changed().is_err() {
                return Ended::OnPurpose;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Brings the table up to the head, unless it is there.
    async fn catch_up(&mut self) -> Result<(), LinkError> {
        let fold = Arc::clone(&self.head.borrow_and_update().fold);
        let known = self.openings == Some(self.link.openings());
        if known && self.applied >= Some(fold.version) && !self.reopen {
            return Ok(());
        }
        if self.reopen {
            self.link.reopen().await?
        } else {
            self.link.connect().await?
        }
        let openings = self.link.openings();
        if self.openings != Some(openings) {
            self.applied = self.link.late_fence(self.kpi).await?;
        }
        self.link.apply_late(self.kpi, self.applied, &fold).await?;
        (self.openings, self.applied, self.reopen) = (Some(openings), Some(fold.version), false);
        self.back_off.reset();
        self.board.followers().entry(self.name.clone()).or_default().fresh_at = self.clock.wall_micros();
        self.board.follower_done(&self.name, fold.version);
        Ok(())
    }

    /// How long to wait before the next try; the greater claim where there is none.
    fn trouble(&mut self, error: &LinkError) -> Result<Duration, Version> {
        match error.trouble() {
            Trouble::Fenced(claim) => return Err(claim),
            Trouble::Reopen => self.reopen = true,
            Trouble::Retry => {}
        }
        self.openings = None;
        self.board.follower_trouble(&self.name, &error.to_string());
        tracing::warn!(%error, follower = self.name, "late rows can't be written to the mart; the lake goes on, it is tried again");
        Ok(self.back_off.pause())
    }
}

impl Actor for LateMart {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(work) = self.seed.take() else { return };
        let ended = |ended, actor: &mut Self, ctx: &mut Context<Self>| {
            match ended {
                Ended::OnPurpose => actor.sentinel.rest(),
                Ended::Fenced(claim) => actor.sentinel.fail(Cause::Fenced(claim)),
            }
            ctx.stop();
        };
        ctx.spawn(work.follow().into_actor(self).map(ended));
    }
}

#[cfg(test)]
mod tests;
