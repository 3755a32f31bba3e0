//! `lakeward quarantine replay`: says what refused records would become now, asks, and puts those that are not refused any
//! more into Silver and the windows.

use std::fmt::Write;

use lakeward_core::ledger::Counters;
use serde_json::json;

use super::quarantine::{expired_rejects, passes_line};
use super::{ask, reset};
use crate::cli::QuarantineFilter;
use crate::config::Config;
use crate::exit::Exit;
use crate::replay::{Replay, Survey};
use crate::reset::Subject;

/// Replays the records that the filter names.
pub async fn replay(config: &Config, filter: &QuarantineFilter, yes: bool) -> Result<(), Exit> {
    let (reset, _) = reset::prepare(config, &filter.pipeline).await?;
    let topic = config.kafka.topic.clone().unwrap_or_else(|| reset.pipeline.source.topic.clone());
    let wanted = filter.clone();
    let replay = Replay { reset, topic, wanted: Box::new(move |line| passes_line(&wanted, line)) };
    let name = replay.reset.pipeline.name.clone();
    let subject = find(&replay).await?;
    replay.reset.refuse_while_running(&subject).await?;
    let survey = replay.survey(&subject).await?;
    let mut text = told(&name, &survey);
    let expired = expired_rejects(&replay.reset.pipeline, &subject.fold);
    if expired > 0 {
        let _ = writeln!(text, "{expired} older ones can't be taken in: retention took them");
    }
    if survey.accepted == 0 {
        tell(filter.json, &name, &survey, Some(&Counters::default()), &text);
        return Ok(());
    }
    if !(yes || (!filter.json && ask(&name, &text)?)) {
        tell(filter.json, &name, &survey, None, &text);
        return Err(Exit::usage("nothing was changed; say --yes to go through with it".to_owned()));
    }
    let outcome = replay.carry_out(subject).await?;
    tell(filter.json, &name, &survey, Some(&outcome), &text);
    Ok(())
}

/// The log in force. It is gone on with by the definition that it was written by: a run takes up a changed one.
async fn find(replay: &Replay) -> Result<Subject, Exit> {
    let pipeline = &replay.reset.pipeline;
    let subject = replay.reset.find().await?;
    let nothing = || Exit::failed(format!("there is nothing to replay: pipeline {} has no log", pipeline.name));
    let subject = subject.ok_or_else(nothing)?;
    if subject.fold.ended.is_some() {
        let what = if subject.rebuilt { "rebuild --from bronze" } else { "reset" };
        let message = format!("a {what} of pipeline {} was cut off; run `lakeward {what}` again", pipeline.name);
        return Err(Exit::refused("RESET_UNFINISHED", message));
    }
    if subject.fold.definition != pipeline.definition_hash() {
        let message = format!(
            "the file of pipeline {} is another than the log was written by; `lakeward run {} --once` takes a change up \
             that adds or relaxes, `lakeward rebuild --from bronze` judges everything anew, what was refused included",
            pipeline.name, pipeline.name
        );
        return Err(Exit::refused("DEFINITION_CHANGED", message));
    }
    Ok(subject)
}

fn told(name: &str, survey: &Survey) -> String {
    let mut text = String::new();
    let again: u64 = survey.refused.values().sum();
    let _ = writeln!(text, "pipeline {name}: {} records would be taken in, {again} refused again", survey.accepted);
    for (reason, records) in &survey.refused {
        let _ = writeln!(text, "  {reason}: {records}");
    }
    if survey.replayed > 0 {
        let _ = writeln!(text, "{} were replayed before", survey.replayed);
    }
    if survey.past > 0 {
        let _ =
            writeln!(text, "{} are of the topic before it was made anew: only a rebuild takes them in", survey.past);
    }
    text
}

fn tell(as_json: bool, name: &str, survey: &Survey, outcome: Option<&Counters>, text: &str) {
    if as_json {
        let refused = &survey.refused;
        let mut value = json!({
            "pipeline": name, "accepted": survey.accepted, "refused": refused, "replayed_before": survey.replayed,
            "of_past_topics": survey.past, "done": outcome.is_some(),
        });
        if let Some(outcome) = outcome {
            value["counters"] = json!(outcome);
        }
        crate::text::say!("{value}");
        return;
    }
    crate::text::say_as_is(text);
    let Some(outcome) = outcome.filter(|outcome| outcome.replayed > 0) else { return };
    crate::text::say!(
        "replayed {}: {} kept, {} filtered, {} duplicates{}\nthe mart follows when the pipeline runs",
        outcome.replayed,
        outcome.kept,
        outcome.filtered,
        outcome.duplicate,
        late(outcome)
    );
}

fn late(outcome: &Counters) -> String {
    outcome.late.iter().fold(String::new(), |mut text, (kpi, rows)| {
        let _ = write!(text, "; {rows} too late for {kpi}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn people_are_told_what_would_come_of_it() {
        let survey =
            Survey { accepted: 3, refused: BTreeMap::from([("FUTURE", 1), ("MISSING", 2)]), replayed: 4, past: 5 };
        assert_eq!(
            told("p", &survey),
            "pipeline p: 3 records would be taken in, 3 refused again\n  FUTURE: 1\n  MISSING: 2\n4 were replayed before\n\
             5 are of the topic before it was made anew: only a rebuild takes them in\n"
        );
        let outcome = Counters { late: BTreeMap::from([("k".to_owned(), 2)]), ..Counters::default() };
        assert_eq!(late(&outcome), "; 2 too late for k");
    }
}
