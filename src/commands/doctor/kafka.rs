//! Brokers, topic and group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lakeward_connect::kafka::Admin;
use lakeward_core::pipeline::Pipeline;

use super::Finding;
use crate::commands::run::kafka_config;
use crate::config::Config;
use crate::exit::Exit;

/// How long one question may take.
const ASK: Duration = Duration::from_secs(10);

/// Looks at them; what can't be asked behind a broker that doesn't answer is left out.
pub async fn look(config: &Config, pipeline: &Pipeline) -> Result<Vec<Finding>, Exit> {
    let kafka = kafka_config(config, pipeline)?;
    let (brokers, group) = (kafka.brokers().to_owned(), kafka.group());
    let admin = Arc::new(Admin::new(&kafka, ASK).map_err(|e| Exit::usage(e.to_string()))?);
    let topic = config.kafka.topic.clone().unwrap_or_else(|| pipeline.source.topic.clone());
    let asked = tokio::task::spawn_blocking(move || blocking(&admin, &brokers, &topic, &group)).await;
    asked.map_err(|e| Exit::bug(e.to_string()))
}

fn blocking(admin: &Admin, brokers: &str, topic: &str, group: &str) -> Vec<Finding> {
    if let Err(error) = admin.ping(ASK) {
        return vec![Finding::bad(
            "Kafka",
            error.to_string(),
            "mend kafka.brokers and kafka.options, or start the brokers",
        )];
    }
    let mut findings = vec![Finding::ok("Kafka", format!("{brokers} answers"))];
    let facts = match admin.topic(topic) {
        Ok(facts) => facts,
        Err(error) => {
            findings.push(Finding::bad("topic", error.to_string(), "create it, or mend source.topic or kafka.topic"));
            return findings;
        }
    };
    let mut records = 0;
    let mut unread = None;
    for &partition in &facts.partitions {
        match admin.watermarks(topic, partition) {
            Ok((low, high)) => records += high - low,
            Err(error) => unread = Some(error.to_string()),
        }
    }
    let id =
        if facts.id.is_some() { "" } else { "; its brokers tell no id, so one made anew is known by its offsets only" };
    findings.push(match unread {
        Some(error) => Finding::bad("topic", error, "let this user read and describe the topic"),
        None => Finding::ok(
            "topic",
            format!("{topic} has {} partitions, about {records} records{id}", facts.partitions.len()),
        ),
    });
    match admin.topic_settings(topic) {
        Ok(settings) => findings.extend(judged(&settings)),
        Err(error) => findings.push(Finding::note(
            "topic settings",
            error.to_string(),
            "let this user describe the topic's settings",
        )),
    }
    findings.push(match admin.committed_offsets(group, topic) {
        Ok(offsets) if offsets.is_empty() => {
            Finding::ok("group", format!("{group} may be asked; it has no offsets yet"))
        }
        Ok(offsets) => Finding::ok("group", format!("{group} has offsets of {} partitions", offsets.len())),
        Err(error) => {
            Finding::note("group", error.to_string(), "lag tools won't see the pipeline; let this user use the group")
        }
    });
    findings
}

/// What a topic's settings mean for a reader that must not miss a record.
fn judged(settings: &BTreeMap<String, String>) -> Vec<Finding> {
    const WHAT: &str = "topic settings";
    let mut findings = Vec::new();
    let number = |name: &str| settings.get(name).and_then(|value| value.parse::<i64>().ok());
    if settings.get("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        findings.push(Finding::note(
            WHAT,
            "it is compacted: older records of a key go before they are read",
            "right for tables of state, not for events",
        ));
    }
    match number("retention.ms") {
        Some(ms) if ms >= 0 => {
            let hours = ms / 3_600_000;
            let found =
                format!("records are kept for {hours} h: a longer outage loses some, which a start refuses (GAP)");
            findings.push(if hours < 24 {
                Finding::note(WHAT, found, "raise retention.ms")
            } else {
                Finding::ok(WHAT, found)
            });
        }
        Some(_) => findings.push(Finding::ok(WHAT, "records are kept for ever")),
        None => {}
    }
    if settings.get("message.timestamp.type").is_some_and(|kind| kind == "LogAppendTime") {
        findings.push(Finding::note(
            WHAT,
            "timestamps are the broker's",
            "windows over Kafka's time count arrivals, not events",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn settings_that_lose_records_are_told() {
        let states = |settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            judged(&settings).iter().map(|finding| finding.state).collect::<Vec<_>>()
        };
        assert_eq!(states(&[("retention.ms", "-1"), ("cleanup.policy", "delete")]), [State::Ok]);
        assert_eq!(states(&[("retention.ms", "3600000")]), [State::Note]);
        assert_eq!(
            states(&[("retention.ms", "604800000"), ("cleanup.policy", "compact,delete")]),
            [State::Note, State::Ok]
        );
        assert_eq!(states(&[("message.timestamp.type", "LogAppendTime")]), [State::Note]);
    }
}
