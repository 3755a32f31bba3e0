//! Filling the table up to a commit.

use std::sync::Arc;

use lakeward_core::ids::{Epoch, Version};
use lakeward_core::log::Fold;
use tokio::sync::watch;

use crate::commit::Head;
use crate::mart_link::{LinkError, MartLink};

/// How far a fill came.
pub enum Filled {
    /// The table holds everything up to this version.
    UpTo {
        /// That version.
        version: Version,
        /// Openings of the mart before the fill.
        openings: u64,
    },
    /// The epoch was committed so long ago that the head does not name it any more.
    TooLate,
    /// The generation is ending.
    Ending,
}

/// Waits for the commit of `until` (`None`: the head as it is) and fills every partition up to it.
pub async fn fill_until(
    link: &MartLink,
    mut head: watch::Receiver<Head>,
    until: Option<Epoch>,
    reopen: bool,
) -> Result<Filled, LinkError> {
    let fold: Arc<Fold> = loop {
        let now = head.borrow_and_update().clone();
        let Some(until) = until else { break now.fold };
        match now.epochs.get(&until) {
            Some(version) if *version == now.fold.version => break now.fold,
            Some(version) => break Arc::new(link.fold_at(*version).await?),
            None if now.epochs.last_key_value().is_some_and(|(newest, _)| *newest > until) => {
                return Ok(Filled::TooLate);
            }
            None => {}
        }
        if head.changed().await.is_err() {
            return Ok(Filled::Ending);
        }
    };
    if reopen {
        link.reopen().await?
    } else {
        link.connect().await?
    }
    let openings = link.openings();
    link.fill(&fold).await?;
    link.apply_replayed(&fold).await?;
    if let Some(boundary) = fold.rows_boundary {
        link.delete_rows_below(boundary).await?;
    }
    Ok(Filled::UpTo { version: fold.version, openings })
}
