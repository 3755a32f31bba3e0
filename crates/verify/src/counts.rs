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
        Holds::LateRows { kpi } => {
            Some(pipeline.kpis.get(*kpi).and_then(|kpi| c.late.get(&kpi.name)).copied().unwrap_or(0))
        }
        Holds::FinalWindows { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use lakeward_core::ids::Version;
    use lakeward_core::ledger::Counters;
    use lakeward_core::log::{
        Author, BarrierFacts, Draft, EntryKind, Fold, Member, NewPartition, StagedFile, render, render_first,
    };

    use super::*;
    use crate::report::Verdict;

    /// What is found in an entry with these rows in bronze, silver and quarantine: ten records, 7 kept, of three that are
    /// refused two are no JSON.
    fn found(rows: [u64; 3]) -> (Verdict, Vec<String>) {
        let text = "name = \"p\"\nsource.topic = \"t\"\nfields = { id = \"string!\" }\nbronze = {}\nsilver = {}\n";
        let pipeline = Pipeline::parse(text, "p").unwrap();
        let member = Member::default();
        let author = Author { claim: Version(0), attempt: "a".repeat(8), member, definition: "d".to_owned(), now: 0 };
        let mut claim = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        claim.new_partitions.insert(0, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        let fold = Fold::first(&render_first("l", &claim, &author), "h".to_owned()).unwrap();
        let mut draft = Draft::empty(EntryKind::Epoch);
        let by_reason = BTreeMap::from([("NOT_JSON".to_owned(), 2), ("CHECK".to_owned(), 1)]);
        let counters = Counters { records: 10, kept: 7, quarantined: 3, by_reason, ..Counters::default() };
        draft.barriers.insert(0, BarrierFacts { to: 10, counters, ..BarrierFacts::default() });
        for (layer, rows) in ["bronze", "silver", "quarantine"].into_iter().zip(rows) {
            let staged = StagedFile {
                leaf: String::new(),
                staged: "s".to_owned(),
                ext: "x".to_owned(),
                length: 1,
                checksum: "c".to_owned(),
                rows,
                event_times: None,
                offsets: BTreeMap::new(),
            };
            draft.staged.insert(layer.to_owned(), (layer.to_owned(), vec![staged]));
        }
        let mut report = Report::default();
        compare(&pipeline, &render(&fold, &draft, &author), &mut report);
        (report.verdict(I3), report.evidence(I3).to_vec())
    }

    #[test]
    fn an_entry_counts_the_rows_of_its_files() {
        assert_eq!(found([8, 7, 3]), (Verdict::Holds, Vec::new()));
        for (rows, words) in [
            ([7, 7, 3], "files of bronze have 7 rows, it counts 8"),
            ([8, 8, 3], "files of silver have 8 rows, it counts 7"),
            ([8, 7, 2], "files of quarantine have 2 rows, it counts 3"),
        ] {
            let (verdict, evidence) = found(rows);
            assert_eq!(verdict, Verdict::Broken(1));
            assert!(evidence[0].ends_with(words), "{evidence:?}");
        }
    }
}
