//! How batches move row fences. Pure.

use lakeward_core::log::FenceStep;

use super::RowsBatch;

/// One step per partition; batches of a partition must join.
pub(crate) fn steps(batches: &[RowsBatch]) -> Result<Vec<FenceStep>, String> {
    let mut steps: Vec<FenceStep> = Vec::new();
    for batch in batches {
        let at = (batch.incarnation, batch.partition);
        match steps.iter_mut().find(|step| step.at == at) {
            None => steps.push(FenceStep { at, base: batch.base, to: batch.to }),
            Some(step) if step.to == batch.base => step.to = batch.to,
            Some(step) => {
                return Err(format!(
                    "batches of partition {} don't join: one ends at {}, the next begins at {}",
                    at.1, step.to, batch.base
                ));
            }
        }
    }
    Ok(steps)
}
