//! Tables of late rows, in the lake and in the mart, against the rows that were found to be late for a KPI (T5, I12, I8).

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use lakeward_connect::mart::{MartError, MartValue};
use lakeward_core::ids::Version;
use lakeward_core::log::Entry;
use lakeward_core::pipeline::{Holds, Kpi, Pipeline};
use lakeward_core::types::{Column as Declared, DataType};

use crate::cell::{Cell, digest};
use crate::history::Live;
use crate::input::shown;
use crate::invariant::Invariant::{I8, I12};
use crate::line::Identity;
use crate::mart::{MartCheck, as_in_marts, cell_of};
use crate::report::Report;
use crate::silver::{Expected, Silver, SilverRow};
use crate::table::Table;
use crate::window::size_of;

/// A window that a kept row came too late for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The KPI's number.
    pub kpi: usize,
    /// Start of the window.
    pub start: i64,
    /// The watermark of the row's partition before it.
    pub watermark: i64,
}

/// The late rows of a KPI that has a table for them.
pub struct LateRows<'p> {
    /// The KPI's number.
    pub number: usize,
    kpi: &'p Kpi,
    /// Silver's columns, then the late row's own.
    columns: Vec<Declared>,
    /// Of the present entry, by what stands for the values.
    due: Expected,
    /// Of all entries, as a mart holds them.
    in_marts: BTreeMap<Identity, InMart>,
}

/// A row that the mart's table must hold.
struct InMart {
    version: Version,
    digest: u128,
}

/// The late rows of each KPI that has a layer for them.
#[must_use]
pub fn of_pipeline(pipeline: &Pipeline) -> Vec<LateRows<'_>> {
    let moment = |name: &str| Declared::new(name, DataType::Timestamp, false);
    let mut columns = pipeline.silver_columns();
    columns.push(Declared::new("kpi", DataType::String, false));
    columns.extend(["window_start", "window_end", "watermark"].map(moment));
    let numbers = pipeline.layers.iter().filter_map(|layer| match layer.holds {
        Holds::LateRows { kpi } => Some(kpi),
        _ => None,
    });
    let of = |number: usize| {
        let (due, in_marts) = (Expected::new(), BTreeMap::new());
        Some(LateRows { number, kpi: pipeline.kpis.get(number)?, columns: columns.clone(), due, in_marts })
    };
    numbers.filter_map(of).collect()
}

impl LateRows<'_> {
    /// Takes up a kept row, if it was late for the KPI.
    pub fn take(&mut self, version: Version, silver: &Silver, row: &SilverRow<'_>, scratch: &mut Vec<u8>) {
        let Some(missed) = row.missed.iter().find(|missed| missed.kpi == self.number) else { return };
        let end = missed.start.saturating_add(size_of(self.kpi));
        let mut cells: Vec<Cell> = (0..silver.columns.len()).map(|at| silver.cell(row, at)).collect();
        cells.push(Cell::Text(self.kpi.name.clone()));
        cells.extend([missed.start, end, missed.watermark].map(Cell::Int));
        let digest_of = |cells: &mut dyn Iterator<Item = Cell>, scratch: &mut Vec<u8>| {
            scratch.clear();
            cells.for_each(|cell| cell.encode(scratch));
            digest(scratch)
        };
        self.due.insert(row.line.identity, digest_of(&mut cells.iter().cloned(), scratch));
        let digest = digest_of(&mut cells.into_iter().map(as_in_marts), scratch);
        self.in_marts.insert(row.line.identity, InMart { version, digest });
    }

    /// Holds the files that an entry added against the rows that it found to be late. `later` knows the columns that its
    /// definition did not have.
    pub fn compare(
        &mut self,
        entry: &Entry,
        silver: &Silver,
        files: Vec<(&Live, Bytes)>,
        later: &dyn Fn(&str) -> bool,
        report: &mut Report,
    ) {
        let mut due = std::mem::take(&mut self.due);
        report.counted(I12, "late rows", due.len());
        let mut scratch = Vec::new();
        for (live, bytes) in files {
            let path = &live.file.path;
            let table = Table { columns: &self.columns, folders: &[], later };
            table.rows(live, bytes, report, |columns, row, report| {
                let Some(identity) = silver.identity(columns, row) else {
                    return report.broken(I12, || format!("{path}: row {row} has no coordinates"));
                };
                scratch.clear();
                for (at, column) in columns.iter().enumerate() {
                    // Nobody can know again when it was processed.
                    if at == silver.own { Cell::Null.encode(&mut scratch) } else { column.encode(row, &mut scratch) }
                }
                match due.remove(&identity) {
                    None => {
                        report.broken(I12, || format!("{path}: {} was not late, or is there twice", shown(identity)))
                    }
                    Some(wanted) if wanted != digest(&scratch) => {
                        report.broken(I12, || format!("{path}: {} has other values", shown(identity)));
                    }
                    Some(_) => {}
                }
            });
        }
        let mut missing: Vec<_> = due.into_keys().collect();
        missing.sort_unstable();
        for identity in missing {
            report.broken(I12, || {
                format!("entry {}: the late rows of {} lack {}", entry.version, self.kpi.name, shown(identity))
            });
        }
    }
}

impl MartCheck<'_> {
    /// A table of late rows: exactly those of the entries up to its fence, since nothing is shown ahead of the log.
    pub async fn late(&self, late: &LateRows<'_>, report: &mut Report) -> Result<(), MartError> {
        let Some(table) = late.kpi.late_table.as_ref().and_then(|table| table.table.as_ref()) else { return Ok(()) };
        let Some(fence) = self.snapshot.fences().kpis.get(&format!("late/{}", late.kpi.name)) else { return Ok(()) };
        let Some(mut scan) = self.snapshot.scan(table, |_| true).await? else {
            report.broken(I8, || format!("the table {table} is not there"));
            return Ok(());
        };
        let at = |name: &str| scan.columns.iter().position(|column| column.name == name);
        let places = ["kafka_incarnation", "kafka_partition", "kafka_offset", "processing_timestamp"].map(at);
        let mut seen: HashSet<Identity> = HashSet::new();
        let mut scratch = Vec::new();
        while let Some(chunk) = scan.rows.recv().await {
            for row in chunk? {
                report.counted(I8, "late rows of marts", 1);
                let Some(identity) = encode(row, places, &mut scratch) else {
                    report.broken(I8, || format!("{table} holds a row without coordinates"));
                    continue;
                };
                let due = late.in_marts.get(&identity).filter(|due| Some(due.version) <= fence.version);
                match due {
                    None => report.broken(I8, || format!("{table} holds {}, which was not late", shown(identity))),
                    Some(due) if due.digest != digest(&scratch) => {
                        report.broken(I8, || format!("{table} holds other values for {}", shown(identity)));
                    }
                    Some(_) => {}
                }
                if !seen.insert(identity) {
                    report.broken(I8, || format!("{table} holds {} twice", shown(identity)));
                }
            }
        }
        let gone = self.history.gone.get(&format!("late/{}", late.kpi.name)).map(|gone| gone.upto);
        let mut without_file = 0;
        for (identity, due) in &late.in_marts {
            if Some(due.version) > fence.version || seen.contains(identity) {
                continue;
            }
            if Some(due.version) <= gone {
                without_file += 1;
            } else {
                report.broken(I8, || format!("{table} lacks {}", shown(*identity)));
            }
        }
        self.may_lack(table, without_file, report);
        Ok(())
    }
}

/// Leaves in `scratch` what stands for a row, and answers its identity. `places`: its coordinates, and the time of its
/// processing, which is nothing that could be worked out again.
fn encode(row: Vec<MartValue>, places: [Option<usize>; 4], scratch: &mut Vec<u8>) -> Option<Identity> {
    let row: Vec<Cell> = row.into_iter().map(cell_of).collect();
    let [incarnation, partition, offset, processing] = places;
    scratch.clear();
    for (at, cell) in row.iter().enumerate() {
        if Some(at) == processing { Cell::Null.encode(scratch) } else { cell.encode(scratch) }
    }
    let int = |at: Option<usize>| match row.get(at?) {
        Some(Cell::Int(n)) => Some(*n),
        _ => None,
    };
    let narrow = |at| int(at).and_then(|n| i32::try_from(n).ok());
    Some((narrow(incarnation)?, narrow(partition)?, int(offset)?))
}
