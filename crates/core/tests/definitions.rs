//! Golden folder of pipeline files: what is taken parses, and what is refused is refused in exactly these words.
//!
//! `LAKEWARD_WRITE_GOLDEN=1` writes the expected texts anew; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use lakeward_core::pipeline::{Change, DefinitionError, Pipeline};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.sort();
    files
}

fn parse(path: &Path) -> Result<Pipeline, Vec<DefinitionError>> {
    let name = path.file_name().unwrap().to_string_lossy();
    Pipeline::parse_bytes(&fs::read(path).unwrap(), &name)
}

fn lines(errors: &[DefinitionError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn check_golden(path: &Path, found: &str) {
    let golden = path.with_extension("txt");
    if std::env::var_os("LAKEWARD_WRITE_GOLDEN").is_some() {
        fs::write(&golden, found).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert!(expected == found, "{}\n--- expected\n{expected}--- found\n{found}", path.display());
}

#[test]
fn a_good_file_is_taken_and_described() {
    for path in files("tests/definitions/valid") {
        let pipeline = parse(&path).unwrap_or_else(|errors| panic!("{}", lines(&errors)));
        check_golden(&path, &pipeline.describe());
    }
}

#[test]
fn a_wrong_file_is_refused_with_every_mistake_and_its_place() {
    for path in files("tests/definitions/invalid") {
        let errors = parse(&path).err().unwrap_or_else(|| panic!("{} was taken", path.display()));
        check_golden(&path, &lines(&errors));
    }
}

#[test]
fn a_board_is_no_decision_about_rows() {
    let path = files("tests/definitions/valid").into_iter().find(|path| path.ends_with("dashboard.toml")).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (without, _) = text.split_once("[dashboard]").unwrap();
    let hash = |text: &str| Pipeline::parse(text, "x").unwrap().definition_hash();
    assert_eq!(hash(&text), hash(without));
}

#[test]
fn the_built_in_pipelines_are_taken() {
    let generator = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(".generator.toml");
    for path in files("../../pipelines").into_iter().filter(|path| !generator(path)) {
        let pipeline = parse(&path).unwrap_or_else(|errors| panic!("{}", lines(&errors)));
        assert_eq!(path.file_stem().unwrap().to_string_lossy(), pipeline.name);
    }
}

#[test]
fn the_definition_does_not_depend_on_spelling_paths_and_paces() {
    let one = r#"
        name = "feed"
        [source]
        topic = "t"
        [fields]
        id = "string!"
        amount = "decimal(10,2)! round"
        [time]
        out_of_orderness = "10m"
        [checks]
        positive = { that = "amount > 0 AND id <> ''", otherwise = "filter" }
        [bronze]
        path = "bronze/a"
        [silver]
        [[kpi]]
        name = "a"
        window = { tumbling = "1m" }
        [kpi.measures]
        total = "sum(amount)"
        [[kpi]]
        name = "b"
        window = { tumbling = "60s" }
        [kpi.measures]
        n = "count(*)"
    "#;
    let other = r#"
        # the same decisions
        name = "feed"
        silver = { path = "elsewhere/silver" }
        bronze = { path = "elsewhere/bronze" }
        checks.positive = { otherwise = "filter", that = '''
            amount>0   and
            id<>'' ''' }
        [time]
        idle_after = "5s"
        out_of_orderness = "600s"
        event_time = "kafka"
        [fields]
        id = "string !"
        amount = "decimal( 10, 2 ) ! round"
        [source]
        start = "latest"
        topic = "another"
        [[kpi]]
        measures = { n = "COUNT( * )" }
        window = { tumbling = "60000ms" }
        name = "b"
        [[kpi]]
        name = "a"
        window = { tumbling = "60s" }
        gold = { path = "elsewhere/gold" }
        [kpi.measures]
        total = { sql = "SUM(amount)" }
    "#;
    let (one, other) = (Pipeline::parse(one, "one").unwrap(), Pipeline::parse(other, "other").unwrap());
    assert_eq!(Pipeline::differences(&one.definition(), &other.definition()), Vec::<String>::new());
    assert_eq!(one.definition_hash(), other.definition_hash());
    assert_eq!(one.definition_hash().len(), 64);
    assert_eq!(Pipeline::change(&one.definition(), &other.definition()), Change::None);
}

#[test]
fn a_changed_decision_changes_the_hash_and_is_named() {
    let text = |amount: &str, check: &str, more: &str| {
        format!(
            "name = \"feed\"\nsource.topic = \"t\"\nfields = {{ id = \"string!\", amount = \"{amount}\"{more} }}\n\
             checks.c = {{ that = \"{check}\", otherwise = \"filter\" }}\nbronze = {{}}\n"
        )
    };
    let parse = |text: String| Pipeline::parse(&text, "x").unwrap_or_else(|errors| panic!("{}", lines(&errors)));
    let base = parse(text("int32!", "amount > 0", ""));
    let cases = [
        (text("int64!", "amount > 0", ""), Change::Rebuild, "fields.amount.type: was int32, is int64"),
        (text("int32!", "amount > 1", ""), Change::Rebuild, "checks.c.that: was "),
        (text("int32!", "amount > 0", ", note = \"string\""), Change::Additive { kpis: vec![] }, "fields.note: added"),
        (text("int32!", "amount > 0", ", note = \"string!\""), Change::Rebuild, "fields.note: added"),
    ];
    for (text, change, difference) in cases {
        let changed = parse(text);
        assert_ne!(base.definition_hash(), changed.definition_hash());
        assert_eq!(Pipeline::change(&base.definition(), &changed.definition()), change, "{difference}");
        let differences = Pipeline::differences(&base.definition(), &changed.definition());
        assert!(differences.iter().any(|d| d.starts_with(difference)), "{differences:?}");
    }
}
