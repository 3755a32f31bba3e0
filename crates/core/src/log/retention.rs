//! Retention of layers (H1): which files have served their time, what of them is gone, and for whom it is missing.
//!
//! No clock: a file is as old as the furthest watermark of the moment when it came, and G says how late it is now. So all
//! layers of an entry are equally old, whatever their rows say, and a topic that stands still loses nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Fold, LiveFile, version_of};
use crate::ids::{EventTime, Version};
use crate::pipeline::{EventTimeSource, Holds, Pipeline};

/// Files that an entry takes out of a layer: bounds the entry, and how long the folders' follower is busy with it. One that
/// brings more than half as many takes twice what it brings, so that a layer doesn't grow for ever.
const AT_ONCE: usize = 500;

/// What retention has taken out of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Files.
    pub files: u64,
    /// Rows or lines in them.
    pub rows: u64,
    /// The newest entry, by the files' names, of which something is gone.
    pub upto: Version,
    /// Largest event time among those rows; `None` where they have none.
    pub newest: Option<EventTime>,
    /// By (partition, incarnation) the offset below which rows are gone.
    #[serde(with = "super::fold::pairs")]
    pub offsets: BTreeMap<(i32, i32), i64>,
}

impl Expired {
    /// Takes a file up.
    pub(super) fn count(&mut self, file: &LiveFile, incarnation_at: impl Fn(Version, i32) -> Option<i32>) {
        let version = version_of(&file.path).unwrap_or_default();
        self.files += 1;
        self.rows += file.staged.rows;
        self.upto = self.upto.max(version);
        self.newest = self.newest.max(file.staged.event_times.map(|(_, last)| last));
        for (&partition, range) in &file.staged.offsets {
            if let Some(incarnation) = incarnation_at(version, partition) {
                let to = self.offsets.entry((partition, incarnation)).or_insert(range.to);
                *to = (*to).max(range.to);
            }
        }
    }
}

/// The oldest files of a layer, of whole entries, that the next entry takes out: they came when no partition's watermark
/// was beyond `before`, are in place, and whoever needs them has `passed` them. `added`: files that the entry brings to
/// the layer. Looks at no more files than that.
#[must_use]
pub fn expired_files(
    fold: &Fold,
    layer: &str,
    before: EventTime,
    passed: Option<Version>,
    added: usize,
) -> Vec<String> {
    let limit = AT_ONCE.max(added.saturating_mul(2));
    let due = |file: &LiveFile| {
        let came = file.as_of.or(fold.began_at);
        version_of(&file.path) <= passed && came.is_some_and(|came| came <= before)
    };
    let (mut taken, mut whole, mut last) = (Vec::new(), 0, None);
    for file in fold.layer_files(layer).take_while(|file| due(file)) {
        let version = version_of(&file.path);
        if version != last {
            if taken.len() >= limit {
                break;
            }
            (whole, last) = (taken.len(), version);
        }
        taken.push(file.path.clone());
    }
    if whole > 0 && taken.len() > limit {
        taken.truncate(whole);
    }
    taken
}

/// Whether a table lacks something that it would be filled with from a layer's files and that retention has taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "MART_INCOMPLETE: retention took {files} files of {layer} with {rows} rows, of entries up to {upto}, and the table {table} \
     lacks some of them: filled from what is left it would show a part as the whole. Restore the mart from a copy, or set \
     mart.accept_incomplete = true to begin the table with what is left"
)]
pub struct Incomplete {
    /// The table.
    pub table: String,
    /// The layer.
    pub layer: String,
    /// Files.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// The newest entry of which something is gone.
    pub upto: Version,
}

/// What the table of rows lacks. `next`: where its fence of (incarnation, partition) stands; `replayed`: the last entry
/// whose replayed rows it holds.
pub fn rows_are_whole(
    fold: &Fold,
    pipeline: &Pipeline,
    next: impl Fn(i32, i32) -> Option<i64>,
    replayed: Option<Version>,
) -> Result<(), Incomplete> {
    let Some(rows) = &pipeline.rows else { return Ok(()) };
    let Some((layer, expired)) = expired_of(fold, pipeline, |holds| matches!(holds, Holds::Rows { .. })) else {
        return Ok(());
    };
    // Older ones than its own retention leaves it does not hold anyway, as far as both go by one time.
    let by_kafka_time = matches!(pipeline.time.event_time, EventTimeSource::Kafka);
    if by_kafka_time && expired.newest.is_some() && expired.newest < fold.rows_boundary {
        return Ok(());
    }
    let passed = |(&(partition, incarnation), to): (&(i32, i32), &i64)| {
        next(incarnation, partition).is_some_and(|next| next >= *to)
    };
    let came = |version: &Version| *version > expired.upto || Some(*version) <= replayed;
    if expired.offsets.iter().all(passed) && fold.replays.iter().all(came) {
        return Ok(());
    }
    Err(expired.missing_in(&rows.table, layer))
}

/// What the table of a KPI's final rows lacks, or with `late` that of its late rows. `applied`: the last entry that it holds.
pub fn kpi_is_whole(
    fold: &Fold,
    pipeline: &Pipeline,
    kpi: usize,
    late: bool,
    applied: Option<Version>,
) -> Result<(), Incomplete> {
    let Some(definition) = pipeline.kpis.get(kpi) else { return Ok(()) };
    let (wanted, table) = match late {
        false => (Holds::FinalWindows { kpi }, definition.mart.as_ref().map(|mart| &mart.table)),
        true => (Holds::LateRows { kpi }, definition.late_table.as_ref().and_then(|late| late.table.as_ref())),
    };
    match (expired_of(fold, pipeline, |holds| *holds == wanted), table) {
        (Some((layer, expired)), Some(table)) if applied < Some(expired.upto) => Err(expired.missing_in(table, layer)),
        _ => Ok(()),
    }
}

/// What retention took of the records that a rebuild would need: layers and what is gone of them.
pub fn expired_input<'a>(fold: &'a Fold, pipeline: &'a Pipeline) -> impl Iterator<Item = (&'a str, &'a Expired)> {
    let input = pipeline.layers.iter().filter(|layer| matches!(layer.holds, Holds::Records | Holds::Rejects));
    input.filter_map(|layer| Some((layer.name.as_str(), fold.expired.get(&layer.name)?)))
}

/// What is gone of the layer that holds such things, if anything is.
fn expired_of<'a>(
    fold: &'a Fold,
    pipeline: &'a Pipeline,
    holds: impl Fn(&Holds) -> bool,
) -> Option<(&'a str, &'a Expired)> {
    let (_, layer) = pipeline.layer(holds)?;
    Some((&layer.name, fold.expired.get(&layer.name)?))
}

impl Expired {
    fn missing_in(&self, table: &str, layer: &str) -> Incomplete {
        let (files, rows, upto) = (self.files, self.rows, self.upto);
        Incomplete { table: table.to_owned(), layer: layer.to_owned(), files, rows, upto }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ids::OffsetRange;
    use crate::log::{
        Author, BarrierFacts, Draft, EXPIRED, Entry, EntryKind, FoldError, Member, NewPartition, StagedFile,
        entry_hash, render, render_first,
    };

    fn author(claim: Version) -> Author {
        Author { claim, attempt: "a".repeat(32), member: Member::default(), definition: "d".to_owned(), now: 0 }
    }

    fn claim(partitions: &[(i32, i32)]) -> Draft {
        let mut draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        for &(partition, incarnation) in partitions {
            draft.new_partitions.insert(partition, NewPartition { incarnation, topic_id: None, start: 0 });
        }
        draft
    }

    fn begun() -> Fold {
        let entry = render_first("l", &claim(&[(0, 0), (1, 0)]), &author(Version(0)));
        Fold::first(&entry, entry_hash(&entry.to_bytes().unwrap())).unwrap()
    }

    /// An epoch that brings `files` files, after which the watermarks stand at these.
    fn epoch(fold: &Fold, files: usize, watermarks: [Option<i64>; 2]) -> Draft {
        let mut draft = Draft::empty(EntryKind::Epoch);
        let from = fold.partitions[&0].to;
        for (partition, watermark) in (0..).zip(watermarks) {
            let facts = BarrierFacts { to: from + 10, watermark: watermark.map(EventTime), ..BarrierFacts::default() };
            draft.barriers.insert(partition, facts);
        }
        let staged = |n| StagedFile {
            leaf: String::new(),
            staged: format!("s/{n}"),
            ext: "x".to_owned(),
            length: 1,
            checksum: "c".to_owned(),
            rows: 5,
            event_times: watermarks[0].map(|time| (EventTime(time - 9), EventTime(time))),
            offsets: BTreeMap::from([(0, OffsetRange { from, to: from + 10 })]),
        };
        draft.staged.insert("rows".to_owned(), ("rows".to_owned(), (0..files).map(staged).collect()));
        draft.rolled = Some(fold.version);
        draft
    }

    fn commit(fold: &mut Fold, draft: &Draft) -> Result<Entry, FoldError> {
        let entry = render(fold, draft, &author(fold.claim));
        let bytes = entry.to_bytes().unwrap();
        assert_eq!(Entry::parse(&bytes).unwrap(), entry);
        fold.apply(&entry, entry_hash(&bytes))?;
        Ok(entry)
    }

    fn step(fold: &mut Fold, files: usize, watermarks: [Option<i64>; 2]) {
        let draft = epoch(fold, files, watermarks);
        commit(fold, &draft).unwrap();
    }

    fn due(fold: &Fold, before: i64, passed: u64) -> Vec<u64> {
        let paths = expired_files(fold, "rows", EventTime(before), Some(Version(passed)), 0);
        paths.iter().map(|path| version_of(path).unwrap().0).collect()
    }

    #[test]
    fn a_file_is_as_old_as_the_furthest_watermark_of_its_entry() {
        let mut fold = begun();
        step(&mut fold, 1, [Some(100), Some(50)]);
        step(&mut fold, 2, [Some(120), Some(60)]);
        step(&mut fold, 1, [Some(130), Some(130)]);
        assert_eq!(due(&fold, 99, 3), [] as [u64; 0], "partition 0 was at 100 when it came");
        assert_eq!(due(&fold, 100, 3), [1]);
        assert_eq!(due(&fold, 120, 3), [1, 2, 2]);
        assert_eq!(due(&fold, 999, 3), [1, 2, 2, 3]);
        assert_eq!(expired_files(&fold, "rows", EventTime(999), None, 0), [""; 0], "nobody knows who has passed");
        assert_eq!(due(&fold, 999, 2), [1, 2, 2], "somebody still needs the third");
    }

    #[test]
    fn what_came_before_the_first_event_time_is_as_old_as_that() {
        let mut fold = begun();
        step(&mut fold, 1, [None, None]);
        assert_eq!(due(&fold, i64::MAX, 9), [] as [u64; 0], "no event time, no age");
        step(&mut fold, 1, [Some(100), Some(90)]);
        step(&mut fold, 1, [Some(110), Some(100)]);
        assert_eq!((due(&fold, 99, 9), due(&fold, 100, 9)), (vec![], vec![1, 2]));
    }

    #[test]
    fn an_entry_takes_whole_entries_of_files_and_not_too_many() {
        let mut fold = begun();
        for (n, files) in [200, 200, 200, 700, 1].into_iter().enumerate() {
            step(&mut fold, files, [Some(100 + n as i64), Some(100)]);
        }
        let take = |fold: &Fold, added| expired_files(fold, "rows", EventTime(999), Some(Version(9)), added);
        assert_eq!(take(&fold, 0).len(), 400);
        assert_eq!(take(&fold, 300).len(), 600);
        assert_eq!(take(&fold, 1_000).len(), 1_301);
        let mut draft = epoch(&fold, 0, [Some(200), Some(200)]);
        draft.expired.insert("rows".to_owned(), take(&fold, 300));
        commit(&mut fold, &draft).unwrap();
        assert_eq!(take(&fold, 0).len(), 700, "one whole entry at least");
    }

    #[test]
    fn what_is_gone_is_counted_and_known_to_all_readers() {
        let mut fold = begun();
        step(&mut fold, 2, [Some(100), Some(50)]);
        step(&mut fold, 1, [Some(120), Some(60)]);
        commit(&mut fold, &claim(&[(0, 1), (1, 1)])).unwrap();
        step(&mut fold, 1, [Some(130), Some(130)]);
        let mut draft = epoch(&fold, 0, [Some(200), Some(200)]);
        draft.expired.insert("rows".to_owned(), expired_files(&fold, "rows", EventTime(120), Some(Version(4)), 0));
        let entry = commit(&mut fold, &draft).unwrap();
        assert_eq!((entry.requires, fold.layer_files("rows").count()), (vec![EXPIRED.to_owned()], 1));
        let expired = Expired {
            files: 3,
            rows: 15,
            upto: Version(2),
            newest: Some(EventTime(120)),
            offsets: BTreeMap::from([((0, 0), 20)]),
        };
        assert_eq!(fold.expired["rows"], expired, "rows of the topic before it was made anew");
        let json = serde_json::to_vec(&fold).unwrap();
        assert_eq!(serde_json::from_slice::<Fold>(&json).unwrap(), fold);
        let draft = epoch(&fold, 1, [None, None]);
        assert_eq!(commit(&mut fold, &draft).unwrap().requires, [EXPIRED], "a reader that does not know it must stop");
    }

    #[test]
    fn a_file_that_may_not_be_in_place_is_never_let_go() {
        let mut fold = begun();
        step(&mut fold, 1, [Some(100), Some(100)]);
        let mut draft = epoch(&fold, 0, [Some(200), Some(200)]);
        draft.expired.insert("rows".to_owned(), fold.layer_files("rows").map(|file| file.path.clone()).collect());
        draft.rolled = Some(Version(0));
        let refused = commit(&mut fold.clone(), &draft).unwrap_err();
        assert!(refused.what.contains("may not be in place"), "{refused}");
        draft.rolled = Some(Version(1));
        commit(&mut fold, &draft).unwrap();
        let again = commit(&mut fold, &draft).unwrap_err();
        assert!(again.what.contains("not live"), "{again}");
    }

    /// A log of two topics, of whose first one rows are gone up to offset 20, all of event times up to 120.
    fn log_with_gone() -> Fold {
        let mut fold = begun();
        step(&mut fold, 1, [Some(100), Some(50)]);
        step(&mut fold, 1, [Some(120), Some(60)]);
        commit(&mut fold, &claim(&[(0, 1), (1, 1)])).unwrap();
        step(&mut fold, 1, [Some(130), Some(130)]);
        let mut draft = epoch(&fold, 0, [Some(200), Some(200)]);
        draft.expired.insert("rows".to_owned(), expired_files(&fold, "rows", EventTime(120), Some(Version(4)), 0));
        commit(&mut fold, &draft).unwrap();
        for layer in ["silver", "gold/k", "late/k"] {
            fold.expired.insert(layer.to_owned(), fold.expired["rows"].clone());
        }
        fold
    }

    fn pipeline(event_time: &str) -> Pipeline {
        let text = format!(
            "name = \"p\"\nsource.topic = \"t\"\nfields = {{ at = \"timestamp!\" }}\nsilver = {{}}\nrows = {{}}\n\
             time.event_time = \"{event_time}\"\n[[kpi]]\nname = \"k\"\nwindow = {{ tumbling = \"1m\" }}\nlate = \"table\"\n\
             measures = {{ n = \"count(*)\" }}\n"
        );
        Pipeline::parse(&text, "p").unwrap()
    }

    #[test]
    fn the_table_of_rows_lacks_what_its_fence_had_not_passed_and_its_own_retention_leaves() {
        let mut fold = log_with_gone();
        let lacks = |fold: &Fold, old: Option<i64>, event_time| {
            let next = |incarnation, _| if incarnation == 0 { old } else { Some(0) };
            rows_are_whole(fold, &pipeline(event_time), next, None).is_err()
        };
        assert!(!lacks(&fold, Some(20), "kafka"), "of the topic that there is now nothing is gone");
        assert!(lacks(&fold, Some(19), "kafka") && lacks(&fold, None, "kafka"));
        fold.rows_boundary = Some(EventTime(120));
        assert!(lacks(&fold, None, "kafka"), "a row of that time would be there");
        fold.rows_boundary = Some(EventTime(121));
        assert!(!lacks(&fold, None, "kafka"), "the table holds no row that old");
        assert!(lacks(&fold, None, "at"), "the boundary goes by Kafka's time, what is gone by another");
        fold.replays = vec![Version(2)];
        let replayed = |version: Option<u64>| {
            rows_are_whole(&fold, &pipeline("at"), |_, _| Some(20), version.map(Version)).is_err()
        };
        assert!(replayed(None) && replayed(Some(1)) && !replayed(Some(2)), "its rows lie below all fences");
    }

    #[test]
    fn a_kpis_tables_lack_the_entries_above_their_fences() {
        let fold = log_with_gone();
        for late in [false, true] {
            let whole = |applied: Option<u64>| kpi_is_whole(&fold, &pipeline("kafka"), 0, late, applied.map(Version));
            assert!(whole(Some(2)).is_ok() && whole(Some(1)).is_err());
            let refused = whole(None).unwrap_err().to_string();
            let layer = if late { "late/k" } else { "gold/k" };
            assert!(refused.starts_with("MART_INCOMPLETE: ") && refused.contains(layer), "{refused}");
        }
    }
}
