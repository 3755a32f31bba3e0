//! The logical types of a pipeline's columns and their Arrow form.

use std::fmt;

use arrow::datatypes::{DataType as ArrowType, Field, TimeUnit};
use serde::{Deserialize, Serialize};

/// The type of a column as a pipeline file spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// UTF-8 text.
    String,
    /// true or false.
    Bool,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// IEEE 754 double.
    Float64,
    /// Exact decimal of `precision` digits (1 to 38), `scale` of them behind the point (0 to `precision`).
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: i8,
    },
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since 1970-01-01T00:00:00Z, UTC-adjusted.
    Timestamp,
}

impl DataType {
    /// The Arrow type that columns of this type have everywhere in the program and in Parquet.
    #[must_use]
    pub fn arrow(self) -> ArrowType {
        match self {
            Self::String => ArrowType::Utf8,
            Self::Bool => ArrowType::Boolean,
            Self::Int32 => ArrowType::Int32,
            Self::Int64 => ArrowType::Int64,
            Self::Float64 => ArrowType::Float64,
            Self::Decimal { precision, scale } => ArrowType::Decimal128(precision, scale),
            Self::Date => ArrowType::Date32,
            Self::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Bool => f.write_str("bool"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
        }
    }
}

/// A named, typed column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// The name as the pipeline file spells it, case kept.
    pub name: String,
    /// Its type.
    pub ty: DataType,
    /// Whether NULL may occur.
    pub nullable: bool,
}

impl Column {
    /// A column of the given name and type.
    #[must_use]
    pub fn new(name: impl Into<String>, ty: DataType, nullable: bool) -> Self {
        Self { name: name.into(), ty, nullable }
    }

    /// The Arrow field of the same name, type and nullability.
    #[must_use]
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.ty.arrow(), self.nullable)
    }
}
