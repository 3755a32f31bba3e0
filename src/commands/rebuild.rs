//! `lakeward rebuild`: says what would be decided otherwise, asks, and writes everything but Bronze anew.

use std::time::Instant;

use lakeward_core::ledger::Counters;
use serde_json::{Value, json};

use super::ask;
use super::generate::progress::Shown;
use crate::cli::RebuildArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::feed::Progress;
use crate::rebuild::{Outcome, Rebuild, records};
use crate::reset::Subject;

/// Rebuilds the pipeline from its own Bronze and switches to the result.
pub async fn rebuild(config: &Config, args: &RebuildArgs) -> Result<(), Exit> {
    let (reset, _) = super::reset::prepare(config, &args.pipeline).await?;
    let topic = config.kafka.topic.clone().unwrap_or_else(|| reset.pipeline.source.topic.clone());
    let rebuild = Rebuild { reset, topic };
    let Some(subject) = find(&rebuild, args.json).await? else { return Ok(()) };
    rebuild.reset.check_mart(&subject).await?;
    rebuild.reset.refuse_while_running(&subject).await?;
    rebuild.check_input(&subject.fold)?;
    let differences = rebuild.differences(&subject.fold).await?;
    let survey = survey(&rebuild, &subject, &differences);
    if !(args.yes || (!args.json && ask(&rebuild.reset.pipeline.name, &survey)?)) {
        tell(args.json, &rebuild, &differences, None, &survey);
        return Err(Exit::usage("nothing was changed; say --yes to go through with it".to_owned()));
    }
    let total = records(&subject.fold);
    let (began, mut shown) = (Instant::now(), Shown::new(Some(total)));
    let mut progress = |done| shown.show(Progress { sent: done, delivered: done, elapsed: began.elapsed() });
    let outcome = rebuild.carry_out(subject, &mut progress).await;
    shown.done();
    tell(args.json, &rebuild, &differences, Some(&outcome?), &survey);
    Ok(())
}

/// What there is to rebuild. A rebuild that was cut off behind its switch is finished first; where that leaves nothing to
/// do, `None`.
async fn find(rebuild: &Rebuild, as_json: bool) -> Result<Option<Subject>, Exit> {
    let reset = &rebuild.reset;
    let nothing = || Exit::failed(format!("there is nothing to rebuild: pipeline {} has no log", reset.pipeline.name));
    let subject = reset.find().await?.ok_or_else(nothing)?;
    if subject.fold.ended.is_none() {
        return Ok(Some(subject));
    }
    if !subject.rebuilt {
        let message = format!("a reset of pipeline {} was cut off; run `lakeward reset` again", reset.pipeline.name);
        return Err(Exit::refused("RESET_UNFINISHED", message));
    }
    reset.check_mart(&subject).await?;
    reset.clear_ended().await?;
    let subject = reset.find().await?.ok_or_else(nothing)?;
    if subject.fold.definition != reset.pipeline.definition_hash() {
        return Ok(Some(subject));
    }
    let message = format!("the rebuild of pipeline {} that was cut off is finished", reset.pipeline.name);
    match as_json {
        true => crate::text::say!("{}", json!({ "pipeline": reset.pipeline.name, "finished": true, "done": true })),
        false => crate::text::say!("{message}"),
    }
    Ok(None)
}

fn survey(rebuild: &Rebuild, subject: &Subject, differences: &[String]) -> String {
    let name = &rebuild.reset.pipeline.name;
    let files: usize = subject.fold.files.values().map(lakeward_core::log::LiveFiles::len).sum();
    let changed = match differences {
        [] => "the definition is the one in force".to_owned(),
        changed => format!("the definition has changed:\n  {}", changed.join("\n  ")),
    };
    format!(
        "pipeline {name}: {} records in {files} files; {changed}\nSilver, Gold, Quarantine and the mart's tables are \
         written anew, Bronze stays.\n",
        records(&subject.fold)
    )
}

fn tell(as_json: bool, rebuild: &Rebuild, differences: &[String], outcome: Option<&Outcome>, survey: &str) {
    let name = &rebuild.reset.pipeline.name;
    if as_json {
        let mut value = json!({ "pipeline": name, "differences": differences, "done": outcome.is_some() });
        if let Some(outcome) = outcome {
            value["log"] = outcome.fold.log_id.clone().into();
            value["equal"] = outcome.equal.into();
            value["before"] = json!(outcome.before);
            value["after"] = json!(outcome.after);
        }
        crate::text::say!("{value}");
        return;
    }
    crate::text::say_as_is(survey);
    let Some(outcome) = outcome else { return };
    let records = outcome.after.records;
    let verdict = match outcome.equal {
        true => "every entry came out as before: counters, watermarks and closed windows are equal".to_owned(),
        false => moved(&outcome.before, &outcome.after),
    };
    crate::text::say!(
        "rebuilt {records} records; {verdict}\nthe next run fills the mart's tables and goes on from Kafka"
    );
}

/// How the totals moved, one name each.
fn moved(before: &Counters, after: &Counters) -> String {
    let (before, after) = (flat(&json!(before)), flat(&json!(after)));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |map: &std::collections::BTreeMap<String, u64>, name: &String| map.get(name).copied().unwrap_or(0);
    let changed = names.into_iter().filter(|name| of(&before, name) != of(&after, name));
    let lines: Vec<String> =
        changed.map(|name| format!("{name} was {}, is {}", of(&before, name), of(&after, name))).collect();
    if lines.is_empty() { "no counter moved".to_owned() } else { lines.join(", ") }
}

fn flat(counters: &Value) -> std::collections::BTreeMap<String, u64> {
    let mut found = std::collections::BTreeMap::new();
    for (name, value) in counters.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                let inner = inner.iter().filter_map(|(key, n)| Some((format!("{name}.{key}"), n.as_u64()?)));
                found.extend(inner);
            }
            other => found.extend(other.as_u64().map(|n| (name.clone(), n))),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_that_moved_are_told() {
        let mut before = Counters { records: 9, kept: 5, filtered: 4, ..Counters::default() };
        before.late.insert("a".to_owned(), 2);
        let after = Counters { records: 9, kept: 6, filtered: 3, ..Counters::default() };
        assert_eq!(moved(&before, &after), "filtered was 4, is 3, kept was 5, is 6, late.a was 2, is 0");
        assert_eq!(moved(&after, &after), "no counter moved");
    }
}
