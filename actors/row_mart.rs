//! RowMart: the follower that keeps the mart's table of rows in line with the log, and shows rows ahead of it as
//! previews (F2).
//!
//! It is in one of two moods. *Behind*: it fills the table from the log's Silver files up to an epoch's barrier, and
//! holds back what comes after that barrier. *Live*: it copies what the partitions send, every few hundred
//! milliseconds, each transaction behind the fence of its partition. Trouble of any kind throws previews away and
//! leads back to *behind*; nothing is lost by that, since the log has it all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arrow::record_batch::RecordBatch;
use lakeward_connect::mart::RowsOutcome;
use lakeward_core::ids::{Epoch, EventTime, OffsetRange, Version};
use lakeward_core::log::Fold;
use tokio::sync::watch;

use crate::commit::Head;
use crate::kit::outbox::Credit;
use crate::kit::{Board, Cause, Clock, Envelope, Inlet, Sentinel, Weight};
use crate::mart_link::{LinkError, MartLink, Trouble};

/// The follower's name, in entries and metrics.
pub const NAME: &str = "rows-mart";

/// Rows of one partition that make a copy due before the tick: large copies are cheap, larger ones add latency only.
const COPY_ROWS: usize = 20_000;

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
    held: VecDeque<(RowsMsg, Credit)>,
    retained: Option<Version>,
    retaining: bool,
    board: Board,
    clock: Clock,
    inlet: Inlet,
    sentinel: Sentinel,
}

#[derive(Debug)]
enum Mood {
    /// Waiting for an epoch's first barrier; what comes meanwhile is committed sooner or later and filled then.
    Behind,
    /// Filling up to a barrier. What a partition sends behind that barrier is held, what it sends before it is not.
    Filling(Filling),
    /// Copying previews.
    Live,
}

#[derive(Debug, Default)]
struct Filling {
    /// The epoch whose commit is filled up to; `None`: the head at the start of the generation, which every partition
    /// begins behind.
    until: Option<Epoch>,
    /// Partitions that have passed the barrier of `until`.
    passed: BTreeSet<i32>,
    /// How many take part in it.
    expected: usize,
    /// Whether the table holds everything up to it.
    filled: bool,
}

impl Filling {
    fn holds(&self, partition: i32) -> bool {
        self.until.is_none() || self.passed.contains(&partition)
    }

    fn is_done(&self) -> bool {
        self.filled && self.passed.len() >= self.expected
    }
}

/// What waits for one partition's next copy.
#[derive(Default)]
struct Lane {
    incarnation: i32,
    range: Option<OffsetRange>,
    rows: Vec<RecordBatch>,
    count: usize,
    credits: Vec<Credit>,
    copying: bool,
}

impl RowMart {
    /// A follower that begins by filling up to the head.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "a constructor of plain parts")]
    pub fn new(
        link: Arc<MartLink>,
        previews: bool,
        tick: Duration,
        head: watch::Receiver<Head>,
        board: Board,
        clock: Clock,
        sentinel: Sentinel,
    ) -> Self {
        Self {
            link,
            previews,
            tick,
            head,
            mood: Mood::Filling(Filling::default()),
            lanes: BTreeMap::new(),
            newest_barrier: None,
            held: VecDeque::new(),
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
        let first = self.newest_barrier < Some(epoch);
        self.newest_barrier = self.newest_barrier.max(Some(epoch));
        match &mut self.mood {
            Mood::Filling(filling) if filling.until == Some(epoch) => {
                filling.passed.insert(partition);
                if filling.is_done() {
                    self.go_live(ctx);
                }
            }
            Mood::Behind if first && self.previews => {
                let expected = usize::try_from(expected).unwrap_or(usize::MAX);
                let passed = BTreeSet::from([partition]);
                self.mood = Mood::Filling(Filling { until: Some(epoch), passed, expected, filled: false });
                self.fill(ctx);
            }
            _ => {}
        }
    }

    fn copy(&mut self, partition: i32, ctx: &mut Context<Self>) {
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        if lane.copying {
            return;
        }
        let Some(load) = lane.unload() else { return };
        lane.copying = true;
        let link = Arc::clone(&self.link);
        let copy = async move {
            let result = link.copy(load.incarnation, partition, load.range, load.rows).await;
            drop(load.credits);
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
            Err(error) => self.trouble(error, ctx),
        }
    }

    fn fall_behind(&mut self) {
        self.mood = Mood::Behind;
        self.held.clear();
        for lane in self.lanes.values_mut() {
            let copying = lane.copying;
            *lane = Lane { copying, ..Lane::default() };
        }
    }

    fn trouble(&mut self, error: LinkError, ctx: &mut Context<Self>) {
        match error.trouble() {
            Trouble::Cause(cause) => self.end(cause, ctx),
            Trouble::Retry => {
                self.board.follower_trouble(NAME, &error.to_string());
                tracing::warn!(%error, "the mart of rows does not answer; the lake goes on, rows are filled later");
                self.fall_behind();
            }
        }
    }

    fn end(&mut self, cause: Cause, ctx: &mut Context<Self>) {
        self.sentinel.fail(cause);
        ctx.stop();
    }

    /// Fills up to the commit that the mood names, then takes what was held.
    fn fill(&mut self, ctx: &mut Context<Self>) {
        let Mood::Filling(Filling { until, .. }) = self.mood else { return };
        let (link, head, board) = (Arc::clone(&self.link), self.head.clone(), self.board.clone());
        let fill = async move { fill_until(&link, head, &board, until).await };
        let done = move |result: Result<bool, LinkError>, actor: &mut Self, ctx: &mut Context<Self>| match result {
            Ok(true) => actor.filled(ctx),
            Ok(false) => {}
            Err(error) => actor.trouble(error, ctx),
        };
        ctx.spawn(fill.into_actor(self).map(done));
    }

    fn filled(&mut self, ctx: &mut Context<Self>) {
        if let Mood::Filling(filling) = &mut self.mood {
            filling.filled = true;
            if filling.is_done() {
                self.go_live(ctx);
            }
        }
    }

    fn go_live(&mut self, ctx: &mut Context<Self>) {
        if !self.previews {
            return self.follow(ctx);
        }
        self.mood = Mood::Live;
        for (message, credit) in std::mem::take(&mut self.held) {
            self.take(message, credit, ctx);
        }
    }

    /// Without previews: fill whenever the head moves.
    fn follow(&mut self, ctx: &mut Context<Self>) {
        self.mood = Mood::Behind;
        self.held.clear();
        let (link, mut head, board) = (Arc::clone(&self.link), self.head.clone(), self.board.clone());
        let follow = async move {
            while head.changed().await.is_ok() {
                fill_until(&link, head.clone(), &board, None).await?;
            }
            Ok(())
        };
        let done = |result: Result<(), LinkError>, actor: &mut Self, ctx: &mut Context<Self>| {
            if let Err(error) = result {
                actor.trouble(error, ctx);
                ctx.run_later(crate::mart_link::BACK_OFF, |actor, ctx| actor.follow(ctx));
            }
        };
        ctx.spawn(follow.into_actor(self).map(done));
    }

    fn on_tick(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.mood, Mood::Live) {
            let lanes: Vec<i32> = self.lanes.keys().copied().collect();
            for partition in lanes {
                self.copy(partition, ctx);
            }
        }
    }

    /// Tells how far the table reflects the log: every partition's fence at or above a version's offsets.
    fn report(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.mood, Mood::Live) {
            let fold = Arc::clone(&self.head.borrow().fold);
            if self.link.reaches(&fold) {
                match fold.rows_boundary.filter(|_| self.retained < Some(fold.version)) {
                    Some(_) if self.retaining => {}
                    Some(boundary) => self.retain(boundary, fold.version, ctx),
                    None => self.board.follower_done(NAME, fold.version),
                }
            }
        }
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
                    actor.board.follower_done(NAME, version);
                }
                Err(error) => actor.trouble(error, ctx),
            }
        };
        ctx.spawn(delete.into_actor(self).map(done));
    }
}

impl Lane {
    fn push(&mut self, incarnation: i32, range: OffsetRange, rows: Option<RecordBatch>, credit: Credit) {
        self.incarnation = incarnation;
        self.range = Some(OffsetRange { from: self.range.map_or(range.from, |r| r.from), to: range.to });
        self.count += rows.as_ref().map_or(0, RecordBatch::num_rows);
        self.rows.extend(rows);
        self.credits.push(credit);
    }

    fn unload(&mut self) -> Option<Load> {
        let range = self.range.take()?;
        self.count = 0;
        Some(Load {
            incarnation: self.incarnation,
            range,
            rows: std::mem::take(&mut self.rows),
            credits: std::mem::take(&mut self.credits),
        })
    }
}

struct Load {
    incarnation: i32,
    range: OffsetRange,
    rows: Vec<RecordBatch>,
    credits: Vec<Credit>,
}

/// Waits for the commit of `until` (`None`: the head as it is) and fills every partition up to it. `false` if the
/// generation ends meanwhile.
async fn fill_until(
    link: &MartLink,
    mut head: watch::Receiver<Head>,
    board: &Board,
    until: Option<Epoch>,
) -> Result<bool, LinkError> {
    let fold: Arc<Fold> = loop {
        let now = head.borrow_and_update().clone();
        match until.map(|epoch| now.epochs.get(&epoch)) {
            None => break now.fold,
            Some(Some(version)) if *version == now.fold.version => break now.fold,
            Some(Some(version)) => break Arc::new(link.fold_at(*version).await?),
            Some(None) => {}
        }
        if head.changed().await.is_err() {
            return Ok(false);
        }
    };
    link.connect().await?;
    link.fill(&fold).await?;
    if let Some(boundary) = fold.rows_boundary {
        link.delete_rows_below(boundary).await?;
    }
    board.follower_done(NAME, fold.version);
    Ok(true)
}

impl Actor for RowMart {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.fill(ctx);
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
            Err(gap) => self.end(Cause::Failed(gap.to_string()), ctx),
        }
    }
}
