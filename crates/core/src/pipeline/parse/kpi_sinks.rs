//! `[kpi.gold]` and `[kpi.mart]`: where a KPI's answers go, and as which columns.

use super::layers::{read_encoding, read_path, read_retention};
use super::rows_mart::read_table;
use super::scope::{Scope, sql_text};
use super::unique::{Names, Sink};
use super::window_column::tells_windows_apart;
use crate::document::{Entry, Section};
use crate::expr::Expr;
use crate::pipeline::names::check_identifier;
use crate::pipeline::{Derived, Encoding, Holds, KpiMart, Layer, Window};
use crate::types::{Column, DataType};

/// Gold as one KPI writes it.
pub(super) struct Gold<'d> {
    pub(super) layer: Layer,
    pub(super) sink: Sink<'d>,
    pub(super) columns: Vec<Derived>,
}

/// Reads `[kpi.gold]`; every KPI has a Gold folder, because marts are brought into line from it.
pub(super) fn read_gold<'d>(kpi: &Section<'d>, name: &str, pipeline: &str, index: usize, scope: &Scope) -> Gold<'d> {
    let section = kpi.section("gold");
    let mut columns = None;
    if let Some(section) = &section {
        section.allow(&["path", "columns", "encoding", "retention"], &["partition_by", "keep", "hive"]);
        if let Some(encoding) = section.get("encoding") {
            read_encoding(&encoding, Encoding::Parquet);
        }
        columns = section.get("columns").map(|entry| {
            let columns = read_columns(&entry, scope, str::to_owned);
            check_gold(&entry, &columns, scope);
            columns
        });
    }
    let retention = section.as_ref().and_then(read_retention);
    let place = section.or_else(|| Some(kpi.clone()));
    let default = format!("gold/{}_{name}", pipeline.replace('-', "_"));
    let sink = match kpi.get("gold") {
        Some(_) => read_path(place, "kpi.gold", &default),
        None => Sink { target: default, key: "kpi.gold.path".to_owned(), entry: None, section: place },
    };
    let layer = Layer {
        name: format!("gold/{name}"),
        path: sink.target.clone(),
        encoding: Encoding::Parquet,
        holds: Holds::FinalWindows { kpi: index },
        retention,
    };
    Gold { layer, sink, columns: columns.unwrap_or_else(|| plain_columns(scope, str::to_owned)) }
}

/// Reads `[kpi.mart]`; without it the table has the KPI's name and all columns. `mart = false` leaves it out.
pub(super) fn read_mart<'d>(
    kpi: &Section<'d>,
    name: &str,
    window: Window,
    keys: usize,
    scope: &Scope,
    gold: &[Derived],
) -> Option<(KpiMart, Sink<'d>)> {
    let entry = kpi.get("mart");
    if entry.as_ref().is_some_and(Entry::is_false) {
        return None;
    }
    let section = match &entry {
        Some(entry) => entry.section()?,
        None => kpi.clone(),
    };
    let mut scope = scope.clone();
    scope.push(Column::new("is_final", DataType::Bool, false));
    scope.push(Column::new("processing_timestamp", DataType::Timestamp, false));
    let mut place = section.clone();
    let mut columns = None;
    if entry.is_some() {
        section.allow(&["table", "columns"], &["keep", "retention", "indexes"]);
        columns = section.get("columns").map(|entry| (read_columns(&entry, &scope, |n| n.to_lowercase()), entry));
    } else {
        place = kpi.clone();
    }
    let (columns, spelt) = match columns {
        Some((columns, entry)) => (columns, Some(entry)),
        None => (plain_columns(&scope, |n| n.to_lowercase()), None),
    };
    let sink = match entry {
        Some(_) => read_table(&section, "kpi.mart", &name.to_lowercase()),
        None => Sink {
            target: name.to_lowercase(),
            key: "kpi.mart.table".to_owned(),
            entry: None,
            section: Some(place.clone()),
        },
    };
    let complain = |message: String| match &spelt {
        Some(entry) => entry.complain_key(message),
        None => place.complain(message),
    };
    check_read_from_gold(&columns, gold, &scope, &complain);
    let mart = keyed(sink.target.clone(), columns, window, keys, &scope, complain)?;
    Some((mart, sink))
}

/// Finds what makes the primary key: the window's column and the key columns.
fn keyed(
    table: String,
    columns: Vec<Derived>,
    window: Window,
    keys: usize,
    scope: &Scope,
    complain: impl Fn(String),
) -> Option<KpiMart> {
    let column_of = |index: usize| columns.iter().position(|c| c.expr.as_column() == Some(index));
    let name_of = |index: usize| scope.columns.get(index).map_or("", |column| column.name.as_str());
    let window_column = column_of(0).or_else(|| columns.iter().position(|c| tells_windows_apart(&c.expr, window)));
    if window_column.is_none() {
        complain(
            "no column tells the windows apart; add \"window_start\" or a date of it that no two share".to_owned(),
        );
    }
    let final_index = scope.columns.iter().position(|column| column.name == "is_final")?;
    let final_column = column_of(final_index);
    if final_column.is_none() {
        complain("the column \"is_final\" is missing".to_owned());
    }
    let key_columns: Vec<Option<usize>> = (2..2 + keys)
        .map(|index| {
            let column = column_of(index);
            if column.is_none() {
                complain(format!("the key column \"{}\" is missing", name_of(index)));
            }
            column
        })
        .collect();
    let (window_column, final_column) = (window_column?, final_column?);
    let keys: Option<Vec<usize>> = key_columns.into_iter().collect();
    let primary_key = std::iter::once(window_column).chain(keys?).collect();
    Some(KpiMart { table, columns, primary_key, window_column, final_column })
}

/// Gold holds what a window is identified by, as it is.
fn check_gold(entry: &Entry<'_>, columns: &[Derived], scope: &Scope) {
    let plain: Vec<usize> = columns.iter().filter_map(|column| column.expr.as_column()).collect();
    for name in ["window_start", "window_end", "revision"] {
        let index = scope.columns.iter().position(|column| column.name == name);
        if index.is_some_and(|index| !plain.contains(&index)) {
            entry.complain_key(format!("the column \"{name}\" is missing"));
        }
    }
}

/// The mart's final rows come from Gold's files: what the mart reads must be there.
fn check_read_from_gold(mart: &[Derived], gold: &[Derived], scope: &Scope, complain: &impl Fn(String)) {
    let plain: Vec<usize> = gold.iter().filter_map(|column| column.expr.as_column()).collect();
    let engine = ["is_final", "processing_timestamp"];
    for column in mart {
        for index in column.expr.columns() {
            let Some(read) = scope.columns.get(index) else { continue };
            if !engine.contains(&read.name.as_str()) && !plain.contains(&index) {
                let name = &column.column.name;
                complain(format!("\"{name}\" reads \"{}\", which is not among the columns of gold", read.name));
            }
        }
    }
}

/// Columns as the file names them: a list of names, or a table of `name = "sql"`.
fn read_columns(entry: &Entry<'_>, scope: &Scope, rename: impl Fn(&str) -> String) -> Vec<Derived> {
    let mut names = Names::default();
    if entry.is_list() {
        let named = entry.strings();
        if named.is_empty() {
            entry.complain("names no column");
        }
        return named.into_iter().filter_map(|(e, name)| plain_column(&e, name, scope, &rename, &mut names)).collect();
    }
    let Some(section) = entry.section() else { return Vec::new() };
    let column = |entry: &Entry<'_>| {
        let claimed = names.claim(entry, check_identifier);
        let expr = scope.compile(&sql_text(entry)?)?;
        claimed.then(|| named(rename(entry.name()), expr))
    };
    section.entries().iter().filter_map(column).collect()
}

fn plain_column(
    entry: &Entry<'_>,
    name: &str,
    scope: &Scope,
    rename: &impl Fn(&str) -> String,
    names: &mut Names,
) -> Option<Derived> {
    let index = scope.index(entry, name)?;
    if !names.hold(name, "a column") {
        entry.complain(format!("\"{name}\" is named twice"));
        return None;
    }
    Some(named(rename(name), scope.column(index)?))
}

fn plain_columns(scope: &Scope, rename: impl Fn(&str) -> String) -> Vec<Derived> {
    let columns = scope.columns.iter().enumerate();
    let plain = |(index, column): (usize, &Column)| Some(named(rename(&column.name), scope.column(index)?));
    columns.filter_map(plain).collect()
}

fn named(name: String, expr: Expr) -> Derived {
    Derived { column: Column::new(name, expr.ty(), expr.nullable()), expr }
}
