//! A mart that fails on cue: the twin, for tests, of one whose network or process fails. What it holds lies in a
//! real SQLite file.
//!
//! Promises: a call's effect happens as the cue says, before, after or without its answer, or late. Deliberately keeps
//! nothing of its own.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use lakeward_core::ids::EventTime;

use super::snapshot::{Fences, Held};
use super::{
    AddOutcome, Added, AddedRows, Claimed, FinalOutcome, FinalRows, Holding, LiveOutcome, LiveRows, MartContext,
    MartError, MartOptions, MartStatus, NewestRows, ReignEnd, RowsBatch, RowsOutcome, SqliteMart,
};
use crate::lake::Cue;

/// The calls that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MartCall {
    /// `prepare`
    Prepare,
    /// `claim`
    Claim,
    /// `copy_many`, `copy_rows`
    Copy,
    /// `upsert_live`
    Live,
    /// `apply_final`
    Final,
    /// `add`
    Add,
    /// `delete_rows_below`
    Delete,
    /// `hand_over`
    HandOver,
}

/// Decides how a call goes.
pub type MartScript = Box<dyn FnMut(MartCall) -> Option<Cue> + Send>;

type Late = BoxFuture<'static, ()>;

/// How the calls of one process go. Clones share it, and so do all twins that are opened with it.
#[derive(Clone)]
pub struct MartFaults {
    script: Arc<Mutex<MartScript>>,
    dead: Arc<AtomicBool>,
    late: Arc<Mutex<Vec<Late>>>,
}

impl MartFaults {
    /// `script` is asked before each call that changes something.
    #[must_use]
    pub fn new(script: MartScript) -> Self {
        Self { script: Arc::new(Mutex::new(script)), dead: Arc::default(), late: Arc::default() }
    }

    /// Ends the process: nothing that it asks for happens any more.
    pub fn die(&self) {
        self.dead.store(true, Ordering::Release);
    }

    /// Carries out what was held back by [`Cue::Late`], and returns how many calls that were.
    pub async fn deliver_late(&self) -> usize {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        let count = late.len();
        for call in late {
            call.await;
        }
        count
    }
}

impl fmt::Debug for MartFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MartFaults").field("dead", &self.dead).finish_non_exhaustive()
    }
}

/// A mart whose calls go as they are told.
#[derive(Clone, Debug)]
pub struct MartTwin {
    inner: SqliteMart,
    faults: MartFaults,
}

impl MartTwin {
    /// A twin in front of the SQLite file at `path`.
    ///
    /// # Errors
    /// As those of SQLite.
    pub async fn open(path: &str, options: &MartOptions, faults: &MartFaults) -> Result<Self, MartError> {
        Ok(Self { inner: SqliteMart::open(path, options).await?, faults: faults.clone() })
    }

    pub(super) async fn prepare(&self, context: &MartContext) -> Result<(), MartError> {
        let context = context.clone();
        self.call(MartCall::Prepare, move |mart| async move { mart.prepare(&context).await }).await
    }

    pub(super) async fn claim(
        &self,
        context: &MartContext,
        reign_end: ReignEnd,
        partitions: &[(i32, i32, i64)],
    ) -> Result<Claimed, MartError> {
        let (context, partitions) = (context.clone(), partitions.to_vec());
        let claim = move |mart: SqliteMart| async move { mart.claim(&context, reign_end, &partitions).await };
        self.call(MartCall::Claim, claim).await
    }

    pub(super) async fn copy_many(&self, ctx: &MartContext, batches: &[RowsBatch]) -> Result<RowsOutcome, MartError> {
        let (ctx, batches) = (ctx.clone(), batches.to_vec());
        self.call(MartCall::Copy, move |mart| async move { mart.copy_many(&ctx, &batches).await }).await
    }

    pub(super) async fn upsert_live(
        &self,
        ctx: &MartContext,
        kpi: usize,
        live: LiveRows,
    ) -> Result<LiveOutcome, MartError> {
        let ctx = ctx.clone();
        self.call(MartCall::Live, move |mart| async move { mart.upsert_live(&ctx, kpi, live).await }).await
    }

    pub(super) async fn apply_final(
        &self,
        ctx: &MartContext,
        kpi: usize,
        rows: FinalRows,
    ) -> Result<FinalOutcome, MartError> {
        let ctx = ctx.clone();
        self.call(MartCall::Final, move |mart| async move { mart.apply_final(&ctx, kpi, rows).await }).await
    }

    pub(super) async fn add(&self, ctx: &MartContext, to: Added, rows: AddedRows) -> Result<AddOutcome, MartError> {
        let ctx = ctx.clone();
        self.call(MartCall::Add, move |mart| async move { mart.add(&ctx, to, rows).await }).await
    }

    pub(super) async fn delete_rows_below(&self, ctx: &MartContext, to: EventTime) -> Result<LiveOutcome, MartError> {
        let ctx = ctx.clone();
        self.call(MartCall::Delete, move |mart| async move { mart.delete_rows_below(&ctx, to).await }).await
    }

    pub(super) async fn hand_over(&self, ctx: &MartContext, past: &[String]) -> Result<(), MartError> {
        let (ctx, past) = (ctx.clone(), past.to_vec());
        self.call(MartCall::HandOver, move |mart| async move { mart.hand_over(&ctx, &past).await }).await
    }

    pub(super) async fn status(&self, context: &MartContext) -> Result<MartStatus, MartError> {
        self.alive()?;
        self.inner.status(context).await
    }

    pub(super) async fn holding(&self, context: &MartContext) -> Result<Holding, MartError> {
        self.alive()?;
        self.inner.holding(context).await
    }

    pub(super) async fn newest(&self, context: &MartContext, table: &str, n: u32) -> Result<NewestRows, MartError> {
        self.alive()?;
        self.inner.newest(context, table, n).await
    }

    pub(super) async fn snapshot(&self, context: &MartContext) -> Result<(Fences, Held), MartError> {
        self.alive()?;
        self.inner.snapshot(context).await
    }

    async fn call<T, F>(
        &self,
        call: MartCall,
        work: impl FnOnce(SqliteMart) -> F + Send + 'static,
    ) -> Result<T, MartError>
    where
        F: Future<Output = Result<T, MartError>> + Send + 'static,
    {
        self.alive()?;
        let cue = (self.faults.script.lock().unwrap_or_else(PoisonError::into_inner))(call);
        if let Some(Cue::DieBefore | Cue::DieAfter) = cue {
            self.faults.die();
        }
        let mart = self.inner.clone();
        match cue {
            None => return work(mart).await,
            Some(Cue::LostAnswer | Cue::DieAfter) => drop(work(mart).await),
            Some(Cue::Late) => {
                let late: Late = Box::pin(async move { drop(work(mart).await) });
                self.faults.late.lock().unwrap_or_else(PoisonError::into_inner).push(late);
            }
            Some(Cue::Full | Cue::LostRequest | Cue::DieBefore) => {}
        }
        Err(lost(call))
    }

    fn alive(&self) -> Result<(), MartError> {
        if self.faults.dead.load(Ordering::Acquire) { Err(lost(MartCall::Prepare)) } else { Ok(()) }
    }
}

fn lost(call: MartCall) -> MartError {
    MartError::Unreachable {
        mart: "the twin".to_owned(),
        doing: format!("{call:?}").to_lowercase(),
        cause: "no answer, as told".to_owned(),
    }
}
