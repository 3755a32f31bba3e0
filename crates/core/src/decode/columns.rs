//! Arrow column builders, one per declared field.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};

use super::staged::{Cell, StagedRecord};
use crate::pipeline::FieldDef;
use crate::types::DataType;

/// Bytes per text that a first batch reserves.
const TEXT_BYTES: usize = 12;

/// The columns of a batch being decoded.
#[derive(Debug)]
pub(super) struct Columns {
    builders: Vec<Builder>,
}

#[derive(Debug)]
enum Builder {
    String(StringBuilder),
    Bool(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Columns {
    /// Builders for `rows` rows.
    pub fn new(fields: &[FieldDef], rows: usize) -> Self {
        Self { builders: fields.iter().map(|field| Builder::new(field.ty, rows)).collect() }
    }

    /// Appends a record that was read from `payload`.
    pub fn append(&mut self, record: &StagedRecord, payload: &str) {
        for (builder, cell) in self.builders.iter_mut().zip(&record.cells) {
            builder.append(cell.unwrap_or(Cell::Null), record, payload);
        }
    }

    /// The finished columns.
    pub fn finish(self) -> Vec<ArrayRef> {
        self.builders.into_iter().map(Builder::finish).collect()
    }
}

impl Builder {
    fn new(ty: DataType, rows: usize) -> Self {
        match ty {
            DataType::String => Self::String(StringBuilder::with_capacity(rows, rows.saturating_mul(TEXT_BYTES))),
            DataType::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            DataType::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(ty.arrow()))
            }
            DataType::Date => Self::Date(Date32Builder::with_capacity(rows)),
            DataType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"))
            }
        }
    }

    /// Appends `cell`, which conversion made for this very type; anything else is NULL.
    fn append(&mut self, cell: Cell, record: &StagedRecord, payload: &str) {
        match (self, cell) {
            (Self::String(b), Cell::Text(place)) => b.append_value(record.text(place, payload)),
            (Self::String(b), _) => b.append_null(),
            (Self::Bool(b), Cell::Bool(value)) => b.append_value(value),
            (Self::Bool(b), _) => b.append_null(),
            (Self::Int32(b), Cell::Int(value)) => b.append_option(i32::try_from(value).ok()),
            (Self::Int32(b), _) => b.append_null(),
            (Self::Int64(b), Cell::Int(value)) => b.append_value(value),
            (Self::Int64(b), _) => b.append_null(),
            (Self::Float64(b), Cell::Float(value)) => b.append_value(value),
            (Self::Float64(b), _) => b.append_null(),
            (Self::Decimal(b), Cell::Decimal(value)) => b.append_value(value),
            (Self::Decimal(b), _) => b.append_null(),
            (Self::Date(b), Cell::Int(value)) => b.append_option(i32::try_from(value).ok()),
            (Self::Date(b), _) => b.append_null(),
            (Self::Timestamp(b), Cell::Int(value)) => b.append_value(value),
            (Self::Timestamp(b), _) => b.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::String(mut b) => Arc::new(b.finish()),
            Self::Bool(mut b) => Arc::new(b.finish()),
            Self::Int32(mut b) => Arc::new(b.finish()),
            Self::Int64(mut b) => Arc::new(b.finish()),
            Self::Float64(mut b) => Arc::new(b.finish()),
            Self::Decimal(mut b) => Arc::new(b.finish()),
            Self::Date(mut b) => Arc::new(b.finish()),
            Self::Timestamp(mut b) => Arc::new(b.finish()),
        }
    }
}
