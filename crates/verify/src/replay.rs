//! The recomputation: entry after entry, partition after partition, record after record, one thread, no clock.
//!
//! The log says how far each entry's ranges go and which floors were raised; Bronze and Quarantine say what was read
//! there. All else is worked out here, and held against what the entry says: its counters (I3, I12, I13), watermarks
//! and G (I10), first windows and closed ones (I6).

use std::collections::{BTreeMap, HashMap};

use lakeward_core::ledger::Counters;
use lakeward_core::log::{Entry, PartitionEntry};

use crate::definition::Known;
use crate::field::{NO_OBJECT, Refusal};
use crate::history::Source;
use crate::input::{Input, Record, shown};
use crate::invariant::Invariant::{self, I3, I4, I6, I10, I12, I13};
use crate::late::{self, Minutes};
use crate::late_rows::Missed;
use crate::line::{self, BronzeLine, Reject};
use crate::object;
use crate::replayed::Replayed;
use crate::report::Report;
use crate::rules::{Fate, Row, Rules};
use crate::silver::SilverRow;
use crate::window::{Windows, is_closed, is_past, size_of, start_of};

/// Before any record.
const NEVER: i64 = i64::MIN;

/// What has been worked out so far.
pub struct Replay<'p> {
    /// What decides.
    pub rules: Rules<'p>,
    /// Windows that still take rows, per KPI.
    pub windows: Vec<Windows>,
    /// Gold's watermark.
    pub g: i64,
    partitions: HashMap<i32, Partition>,
    first_windows: BTreeMap<usize, i64>,
    read_before: bool,
}

/// What an entry's records of one partition came to.
#[derive(Default)]
struct Tally {
    counters: Counters,
    minutes: Minutes,
}

#[derive(Default)]
struct Partition {
    incarnation: i32,
    watermark: Option<i64>,
    /// The largest watermark of all incarnations.
    furthest: Option<i64>,
    /// Event times of kept rows, per dedup key.
    seen: HashMap<Vec<Option<String>>, Vec<i64>>,
}

impl Partition {
    fn watermark(&self) -> i64 {
        self.watermark.unwrap_or(NEVER)
    }

    fn rise(&mut self, time: i64) {
        self.watermark = self.watermark.max(Some(time));
        self.furthest = self.furthest.max(Some(time));
    }
}

impl<'p> Replay<'p> {
    /// Before the first entry.
    #[must_use]
    pub fn new(rules: Rules<'p>) -> Self {
        let windows = rules.pipeline.kpis.iter().map(|_| Windows::default()).collect();
        Self {
            rules,
            windows,
            g: NEVER,
            partitions: HashMap::new(),
            first_windows: BTreeMap::new(),
            read_before: false,
        }
    }

    /// Takes up the definition that an entry is decided by, where it is another than before.
    pub fn decide_by(&mut self, known: &Known, entry: &Entry, report: &mut Report) {
        let new = self.rules.decide_by(known);
        let newest = self.partitions.values().filter_map(|partition| partition.furthest).max();
        let begin = match newest.filter(|_| self.read_before) {
            Some(newest) => {
                let newest = newest.saturating_add(self.rules.pipeline.time.out_of_orderness);
                let kpis = new.iter().filter_map(|&i| Some((i, self.rules.pipeline.kpis.get(i)?)));
                kpis.map(|(i, kpi)| (i, start_of(kpi, newest).saturating_add(size_of(kpi)))).collect()
            }
            None => BTreeMap::new(),
        };
        self.read_before = true;
        let names = |(i, at): (&usize, &i64)| Some((self.rules.pipeline.kpis.get(*i)?.name.clone(), *at));
        let expected: BTreeMap<String, i64> = begin.iter().filter_map(names).collect();
        let told: BTreeMap<String, i64> = entry.first_windows.iter().map(|(kpi, at)| (kpi.clone(), at.0)).collect();
        if expected != told {
            report.broken(I6, || format!("entry {}: new KPIs begin at {told:?}, not at {expected:?}", entry.version));
        }
        self.first_windows.extend(begin);
    }

    /// Takes an entry's records up. The kept rows go to `keep`.
    /// `replayed` has the lines of those that were refused before.
    pub fn take(
        &mut self,
        entry: &Entry,
        input: &Input,
        replayed: &Replayed,
        report: &mut Report,
        mut keep: impl FnMut(SilverRow<'_>),
    ) {
        for (&partition, told) in &entry.partitions {
            let held = self.partitions.entry(partition).or_default();
            if held.incarnation != told.incarnation {
                held.incarnation = told.incarnation;
                held.watermark = Some(self.g).filter(|g| *g != NEVER);
            }
            let mut tally = Tally::default();
            for record in input.records((told.incarnation, partition)) {
                tally.counters.records += 1;
                self.record(partition, &record, &mut tally, report, &mut keep);
            }
            for offset in told.replayed.iter() {
                let identity = (told.incarnation, partition, offset);
                let Some(bronze) = replayed.line(identity) else {
                    report.broken(I13, || format!("entry {}: {} was not refused", entry.version, shown(identity)));
                    continue;
                };
                tally.counters.replayed += 1;
                // As if it had come now: nothing is wrong with it any more, or it must not be replayed.
                let record = Record { identity, bronze, reject: None };
                self.record(partition, &record, &mut tally, report, &mut keep);
            }
            if let Some(floor) = told.floor.filter(|floor| floor.0 != NEVER)
                && let Some(held) = self.partitions.get_mut(&partition)
            {
                held.rise(floor.0);
            }
            self.compare(entry, (told.incarnation, partition), told, &tally, report);
        }
        let watermarks = entry.partitions.keys().filter_map(|p| self.partitions.get(p)).map(Partition::watermark);
        self.g = watermarks.min().unwrap_or(NEVER).max(self.g);
        if self.g != entry.g.0 {
            report.broken(I10, || format!("entry {}: G is {}, recomputed {}", entry.version, entry.g.0, self.g));
        }
    }

    fn record(
        &mut self,
        partition: i32,
        record: &Record<'_>,
        tally: &mut Tally,
        report: &mut Report,
        keep: &mut impl FnMut(SilverRow<'_>),
    ) {
        let counters = &mut tally.counters;
        let Some(bytes) = record.bronze else { return self.only_quarantined(record, counters, report) };
        let text = std::str::from_utf8(bytes).map_err(|_| "is no text");
        let line = match text.and_then(line::bronze) {
            Ok(line) => line,
            Err(what) => {
                return report.broken(I4, || format!("the line of {} in Bronze {what}", shown(record.identity)));
            }
        };
        let Some(members) = &line.members else {
            counters.tombstones += 1;
            return expect_none(record, report);
        };
        match self.rules.judge(&line, members, record.reject) {
            Fate::Refused(refusal) => {
                counters.quarantined += 1;
                *counters.by_reason.entry(refusal.reason.to_owned()).or_default() += 1;
                expect_reject(record, &line, &refusal, report);
            }
            Fate::Filtered(check, time) => {
                counters.filtered += 1;
                let name = self.rules.pipeline.checks.get(check).map_or("", |check| check.name.as_str());
                *counters.filtered_by_check.entry(name.to_owned()).or_default() += 1;
                expect_none(record, report);
                self.observe(partition, time);
            }
            Fate::Row(row) => {
                expect_none(record, report);
                self.row(partition, &line, &row, tally, keep);
                self.observe(partition, row.time);
            }
        }
    }

    /// A record that is in Quarantine alone is no JSON object.
    fn only_quarantined(&self, record: &Record<'_>, counters: &mut Counters, report: &mut Report) {
        let Some(reject) = record.reject else { return };
        counters.quarantined += 1;
        *counters.by_reason.entry(NO_OBJECT[0].to_owned()).or_default() += 1;
        let told_no_object = NO_OBJECT.contains(&reject.reason.as_str());
        let payload = reject.payload.as_deref().unwrap_or_default();
        // What was too large was not parsed.
        let is_object =
            reject.reason != "TOO_LARGE" && std::str::from_utf8(payload).is_ok_and(|text| object::read(text).is_some());
        if is_object || !told_no_object {
            report.broken(I4, || format!("{} is a JSON object and not in Bronze", shown(record.identity)));
        }
    }

    fn observe(&mut self, partition: i32, time: i64) {
        let out_of_orderness = self.rules.pipeline.time.out_of_orderness;
        if let Some(held) = self.partitions.get_mut(&partition) {
            held.rise(time.saturating_sub(out_of_orderness));
        }
    }

    fn row(
        &mut self,
        partition: i32,
        line: &BronzeLine<'_>,
        row: &Row,
        tally: &mut Tally,
        keep: &mut impl FnMut(SilverRow<'_>),
    ) {
        let counters = &mut tally.counters;
        if self.is_duplicate(partition, row, counters) {
            counters.duplicate += 1;
            return;
        }
        counters.kept += 1;
        let watermark = self.partitions.get(&partition).map_or(NEVER, Partition::watermark);
        let mut missed = Vec::new();
        for (i, kpi) in self.rules.pipeline.kpis.iter().enumerate() {
            let Some(input) = row.inputs.get(i).and_then(Option::as_ref) else { continue };
            let start = start_of(kpi, row.time);
            if self.first_windows.get(&i).is_some_and(|first| start < *first) {
                *counters.before_first.entry(kpi.name.clone()).or_default() += 1;
            } else if is_past(kpi, start, watermark) {
                *counters.late.entry(kpi.name.clone()).or_default() += 1;
                tally.minutes.count(&kpi.name, row.time);
                missed.push(Missed { kpi: i, start, watermark });
            } else if let Some(windows) = self.windows.get_mut(i) {
                if is_closed(kpi, start, watermark) {
                    *counters.amended.entry(kpi.name.clone()).or_default() += 1;
                }
                windows.add(kpi, start, input);
            }
        }
        keep(SilverRow { line, cells: &row.cells, missed: &missed });
    }

    /// T6, per partition: an earlier kept row of the same key, at most `within` away, that can still be judged.
    fn is_duplicate(&mut self, partition: i32, row: &Row, counters: &mut Counters) -> bool {
        let Some(dedup) = &self.rules.pipeline.dedup else { return false };
        let Some(held) = self.partitions.get_mut(&partition) else { return false };
        let oldest = held.watermark().saturating_sub(dedup.within);
        if row.time < oldest {
            counters.unjudged += 1;
            return false;
        }
        let columns = &self.rules.columns;
        let text =
            |&i: &usize| row.cells.get(i).zip(columns.get(i)).and_then(|(cell, column)| cell.key_text(column.ty));
        let times = held.seen.entry(dedup.key.iter().map(text).collect()).or_default();
        times.retain(|time| *time >= oldest);
        let found = times.iter().any(|time| time.abs_diff(row.time) <= dedup.within.unsigned_abs());
        if !found {
            times.push(row.time);
        }
        found
    }

    /// What the entry says of a partition against what was worked out.
    fn compare(&self, entry: &Entry, source: Source, told: &PartitionEntry, tally: &Tally, report: &mut Report) {
        let found = &tally.counters;
        let whose = || format!("entry {}, partition {}", entry.version, source.1);
        let mut same = |invariant: Invariant, what: &str, told: String, found: String| {
            if told != found {
                report.broken(invariant, || format!("{}: {what} are {told}, recomputed {found}", whose()));
            }
        };
        let watermark = self.partitions.get(&source.1).map_or(NEVER, Partition::watermark);
        same(I10, "watermarks", told.watermark.0.to_string(), watermark.to_string());
        let c = &told.counters;
        for (what, told, found) in [
            ("records read", c.records, found.records),
            ("replayed records", c.replayed, found.replayed),
            ("kept rows", c.kept, found.kept),
            ("filtered rows", c.filtered, found.filtered),
            ("duplicates", c.duplicate, found.duplicate),
            ("quarantined records", c.quarantined, found.quarantined),
            ("tombstones", c.tombstones, found.tombstones),
            ("rows too old for dedup", c.unjudged, found.unjudged),
        ] {
            same(I3, what, told.to_string(), found.to_string());
        }
        let named = |by: &BTreeMap<String, u64>| format!("{by:?}");
        same(I3, "filtered rows by check", named(&c.filtered_by_check), named(&found.filtered_by_check));
        same(I12, "late rows", named(&c.late), named(&found.late));
        same(I12, "late rows that revise windows", named(&c.amended), named(&found.amended));
        same(I12, "rows before the first window", named(&c.before_first), named(&found.before_first));
        same(I13, "reasons", named(&merged(&c.by_reason)), named(&found.by_reason));
        if late::minutes_are_told(told) {
            same(I12, "minutes of late rows", late::told_minutes(told), tally.minutes.newest());
        } else {
            report.undecided(I12, "entries of an earlier version don't say in which minutes late rows lay");
        }
        report.counted(I3, "ranges", 1);
        report.counted(I12, "ranges", 1);
    }
}

/// The reasons with all that mean "no object" under one name.
fn merged(by_reason: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut merged = BTreeMap::new();
    for (reason, count) in by_reason {
        let name = if NO_OBJECT.contains(&reason.as_str()) { NO_OBJECT[0] } else { reason };
        *merged.entry(name.to_owned()).or_default() += count;
    }
    merged
}

fn expect_none(record: &Record<'_>, report: &mut Report) {
    if let Some(Reject { reason, .. }) = record.reject {
        report.broken(I13, || {
            format!("{} is in Quarantine as {reason}, but nothing is wrong with it", shown(record.identity))
        });
    }
}

fn expect_reject(record: &Record<'_>, line: &BronzeLine<'_>, refusal: &Refusal, report: &mut Report) {
    let whose = || shown(record.identity);
    let Some(reject) = record.reject else {
        return report.broken(I13, || format!("{} is not in Quarantine, but {refusal}", whose()));
    };
    if (reject.reason.as_str(), &reject.field) != (refusal.reason, &refusal.field) {
        let field = reject.field.as_deref().unwrap_or("-");
        report.broken(I13, || format!("{} is in Quarantine as {} ({field}), but {refusal}", whose(), reject.reason));
    }
    let payload = reject.payload.as_deref().unwrap_or_default();
    if line::rest_of(payload) != line.rest.as_bytes() {
        report.broken(I4, || format!("{} has other bytes in Quarantine than in Bronze", whose()));
    }
    if reject.time != line.time {
        report.broken(I13, || format!("{} has another time in Quarantine than in Bronze", whose()));
    }
}

#[cfg(test)]
mod tests;
