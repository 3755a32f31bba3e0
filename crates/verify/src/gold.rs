//! Gold's files against the windows that were worked out, entry by entry (I6, I11), and what marts make of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use lakeward_core::ids::{EventTime, Version};
use lakeward_core::log::Entry;
use lakeward_core::pipeline::{Derived, Kpi, Pipeline};
use lakeward_core::types::Column as Declared;

use crate::cell::Cell;
use crate::eval::eval;
use crate::files::MEANWHILE;
use crate::history::{Gone, Live};
use crate::invariant::Invariant::{I6, I11};
use crate::report::Report;
use crate::table::Table;
use crate::window::{Answered, Closed};

/// Gold of one KPI.
pub struct Gold<'p> {
    kpi: &'p Kpi,
    columns: Vec<Declared>,
    row_columns: Vec<Declared>,
    /// Gold's columns that follow from window and key alone.
    identity: Vec<usize>,
    known: HashSet<Vec<u8>>,
    /// All rows that are final, for the mart.
    pub finals: Vec<Final>,
    /// Where late rows revise closed windows: all that Gold must hold after the newest entry.
    revisable: Option<Revisable>,
}

/// Rows by what identifies them, of a KPI whose rows change: files hold what the newest entries made of them.
#[derive(Default)]
struct Revisable {
    /// Each with its place among the finals.
    expected: BTreeMap<Vec<u8>, (Vec<Cell>, usize)>,
    /// Each with the file that holds it.
    found: BTreeMap<Vec<u8>, (Vec<Cell>, String)>,
    /// Whether files were replaced while they were read.
    missed: bool,
}

/// A final row as the mart must hold it.
pub struct Final {
    /// The entry that closed its window, or the newest that revised the row.
    pub version: Version,
    /// The mart's columns; the time of processing is NULL.
    pub cells: Vec<Cell>,
}

/// Rows by what identifies them.
type ByIdentity = BTreeMap<Vec<u8>, Vec<Vec<Cell>>>;

impl<'p> Gold<'p> {
    /// Gold of a KPI that has a layer.
    #[must_use]
    pub fn new(pipeline: &'p Pipeline, kpi: &'p Kpi) -> Self {
        // Window start and end, then the keys.
        let identifying = 2 + kpi.key.len();
        let of_identity = |derived: &Derived| derived.expr.columns().iter().all(|i| *i < identifying);
        Self {
            kpi,
            columns: kpi.gold.iter().map(|derived| derived.column.clone()).collect(),
            row_columns: pipeline.row_columns(),
            identity: kpi.gold.iter().enumerate().filter(|(_, derived)| of_identity(derived)).map(|(i, _)| i).collect(),
            known: HashSet::new(),
            finals: Vec::new(),
            revisable: (kpi.amend_for > 0).then(Revisable::default),
        }
    }

    /// Holds what an entry closed against what was worked out. `files` are those that it added.
    pub fn compare(&mut self, entry: &Entry, closed: &Closed, files: Vec<(&Live, Bytes)>, report: &mut Report) {
        self.compare_item(entry, closed, report);
        report.counted(I6, "final rows", closed.finals.len() + closed.revised.len());
        report.counted(I11, "final rows", closed.finals.len() + closed.revised.len());
        if self.revisable.is_some() {
            self.expect(entry, closed);
            files.into_iter().for_each(|(live, bytes)| self.find(live, bytes, report));
            return;
        }
        let mut expected = ByIdentity::new();
        for answered in &closed.finals {
            let scope = answered.scope(self.kpi, &self.row_columns);
            let row: Vec<Cell> =
                self.kpi.gold.iter().map(|d| eval(d.expr.tree(), &scope).unwrap_or(Cell::Null)).collect();
            expected.entry(self.identity_of(&row)).or_default().push(row);
            let cells = self.final_mart_row(&scope);
            self.finals.push(Final { version: entry.version, cells });
        }
        for (live, bytes) in files {
            self.compare_file(live, bytes, &mut expected, report);
        }
        for row in expected.values().flatten() {
            report.broken(I6, || format!("entry {}: Gold lacks {}", entry.version, self.shown(row)));
        }
    }

    fn compare_file(&mut self, live: &Live, bytes: Bytes, expected: &mut ByIdentity, report: &mut Report) {
        let path = &live.file.path;
        let columns = self.columns.clone();
        let table = Table { columns: &columns, folders: &[], later: &|_| false };
        table.rows(live, bytes, report, |columns, at, report| {
            let row: Vec<Cell> = columns.iter().map(|column| column.cell(at)).collect();
            let identity = self.identity_of(&row);
            if !self.known.insert(encoded(&row)) {
                report
                    .broken(I11, || format!("{path}: {} is final a second time, without a revision", self.shown(&row)));
            }
            let rows = expected.get_mut(&identity);
            match rows.and_then(|rows| {
                rows.iter().position(|wanted| same(wanted, &row)).or(Some(0)).map(|at| rows.swap_remove(at))
            }) {
                None => {
                    report.broken(I6, || format!("{path}: {} should not be there, or is there twice", self.shown(&row)))
                }
                Some(wanted) if !same(&wanted, &row) => {
                    report.broken(I6, || format!("{path}: {}", self.difference(&wanted, &row)));
                }
                Some(_) => {}
            }
            if expected.get(&identity).is_some_and(Vec::is_empty) {
                expected.remove(&identity);
            }
        });
    }

    /// What the rows are after an entry.
    fn expect(&mut self, entry: &Entry, closed: &Closed) {
        for answered in closed.finals.iter().chain(&closed.revised) {
            let scope = answered.scope(self.kpi, &self.row_columns);
            let row: Vec<Cell> =
                self.kpi.gold.iter().map(|d| eval(d.expr.tree(), &scope).unwrap_or(Cell::Null)).collect();
            let (identity, cells) = (self.identity_of(&row), self.final_mart_row(&scope));
            let last = Final { version: entry.version, cells };
            let Some(revisable) = &mut self.revisable else { return };
            match revisable.expected.get_mut(&identity).map(|(held, at)| (held, self.finals.get_mut(*at))) {
                Some((held, Some(known))) => (*held, *known) = (row, last),
                _ => {
                    revisable.expected.insert(identity, (row, self.finals.len()));
                    self.finals.push(last);
                }
            }
        }
    }

    /// What a file holds that no entry has taken out.
    fn find(&mut self, live: &Live, bytes: Bytes, report: &mut Report) {
        let (path, columns) = (&live.file.path, self.columns.clone());
        let table = Table { columns: &columns, folders: &[], later: &|_| false };
        let mut rows = Vec::new();
        table.rows(live, bytes, report, |columns, at, _| {
            rows.push(columns.iter().map(|column| column.cell(at)).collect::<Vec<Cell>>());
        });
        for row in rows {
            let identity = self.identity_of(&row);
            let Some(revisable) = &mut self.revisable else { return };
            if let Some((other, first)) = revisable.found.insert(identity, (row, path.clone())) {
                let what = format!("{} is in {first} and in {path}", self.shown(&other));
                report.broken(I11, || what);
            }
        }
    }

    /// A file was not there any more, since an entry above the head has replaced it.
    pub fn miss(&mut self) {
        if let Some(revisable) = &mut self.revisable {
            revisable.missed = true;
        }
    }

    /// After the newest entry: what files hold of a KPI whose rows change. `gone`: what retention has taken, by layer.
    pub fn settle(&mut self, gone: &BTreeMap<String, Gone>, report: &mut Report) {
        let Some(Revisable { expected, mut found, missed }) = self.revisable.take() else { return };
        if missed {
            [I6, I11].iter().for_each(|invariant| report.undecided(*invariant, MEANWHILE));
        }
        let gone = gone.get(&format!("gold/{}", self.kpi.name)).map(|gone| gone.upto);
        for (identity, (wanted, at)) in &expected {
            match found.remove(identity) {
                None if missed || self.finals.get(*at).is_some_and(|last| Some(last.version) <= gone) => {}
                None => report.broken(I6, || format!("Gold lacks {}", self.shown(wanted))),
                Some((row, path)) if !same(wanted, &row) => {
                    let what = format!("{path}: {}", self.difference(wanted, &row));
                    [I6, I11].iter().for_each(|invariant| report.broken(*invariant, || what.clone()));
                }
                Some(_) => {}
            }
        }
        for (row, path) in found.values() {
            report.broken(I6, || format!("{path}: {} should not be there", self.shown(row)));
        }
    }

    fn compare_item(&self, entry: &Entry, closed: &Closed, report: &mut Report) {
        let item = entry.gold.iter().find(|item| item.kpi == self.kpi.name);
        let name = &self.kpi.name;
        let starts = |rows: &[Answered]| rows.iter().map(|row| row.start).collect::<BTreeSet<i64>>();
        let told = |windows: &[EventTime]| windows.iter().map(|window| window.0).collect::<BTreeSet<i64>>();
        let (mut windows, mut revised, mut counts) = (BTreeSet::new(), BTreeSet::new(), (0, 0));
        if let Some(item) = item {
            (windows, revised) = (told(&item.windows), told(&item.revised));
            counts = (item.rows, item.revisions);
        }
        for (does, told, found) in
            [("closes", windows, starts(&closed.finals)), ("revises", revised, starts(&closed.revised))]
        {
            if told != found {
                report.broken(I6, || {
                    format!("entry {}: it {does} the windows {told:?} of {name}, recomputed {found:?}", entry.version)
                });
            }
        }
        for (what, told, found) in
            [("final", counts.0, closed.finals.len()), ("revised", counts.1, closed.revised.len())]
        {
            if usize::try_from(told) != Ok(found) {
                report.broken(I6, || {
                    format!("entry {}: {told} {what} rows of {name}, recomputed {found}", entry.version)
                });
            }
        }
    }

    /// What the mart makes of a final row: from what Gold holds as it is, all else is NULL there.
    fn final_mart_row(&self, scope: &[Cell]) -> Vec<Cell> {
        let held = |i: usize| self.kpi.gold.iter().any(|derived| derived.expr.as_column() == Some(i));
        let scope = scope.iter().enumerate().map(|(i, cell)| if held(i) { cell.clone() } else { Cell::Null });
        mart_row(self.kpi, scope.collect(), true)
    }

    fn identity_of(&self, row: &[Cell]) -> Vec<u8> {
        let mut out = Vec::new();
        self.identity.iter().filter_map(|&i| row.get(i)).for_each(|cell| cell.encode(&mut out));
        out
    }

    fn shown(&self, row: &[Cell]) -> String {
        let part =
            |&i: &usize| Some(format!("{} {}", self.columns.get(i)?.name, row.get(i)?.shown(self.columns.get(i)?.ty)));
        let parts: Vec<String> = self.identity.iter().filter_map(part).collect();
        format!("the row of {} with {}", self.kpi.name, parts.join(", "))
    }

    fn difference(&self, wanted: &[Cell], found: &[Cell]) -> String {
        format!("{}: {}", self.shown(wanted), differences(&self.columns, wanted, found))
    }
}

/// The mart's columns of a row of the window scope.
#[must_use]
pub fn mart_row(kpi: &Kpi, mut scope: Vec<Cell>, is_final: bool) -> Vec<Cell> {
    scope.extend([Cell::Bool(is_final), Cell::Null]);
    let columns = kpi.mart.as_ref().map_or(&[][..], |mart| &mart.columns);
    columns.iter().map(|derived| eval(derived.expr.tree(), &scope).unwrap_or(Cell::Null)).collect()
}

/// The columns in which two rows differ.
#[must_use]
pub fn differences(columns: &[Declared], wanted: &[Cell], found: &[Cell]) -> String {
    let pairs = columns.iter().zip(wanted.iter().zip(found));
    let differs = pairs
        .filter(|(_, (wanted, found))| encoded(std::slice::from_ref(wanted)) != encoded(std::slice::from_ref(found)));
    let shown =
        differs.map(|(c, (wanted, found))| format!("{} is {}, not {}", c.name, found.shown(c.ty), wanted.shown(c.ty)));
    shown.take(3).collect::<Vec<_>>().join("; ")
}

/// Bytes that are equal for equal rows.
#[must_use]
pub fn encoded(row: &[Cell]) -> Vec<u8> {
    let mut out = Vec::new();
    row.iter().for_each(|cell| cell.encode(&mut out));
    out
}

fn same(a: &[Cell], b: &[Cell]) -> bool {
    encoded(a) == encoded(b)
}

/// Gold of each KPI that has a layer, by the KPI's number.
#[must_use]
pub fn of_pipeline(pipeline: &Pipeline) -> HashMap<usize, Gold<'_>> {
    let layers = pipeline.layers.iter().filter_map(|layer| match &layer.holds {
        lakeward_core::pipeline::Holds::FinalWindows { kpi } => Some(*kpi),
        _ => None,
    });
    layers.filter_map(|i| Some((i, Gold::new(pipeline, pipeline.kpis.get(i)?)))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lakeward_core::log::{
        Author, ClosedWindows, Draft, EntryKind, Fold, Member, NewPartition, render, render_first,
    };

    use super::*;
    use crate::report::Verdict;

    const FEED: &str = "name = \"p\"\nsource.topic = \"t\"\nfields = { id = \"string!\" }\n[[kpi]]\nname = \"k\"\n\
        window = { tumbling = \"1m\" }\nlate = \"amend\"\namend_for = \"1h\"\nmart = false\nmeasures = { n = \"count(*)\" }\n";

    /// An entry that closes one window, of a KPI whose windows late rows revise.
    fn entry() -> Entry {
        let (attempt, member) = ("a".repeat(8), Member::default());
        let author = Author { claim: Version(0), attempt, member, definition: "d".to_owned(), now: 0 };
        let mut claim = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        claim.new_partitions.insert(0, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        let fold = Fold::first(&render_first("l", &claim, &author), "h".to_owned()).unwrap();
        let mut draft = Draft::empty(EntryKind::Epoch);
        let closed = ClosedWindows { windows: vec![EventTime(0)], rows: 1, ..ClosedWindows::default() };
        draft.closed.insert("k".to_owned(), closed);
        render(&fold, &draft, &author)
    }

    /// What is said where no file holds the window's row.
    fn lacking(happened: fn(&mut Gold<'_>, &mut BTreeMap<String, Gone>)) -> Verdict {
        let pipeline = Pipeline::parse(FEED, "p").unwrap();
        let mut gold = Gold::new(&pipeline, &pipeline.kpis[0]);
        let row = || Answered { start: 0, key: Vec::new(), answers: vec![Cell::Int(3)], revision: 0 };
        let (mut report, mut gone) = (Report::default(), BTreeMap::new());
        let closed = Closed { finals: vec![row()], revised: Vec::new() };
        gold.compare(&entry(), &closed, Vec::new(), &mut report);
        assert_eq!(report.verdict(I6), Verdict::Holds, "{:?}", report.evidence(I6));
        happened(&mut gold, &mut gone);
        gold.settle(&gone, &mut report);
        report.verdict(I6)
    }

    #[test]
    fn a_row_that_no_file_holds_is_missing_unless_its_file_has_gone() {
        assert_eq!(lacking(|_, _| ()), Verdict::Broken(1));
        let replaced = lacking(|gold, _| gold.miss());
        assert!(
            matches!(&replaced, Verdict::NotCheckable(why) if why.contains("while they were read")),
            "{replaced:?}"
        );
        let expired = lacking(|_, gone| gone.entry("gold/k".to_owned()).or_default().upto = Version(1));
        assert_eq!(expired, Verdict::Holds, "what retention took is told where the file is looked for");
        let before = lacking(|_, gone| drop(gone.insert("gold/k".to_owned(), Gone::default())));
        assert_eq!(before, Verdict::Broken(1));
    }
}
