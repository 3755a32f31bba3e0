//! What can be wrong with a mart, and what follows from it.

use std::time::Duration;

use lakeward_connect::lake::LakeError;
use lakeward_connect::log_store::LogError;
use lakeward_connect::mart::MartError;
use lakeward_core::ids::Version;
use lakeward_core::kpi::RenderError;
use lakeward_core::log::Incomplete;

/// The first and the longest pause before a mart that failed is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Why a mart could not be brought further.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The mart.
    #[error("mart: {0}")]
    Mart(#[from] MartError),
    /// The lake, while filling from it.
    #[error("filling the mart from the lake: {0}")]
    Lake(#[from] LakeError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Rows could not be put into the mart's form.
    #[error("rows for the mart: {0}")]
    Render(#[from] RenderError),
    /// Arrow refused a kernel: a bug.
    #[error("rows for the mart: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Retention has taken what the table would be filled from.
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    /// A greater claim holds the mart.
    #[error("claim {0} holds the mart")]
    Fenced(Version),
    /// The mart was lost between two calls.
    #[error("the mart is not connected")]
    NotConnected,
}

/// What a `LinkError` means for a follower. Whatever is wrong with a mart, the lake goes on without it (O3).
#[derive(Debug)]
pub enum Trouble {
    /// Try again after a pause.
    Retry,
    /// A person must mend something: try again after a pause, and look the tables over then.
    Reopen,
    /// Another process owns the pipeline: the generation ends.
    Fenced(Version),
}

/// Pauses between tries, longer each time.
#[derive(Debug)]
pub struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> Self {
        Self(PAUSES.0)
    }
}

impl BackOff {
    /// The pause before the next try.
    pub fn pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSES.1);
        pause
    }

    /// It went well: the next pause is a short one again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl LinkError {
    /// What follows.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Fenced(claim) => Trouble::Fenced(*claim),
            Self::Mart(error) if !error.is_retryable() => Trouble::Reopen,
            // The tables are looked over at the next start; until then `rows.keep` may come to cover it.
            Self::Incomplete(_) => Trouble::Retry,
            Self::Mart(_) | Self::Lake(_) | Self::Log(_) | Self::NotConnected | Self::Render(_) | Self::Arrow(_) => {
                Trouble::Retry
            }
        }
    }
}
