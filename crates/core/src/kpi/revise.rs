//! Final rows that late rows revise (T5): a file of Gold anew, with what late rows made of some of its rows.
//!
//! Promises I11: a row that is replaced has the next revision, every other row of the file stays as it is. A row that no
//! file holds, since its window had closed without its key, begins at revision 0.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

use super::bounds::window_end;
use super::render::{RenderError, gold_batch, identities};
use super::windows::WindowRow;
use crate::ids::EventTime;
use crate::pipeline::{Kpi, Pipeline};

/// What late rows of an epoch made of closed windows of one KPI, until the rows that it replaces are found.
pub struct Revisions<'p> {
    pipeline: &'p Pipeline,
    kpi: usize,
    /// Of Gold's columns: the window's start and the keys.
    identity: Vec<usize>,
    revision: usize,
    converter: RowConverter,
    waiting: HashMap<Box<[u8]>, WindowRow>,
    windows: BTreeSet<EventTime>,
}

impl<'p> Revisions<'p> {
    /// `rows`: the new values; their revisions are decided here.
    pub fn new(pipeline: &'p Pipeline, kpi: usize, rows: Vec<WindowRow>) -> Result<Self, RenderError> {
        let definition = pipeline.kpis.get(kpi).ok_or(RenderError::NoKpi(kpi))?;
        let arrow = |source| RenderError::Arrow { kpi: definition.name.clone(), source };
        let place = |index: usize| definition.gold.iter().position(|column| column.expr.as_column() == Some(index));
        let of_identity = std::iter::once(0).chain(2..2 + definition.key.len());
        let identity: Option<Vec<usize>> = of_identity.map(place).collect();
        let (Some(identity), Some(revision)) = (identity, place(revision_of(pipeline, definition))) else {
            return Err(arrow(ArrowError::SchemaError("Gold does not keep windows, keys and revisions".to_owned())));
        };
        let fields = identity.iter().filter_map(|&i| definition.gold.get(i));
        let fields = fields.map(|column| SortField::new(column.column.ty.arrow())).collect();
        let converter = RowConverter::new(fields).map_err(arrow)?;
        let ids = converter.convert_columns(&identities(pipeline, kpi, &rows)?).map_err(arrow)?;
        let windows = rows.iter().map(|row| row.window).collect();
        let waiting = ids.iter().map(|id| id.data().into()).zip(rows).collect();
        Ok(Self { pipeline, kpi, identity, revision, converter, waiting, windows })
    }

    /// Whether a file whose windows start in `[first, last]` may hold rows that are replaced.
    #[must_use]
    pub fn may_touch(&self, first: EventTime, last: EventTime) -> bool {
        self.windows.range(first..=last).next().is_some()
    }

    /// The earliest end of a window that is revised: files that came before any watermark was there hold none of them.
    #[must_use]
    pub fn closed_from(&self) -> Option<EventTime> {
        let window = self.pipeline.kpis.get(self.kpi)?.window;
        self.windows.first().map(|start| window_end(window, *start))
    }

    /// Whether every row that is replaced has been found.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The rows of a file anew; `None` if it holds none that is replaced.
    pub fn rewrite(&mut self, file: &[RecordBatch]) -> Result<Option<Vec<RecordBatch>>, RenderError> {
        let (mut anew, mut replaced) = (Vec::with_capacity(file.len() + 1), Vec::new());
        for batch in file {
            let kept = self.take(batch, &mut replaced);
            anew.push(kept.map_err(|source| self.trouble(source))?);
        }
        if replaced.is_empty() {
            return Ok(None);
        }
        anew.push(gold_batch(self.pipeline, self.kpi, &replaced)?.batch);
        anew.retain(|batch| batch.num_rows() > 0);
        Ok(Some(anew))
    }

    /// Rows that no file holds.
    #[must_use]
    pub fn rest(self) -> Vec<WindowRow> {
        self.waiting.into_values().collect()
    }

    /// Moves what replaces rows of the batch to `replaced`; answers the rows that stay.
    fn take(&mut self, batch: &RecordBatch, replaced: &mut Vec<WindowRow>) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = batch.project(&self.identity)?.columns().to_vec();
        let ids = self.converter.convert_columns(&columns)?;
        let revisions = batch.project(&[self.revision])?;
        let revisions = revisions.columns().first().and_then(|column| column.as_primitive_opt::<Int32Type>());
        let revisions = revisions.ok_or_else(|| ArrowError::SchemaError("revisions are no numbers".to_owned()))?;
        let mut stays = Vec::with_capacity(batch.num_rows());
        for (id, revision) in ids.iter().zip(revisions) {
            let new = self.waiting.remove(id.data());
            stays.push(new.is_none());
            replaced.extend(new.map(|row| WindowRow { revision: revision.unwrap_or(0).saturating_add(1), ..row }));
        }
        filter_record_batch(batch, &BooleanArray::from(stays))
    }

    fn trouble(&self, source: ArrowError) -> RenderError {
        let kpi = self.pipeline.kpis.get(self.kpi).map(|kpi| kpi.name.clone()).unwrap_or_default();
        RenderError::Arrow { kpi, source }
    }
}

/// Index of the revision in the window scope: behind everything else.
fn revision_of(pipeline: &Pipeline, kpi: &Kpi) -> usize {
    kpi.window_scope(&pipeline.row_columns()).len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::compute::cast;
    use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

    use super::super::Value;
    use super::*;

    const FEED: &str = r#"
        name = "p"
        source.topic = "t"
        fields = { id = "int64!", colour = "string", day = "date!" }
        [[kpi]]
        name = "k"
        window = { tumbling = "1m" }
        key = ["colour", "day"]
        late = "amend"
        amend_for = "1h"
        mart = false
        measures = { n = "count(*)" }
        [kpi.gold.columns]
        n = "n"
        version = "revision::text"
        revision = "revision"
        colour = "colour"
        began = "window_start"
        day = "day"
        window_end = "window_end"
    "#;
    const MINUTE: i64 = 60_000_000;

    fn row(minute: i64, colour: &str, n: i64) -> WindowRow {
        let key = [colour, "2024-05-06"]
            .map(|text| [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat())
            .concat();
        let values = vec![Some(Value::Int(n))];
        WindowRow { window: EventTime(minute * MINUTE), key: key.into(), values, revision: 0 }
    }

    /// (minute, colour, n, revision, the text made of it)
    fn shown(batches: &[RecordBatch]) -> Vec<(i64, String, i64, i32, String)> {
        let mut found = Vec::new();
        for batch in batches {
            let column = |name: &str| batch.column_by_name(name).unwrap();
            let text = |name: &str| cast(column(name), &DataType::Utf8).unwrap();
            let (colours, versions) = (text("colour"), text("version"));
            for at in 0..batch.num_rows() {
                found.push((
                    column("began").as_primitive::<TimestampMicrosecondType>().value(at) / MINUTE,
                    colours.as_string::<i32>().value(at).to_owned(),
                    column("n").as_primitive::<Int64Type>().value(at),
                    column("revision").as_primitive::<Int32Type>().value(at),
                    versions.as_string::<i32>().value(at).to_owned(),
                ));
            }
        }
        found.sort();
        found
    }

    fn revisions_left(pipeline: &Pipeline) -> Revisions<'_> {
        let mut revisions = Revisions::new(pipeline, 0, vec![row(3, "red", 1), row(2, "red", 1)]).unwrap();
        let file = [gold_batch(pipeline, 0, &[row(3, "red", 0)]).unwrap().batch];
        assert!(revisions.rewrite(&file).unwrap().is_some());
        assert_eq!(revisions.closed_from(), Some(EventTime(3 * MINUTE)), "minute 2 ends there");
        revisions
    }

    #[test]
    fn a_row_is_replaced_where_it_is_and_its_neighbours_stay() {
        let pipeline = Pipeline::parse(FEED, "p.toml").unwrap_or_else(|e| panic!("{e:?}"));
        let gold = |rows: &[WindowRow]| gold_batch(&pipeline, 0, rows).unwrap().batch;
        let files = [
            vec![gold(&[row(0, "red", 1), row(0, "blue", 2)]), gold(&[row(1, "red", 3)])],
            vec![gold(&[row(2, "red", 4)])],
            vec![gold(&[row(3, "red", 5)])],
        ];
        let new = vec![row(0, "blue", 20), row(1, "red", 30), row(1, "green", 40), row(3, "red", 50)];
        let mut revisions = Revisions::new(&pipeline, 0, new).unwrap();
        let may_touch =
            |revisions: &Revisions<'_>, a, b| revisions.may_touch(EventTime(a * MINUTE), EventTime(b * MINUTE));
        assert!(may_touch(&revisions, 0, 1) && !may_touch(&revisions, 2, 2) && may_touch(&revisions, 2, 3));
        let first = revisions.rewrite(&files[0]).unwrap().unwrap();
        let text = |colour: &str| colour.to_owned();
        assert_eq!(
            shown(&first),
            [
                (0, text("blue"), 20, 1, text("1")),
                (0, text("red"), 1, 0, text("0")),
                (1, text("red"), 30, 1, text("1")),
            ]
        );
        assert!(revisions.rewrite(&files[1]).unwrap().is_none());
        assert_eq!(shown(&revisions.rewrite(&files[2]).unwrap().unwrap()), [(3, text("red"), 50, 1, text("1"))]);
        assert_eq!(revisions.rest(), [row(1, "green", 40)]);

        let mut again = Revisions::new(&pipeline, 0, vec![row(0, "blue", 21)]).unwrap();
        assert_eq!(shown(&again.rewrite(&first).unwrap().unwrap())[0], (0, text("blue"), 21, 2, text("2")));
        assert!(again.are_done() && !revisions_left(&pipeline).are_done());
    }
}
