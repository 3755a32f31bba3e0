//! Reading a mart for a board: figures over a selection of rows, the newest rows, all rows.
//!
//! Read-only, on connections of its own: nobody who looks stands in the way of a follower. Values come as text, decimals
//! with all their digits; nothing is added up in floats that isn't a float.

mod sql;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lakeward_core::pipeline::Pipeline;
use tokio::sync::{Mutex, mpsc};

use super::{Mart, MartError, MartOptions, SqliteMart};

pub(crate) use sql::{Dialect, Output, Param, Statement};

/// What a board's connections are held to.
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_STATEMENT: Duration = Duration::from_secs(10);
const CONNECTIONS: u32 = 2;

/// Which rows are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// From this time on, microseconds; `None`: from the beginning.
    pub from: Option<i64>,
    /// Before this time; `None`: to the end.
    pub to: Option<i64>,
    /// Columns of the rows table, each with the labels of which one must be met.
    pub chosen: Vec<(usize, Vec<String>)>,
}

/// The table that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The rows.
    Rows,
    /// The windows of a KPI, by its index in the pipeline.
    Kpi(usize),
}

/// By what values are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The label of a column of the rows table.
    Column(usize),
    /// The span of so many microseconds of time that a row is in; answered as its number since 1970.
    Span(i64),
    /// The interval of a number's column: answered as its number.
    Interval {
        /// The column.
        column: usize,
        /// Its width.
        width: u32,
    },
}

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Rows.
    Count,
    /// Rows in which a column of the rows table isn't NULL.
    CountOf(usize),
    /// The sum of a column of the rows table.
    Sum(usize),
    /// Different values of a column of the rows table.
    Distinct(usize),
    /// The sum of a column of the KPI's table, by its index there.
    Of(usize),
    /// The smallest time.
    First,
    /// The largest time.
    Last,
}

/// A question with one answer row per group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Where from.
    pub origin: Origin,
    /// Of which rows.
    pub selection: Selection,
    /// Told apart by these; none: one row.
    pub by: Vec<By>,
    /// What of each.
    pub parts: Vec<Part>,
    /// Most rows, those with the greatest first part; `None`: all, in the order of `by`.
    pub top: Option<u32>,
}

/// Asks for the newest rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Of which rows.
    pub selection: Selection,
    /// Columns by their index in the rows table.
    pub columns: Vec<usize>,
    /// Most rows.
    pub limit: u32,
}

/// The answer's rows: the values of `by`, then those of `parts`; `None` is NULL.
pub type Answer = Vec<Vec<Option<String>>>;

/// A mart as a board reads it. Opened by the first question, so that a mart that is away is an error of a question.
pub struct BoardReader {
    url: String,
    mart: Mutex<Option<Mart>>,
}

impl BoardReader {
    /// A reader of the mart at this URL, as for `Mart::open`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), mart: Mutex::new(None) }
    }

    /// Answers in the order of the questions, and the newest rows by Kafka time.
    ///
    /// # Errors
    /// The first that occurs.
    pub async fn ask(
        &self,
        pipeline: &Pipeline,
        questions: &[Question],
        newest: Option<&Newest>,
    ) -> Result<(Vec<Answer>, Answer), MartError> {
        let mart = self.open().await?;
        let statements = |dialect| {
            let asked = questions.iter().map(|question| sql::of_question(pipeline, dialect, question));
            let newest = newest.map(|newest| sql::of_newest(pipeline, dialect, newest));
            asked.chain(newest).collect::<Result<Vec<_>, _>>()
        };
        let answered = match &mart {
            Mart::Postgres(mart) => mart.board_answers(statements(Dialect::Postgres)?).await,
            Mart::Sqlite(mart) => mart.board_answers(statements(Dialect::Sqlite)?).await,
            Mart::Twin(_) => Ok(Vec::new()),
        };
        let mut answers = self.judged(answered).await?;
        let rows = if newest.is_some() { answers.pop().unwrap_or_default() } else { Answer::new() };
        Ok((answers, rows))
    }

    /// All rows of a selection, in chunks, as fast as they are taken. An error is the last thing that comes.
    ///
    /// # Errors
    /// Where the mart can't be opened.
    pub async fn export(
        &self,
        pipeline: &Pipeline,
        selection: &Selection,
        columns: &[usize],
    ) -> Result<mpsc::Receiver<Result<Answer, MartError>>, MartError> {
        let (rows, taken) = mpsc::channel(2);
        match self.open().await? {
            Mart::Postgres(mart) => {
                let statement = sql::of_export(pipeline, Dialect::Postgres, selection, columns)?;
                tokio::spawn(async move { mart.board_export(statement, rows).await });
            }
            Mart::Sqlite(_) => {
                let statement = sql::of_export(pipeline, Dialect::Sqlite, selection, columns)?;
                // A connection of its own: a slow reader must not hold the board's.
                let mart = self.open_sqlite().await?;
                tokio::spawn(async move { mart.board_export(statement, rows).await });
            }
            Mart::Twin(_) => {}
        }
        Ok(taken)
    }

    async fn open(&self) -> Result<Mart, MartError> {
        let mut held = self.mart.lock().await;
        if let Some(mart) = &*held {
            return Ok(mart.clone());
        }
        let mart = if self.url.starts_with("sqlite://") {
            Mart::Sqlite(self.open_sqlite().await?)
        } else {
            Mart::open(&self.url, options()).await?
        };
        *held = Some(mart.clone());
        Ok(mart)
    }

    async fn open_sqlite(&self) -> Result<SqliteMart, MartError> {
        SqliteMart::open_to_read(self.url.trim_start_matches("sqlite://"), &options()).await
    }

    /// A file may have been put in the place of another.
    async fn judged<T>(&self, answered: Result<T, MartError>) -> Result<T, MartError> {
        if answered.is_err() && self.url.starts_with("sqlite://") {
            *self.mart.lock().await = None;
        }
        answered
    }
}

fn options() -> MartOptions {
    MartOptions {
        application_name: "lakeward dashboard".into(),
        statement_timeout: LONGEST_STATEMENT,
        patience: PATIENCE,
        connections: CONNECTIONS,
    }
}
