//! The table of expressions of the core's own tests, and the core's kernels as a second opinion.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use lakeward_core::expr::Expr;
use lakeward_core::types::{Column as Declared, DataType};

use super::*;

fn scope() -> Vec<Declared> {
    let decimal = |precision, scale| DataType::Decimal { precision, scale };
    [
        ("i", DataType::Int32),
        ("j", DataType::Int32),
        ("l", DataType::Int64),
        ("d", decimal(10, 2)),
        ("r", decimal(4, 3)),
        ("w", decimal(38, 0)),
        ("f", DataType::Float64),
        ("g", DataType::Float64),
        ("s", DataType::String),
        ("t", DataType::String),
        ("b", DataType::Bool),
        ("c", DataType::Bool),
        ("day", DataType::Date),
        ("at", DataType::Timestamp),
    ]
    .map(|(name, ty)| Declared::new(name, ty, true))
    .into()
}

/// One row's columns from its JSON, through the core's own casts.
fn row(json: &str) -> Vec<ArrayRef> {
    let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    let text = |name: &str| row.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let of = |column: &Declared| {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text(&column.name)]));
        let text = [Declared::new("x", DataType::String, true)];
        let cast = Expr::compile("x", &text).unwrap().cast_to(column.ty).unwrap();
        cast.evaluate(&[texts], 1).values
    };
    scope().iter().map(of).collect()
}

/// The table's cases that compile: expression and row.
fn cases() -> Vec<(Expr, &'static str, String)> {
    let table = include_str!("../../../core/src/expr/expressions.txt");
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let case = |line: &'static str| {
        let [sql, json, ty, expected] = line.splitn(4, " ; ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        let expr = (ty != "refused").then(|| Expr::compile(sql, &scope()).unwrap())?;
        Some((expr, json, format!("{sql} ; {json} ; {expected}")))
    };
    lines.filter_map(case).collect()
}

#[test]
fn every_expression_of_the_table_has_the_value_that_the_kernels_give() {
    let (mut wrong, mut compared) = (Vec::new(), 0);
    let mut rows: Vec<&str> = cases().iter().map(|(_, json, _)| *json).collect();
    rows.sort_unstable();
    rows.dedup();
    let rows: Vec<Vec<ArrayRef>> = rows.into_iter().map(row).collect();
    for (expr, _, name) in cases() {
        // Every expression meets every row, not only its own.
        for columns in &rows {
            let cells: Vec<Cell> = columns.iter().map(|array| Column::new(array).unwrap().cell(0)).collect();
            let evaluated = expr.evaluate(columns, 1);
            let theirs = match evaluated.failures.is_empty() {
                true => Ok(Column::new(&evaluated.values).unwrap().cell(0)),
                false => Err(Failed),
            };
            let ours = eval(expr.tree(), &cells);
            compared += 1;
            if !same(&ours, &theirs) {
                wrong.push(format!("{name}: {ours:?} is not {theirs:?} for {cells:?}"));
            }
        }
    }
    assert!(compared > 10_000, "only {compared} compared");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// Bit by bit: also the sign of a zero.
fn same(ours: &Result<Cell, Failed>, theirs: &Result<Cell, Failed>) -> bool {
    match (ours, theirs) {
        (Ok(Cell::Float(a)), Ok(Cell::Float(b))) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (a, b) => a == b,
    }
}
