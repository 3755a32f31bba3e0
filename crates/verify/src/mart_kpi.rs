//! A KPI's table against the final rows and, where nobody works on the pipeline, the open windows (F3, I6, I11).

use std::collections::{HashMap, HashSet};

use lakeward_connect::mart::{MartError, TableScan};
use lakeward_core::pipeline::{Kpi, KpiMart};
use lakeward_core::types::Column;

use crate::cell::Cell;
use crate::gold::{Final, differences, encoded};
use crate::invariant::Invariant::{self, I6, I8, I11};
use crate::mart::{MartCheck, as_in_marts, cell_of};
use crate::report::Report;

impl MartCheck<'_> {
    /// The table of a KPI. `open` are the rows of windows still open, which a quiet mart shows.
    pub async fn kpi(
        &self,
        kpi: &Kpi,
        finals: &[Final],
        open: &[Vec<Cell>],
        report: &mut Report,
    ) -> Result<(), MartError> {
        let (Some(mart), Some(fence)) = (&kpi.mart, self.snapshot.fences().kpis.get(&kpi.name)) else {
            return Ok(());
        };
        let Some(scan) = self.snapshot.scan(&mart.table, |_| true).await? else {
            report.broken(I8, || format!("the table {} is not there", mart.table));
            return Ok(());
        };
        let live = self.quiet && fence.version == Some(self.head);
        let applied = finals.iter().filter(|row| Some(row.version) <= fence.version).map(|row| &row.cells);
        // The table has still what an earlier entry made of these.
        let ahead = finals.iter().filter(|row| Some(row.version) > fence.version);
        let ahead = ahead.map(|row| key_of(mart, &row.cells)).collect();
        let gone = self.history.gone.get(&format!("gold/{}", kpi.name)).map(|gone| gone.upto);
        let without_file = finals.iter().filter(|row| Some(row.version) <= gone).map(|row| key_of(mart, &row.cells));
        let without_file = without_file.collect();
        let expected = applied.chain(open.iter().filter(|_| live)).map(|row| (key_of(mart, row), row)).collect();
        let processing = kpi.mart_scope(&self.pipeline.row_columns()).len().saturating_sub(1);
        let missing = KpiTable { mart, live, processing, expected, ahead, without_file }.compare(scan, report).await?;
        self.may_lack(&mart.table, missing, report);
        Ok(())
    }
}

/// A KPI's table while it is compared.
struct KpiTable<'a> {
    mart: &'a KpiMart,
    /// Whether rows that are not final are compared too.
    live: bool,
    /// Where the time of processing stands in the scope of the mart's columns: it is the last one.
    processing: usize,
    expected: HashMap<Vec<u8>, &'a Vec<Cell>>,
    /// Rows that the table has not caught up with.
    ahead: HashSet<Vec<u8>>,
    /// Keys of those whose files of Gold retention took.
    without_file: HashSet<Vec<u8>>,
}

impl KpiTable<'_> {
    /// Answers how many rows are missing whose files retention took.
    async fn compare(mut self, mut scan: TableScan, report: &mut Report) -> Result<usize, MartError> {
        while let Some(chunk) = scan.rows.recv().await {
            for row in chunk? {
                let row: Vec<Cell> = row.into_iter().map(cell_of).collect();
                self.row(row, &scan.columns, report);
            }
        }
        let (gone, lacking): (Vec<_>, Vec<_>) =
            self.expected.iter().partition(|(key, _)| self.without_file.contains(*key));
        for (_, row) in lacking {
            report.broken(I6, || format!("{} lacks the row with {}", self.mart.table, self.key_shown(row)));
        }
        Ok(gone.len())
    }

    fn row(&mut self, mut row: Vec<Cell>, columns: &[Column], report: &mut Report) {
        let table = &self.mart.table;
        let is_final = row.get(self.mart.final_column) == Some(&Cell::Bool(true));
        report.counted(I6, if is_final { "final rows of marts" } else { "live rows of marts" }, 1);
        if !is_final && !self.live {
            return;
        }
        self.blank_processing(&mut row);
        let key = key_of(self.mart, &row);
        match self.expected.remove(&key) {
            None if self.ahead.contains(&key) => {}
            None => report.broken(I6, || format!("{table}: the row with {} should not be there", self.key_shown(&row))),
            Some(wanted) => {
                let wanted: Vec<Cell> = wanted.iter().cloned().map(as_in_marts).collect();
                if encoded(&wanted) != encoded(&row) {
                    let what = format!(
                        "{table}: the row with {}: {}",
                        self.key_shown(&row),
                        differences(columns, &wanted, &row)
                    );
                    let also: &[Invariant] = if is_final { &[I6, I11] } else { &[I6] };
                    also.iter().for_each(|invariant| report.broken(*invariant, || what.clone()));
                }
            }
        }
    }

    /// The time of its processing is nothing that could be worked out again.
    fn blank_processing(&self, row: &mut [Cell]) {
        for (derived, cell) in self.mart.columns.iter().zip(row) {
            if derived.expr.columns().contains(&self.processing) {
                *cell = Cell::Null;
            }
        }
    }

    fn key_shown(&self, row: &[Cell]) -> String {
        let part = |&i: &usize| {
            let column = &self.mart.columns.get(i)?.column;
            Some(format!("{} {}", column.name, row.get(i)?.shown(column.ty)))
        };
        self.mart.primary_key.iter().filter_map(part).collect::<Vec<_>>().join(", ")
    }
}

fn key_of(mart: &KpiMart, row: &[Cell]) -> Vec<u8> {
    let key = mart.primary_key.iter().filter_map(|&i| row.get(i)).cloned().map(as_in_marts);
    encoded(&key.collect::<Vec<_>>())
}
