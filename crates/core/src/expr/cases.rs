//! The table of expressions in `expressions.txt`, and what a table cannot say.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::array::types::Decimal128Type;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Int32Array};

use super::*;

fn scope() -> Vec<Column> {
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
    .map(|(name, ty)| Column::new(name, ty, true))
    .into()
}

/// One row's columns from its JSON.
fn row(json: &str) -> Vec<ArrayRef> {
    let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    let value = |column: &Column| {
        let text = row.get(&column.name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        eval::parse_constant(text.as_deref(), column.ty).unwrap()
    };
    scope().iter().map(value).collect()
}

/// What comes of an expression: type and text, as the table writes them.
fn outcome(sql: &str, json: &str) -> (String, String) {
    let expr = match Expr::compile(sql, &scope()).and_then(|expr| expr.needs_type().map_or(Ok(expr), Err)) {
        Ok(expr) => expr,
        Err(error) => return ("refused".to_owned(), format!("{}: {}", error.column, error.message)),
    };
    if json == "-" {
        return (expr.ty().to_string(), "not refused".to_owned());
    }
    // The row twice, and once between rows of NULL: constants and columns, whole batches and parts take other ways.
    let single = row(json);
    let empty = row("{}");
    let batch: Vec<ArrayRef> = single
        .iter()
        .zip(&empty)
        .map(|(row, null)| arrow::compute::concat(&[row.as_ref(), null.as_ref(), row.as_ref()]).unwrap())
        .collect();
    let text = text(&expr, &single, 0);
    assert_eq!(text, self::text(&expr, &batch, 0), "in a batch: {sql}");
    assert_eq!(text, self::text(&expr, &batch, 2), "last of a batch: {sql}");
    (expr.ty().to_string(), text)
}

fn text(expr: &Expr, columns: &[ArrayRef], row: usize) -> String {
    let rows = columns[0].len();
    let Evaluated { values, failures } = expr.evaluate(columns, rows);
    assert_eq!(values.data_type(), &expr.ty().arrow());
    assert_eq!(values.len(), rows);
    for failure in &failures {
        assert!(values.is_null(failure.row), "a failed row holds NULL");
    }
    if let Some(failure) = failures.iter().find(|failure| failure.row == row) {
        return format!("!{}", failure.detail);
    }
    assert!(expr.nullable() || values.is_valid(row), "a NULL that the type excludes");
    eval::constant_text(&values.slice(row, 1), expr.ty()).unwrap_or_else(|| "NULL".to_owned())
}

#[test]
fn every_expression_of_the_table_gives_what_it_says() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for line in include_str!("expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let [sql, json, ty, expected] = line.splitn(4, " ; ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (got_ty, got) = outcome(sql, json);
        let as_said = match (ty, expected.split_once(": ")) {
            ("refused", Some((at, part))) => got.starts_with(&format!("{at}: ")) && got.contains(part),
            _ => got == expected,
        };
        if ty != got_ty || !as_said {
            wrong.push(format!("{line}\n    got {got_ty} ; {got}"));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn equal_meaning_has_one_canonical_text() {
    for (a, b) in [
        ("i+j", " i\n + ( j ) "),
        ("i > 1 and b", "I_ > 1 AND b"),
        ("CASE WHEN b THEN i END", "case when b then i else null end"),
        ("extract(year from day)", "EXTRACT(YEAR FROM day)"),
        ("extract(year from day)", "date_part('year', day)"),
        ("CAST(i AS bigint)", "i::int8"),
        ("i + 2 * 3", "i + 6"),
        ("i NOT IN (1, 2)", "NOT (i IN (1, 2))"),
    ] {
        let canonical = |sql: &str| Expr::compile(&sql.replace("I_", "i"), &scope()).unwrap().canonical();
        assert_eq!(canonical(a), canonical(b));
    }
}

#[test]
fn different_meaning_has_different_canonical_texts() {
    let texts = [
        "i",
        "j",
        "i + j",
        "j + i",
        "i - j",
        "i * j",
        "i / j",
        "i % j",
        "-i",
        "i + 1",
        "i + 1::bigint",
        "i = j",
        "i < j",
        "b AND c",
        "b OR c",
        "NOT b",
        "b IS TRUE",
        "b IS FALSE",
        "b IS NULL",
        "i IN (1)",
        "i IN (1, 2)",
        "s LIKE 'a'",
        "s ILIKE 'a'",
        "s || t",
        "concat(s, t)",
        "coalesce(s, t)",
        "coalesce(t, s)",
        "CASE WHEN b THEN i END",
        "CASE WHEN b THEN i ELSE j END",
        "i::text",
        "i::bigint",
        "s::date",
        "s = 'null'",
        "s = NULL",
        "s = 'a\", \"b'",
        "extract(year from day)",
        "extract(month from day)",
        "date_trunc('year', day)",
        "to_char(day, 'YYYY')",
        "to_char(day, 'YY')",
        "at + interval '1 day'",
        "at + interval '1 hour'",
        "round(d, 1)",
        "round(d)",
        "floor(d)",
        "ceil(d)",
        "abs(d)",
        "(d / i)::decimal(9,2)",
        "(d / i)::decimal(9,3)",
        "trim(s)",
        "ltrim(s)",
        "rtrim(s)",
        "substr(s, 1)",
        "substr(s, 2)",
        "lower(s)",
        "upper(s)",
        "length(s)",
        "d",
        "f",
        "s",
        "TRUE",
        "'TRUE'",
    ];
    let mut seen = std::collections::BTreeMap::new();
    for sql in texts {
        let canonical = Expr::compile(sql, &scope()).unwrap().canonical();
        if let Some(other) = seen.insert(canonical.clone(), sql) {
            panic!("{sql} and {other} are both {canonical}");
        }
    }
}

#[test]
fn a_declared_type_rounds_a_quotient_once() {
    // 0.0049999…: rounding first to six digits and then to two would give 0.01.
    let expr = Expr::compile("d / w", &scope()).unwrap();
    assert!(expr.needs_type().is_some());
    let expr = expr.cast_to(DataType::Decimal { precision: 4, scale: 2 }).unwrap();
    assert!(expr.needs_type().is_none());
    assert_eq!(text(&expr, &row(r#"{"d":"49999999.99","w":"10000000000"}"#), 0), "0.00");
}

#[test]
fn each_row_fails_for_itself() {
    let expr = Expr::compile("10 / i", &scope()).unwrap();
    let mut columns = row("{}");
    columns.iter_mut().for_each(|column| *column = arrow::array::new_null_array(column.data_type(), 4));
    columns[0] = Arc::new(Int32Array::from(vec![Some(0), Some(5), None, Some(0)]));
    let Evaluated { values, failures } = expr.evaluate(&columns, 4);
    assert_eq!(failures.iter().map(|failure| failure.row).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(
        values.as_primitive::<arrow::array::types::Int32Type>(),
        &Int32Array::from(vec![None, Some(2), None, None])
    );
}

#[test]
fn a_batch_may_be_empty_or_without_columns() {
    let constant = Expr::compile("1 + 1", &[]).unwrap();
    assert_eq!(constant.evaluate(&[], 3).values.len(), 3);
    assert_eq!(constant.evaluate(&[], 0).values.len(), 0);
    let failing = Expr::compile("CASE WHEN b THEN d * 2 ELSE 1 / 0 END", &scope()).unwrap();
    let none: Vec<ArrayRef> = row("{}").iter().map(|column| column.slice(0, 0)).collect();
    assert!(failing.evaluate(&none, 0).failures.is_empty());
}

#[test]
fn columns_that_are_not_the_scopes_fail_all_rows() {
    let expr = Expr::compile("d + 1", &scope()).unwrap();
    assert_eq!(expr.evaluate(&[], 2).failures.len(), 2);
}

#[test]
fn an_expression_says_what_it_reads() {
    let expr = |sql| Expr::compile(sql, &scope()).unwrap();
    assert_eq!(expr("j + i + j").columns(), [0, 1]);
    assert_eq!(expr("(j)").as_column(), Some(1));
    assert_eq!(expr("+j").as_column(), Some(1));
    assert_eq!(expr("j + 0").as_column(), None);
    assert!(expr("1").columns().is_empty());
}

#[test]
fn nullability_follows_the_operators() {
    let scope = [Column::new("a", DataType::Int32, false), Column::new("n", DataType::Int32, true)];
    for (sql, nullable) in [
        ("a + 1", false),
        ("a + n", true),
        ("coalesce(n, a)", false),
        ("coalesce(n, n)", true),
        ("CASE WHEN a > 0 THEN a END", true),
        ("CASE WHEN a > 0 THEN a ELSE 0 END", false),
        ("nullif(a, 0)", true),
        ("n IS NULL", false),
        ("concat(n)", false),
        ("n IS DISTINCT FROM a", false),
    ] {
        assert_eq!(Expr::compile(sql, &scope).unwrap().nullable(), nullable, "{sql}");
    }
}

#[test]
fn positions_count_characters_over_lines() {
    let error = Expr::compile("'ä' = s AND\n  (i > 1 OR\n  nope)", &scope()).unwrap_err();
    assert_eq!(error.column, 26);
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let sql = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(Expr::compile(&sql, &[]).is_err());
    let long = vec!["i"; 2000].join(" + ");
    assert!(Expr::compile(&long, &scope()).is_err());
}

#[test]
fn a_column_named_like_a_function_word_is_the_column() {
    let scope = [Column::new("user", DataType::String, false), Column::new("date", DataType::Date, false)];
    assert_eq!(Expr::compile("user", &scope).unwrap().as_column(), Some(0));
    assert_eq!(Expr::compile("date", &scope).unwrap().as_column(), Some(1));
    assert_eq!(Expr::compile("\"user\"", &scope).unwrap().as_column(), Some(0));
}

#[test]
fn sums_of_money_are_exact_over_a_batch() {
    let scope = [Column::new("a", DataType::Decimal { precision: 10, scale: 2 }, false)];
    let values: Vec<i128> = (0..1000).map(|cents| cents * 7 - 3000).collect();
    let array = Decimal128Array::from(values.clone()).with_precision_and_scale(10, 2).unwrap();
    let expr = Expr::compile("a * a - a", &scope).unwrap();
    let got = expr.evaluate(&[Arc::new(array)], 1000).values;
    let expected: Vec<i128> = values.iter().map(|a| a * a - a * 100).collect();
    assert_eq!(got.as_primitive::<Decimal128Type>().values().as_ref(), expected);
}

#[test]
fn measures_have_the_types_of_their_answers() {
    for (sql, canonical, ty, nullable) in [
        ("count(*)", "count[int64](*)", "int64", false),
        ("COUNT(i)", "count[int64](column(\"i\"))", "int64", false),
        ("count(DISTINCT s)", "count_distinct[int64](column(\"s\"))", "int64", false),
        ("sum(i)", "sum[int64](column(\"i\"))", "int64", true),
        ("sum(d)", "sum[decimal(18,2)](column(\"d\"))", "decimal(18,2)", true),
        ("sum(w)", "sum[decimal(38,0)](column(\"w\"))", "decimal(38,0)", true),
        ("sum(f)", "sum[float64](column(\"f\"))", "float64", true),
        ("avg(i)", "avg[decimal(16,6)](column(\"i\"))", "decimal(16,6)", true),
        ("avg(d)", "avg[decimal(14,6)](column(\"d\"))", "decimal(14,6)", true),
        ("avg(w)", "avg[decimal(38,0)](column(\"w\"))", "decimal(38,0)", true),
        ("min(day)", "min[date](column(\"day\"))", "date", true),
        ("max(s)", "max[string](column(\"s\"))", "string", true),
        (
            "sum(d * i)",
            "sum[decimal(38,2)](multiply(column(\"d\"), cast[decimal(10,0)](column(\"i\"))))",
            "decimal(38,2)",
            true,
        ),
    ] {
        let measure = MeasureExpr::compile(sql, &scope()).unwrap();
        assert_eq!(
            (measure.canonical().as_str(), measure.ty.to_string().as_str(), measure.nullable),
            (canonical, ty, nullable)
        );
    }
}

#[test]
fn what_is_no_measure_is_refused_with_its_place() {
    for (sql, column, part) in [
        ("i", 0, "a measure is one aggregate"),
        ("lower(s)", 0, "a measure is one aggregate"),
        ("sum(i) + 1", 0, "a measure is one aggregate"),
        ("sum(s)", 4, "sum of a string does not exist"),
        ("sum(d / i)", 4, "a division of decimals"),
        ("sum(distinct i)", 0, "only count takes distinct"),
        ("sum(*)", 0, "not *"),
        ("count(distinct *)", 0, "takes one argument"),
        ("stddev(i)", 0, "is not supported"),
        ("sum(nope)", 4, "there is no column"),
        ("count(i) FILTER (WHERE b)", 0, "use CASE inside"),
        ("sum(sum(i))", 4, "is an aggregate over many rows"),
    ] {
        let error = MeasureExpr::compile(sql, &scope()).unwrap_err();
        assert!(error.message.contains(part) && error.column == column, "{sql}: {} {}", error.column, error.message);
    }
}
