#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use super::*;

const NOW: i64 = 1_767_323_045_678_901;
const PLAIN: &str = r#"
partitions = 2
rate = 10
key = "id"
late_seconds = [900, 1800]
[[member]]
name = "id"
sequence = "i%05d"
[[member]]
name = "day"
dates = ["2024-02-28", "2024-03-01"]
[[member]]
name = "shop"
numbered = ["s%03d", 200]
skewed = true
[[member]]
name = "colour"
choice = ["red", "gr\"een"]
[[member]]
name = "code"
follows = "colour"
choice = ["r", "g"]
[[member]]
name = "person"
words = [["Ann", "Bo"], ["Lee", "Ray"]]
[[member]]
name = "count"
integers = [1, 5]
[[member]]
name = "price"
decimals = ["5.00", "600.00"]
[[member]]
name = "cut"
numbers = ["0", "0.05", "0.1"]
[[member]]
name = "inner"
integers = [1, 2]
hidden = true
"#;

fn records(seed: u64, ratios: Ratios, count: usize) -> Vec<GeneratedRecord> {
    let mut generator = Generator::new(&GeneratorSpec::parse(PLAIN).unwrap(), seed, ratios);
    (0..count).map(|_| generator.next(NOW)).collect()
}

#[test]
fn records_are_objects_with_the_members_of_the_file() {
    for (i, record) in records(1, Ratios::default(), 3000).iter().enumerate() {
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&record.payload).unwrap();
        let names: Vec<_> = value.keys().map(String::as_str).collect();
        assert_eq!(names, ["id", "day", "shop", "colour", "code", "person", "count", "price", "cut"]);
        assert_eq!(value["id"], format!("i{:05}", i + 1));
        assert_eq!(value["id"].as_str().unwrap().as_bytes(), record.key);
        assert!(["2024-02-28", "2024-02-29", "2024-03-01"].contains(&value["day"].as_str().unwrap()));
        assert_eq!(value["colour"] == "red", value["code"] == "r");
        assert!((1..=5).contains(&value["count"].as_i64().unwrap()));
        assert!((5.0..=600.0).contains(&value["price"].as_f64().unwrap()));
        assert_eq!(record.timestamp_ms, NOW / 1000);
    }
}

#[test]
fn the_same_seed_gives_the_same_records_and_another_seed_others() {
    let ratios = Ratios { late: 0.1, duplicate: 0.1, bad: 0.1, key_skew: 0.1 };
    assert_eq!(records(7, ratios, 2000), records(7, ratios, 2000));
    assert_ne!(records(7, ratios, 2000), records(8, ratios, 2000));
}

#[test]
fn late_records_lie_back_by_the_files_span() {
    let lateness = |record: &GeneratedRecord| NOW / 1000 - record.timestamp_ms;
    let all = records(1, Ratios { late: 0.2, ..Ratios::default() }, 5000);
    let late: Vec<_> = all.iter().map(lateness).filter(|&ms| ms != 0).collect();
    assert!((800..1200).contains(&late.len()));
    assert!(late.iter().all(|ms| (900_000..=1_800_000).contains(ms)));
}

#[test]
fn duplicates_repeat_key_and_payload_of_an_earlier_record() {
    let all = records(1, Ratios { duplicate: 0.1, ..Ratios::default() }, 5000);
    let distinct: HashSet<_> = all.iter().map(|record| (&record.key, &record.payload)).collect();
    assert!((4300..4700).contains(&distinct.len()));
    let keys: HashSet<_> = all.iter().map(|record| &record.key).collect();
    assert_eq!(keys.len(), distinct.len());
}

#[test]
fn bad_records_go_through_all_kinds() {
    let all = records(1, Ratios { bad: 1.0, ..Ratios::default() }, 14);
    let good = |payload: &[u8]| serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(payload).ok();
    for round in all.chunks(7) {
        let kinds: Vec<_> = round.iter().map(|record| good(&record.payload)).collect();
        assert_eq!(
            kinds.iter().map(Option::is_some).collect::<Vec<_>>(),
            [false, true, true, false, true, false, false]
        );
        assert!(!kinds[1].as_ref().unwrap().contains_key("id"));
        assert_eq!(kinds[2].as_ref().unwrap()["count"], "many");
        assert!(round[3].payload.starts_with(b"[{"));
        assert!(std::str::from_utf8(&round[5].payload).is_err());
        assert!(round[6].payload.is_empty());
    }
}

#[test]
fn skew_makes_the_first_value_of_a_skewed_member_hot() {
    let hot = |key_skew| {
        let all = records(1, Ratios { key_skew, ..Ratios::default() }, 4000);
        all.iter().filter(|record| record.payload.windows(6).any(|window| window == b"\"s001\"")).count()
    };
    assert!(hot(0.0) < 100);
    assert!((1800..2200).contains(&hot(0.5)));
}

#[test]
fn a_formula_is_exact_over_the_members_before_it() {
    let formula = "[[member]]\nname = \"total\"\nsql = \"count * price * (1 - cut)\"\nscale = 2\n";
    let spec = GeneratorSpec::parse(&format!("{PLAIN}{formula}")).unwrap();
    let mut generator = Generator::new(&spec, 3, Ratios::default());
    for _ in 0..2000 {
        let payload = generator.next(NOW).payload;
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&payload).unwrap();
        let number = |name: &str| value[name].as_f64().unwrap();
        let expected = number("count") * number("price") * (1.0 - number("cut"));
        assert!((number("total") - expected).abs() < 0.005_001, "{value:?}");
    }
}

/// Every generator file of the project is accepted, and each of its records is an object without a null.
#[test]
fn generator_files_of_the_project_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pipelines");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".generator.toml") {
            continue;
        }
        let spec = GeneratorSpec::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut generator = Generator::new(&spec, 1, Ratios::default());
        for _ in 0..3000 {
            let payload = generator.next(NOW).payload;
            let value: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&payload).unwrap();
            assert!(value.values().all(|value| !value.is_null()), "{value:?}");
        }
        seen += 1;
    }
    assert!(seen > 0);
}
