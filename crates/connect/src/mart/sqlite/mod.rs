//! An SQLite mart for one machine: one connection, on a thread of its own, in WAL mode with every commit synced.
//!
//! A table `<name>_raw` holds decimals as integers at their scale (more than 18 digits: as exact text), timestamps as
//! microseconds and dates as days since 1970, so that sums are exact and comparisons fast; a view `<name>` shows them
//! as text. NaN is NULL, as everywhere in SQLite.

mod added;
mod board;
mod checkup;
mod claim;
mod failure;
mod hand_over;
mod holders;
mod kpi;
mod rows;
mod schema;
mod snapshot;
mod status;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use lakeward_core::ids::EventTime;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::snapshot::{Fences, Held};
use super::{
    AddOutcome, Added, AddedRows, Checkup, Claimed, FinalOutcome, FinalRows, Holding, LiveOutcome, LiveRows,
    MartContext, MartError, MartOptions, MartStatus, NewestRows, ReignEnd, RowsBatch, RowsOutcome,
};
use failure::Failure;
pub(crate) use snapshot::Moment;

/// What a board's questions are called in errors.
const DOING: &str = "reading it for the board";

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// An SQLite mart; clones share the connection, which closes with the last of them.
#[derive(Clone, Debug)]
pub struct SqliteMart {
    path: Arc<Path>,
    jobs: Sender<Job>,
}

impl SqliteMart {
    pub(super) async fn open(path: &str, options: &MartOptions) -> Result<Self, MartError> {
        if path.is_empty() || path.contains('?') {
            return Err(MartError::Config("its URL is not of the form sqlite:///path/to/file".into()));
        }
        let patience = options.patience;
        Self::begin(PathBuf::from(path), move |file| connect(file, patience)).await
    }

    /// Connects on a thread of its own, which then works off what it is asked.
    async fn begin(
        path: PathBuf,
        connect: impl FnOnce(&Path) -> Result<Connection, Failure> + Send + 'static,
    ) -> Result<Self, MartError> {
        let path: Arc<Path> = path.into();
        let (jobs, todo) = channel();
        let (opened, answer) = oneshot::channel();
        let file = path.clone();
        let work = move || match connect(&file) {
            Ok(connection) => {
                let _ = opened.send(Ok(()));
                work_off(connection, &todo);
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("mart-sqlite".into())
            .spawn(work)
            .map_err(|e| MartError::Config(format!("its thread does not start: {e}")))?;
        let opened = answer.await.unwrap_or_else(|_| Err(Failure::Broken("its thread ended".into())));
        opened.map_err(|failure| failure.told(&path, "opening it"))?;
        Ok(Self { path, jobs })
    }

    pub(super) async fn prepare(&self, context: &MartContext) -> Result<(), MartError> {
        let (context, mart) = (context.clone(), failure::label(&self.path));
        self.transact("preparing its tables", move |tx| schema::prepare(tx, &context, &mart)).await
    }

    pub(super) async fn claim(
        &self,
        context: &MartContext,
        reign_end: ReignEnd,
        partitions: &[(i32, i32, i64)],
    ) -> Result<Claimed, MartError> {
        let (context, partitions, mart) = (context.clone(), partitions.to_vec(), failure::label(&self.path));
        let claim = move |tx: &Transaction<'_>| claim::claim(tx, &context, &mart, &reign_end, &partitions);
        self.transact("taking it over", claim).await
    }

    pub(super) async fn copy_many(
        &self,
        context: &MartContext,
        batches: &[RowsBatch],
    ) -> Result<RowsOutcome, MartError> {
        let (context, batches) = (context.clone(), batches.to_vec());
        self.call("copying rows", move |connection| rows::copy_many(connection, &context, &batches)).await
    }

    pub(super) async fn upsert_live(
        &self,
        context: &MartContext,
        kpi: usize,
        live: LiveRows,
    ) -> Result<LiveOutcome, MartError> {
        let context = context.clone();
        self.transact("showing live values", move |tx| kpi::upsert_live(tx, &context, kpi, &live)).await
    }

    pub(super) async fn apply_final(
        &self,
        context: &MartContext,
        kpi: usize,
        rows: FinalRows,
    ) -> Result<FinalOutcome, MartError> {
        let context = context.clone();
        self.transact("applying final rows", move |tx| kpi::apply_final(tx, &context, kpi, &rows)).await
    }

    pub(super) async fn add(&self, context: &MartContext, to: Added, rows: AddedRows) -> Result<AddOutcome, MartError> {
        let context = context.clone();
        self.transact("adding rows of entries", move |tx| added::add(tx, &context, to, &rows)).await
    }

    pub(super) async fn delete_rows_below(
        &self,
        context: &MartContext,
        boundary: EventTime,
    ) -> Result<LiveOutcome, MartError> {
        let context = context.clone();
        self.transact("deleting old rows", move |tx| rows::delete_below(tx, &context, boundary)).await
    }

    pub(super) async fn hand_over(&self, context: &MartContext, past: &[String]) -> Result<(), MartError> {
        let (context, past, mart) = (context.clone(), past.to_vec(), failure::label(&self.path));
        self.transact("clearing its tables", move |tx| hand_over::hand_over(tx, &context, &past, &mart)).await
    }

    pub(super) async fn holding(&self, context: &MartContext) -> Result<Holding, MartError> {
        let context = context.clone();
        self.call("reading its fences", move |connection| status::holding(connection, &context)).await
    }

    pub(super) async fn checkup(&self) -> Result<Checkup, MartError> {
        self.call("asking about itself", move |connection| checkup::checkup(connection)).await
    }

    pub(super) async fn status(&self, context: &MartContext) -> Result<MartStatus, MartError> {
        let context = context.clone();
        self.call("reading its status", move |connection| status::status(connection, &context)).await
    }

    pub(super) async fn newest(&self, context: &MartContext, table: &str, n: u32) -> Result<NewestRows, MartError> {
        let (context, table) = (context.clone(), table.to_owned());
        self.call("reading its rows", move |connection| status::newest(connection, &context, &table, n)).await
    }

    /// The connection stays in a read transaction from here on: it is for nothing else.
    pub(super) async fn snapshot(&self, context: &MartContext) -> Result<(Fences, Held), MartError> {
        let context = context.clone();
        let begin = move |connection: &mut Connection| snapshot::begin(connection, &context);
        let fences = self.call("taking a snapshot", begin).await?;
        Ok((fences, Held::Sqlite(Moment::new(self.clone()))))
    }

    /// Work in one transaction that holds the write lock from its begin; an error rolls it back.
    async fn transact<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, MartError> {
        let transaction = move |connection: &mut Connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&tx)?;
            tx.commit()?;
            Ok(done)
        };
        self.call(doing, transaction).await
    }

    async fn call<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, MartError> {
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // The caller may have gone; the work is done all the same.
            let _ = done.send(work(connection));
        });
        let ended = || Failure::Broken("its thread ended".into());
        let answer = match self.jobs.send(job) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(ended())),
            Err(_) => Err(ended()),
        };
        answer.map_err(|failure| failure.told(&self.path, doing))
    }
}

fn connect(path: &Path, patience: std::time::Duration) -> Result<Connection, Failure> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(patience)?;
    let _mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Until the last mart is dropped.
fn work_off(mut connection: Connection, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job(&mut connection);
    }
}
