//! Why a mart could not do what it was asked, and who acts on it. No message holds a URL, a password or row data.

use thiserror::Error;

/// An error of a mart. What a caller chooses on (fenced, at another offset) is a value, not an error.
#[derive(Clone, Debug, Error)]
pub enum MartError {
    /// The mart doesn't answer, or broke off: try again with back-off. The effect of what was under way is unknown
    /// and will be seen in the fences.
    #[error("{mart} can't be reached while {doing}: {cause}")]
    Unreachable {
        /// The mart without secrets.
        mart: String,
        /// What was under way.
        doing: String,
        /// The cause in the mart's or the system's words.
        cause: String,
    },
    /// The mart refuses this user: the operator acts.
    #[error("{mart} refuses access while {doing}: {cause}; check user, password and grants of the mart's URL")]
    Auth {
        /// The mart without secrets.
        mart: String,
        /// What was under way.
        doing: String,
        /// The mart's words.
        cause: String,
    },
    /// A table has another shape than the pipeline needs, or belongs to somebody else: the operator acts.
    #[error(
        "MART_SCHEMA: {mart}, table {table}: {difference}; either drop or rename that table and start again, \
         or name another table in the pipeline file or another database in the mart's URL"
    )]
    Schema {
        /// The mart without secrets.
        mart: String,
        /// The table.
        table: String,
        /// What differs, expected against found.
        difference: String,
    },
    /// Somebody holds the mart's locks: stop or wait for that process.
    #[error("MART_LOCKED: {mart} is locked by {holder} while {doing}; stop that process, or wait for it")]
    Locked {
        /// The mart without secrets.
        mart: String,
        /// Who holds the lock, as far as it can be told.
        holder: String,
        /// What was under way.
        doing: String,
    },
    /// The mart follows another log of this pipeline: the operator acts.
    #[error(
        "OTHER_LOG: {mart} follows log {found} of pipeline {pipeline}, this process writes log {wanted}; \
         point the pipeline to another database, or clear the mart with `lakeward reset`"
    )]
    OtherLog {
        /// The mart without secrets.
        mart: String,
        /// The pipeline.
        pipeline: String,
        /// The log that the mart follows.
        found: String,
        /// The log of this process.
        wanted: String,
    },
    /// The mart's URL or the pipeline can't be used: the operator acts.
    #[error("the mart can't be used: {0}")]
    Config(String),
    /// What must not happen: a bug, or a hand in the mart's tables.
    #[error("{mart} failed while {doing}: {cause}")]
    Fatal {
        /// The mart without secrets.
        mart: String,
        /// What was under way.
        doing: String,
        /// What happened.
        cause: String,
    },
}

impl MartError {
    /// The stable code of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "MART_UNREACHABLE",
            Self::Auth { .. } => "MART_AUTH",
            Self::Schema { .. } => "MART_SCHEMA",
            Self::Locked { .. } => "MART_LOCKED",
            Self::OtherLog { .. } => "OTHER_LOG",
            Self::Config(_) => "MART_CONFIG",
            Self::Fatal { .. } => "MART_FAILED",
        }
    }

    /// Whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Locked { .. })
    }
}
