//! What the log itself says of an entry: the rows of its files against its counters (I3). This holds also for files that are
//! gone, and where nothing can be worked out.

use lakeward_core::log::{Entry, PartitionEntry};
use lakeward_core::pipeline::{Holds, Pipeline};

use crate::field::NO_OBJECT;
use crate::invariant::Invariant::I3;
use crate::report::Report;

/// Holds the rows that an entry added to each layer against what it counted.
pub fn compare(pipeline: &Pipeline, entry: &Entry, report: &mut Report) {
    for layer in &pipeline.layers {
        let due = |told: &PartitionEntry| due_in(pipeline, &layer.holds, told);
        let Some(due) = entry.partitions.values().map(due).sum::<Option<u64>>() else { continue };
        let added = entry.layers.get(&layer.name).map_or(&[][..], |change| &change.added);
        let rows: u64 = added.iter().map(|file| file.staged.rows).sum();
        report.counted(I3, "counts of entries", 1);
        if rows != due {
            let (version, name) = (entry.version, &layer.name);
            report.broken(I3, || format!("entry {version}: its files of {name} have {rows} rows, it counts {due}"));
        }
    }
}

/// Rows or lines of a layer that one partition's records make; `None` for one that holds no records.
fn due_in(pipeline: &Pipeline, holds: &Holds, told: &PartitionEntry) -> Option<u64> {
    let c = &told.counters;
    match holds {
        Holds::Records => {
            let no_objects = c.by_reason.iter().filter(|(reason, _)| NO_OBJECT.contains(&reason.as_str()));
            c.records.checked_sub(no_objects.map(|(_, records)| records).sum())
        }
        Holds::Rejects => Some(c.quarantined),
        Holds::Rows { .. } => Some(c.kept),
        Holds::LateRows { kpi } => Some(pipeline.kpis.get(*kpi).and_then(|kpi| c.late.get(&kpi.name)).copied().unwrap_or(0)),
        Holds::FinalWindows { .. } => None,
    }
}
