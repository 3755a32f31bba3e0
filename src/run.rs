//! The life of a pipeline in this process: reach what it needs, own it or stand by, run generations, stop.
//!
//! A generation ends at the first cause that is heard; what follows is decided in one place, `after`.

use std::sync::Arc;
use std::time::Duration;

use lakeward_actors::kit::{Cause, metric::Metric};
use lakeward_actors::owner::{Claimed, LeaseWatch, Owner};
use lakeward_connect::lake::{Create, Lake};
use lakeward_connect::log_store::{LogError, LogStore};
use lakeward_core::ids::Version;
use lakeward_core::log::{Accept, Fold, PipelinePaths, ResetStanding, TakeOver, reset_standing};
use tokio::sync::watch;

use crate::admission::too_many_refused;
use crate::exit::Exit;
use crate::topology::{self, Generation, Plan};

/// How often a stand-by looks at the lease.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Pauses between generations that fail.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The word of a start that must wait for the end of a reset.
const UNFINISHED: &str = "RESET_UNFINISHED";

/// What a pipeline is run with.
pub struct Runner {
    /// Everything that a generation is made from.
    pub plan: Plan,
    /// The lake.
    pub lake: Lake,
    /// Spans of ownership.
    pub times: lakeward_actors::owner::OwnerTimes,
    /// `--once`: read to the present ends, commit, exit.
    pub once: bool,
    /// `--close-all`: with `once`, raise floors as if all partitions were idle.
    pub close_all: bool,
    /// `--take-over`: don't wait for the lease.
    pub take_over: bool,
    /// What of the topic is accepted that is refused otherwise.
    pub accept: Accept,
    /// A topic id to use where Kafka tells none.
    pub topic_id: Option<String>,
    /// Longest time for a stop to take.
    pub stop_bound: Duration,
    /// How long to wait for what is needed at the start.
    pub patience: Duration,
}

/// What was done by `--once`, for the closing line.
#[derive(Debug, Default)]
pub struct Summary {
    /// The head at the end, if this process owned the pipeline.
    pub fold: Option<Arc<Fold>>,
}

/// What came of waiting for a pipeline.
enum Owned {
    /// It is ours; the fold's newest entry is the claim.
    Ours(Box<Fold>),
    /// A stop came first.
    Stopped,
    /// The log has ended: another is in force.
    LogEnded,
}

/// How a generation ended.
enum Ended {
    Cause(Cause),
    /// A stop was asked for, or `--once` is done; everything is committed.
    Clean(Arc<Fold>),
    /// It does not go on, for a reason that the next admission tells; what was read is committed.
    Halted(Arc<Fold>),
}

impl Runner {
    /// Runs until a stop is asked for or something ends the pipeline for good.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<Summary, Exit> {
        let mut owner = self.owner(self.open_log().await?);
        self.write_definition().await?;
        let mut pause = BACK_OFF.0;
        let mut first = true;
        loop {
            let owned = self.own(&owner, &mut stop, !first).await;
            let fold = match owned.map_err(|exit| if first { exit } else { exit.while_running() })? {
                Owned::Ours(fold) => *fold,
                Owned::Stopped => return Ok(Summary::default()),
                Owned::LogEnded => {
                    let Some(log) = self.next_log(&mut stop).await? else { return Ok(Summary::default()) };
                    owner = self.owner(log);
                    continue;
                }
            };
            let claim = fold.claim;
            let ended = self.generation(&owner, &owner.log, fold, &mut stop).await;
            self.plan.board.set_owner(false);
            first = false;
            match ended {
                Ok(Ended::Clean(fold)) => {
                    owner.give_up(claim).await;
                    return Ok(Summary { fold: Some(fold) });
                }
                Ok(Ended::Cause(cause)) => self.after(cause)?,
                // The next look at topic and log says what is wrong with it, or takes a new one up.
                Ok(Ended::Halted(_)) => {}
                Err(error) => tracing::warn!(error = %format!("{error:#}"), "the generation could not start"),
            }
            if *stop.borrow() {
                return Ok(Summary::default());
            }
            tracing::info!(pause_ms = pause.as_millis(), "starting a new generation");
            tokio::select! { () = tokio::time::sleep(pause) => {}, _ = stop.changed() => {} }
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    /// What a cause means for the process.
    fn after(&self, cause: Cause) -> Result<(), Exit> {
        let board = &self.plan.board;
        board.history().failed(board.head(), self.plan.clock.wall_micros(), &cause.to_string());
        match cause {
            Cause::Fenced(claim) => {
                let outcome = "fenced";
                metrics::counter!(Metric::CommitOutcomesTotal.name(), "pipeline" => self.plan.pipeline.name.clone(), "outcome" => outcome).increment(1);
                Err(Exit::fenced(&self.plan.pipeline.name, claim))
            }
            Cause::Stop { code, message } => Err(Exit::stopped(code, message)),
            other => {
                tracing::warn!(cause = %other, "the generation ended; what is committed stands");
                Ok(())
            }
        }
    }

    fn owner(&self, log: LogStore) -> Owner {
        Owner {
            log,
            times: self.times,
            member: self.plan.member.clone(),
            definition: self.plan.definition.clone(),
            board: self.plan.board.clone(),
            clock: self.plan.clock.clone(),
        }
    }

    /// The log in force. Where a reset has not cleared the one before yet, none is.
    async fn open_log(&self) -> Result<LogStore, Exit> {
        let new_id = format!("{:032x}", rand::random::<u128>());
        let pipeline = &self.plan.pipeline.name;
        let open = || async {
            let log = LogStore::open(&self.lake, pipeline, &new_id).await?;
            let standing = LogStore::standing(&LogStore::all(&self.lake, pipeline).await?).await?;
            Ok::<_, LogError>((log, reset_standing(&standing)))
        };
        match patiently(self.patience, open, "the lake").await? {
            (_, ResetStanding::Unfinished) => Err(Exit::refused(UNFINISHED, unfinished(pipeline))),
            (log, _) => Ok(log),
        }
    }

    /// The log that follows one that a reset has ended, once that is cleared; `None` if a stop came first.
    async fn next_log(&self, stop: &mut watch::Receiver<bool>) -> Result<Option<LogStore>, Exit> {
        tracing::info!(pipeline = self.plan.pipeline.name, "the log has ended; waiting for the next one");
        loop {
            match self.open_log().await {
                Err(exit) if exit.reason == UNFINISHED => wait(stop, LOOK_EVERY).await,
                Err(exit) => return Err(exit),
                Ok(log) => return Ok(Some(log)),
            }
            if *stop.borrow() {
                return Ok(None);
            }
        }
    }

    /// The definition is there before the first entry that carries its hash (L2).
    async fn write_definition(&self) -> Result<(), Exit> {
        let path = PipelinePaths::new(&self.plan.pipeline.name).definition(&self.plan.definition);
        let body = self.plan.pipeline.definition();
        let bytes = serde_json::to_vec_pretty(&body).map_err(|e| Exit::bug(e.to_string()))?;
        let write = || async {
            match self.lake.create_new(&path, bytes.clone().into()).await {
                Create::Created | Create::Exists => Ok(()),
                Create::Unknown(error) | Create::Failed(error) => Err(error),
            }
        };
        patiently(self.patience, write, "the lake").await
    }

    /// Stands by until this process may take over, and does so.
    async fn own(&mut self, owner: &Owner, stop: &mut watch::Receiver<bool>, mine: bool) -> Result<Owned, Exit> {
        let mut lease = LeaseWatch::default();
        let mut told = false;
        // A restart of the generation takes over like a stranger, but it need not wait for its own lease (O3).
        let mut forced = self.take_over;
        let mut known = None;
        loop {
            if *stop.borrow() {
                return Ok(Owned::Stopped);
            }
            let fold = match owner.log.catch_up(known.take()).await {
                Ok(fold) => fold,
                Err(error) if transient(&error) => {
                    tracing::warn!(%error, "reading the log");
                    wait(stop, LOOK_EVERY).await;
                    continue;
                }
                Err(error) => return Err(Exit::refused("LOG", error.to_string())),
            };
            let own_claim = mine && fold.as_ref().is_some_and(|f| f.claim == self.claimed());
            // Who owned and finds a greater claim was fenced, whatever ended its generation first (O2).
            if let Some(greater) = fold.as_ref().map(|f| f.claim).filter(|claim| mine && *claim > self.claimed()) {
                return Err(Exit::fenced(&self.plan.pipeline.name, greater));
            }
            if fold.as_ref().is_some_and(|f| f.ended.is_some()) {
                return Ok(Owned::LogEnded);
            }
            let new_kpis = self.check_definition(fold.as_ref()).await?;
            let decision = match owner.look(&mut lease, fold.as_ref(), forced).await {
                Ok(_) if own_claim => TakeOver::Now,
                Ok(decision) => decision,
                Err(error) => {
                    tracing::warn!(%error, "reading the lease");
                    TakeOver::StandBy
                }
            };
            if decision == TakeOver::Now {
                let entering = match self.admit(&owner.log, fold.as_ref(), &new_kpis, mine).await {
                    // It ran before: it waits for what is away as long as it takes (I16).
                    Err(exit) if mine && exit.is_unreachable() => {
                        tracing::warn!(%exit, "taking the pipeline over again");
                        wait(stop, LOOK_EVERY).await;
                        continue;
                    }
                    admitted => admitted?,
                };
                let attempt = format!("{:032x}", rand::random::<u128>());
                match owner.claim(fold, entering, attempt).await {
                    Ok(Claimed::Ours(fold)) => {
                        self.took(&fold);
                        return Ok(Owned::Ours(fold));
                    }
                    // Another claim won: respect it from now on.
                    Ok(Claimed::NotYet) => forced = false,
                    Err(error) => tracing::warn!(%error, "claiming the pipeline"),
                }
            } else {
                known = fold;
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(
                        pipeline = self.plan.pipeline.name,
                        "standing by: another process owns the pipeline"
                    );
                }
            }
            wait(stop, LOOK_EVERY).await;
        }
    }

    fn claimed(&self) -> Version {
        self.plan.board.claim()
    }

    fn took(&self, fold: &Fold) {
        self.plan.board.set_owner(true);
        self.plan.board.set_claim(fold.claim);
        tracing::info!(pipeline = self.plan.pipeline.name, claim = fold.claim.0, "took the pipeline over");
    }

    /// Runs one generation to its end.
    async fn generation(
        &mut self,
        owner: &Owner,
        log: &LogStore,
        fold: Fold,
        stop: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<Ended> {
        metrics::counter!(Metric::GenerationsTotal.name(), "pipeline" => self.plan.pipeline.name.clone()).increment(1);
        if self.once && self.plan.until.is_none() {
            let facts = self.topic_facts().await?;
            self.plan.until = Some(facts.offsets.iter().map(|(&p, &(_, high))| (p, high)).collect());
        }
        let claim = fold.claim;
        let lease = tokio::spawn(owner.clone().keep_lease(claim));
        let keeper = lease.abort_handle();
        let spawned = topology::spawn(self.plan.clone(), log.clone(), fold).await;
        let mut generation = spawned.inspect_err(|_| keeper.abort())?;
        let ended = self.supervise(&mut generation, lease, stop).await;
        if let Ended::Clean(fold) | Ended::Halted(fold) = &ended {
            self.converge(fold).await;
        }
        keeper.abort();
        generation.stop().await;
        Ok(ended)
    }

    async fn supervise(
        &self,
        generation: &mut Generation,
        mut lease: tokio::task::JoinHandle<Version>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let (mut finishing, mut halted) = (false, false);
        let deadline = tokio::time::sleep(Duration::MAX);
        tokio::pin!(deadline);
        let head = loop {
            tokio::select! {
                cause = generation.heard.recv() => match cause {
                    Some(Cause::Finished) => break Arc::clone(&generation.head.borrow().fold),
                    Some(Cause::RecordsLost(why)) => {
                        tracing::warn!(why, "kafka has lost records; what was read before them is committed");
                        halted = true;
                    }
                    Some(Cause::FollowerDied(name)) => {
                        tracing::warn!(follower = name, "a follower died; starting it again");
                        metrics::counter!(Metric::FollowerRestartsTotal.name(), "pipeline" => self.plan.pipeline.name.clone(), "sink" => name.clone()).increment(1);
                        generation.restart_follower(&name);
                    }
                    Some(cause) => return Ended::Cause(cause),
                    None => return Ended::Cause(Cause::Failed("all actors are gone".to_owned())),
                },
                greater = &mut lease => {
                    let claim = greater.unwrap_or_default();
                    return Ended::Cause(Cause::Fenced(claim));
                }
                _ = look.tick() => {
                    let refused = |fold: &Fold| too_many_refused(&self.plan.pipeline, fold, self.accept).is_some();
                    if !halted && refused(&generation.head.borrow().fold) {
                        tracing::warn!("too many of the newest records were refused");
                        halted = true;
                    }
                    if !finishing && (halted || *stop.borrow() || self.reached()) {
                        finishing = true;
                        generation.finish(self.once && self.close_all).await;
                        deadline.as_mut().reset(tokio::time::Instant::now() + self.finish_bound(halted || *stop.borrow()));
                    }
                }
                () = &mut deadline, if finishing => {
                    tracing::warn!("the last epoch did not commit within the bound; it is read again at the next start");
                    break Arc::clone(&generation.head.borrow().fold);
                }
            }
        };
        if halted { Ended::Halted(head) } else { Ended::Clean(head) }
    }

    fn finish_bound(&self, stopping: bool) -> Duration {
        if stopping { self.stop_bound } else { Duration::from_secs(600) }
    }

    /// Whether `--once` has read everything that it is to read.
    fn reached(&self) -> bool {
        let Some(until) = self.plan.until.as_ref().filter(|_| self.once) else { return false };
        let board = self.plan.board.partitions();
        until.iter().all(|(p, end)| board.get(p).is_some_and(|state| state.position >= *end))
    }

    /// Waits, within the bound, until all followers have applied the head.
    async fn converge(&self, fold: &Fold) {
        let bound = self.finish_bound(true);
        let all = async {
            // A message to a mart's follower counts too: it is between an actor that has sent it and one that has not
            // taken it up.
            let underway = || {
                let now = self.plan.clock.steady();
                self.plan.gauges.live().iter().any(|g| g.kind == "kpi_mart" && g.read(now).depth > 0)
            };
            let behind = || self.plan.board.followers().iter().any(|f| f.done < Some(fold.version));
            while behind() || underway() || !self.plan.board.all_shown() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(bound, all).await.is_err() {
            for follower in self.plan.board.followers().iter().filter(|f| f.done < Some(fold.version)) {
                tracing::warn!(
                    follower = follower.key(),
                    trouble = follower.trouble.as_deref().unwrap_or(""),
                    "behind the head; the next start brings it up"
                );
            }
        }
    }
}

/// Tries until it works or patience is over: what is needed at the start must answer (exit code 3).
pub async fn patiently<T, E, F>(patience: Duration, attempt: impl Fn() -> F, what: &str) -> Result<T, Exit>
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    let started = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(200);
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if started.elapsed() >= patience => {
                return Err(Exit::unreachable(format!("{what}: {error:#} (tried for {patience:?})")));
            }
            Err(error) => tracing::warn!(error = %format!("{error:#}"), what, "not reachable yet; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

async fn wait(stop: &mut watch::Receiver<bool>, pause: Duration) {
    tokio::select! { () = tokio::time::sleep(pause) => {}, _ = stop.changed() => {} }
}

fn unfinished(pipeline: &str) -> String {
    format!(
        "a reset or a rebuild of pipeline {pipeline} was cut off; run `lakeward reset` or `lakeward rebuild` again, it goes on from there"
    )
}

fn transient(error: &LogError) -> bool {
    matches!(error, LogError::Lake { .. })
}

/// Spans of ownership from the configuration.
#[must_use]
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
