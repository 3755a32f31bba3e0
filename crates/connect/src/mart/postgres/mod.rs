//! A Postgres mart. Work is done on a small runtime of its own: callers sit on arbiters that come and go, connections
//! must not. Encoding therefore is off the arbiters too.

mod added;
mod binary;
mod board;
mod checkup;
mod claim;
mod failure;
mod hand_over;
mod kpi;
mod rows;
mod schema;
mod session;
mod snapshot;
mod staging;
mod status;

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use lakeward_core::ids::EventTime;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::snapshot::{Fences, Held};
use super::{
    AddOutcome, Added, AddedRows, Checkup, Claimed, FinalOutcome, FinalRows, Holding, LiveOutcome, LiveRows,
    MartContext, MartError, MartOptions, MartStatus, NewestRows, ReignEnd, RowsBatch, RowsOutcome,
};
use failure::Failure;
use session::Sessions;
#[cfg(test)]
pub(super) use session::claimant_prefix;
pub(crate) use snapshot::Moment;
pub use staging::copy_stream;

/// What a board's questions are called in errors.
const DOING: &str = "reading it for the board";

/// A Postgres mart; clones share the connections.
#[derive(Clone, Debug)]
pub struct PostgresMart {
    /// The mart's name in messages: host, port, database.
    label: Arc<str>,
    sessions: Arc<Sessions>,
    runtime: Arc<OwnRuntime>,
}

/// A runtime that may be dropped anywhere, also within another runtime.
#[derive(Debug)]
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl PostgresMart {
    pub(super) fn open(url: &str, options: MartOptions) -> Result<Self, MartError> {
        let config = parse(url)?;
        let failed = |error| MartError::Config(format!("its runtime does not start: {error}"));
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("mart").enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let label = label(&config).into();
        let sessions = {
            let _within = runtime.enter();
            Arc::new(Sessions::new(config, options))
        };
        Ok(Self { label, sessions, runtime: Arc::new(OwnRuntime(Some(runtime))) })
    }

    pub(super) async fn prepare(&self, context: &MartContext) -> Result<(), MartError> {
        let (sessions, context, label) = (self.sessions.clone(), context.clone(), self.label.clone());
        self.run("preparing its tables", None, async move { schema::prepare(&sessions, &context, &label).await }).await
    }

    pub(super) async fn claim(
        &self,
        context: &MartContext,
        reign_end: ReignEnd,
        partitions: &[(i32, i32, i64)],
    ) -> Result<Claimed, MartError> {
        let (sessions, context, label) = (self.sessions.clone(), context.clone(), self.label.clone());
        let partitions = partitions.to_vec();
        let claim = async move { claim::claim(&sessions, &context, &label, &reign_end, &partitions).await };
        self.run("taking it over", None, claim).await
    }

    pub(super) async fn copy_many(
        &self,
        context: &MartContext,
        batches: &[RowsBatch],
    ) -> Result<RowsOutcome, MartError> {
        let (sessions, context, batches) = (self.sessions.clone(), context.clone(), batches.to_vec());
        self.usual("copying rows", async move { rows::copy_many(&sessions, &context, &batches).await }).await
    }

    pub(super) async fn upsert_live(
        &self,
        context: &MartContext,
        kpi: usize,
        live: LiveRows,
    ) -> Result<LiveOutcome, MartError> {
        let (sessions, context) = (self.sessions.clone(), context.clone());
        self.usual("showing live values", async move { kpi::upsert_live(&sessions, &context, kpi, &live).await }).await
    }

    pub(super) async fn apply_final(
        &self,
        context: &MartContext,
        kpi: usize,
        rows: FinalRows,
    ) -> Result<FinalOutcome, MartError> {
        let (sessions, context) = (self.sessions.clone(), context.clone());
        self.usual("applying final rows", async move { kpi::apply_final(&sessions, &context, kpi, &rows).await }).await
    }

    pub(super) async fn add(&self, context: &MartContext, to: Added, rows: AddedRows) -> Result<AddOutcome, MartError> {
        let (sessions, context) = (self.sessions.clone(), context.clone());
        self.usual("adding rows of entries", async move { added::add(&sessions, &context, to, &rows).await }).await
    }

    pub(super) async fn delete_rows_below(
        &self,
        context: &MartContext,
        boundary: EventTime,
    ) -> Result<LiveOutcome, MartError> {
        let (sessions, context) = (self.sessions.clone(), context.clone());
        let delete = async move { rows::delete_below(&sessions, &context, boundary).await };
        self.run("deleting old rows", None, delete).await
    }

    pub(super) async fn hand_over(&self, context: &MartContext, past: &[String]) -> Result<(), MartError> {
        let (sessions, context, label) = (self.sessions.clone(), context.clone(), self.label.clone());
        let past = past.to_vec();
        let hand_over = async move { hand_over::hand_over(&sessions, &context, &past, &label).await };
        self.run("clearing its tables", None, hand_over).await
    }

    pub(super) async fn holding(&self, context: &MartContext) -> Result<Holding, MartError> {
        let (sessions, context) = (self.sessions.clone(), context.clone());
        self.usual("reading its fences", async move { status::holding(&sessions, &context).await }).await
    }

    pub(super) async fn checkup(&self) -> Result<Checkup, MartError> {
        let sessions = self.sessions.clone();
        self.usual("asking about itself", async move { checkup::checkup(&sessions).await }).await
    }

    pub(super) async fn status(&self, context: &MartContext) -> Result<MartStatus, MartError> {
        let (sessions, context) = (self.sessions.clone(), context.clone());
        self.usual("reading its status", async move { status::status(&sessions, &context).await }).await
    }

    pub(super) async fn newest(&self, context: &MartContext, table: &str, n: u32) -> Result<NewestRows, MartError> {
        let (sessions, context, table) = (self.sessions.clone(), context.clone(), table.to_owned());
        self.usual("reading its rows", async move { status::newest(&sessions, &context, &table, n).await }).await
    }

    pub(super) async fn snapshot(&self, context: &MartContext) -> Result<(Fences, Held), MartError> {
        let (sessions, context) = (self.sessions.clone(), context.clone());
        let begin = async move { snapshot::begin(&sessions, &context).await };
        let (fences, client) = self.usual("taking a snapshot", begin).await?;
        Ok((fences, Held::Postgres(Moment::new(self.clone(), client))))
    }

    /// A call of a few statements, given up when the server, or the network, stays silent.
    async fn usual<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, MartError> {
        let options = self.sessions.options();
        self.run(doing, Some(options.statement_timeout * 2 + options.patience * 2), work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: &str,
        limit: Option<Duration>,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, MartError> {
        let limited = async move {
            match limit {
                Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or(Err(Failure::Silent)),
                None => work.await,
            }
        };
        let done = match &self.runtime.0 {
            Some(runtime) => runtime.spawn(limited).await.unwrap_or_else(|e| Err(Failure::Broken(e.to_string()))),
            None => Err(Failure::Broken("its runtime has stopped".into())),
        };
        done.map_err(|failure| failure.told(&self.label, doing))
    }
}

/// What to do where the server, or its URL, wants TLS.
const NO_TLS: &str = "TLS to Postgres isn't supported yet: reach it through a tunnel or a local proxy (stunnel, pgbouncer, \
                      a cloud provider's) or over a network that you trust, and let it accept that without TLS";

/// The URL as a configuration; no message quotes the URL, which may hold a password.
fn parse(url: &str) -> Result<Config, MartError> {
    let no_tls = || MartError::Config(format!("{NO_TLS}; take sslmode out of the URL"));
    let wants_tls = ["sslmode=require", "sslmode=verify-ca", "sslmode=verify-full"];
    if wants_tls.iter().any(|mode| url.contains(mode)) {
        return Err(no_tls());
    }
    let config = Config::from_str(url).map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        MartError::Config(format!(
            "its URL is not of the form postgres://user:password@host:port/database{}",
            cause.map(|cause| format!(" ({cause})")).unwrap_or_default(),
        ))
    })?;
    match config.get_ssl_mode() {
        SslMode::Disable | SslMode::Prefer => Ok(config),
        _ => Err(no_tls()),
    }
}

fn label(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("Postgres {host}:{port}/{}", config.get_dbname().unwrap_or_default())
}
