//! Expressions in the file: their text, an optional type, and the columns that they may name.

use crate::document::{Entry, nearest};
use crate::expr::{Expr, ExprError, MeasureExpr};
use crate::pipeline::field_type::parse_type;
use crate::types::{Column, DataType};

/// The columns that an expression may name, and those that would be there but for an earlier complaint.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) columns: Vec<Column>,
    broken: Vec<String>,
}

/// An expression as the file spells it: `"sql"` or `{ sql = "…", type = "…" }`.
pub(super) struct SqlText<'d> {
    pub(super) entry: Entry<'d>,
    pub(super) sql: &'d str,
    pub(super) ty: Option<(Entry<'d>, DataType)>,
}

impl Scope {
    pub(super) fn push(&mut self, column: Column) {
        self.columns.push(column);
    }

    /// Notes that a column of that name was declared, but wrongly: nobody complains about its absence.
    pub(super) fn push_broken(&mut self, name: &str) {
        self.broken.push(name.to_owned());
    }

    /// The index of the column that the text of `entry` names; complains when there is none.
    pub(super) fn index(&self, entry: &Entry<'_>, name: &str) -> Option<usize> {
        let found = self.columns.iter().position(|column| column.name == name);
        if found.is_none() && !self.broken.iter().any(|broken| broken == name) {
            let names = self.columns.iter().map(|column| column.name.as_str());
            entry.misspelt(format!("unknown column \"{name}\""), nearest(name, names));
        }
        found
    }

    /// The expression that is nothing but the column `index`.
    pub(super) fn column(&self, index: usize) -> Option<Expr> {
        let name = &self.columns.get(index)?.name;
        Expr::compile(&format!("\"{name}\""), &self.columns).ok()
    }

    /// The expression, converted to its declared type; complains at the exact place of what is wrong.
    pub(super) fn compile(&self, text: &SqlText<'_>) -> Option<Expr> {
        let expr = self.checked(text, Expr::compile(text.sql, &self.columns))?;
        let Some((type_entry, ty)) = &text.ty else {
            return match expr.needs_type() {
                Some(refusal) => self.checked(text, Err(refusal)),
                None => Some(expr),
            };
        };
        match expr.cast_to(*ty) {
            Ok(expr) => Some(expr),
            Err(error) => {
                type_entry.complain(error.message);
                None
            }
        }
    }

    /// The measure; its declared type is not applied.
    pub(super) fn compile_measure(&self, text: &SqlText<'_>) -> Option<MeasureExpr> {
        self.checked(text, MeasureExpr::compile(text.sql, &self.columns))
    }

    fn checked<T>(&self, text: &SqlText<'_>, outcome: Result<T, ExprError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                if !self.broken.iter().any(|name| mentions(text.sql, name)) {
                    text.entry.complain_in_text(error.column, error.message);
                }
                None
            }
        }
    }
}

/// Reads an expression; complains about what is neither a string nor a table of `sql` and `type`.
pub(super) fn sql_text<'d>(entry: &Entry<'d>) -> Option<SqlText<'d>> {
    if !entry.is_table() {
        return Some(SqlText { entry: entry.clone(), sql: entry.string()?, ty: None });
    }
    let section = entry.section()?;
    section.allow(&["sql", "type"], &[]);
    let sql = section.require("sql", "the SQL expression");
    let ty = section.get("type");
    let ty = match ty {
        Some(ty) => Some((ty.clone(), data_type(&ty)?)),
        None => None,
    };
    let sql = sql?;
    let text = sql.string()?;
    Some(SqlText { entry: sql, sql: text, ty })
}

fn data_type(entry: &Entry<'_>) -> Option<DataType> {
    match parse_type(entry.string()?) {
        Ok(ty) => Some(ty),
        Err(refusal) => {
            entry.misspelt(refusal.message, refusal.suggestion.as_deref());
            None
        }
    }
}

/// Whether `name` occurs as a word in `sql`.
fn mentions(sql: &str, name: &str) -> bool {
    sql.match_indices(name).any(|(at, _)| {
        let before = sql.get(..at).and_then(|s| s.chars().next_back());
        let after = sql.get(at + name.len()..).and_then(|s| s.chars().next());
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(before) && !word(after)
    })
}
