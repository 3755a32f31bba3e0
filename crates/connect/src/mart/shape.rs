//! Whether a table that is there has the shape that is needed. Pure; each mart spells types its own way.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_core::types::{Column, DataType};

use super::plan::Table;

/// What became of a table that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepared {
    /// It was missing and is empty.
    New,
    /// It was there.
    Kept,
}

/// A column as it is in the database.
pub(crate) struct Found {
    pub ty: String,
    pub not_null: bool,
    pub has_default: bool,
}

/// How a table that is there differs from what is needed.
#[derive(Default)]
pub(crate) struct Difference<'a> {
    /// What speaks against using it.
    pub against: Vec<String>,
    /// Columns that may be added to it.
    pub missing: Vec<&'a Column>,
    /// Columns that may not be NULL there and may here.
    pub strict: Vec<&'a Column>,
}

/// Compares them.
pub(crate) fn compare<'a>(
    table: &'a Table,
    found: &BTreeMap<String, Found>,
    found_key: &BTreeSet<String>,
    sql_type: fn(DataType) -> String,
) -> Difference<'a> {
    let Difference { against: mut differences, mut missing, mut strict } = Difference::default();
    for column in &table.columns {
        let (name, wanted) = (&column.name, sql_type(column.ty));
        match found.get(name) {
            None if column.nullable => missing.push(column),
            None => differences.push(format!("column {name} {wanted} is missing")),
            Some(is) if is.ty != wanted => differences.push(format!("column {name} is {}, not {wanted}", is.ty)),
            Some(is) if is.not_null && column.nullable => strict.push(column),
            Some(_) => {}
        }
    }
    for (name, is) in found {
        if is.not_null && !is.has_default && !table.columns.iter().any(|c| c.name == *name) {
            differences.push(format!("column {name} is NOT NULL and unknown to the pipeline"));
        }
    }
    let wanted: BTreeSet<String> = table.key_columns().map(|c| c.name.clone()).collect();
    if *found_key != wanted {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        differences.push(format!("its primary key is ({}), not ({})", list(found_key), list(&wanted)));
    }
    Difference { against: differences, missing, strict }
}
