//! A board's questions to Postgres: read-only transactions with a limit of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use postgres_types::{FromSql, ToSql, Type};
use tokio::sync::mpsc::Sender;
use tokio_postgres::{Row, Transaction};

use super::super::MartError;
use super::super::board::{Answer, Output, Param, Statement};
use super::failure::Failure;
use super::session::{Limit, Sessions};
use super::{DOING, PostgresMart};

/// Rows that are fetched at once for an export.
const CHUNK: i32 = 1_000;

/// How long a reader of an export may take nothing.
const IDLE: Duration = Duration::from_secs(60);

impl PostgresMart {
    /// Answers by up to two sessions at once.
    pub(crate) async fn board_answers(&self, statements: Vec<Statement>) -> Result<Vec<Answer>, MartError> {
        let sessions = self.sessions.clone();
        self.usual(DOING, async move { answers(&sessions, statements).await }).await
    }

    /// Sends all rows; an error is the last thing that is sent.
    pub(crate) async fn board_export(&self, statement: Statement, rows: Sender<Result<Answer, MartError>>) {
        let (sessions, sent) = (self.sessions.clone(), rows.clone());
        let done = self.run(DOING, None, async move { export(&sessions, statement, &sent).await }).await;
        if let Err(error) = done {
            let _ = rows.send(Err(error)).await;
        }
    }
}

async fn answers(sessions: &Arc<Sessions>, statements: Vec<Statement>) -> Result<Vec<Answer>, Failure> {
    let (statements, next) = (Arc::new(statements), Arc::new(AtomicUsize::new(0)));
    let worker = || {
        let (sessions, statements, next) = (Arc::clone(sessions), Arc::clone(&statements), Arc::clone(&next));
        async move { work_off(&sessions, &statements, &next).await }
    };
    let found = match statements.len() {
        0 => Vec::new(),
        1 => worker().await?,
        // Two at once: the server answers each on a core of its own.
        _ => {
            let (one, other) = (tokio::spawn(worker()), tokio::spawn(worker()));
            let broken = |error: tokio::task::JoinError| Failure::Broken(error.to_string());
            let mut found = one.await.map_err(broken)??;
            found.extend(other.await.map_err(broken)??);
            found
        }
    };
    let mut found = found;
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, answer)| answer).collect())
}

async fn work_off(
    sessions: &Sessions,
    statements: &[Statement],
    next: &AtomicUsize,
) -> Result<Vec<(usize, Answer)>, Failure> {
    let mut session = sessions.take().await?;
    let tx = sessions.begin(&mut session, None, Limit::Usual).await?;
    // Compiling a query that takes a tenth of a second takes longer than the query.
    tx.batch_execute("SET TRANSACTION READ ONLY; SET LOCAL jit = off").await?;
    let mut found = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(statement) = statements.get(index) else { break };
        found.push((index, answer(&tx, statement).await?));
    }
    tx.rollback().await?;
    session.busy = false;
    Ok(found)
}

async fn answer(tx: &Transaction<'_>, statement: &Statement) -> Result<Answer, Failure> {
    let params = params(statement)?;
    let given: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
    let rows = tx.query(&statement.sql, &given).await?;
    rows.iter().map(|row| texts(row, &statement.outputs)).collect()
}

async fn export(
    sessions: &Sessions,
    statement: Statement,
    sender: &Sender<Result<Answer, MartError>>,
) -> Result<(), Failure> {
    let mut client = sessions.connect().await?;
    let tx = client.build_transaction().read_only(true).start().await?;
    let idle = IDLE.as_millis();
    tx.batch_execute(&format!("SET LOCAL statement_timeout = {idle}")).await?;
    let params = params(&statement)?;
    let given: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
    let portal = tx.bind(&statement.sql, &given).await?;
    loop {
        let rows = tx.query_portal(&portal, CHUNK).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let chunk = rows.iter().map(|row| texts(row, &statement.outputs)).collect::<Result<Answer, _>>()?;
        // Nobody takes them any more, or not in time: the session ends with its client.
        if sender.send_timeout(Ok(chunk), IDLE).await.is_err() {
            return Ok(());
        }
    }
}

fn params(statement: &Statement) -> Result<Vec<Box<dyn ToSql + Sync + Send>>, Failure> {
    let out_of_range = || Failure::Mart(MartError::Config("a time of the selection is out of range".into()));
    let param = |param: &Param| -> Result<Box<dyn ToSql + Sync + Send>, Failure> {
        Ok(match param {
            Param::Time(micros) => Box::new(DateTime::<Utc>::from_timestamp_micros(*micros).ok_or_else(out_of_range)?),
            Param::Day(days) => {
                let day = NaiveDate::default().checked_add_signed(TimeDelta::days(i64::from(*days)));
                Box::new(day.ok_or_else(out_of_range)?)
            }
            Param::Text(text) => Box::new(text.clone()),
            Param::Texts(texts) => Box::new(texts.clone()),
        })
    };
    statement.params.iter().map(param).collect()
}

fn texts(row: &Row, outputs: &[Output]) -> Result<Vec<Option<String>>, Failure> {
    (0..outputs.len())
        .map(|i| row.try_get::<_, Option<AsText>>(i).map(|v| v.map(|text| text.0)).map_err(Failure::from))
        .collect()
}

/// Texts, and the numbers of spans and intervals, as text.
struct AsText(String);

impl<'a> FromSql<'a> for AsText {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        if *ty == Type::INT8 {
            i64::from_sql(ty, raw).map(|n| Self(n.to_string()))
        } else {
            String::from_sql(ty, raw).map(Self)
        }
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::INT8 || <String as FromSql>::accepts(ty)
    }
}
