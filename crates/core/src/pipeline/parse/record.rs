//! `[fields]`, `[checks]`, `[derive]`, `[dedup]`: what is decided about a single record.

use super::scope::{Scope, sql_text};
use super::unique::Names;
use crate::document::{Entry, Section};
use crate::pipeline::field_type::{FieldType, parse_field_type};
use crate::pipeline::names::{check_field_name, check_identifier, check_reserved_in_rows};
use crate::pipeline::{Check, Dedup, Derived, FieldDef, Otherwise};
use crate::types::{Column, DataType};

/// Reads the fields in the file's order; also what checks may name, and the names that are taken.
pub(super) fn read_fields(root: &Section<'_>) -> (Vec<FieldDef>, Scope, Names) {
    let mut fields = Vec::new();
    let mut scope = Scope::default();
    let mut names = Names::default();
    let Some(section) = root.require("fields", "a table of the record's fields and types").and_then(|e| e.section())
    else {
        return (fields, scope, names);
    };
    let entries = section.entries();
    if entries.is_empty() {
        section.complain("declares no field");
    }
    for entry in &entries {
        let name = entry.name();
        match (names.claim(entry, check_field_name), read_field_type(entry)) {
            (true, Some(FieldType { ty, required, round })) => {
                scope.push(Column::new(name, ty, !required));
                fields.push(FieldDef { name: name.to_owned(), ty, required, round });
            }
            _ => scope.push_broken(name),
        }
    }
    (fields, scope, names)
}

fn read_field_type(entry: &Entry<'_>) -> Option<FieldType> {
    match parse_field_type(entry.string()?) {
        Ok(spec) => Some(spec),
        Err(refusal) => {
            entry.misspelt(refusal.message, refusal.suggestion.as_deref());
            None
        }
    }
}

pub(super) fn read_checks(root: &Section<'_>, fields: &Scope) -> Vec<Check> {
    let entries = root.section("checks").map(|section| section.entries()).unwrap_or_default();
    entries.iter().filter_map(|entry| read_check(entry, fields)).collect()
}

fn read_check(entry: &Entry<'_>, fields: &Scope) -> Option<Check> {
    if let Err(why) = check_identifier(entry.name()) {
        entry.complain_key(why);
    }
    let section = entry.section()?;
    section.allow(&["that", "otherwise"], &[]);
    let otherwise = section.require("otherwise", "\"filter\" or \"quarantine\"");
    let otherwise =
        otherwise.and_then(|e| e.choice(&[("filter", Otherwise::Filter), ("quarantine", Otherwise::Quarantine)]));
    let text = sql_text(&section.require("that", "the condition that rows must meet")?)?;
    let expr = fields.compile(&text)?;
    if expr.ty() != DataType::Bool {
        text.entry.complain(format!("is {}; a check is true or false, such as \"amount > 0\"", expr.ty()));
        return None;
    }
    Some(Check { name: entry.name().to_owned(), expr, otherwise: otherwise? })
}

/// Reads the derived columns in the file's order, adding each to what later expressions may name.
pub(super) fn read_derived(root: &Section<'_>, rows: &mut Scope, names: &mut Names) -> Vec<Derived> {
    let Some(section) = root.section("derive") else { return Vec::new() };
    let legal = |name: &str| check_identifier(name).and_then(|()| check_reserved_in_rows(name));
    section.entries().iter().filter_map(|entry| read_derived_column(entry, rows, names, legal)).collect()
}

/// Reads one `name = "sql"` over `scope` and adds it to the scope.
pub(super) fn read_derived_column(
    entry: &Entry<'_>,
    scope: &mut Scope,
    names: &mut Names,
    legal: impl Fn(&str) -> Result<(), String>,
) -> Option<Derived> {
    let name = entry.name();
    let claimed = names.claim(entry, legal);
    let expr = sql_text(entry).and_then(|text| scope.compile(&text));
    let (true, Some(expr)) = (claimed, expr) else {
        scope.push_broken(name);
        return None;
    };
    let column = Column::new(name, expr.ty(), expr.nullable());
    scope.push(column.clone());
    Some(Derived { column, expr })
}

pub(super) fn read_dedup(root: &Section<'_>, rows: &Scope) -> Option<Dedup> {
    let section = root.section("dedup")?;
    section.allow(&["key", "within"], &[]);
    let within = section.require("within", "the span of event time, such as \"1h\"");
    let within = within.and_then(|e| e.positive_duration());
    let key = section.require("key", "the columns that tell records apart, such as [\"id\"]")?;
    let key = read_columns(&key, rows, |name, column| {
        if column.nullable {
            return Err(format!("\"{name}\" may be NULL; a record without a key can't be told apart"));
        }
        no_float(name, column)
    });
    Some(Dedup { key, within: within? })
}

/// Reads a list of column names, each of which must exist once and be taken by `legal`.
pub(super) fn read_columns(
    entry: &Entry<'_>,
    scope: &Scope,
    legal: impl Fn(&str, &Column) -> Result<(), String>,
) -> Vec<usize> {
    let mut columns = Vec::new();
    let names = entry.strings();
    if entry.is_list() && names.is_empty() {
        entry.complain("names no column");
    }
    for (element, name) in names {
        let Some(index) = scope.index(&element, name) else { continue };
        let Some(column) = scope.columns.get(index) else { continue };
        if columns.contains(&index) {
            element.complain(format!("\"{name}\" is named twice"));
        } else if let Err(why) = legal(name, column) {
            element.complain(why);
        } else {
            columns.push(index);
        }
    }
    columns
}

/// Keys and folders need values that are equal when they print equal.
pub(super) fn no_float(name: &str, column: &Column) -> Result<(), String> {
    if column.ty == DataType::Float64 {
        return Err(format!("\"{name}\" is float64; such values make no key"));
    }
    Ok(())
}
