//! What the compiler can't see: layer rules of the manifests, links of the documents, the record's walk, and that no
//! name of a built-in pipeline has found its way into the engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that may hold no name of a pipeline.
const ENGINE: [&str; 4] = ["crates", "actors", "src", "ui"];

/// Single words that pipelines use as names and any program as words. Compound names are never ordinary.
const ORDINARY: [&str; 2] = ["Quarter", "State"];

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 5] = ["target", ".git", ".run", "node_modules", "vendor"];

#[test]
fn dependencies_point_one_way() {
    let rules: [(&str, &[&str]); 6] = [
        (
            "crates/core",
            &[
                "tokio",
                "actix",
                "actix-web",
                "rdkafka",
                "hdfs-native",
                "rusqlite",
                "lakeward-connect",
                "lakeward-actors",
                "lakeward-verify",
            ],
        ),
        ("crates/model", &["tokio", "actix", "actix-web", "lakeward-connect", "lakeward-actors"]),
        ("crates/kafka_ffi", &["tokio", "actix", "actix-web", "lakeward-core", "lakeward-connect", "lakeward-actors"]),
        ("crates/connect", &["actix", "actix-web", "clap", "lakeward-actors", "lakeward-verify"]),
        ("crates/verify", &["actix", "actix-web", "clap", "rdkafka", "parquet", "sqlparser", "lakeward-actors"]),
        (
            "actors",
            &[
                "clap",
                "actix-web",
                "rdkafka",
                "hdfs-native",
                "parquet",
                "rusqlite",
                "tokio-postgres",
                "toml",
                "lakeward-verify",
            ],
        ),
    ];
    let mut broken = Vec::new();
    for (krate, forbidden) in rules {
        let named = dependencies(&manifest(krate));
        broken.extend(
            forbidden.iter().filter(|f| named.contains(**f)).map(|f| format!("{krate} must not depend on {f}")),
        );
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What `verify` may take from the core: what a pipeline means and how things are written down, nothing that decides.
#[test]
fn verify_shares_no_decision_with_the_core() {
    let decides = ["bronze", "decimal", "decode", "dedup", "idle", "json_line", "kpi", "partition_step", "quarantine"];
    let named = |line: &str| {
        decides
            .iter()
            .chain(&["watermark", "generate"])
            .any(|module| line.contains(&format!("lakeward_core::{module}")))
            || line.contains(".evaluate(")
    };
    let found = lines_with(&["crates/verify/src"], named);
    let found: Vec<_> = found.into_iter().filter(|line| !line.contains("/tests.rs:")).collect();
    assert!(found.is_empty(), "the checker must decide by itself:\n{}", found.join("\n"));
}

#[test]
fn core_reads_no_clock() {
    let found =
        lines_with(&["crates/core/src"], |line| line.contains("SystemTime::now") || line.contains("Instant::now"));
    assert!(found.is_empty(), "time is an argument in core:\n{}", found.join("\n"));
}

#[test]
fn every_crate_but_kafka_ffi_forbids_unsafe_code() {
    let root = manifest("");
    let lint = root.get("workspace").and_then(|w| w.get("lints")?.get("rust")?.get("unsafe_code")?.as_str());
    assert_eq!(lint, Some("forbid"), "the workspace's lints must forbid unsafe code");
    let members = root.get("workspace").and_then(|w| w.get("members")?.as_array()).expect("a workspace has members");
    let members = members.iter().filter_map(|member| member.as_str()).chain([""]);
    for member in members.filter(|member| *member != "crates/kafka_ffi") {
        let inherits = manifest(member).get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
        assert_eq!(inherits, Some(true), "{member}/Cargo.toml must take the workspace's lints");
    }
}

#[test]
fn links_in_documents_resolve() {
    let mut broken = Vec::new();
    for document in files_below("").into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn one_record_is_followed_through_at_most_eight_files_that_exist() {
    let Ok(text) = fs::read_to_string(root().join("docs/ARCHITECTURE.md")) else {
        println!("docs/ARCHITECTURE.md is not written yet");
        return;
    };
    let walk = section(&text, "Follow one record").expect("docs/ARCHITECTURE.md has a part `Follow one record`");
    let steps: Vec<&str> = walk.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!((1..=8).contains(&steps.len()), "the walk has {} steps, not 1 to 8", steps.len());
    for step in steps {
        let path = step.split('`').nth(1).unwrap_or_else(|| panic!("this step names no file: {step}"));
        assert!(root().join(path).exists(), "the walk names {path}, which does not exist");
    }
}

#[test]
fn no_name_of_a_pipeline_occurs_in_the_engine() {
    let names = pipeline_names();
    assert!(!root().join("pipelines").exists() || names.len() > 10, "too few names found in pipelines/: {names:?}");
    let found = lines_with(&ENGINE, |line| names.iter().any(|name| name.occurs_in(line)));
    assert!(found.is_empty(), "the engine holds no business word:\n{}", found.join("\n"));
}

#[test]
fn a_name_is_found_as_a_whole_word_and_in_any_case_if_it_is_compound() {
    let check = |name: &str, line: &str, expected: bool| {
        assert_eq!(Name(name.to_owned()).occurs_in(line), expected, "{name} in {line}");
    };
    check("OrderID", "let orderid = 1;", true);
    check("OrderID", "reorderid", false);
    check("orders_live", "\"ORDERS_LIVE\"", true);
    check("orders_live", "orders_live_raw", false);
    check("shop-sales", "run shop-sales now", true);
    check("Brand", "// Brand new", true);
    check("Brand", "brand new", false);
}

/// A name that a pipeline gives to something of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name(String);

impl Name {
    /// `None` for words that anybody uses: single words in lower case and the `ORDINARY` ones.
    fn of(text: &str) -> Option<Self> {
        let name = Self(text.to_owned());
        let is_word = !name.is_compound() && text.chars().all(|c| c.is_ascii_lowercase());
        (!text.is_empty() && !is_word && !ORDINARY.contains(&text)).then_some(name)
    }

    /// Several words in one: `OrderID`, `orders_live`, `kpi_1min`, `amazon-sales`.
    fn is_compound(&self) -> bool {
        let inner_capital = self.0.chars().skip(1).any(|c| c.is_ascii_uppercase());
        inner_capital || self.0.contains(['_', '-'])
    }

    fn occurs_in(&self, line: &str) -> bool {
        if self.is_compound() {
            has_word(&line.to_ascii_lowercase(), &self.0.to_ascii_lowercase())
        } else {
            has_word(line, &self.0)
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Topics, fields, checks, derived columns, measures, tables and folders of every built-in pipeline.
fn pipeline_names() -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    for file in files_below("pipelines").into_iter().filter(|path| path.extension().is_some_and(|e| e == "toml")) {
        let Ok(definition) = fs::read_to_string(&file).unwrap().parse::<toml::Table>() else { continue };
        let mut texts = keys(&definition, &["fields", "checks", "derive"]);
        texts.extend(strings(&definition, "name"));
        texts.extend(
            definition.get("source").and_then(|s| s.as_table()).map(|s| strings(s, "topic")).unwrap_or_default(),
        );
        for part in ["bronze", "silver", "quarantine", "rows"] {
            texts.extend(definition.get(part).and_then(|p| p.as_table()).map(places).unwrap_or_default());
        }
        for kpi in definition.get("kpi").and_then(|k| k.as_array()).into_iter().flatten().filter_map(|k| k.as_table()) {
            texts.extend(strings(kpi, "name"));
            texts.extend(keys(kpi, &["measures", "derive"]));
            for part in ["gold", "mart"] {
                texts.extend(kpi.get(part).and_then(|p| p.as_table()).map(places).unwrap_or_default());
            }
        }
        found.extend(texts.iter().filter_map(|text| Name::of(text)));
    }
    found
}

/// The table's name and the last folder of the path.
fn places(part: &toml::Table) -> Vec<String> {
    let folders = strings(part, "path").into_iter().filter_map(|path| path.rsplit('/').next().map(str::to_owned));
    folders.chain(strings(part, "table")).collect()
}

fn strings(table: &toml::Table, key: &str) -> Vec<String> {
    table.get(key).and_then(|value| value.as_str()).map(str::to_owned).into_iter().collect()
}

fn keys(table: &toml::Table, sections: &[&str]) -> Vec<String> {
    let sections = sections.iter().filter_map(|name| table.get(*name).and_then(|s| s.as_table()));
    sections.flat_map(|section| section.keys().cloned()).collect()
}

/// `file:line: text` of the lines below the folders for which `wanted` holds.
fn lines_with(folders: &[&str], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in folders.iter().flat_map(|folder| files_below(folder)) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let hits = text.lines().enumerate().filter(|(_, line)| wanted(line));
        found.extend(hits.map(|(n, line)| format!("{}:{}: {}", file.display(), n + 1, line.trim())));
    }
    found
}

/// The targets of `[text](target)` that are meant to be files here, outside of code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        found.extend(targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")));
    }
    found
}

/// The text below the heading that contains `title`, up to the next heading.
fn section<'a>(text: &'a str, title: &str) -> Option<&'a str> {
    let start = text.find(&format!("# {title}"))?;
    let body = text[start..].split_once('\n')?.1;
    Some(body.split("\n#").next().unwrap_or(body))
}

fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    keys(manifest, &["dependencies", "build-dependencies"]).into_iter().collect()
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All files below a folder of the repository, in order; none when the folder does not exist.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_file() {
                found.push(path);
            } else if !FOREIGN.iter().any(|foreign| name == *foreign) {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
