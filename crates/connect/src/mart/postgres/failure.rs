//! What Postgres' errors mean: who acts. Details that may quote row data (DETAIL, CONTEXT) are left out.

use tokio_postgres::error::SqlState;

use super::{super::MartError, NO_TLS};

/// A step's failure, before it is known what was under way.
#[derive(Debug)]
pub(super) enum Failure {
    Db(tokio_postgres::Error),
    Mart(MartError),
    /// The server did not answer in time.
    Silent,
    /// A bug, or a hand in the engine's tables.
    Broken(String),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error)
    }
}

impl From<MartError> for Failure {
    fn from(error: MartError) -> Self {
        Self::Mart(error)
    }
}

impl Failure {
    /// Whether a primary key was hit.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Db(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION))
    }

    /// As the mart's error.
    pub fn told(self, mart: &str, doing: &str) -> MartError {
        let (mart, doing) = (mart.to_owned(), doing.to_owned());
        match self {
            Self::Mart(error) => error,
            Self::Silent => MartError::Unreachable { mart, doing, cause: "no answer in time".into() },
            Self::Broken(cause) => MartError::Fatal { mart, doing, cause },
            Self::Db(error) => match error.as_db_error() {
                Some(db) => by_state(mart, doing, db.code().code(), db.message()),
                None => MartError::Unreachable { mart, doing, cause: connection_cause(&error) },
            },
        }
    }
}

fn by_state(mart: String, doing: String, state: &str, message: &str) -> MartError {
    let cause = format!("{message} (SQLSTATE {state})");
    match (state, state.get(..2).unwrap_or_default()) {
        // pg_hba.conf has no line for us without TLS.
        (_, "28") if message.ends_with("no encryption") => {
            MartError::Auth { mart, doing, cause: format!("{cause}; {NO_TLS}") }
        }
        (_, "28") | ("42501" | "3D000", _) => MartError::Auth { mart, doing, cause },
        // No such table, no such column, another type: the tables were changed behind our back.
        ("42P01" | "42703" | "42804" | "42P10", _) => {
            MartError::Schema { mart, table: format!("(while {doing})"), difference: cause }
        }
        ("55P03", _) => MartError::Locked { mart, holder: "another session".into(), doing },
        // Connections, resources, operator, roll-backs, system errors, read-only or idle sessions.
        (_, "08" | "53" | "57" | "40" | "58" | "25") => MartError::Unreachable { mart, doing, cause },
        _ => MartError::Fatal { mart, doing, cause },
    }
}

/// The innermost cause, such as "connection refused".
fn connection_cause(error: &tokio_postgres::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
