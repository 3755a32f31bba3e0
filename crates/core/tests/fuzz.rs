//! Pipeline files and expressions from anywhere: whatever stands in them, they are taken or refused, never a panic.
//!
//! Brief here; `PROPTEST_CASES=100000` makes it long.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use lakeward_core::pipeline::Pipeline;
use proptest::prelude::*;

/// Pieces of files and of expressions.
const PIECES: [&str; 56] = [
    "\"",
    "'",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "\\",
    "\\u0000",
    "\0",
    "\u{feff}",
    "😀",
    "é",
    "-",
    "1",
    "0",
    "99999999999999999999",
    "1e400",
    "0.1",
    "true",
    "null",
    "nan",
    "\"string!\"",
    "\"decimal(39,2)\"",
    "\"decimal(0,0)\"",
    "\"-1s\"",
    "\"9223372036854775807d\"",
    "tumbling",
    "name",
    "kpi",
    "fields",
    "source",
    "select ",
    "case when ",
    " then ",
    " else ",
    " end",
    "(",
    ")",
    " and ",
    " or ",
    " not ",
    " is null",
    " in (",
    " between ",
    "cast(",
    " as decimal(10,2))",
    " / ",
    " % ",
    "count(distinct ",
];

fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, any::<prop::sample::Index>());
    prop::collection::vec(edit, 1..5).prop_map(move |edits| {
        let mut chars: Vec<char> = text.chars().collect();
        for (place, cut, piece) in edits {
            let at = place.index(chars.len() + 1);
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, PIECES[piece.index(PIECES.len())].chars());
        }
        chars.into_iter().collect()
    })
}

fn expression() -> impl Strategy<Value = String> {
    let words = [
        "id",
        "n",
        "price",
        "at",
        "day",
        "flag",
        "nope",
        "'text'",
        "'2024-01-31'",
        "7",
        "1.5",
        "null",
        "true",
        "+",
        "-",
        "*",
        "/",
        "%",
        "=",
        "<",
        "<>",
        "and",
        "or",
        "not",
        "is null",
        "is not null",
        "in (1, 2)",
        "between 1 and 2",
        "like 'a%'",
        "(",
        ")",
        "case when flag then n else 0 end",
        "case",
        "when",
        "cast(n as decimal(10,2))",
        "extract(year from day)",
        "date_trunc('month', at)",
        "to_char(at, 'YYYY')",
        "lower(id)",
        "substr(id, 1, 2)",
        "concat(id, id)",
        "round(price, 1)",
        "abs(n)",
        "coalesce(n, 0)",
        "now()",
        "random()",
        "sum(n)",
        "interval '1 day'",
        "::date",
        "||",
        ";",
        "--",
        "/*",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 1..12).prop_map(|words| words.join(" "))
}

const FEED: &str = "name = \"p\"\n[source]\ntopic = \"t\"\nformat = \"json\"\n[fields]\nid = \"string!\"\nn = \"int32\"\n\
                    price = \"decimal(10,2)\"\nat = \"timestamp\"\nday = \"date\"\nflag = \"bool\"\n[silver]\npath = \"s\"\n";

fn everything() -> &'static str {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions/valid/everything.toml");
    Box::leak(std::fs::read_to_string(path).unwrap().into_boxed_str())
}

/// What is refused is refused in words that name the file.
fn taken_or_refused(text: &str) -> Result<(), TestCaseError> {
    match Pipeline::parse(text, "p.toml") {
        Ok(pipeline) => drop((pipeline.describe(), pipeline.definition_hash())),
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| error.to_string().starts_with("p.toml")), "{errors:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_is_taken_or_refused(text in mutated(everything())) {
        taken_or_refused(&text)?;
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Pipeline::parse_bytes(&bytes, "p.toml");
    }

    #[test]
    fn any_expression_is_taken_or_refused(sql in expression(), measure in expression()) {
        let quoted = |sql: &str| serde_json::to_string(sql).unwrap();
        let text = format!(
            "{FEED}[derive]\nx = {}\ny = {{ sql = {}, type = \"decimal(38,10)\" }}\n[checks]\nc = {{ that = {}, otherwise = \
             \"filter\" }}\n[[kpi]]\nname = \"k\"\nwindow = {{ tumbling = \"1m\" }}\nmeasures = {{ m = {} }}\n",
            quoted(&sql), quoted(&sql), quoted(&sql), quoted(&measure)
        );
        taken_or_refused(&text)?;
    }

    #[test]
    fn deep_expressions_are_taken_or_refused(depth in 1..5_000_usize, open in prop::sample::select(vec!["(", "not ", "-", "abs(", "case when "])) {
        let close = if open.ends_with('(') { ")" } else { "" };
        let sql = format!("{}n{}", open.repeat(depth), close.repeat(depth));
        taken_or_refused(&format!("{FEED}[derive]\nx = \"{sql}\"\n"))?;
    }
}
