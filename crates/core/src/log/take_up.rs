//! Where a KPI begins that a running log takes up (H4).

use std::collections::BTreeMap;

use crate::ids::EventTime;
use crate::kpi::{window_end, window_start};
use crate::log::Fold;
use crate::pipeline::{Kpi, Pipeline};

/// For each of the `new` KPIs the start of its first window: the first one that begins after every event time that the
/// log has read, so that all of its rows are still to come. A partition's watermark is at or above its largest event
/// time less the out-of-orderness; hence nothing read lies above the largest watermark + out-of-orderness. A log that
/// has read nothing yet gives none: such a KPI begins with the first row.
#[must_use]
pub fn first_windows(fold: &Fold, pipeline: &Pipeline, new: &[String]) -> BTreeMap<String, EventTime> {
    let read = fold.partitions.values().chain(fold.past_incarnations.values());
    let Some(watermark) = read.map(|held| held.watermark).max().filter(|w| *w > EventTime::MIN) else {
        return BTreeMap::new();
    };
    let newest = watermark.plus(pipeline.time.out_of_orderness);
    let begins = |kpi: &&Kpi| new.contains(&kpi.name);
    let first = |kpi: &Kpi| window_end(kpi.window, window_start(kpi.window, newest));
    pipeline.kpis.iter().filter(begins).map(|kpi| (kpi.name.clone(), first(kpi))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ids::Version;
    use crate::log::{
        Author, BarrierFacts, Draft, Entry, EntryKind, FIRST_WINDOWS, Member, NewPartition, entry_hash, render,
        render_first,
    };

    const MINUTE: i64 = 60_000_000;

    fn pipeline() -> Pipeline {
        let text = "name = \"p\"\nsource.topic = \"t\"\nfields = { id = \"string!\" }\ntime.out_of_orderness = \"10m\"\n\
                    [[kpi]]\nname = \"old\"\nwindow = { tumbling = \"1m\" }\nmeasures = { n = \"count(*)\" }\n\
                    [[kpi]]\nname = \"new\"\nwindow = { tumbling = \"1m\" }\nmeasures = { n = \"count(*)\" }\n";
        Pipeline::parse(text, "p").unwrap()
    }

    fn author(claim: u64, definition: &str) -> Author {
        Author {
            claim: Version(claim),
            attempt: "a".to_owned(),
            member: Member::default(),
            definition: definition.to_owned(),
            now: 0,
        }
    }

    fn claim() -> Draft {
        Draft::empty(EntryKind::Claim { takes: "all".to_owned() })
    }

    /// A log of two partitions under definition `one`, their watermarks as given.
    fn log(watermarks: [Option<i64>; 2]) -> Fold {
        let mut draft = claim();
        for p in 0..2 {
            draft.new_partitions.insert(p, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        }
        let mut fold = Fold::first(&render_first("log", &draft, &author(0, "one")), "h".to_owned()).unwrap();
        let mut epoch = Draft::empty(EntryKind::Epoch);
        for (p, watermark) in (0..).zip(watermarks) {
            let watermark = watermark.map(EventTime);
            epoch.barriers.insert(p, BarrierFacts { to: 5, watermark, ..BarrierFacts::default() });
        }
        commit(&mut fold, &epoch, &author(0, "one")).unwrap();
        fold
    }

    fn commit(fold: &mut Fold, draft: &Draft, author: &Author) -> Result<Entry, crate::log::FoldError> {
        let entry = render(fold, draft, author);
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(Entry::parse(&bytes).unwrap(), entry);
        fold.apply(&entry, entry_hash(&bytes))?;
        Ok(entry)
    }

    fn begin(watermarks: [Option<i64>; 2]) -> Option<i64> {
        first_windows(&log(watermarks), &pipeline(), &["new".to_owned()]).get("new").map(|first| first.0)
    }

    #[test]
    fn a_new_kpi_begins_behind_everything_that_any_partition_has_read() {
        assert_eq!(begin([Some(20 * MINUTE + 1), Some(5 * MINUTE)]), Some(31 * MINUTE));
        assert_eq!(begin([None, Some(20 * MINUTE - 1)]), Some(30 * MINUTE));
        // A row at 30 m exactly has been read: the window that begins there is not whole.
        assert_eq!(begin([Some(20 * MINUTE), None]), Some(31 * MINUTE));
        assert_eq!(begin([None, None]), None, "nothing has been read: it begins with the first row");
    }

    #[test]
    fn the_start_is_a_fact_of_the_log_from_the_claim_on() {
        let mut fold = log([Some(20 * MINUTE), Some(0)]);
        let mut draft = claim();
        draft.first_windows = first_windows(&fold, &pipeline(), &["new".to_owned()]);
        let entry = commit(&mut fold, &draft, &author(2, "two")).unwrap();
        assert_eq!(entry.requires, [FIRST_WINDOWS], "a reader that does not know it must stop");
        let entry = commit(&mut fold, &Draft::empty(EntryKind::Epoch), &author(2, "two")).unwrap();
        assert_eq!(entry.requires, [FIRST_WINDOWS]);
        assert!(entry.first_windows.is_empty());
        assert_eq!(fold.first_windows, BTreeMap::from([("new".to_owned(), EventTime(31 * MINUTE))]));
        let again = commit(&mut fold, &draft, &author(4, "two")).unwrap_err();
        assert!(again.what.contains("can't begin"), "{again}");
    }

    #[test]
    fn an_epoch_under_another_definition_than_its_claim_is_damage() {
        let mut fold = log([None, None]);
        let error = commit(&mut fold, &Draft::empty(EntryKind::Epoch), &author(0, "two")).unwrap_err();
        assert!(error.what.contains("without a claim"), "{error}");
    }
}
