//! `lakeward ledger`: the balance per partition. Every record read is kept, filtered, a duplicate, quarantined or a
//! tombstone (I3), the files that the log names hold the rows that the balance asks for (I4), and with `--files` the
//! lake's files hold what the log says of them.

use lakeward_core::ledger::Counters;
use lakeward_core::log::{Fold, PartitionFold};
use lakeward_core::pipeline::{Layer, Pipeline};
use serde_json::{Value, json};

use super::inspect::inspect;
use super::ledger_files::{Read, read_files};
use super::ledger_late::{self, late_rows};
use crate::config::Config;
use crate::exit::Exit;

/// Prints the ledger; an open one is exit code 1.
pub async fn ledger(config: &Config, pipeline: &str, files: bool, as_json: bool) -> Result<(), Exit> {
    let seen = inspect(config, pipeline).await?;
    let mut open = open_accounts(&seen.pipeline, &seen.fold);
    let read = if files { Some(read_files(&seen).await?) } else { None };
    open.extend(read.iter().flat_map(|read| read.open.iter().cloned()));
    let layers = accounts(&seen.pipeline, &seen.fold);
    if as_json {
        crate::text::say!("{}", to_json(&seen.pipeline, &seen.fold, &layers, read.as_ref(), &open));
    } else {
        crate::text::say_as_is(&to_text(&seen.pipeline, &seen.fold, &layers, read.as_ref(), &open));
    }
    if open.is_empty() { Ok(()) } else { Err(Exit::failed(format!("the ledger is open: {}", open.join("; ")))) }
}

/// A layer's files against the counters (I3, I4).
struct Account {
    layer: String,
    files: usize,
    /// Rows of its files, as their entries say.
    rows: u64,
    /// Rows of files that retention took.
    expired: u64,
    /// Rows that the counters ask for; `None` for a layer that holds no records.
    due: Option<u64>,
}

fn accounts(pipeline: &Pipeline, fold: &Fold) -> Vec<Account> {
    let total = all(fold);
    let account = |layer: &Layer| Account {
        layer: layer.name.clone(),
        files: fold.layer_files(&layer.name).count(),
        rows: fold.layer_files(&layer.name).map(|f| f.staged.rows).sum(),
        expired: fold.expired.get(&layer.name).map_or(0, |expired| expired.rows),
        due: total.due_in(pipeline, &layer.holds),
    };
    pipeline.layers.iter().map(account).collect()
}

/// What does not balance, for people; empty if the ledger is closed.
fn open_accounts(pipeline: &Pipeline, fold: &Fold) -> Vec<String> {
    let mut open = Vec::new();
    for ((partition, incarnation), held) in partitions(fold) {
        let whose = format!("partition {partition} of incarnation {incarnation}");
        if !held.total.is_balanced() {
            open.push(format!("{whose} is off by {}", held.total.balance()));
        }
        if !held.total.is_explained() {
            open.push(format!("{whose}: reasons and checks don't add up to what was quarantined and filtered"));
        }
    }
    open.extend(late_rows(fold).iter().filter_map(ledger_late::Late::open));
    for Account { layer, rows, expired, due, .. } in accounts(pipeline, fold) {
        if let Some(due) = due.filter(|due| *due != rows + expired) {
            let gone = if expired > 0 { format!(", retention took {expired}") } else { String::new() };
            open.push(format!("the files of {layer} hold {rows} rows by their entries{gone}, the ledger says {due}"));
        }
    }
    open
}

/// Every partition of every incarnation, oldest incarnation first.
pub(super) fn partitions(fold: &Fold) -> impl Iterator<Item = ((i32, i32), &PartitionFold)> {
    let past = fold.past_incarnations.iter().map(|(&at, held)| (at, held));
    past.chain(fold.partitions.iter().map(|(&p, held)| ((p, held.incarnation), held)))
}

fn all(fold: &Fold) -> Counters {
    let mut total = Counters::default();
    for (_, held) in partitions(fold) {
        total.add(&held.total);
    }
    total
}

fn to_text(pipeline: &Pipeline, fold: &Fold, layers: &[Account], read: Option<&Read>, open: &[String]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let head = [
        "partition",
        "offsets",
        "read",
        "replayed",
        "kept",
        "filtered",
        "duplicate",
        "quarantined",
        "tombstones",
        "balance",
    ];
    let mut rows: Vec<[String; 10]> = vec![head.map(str::to_owned)];
    let row = |name: String, offsets: String, c: &Counters| {
        let balance = if c.is_balanced() { "closed".to_owned() } else { format!("open by {}", c.balance()) };
        let counts = [c.records, c.replayed, c.kept, c.filtered, c.duplicate, c.quarantined, c.tombstones]
            .map(|n| n.to_string());
        let [read, replayed, kept, filtered, duplicate, quarantined, tombstones] = counts;
        [name, offsets, read, replayed, kept, filtered, duplicate, quarantined, tombstones, balance]
    };
    for ((partition, incarnation), held) in &fold.past_incarnations {
        rows.push(row(
            format!("{partition} (incarnation {incarnation})"),
            format!("{}-{}", held.start, held.to),
            &held.total,
        ));
    }
    for (partition, held) in &fold.partitions {
        rows.push(row(partition.to_string(), format!("{}-{}", held.start, held.to), &held.total));
    }
    let total = all(fold);
    rows.push(row("all".to_owned(), String::new(), &total));
    crate::text::table(&mut out, &rows);
    out.push('\n');
    layers_to_text(&mut out, layers, read);
    ledger_late::to_text(&mut out, &late_rows(fold));
    for (kpi, n) in &total.amended {
        let _ = writeln!(out, "late for {kpi} and taken into windows, closed ones were revised: {n}");
    }
    for (kpi, n) in &total.before_first {
        let _ = writeln!(out, "before the first window of {kpi}: {n}");
    }
    for (reason, n) in &total.by_reason {
        let _ = writeln!(out, "quarantined, {reason}: {n}");
    }
    for (check, n) in &total.filtered_by_check {
        let _ = writeln!(out, "filtered, {check}: {n}");
    }
    let state = if open.is_empty() { "closed" } else { "OPEN" };
    let _ = writeln!(out, "ledger of {} at version {}: {state}", pipeline.name, fold.version);
    for account in open {
        let _ = writeln!(out, "  {account}");
    }
    out
}

fn layers_to_text(out: &mut String, layers: &[Account], read: Option<&Read>) {
    let titles = ["layer", "files", "rows by the log", "expired", "due", if read.is_some() { "rows read" } else { "" }];
    let mut rows = vec![titles.map(str::to_owned)];
    for account in layers {
        rows.push([
            account.layer.clone(),
            account.files.to_string(),
            account.rows.to_string(),
            account.expired.to_string(),
            account.due.map_or_else(|| "-".to_owned(), |due| due.to_string()),
            read.map(|read| read.rows_of(&account.layer).to_string()).unwrap_or_default(),
        ]);
    }
    crate::text::table(out, &rows);
}

/// The ledger by the log alone.
#[must_use]
pub fn told(pipeline: &Pipeline, fold: &Fold) -> Value {
    to_json(pipeline, fold, &accounts(pipeline, fold), None, &open_accounts(pipeline, fold))
}

fn to_json(pipeline: &Pipeline, fold: &Fold, layers: &[Account], read: Option<&Read>, open: &[String]) -> Value {
    let partitions: Vec<Value> = fold
        .partitions
        .iter()
        .map(|(p, held)| {
            json!({
                "partition": p, "incarnation": held.incarnation, "from": held.start, "to": held.to,
                "counters": held.total, "balance": held.total.balance(),
            })
        })
        .collect();
    let layers: Vec<Value> = layers
        .iter()
        .map(|a| {
            json!({
                "layer": a.layer, "files": a.files, "rows": a.rows, "expired": a.expired, "due": a.due,
                "rows_read": read.map(|read| read.rows_of(&a.layer)),
            })
        })
        .collect();
    json!({
        "pipeline": pipeline.name, "version": fold.version, "closed": open.is_empty(), "open": open,
        "partitions": partitions, "layers": layers, "late": ledger_late::to_json(&late_rows(fold)),
        "total": all(fold),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lakeward_core::ids::{EventTime, Version};
    use lakeward_core::late::LateMinutes;
    use lakeward_core::log::{
        Author, BarrierFacts, Draft, EntryKind, Member, NewPartition, StagedFile, render, render_first,
    };

    use super::*;

    fn author() -> Author {
        Author {
            claim: Version(0),
            attempt: "aaaaaaaa".to_owned(),
            member: Member::default(),
            definition: "d".to_owned(),
            now: 0,
        }
    }

    fn staged(rows: u64) -> StagedFile {
        StagedFile {
            leaf: String::new(),
            staged: format!("s/{rows}"),
            ext: "x".to_owned(),
            length: 1,
            checksum: "c".to_owned(),
            rows,
            event_times: None,
            offsets: Default::default(),
        }
    }

    /// Ten records: 6 kept, 1 filtered, a tombstone, one of a wrong type, one that is no JSON.
    fn counters() -> Counters {
        let mut c =
            Counters { records: 10, kept: 6, filtered: 1, quarantined: 2, tombstones: 1, ..Counters::default() };
        c.by_reason = [("WRONG_TYPE".to_owned(), 1), ("NOT_JSON".to_owned(), 1)].into();
        c.filtered_by_check = [("c".to_owned(), 1)].into();
        c
    }

    /// What is open in a log of one epoch with these counters and rows in bronze, silver and quarantine.
    fn open(counters: Counters, rows: [u64; 3]) -> Vec<String> {
        let (pipeline, fold) = begun(counters, LateMinutes::default(), rows);
        open_accounts(&pipeline, &fold)
    }

    fn begun(counters: Counters, late_minutes: LateMinutes, rows: [u64; 3]) -> (Pipeline, Fold) {
        let text = "name = \"p\"\nsource.topic = \"t\"\nfields = { id = \"string!\" }\nbronze = {}\nsilver = {}\n";
        let pipeline = Pipeline::parse(text, "p").unwrap();
        let mut claim = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        claim.new_partitions.insert(0, NewPartition { incarnation: 0, topic_id: None, start: 0 });
        let mut fold = Fold::first(&render_first("log", &claim, &author()), "h".to_owned()).unwrap();
        let mut epoch = Draft::empty(EntryKind::Epoch);
        epoch.barriers.insert(0, BarrierFacts { to: 10, counters, late_minutes, ..BarrierFacts::default() });
        for (layer, rows) in ["bronze", "silver", "quarantine"].into_iter().zip(rows) {
            epoch.staged.insert(layer.to_owned(), (layer.to_owned(), vec![staged(rows)]));
        }
        let entry = render(&fold, &epoch, &author());
        fold.apply(&entry, "h".to_owned()).unwrap();
        (pipeline, fold)
    }

    #[test]
    fn every_account_that_does_not_close_is_named() {
        assert_eq!(open(counters(), [9, 6, 2]), Vec::<String>::new());
        let files = |layer: &str, rows: u64, due: u64| {
            vec![format!("the files of {layer} hold {rows} rows by their entries, the ledger says {due}")]
        };
        assert_eq!(open(counters(), [8, 6, 2]), files("bronze", 8, 9));
        assert_eq!(open(counters(), [9, 7, 2]), files("silver", 7, 6));
        assert_eq!(open(counters(), [9, 6, 0]), files("quarantine", 0, 2));
        let off = open(Counters { filtered: 0, filtered_by_check: Default::default(), ..counters() }, [9, 6, 2]);
        assert_eq!(off, ["partition 0 of incarnation 0 is off by 1"]);
        let unexplained = open(Counters { filtered_by_check: Default::default(), ..counters() }, [9, 6, 2]);
        assert!(unexplained[0].contains("don't add up"), "{unexplained:?}");
    }

    fn late(minutes: &[i64]) -> LateMinutes {
        let mut late = LateMinutes::default();
        minutes.iter().for_each(|minute| late.count("k", EventTime(minute * 60_000_000 + 1)));
        late
    }

    #[test]
    fn late_rows_are_told_by_minute_and_what_lies_further_back_in_one_number() {
        let counters = Counters { late: [("k".to_owned(), 5)].into(), ..counters() };
        let (pipeline, fold) = begun(counters.clone(), late(&[1, 3, 3]), [9, 6, 2]);
        let text = to_text(&pipeline, &fold, &[], None, &[]);
        let told: Vec<_> =
            text.lines().skip_while(|line| !line.starts_with("late for k: 5 ")).skip(2).take(3).collect();
        assert_eq!(
            told,
            [
                "  1970-01-01T00:03:00.000Z          0          2",
                "  1970-01-01T00:01:00.000Z          0          1",
                "  earlier: 2",
            ]
        );
        let told = &to_json(&pipeline, &fold, &[], None, &[])["late"][0];
        assert_eq!((&told["rows"], &told["earlier"], &told["minutes"][1]["rows"]), (&json!(5), &json!(2), &json!(2)));
        let (pipeline, fold) = begun(counters, late(&[1; 6]), [9, 6, 2]);
        let open = open_accounts(&pipeline, &fold);
        assert_eq!(open, ["partition 0 of incarnation 0: 6 late rows of k in minutes, 5 in all"]);
    }
}
