//! docs/reasons.md lists every code that the program can give, and no other.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lakeward_core::decode::Reason;

/// Reasons of exit codes 1 to 3, which print no word.
const WORDLESS: [&str; 3] = ["FAILED", "USAGE", "UNREACHABLE"];

fn documented(section: &str) -> BTreeSet<String> {
    let page = fs::read_to_string("docs/reasons.md").unwrap();
    let section = page.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let code = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    section.lines().filter_map(code).collect()
}

#[test]
fn every_reason_for_quarantine_is_documented() {
    let known: BTreeSet<String> = Reason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_eq!(documented("Why a record is in Quarantine"), known);
}

/// In the code a word stands behind one of these.
#[test]
fn every_word_with_which_the_program_refuses_or_ends_is_documented() {
    let mut found = BTreeSet::new();
    for folder in ["src", "actors", "crates/connect/src", "crates/core/src/log"] {
        words_below(Path::new(folder), &mut found);
    }
    assert_eq!(documented("Why the program refuses"), found);
}

fn words_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            words_below(&entry, found);
        } else if !entry.ends_with("tests.rs") && entry.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&entry).unwrap();
            words_in(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default(), found);
        }
    }
}

fn words_in(text: &str, found: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices('"') {
        let Some((literal, _)) = text[at + 1..].split_once('"') else { continue };
        let before = text[..at].trim_end();
        let names =
            ["Exit::refused(", "Exit::stopped(", "code:", "reason:", "UNFINISHED: &str =", "INCOMPLETE: &str ="];
        let whole = names.iter().any(|name| before.ends_with(name)) || is_answer_of_code(text, at);
        let word = if whole { literal } else { literal.split_once(": ").map_or("", |(word, _)| word) };
        if is_word(word) && !WORDLESS.contains(&word) {
            found.insert(word.to_owned());
        }
    }
}

/// Whether the literal at `at` is an arm of a function `code`.
fn is_answer_of_code(text: &str, at: usize) -> bool {
    text[..at].trim_end().ends_with("=>") && text[..at].rfind("fn ").is_some_and(|f| text[f..].starts_with("fn code("))
}

/// Capitals and underscores, long enough to be no abbreviation.
fn is_word(word: &str) -> bool {
    word.len() >= 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}
