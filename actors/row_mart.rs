//! RowMart: the follower that keeps the mart's table of rows in line with the log, and shows rows ahead of it as
//! previews (F2).
//!
//! It is in one of three moods. *Behind*: it fills the table from the log's Silver files whenever the head moves.
//! *Filling*: near the head, it fills up to an epoch's barrier and holds back what comes after that barrier, for some
//! seconds at most. *Live*: it copies what the partitions send, every few hundred milliseconds, each transaction behind
//! the fence of its partition. Trouble of any kind throws previews away and leads back to *behind*, where it tries
//! again with back-off, whether or not anything is sent; nothing is lost by that, since the log has it all.

mod fill;
mod lane;
mod mood;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arrow::record_batch::RecordBatch;
use lakeward_connect::mart::RowsOutcome;
use lakeward_core::ids::{Epoch, EventTime, OffsetRange, Version};
use tokio::sync::watch;

use crate::commit::Head;
use crate::kit::outbox::Credit;
use crate::kit::{Board, Cause, Clock, Envelope, Inlet, Sentinel, Weight};
use crate::mart_link::{BackOff, LinkError, MartLink, Trouble};
use fill::{Filled, fill_until};
use lane::Lane;
use mood::{Filling, Mood};

/// The follower's name, in entries and metrics.
pub const NAME: &str = "rows-mart";

/// Rows of one partition that make a copy due before the tick: large copies are cheap, larger ones add latency only.
const COPY_ROWS: usize = 20_000;

/// While rows are held their partitions run out of credit: longer than this the lake does not wait for a mart.
const HOLD_AT_MOST: Duration = Duration::from_secs(10);

/// Entries that a table may lack for holding rows to be worth it.
const NEAR: u64 = 2;

/// What the RowMart is told by the partitions.
#[derive(Debug)]
pub enum RowsMsg {
    /// Rows of consecutive offsets.
    Rows {
        /// Kafka partition.
        partition: i32,
        /// Incarnation of the topic.
        incarnation: i32,
        /// Offsets covered, with those that gave no row.
        range: OffsetRange,
        /// The kept rows, if any.
        rows: Option<RecordBatch>,
    },
    /// A partition has sent everything of the epoch.
    Barrier {
        /// The epoch.
        epoch: Epoch,
        /// The partition.
        partition: i32,
        /// How many partitions take part.
        expected: u32,
    },
}

impl Weight for RowsMsg {
    fn records(&self) -> u64 {
        match self {
            Self::Rows { rows: Some(rows), .. } => u64::try_from(rows.num_rows()).unwrap_or(u64::MAX),
            _ => 0,
        }
    }
}

/// The follower of the table of rows.
pub struct RowMart {
    link: Arc<MartLink>,
    previews: bool,
    tick: Duration,
    head: watch::Receiver<Head>,
    mood: Mood,
    lanes: BTreeMap<i32, Lane>,
    newest_barrier: Option<Epoch>,
    /// Whether the partitions were under way already: barriers of the first epoch heard of may have passed before.
    joined_midway: bool,
    held: VecDeque<(RowsMsg, Credit)>,
    work: Work,
    back_off: BackOff,
    reopen: bool,
    /// The table holds everything up to this version, as far as is known.
    done: Option<Version>,
    /// Openings of the mart before the last fill: after another one the table may be a new one.
    openings: u64,
    retained: Option<Version>,
    retaining: bool,
    board: Board,
    clock: Clock,
    inlet: Inlet,
    sentinel: Sentinel,
}

/// At most one fill is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    None,
    Fill,
    /// After trouble.
    Pause,
}

/// When in the life of a generation a RowMart begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Before the partitions: it hears all that they send.
    AtTheStart,
    /// After another one died (O3): what was sent to that one is lost, and it goes live at a barrier.
    Midway,
}

impl RowMart {
    /// A follower that begins by filling up to the head.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "a constructor of plain parts")]
    pub fn new(
        link: Arc<MartLink>,
        previews: bool,
        tick: Duration,
        joined: Joined,
        head: watch::Receiver<Head>,
        board: Board,
        clock: Clock,
        sentinel: Sentinel,
    ) -> Self {
        let from_the_start = previews && joined == Joined::AtTheStart;
        Self {
            link,
            previews,
            tick,
            head,
            mood: if from_the_start { Mood::Filling(Filling::default()) } else { Mood::Behind },
            lanes: BTreeMap::new(),
            newest_barrier: None,
            joined_midway: joined == Joined::Midway,
            held: VecDeque::new(),
            work: Work::None,
            back_off: BackOff::default(),
            reopen: false,
            done: None,
            openings: 0,
            retained: None,
            retaining: false,
            board,
            clock,
            inlet: Inlet::default(),
            sentinel,
        }
    }

    fn take(&mut self, message: RowsMsg, credit: Credit, ctx: &mut Context<Self>) {
        match message {
            RowsMsg::Barrier { epoch, partition, expected } => self.barrier(epoch, partition, expected, ctx),
            RowsMsg::Rows { partition, incarnation, range, rows } => match &mut self.mood {
                Mood::Behind => drop(credit),
                Mood::Filling(filling) if filling.holds(partition) => {
                    self.held.push_back((RowsMsg::Rows { partition, incarnation, range, rows }, credit));
                }
                Mood::Filling(_) => drop(credit),
                Mood::Live => {
                    let lane = self.lanes.entry(partition).or_default();
                    lane.push(incarnation, range, rows, credit);
                    if lane.count >= COPY_ROWS {
                        self.copy(partition, ctx);
                    }
                }
            },
        }
    }

    /// While behind, an epoch whose first barrier comes now is the one to go live at: behind that barrier every
    /// partition's rows are held, before it they are filled.
    fn barrier(&mut self, epoch: Epoch, partition: i32, expected: u32, ctx: &mut Context<Self>) {
        // No epoch is cut before all partitions have passed the barrier of the one before, so only one can be torn.
        let torn = self.joined_midway && self.newest_barrier.is_none();
        let first = self.newest_barrier < Some(epoch) && !torn;
        self.newest_barrier = self.newest_barrier.max(Some(epoch));
        let near = self.is_near();
        match &mut self.mood {
            Mood::Filling(filling) if filling.until == Some(epoch) => {
                filling.passed.insert(partition);
                if filling.is_done() {
                    self.go_live(ctx);
                }
            }
            Mood::Behind if first && self.previews && near => {
                let expected = usize::try_from(expected).unwrap_or(usize::MAX);
                let passed = BTreeSet::from([partition]);
                self.mood = Mood::Filling(Filling { until: Some(epoch), passed, expected, filled: false });
                self.give_up_holding_later(ctx);
                self.fill_if_due(ctx);
            }
            _ => {}
        }
    }

    /// Whether the rest is filled soon, so that partitions may be held up that long.
    fn is_near(&self) -> bool {
        let head = self.head.borrow().fold.version.0;
        self.work != Work::Pause && self.done.is_some_and(|done| done.0 + NEAR >= head)
    }

    /// Held rows hold credits, and in the end their partitions: a mart that takes too long must not hold up the lake.
    fn give_up_holding_later(&mut self, ctx: &mut Context<Self>) {
        let Mood::Filling(Filling { until, .. }) = self.mood else { return };
        ctx.run_later(HOLD_AT_MOST, move |actor, _| {
            if matches!(&actor.mood, Mood::Filling(filling) if filling.until == until) {
                tracing::warn!("filling the mart of rows takes long; it goes live at a later barrier");
                actor.fall_behind();
            }
        });
    }

    fn copy(&mut self, partition: i32, ctx: &mut Context<Self>) {
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        if lane.copying {
            return;
        }
        let Some(load) = lane.unload() else { return };
        lane.copying = true;
        let link = Arc::clone(&self.link);
        let work = load.credits.first().map(Credit::work);
        let copy = async move {
            let result = link.copy(load.incarnation, partition, load.range, load.rows).await;
            drop((work, load.credits));
            result
        };
        let done = move |result, actor: &mut Self, ctx: &mut Context<Self>| actor.copied(partition, result, ctx);
        ctx.spawn(copy.into_actor(self).map(done));
    }

    fn copied(&mut self, partition: i32, result: Result<RowsOutcome, LinkError>, ctx: &mut Context<Self>) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.copying = false;
        }
        match result {
            Ok(RowsOutcome::Applied) => {
                let now = self.clock.wall_micros();
                self.board.followers().entry(NAME.to_owned()).or_default().fresh_at = now;
                if self.lanes.get(&partition).is_some_and(|lane| lane.count >= COPY_ROWS) {
                    self.copy(partition, ctx);
                }
            }
            Ok(RowsOutcome::Fenced { claim }) => self.end(Cause::Fenced(claim), ctx),
            Ok(RowsOutcome::At { next, .. }) => {
                tracing::warn!(partition, next, "the mart's fence is elsewhere; filling from the log");
                self.fall_behind();
            }
            Err(error) => self.trouble(&error, ctx),
        }
    }

    fn fall_behind(&mut self) {
        self.mood = Mood::Behind;
        self.done = None;
        self.held.clear();
        for lane in self.lanes.values_mut() {
            lane.clear();
        }
    }

    fn trouble(&mut self, error: &LinkError, ctx: &mut Context<Self>) {
        let trouble = error.trouble();
        if let Trouble::Fenced(claim) = trouble {
            return self.end(Cause::Fenced(claim), ctx);
        }
        self.reopen |= matches!(trouble, Trouble::Reopen);
        self.board.follower_trouble(NAME, &error.to_string());
        tracing::warn!(%error, "the mart of rows can't be written; the lake goes on, rows are filled later");
        self.fall_behind();
        if self.work == Work::None {
            self.work = Work::Pause;
            ctx.run_later(self.back_off.pause(), |actor, ctx| {
                actor.work = Work::None;
                actor.fill_if_due(ctx);
            });
        }
    }

    fn end(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.sentinel.fail(cause);
        ctx.stop();
    }

    /// Fills up to what the mood asks for, unless that is under way or there.
    fn fill_if_due(&mut self, ctx: &mut Context<Self>) {
        let until = match &self.mood {
            Mood::Behind if self.done < Some(self.head.borrow().fold.version) => None,
            Mood::Filling(filling) if !filling.filled => filling.until,
            _ => return,
        };
        if self.work != Work::None {
            return;
        }
        self.work = Work::Fill;
        let (link, head, reopen) = (Arc::clone(&self.link), self.head.clone(), self.reopen);
        let fill = async move { fill_until(&link, head, until, reopen).await };
        let done = move |result: Result<Filled, LinkError>, actor: &mut Self, ctx: &mut Context<Self>| {
            actor.work = Work::None;
            match result {
                Ok(Filled::UpTo { version, openings }) => {
                    actor.openings = openings;
                    actor.filled(until, version, ctx);
                }
                Ok(Filled::TooLate) => actor.fall_behind(),
                Ok(Filled::Ending) => {}
                Err(error) => actor.trouble(&error, ctx),
            }
        };
        ctx.spawn(fill.into_actor(self).map(done));
    }

    fn filled(&mut self, until: Option<Epoch>, version: Version, ctx: &mut Context<Self>) {
        self.back_off.reset();
        self.reopen = false;
        self.retained = self.retained.max(Some(version));
        self.reached(version);
        match &mut self.mood {
            Mood::Filling(filling) if filling.until == until => {
                filling.filled = true;
                if filling.is_done() {
                    self.go_live(ctx);
                }
            }
            _ => self.fill_if_due(ctx),
        }
    }

    fn go_live(&mut self, ctx: &mut Context<Self>) {
        self.mood = Mood::Live;
        for (message, credit) in std::mem::take(&mut self.held) {
            self.take(message, credit, ctx);
        }
    }

    fn on_tick(&mut self, ctx: &mut Context<Self>) {
        if self.work != Work::Fill && self.done.is_some() && self.openings != self.link.openings() {
            tracing::warn!("another follower opened the mart again; looking the rows over from the log");
            self.fall_behind();
        }
        if !matches!(self.mood, Mood::Live) {
            return self.fill_if_due(ctx);
        }
        let lanes: Vec<i32> = self.lanes.keys().copied().collect();
        for partition in lanes {
            self.copy(partition, ctx);
        }
    }

    /// Tells how far the table reflects the log: every partition's fence at or above a version's offsets.
    fn report(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.mood, Mood::Live) {
            return;
        }
        let fold = Arc::clone(&self.head.borrow().fold);
        if !self.link.reaches(&fold) {
            return;
        }
        match fold.rows_boundary.filter(|_| self.retained < Some(fold.version)) {
            Some(_) if self.retaining => {}
            Some(boundary) => self.retain(boundary, fold.version, ctx),
            None => self.reached(fold.version),
        }
    }

    fn reached(&mut self, version: Version) {
        self.done = self.done.max(Some(version));
        self.board.follower_done(NAME, version);
    }
}

impl RowMart {
    /// Deletes the rows below the log's boundary, once for each version: an epoch may bring late ones (F2).
    fn retain(&mut self, boundary: EventTime, version: Version, ctx: &mut Context<Self>) {
        self.retaining = true;
        let link = Arc::clone(&self.link);
        let delete = async move { link.delete_rows_below(boundary).await };
        let done = move |result: Result<(), LinkError>, actor: &mut Self, ctx: &mut Context<Self>| {
            actor.retaining = false;
            match result {
                Ok(()) => {
                    actor.retained = Some(version);
                    actor.report(ctx);
                }
                Err(error) => actor.trouble(&error, ctx),
            }
        };
        ctx.spawn(delete.into_actor(self).map(done));
    }
}

impl Actor for RowMart {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.give_up_holding_later(ctx);
        self.fill_if_due(ctx);
        ctx.run_interval(self.tick, Self::on_tick);
        ctx.run_interval(Duration::from_millis(500), Self::report);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sentinel.rest();
    }
}

impl Handler<Envelope<RowsMsg>> for RowMart {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<RowsMsg>, ctx: &mut Self::Context) {
        match self.inlet.admit(&envelope) {
            Ok(()) => self.take(envelope.message, envelope.credit, ctx),
            Err(gap) => {
                tracing::error!(%gap, "rows are missing; the mart's follower begins again");
                self.end(Cause::FollowerDied(NAME.to_owned()), ctx);
            }
        }
    }
}

#[cfg(test)]
mod tests;
