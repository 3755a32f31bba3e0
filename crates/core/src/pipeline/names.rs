//! Which names and paths may be used, and why others may not.
//!
//! Each function returns the reason for a refusal as a sentence; the caller knows the place.

/// Longest identifier in bytes: what Postgres keeps of a name.
const LONGEST_NAME: usize = 63;
/// Longest table name: SQLite's stored form adds `_raw`.
const LONGEST_TABLE: usize = LONGEST_NAME - 4;
/// Longest topic name that Kafka takes.
const LONGEST_TOPIC: usize = 249;
/// Longest part of a path in bytes that all stores take.
const LONGEST_PART: usize = 255;

/// Names in a row that the engine's own columns have, beside everything that begins with `kafka_`.
const RESERVED_IN_ROWS: [&str; 3] = ["processing_timestamp", "window_start", "window_end"];
/// Further names in a KPI that the engine's own columns have.
const RESERVED_IN_KPIS: [&str; 2] = ["revision", "is_final"];

/// A refusal: what is wrong and what would be right.
pub(super) type Refusal = String;

/// The pipeline's name: part of folders, of the consumer group and of labels.
pub(super) fn check_pipeline_name(name: &str) -> Result<(), Refusal> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let legal = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if !starts || !legal {
        return Err(format!(
            "{name:?} is no name of a pipeline; use a lower-case letter, then letters, digits, - or _"
        ));
    }
    check_length(name, LONGEST_NAME)
}

/// A field's name, as the JSON object has it. Hyphens, dots, @, # and $ may occur; SQL then needs it in double quotes.
pub(super) fn check_field_name(name: &str) -> Result<(), Refusal> {
    let starts = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '@' | '$'));
    let legal = name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '#' | '$'));
    if !starts || !legal {
        return Err(format!("{name:?} can't be a column; use a letter, then letters, digits or _ - . @ # $"));
    }
    check_length(name, LONGEST_NAME)?;
    check_reserved_in_rows(name)
}

/// The name of a derived column, check, measure or mart column.
pub(super) fn check_identifier(name: &str) -> Result<(), Refusal> {
    let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if !starts || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(format!("{name:?} is no identifier; use a letter, then letters, digits or _"));
    }
    check_length(name, LONGEST_NAME)
}

/// Refuses the names of the engine's own row columns, in any case.
pub(super) fn check_reserved_in_rows(name: &str) -> Result<(), Refusal> {
    let folded = name.to_lowercase();
    if folded.starts_with("kafka_") || RESERVED_IN_ROWS.contains(&folded.as_str()) {
        return Err(format!(
            "{name:?} is a name of the engine's own columns (kafka_…, {})",
            RESERVED_IN_ROWS.join(", ")
        ));
    }
    Ok(())
}

/// Refuses the names of the engine's own KPI columns, in any case.
pub(super) fn check_reserved_in_kpi(name: &str) -> Result<(), Refusal> {
    check_reserved_in_rows(name)?;
    if RESERVED_IN_KPIS.contains(&name.to_lowercase().as_str()) {
        return Err(format!("{name:?} is a name of the engine's own KPI columns ({})", RESERVED_IN_KPIS.join(", ")));
    }
    Ok(())
}

/// A mart table. Keywords are fine: marts quote every name.
pub(super) fn check_table(name: &str) -> Result<(), Refusal> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let legal = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !starts || !legal {
        return Err(format!(
            "{name:?} is no table name; use a lower-case letter, then lower-case letters, digits or _"
        ));
    }
    check_length(name, LONGEST_TABLE)?;
    match ["lakeward_", "sqlite_", "pg_"].iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) => Err(format!("tables named {prefix}… belong to the system")),
        None => Ok(()),
    }
}

/// A layer's folder below the lake's root.
pub(super) fn check_path(path: &str) -> Result<(), Refusal> {
    const RIGHT: &str = "write a folder below the lake's root, such as \"bronze/my_feed\"";
    if path.is_empty() {
        return Err(format!("is empty; {RIGHT}"));
    }
    if path.contains("://") {
        return Err(format!("is a URL; {RIGHT} (the lake's URL stands in lakeward.toml)"));
    }
    if path.starts_with('/') {
        return Err(format!("{path:?} is absolute; {RIGHT}"));
    }
    path.split('/').try_for_each(|part| check_path_part(path, part).map_err(|why| format!("{why}; {RIGHT}")))
}

fn check_path_part(path: &str, part: &str) -> Result<(), Refusal> {
    if part.is_empty() {
        return Err(format!("{path:?} has an empty part"));
    }
    if part == ".." || part == "." {
        return Err(format!("{path:?} has the part {part:?}"));
    }
    if part.starts_with(['.', '_']) {
        return Err(format!(
            "{part:?} begins with {:?}, which readers take as hidden",
            part.get(..1).unwrap_or_default()
        ));
    }
    if let Some(c) = part.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        return Err(format!("{path:?} holds {c:?}; letters, digits, _, - and . are taken"));
    }
    check_length(part, LONGEST_PART)
}

/// Kafka's rules for a topic's name.
///
/// # Errors
/// The reason, where Kafka would refuse the name.
pub fn check_topic(topic: &str) -> Result<(), Refusal> {
    if topic.is_empty() {
        return Err("is empty; write the name of the Kafka topic".to_owned());
    }
    if topic == "." || topic == ".." {
        return Err(format!("{topic:?} is no topic name"));
    }
    if let Some(c) = topic.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        return Err(format!("{c:?} can't be in a topic's name; Kafka takes letters, digits, . _ and -"));
    }
    check_length(topic, LONGEST_TOPIC)
}

fn check_length(name: &str, longest: usize) -> Result<(), Refusal> {
    if name.len() > longest {
        return Err(format!("{name:?} is {} bytes long; at most {longest} are taken", name.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(check: impl Fn(&str) -> Result<(), Refusal>, names: &[&str]) {
        for name in names {
            assert!(check(name).is_err(), "{name:?} was taken");
        }
    }

    fn taken(check: impl Fn(&str) -> Result<(), Refusal>, names: &[&str]) {
        for name in names {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn fields_may_have_most_names_that_json_producers_use() {
        taken(check_field_name, &["id", "userId", "user-id", "@at", "größe", "select", "a.b", "_x"]);
        let long = "x".repeat(64);
        refused(
            check_field_name,
            &["", "a\"b", "a'b", "a\0b", "a b", "1a", "kafka_offset", "Window_Start", "a`", &long],
        );
    }

    #[test]
    fn tables_are_plain_lower_case_and_not_the_systems() {
        taken(check_table, &["t", "select", "shop_1min", "_t"]);
        let long = "t".repeat(60);
        refused(check_table, &["T", "", "a-b", "a b", "a\"", "sqlite_x", "lakeward_fence", &long]);
    }

    #[test]
    fn paths_stay_below_the_lakes_root_and_in_sight() {
        taken(check_path, &["bronze/a", "x", "a/b-c/d.e"]);
        let hidden = ["_lakeward/x", "a/_b", ".a", "a/.b"];
        let outside =
            ["/a", "a/../b", "..", "./a", "hdfs://n/a", "a//b", "a/", "", "a:b", "a=b", "a b", "a%2e", "a\\b"];
        refused(check_path, &hidden);
        refused(check_path, &outside);
    }

    #[test]
    fn topics_follow_kafkas_rules() {
        let longest = "t".repeat(249);
        taken(check_topic, &["a", "A.b_c-9", "__x", &longest]);
        let longer = "t".repeat(250);
        refused(check_topic, &["", ".", "..", "a b", "a/b", "é", &longer]);
    }
}
