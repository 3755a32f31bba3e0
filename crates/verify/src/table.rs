//! Rows of Parquet files, with the columns that only their folder's name holds. All files of a table share one schema
//! (I22).

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Field;
use bytes::Bytes;
use lakeward_connect::layer::{read_leaf_values, read_parquet};
use lakeward_core::types::Column as Declared;

use crate::cell::{Cell, Column};
use crate::history::Live;
use crate::invariant::Invariant::{I3, I22};
use crate::report::Report;

/// What a table's files look like.
pub struct Table<'a> {
    /// All columns of a row, those in the folders' names included.
    pub columns: &'a [Declared],
    /// Indexes of the columns that are folders, outermost first.
    pub folders: &'a [usize],
    /// Columns that files of the definition lack, because they came later.
    pub later: &'a dyn Fn(&str) -> bool,
}

impl Table<'_> {
    /// Hands each row's columns, and its number in its batch, to `row`. A file that can't be read is evidence.
    pub fn rows(
        &self,
        live: &Live,
        bytes: Bytes,
        report: &mut Report,
        mut row: impl FnMut(&[Column<'_>], usize, &mut Report),
    ) {
        let path = &live.file.path;
        report.counted(I22, "files", 1);
        let read = self.folder_values(&live.file.staged.leaf).and_then(|folders| {
            let batches = read_parquet(bytes).map_err(|error| error.to_string())?;
            Ok((folders, batches))
        });
        let (folders, batches) = match read {
            Ok(read) => read,
            Err(what) => return report.broken(I22, || format!("{path} can't be read: {what}")),
        };
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let told = live.file.staged.rows;
        report.counted(I3, "rows of files", rows);
        if u64::try_from(rows) != Ok(told) {
            report.broken(I3, || format!("{path} holds {rows} rows, its entry says {told}"));
        }
        for batch in &batches {
            if let Some(what) = self.difference(batch) {
                return report.broken(I22, || format!("{path}: {what}"));
            }
            let columns = self.columns_of(batch, &folders);
            (0..batch.num_rows()).for_each(|at| row(&columns, at, report));
        }
    }

    fn folder_values(&self, leaf: &str) -> Result<Vec<ArrayRef>, String> {
        let fields: Vec<Field> =
            self.folders.iter().filter_map(|&i| self.columns.get(i)).map(Declared::field).collect();
        read_leaf_values(leaf, &fields.iter().collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    /// The columns that a file must have, in order.
    fn in_files(&self) -> impl Iterator<Item = &Declared> {
        let inside = self.columns.iter().enumerate().filter(|(i, _)| !self.folders.contains(i));
        inside.map(|(_, column)| column).filter(|column| !(self.later)(&column.name))
    }

    fn difference(&self, batch: &RecordBatch) -> Option<String> {
        let schema = batch.schema();
        let found = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type().clone()));
        let wanted: Vec<_> = self.in_files().map(|column| (column.name.as_str(), column.ty.arrow())).collect();
        let found: Vec<_> = found.collect();
        if found == wanted {
            return None;
        }
        let odd = found.iter().find(|f| !wanted.contains(f)).map(|(name, ty)| format!("it has {name} {ty}"));
        let lacks = wanted.iter().find(|w| !found.contains(w)).map(|(name, ty)| format!("it lacks {name} {ty}"));
        let what = odd.into_iter().chain(lacks).collect::<Vec<_>>().join(", ");
        Some(if what.is_empty() { "its columns are in another order".to_owned() } else { what })
    }

    fn columns_of<'b>(&self, batch: &'b RecordBatch, folders: &'b [ArrayRef]) -> Vec<Column<'b>> {
        let column = |(i, declared): (usize, &Declared)| {
            let folder = self.folders.iter().position(|f| *f == i).and_then(|at| folders.get(at));
            match (folder.and_then(Column::new), batch.column_by_name(&declared.name).and_then(Column::new)) {
                (Some(value), _) => Column::All(value.cell(0)),
                (None, Some(column)) => column,
                (None, None) => Column::All(Cell::Null),
            }
        };
        self.columns.iter().enumerate().map(column).collect()
    }
}
