//! What holds the watermark: one sentence for people, from facts, without a clock or a lock.
//!
//! The rules are those by which floors are made and windows closed (T1, T2, E3); nothing here decides any of them.

use lakeward_core::ids::EventTime;
use serde::Serialize;

use super::words;
use crate::text::timestamp;

/// What is known of a pipeline's event time.
pub struct Facts {
    /// Whether this process runs the pipeline.
    pub owner: bool,
    /// Its partitions.
    pub partitions: Vec<Standing>,
    /// Wall clock, microseconds.
    pub now: i64,
    /// How far out of order records may be, microseconds.
    pub out_of_orderness: i64,
    /// After which a silent partition counts as idle, microseconds.
    pub idle_after: i64,
}

/// One partition.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Its number.
    pub partition: i32,
    /// Its watermark; `EventTime::MIN` before any record.
    pub watermark: EventTime,
    /// Records of it that wait in Kafka.
    pub lag: i64,
    /// Whether it has had nothing new for long enough not to hold the others.
    pub idle: bool,
    /// Whether it waits for slower ones.
    pub drifting: bool,
    /// Wall clock when its watermark last moved, microseconds; 0 if it has not.
    pub moved_at: i64,
}

/// What holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// A word for programs.
    pub reason: &'static str,
    /// The partition that holds it, if one does.
    pub partition: Option<i32>,
    /// For people.
    pub sentence: String,
    /// What to do, where there is something.
    pub advice: Option<String>,
}

/// As many records may just have come; they hold nothing.
const NEWS: i64 = 1_000;

/// Says what holds the watermark.
#[must_use]
pub fn hold(facts: &Facts) -> Hold {
    let because = |reason, partition, sentence: String, advice: Option<&str>| Hold {
        reason,
        partition,
        sentence,
        advice: advice.map(str::to_owned),
    };
    if !facts.owner {
        let sentence = "This process stands by: another one runs the pipeline, or none has it yet.".to_owned();
        return because("standby", None, sentence, Some("Ask the process that owns it."));
    }
    let Some(slowest) = facts.partitions.iter().filter(|p| !p.idle).min_by_key(|p| p.watermark) else {
        return without_an_awake_one(facts);
    };
    let p = slowest.partition;
    if slowest.watermark == EventTime::MIN {
        return never_read(slowest, facts);
    }
    let at = timestamp(slowest.watermark.0);
    let next = facts.partitions.iter().filter(|o| o.partition != p && !o.idle).map(|o| o.watermark).min();
    let behind = next.map_or(0, |next| next.0.saturating_sub(slowest.watermark.0));
    let ahead = if behind >= 1_000_000 { format!(", {} behind the next", words::span(behind)) } else { String::new() };
    if slowest.lag > NEWS || slowest.lag > 0 && behind >= 1_000_000 {
        let wait = words::records(slowest.lag.unsigned_abs());
        let sentence =
            format!("Partition {p} is furthest behind: its watermark is {at}{ahead}, and {wait} of it wait in Kafka.");
        return because("lag", Some(p), sentence, Some("`lakeward explain lag` says where they wait."));
    }
    let silent = facts.now.saturating_sub(slowest.moved_at);
    if slowest.moved_at > 0 && silent > facts.idle_after / 2 && behind > 0 {
        let sentence = format!(
            "Partition {p} has had nothing new for {}: its watermark stays at {at}{ahead}. After {} without records it \
             counts as idle, and the next commit lets the others go on without it.",
            words::span(silent),
            words::span(facts.idle_after)
        );
        let advice = "Wait, or set time.idle_after lower in the pipeline's file.";
        return because("quiet", Some(p), sentence, Some(advice));
    }
    let sentence = format!(
        "Records are read as they come. The watermark is {at}: the newest event of partition {p} less the {} that records may be \
         out of order{ahead}. It moves with every newer event.",
        words::span(facts.out_of_orderness)
    );
    let advice = (facts.out_of_orderness > 60_000_000).then_some(
        "If windows close too late for you, set time.out_of_orderness lower: more rows will come too late for them.",
    );
    because("out_of_orderness", Some(p), sentence, advice)
}

/// Nobody is awake.
fn without_an_awake_one(facts: &Facts) -> Hold {
    let highest = facts.partitions.iter().map(|p| p.watermark).max();
    let (reason, sentence) = match highest {
        None => ("no_partition", "No partition has been read yet.".to_owned()),
        Some(EventTime::MIN) => ("no_record", "No partition has had a record with an event time yet.".to_owned()),
        Some(at) => (
            "idle",
            format!(
                "Nothing new has come to any partition for {}: the watermark stands at {}, the furthest one's. The next \
                 event moves it on.",
                words::span(facts.idle_after),
                timestamp(at.0)
            ),
        ),
    };
    let advice = Some("See whether the producer runs and writes to this topic: `lakeward peek TOPIC`.".to_owned());
    Hold { reason, partition: None, sentence, advice }
}

/// The slowest partition has no watermark at all.
fn never_read(slowest: &Standing, facts: &Facts) -> Hold {
    let p = slowest.partition;
    let (sentence, advice) = if slowest.lag > 0 {
        let sentence = format!(
            "Partition {p} has no watermark yet: {} of it wait in Kafka, and none with an event time has been read.",
            words::records(slowest.lag.unsigned_abs())
        );
        (sentence, "`lakeward quarantine list PIPELINE` shows whether its records are refused.")
    } else {
        let sentence = format!(
            "Partition {p} has had no record with an event time yet. After {} without records it counts as idle, and the \
             next commit lets the others go on without it.",
            words::span(facts.idle_after)
        );
        (sentence, "Wait; or see whether the topic has more partitions than its producer uses.")
    };
    Hold { reason: "no_record", partition: Some(p), sentence, advice: Some(advice.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const NOW: i64 = 1_000 * SECOND;

    fn at(partition: i32, watermark: i64, lag: i64) -> Standing {
        let watermark = EventTime(watermark * SECOND);
        Standing { partition, watermark, lag, idle: false, drifting: false, moved_at: NOW - SECOND }
    }

    fn facts(partitions: Vec<Standing>) -> Facts {
        Facts { owner: true, partitions, now: NOW, out_of_orderness: 600 * SECOND, idle_after: 30 * SECOND }
    }

    #[test]
    fn the_partition_that_holds_it_is_named_with_the_reason() {
        let never = |partition, lag| Standing { watermark: EventTime::MIN, moved_at: 0, ..at(partition, 0, lag) };
        let idle = |partition, watermark| Standing { idle: true, ..at(partition, watermark, 0) };
        let quiet = |partition, watermark| Standing { moved_at: NOW - 20 * SECOND, ..at(partition, watermark, 0) };
        let check = |partitions: Vec<Standing>, reason: &str, partition: Option<i32>, part: &str| {
            let held = hold(&facts(partitions.clone()));
            assert_eq!((held.reason, held.partition), (reason, partition), "{partitions:?}");
            assert!(held.sentence.contains(part), "{}", held.sentence);
        };
        check(vec![at(0, 100, 0), at(1, 40, 7)], "lag", Some(1), "1 min behind the next, and 7 records");
        check(vec![at(0, 100, 0), at(1, 100, 0)], "out_of_orderness", Some(0), "less the 10 min");
        check(vec![at(0, 100, 0), quiet(1, 90)], "quiet", Some(1), "nothing new for 20 s");
        check(vec![quiet(0, 90)], "out_of_orderness", Some(0), "as they come");
        check(vec![at(0, 100, 0), idle(1, 10)], "out_of_orderness", Some(0), "partition 0");
        check(vec![idle(0, 100), idle(1, 10)], "idle", None, "1970-01-01T00:01:40");
        check(vec![at(0, 100, 0), never(1, 0)], "no_record", Some(1), "After 30 s");
        check(vec![at(0, 100, 0), never(1, 3)], "no_record", Some(1), "3 records");
        check(vec![Standing { idle: true, ..never(0, 0) }], "no_record", None, "No partition has had");
        check(vec![], "no_partition", None, "");
        assert_eq!(hold(&Facts { owner: false, ..facts(vec![at(0, 1, 1)]) }).reason, "standby");
    }
}
