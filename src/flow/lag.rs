//! Where lag arises: sentences for people, from facts, without a clock or a lock.
//!
//! The actor to blame is one that works nearly all the time while those before it wait for its credits.

use serde::Serialize;

use super::words;

/// An actor that works more than this is taken for the narrow place.
const BUSY: f64 = 0.7;

/// A partition that waits more than this of its time is held up by somebody behind it.
const BLOCKED: f64 = 0.25;

/// What is known of a pipeline's flow.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether this process runs the pipeline.
    pub owner: bool,
    /// Records that wait in Kafka.
    pub lag_records: u64,
    /// Records read per second, and records that came into Kafka per second.
    pub rates: (f64, f64),
    /// Actors between Kafka and the log.
    pub actors: Vec<ActorLoad>,
    /// Whether the sources wait because two epochs are not committed yet.
    pub hold: bool,
    /// Partitions that wait for slower ones.
    pub drifting: Vec<i32>,
    /// Followers in trouble, and what it is.
    pub troubled: Vec<(String, String)>,
}

/// What an actor does with its time.
#[derive(Clone, Debug, Default)]
pub struct ActorLoad {
    /// Kind.
    pub kind: &'static str,
    /// Its name among all.
    pub name: String,
    /// Share of time at work.
    pub busy: f64,
    /// Share of time waiting for others' credits.
    pub blocked: f64,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// A word for programs: an actor's kind, or `kafka`, `log`, `none`.
    pub place: &'static str,
    /// The actor's name.
    pub name: Option<String>,
    /// For people.
    pub sentence: String,
    /// What to do.
    pub advice: Option<String>,
}

/// Says where lag arises, the likeliest place first.
#[must_use]
pub fn places(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    let mut add = |place, name: Option<&str>, sentence: String, advice: &str| {
        let advice = (!advice.is_empty()).then(|| advice.to_owned());
        places.push(Place { place, name: name.map(str::to_owned), sentence, advice });
    };
    if !facts.owner {
        let sentence = "This process stands by and reads nothing.".to_owned();
        add("none", None, sentence, "Ask the process that owns the pipeline.");
        return places;
    }
    let waiting = words::records(facts.lag_records);
    if facts.lag_records == 0 {
        let sentence = "There is no lag: everything that Kafka had at the last look is read.".to_owned();
        add("none", None, sentence, "");
    } else if !facts.hold && within_a_second(facts) {
        let sentence =
            format!("{waiting} wait in Kafka, less than what is read in a second: they are read as they come.");
        add("none", None, sentence, "");
    } else if facts.hold {
        let sentence = format!(
            "Commits are slow: two epochs are not in the log yet, so fetching pauses while {waiting} wait in Kafka."
        );
        add(
            "log",
            None,
            sentence,
            "Look at the lake's store: its latency, its free space; and at the epochs' durations.",
        );
    } else if let Some((name, sentence, advice, kind)) = narrow(facts) {
        add(kind, Some(&name), format!("{waiting} wait in Kafka. {sentence}"), advice);
    } else {
        let (read, came) = facts.rates;
        let sentence = format!(
            "{waiting} wait in Kafka and no actor is short of time: {read:.0} records a second are read, {came:.0} come \
             in. If the lag doesn't shrink, Kafka delivers slowly."
        );
        add("kafka", None, sentence, "Look at the brokers and the network between them and this process.");
    }
    if !facts.drifting.is_empty() {
        let numbers: Vec<String> = facts.drifting.iter().map(ToString::to_string).collect();
        let sentence = format!(
            "Fetching of partition {} pauses until slower partitions come up in event time.",
            numbers.join(", ")
        );
        add("kafka", None, sentence, "Wait for the slower ones, or raise time.max_drift in the pipeline's file.");
    }
    for (name, trouble) in &facts.troubled {
        let sentence = format!("{name} can't go on: {trouble}. It holds up nothing but itself.");
        add("follower", Some(name), sentence, "Mend what is named; it is tried again by itself.");
    }
    places
}

/// Whether what waits is read within a second.
#[allow(clippy::cast_precision_loss, reason = "a comparison for people")]
fn within_a_second(facts: &Facts) -> bool {
    facts.lag_records as f64 <= facts.rates.0
}

/// The actor that works nearly all the time while the partitions wait, or else a partition that does.
fn narrow(facts: &Facts) -> Option<(String, String, &'static str, &'static str)> {
    let busiest = |is: fn(&str) -> bool| {
        let those = facts.actors.iter().filter(|actor| is(actor.kind));
        those.max_by(|a, b| a.busy.total_cmp(&b.busy)).filter(|actor| actor.busy >= BUSY)
    };
    let held_up = facts.actors.iter().filter(|a| a.kind == "partition").any(|a| a.blocked >= BLOCKED);
    if let Some(actor) = busiest(|kind| kind != "partition").filter(|_| held_up) {
        let sentence =
            format!("{} works {} of its time and those before it wait for it.", actor.name, words::percent(actor.busy));
        return Some((actor.name.clone(), sentence, advice(actor.kind), actor.kind));
    }
    let actor = busiest(|kind| kind == "partition")?;
    let sentence = format!(
        "{} works {} of its time: decoding and checking can't go faster on this core.",
        actor.name,
        words::percent(actor.busy)
    );
    Some((actor.name.clone(), sentence, advice(actor.kind), actor.kind))
}

fn advice(kind: &str) -> &'static str {
    match kind {
        "partition" => "Give the topic more partitions, or this process more cores.",
        "layer_writer" => "Look at the lake's store; fewer, larger folders in partition_by make fewer files.",
        "row_mart" => "Look at the mart's server; mart.rows = \"committed\" takes it off this path.",
        "kpi_registry" | "kpi" => "Fewer keys or a longer live.tick make less work.",
        _ => "Look at what it writes to.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(kind: &'static str, busy: f64, blocked: f64) -> ActorLoad {
        ActorLoad { kind, name: format!("the {kind}"), busy, blocked }
    }

    #[test]
    fn the_narrow_place_is_the_one_that_works_while_others_wait() {
        let check = |facts: Facts, places: &[&str], part: &str| {
            let found = super::places(&Facts { owner: true, ..facts });
            assert_eq!(found.iter().map(|p| p.place).collect::<Vec<_>>(), places, "{found:?}");
            assert!(found[0].sentence.contains(part), "{found:?}");
        };
        let slow_writer = vec![actor("partition", 0.2, 0.8), actor("layer_writer", 0.95, 0.0), actor("kpi", 0.1, 0.0)];
        check(Facts::default(), &["none"], "no lag");
        check(Facts { lag_records: 9, actors: slow_writer.clone(), ..Facts::default() }, &["layer_writer"], "95 %");
        let busy_partition = vec![actor("partition", 0.9, 0.05), actor("layer_writer", 0.95, 0.0)];
        check(Facts { lag_records: 9, actors: busy_partition, ..Facts::default() }, &["partition"], "decoding");
        check(Facts { lag_records: 8, rates: (5.0, 7.0), ..Facts::default() }, &["kafka"], "8 records wait");
        check(Facts { lag_records: 5, rates: (5.0, 7.0), ..Facts::default() }, &["none"], "as they come");
        check(Facts { lag_records: 9, hold: true, actors: slow_writer, ..Facts::default() }, &["log"], "two epochs");
        let drifting = Facts { lag_records: 9, drifting: vec![0, 2], ..Facts::default() };
        check(drifting, &["kafka", "kafka"], "9 records");
        let troubled = vec![("rows".to_owned(), "no route".to_owned())];
        check(Facts { troubled, ..Facts::default() }, &["none", "follower"], "no lag");
        assert_eq!(super::places(&Facts::default())[0].sentence, "This process stands by and reads nothing.");
    }
}
