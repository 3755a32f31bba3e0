//! The configuration reference, made from the table of settings.

use super::settings::{SECTIONS, SETTINGS, Setting};

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from src/config/settings.rs; a test keeps the two equal. To write it anew:
LAKEWARD_WRITE_DOCS=1 cargo test --bin lakeward the_reference_is_the_table -->

`lakeward.toml` says where things run: brokers, lake, mart, port, credentials. What is done with the records stands in
the pipeline's file ([PIPELINES.md](PIPELINES.md)). The file is read from the working folder or from `--config FILE`;
without one, defaults and variables hold.

- Each setting can be overridden by the variable beside it. A variable beats the file.
- A string may hold `${env:NAME}` or `${file:PATH}`: the text of a variable or of a file that others can't read.
  Use it for secrets; a password that is spelt in the file is warned about. Secrets print as `***`.
- Durations are a whole number with `ms`, `s`, `m`, `h` or `d`; sizes a whole number with `KiB`, `MiB` or `GiB`.
- An unknown key, or a variable that names none, is refused with the nearest one. A mistake ends the program with exit
  code 2 and names file, line and column.
";

const OPTIONS: &str = "
### `[kafka.options]`

Any option of librdkafka, by its own name, such as `\"security.protocol\" = \"SASL_SSL\"`; passed through as it is. What
its name says is secret prints as `***`. As a variable: `LAKEWARD_KAFKA_OPTIONS_SASL_PASSWORD` for `sasl.password`.
Left to the engine, and refused here: RESERVED.
";

/// The text of `docs/CONFIGURATION.md`.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (section, about) in SECTIONS {
        text.push_str(&format!("\n## `[{section}]`\n\n{about}\n\n| key | value | default | |\n|---|---|---|---|\n"));
        SETTINGS.iter().filter(|setting| setting.section == section).for_each(|setting| text.push_str(&row(setting)));
        if section == "kafka" {
            let reserved = super::source::RESERVED_OPTIONS.map(|(name, _)| format!("`{name}`")).join(", ");
            text.push_str(&OPTIONS.replace("RESERVED", &reserved));
        }
    }
    text
}

fn row(setting: &Setting) -> String {
    let default = if setting.default.is_empty() { String::new() } else { format!("`{}`", setting.default) };
    let Setting { name, kind, doc, .. } = setting;
    format!("| `{name}` | {kind} | {default} | {doc} `{}` |\n", setting.variable())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");
        if std::env::var_os("LAKEWARD_WRITE_DOCS").is_some() {
            std::fs::write(path, reference_markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == reference_markdown(), "docs/CONFIGURATION.md is old; its head says how to write it anew");
    }

    #[test]
    fn every_setting_is_in_a_section_and_named_once() {
        let mut keys: Vec<_> = SETTINGS.iter().map(Setting::key).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
        assert!(SETTINGS.iter().all(|setting| SECTIONS.iter().any(|(section, _)| *section == setting.section)));
    }
}
