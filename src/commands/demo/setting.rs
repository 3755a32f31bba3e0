//! What the demo runs with: a built-in pipeline with short times, and a configuration of its folder. Pure.

use lakeward_core::duration::parse_duration;

/// The event time's setting of the demo.
const OUT_OF_ORDERNESS: &str = "5s";

/// The length of windows that are short already.
const WINDOW: &str = "10s";

/// Windows up to this length are shortened, microseconds.
const SHORT: i64 = 600_000_000;

/// The pipeline's text with the demo's times, and what was changed, for the screen. The same for the same text, so that
/// the definition's hash stays.
#[must_use]
pub fn demo_pipeline(text: &str) -> (String, Vec<String>) {
    let mut out = String::from("# Written by `lakeward demo`: the pipeline with shorter times.\n");
    let mut changes = Vec::new();
    let mut section = "";
    let mut has_time = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') {
            section = trimmed.split_inclusive(']').next().unwrap_or_default();
        }
        match (section, trimmed.split('=').next().map(str::trim)) {
            ("[time]", Some("out_of_orderness")) => continue,
            ("[[kpi]", Some("window")) if let Some(was) = short_window(trimmed) => {
                changes.push(format!("windows of {WINDOW} instead of {was}"));
                out.push_str(&format!("window = {{ tumbling = \"{WINDOW}\" }}"));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
        if trimmed.starts_with("[time]") {
            has_time = true;
            out.push_str(&time_line());
        }
    }
    if !has_time {
        out.push_str("\n[time]\n");
        out.push_str(&time_line());
    }
    changes.insert(0, format!("events may be {OUT_OF_ORDERNESS} out of order"));
    (out, changes)
}

fn time_line() -> String {
    format!("out_of_orderness = \"{OUT_OF_ORDERNESS}\"\n")
}

/// The length of the window in `window = { tumbling = "1m" }`, if it is short.
fn short_window(line: &str) -> Option<&str> {
    let length = line.split('"').nth(1)?;
    parse_duration(length).ok().filter(|micros| *micros <= SHORT).map(|_| length)
}

/// The configuration of a demo whose folder is `dir` (absolute), with Kafka at `brokers`.
#[must_use]
pub fn demo_config(dir: &str, brokers: &str) -> String {
    let quoted = |text: String| toml::Value::String(text).to_string();
    format!(
        "# Written by `lakeward demo`. Its Kafka lives as long as the demo.\n\
         [kafka]\nbrokers = {}\n# Each run has a topic of its own.\naccept_new_topic_id = true\n\n\
         [lake]\nurl = {}\n\n[mart]\nurl = {}\n\n[epoch]\nage = \"2s\"\n\n[owner]\nmin_tenure = \"0s\"\n",
        quoted(brokers.to_owned()),
        quoted(format!("file://{dir}/lake")),
        quoted(format!("sqlite://{dir}/mart.db")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_short_and_nothing_else_changes() {
        let text = "name = \"x\"\n[time]\nevent_time = \"kafka\"\nout_of_orderness = \"10m\"\n\
                    [[kpi]]\nwindow = { tumbling = \"1m\" }\n[kpi.derive]\nwindow = \"a\"\n[[kpi]]\nwindow = { tumbling = \"1d\" } # day\n";
        let (out, changes) = demo_pipeline(text);
        let expected = "# Written by `lakeward demo`: the pipeline with shorter times.\nname = \"x\"\n[time]\n\
                        out_of_orderness = \"5s\"\nevent_time = \"kafka\"\n[[kpi]]\nwindow = { tumbling = \"10s\" }\n\
                        [kpi.derive]\nwindow = \"a\"\n[[kpi]]\nwindow = { tumbling = \"1d\" } # day\n";
        assert_eq!(out, expected);
        assert_eq!(changes, ["events may be 5s out of order", "windows of 10s instead of 1m"]);
    }

    #[test]
    fn a_pipeline_without_times_gets_them() {
        assert!(demo_pipeline("name = \"x\"\n").0.ends_with("\n[time]\nout_of_orderness = \"5s\"\n"));
    }

    #[test]
    fn the_configuration_is_one() {
        let config = demo_config("/a \"b", "127.0.0.1:1");
        let config = crate::config::Config::parse(&config, "lakeward.toml", &crate::config::Environment::default());
        assert!(config.is_ok(), "{config:?}");
    }
}
