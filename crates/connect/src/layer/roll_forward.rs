//! Brings one staged file into sight (F1).

use crate::lake::{Fault, Lake, LakeError, Rename};

/// How the file came to be in place.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rolled {
    /// It was renamed just now.
    Moved,
    /// An earlier try, or another owner, had renamed it; length and checksum are right.
    AlreadyThere,
}

/// Renames `staged` to `final_path`, both below the root, of a file that the log says has `length` bytes with
/// `checksum`. Idempotent: after an error, whatever its kind, it may be called again. `Damaged` if neither name has
/// the file that the log promises.
pub async fn roll_forward(
    lake: &Lake,
    staged: &str,
    final_path: &str,
    length: u64,
    checksum: &str,
) -> Result<Rolled, LakeError> {
    let damaged = |path: &str, detail: String| Err(LakeError::Damaged(Fault::new(lake.store(), path, detail)));
    if let Some(found) = lake.stat(staged).await? {
        if found.len != length {
            let detail = format!("roll forward: the staged file has {} bytes, the log says {length}", found.len);
            return damaged(staged, detail);
        }
        match lake.rename(staged, final_path).await {
            Rename::Done => return Ok(Rolled::Moved),
            Rename::SourceMissing | Rename::TargetExists => {}
            Rename::Unknown(error) => return Err(error),
        }
    }
    match lake.stat(final_path).await? {
        None => damaged(final_path, format!("roll forward: neither here nor staged as `{staged}`")),
        Some(found) if found.len != length => {
            damaged(final_path, format!("roll forward: {} bytes are here, the log says {length}", found.len))
        }
        Some(_) => {
            let found = lake.checksum(final_path).await?.unwrap_or_default();
            if found != checksum {
                return damaged(final_path, format!("roll forward: checksum {found}, the log says {checksum}"));
            }
            lake.make_durable(final_path).await?;
            lake.delete(staged).await?;
            Ok(Rolled::AlreadyThere)
        }
    }
}
