//! The columns of a batch while it is decoded.
//!
//! A record's values are appended as they are read, each to its column. The record is a row only once all of it is known to
//! be good; until `keep` says so, `take_back` undoes it.

use std::mem::take;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    NullBufferBuilder, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};

use super::number::Short;
use super::staged::{Cell, StagedRecord};
use crate::decimal::fits;
use crate::pipeline::FieldDef;
use crate::types::DataType;

/// Bytes per text that a first batch reserves.
const TEXT_BYTES: usize = 12;

/// One column per declared field. All hold `rows` values, or one more where the record at hand has one.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    rows: usize,
}

/// The values of a field.
#[derive(Debug)]
pub(super) struct Column {
    ty: DataType,
    values: Values,
    present: NullBufferBuilder,
    /// Of the last batch: bytes of its texts, per row and rounded up.
    text_bytes: usize,
}

#[derive(Debug)]
enum Values {
    /// The texts one after the other, and where each of them ends.
    Text(Vec<u8>, Vec<i32>),
    Bool(BooleanBufferBuilder),
    /// Also days.
    Int32(Vec<i32>),
    /// Also microseconds.
    Int64(Vec<i64>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>),
}

impl Columns {
    /// Columns without rows.
    pub fn new(fields: &[FieldDef]) -> Self {
        Self { columns: fields.iter().map(|field| Column::new(field.ty)).collect(), rows: 0 }
    }

    /// Begins a batch of about `rows` rows.
    pub fn begin(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.begin(rows);
        }
    }

    /// The column of field `index`, ready for the record's value; `None` if it has one.
    pub fn vacant(&mut self, index: usize) -> Option<&mut Column> {
        self.columns.get_mut(index).filter(|column| column.present.len() == self.rows)
    }

    /// Appends a record that was read from `payload`.
    pub fn append(&mut self, record: &StagedRecord, payload: &str) {
        for (column, cell) in self.columns.iter_mut().zip(&record.cells) {
            match cell.unwrap_or(Cell::Null) {
                Cell::Text(place) => column.append_text(record.text(place, payload)),
                cell => column.append(cell),
            }
        }
    }

    /// Gives each field that the record lacks a NULL. `None` if one of them is required.
    pub fn complete(&mut self, fields: &[FieldDef]) -> Option<()> {
        for (column, field) in self.columns.iter_mut().zip(fields) {
            if column.present.len() == self.rows {
                (!field.required).then(|| column.append(Cell::Null))?;
            }
        }
        Some(())
    }

    /// What the record at hand has for field `index`, if that is an integer, days or microseconds.
    pub fn integer(&self, index: usize) -> Option<i64> {
        let column = self.columns.get(index).filter(|column| column.present.is_valid(self.rows))?;
        match &column.values {
            Values::Int32(values) => values.get(self.rows).map(|&value| value.into()),
            Values::Int64(values) => values.get(self.rows).copied(),
            _ => None,
        }
    }

    /// The record at hand is a row: each column has a value of it.
    pub fn keep(&mut self) {
        self.rows += 1;
    }

    /// Forgets the record at hand.
    pub fn take_back(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.rows);
        }
    }

    /// The finished columns.
    pub fn finish(&mut self) -> Vec<ArrayRef> {
        let rows = take(&mut self.rows);
        self.columns.iter_mut().map(|column| column.finish(rows)).collect()
    }
}

impl Column {
    fn new(ty: DataType) -> Self {
        let values = match ty {
            DataType::String => Values::Text(Vec::new(), Vec::new()),
            DataType::Bool => Values::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int32 | DataType::Date => Values::Int32(Vec::new()),
            DataType::Int64 | DataType::Timestamp => Values::Int64(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal { .. } => Values::Decimal(Vec::new()),
        };
        Self { ty, values, present: NullBufferBuilder::new(0), text_bytes: TEXT_BYTES }
    }

    fn begin(&mut self, rows: usize) {
        self.present = NullBufferBuilder::new(rows);
        match &mut self.values {
            Values::Text(bytes, ends) => {
                bytes.reserve(rows.saturating_mul(self.text_bytes));
                ends.reserve(rows + 1);
                ends.push(0);
            }
            Values::Bool(values) => values.reserve(rows),
            Values::Int32(values) => values.reserve(rows),
            Values::Int64(values) => values.reserve(rows),
            Values::Float64(values) => values.reserve(rows),
            Values::Decimal(values) => values.reserve(rows),
        }
    }

    /// Appends a text; to a column of another type, NULL.
    pub fn append_text(&mut self, text: &str) {
        let Values::Text(bytes, ends) = &mut self.values else { return self.append(Cell::Null) };
        bytes.extend_from_slice(text.as_bytes());
        // A batch's arena is smaller than 2 GiB.
        ends.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.present.append_non_null();
    }

    /// Appends a number, days or microseconds; `None` where the column takes another type, or not so large a number.
    pub fn append_integer(&mut self, value: i64) -> Option<()> {
        match &mut self.values {
            Values::Int32(values) => values.push(i32::try_from(value).ok()?),
            Values::Int64(values) => values.push(value),
            _ => return None,
        }
        self.present.append_non_null();
        Some(())
    }

    /// Appends a number that is converted at once; `None` leaves it to `convert`.
    pub fn append_number(&mut self, number: Short, round: bool) -> Option<()> {
        match (&mut self.values, self.ty) {
            (_, DataType::Int32 | DataType::Int64) => return self.append_integer(number.integer()?),
            (Values::Float64(values), _) => values.push(number.float()?),
            (Values::Decimal(values), DataType::Decimal { precision, scale }) => {
                values.push(number.decimal(scale, round).filter(|value| fits(*value, precision))?);
            }
            _ => return None,
        }
        self.present.append_non_null();
        Some(())
    }

    /// Appends `cell`, which conversion made for this very type and which is no text; anything else is NULL.
    pub fn append(&mut self, cell: Cell) {
        if let Cell::Int(value) = cell
            && self.append_integer(value).is_some()
        {
            return;
        }
        match (&mut self.values, cell) {
            (Values::Bool(values), Cell::Bool(value)) => values.append(value),
            (Values::Float64(values), Cell::Float(value)) => values.push(value),
            (Values::Decimal(values), Cell::Decimal(value)) => values.push(value),
            (values, _) => {
                values.push_default();
                return self.present.append_null();
            }
        }
        self.present.append_non_null();
    }

    fn truncate(&mut self, rows: usize) {
        if self.present.len() > rows {
            self.values.truncate(rows);
            self.present.truncate(rows);
        }
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        let nulls = self.present.finish();
        match &mut self.values {
            Values::Text(bytes, ends) => {
                self.text_bytes = bytes.len().div_ceil(rows.max(1));
                let ends = OffsetBuffer::new(ScalarBuffer::from(take(ends)));
                Arc::new(StringArray::new(ends, take(bytes).into(), nulls))
            }
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int32(values) if self.ty == DataType::Date => {
                Arc::new(Date32Array::new(take(values).into(), nulls))
            }
            Values::Int32(values) => Arc::new(Int32Array::new(take(values).into(), nulls)),
            Values::Int64(values) if self.ty == DataType::Timestamp => {
                Arc::new(TimestampMicrosecondArray::new(take(values).into(), nulls).with_timezone("UTC"))
            }
            Values::Int64(values) => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Values::Decimal(values) => {
                Arc::new(Decimal128Array::new(take(values).into(), nulls).with_data_type(self.ty.arrow()))
            }
        }
    }
}

impl Values {
    fn push_default(&mut self) {
        match self {
            Self::Text(_, ends) => ends.push(ends.last().copied().unwrap_or_default()),
            Self::Bool(values) => values.append(false),
            Self::Int32(values) => values.push(0),
            Self::Int64(values) => values.push(0),
            Self::Float64(values) => values.push(0.0),
            Self::Decimal(values) => values.push(0),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Text(bytes, ends) => {
                ends.truncate(rows + 1);
                bytes.truncate(ends.last().and_then(|&end| usize::try_from(end).ok()).unwrap_or_default());
            }
            Self::Bool(values) => values.truncate(rows),
            Self::Int32(values) => values.truncate(rows),
            Self::Int64(values) => values.truncate(rows),
            Self::Float64(values) => values.truncate(rows),
            Self::Decimal(values) => values.truncate(rows),
        }
    }
}
