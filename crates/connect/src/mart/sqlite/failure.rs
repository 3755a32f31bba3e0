//! What SQLite's errors mean: who acts.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use super::super::MartError;
use super::holders::holders;

/// A step's failure, before it is known what was under way.
#[derive(Debug)]
pub(super) enum Failure {
    Db(Error),
    Mart(MartError),
    /// A bug, or a hand in the engine's tables.
    Broken(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Db(error)
    }
}

impl From<MartError> for Failure {
    fn from(error: MartError) -> Self {
        Self::Mart(error)
    }
}

/// The mart's name in messages.
pub(super) fn label(path: &Path) -> String {
    format!("SQLite {}", path.display())
}

impl Failure {
    /// Whether a primary key was hit.
    pub fn is_duplicate(&self) -> bool {
        let hit = rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY;
        matches!(self, Self::Db(Error::SqliteFailure(cause, _)) if cause.extended_code == hit)
    }

    /// As the mart's error.
    pub fn told(self, path: &Path, doing: &str) -> MartError {
        let (mart, doing) = (label(path), doing.to_owned());
        let error = match self {
            Self::Mart(error) => return error,
            Self::Broken(cause) => return MartError::Fatal { mart, doing, cause },
            Self::Db(error) => error,
        };
        let cause = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                MartError::Locked { mart, holder: holders(path), doing }
            }
            Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::DiskFull | ErrorCode::OutOfMemory) => {
                MartError::Unreachable { mart, doing, cause }
            }
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied) => {
                MartError::Auth { mart, doing, cause }
            }
            _ if cause.starts_with("no such") || cause.contains("has no column") => {
                MartError::Schema { mart, table: format!("(while {doing})"), difference: cause }
            }
            _ => MartError::Fatal { mart, doing, cause },
        }
    }
}
