//! Connections: a pool of sessions that are thrown away unless their transaction came to a known end.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{ErrorSink, ManageConnection, Pool, PooledConnection};
use bb8_postgres::PostgresConnectionManager;
use tokio_postgres::{Client, Config, IsolationLevel, NoTls, Transaction};

use super::super::{MartContext, MartOptions};
use super::failure::Failure;

/// A connection. `busy` from a transaction's begin to its known end: a session whose call was dropped or failed
/// half-way is closed, and the server rolls back.
pub(super) struct Session {
    pub client: Client,
    pub busy: bool,
}

/// bb8-postgres' manager, for such sessions.
pub(super) struct Manager(PostgresConnectionManager<NoTls>);

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Session, Self::Error> {
        Ok(Session { client: self.0.connect().await?, busy: false })
    }

    async fn is_valid(&self, session: &mut Session) -> Result<(), Self::Error> {
        self.0.is_valid(&mut session.client).await
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.busy || session.client.is_closed()
    }
}

/// Why connections failed last; the pool itself only says "timed out".
#[derive(Clone, Debug, Default)]
struct Refusal(Arc<Mutex<Option<tokio_postgres::Error>>>);

impl Refusal {
    fn take(&self) -> Option<tokio_postgres::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ErrorSink<tokio_postgres::Error> for Refusal {
    fn sink(&self, error: tokio_postgres::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<tokio_postgres::Error>> {
        Box::new(self.clone())
    }
}

/// The pool and what its sessions are held to.
pub(super) struct Sessions {
    config: Config,
    pool: Pool<Manager>,
    refusal: Refusal,
    options: MartOptions,
}

/// How long statements of a transaction may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// `MartOptions::statement_timeout`.
    Usual,
    /// As long as it takes: claims and schema changes.
    None,
}

impl Sessions {
    /// Must be called within the runtime that the connections shall live on. Connects nothing yet.
    pub fn new(mut config: Config, options: MartOptions) -> Self {
        config.application_name(&options.application_name);
        config.connect_timeout(options.patience);
        // A peer that vanished without a word is noticed although nothing is sent.
        config.keepalives_idle(Duration::from_secs(10)).tcp_user_timeout(options.statement_timeout);
        let refusal = Refusal::default();
        let pool = Pool::builder()
            .max_size(options.connections.max(1))
            .connection_timeout(options.patience.max(Duration::from_millis(1)))
            .test_on_check_out(false)
            .error_sink(refusal.boxed_clone())
            .build_unchecked(Manager(PostgresConnectionManager::new(config.clone(), NoTls)));
        Self { config, pool, refusal, options }
    }

    pub fn options(&self) -> &MartOptions {
        &self.options
    }

    /// A connection outside of the pool, for one long transaction. It ends with its client.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let (client, connection) = self.config.connect(NoTls).await?;
        // Its errors reach the client's calls.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    /// A connection that is not known to be closed.
    pub async fn take(&self) -> Result<PooledConnection<'_, Manager>, Failure> {
        loop {
            match self.pool.get().await {
                // A server that restarted leaves closed sessions behind; dropping one removes it from the pool.
                Ok(session) if session.client.is_closed() => drop(session),
                Ok(session) => return Ok(session),
                Err(_) => return Err(self.refusal.take().map_or(Failure::Silent, Failure::Db)),
            }
        }
    }

    /// Begins a transaction; one under a claim carries pipeline and claim in its session's name (F5).
    pub async fn begin<'a>(
        &self,
        session: &'a mut Session,
        claimant: Option<&MartContext>,
        limit: Limit,
    ) -> Result<Transaction<'a>, Failure> {
        session.busy = true;
        let level = IsolationLevel::ReadCommitted;
        let transaction = session.client.build_transaction().isolation_level(level).start().await?;
        let name = match claimant {
            Some(context) => format!("{}{}", claimant_prefix(&context.plan.pipeline), context.claim),
            None => self.options.application_name.clone(),
        };
        let patience = self.options.patience.as_millis().max(1);
        let statement = match limit {
            Limit::Usual => self.options.statement_timeout.as_millis().max(1),
            Limit::None => 0,
        };
        let settings = format!(
            "SET LOCAL application_name = '{}'; SET LOCAL statement_timeout = {statement}; \
             SET LOCAL lock_timeout = {patience}; SET LOCAL idle_in_transaction_session_timeout = {}; \
             SET LOCAL client_min_messages = warning",
            name.replace('\'', "''"),
            statement.max(patience) * 2,
        );
        transaction.batch_execute(&settings).await?;
        Ok(transaction)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

/// What the session names of a pipeline's claimants begin with; the claim's number follows. Postgres keeps 63 bytes of
/// a name, so a long pipeline name is cut, with a hash to tell it from others.
pub(in crate::mart) fn claimant_prefix(pipeline: &str) -> String {
    const KEPT: usize = 24;
    if pipeline.len() <= KEPT && pipeline.is_ascii() {
        return format!("lakeward {pipeline} claim=");
    }
    let start: String = pipeline.chars().filter(char::is_ascii).take(KEPT - 9).collect();
    format!("lakeward {start}-{} claim=", super::super::plan::short_hash(pipeline))
}
