//! Why the numbers can be believed, for people: ledger, late rows, quarantine, entries and followers.
//!
//! Almost all of it is what the log's state says; of the lake's files the newest of Quarantine are read, for samples, and
//! what the last verification has left.

use std::time::{Duration, Instant};

use lakeward_core::ledger::Counters;
use lakeward_core::log::Fold;
use serde_json::{Map, Value, json};

use crate::commands::{ledger, quarantine};
use crate::exit::Exit;
use crate::flow::{Flow, time};
use crate::last_verify;

/// A minute, in microseconds.
const MINUTE: i64 = 60_000_000;

/// Newest entries that are listed.
const ENTRIES: usize = 30;

/// How long the lake may take for samples.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the lake is asked for a newer verification while somebody looks.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What was read from the lake: samples of Quarantine, good as long as it has not grown, and the last verification.
#[derive(Debug, Default)]
pub struct Sampled {
    of: Option<u64>,
    samples: Value,
    looked: Option<Instant>,
    verified: Value,
}

/// The whole of `/api/v1/trust`.
pub async fn picture(flow: &Flow, sampled: &mut Sampled) -> Value {
    let Some(fold) = flow.board.fold() else {
        return json!({
            "pipeline": flow.pipeline.name, "owner": flow.board.is_owner(), "version": null, "ledger": null,
            "minutes": [], "late": {}, "quarantine": null, "entries": [], "followers": followers(flow),
            "verify": null,
        });
    };
    let total = total(&fold);
    json!({
        "pipeline": flow.pipeline.name, "owner": flow.board.is_owner(), "version": fold.version.0,
        "at": time(flow.clock.wall_micros()), "updated_at": time(fold.updated_at),
        "ledger": ledger::told(&flow.pipeline, &fold), "uncommitted": uncommitted(flow, &fold),
        "minutes": minutes(flow), "late": late(flow, &total), "before_first": total.before_first,
        "quarantine": {
            "records": total.quarantined, "by_reason": total.by_reason, "filtered_by_check": total.filtered_by_check,
            "samples": samples(flow, &fold, total.quarantined, sampled).await,
        },
        "entries": entries(flow), "followers": followers(flow), "verify": verified(flow, &fold, sampled).await,
    })
}

/// What the last verification said; null if there was none.
async fn verified(flow: &Flow, fold: &Fold, sampled: &mut Sampled) -> Value {
    let now = flow.clock.steady();
    if sampled.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_AGAIN) {
        sampled.looked = Some(now);
        let asked = last_verify::read(&flow.lake, &flow.pipeline.name, &fold.log_id);
        sampled.verified = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(last)) => last.map_or(Value::Null, |last| last.told()),
            Ok(Err(error)) => json!({ "error": error }),
            Err(_) => json!({ "error": format!("the lake has not given it within {} s", PATIENCE.as_secs()) }),
        };
    }
    sampled.verified.clone()
}

fn total(fold: &Fold) -> Counters {
    let mut total = Counters::default();
    fold.past_incarnations.values().chain(fold.partitions.values()).for_each(|held| total.add(&held.total));
    total
}

/// Records that are read and in no entry yet, by partition.
fn uncommitted(flow: &Flow, fold: &Fold) -> Value {
    let committed = |partition| fold.partitions.get(&partition).map_or(0, |held| held.to);
    let mut ahead: Vec<(i32, i64)> =
        flow.board.partitions().iter().map(|p| (*p.key(), (p.position - committed(*p.key())).max(0))).collect();
    ahead.sort_unstable();
    json!(
        ahead
            .into_iter()
            .map(|(partition, records)| json!({ "partition": partition, "records": records }))
            .collect::<Vec<_>>()
    )
}

/// The ledger by minute of the commit and partition, newest first.
fn minutes(flow: &Flow) -> Vec<Value> {
    let now = flow.clock.wall_micros().div_euclid(MINUTE) * MINUTE;
    let history = flow.board.history();
    let mut all = Vec::new();
    for (&minute, partitions) in history.minutes().iter().rev() {
        for (partition, account) in partitions {
            let c = &account.counters;
            all.push(json!({
                "minute": time(minute), "partition": partition, "from": account.offsets.from, "to": account.offsets.to,
                "read": c.records, "replayed": c.replayed, "kept": c.kept, "filtered": c.filtered, "duplicate": c.duplicate,
                "quarantined": c.quarantined, "tombstones": c.tombstones, "late": c.late.values().sum::<u64>(),
                "balance": c.balance(), "closed": c.is_balanced() && c.is_explained(), "running": minute >= now,
            }));
        }
    }
    all
}

/// Rows that came too late, by KPI; a KPI without any too.
fn late(flow: &Flow, total: &Counters) -> Value {
    let of = |name: &str| json!(total.late.get(name).copied().unwrap_or(0));
    Value::Object(flow.pipeline.kpis.iter().map(|kpi| (kpi.name.clone(), of(&kpi.name))).collect::<Map<_, _>>())
}

/// A few of the newest refused records; what can't be read is said in their place.
async fn samples(flow: &Flow, fold: &Fold, quarantined: u64, sampled: &mut Sampled) -> Value {
    if sampled.of != Some(quarantined) {
        // Everybody waits for this picture: a lake that hangs must not hold it up.
        let asked = tokio::time::timeout(PATIENCE, quarantine::samples(&flow.lake, &flow.pipeline, fold)).await;
        let slow = || Exit::unreachable(format!("the lake has not given the samples within {} s", PATIENCE.as_secs()));
        match asked.unwrap_or_else(|_| Err(slow())) {
            Ok(samples) => (sampled.of, sampled.samples) = (Some(quarantined), Value::Array(samples)),
            Err(exit) => return json!({ "error": exit.message }),
        }
    }
    sampled.samples.clone()
}

/// The log's newest entries, newest first.
fn entries(flow: &Flow) -> Vec<Value> {
    let history = flow.board.history();
    let newest = history.entries().iter().rev().take(ENTRIES);
    let told = newest.map(|entry| {
        json!({
            "version": entry.version.0, "kind": entry.kind, "at": time(entry.at), "seconds": entry.seconds,
            "read": entry.counters.records, "rows": entry.rows, "files": entry.files,
            "watermark": entry.g.map_or(Value::Null, |g| time(g.0)), "trouble": entry.trouble,
        })
    });
    told.collect()
}

/// How far each follower is behind the log.
fn followers(flow: &Flow) -> Vec<Value> {
    let head = flow.board.head().0;
    let mut all: Vec<_> = flow.board.followers().iter().map(|f| (f.key().clone(), f.value().clone())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let told = all.into_iter().map(|(name, state)| {
        let done = state.done.map(|done| done.0);
        json!({
            "follower": name, "version": done, "behind": head.saturating_sub(done.unwrap_or(0)),
            "trouble": state.trouble, "fresh_at": time(state.fresh_at),
        })
    });
    told.collect()
}
