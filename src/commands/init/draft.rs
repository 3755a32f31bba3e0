//! The draft of a pipeline file: what was guessed, with what it was guessed from beside it. Pure.

use std::fmt::Write;

use lakeward_core::duration::format_duration;

use super::guess::{Field, Guess};

/// What a draft begins with.
pub struct About<'a> {
    pub name: &'a str,
    pub topic: &'a str,
    /// Records that were looked at, and what came of them.
    pub sample: &'a str,
}

/// The file's text. `quoted` puts all names in SQL into double quotes: some are words of the language.
pub fn text(about: &About<'_>, guess: &Guess, quoted: bool) -> String {
    let mut out = String::new();
    let About { name, topic, sample } = about;
    let _ = write!(
        out,
        "# A draft, guessed from {sample}.\n# Look it through: what is wrong here decides what is refused. All keys: docs/PIPELINES.md.\n\
         name = {}\n\n[source]\ntopic = {}\n\n",
        string(name),
        string(topic)
    );
    fields(&mut out, guess);
    time(&mut out, guess, quoted);
    dedup(&mut out, guess);
    out.push_str("# The lake: records as received, and typed rows.\n[bronze]\n\n[silver]\n");
    if guess.by_day {
        out.push_str("partition_by = [\"event_day\"]\n");
    }
    out.push_str(
        "\n# Every row as a row of the mart too. Without keep they stay for ever.\n[rows]\n# keep = \"7d\"\n\n",
    );
    kpi(&mut out, guess, quoted);
    board(&mut out, guess, name, quoted);
    out
}

fn fields(out: &mut String, guess: &Guess) {
    out.push_str(
        "# \"!\": in every record that was looked at, so required: a record without it is quarantined.\n[fields]\n",
    );
    for field in &guess.fields {
        let _ = writeln!(out, "{}", line(field));
    }
    out.push('\n');
}

fn line(field: &Field) -> String {
    let about = if field.about.is_empty() { String::new() } else { format!(" # {}", comment(&field.about)) };
    match &field.ty {
        None => format!("# {}: left out;{}", comment(&field.name), about.replacen(" #", "", 1)),
        Some(ty) => {
            let required = if field.required { "!" } else { "" };
            let (ty, round) = ty.split_once(' ').map_or((ty.as_str(), ""), |(ty, _)| (ty, " round"));
            format!("{} = \"{ty}{required}{round}\"{about}", key(&field.name))
        }
    }
}

fn time(out: &mut String, guess: &Guess, quoted: bool) {
    let _ = writeln!(out, "# {}.\n[time]", comment(&guess.event_time_about));
    let event_time = guess.event_time.as_deref().unwrap_or("kafka");
    let _ = writeln!(out, "event_time = {}", string(event_time));
    let _ = writeln!(
        out,
        "# Windows close this long after their end; what comes later is late.\nout_of_orderness = \"{}\"\n",
        format_duration(guess.out_of_orderness)
    );
    if let Some(at) = guess.event_time.as_ref().filter(|_| guess.by_day) {
        let _ = writeln!(out, "[derive]\nevent_day = {}\n", string(&format!("{}::date", identifier(at, quoted))));
    }
}

fn dedup(out: &mut String, guess: &Guess) {
    let key_note = guess.kafka_key.as_ref().map(|name| format!("# The records' Kafka key is {}.\n", comment(name)));
    out.push_str(key_note.as_deref().unwrap_or_default());
    match guess.keys.as_slice() {
        [] => {}
        [first, ..] => {
            let names = guess.keys.join(", ");
            let _ = writeln!(
                out,
                "# Different in every record that was looked at: {}. To drop records that are sent twice:\n# [dedup]\n# key = [{}]\n\
                 # within = \"1h\"",
                comment(&names),
                comment(&string(first))
            );
        }
    }
    out.push('\n');
}

fn kpi(out: &mut String, guess: &Guess, quoted: bool) {
    if guess.dimensions.is_empty() {
        out.push_str("# No field with few different values was found to count by.\n");
    } else {
        out.push_str("# Fields with few different values, to count by:\n");
    }
    for dimension in &guess.dimensions {
        let examples = dimension.examples.join(", ");
        let _ = writeln!(out, "#   {}: {} ({})", comment(&dimension.name), dimension.values, comment(&examples));
    }
    out.push_str("[[kpi]]\nname = \"per_minute\"\nwindow = { tumbling = \"1m\" }\n");
    if !guess.kpi_key.is_empty() {
        let key: Vec<String> = guess.kpi_key.iter().map(|name| string(name)).collect();
        let _ = writeln!(out, "key = [{}]", key.join(", "));
    }
    out.push_str("\n[kpi.measures]\nrecords = \"count(*)\"\n");
    if let Some(measure) = &guess.measure {
        let _ = writeln!(out, "total = {}", string(&format!("sum({})", identifier(measure, quoted))));
    }
    out.push('\n');
}

fn board(out: &mut String, guess: &Guess, name: &str, quoted: bool) {
    let filters: Vec<String> = guess.dimensions.iter().take(5).map(|d| string(&d.name)).collect();
    let _ = write!(
        out,
        "# The board in the browser.\n[dashboard]\ntitle = {}\nfilters = [{}]\n\n[[dashboard.tile]]\ntitle = \"Records\"\nvalue = \"count(*)\"\nkpi = \"per_minute\"\n\n",
        string(name),
        filters.join(", ")
    );
    let sum = guess.measure.as_ref().map(|m| (m, string(&format!("sum({})", identifier(m, quoted)))));
    if let Some((measure, sum)) = &sum {
        let _ = write!(
            out,
            "[[dashboard.tile]]\ntitle = {}\nvalue = {sum}\nkpi = \"per_minute\"\n\n",
            string(&title(measure))
        );
    }
    out.push_str("[[dashboard.chart]]\ntitle = \"Records per minute\"\nkind = \"line\"\nvalue = \"count(*)\"\nkpi = \"per_minute\"\n");
    if let Some(by) = guess.kpi_key.first() {
        let value = sum.map_or_else(|| "\"count(*)\"".to_owned(), |(_, sum)| sum);
        let _ = write!(
            out,
            "\n[[dashboard.chart]]\ntitle = {}\nkind = \"bar\"\nby = {}\nvalue = {value}\nkpi = \"per_minute\"\n",
            string(&format!("By {by}")),
            string(by)
        );
    }
}

/// What the sum of a measure is called.
fn title(measure: &str) -> String {
    if measure.to_lowercase().starts_with("total") { measure.to_owned() } else { format!("Total {measure}") }
}

/// A TOML string; its escapes are those of JSON.
fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A TOML key.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { name.to_owned() } else { string(name) }
}

/// A name in SQL.
fn identifier(name: &str, quoted: bool) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain && !quoted { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Text of a record within a comment: on one line, without what a terminal would act on.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
