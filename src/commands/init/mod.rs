//! `lakeward init --from-topic`: looks at the newest records of a topic and writes the draft of a pipeline file. Reads
//! without a group, changes nothing in Kafka, and never writes over a file.

mod draft;
mod guess;
mod observed;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lakeward_actors::kit::Clock;
use lakeward_connect::kafka::{KafkaError, PeekRecord, sample};
use lakeward_core::decode::Decoder;
use lakeward_core::pipeline::{DefinitionError, Pipeline};
use lakeward_core::record::RawBatch;
use serde_json::json;

use self::draft::About;
use self::guess::Guess;
use self::observed::Observed;
use super::run::kafka_options;
use crate::cli::InitArgs;
use crate::config::Config;
use crate::exit::Exit;

/// How long Kafka may stay silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of records that are looked at, whatever their number.
const BYTES: usize = 64 << 20;

/// A name that leaves room for what tables add to it.
const LONGEST_NAME: usize = 40;

/// A draft, and what it would do with the sample.
struct Drafted {
    text: String,
    guess: Guess,
    /// Records that it would refuse, by reason and field.
    refused: BTreeMap<String, u64>,
}

/// Writes the draft.
pub async fn init(config: &Config, args: &InitArgs) -> Result<(), Exit> {
    let name = args.name.clone().unwrap_or_else(|| name_of(&args.from_topic));
    check_name(&name)?;
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    if file.exists() {
        return Err(taken(&file));
    }
    let records = read(config, args).await?;
    let observed = Observed::of(&records);
    check_objects(&args.from_topic, &observed)?;
    let drafted = draft(&name, &args.from_topic, &records, &observed, Clock::system().wall_micros())?;
    write_new(&file, &drafted.text)?;
    tell(args, &file, &name, &observed, &drafted);
    Ok(())
}

async fn read(config: &Config, args: &InitArgs) -> Result<Vec<PeekRecord>, Exit> {
    let kafka = kafka_options(config, "init")?;
    let (topic, n) = (args.from_topic.clone(), usize::try_from(args.n).unwrap_or(usize::MAX));
    let asked = tokio::task::spawn_blocking(move || sample(&kafka, &topic, n, BYTES, PATIENCE)).await;
    match asked.map_err(|e| Exit::bug(e.to_string()))? {
        Ok(records) if records.is_empty() => Err(Exit::failed(format!(
            "topic {} holds no records that can be read; send some, then draft again",
            args.from_topic
        ))),
        Ok(records) => Ok(records),
        Err(KafkaError::NoTopic { topic }) => {
            Err(Exit::failed(format!("topic {topic} does not exist; create it and send some records")))
        }
        Err(error) => Err(Exit::unreachable(error.to_string())),
    }
}

/// Without a single object there is nothing to guess from.
fn check_objects(topic: &str, observed: &Observed) -> Result<(), Exit> {
    if observed.objects > 0 {
        return Ok(());
    }
    let why = observed.first_other.clone().unwrap_or_else(|| "they have no payload".to_owned());
    Err(Exit::failed(format!("none of the records of topic {topic} that were looked at is a JSON object: {why}")))
}

/// The draft that a pipeline can be made of, tried on the sample.
fn draft(name: &str, topic: &str, records: &[PeekRecord], observed: &Observed, now: i64) -> Result<Drafted, Exit> {
    let guess = Guess::of(observed, records, usable);
    if guess.fields.iter().all(|field| field.ty.is_none()) {
        return Err(Exit::failed(format!("no member of the records of topic {topic} can be a column")));
    }
    let sample = sampled(observed);
    let about = About { name, topic, sample: &sample };
    // A name that is a word of SQL has to be quoted; most are not.
    let mut text = draft::text(&about, &guess, false);
    let mut parsed = Pipeline::parse(&text, "draft");
    if parsed.is_err() {
        text = draft::text(&about, &guess, true);
        parsed = Pipeline::parse(&text, "draft");
    }
    let pipeline =
        parsed.map_err(|errors| Exit::bug(format!("the draft is no pipeline file: {}", listed_errors(&errors))))?;
    let refused = refusals(&pipeline, records, now);
    let total: u64 = refused.values().sum();
    let head = match total {
        0 => "# It takes all of them that are JSON objects.\n".to_owned(),
        _ => format!("# It would refuse {total} of them: {}.\n", listed(&refused)),
    };
    let text = text.replacen("# Look it through", &format!("{head}# Look it through"), 1);
    Ok(Drafted { text, guess, refused })
}

/// What was looked at, in words.
fn sampled(observed: &Observed) -> String {
    let all = observed.objects + observed.others + observed.tombstones;
    let mut words = format!("the newest {all} records of {} partitions", observed.partitions.len());
    if observed.others > 0 {
        words.push_str(&format!(", {} of them no JSON objects", observed.others));
    }
    if observed.tombstones > 0 {
        words.push_str(&format!(", {} without a payload", observed.tombstones));
    }
    words
}

/// Whether a member can be a column, by the rules of pipeline files.
fn usable(name: &str) -> Result<(), String> {
    let key = serde_json::Value::from(name);
    let text = format!("name = \"p\"\nsource.topic = \"t\"\nbronze = {{}}\n[fields]\n{key} = \"string\"\n");
    let first = |errors: Vec<DefinitionError>| errors.first().map_or_else(String::new, |error| error.message.clone());
    Pipeline::parse(&text, "p").map(drop).map_err(first)
}

/// What the pipeline would refuse of the records, by reason and field.
fn refusals(pipeline: &Pipeline, records: &[PeekRecord], now: i64) -> BTreeMap<String, u64> {
    let mut decoder = Decoder::new(pipeline);
    let mut refused = BTreeMap::new();
    for of_partition in records.chunk_by(|a, b| a.partition == b.partition) {
        let Some(first) = of_partition.first() else { continue };
        let mut batch = RawBatch::new(first.partition, first.offset);
        for record in of_partition {
            batch.push(record.offset, record.timestamp_ms, record.key.as_deref(), record.payload.as_deref(), None);
        }
        for reject in decoder.decode(&batch, now).rejects {
            let field = reject.field.map(|field| format!(" {field}")).unwrap_or_default();
            *refused.entry(format!("{}{field}", reject.reason.as_str())).or_default() += 1;
        }
    }
    refused
}

fn listed(refused: &BTreeMap<String, u64>) -> String {
    refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

/// A pipeline's name made of a topic's.
fn name_of(topic: &str) -> String {
    let legal = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' };
    let name: String = topic.to_lowercase().chars().map(legal).take(LONGEST_NAME).collect();
    if name.starts_with(|c: char| c.is_ascii_lowercase()) { name } else { format!("t-{name}") }
}

fn check_name(name: &str) -> Result<(), Exit> {
    let text = format!(
        "name = {}\nsource.topic = \"t\"\nbronze = {{}}\n[fields]\na = \"string\"\n",
        serde_json::Value::from(name)
    );
    Pipeline::parse(&text, "--name").map(drop).map_err(|errors| Exit::usage(listed_errors(&errors)))
}

fn listed_errors(errors: &[DefinitionError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn taken(file: &Path) -> Exit {
    Exit::usage(format!("{} is there already and stays as it is; name another file", file.display()))
}

fn write_new(file: &Path, text: &str) -> Result<(), Exit> {
    let written = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    match written.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(taken(file)),
        Err(error) => Err(Exit::usage(format!("{}: {error}", file.display()))),
    }
}

fn tell(args: &InitArgs, file: &Path, name: &str, observed: &Observed, drafted: &Drafted) {
    let (guess, path) = (&drafted.guess, file.display().to_string());
    let typed = guess.fields.iter().filter(|field| field.ty.is_some()).count();
    let left_out: Vec<&str> = guess.fields.iter().filter(|f| f.ty.is_none()).map(|f| f.name.as_str()).collect();
    if args.json {
        let fields: Vec<_> = guess
            .fields
            .iter()
            .map(|f| json!({ "name": f.name, "type": f.ty, "required": f.required, "about": f.about }))
            .collect();
        let told = json!({
            "file": path, "pipeline": name, "topic": args.from_topic, "objects": observed.objects,
            "others": observed.others, "tombstones": observed.tombstones, "partitions": observed.partitions.len(),
            "fields": fields, "event_time": guess.event_time, "keys": guess.keys, "kafka_key": guess.kafka_key,
            "dimensions": guess.dimensions.iter().map(|d| &d.name).collect::<Vec<_>>(), "kpi_key": guess.kpi_key,
            "measure": guess.measure, "refused": drafted.refused,
        });
        return crate::text::say!("{told}");
    }
    crate::text::say!("{path}: a draft, from {}", sampled(observed));
    crate::text::say!("  {typed} fields; event time: {}", guess.event_time.as_deref().unwrap_or("Kafka's"));
    if !left_out.is_empty() {
        crate::text::say!("  left out, the file says why: {}", left_out.join(", ").escape_debug());
    }
    if !drafted.refused.is_empty() {
        crate::text::say!("  it would refuse some of these records: {}", listed(&drafted.refused));
    }
    crate::text::say!("look it through, then: lakeward plan {path}, lakeward run {path} --once");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, payload: String) -> PeekRecord {
        let payload = Some(payload.into_bytes());
        PeekRecord { partition: 0, offset, timestamp_ms: 1_700_000_000_000, key: None, payload, headers: Vec::new() }
    }

    fn drafted(payloads: impl Iterator<Item = String>) -> Drafted {
        let records: Vec<PeekRecord> = (0..).zip(payloads).map(|(n, payload)| record(n, payload)).collect();
        draft("p", "t", &records, &Observed::of(&records), 1_700_000_100_000_000).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_draft_is_a_pipeline_file_whatever_the_names_and_takes_the_records_that_it_was_made_from() {
        let names = [
            "id",
            "select",
            "or der",
            "a\"b",
            "a\nb",
            "group",
            "kafka_offset",
            "date",
            "\u{e9}t\u{e9}",
            "a.b",
            "revision",
            "",
        ];
        let payload = |n: usize| {
            let members: Vec<String> = names
                .iter()
                .map(|name| format!("{}:{}", serde_json::Value::from(*name), ["\"x\"", "\"y\""][n % 2]))
                .collect();
            format!(
                "{{{},\"sum\":{n}.25,\"order\":{n}.5,\"at\":\"2023-11-14T22:13:{:02}Z\"}}",
                members.join(","),
                n % 60
            )
        };
        let drafted = drafted((0..200).map(payload));
        assert!(drafted.refused.is_empty(), "{:?}", drafted.refused);
        assert!(drafted.text.contains("# or der: left out; "), "{}", drafted.text);
        let pipeline = Pipeline::parse(&drafted.text, "draft").unwrap();
        assert_eq!(pipeline.kpis.len(), 1);
        assert!(!pipeline.kpis[0].key.is_empty() && pipeline.dashboard.is_some(), "{}", drafted.text);
    }

    #[test]
    fn a_draft_of_hardly_anything_is_a_pipeline_file_too() {
        for payload in ["{\"a\":1}", "{\"ok\":true}", "{\"records\":\"x\"}", "{\"x\":12345678901234567890123456789.5}"]
        {
            let other = payload.replace("true", "false").replace("\"x\"}", "\"y\"}");
            let drafted = drafted((0..60).map(|n| if n % 2 == 0 { payload.to_owned() } else { other.clone() }));
            assert!(drafted.refused.is_empty(), "{payload}: {:?}", drafted.refused);
        }
    }

    #[test]
    fn odd_records_are_counted_as_what_the_draft_would_refuse() {
        let drafted =
            drafted((0..200).map(|n| if n == 9 { "{\"a\":\"x\"}".to_owned() } else { format!("{{\"a\":{n}}}") }));
        assert_eq!(drafted.refused, BTreeMap::from([("WRONG_TYPE a".to_owned(), 1)]));
        assert!(drafted.text.contains("# It would refuse 1 of them: 1 WRONG_TYPE a."), "{}", drafted.text);
    }

    #[test]
    fn a_name_is_made_of_any_topic() {
        for (topic, expected) in
            [("orders.v1", "orders-v1"), ("Sales_EU", "sales_eu"), ("2024", "t-2024"), ("_x", "t-_x")]
        {
            assert_eq!(name_of(topic), expected);
            assert!(check_name(&name_of(topic)).is_ok());
        }
    }

    #[test]
    fn without_an_object_it_says_what_is_there_instead() {
        let told = |records: &[PeekRecord]| check_objects("t", &Observed::of(records)).unwrap_err().message;
        assert!(told(&[record(3, "\0\0\0\0\u{1}abc".to_owned())]).contains("offset 3 begins with a zero byte"));
        assert!(told(&[PeekRecord { payload: None, ..record(0, String::new()) }]).contains("no payload"));
    }
}
