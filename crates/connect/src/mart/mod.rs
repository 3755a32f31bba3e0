//! Marts: databases that show rows and KPIs within a few hundred milliseconds, ahead of the log, and follow it exactly.
//!
//! Promises: F2 and F3. Every write is one transaction that ends on a fence, so a crash, a lost answer, a replay or a
//! thawed older owner changes nothing twice and nothing at all under an older claim (I7, I9). A claim takes back what
//! attempts that died had shown. A final KPI row is written only by applying an entry (I11).
//! Deliberately absent: reading the log or files, retries (the caller backs off), deciding what is late or closed.

#[cfg(test)]
mod bench;
pub mod board;
mod checkup;
mod error;
mod outcome;
mod plan;
mod postgres;
mod shape;
mod snapshot;
mod sqlite;
mod steps;
#[cfg(test)]
mod suite;
mod twin;

use std::time::Duration;

use lakeward_core::ids::{EventTime, Version};
use lakeward_core::pipeline::Pipeline;

pub use checkup::Checkup;
pub use error::MartError;
pub use outcome::*;
pub use plan::{Added, MartContext, REPLAYED_FENCE, late_fence};
pub use postgres::{PostgresMart, copy_stream};
pub use snapshot::{Fences, HeldKpiFence, MartSnapshot, MartValue, TableScan};
pub use sqlite::SqliteMart;
pub use twin::{MartCall, MartFaults, MartScript, MartTwin};

use crate::crash_point::Around;

/// How a mart is used.
#[derive(Clone, Debug)]
pub struct MartOptions {
    /// The name of sessions outside of a claimed pipeline's transactions.
    pub application_name: String,
    /// A statement that takes longer is broken off; claims have no such limit.
    pub statement_timeout: Duration,
    /// How long a connection or a lock is waited for.
    pub patience: Duration,
    /// Most connections at once (Postgres).
    pub connections: u32,
}

impl Default for MartOptions {
    fn default() -> Self {
        Self {
            application_name: "lakeward".into(),
            statement_timeout: Duration::from_secs(30),
            patience: Duration::from_secs(5),
            connections: 4,
        }
    }
}

/// A mart; clones share connections. All calls may be made from any tokio runtime: connections live on one of their own.
/// A call that is dropped half-way may still take effect, as one whose answer is lost.
#[derive(Clone, Debug)]
pub enum Mart {
    /// Postgres 13 or later.
    Postgres(PostgresMart),
    /// SQLite in WAL mode, for one machine.
    Sqlite(SqliteMart),
    /// One that fails on cue, for tests.
    Twin(MartTwin),
}

macro_rules! each {
    ($self:ident, $mart:ident => $call:expr) => {
        match $self {
            Mart::Postgres($mart) => $call,
            Mart::Sqlite($mart) => $call,
            Mart::Twin($mart) => $call,
        }
    };
}

impl Mart {
    /// A mart by its URL: `postgres://user:password@host:port/database` or `sqlite:///path/to/file`. Postgres is
    /// connected by the first call, so that a mart that is down is not an error here.
    pub async fn open(url: &str, options: MartOptions) -> Result<Self, MartError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return PostgresMart::open(url, options).map(Self::Postgres);
        }
        if let Some(path) = url.strip_prefix("sqlite://") {
            return SqliteMart::open(path, &options).await.map(Self::Sqlite);
        }
        Err(MartError::Config("its URL must begin with postgres:// or sqlite:///".into()))
    }

    /// Creates what is missing of the pipeline's tables and the engine's; adds nullable columns; refuses tables of
    /// another shape or with rows of unknown origin (`MART_SCHEMA`), and a mart of another log (`OTHER_LOG`).
    /// Two processes may do so at once. Changes no row; a table made anew loses its fences, so that the next claim finds
    /// it empty.
    pub async fn prepare(&self, pipeline: &Pipeline, log_id: &str) -> Result<(), MartError> {
        self.prepare_under(&MartContext::new(pipeline, log_id, Version(0))?).await
    }

    /// The same for the owner of a claim: sessions of older claims don't stand in its way (F5).
    pub async fn prepare_under(&self, context: &MartContext) -> Result<(), MartError> {
        let _around = Around::mart(MartCall::Prepare);
        each!(self, mart => mart.prepare(context).await)
    }

    /// Takes the mart over under the context's claim, in one transaction: rows that dead attempts had shown go, fences
    /// move to min(next, end of their claim's reign), fences that don't exist begin at the start offset given for
    /// (incarnation, partition, start). Again under the same claim it changes nothing and answers as before.
    pub async fn claim(
        &self,
        context: &MartContext,
        reign_end: ReignEnd,
        partitions: &[(i32, i32, i64)],
    ) -> Result<Claimed, MartError> {
        let _around = Around::mart(MartCall::Claim);
        each!(self, mart => mart.claim(context, reign_end, partitions).await)
    }

    /// Adds the rows of consecutive batches, all or none, and moves their fences from `base` to `to`.
    pub async fn copy_many(&self, context: &MartContext, batches: &[RowsBatch]) -> Result<RowsOutcome, MartError> {
        let _around = Around::mart(MartCall::Copy);
        each!(self, mart => mart.copy_many(context, batches).await)
    }

    /// `copy_many` of one batch.
    pub async fn copy_rows(&self, context: &MartContext, batch: RowsBatch) -> Result<RowsOutcome, MartError> {
        self.copy_many(context, &[batch]).await
    }

    /// Shows live values of a KPI, except where a final row stands or the window is closed.
    pub async fn upsert_live(&self, ctx: &MartContext, kpi: usize, live: LiveRows) -> Result<LiveOutcome, MartError> {
        let _around = Around::mart(MartCall::Live);
        each!(self, mart => mart.upsert_live(ctx, kpi, live).await)
    }

    /// Applies an entry's final rows of a KPI; previews of the windows that it closes go.
    pub async fn apply_final(&self, ctx: &MartContext, kpi: usize, rows: FinalRows) -> Result<FinalOutcome, MartError> {
        let _around = Around::mart(MartCall::Final);
        each!(self, mart => mart.apply_final(ctx, kpi, rows).await)
    }

    /// Adds rows that entries brought: all or none, and only behind those of the entries before.
    pub async fn add(&self, ctx: &MartContext, to: Added, rows: AddedRows) -> Result<AddOutcome, MartError> {
        let _around = Around::mart(MartCall::Add);
        each!(self, mart => mart.add(ctx, to, rows).await)
    }

    /// Retention: deletes rows whose Kafka timestamp is below the boundary.
    pub async fn delete_rows_below(&self, ctx: &MartContext, boundary: EventTime) -> Result<LiveOutcome, MartError> {
        let _around = Around::mart(MartCall::Delete);
        each!(self, mart => mart.delete_rows_below(ctx, boundary).await)
    }

    /// For a reset, once the logs `past` have ended: empties the pipeline's tables and gives the mart to log `next`, in
    /// one transaction, if one of them holds it. A mart that nobody holds only changes hands; one that `next` holds stays
    /// as it is; any other is refused (`OTHER_LOG`). From then on owners of past logs change nothing here (I9).
    pub async fn hand_over(&self, pipeline: &Pipeline, past: &[String], next: &str) -> Result<(), MartError> {
        self.hand_over_for(&MartContext::new(pipeline, next, Version(0))?, past).await
    }

    /// What the mart says of itself: version, clock, rights, and settings that forget.
    pub async fn checkup(&self) -> Result<Checkup, MartError> {
        each!(self, mart => mart.checkup().await)
    }

    /// What the mart holds of the pipeline; missing tables are left out.
    pub async fn status(&self, pipeline: &Pipeline) -> Result<MartStatus, MartError> {
        self.status_for(&MartContext::new(pipeline, "", Version(0))?).await
    }

    /// Who holds the mart for the pipeline, and the fences of its rows; nothing where the mart was never claimed.
    pub async fn holding(&self, pipeline: &Pipeline) -> Result<Holding, MartError> {
        self.holding_for(&MartContext::new(pipeline, "", Version(0))?).await
    }

    /// The newest `n` rows of one of the pipeline's tables, for people: by Kafka timestamp or window, then by key. Empty
    /// where the table does not exist yet; an error where the pipeline has no such table.
    pub async fn newest(&self, pipeline: &Pipeline, table: &str, n: u32) -> Result<NewestRows, MartError> {
        let context = MartContext::new(pipeline, "", Version(0))?;
        if context.plan.table(table).is_none() {
            let tables: Vec<&str> = context.plan.tables().map(|t| t.name.as_str()).collect();
            let message = format!("pipeline {} has no table {table}, only {}", pipeline.name, tables.join(", "));
            return Err(MartError::Config(message));
        }
        each!(self, mart => mart.newest(&context, table, n).await)
    }

    /// The mart at this moment, for checking it: fences of the given log and, from the same moment, rows.
    pub async fn snapshot(&self, pipeline: &Pipeline, log_id: &str) -> Result<MartSnapshot, MartError> {
        let context = MartContext::new(pipeline, log_id, Version(0))?;
        let (fences, held) = each!(self, mart => mart.snapshot(&context).await)?;
        Ok(MartSnapshot::new(fences, context, held))
    }

    async fn status_for(&self, context: &MartContext) -> Result<MartStatus, MartError> {
        each!(self, mart => mart.status(context).await)
    }

    async fn holding_for(&self, context: &MartContext) -> Result<Holding, MartError> {
        each!(self, mart => mart.holding(context).await)
    }

    async fn hand_over_for(&self, context: &MartContext, past: &[String]) -> Result<(), MartError> {
        let _around = Around::mart(MartCall::HandOver);
        each!(self, mart => mart.hand_over(context, past).await)
    }
}
