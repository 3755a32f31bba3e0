//! Silver, row by row and value by value, against the rows that were worked out (I3).

use std::collections::HashMap;

use bytes::Bytes;
use lakeward_core::pipeline::{Holds, Pipeline};
use lakeward_core::types::{Column as Declared, DataType};

use crate::cell::{Cell, Column, digest};
use crate::definition::Known;
use crate::history::Live;
use crate::input::{Input, shown};
use crate::invariant::Invariant::I3;
use crate::late_rows::Missed;
use crate::line::{self, BronzeLine, Identity};
use crate::report::Report;
use crate::rules::{Fate, Rules};
use crate::table::Table;

/// A kept row: fields and derived columns, and the line that it came from.
pub struct SilverRow<'a> {
    /// The record's line of Bronze.
    pub line: &'a BronzeLine<'a>,
    /// Fields and derived columns.
    pub cells: &'a [Cell],
    /// Windows that it came too late for.
    pub missed: &'a [Missed],
}

/// The columns that the engine adds, behind a row's own.
const PROCESSING: usize = 0;
const PARTITION: usize = 2;
const OFFSET: usize = 3;
const INCARNATION: usize = 5;

/// The shape of Silver.
pub struct Silver {
    /// All columns.
    pub columns: Vec<Declared>,
    folders: Vec<usize>,
    /// Fields and derived columns; the time of processing follows.
    pub own: usize,
}

/// Rows that an entry's files must hold, by identity.
pub type Expected = HashMap<Identity, u128>;

impl Silver {
    /// The shape that a pipeline gives it; also where no layer holds rows.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        let folders = pipeline.layers.iter().find_map(|layer| match &layer.holds {
            Holds::Rows { partition_by } => Some(partition_by.clone()),
            _ => None,
        });
        let columns = pipeline.silver_columns();
        Self { columns, folders: folders.unwrap_or_default(), own: pipeline.row_columns().len() }
    }

    /// A kept row's values, NULL for the time of its processing, which nobody can know again.
    #[must_use]
    pub fn cell(&self, row: &SilverRow<'_>, at: usize) -> Cell {
        let (incarnation, partition, offset) = row.line.identity;
        match at.checked_sub(self.own) {
            None => row.cells.get(at).cloned().unwrap_or(Cell::Null),
            Some(PROCESSING) => Cell::Null,
            Some(1) => Cell::Text(row.line.topic.to_string()),
            Some(PARTITION) => Cell::Int(partition.into()),
            Some(OFFSET) => Cell::Int(offset),
            Some(4) => row.line.time.map_or(Cell::Null, Cell::Int),
            Some(INCARNATION) => Cell::Int(incarnation.into()),
            Some(_) => Cell::Null,
        }
    }

    /// What stands for a kept row.
    #[must_use]
    pub fn expect(&self, row: &SilverRow<'_>, scratch: &mut Vec<u8>) -> u128 {
        scratch.clear();
        for at in (0..self.columns.len()).filter(|at| *at != self.own + PROCESSING) {
            match row.cells.get(at) {
                Some(cell) if !self.shares_null(at, cell) => cell.encode(scratch),
                Some(_) => Cell::Null.encode(scratch),
                None => self.cell(row, at).encode(scratch),
            }
        }
        digest(scratch)
    }

    /// NULL and the empty text share a folder: it reads back as NULL where the column may be NULL.
    fn shares_null(&self, at: usize, cell: &Cell) -> bool {
        let column = self.columns.get(at).filter(|column| column.ty == DataType::String && column.nullable);
        column.is_some() && self.folders.contains(&at) && matches!(cell, Cell::Text(text) if text.is_empty())
    }

    /// Holds a file against the rows that are expected, and takes out those that it has.
    pub fn compare(
        &self,
        live: &Live,
        bytes: Bytes,
        known: Option<&Known>,
        expected: &mut Expected,
        explain: &Explain<'_>,
        report: &mut Report,
    ) {
        let fields = |name: &str| explain.rules.pipeline.fields.iter().any(|field| field.name == name);
        let later = |name: &str| known.is_some_and(|known| fields(name) && !known.fields.contains_key(name));
        let table = Table { columns: &self.columns, folders: &self.folders, later: &later };
        let path = &live.file.path;
        let mut scratch = Vec::new();
        table.rows(live, bytes, report, |columns, row, report| {
            let Some(identity) = self.identity(columns, row) else {
                return report.broken(I3, || format!("{path}: row {row} has no coordinates"));
            };
            scratch.clear();
            for (_, column) in columns.iter().enumerate().filter(|(at, _)| *at != self.own + PROCESSING) {
                column.encode(row, &mut scratch);
            }
            match expected.remove(&identity) {
                None => {
                    report.broken(I3, || format!("{path}: {} should not be there, or is there twice", shown(identity)))
                }
                Some(wanted) if wanted != digest(&scratch) => {
                    report.broken(I3, || format!("{path}: {}", explain.difference(self, identity, columns, row)));
                }
                Some(_) => {}
            }
        });
    }

    /// The coordinates of a row with Silver's columns in front.
    #[must_use]
    pub fn identity(&self, columns: &[Column<'_>], row: usize) -> Option<Identity> {
        let int = |at: usize| match columns.get(self.own + at).map(|column| column.cell(row)) {
            Some(Cell::Int(n)) => Some(n),
            _ => None,
        };
        let narrow = |at| int(at).and_then(|n| i32::try_from(n).ok());
        Some((narrow(INCARNATION)?, narrow(PARTITION)?, int(OFFSET)?))
    }
}

/// Says what is different, by working a record out once more.
pub struct Explain<'a> {
    /// What decided.
    pub rules: &'a Rules<'a>,
    /// The entry's records.
    pub input: &'a Input,
}

impl Explain<'_> {
    fn difference(&self, silver: &Silver, identity: Identity, columns: &[Column<'_>], row: usize) -> String {
        let text = self.input.bronze_line(identity).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let line = text.and_then(|text| line::bronze(text).ok());
        let judged = line.as_ref().and_then(|line| Some((line, self.rules.judge(line, line.members.as_ref()?, None))));
        let Some((line, Fate::Row(decided))) = judged else { return format!("{} differs", shown(identity)) };
        let expected = SilverRow { line, cells: &decided.cells, missed: &[] };
        let differs = silver.columns.iter().zip(columns).enumerate().filter_map(|(at, (declared, column))| {
            let (wanted, found) = (silver.cell(&expected, at), column.cell(row));
            let same = at == silver.own + PROCESSING || wanted == found || silver.shares_null(at, &wanted);
            (!same).then(|| {
                format!("{} is {}, not {}", declared.name, found.shown(declared.ty), wanted.shown(declared.ty))
            })
        });
        format!("{}: {}", shown(identity), differs.take(3).collect::<Vec<_>>().join("; "))
    }
}
