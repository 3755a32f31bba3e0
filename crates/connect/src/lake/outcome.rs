//! What a lake answers: errors that say who acts, and outcomes that the caller must choose on.

use std::{fmt, io};

use thiserror::Error;

/// Where an operation went wrong and what the store said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Root of the store, as the configuration spells it.
    pub store: String,
    /// Path below the root; empty for the root itself.
    pub path: String,
    /// What was tried and what the store answered.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return write!(f, "{}: {}", self.store, self.detail);
        }
        write!(f, "`{}` in {}: {}", self.path, self.store, self.detail)
    }
}

/// Why a lake operation failed. The variant says who acts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LakeError {
    /// Retry: the store or the way to it is down, in safe mode, or did not answer in time.
    #[error("the lake did not answer for {0}; try again when it is reachable")]
    Unreachable(Fault),
    /// The user: permissions, a read-only mount, or credentials.
    #[error("the lake refused access to {0}; grant the process's user the right to write there")]
    Refused(Fault),
    /// The user: no room, or a quota. Retrying succeeds once there is room.
    #[error("the lake is full at {0}; free space or raise the quota")]
    Full(Fault),
    /// The caller: what it named is not there.
    #[error("the lake has no {0}")]
    NotFound(Fault),
    /// The user: bytes are not what the log or a checksum says they are.
    #[error("LAKE_DAMAGED {0}; restore the file or rebuild the pipeline")]
    Damaged(Fault),
    /// The user: the store lacks what exactness needs (H4).
    #[error("the lake cannot be used: {0}; choose a store with atomic create and rename")]
    Unfit(Fault),
    /// A bug, or something that nobody foresaw.
    #[error("the lake failed on {0}")]
    Other(Fault),
}

impl LakeError {
    /// Where it happened and what the store said.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        match self {
            Self::Unreachable(f)
            | Self::Refused(f)
            | Self::Full(f)
            | Self::NotFound(f)
            | Self::Damaged(f)
            | Self::Unfit(f)
            | Self::Other(f) => f,
        }
    }

    /// Whether trying again, with no change by anybody but the store's own recovery or a clean-up, may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Full(_))
    }

    pub(crate) fn damaged(store: &str, path: &str, detail: impl Into<String>) -> Self {
        Self::Damaged(Fault::new(store, path, detail))
    }

    pub(crate) fn other(store: &str, path: &str, detail: impl Into<String>) -> Self {
        Self::Other(Fault::new(store, path, detail))
    }

    pub(crate) fn unfit(store: &str, path: &str, detail: impl Into<String>) -> Self {
        Self::Unfit(Fault::new(store, path, detail))
    }

    /// An operating system's error, sorted by who acts.
    pub(crate) fn from_io(store: &str, path: &str, doing: &str, error: &io::Error) -> Self {
        use io::ErrorKind as K;
        let fault = Fault::new(store, path, format!("{doing}: {error}"));
        match error.kind() {
            K::PermissionDenied | K::ReadOnlyFilesystem => Self::Refused(fault),
            K::StorageFull | K::QuotaExceeded | K::FileTooLarge => Self::Full(fault),
            K::NotFound => Self::NotFound(fault),
            K::TimedOut
            | K::Interrupted
            | K::StaleNetworkFileHandle
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::NetworkDown
            | K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::NotConnected
            | K::BrokenPipe
            | K::UnexpectedEof => Self::Unreachable(fault),
            _ => Self::Other(fault),
        }
    }
}

impl Fault {
    pub(crate) fn new(store: &str, path: &str, detail: impl Into<String>) -> Self {
        Self { store: store.to_owned(), path: path.to_owned(), detail: detail.into() }
    }
}

/// The outcome of a put-if-absent (L1, L3).
#[must_use = "every answer but Created has to be resolved by reading back (L3)"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Create {
    /// The name holds exactly these bytes, durably.
    Created,
    /// The name was taken before; its content is untouched.
    Exists,
    /// It may have happened, or may still happen: read back.
    Unknown(LakeError),
    /// It has certainly not happened and will not.
    Failed(LakeError),
}

/// The outcome of a rename without overwrite.
#[must_use = "a rename that is not Done has to be resolved by looking at both names (F1)"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rename {
    /// The file is under its new name, durably.
    Done,
    /// There is no such source; nothing changed.
    SourceMissing,
    /// The target was there before; it is untouched, and so is the source.
    TargetExists,
    /// It may have happened, or may still happen, or only the new name is certain: look at both names.
    Unknown(LakeError),
}

/// What is known of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes; 0 for a folder.
    pub len: u64,
    /// Last change, microseconds since 1970-01-01T00:00:00Z by the store's clock (HDFS: whole milliseconds).
    pub modified_us: i64,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last component for `list`; the path below the listed folder for `list_recursive`.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Bytes; 0 for a folder.
    pub len: u64,
}

/// What a closed, durable file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Bytes.
    pub length: u64,
    /// XXH3-128 of the bytes, 32 hex digits.
    pub checksum: String,
}
