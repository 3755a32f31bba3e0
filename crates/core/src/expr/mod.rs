//! SQL expressions: parsed and type-checked when a pipeline is loaded, evaluated a batch at a time by Arrow kernels.
//!
//! Postgres is the reference: its operators, its three-valued logic, its types' meeting, its texts. Promised beyond
//! that (N1): decimals are exact, and rounded half away from zero only where a type asks for it, once; what has no
//! value (an overflow, a division by zero, a text that is no number) fails **its row** and no other, and only where
//! the row needs it: not in a branch not taken, not right of an AND that is FALSE already.
//!
//! Where it differs from Postgres, on purpose: a division of decimals needs a type; `extract` gives integers (seconds
//! and epochs are whole); texts compare by their bytes; all times are UTC and print without an offset; names are
//! case-sensitive. Deliberately absent: everything whose value is not in the row (clocks, randomness, subqueries,
//! aggregates) and everything locale-dependent.

mod call;
mod canonical;
#[cfg(test)]
mod cases;
mod eval;
mod literal;
mod measure;
mod node;
mod parse;
mod promote;
mod resolve;
mod time_text;
mod to_char;
mod types;

/// The typed tree of an expression: what it means, for whoever evaluates it in another way than this crate does.
pub mod tree {
    pub use super::node::{Arithmetic, Comparison, Function, Interval, Kind, Node, TimeField, TrimSide};
    pub use super::to_char::{Case, Pattern, Piece};
}

use arrow::array::{ArrayRef, new_null_array};

use node::{Kind, Node};
use resolve::Resolver;

use crate::types::{Column, DataType};

/// A parsed, typed expression over a fixed list of columns.
#[derive(Clone, Debug)]
pub struct Expr {
    root: Node,
}

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
    ///
    /// A division of decimals is kept as an exact quotient until [`Expr::cast_to`] gives it a type, see
    /// [`Expr::needs_type`].
    pub fn compile(sql: &str, scope: &[Column]) -> Result<Self, ExprError> {
        let root = Resolver::new(sql, scope).resolve(&parse::parse(sql)?)?;
        Ok(Self { root })
    }

    /// The refusal of this expression if it is used without [`Expr::cast_to`]: it ends in a division of decimals, which
    /// has no scale of its own. `None` if it has a type.
    #[must_use]
    pub fn needs_type(&self) -> Option<ExprError> {
        self.root.pending().then(|| promote::untyped_division(self.root.at))
    }

    /// This expression converted to `ty`: exact where possible, rounded half away from zero once where `ty` is a
    /// decimal of a smaller scale; the exact quotient of a division is rounded here. Errors where no such conversion
    /// exists. Values that don't fit `ty` fail as rows.
    pub fn cast_to(self, ty: DataType) -> Result<Self, ExprError> {
        Ok(Self { root: promote::cast(self.root, ty)? })
    }

    /// What it means, as a tree.
    #[must_use]
    pub fn tree(&self) -> &tree::Node {
        &self.root
    }

    /// The type of its values; of an expression that needs a type, only that it is a number.
    #[must_use]
    pub fn ty(&self) -> DataType {
        self.root.ty
    }

    /// Whether a value may be NULL (failed rows aside).
    #[must_use]
    pub fn nullable(&self) -> bool {
        self.root.nullable
    }

    /// Indices into the scope that it reads, ascending, each once.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        self.root.collect_columns(&mut columns);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// `Some(i)` if the expression is nothing but column `i` of the scope.
    #[must_use]
    pub fn as_column(&self) -> Option<usize> {
        match self.root.kind {
            Kind::Column { index, .. } => Some(index),
            _ => None,
        }
    }

    /// A text that is equal for equal meaning (white space, case of keywords don't matter): part of the definition's
    /// hash (N1).
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical::canonical(&self.root)
    }

    /// The values for `rows` rows of `columns`, which are the scope's columns in order.
    ///
    /// If `columns` are not the scope's (a bug of the caller), every row fails and says so.
    #[must_use]
    pub fn evaluate(&self, columns: &[ArrayRef], rows: usize) -> Evaluated {
        match eval::evaluate(&self.root, columns, rows) {
            Ok((values, failures)) => {
                let failures = failures.into_iter().map(|(row, cause)| RowFailure { row, detail: cause.to_string() });
                Evaluated { values, failures: failures.collect() }
            }
            Err(error) => {
                let fail = |row| RowFailure { row, detail: format!("the expression could not be evaluated: {error}") };
                Evaluated { values: new_null_array(&self.ty().arrow(), rows), failures: (0..rows).map(fail).collect() }
            }
        }
    }
}

impl ExprError {
    fn new(column: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), column }
    }
}

impl MeasureExpr {
    /// Parses `count(*)`, `count(x)`, `count(distinct x)`, `sum(x)`, `avg(x)`, `min(x)`, `max(x)` over `scope`.
    ///
    /// Answers: count int64; sum of integers int64; sum of decimal(p,s) decimal(18,s) up to p = 16, else decimal(38,s);
    /// avg of int32 decimal(16,6), of int64 decimal(25,6), of decimal(p,s) decimal(p+4,s+4) within 38 digits; min and
    /// max the argument's type; sum and avg of float64 float64.
    pub fn compile(sql: &str, scope: &[Column]) -> Result<Self, ExprError> {
        measure::compile(sql, scope)
    }

    /// A text that is equal for equal meaning.
    #[must_use]
    pub fn canonical(&self) -> String {
        let arg = self.arg.as_ref().map_or_else(|| "*".to_owned(), Expr::canonical);
        let name = match self.aggregate {
            Aggregate::Count => "count",
            Aggregate::Sum => "sum",
            Aggregate::Avg => "avg",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::CountDistinct => "count_distinct",
        };
        format!("{name}[{}]({arg})", self.ty)
    }
}
