//! A board's questions to SQLite.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, TimeDelta};
use lakeward_core::decimal::format_decimal;
use lakeward_core::types::DataType;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tokio::sync::mpsc::Sender;

use super::super::board::{Answer, Output, Param, Statement};
use super::super::{MartError, MartOptions};
use super::failure::Failure;
use super::{DOING, SqliteMart};

/// Rows that are sent at once in an export.
const CHUNK: usize = 1_000;

impl SqliteMart {
    /// A connection that can't write; the file must be there.
    pub(crate) async fn open_to_read(path: &str, options: &MartOptions) -> Result<Self, MartError> {
        let patience = options.patience;
        Self::begin(PathBuf::from(path), move |file| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(file, flags)?;
            connection.busy_timeout(patience)?;
            connection.execute_batch("PRAGMA query_only = 1")?;
            Ok(connection)
        })
        .await
    }

    /// Answers in the order of the questions, all at one moment.
    pub(crate) async fn board_answers(&self, statements: Vec<Statement>) -> Result<Vec<Answer>, MartError> {
        let work = move |connection: &mut Connection| {
            let moment = connection.transaction()?;
            statements.iter().map(|statement| answer(&moment, statement)).collect()
        };
        self.call(DOING, work).await
    }

    /// Sends all rows; an error is the last thing that is sent.
    pub(crate) async fn board_export(&self, statement: Statement, rows: Sender<Result<Answer, MartError>>) {
        let sent = rows.clone();
        let work = move |connection: &mut Connection| export(connection, &statement, &sent);
        if let Err(error) = self.call(DOING, work).await {
            let _ = rows.send(Err(error)).await;
        }
    }
}

fn answer(connection: &Connection, statement: &Statement) -> Result<Answer, Failure> {
    let mut query = connection.prepare_cached(&statement.sql)?;
    let mut rows = query.query(params_from_iter(params(statement)))?;
    let mut answer = Answer::new();
    while let Some(row) = rows.next()? {
        answer.push(texts(row, &statement.outputs)?);
    }
    Ok(answer)
}

fn export(
    connection: &Connection,
    statement: &Statement,
    sender: &Sender<Result<Answer, MartError>>,
) -> Result<(), Failure> {
    let mut query = connection.prepare(&statement.sql)?;
    let mut rows = query.query(params_from_iter(params(statement)))?;
    let mut chunk = Answer::new();
    while let Some(row) = rows.next()? {
        chunk.push(texts(row, &statement.outputs)?);
        if chunk.len() == CHUNK && sender.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
            return Ok(());
        }
    }
    let _ = sender.blocking_send(Ok(chunk));
    Ok(())
}

fn params(statement: &Statement) -> Vec<Value> {
    let value = |param: &Param| match param {
        Param::Time(micros) => vec![Value::Integer(*micros)],
        Param::Day(days) => vec![Value::Integer(i64::from(*days))],
        Param::Text(text) => vec![Value::Text(text.clone())],
        Param::Texts(texts) => texts.iter().map(|text| Value::Text(text.clone())).collect(),
    };
    statement.params.iter().flat_map(value).collect()
}

fn texts(row: &rusqlite::Row<'_>, outputs: &[Output]) -> Result<Vec<Option<String>>, Failure> {
    outputs.iter().enumerate().map(|(i, output)| Ok(text(row.get_ref(i)?, *output))).collect()
}

fn text(value: ValueRef<'_>, output: Output) -> Option<String> {
    let number = match value {
        ValueRef::Null => return None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => return Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Real(number) => return Some(number.to_string()),
        ValueRef::Integer(number) => number,
    };
    let Output::Of(ty) = output else { return Some(number.to_string()) };
    Some(match ty {
        DataType::Bool => (number != 0).to_string(),
        DataType::Decimal { scale, .. } => format_decimal(i128::from(number), scale),
        DataType::Date => NaiveDate::default()
            .checked_add_signed(TimeDelta::try_days(number)?)
            .map_or_else(|| number.to_string(), |day| day.to_string()),
        DataType::Timestamp => DateTime::from_timestamp_micros(number)
            .map_or_else(|| number.to_string(), |time| time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
        _ => number.to_string(),
    })
}
