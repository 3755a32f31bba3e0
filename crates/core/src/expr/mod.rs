//! SQL expressions: parsed and type-checked when a pipeline is loaded, evaluated a batch at a time by Arrow kernels.

use arrow::array::ArrayRef;

use crate::types::{Column, DataType};

/// A parsed, typed expression over a fixed list of columns.
#[derive(Clone, Debug)]
pub struct Expr {}

/// Why an expression was refused, with the place in its text.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong and what would be right.
    pub message: String,
    /// Character position in the expression's text, from 0.
    pub column: usize,
}

/// A row for which an expression has no value: an overflow, a division by zero, a cast that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFailure {
    /// Row in the batch, from 0.
    pub row: usize,
    /// What happened, for people.
    pub detail: String,
}

/// The values of an expression, one per row; rows named in `failures` hold NULL and must be quarantined.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One value per row, of the expression's Arrow type.
    pub values: ArrayRef,
    /// Rows without a value, ascending.
    pub failures: Vec<RowFailure>,
}

/// The aggregate of a KPI's measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Rows, or rows where the argument is not NULL.
    Count,
    /// Sum of the non-NULL values.
    Sum,
    /// Sum divided by count, at answer.
    Avg,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Exact number of distinct non-NULL values.
    CountDistinct,
}

/// A measure: an aggregate over an expression; `arg` is `None` for `count(*)`.
#[derive(Clone, Debug)]
pub struct MeasureExpr {
    /// What is aggregated how.
    pub aggregate: Aggregate,
    /// The aggregated expression.
    pub arg: Option<Expr>,
    /// The result's type.
    pub ty: DataType,
    /// Whether the result may be NULL (never for counts).
    pub nullable: bool,
}

impl Expr {
    /// Parses and type-checks `sql` over `scope`; column references are resolved case-sensitively.
    pub fn compile(_sql: &str, _scope: &[Column]) -> Result<Self, ExprError> {
        Err(ExprError { message: String::new(), column: 0 })
    }

    /// This expression converted to `ty`: exact where possible, rounded half away from zero once where `ty` is a
    /// decimal of a smaller scale. Errors where no such conversion exists.
    pub fn cast_to(self, _ty: DataType) -> Result<Self, ExprError> {
        Ok(self)
    }

    /// The type of its values.
    #[must_use]
    pub fn ty(&self) -> DataType {
        DataType::Bool
    }

    /// Whether a value may be NULL.
    #[must_use]
    pub fn nullable(&self) -> bool {
        true
    }

    /// Indices into the scope that it reads, ascending, each once.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        Vec::new()
    }

    /// `Some(i)` if the expression is nothing but column `i` of the scope.
    #[must_use]
    pub fn as_column(&self) -> Option<usize> {
        None
    }

    /// A text that is equal for equal meaning (white space, case of keywords don't matter): part of the definition's
    /// hash (N1).
    #[must_use]
    pub fn canonical(&self) -> String {
        String::new()
    }

    /// The values for `rows` rows of `columns`, which are the scope's columns in order.
    #[must_use]
    pub fn evaluate(&self, _columns: &[ArrayRef], rows: usize) -> Evaluated {
        Evaluated {
            values: arrow::array::new_null_array(&arrow::datatypes::DataType::Null, rows),
            failures: Vec::new(),
        }
    }
}

impl MeasureExpr {
    /// Parses `count(*)`, `count(x)`, `count(distinct x)`, `sum(x)`, `avg(x)`, `min(x)`, `max(x)` over `scope`.
    pub fn compile(_sql: &str, _scope: &[Column]) -> Result<Self, ExprError> {
        Err(ExprError { message: String::new(), column: 0 })
    }

    /// A text that is equal for equal meaning.
    #[must_use]
    pub fn canonical(&self) -> String {
        String::new()
    }
}
