//! How batches move row fences, and what a fence that didn't move says. Pure.

use std::collections::BTreeMap;

use lakeward_core::ids::Version;

use super::{Coordinates, RowsBatch, RowsOutcome};

/// One fence's move by a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub at: Coordinates,
    pub base: i64,
    pub to: i64,
}

/// One step per partition; batches of a partition must join.
pub(crate) fn steps(batches: &[RowsBatch]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    for batch in batches {
        let at = (batch.incarnation, batch.partition);
        match steps.iter_mut().find(|step| step.at == at) {
            None => steps.push(Step { at, base: batch.base, to: batch.to }),
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

/// What the fences say where a step did not happen: `None` if all of them stand under `claim` at `expected`, otherwise
/// the first that doesn't.
pub(crate) fn judge(
    steps: &[Step],
    fences: &BTreeMap<Coordinates, (Version, i64)>,
    claim: Version,
    expected: impl Fn(&Step) -> i64,
) -> Option<Result<RowsOutcome, String>> {
    // Who is fenced by any of them is fenced.
    let greatest = steps.iter().filter_map(|step| fences.get(&step.at)).map(|fence| fence.0).max();
    if let Some(greatest) = greatest.filter(|greatest| *greatest > claim) {
        return Some(Ok(RowsOutcome::Fenced { claim: greatest }));
    }
    steps.iter().find_map(|step| match fences.get(&step.at) {
        Some((held, _)) if *held < claim => Some(Err(format!("partition {} was not claimed under {claim}", step.at.1))),
        Some((_, next)) if *next == expected(step) => None,
        Some((_, next)) => Some(Ok(RowsOutcome::At { incarnation: step.at.0, partition: step.at.1, next: *next })),
        None => Some(Err(format!("partition {} of incarnation {} has no fence", step.at.1, step.at.0))),
    })
}
