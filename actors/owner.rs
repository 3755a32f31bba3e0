//! Taking a pipeline over, and saying that one is alive (O1, O2).
//!
//! Safety never depends on anything here: a lease is a hint that keeps processes from taking over from each other for
//! no reason. What fences an older owner is the claim entry.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lakeward_connect::host::Process;
use lakeward_connect::log_store::{CreateOutcome, LogError, LogStore};
use lakeward_core::ids::{EventTime, Version};
use lakeward_core::log::{
    Author, Draft, Entry, EntryKind, Fold, Lease, Member, NewPartition, Occupied, Rebuilt, TakeOver, TakeOverFacts,
    occupied, render, render_first, take_over,
};

use crate::kit::clock::span;
use crate::kit::{Board, Clock};

/// Spans of `owner.*`, microseconds.
#[derive(Clone, Copy, Debug)]
pub struct OwnerTimes {
    /// How often the lease is renewed.
    pub renew: i64,
    /// How long an unchanged lease counts as fresh.
    pub expiry: i64,
    /// How long a claim stands before a forced take-over.
    pub min_tenure: i64,
}

/// A process that owns a pipeline or wants to.
#[derive(Clone)]
pub struct Owner {
    /// The pipeline's log.
    pub log: LogStore,
    /// Spans.
    pub times: OwnerTimes,
    /// Information about this process.
    pub member: Member,
    /// Hash of the definition that this process runs.
    pub definition: String,
    /// Shared state.
    pub board: Board,
    /// Time.
    pub clock: Clock,
}

/// What comes into the log with a claim.
#[derive(Clone, Debug, Default)]
pub struct Entering {
    /// Partitions that enter the set: all of them at version 0, those of a new incarnation later.
    pub partitions: BTreeMap<i32, NewPartition>,
    /// KPIs that are taken up, with the start of each one's first window (H4).
    pub first_windows: BTreeMap<String, EventTime>,
    /// Who prepares the log says under which claim of the log before (L6).
    pub rebuilt: Option<Rebuilt>,
}

/// What came of one try to take over.
#[must_use]
#[derive(Debug)]
pub enum Claimed {
    /// The pipeline is ours; the fold's newest entry is the claim.
    Ours(Box<Fold>),
    /// Somebody else was quicker, or the head has moved: look again.
    NotYet,
}

/// Watches a lease from outside.
#[derive(Debug, Default)]
pub struct LeaseWatch {
    seen: Option<(Lease, Instant)>,
    /// Whether it has changed since the first look.
    moved: bool,
}

impl Owner {
    /// Whether to take over now, seen from outside. `forced`: `--take-over` was given and not used up.
    pub async fn look(&self, watch: &mut LeaseWatch, fold: Option<&Fold>, forced: bool) -> Result<TakeOver, LogError> {
        let lease = self.read_lease().await?;
        let now = self.clock.steady();
        match (&lease, &watch.seen) {
            (Some(lease), Some((seen, _))) if seen == lease => {}
            (Some(lease), seen) => {
                watch.moved |= seen.is_some();
                watch.seen = Some((lease.clone(), now));
            }
            (None, _) => watch.seen = None,
        }
        let unchanged = watch.seen.as_ref().map_or(Duration::ZERO, |(_, since)| now.duration_since(*since));
        let holder_gone = lease
            .as_ref()
            .is_some_and(|l| Process { host: l.host.clone(), pid: l.pid, started: l.started.clone() }.is_gone());
        let facts = TakeOverFacts {
            claim: fold.map(|f| f.claim),
            lease,
            unchanged_for: i64::try_from(unchanged.as_micros()).unwrap_or(i64::MAX),
            holder_gone,
            forced,
            tenure: fold.map_or(i64::MAX, |f| self.clock.wall_micros().saturating_sub(f.claimed_at)),
            expiry: self.times.expiry,
            min_tenure: self.times.min_tenure,
        };
        Ok(take_over(&facts))
    }

    /// Whether a process runs the pipeline, as far as its lease tells by now.
    pub async fn occupied(&self, watch: &mut LeaseWatch, fold: &Fold) -> Result<Occupied, LogError> {
        let decision = self.look(watch, Some(fold), false).await?;
        Ok(occupied(decision, watch.moved))
    }

    /// Appends the log's last entry, which names log `next` (L6), under the claim in force, which is this process's.
    /// `None`: another process has taken the pipeline over meanwhile.
    pub async fn end(&self, mut fold: Fold, next: &str, attempt: String) -> Result<Option<Fold>, LogError> {
        let (claim, definition) = (fold.claim, fold.definition.clone());
        let author = Author { claim, attempt, member: self.member.clone(), definition, now: self.clock.wall_micros() };
        let entry = render(&fold, &Draft::empty(EntryKind::Ended { next: next.to_owned() }), &author);
        match self.log.create(&entry, |error| tracing::warn!(%error, "ending the log")).await? {
            CreateOutcome::Committed(hash) => {
                fold.apply(&entry, hash)?;
                Ok(Some(fold))
            }
            CreateOutcome::Other(_) => Ok(None),
        }
    }

    /// Creates the claim entry (O1).
    pub async fn claim(&self, fold: Option<Fold>, entering: Entering, attempt: String) -> Result<Claimed, LogError> {
        let author = Author {
            claim: Version(0),
            attempt,
            member: self.member.clone(),
            definition: self.definition.clone(),
            now: self.clock.wall_micros(),
        };
        let mut draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        draft.new_partitions = entering.partitions;
        draft.first_windows = entering.first_windows;
        draft.rebuilt = entering.rebuilt;
        let entry = match &fold {
            None => render_first(self.log.id(), &draft, &author),
            Some(fold) => render(fold, &draft, &author),
        };
        let outcome = self.log.create(&entry, |error| tracing::warn!(%error, "claiming the pipeline")).await?;
        match outcome {
            CreateOutcome::Committed(hash) => Ok(Claimed::Ours(Box::new(taken(fold, &entry, hash)?))),
            CreateOutcome::Other(_) => Ok(Claimed::NotYet),
        }
    }

    /// Renews the lease for as long as nobody with a greater claim does; then returns that claim.
    pub async fn keep_lease(self, claim: Version) -> Version {
        let mut beat = 0;
        loop {
            match self.read_lease().await {
                Ok(Some(lease)) if lease.claim > claim => return lease.claim,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the lease could not be read"),
            }
            beat += 1;
            if let Err(error) = self.write_lease(claim, beat, false).await {
                tracing::warn!(%error, "the lease was not renewed");
            }
            tokio::time::sleep(span(self.times.renew)).await;
        }
    }

    /// Gives the lease up, so that a stand-by takes over at once (O2).
    pub async fn give_up(&self, claim: Version) {
        if let Err(error) = self.write_lease(claim, 0, true).await {
            tracing::warn!(%error, "the lease was not given up; a stand-by waits until it expires");
        }
    }

    async fn read_lease(&self) -> Result<Option<Lease>, LogError> {
        let path = self.log.paths().lease();
        let bytes = self.log.lake().read(&path).await.map_err(|source| LogError::Lake { path, source })?;
        // A lease that can't be parsed is no lease: it is a hint.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    async fn write_lease(&self, claim: Version, beat: u64, given_up: bool) -> Result<(), LogError> {
        let path = self.log.paths().lease();
        let this = Process::this();
        let lease = Lease {
            log_id: self.log.id().to_owned(),
            claim,
            host: this.host,
            pid: this.pid,
            started: this.started,
            beat,
            given_up,
        };
        let bytes =
            serde_json::to_vec(&lease).map_err(|e| LogError::Damaged { path: path.clone(), what: e.to_string() })?;
        self.log.lake().put(&path, Bytes::from(bytes)).await.map_err(|source| LogError::Lake { path, source })
    }
}

fn taken(fold: Option<Fold>, entry: &Entry, hash: String) -> Result<Fold, LogError> {
    match fold {
        None => Ok(Fold::first(entry, hash)?),
        Some(mut fold) => {
            fold.apply(entry, hash)?;
            Ok(fold)
        }
    }
}
