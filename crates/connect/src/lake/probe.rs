//! The self-test of a store (H4): creates and renames must not overwrite, or nothing here can be exact.

use bytes::Bytes;

use super::{Create, Lake, LakeError, Rename, path as names};

const FIRST: &[u8] = b"first";
const SECOND: &[u8] = b"second";

/// Runs the probe in a folder of its own and removes it.
pub(super) async fn run(lake: &Lake) -> Result<(), LakeError> {
    let folder = format!("_lakeward/.probe-{}", names::unique());
    let tried = probe(lake, &folder).await;
    let removed = lake.delete_dir(&folder).await;
    tried.and(removed.map(|_| ()))
}

async fn probe(lake: &Lake, folder: &str) -> Result<(), LakeError> {
    let (a, b) = (names::join(folder, "a"), names::join(folder, "b"));
    created(lake, &a, lake.create_new(&a, Bytes::from_static(FIRST)).await)?;
    match lake.create_new(&a, Bytes::from_static(SECOND)).await {
        Create::Exists => {}
        Create::Created => return Err(unfit(lake, &a, "a second create of the same name succeeded")),
        Create::Unknown(error) | Create::Failed(error) => return Err(error),
    }
    content(lake, &a, FIRST, "a second create changed the content").await?;
    created(lake, &b, lake.create_new(&b, Bytes::from_static(SECOND)).await)?;
    match lake.rename(&b, &a).await {
        Rename::TargetExists => {}
        Rename::Unknown(error) => return Err(error),
        other => return Err(unfit(lake, &a, format!("a rename onto an existing name answered {other:?}"))),
    }
    content(lake, &a, FIRST, "a rename changed the content of its target").await?;
    match lake.rename(&b, &names::join(folder, "new/c")).await {
        Rename::Done => Ok(()),
        Rename::Unknown(error) => Err(error),
        other => Err(unfit(lake, &b, format!("a rename to a new name answered {other:?}"))),
    }
}

fn created(lake: &Lake, path: &str, outcome: Create) -> Result<(), LakeError> {
    match outcome {
        Create::Created => Ok(()),
        Create::Exists => Err(unfit(lake, path, "a random name was taken")),
        Create::Unknown(error) | Create::Failed(error) => Err(error),
    }
}

async fn content(lake: &Lake, path: &str, expected: &[u8], otherwise: &str) -> Result<(), LakeError> {
    match lake.read(path).await? {
        Some(bytes) if bytes == expected => Ok(()),
        _ => Err(unfit(lake, path, otherwise)),
    }
}

fn unfit(lake: &Lake, path: &str, detail: impl Into<String>) -> LakeError {
    LakeError::unfit(lake.store(), path, detail)
}
