//! `lakeward log`: the pipeline's log, for people and as JSON.

use std::time::Duration;

use lakeward_core::ids::Version;
use lakeward_core::log::{Entry, EntryKind};

use super::inspect::inspect;
use crate::cli::LogArgs;
use crate::config::Config;
use crate::exit::Exit;

/// How often `--follow` looks for the next entry.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Entries shown when no version is given.
const NEWEST: u64 = 20;

/// Prints one entry, the newest ones, or all that come.
pub async fn log(config: &Config, args: &LogArgs) -> Result<(), Exit> {
    let seen = inspect(config, &args.pipeline).await?;
    let failed = |e: lakeward_connect::log_store::LogError| Exit::failed(e.to_string());
    if let Some(version) = args.version {
        let entry = seen.log.entry(Version(version)).await.map_err(failed)?;
        let removed = seen.fold.entries_from.filter(|from| version < from.0);
        let absent = || match removed {
            Some(from) => {
                format!("entries below {from} were removed; what they came to is in the checkpoint at {from}")
            }
            None => format!("the log has no entry {version}"),
        };
        let (entry, _) = entry.ok_or_else(|| Exit::failed(absent()))?;
        crate::text::say!("{}", serde_json::to_string_pretty(&entry).map_err(|e| Exit::bug(e.to_string()))?);
        return Ok(());
    }
    let mut next = Version((seen.fold.version.0 + 1).saturating_sub(NEWEST));
    loop {
        match seen.log.entry(next).await.map_err(failed)? {
            Some((entry, _)) => {
                show(&entry, args.json)?;
                next = next.next();
            }
            None if args.follow => tokio::time::sleep(LOOK_EVERY).await,
            None => return Ok(()),
        }
    }
}

fn show(entry: &Entry, as_json: bool) -> Result<(), Exit> {
    if as_json {
        crate::text::say!("{}", serde_json::to_string(entry).map_err(|e| Exit::bug(e.to_string()))?);
        return Ok(());
    }
    let (mut read, mut kept) = (0, 0);
    let mut ranges = Vec::new();
    for (partition, p) in &entry.partitions {
        read += p.counters.records;
        kept += p.counters.kept;
        if p.to > p.from {
            ranges.push(format!("{partition}:[{},{})", p.from, p.to));
        }
    }
    let kind = match &entry.kind {
        EntryKind::Claim { .. } => "claim".to_owned(),
        EntryKind::Epoch => "epoch".to_owned(),
        EntryKind::Ended { next } => format!("ended, next log {next}"),
    };
    let files: usize = entry.layers.values().map(|l| l.added.len()).sum();
    let expired: usize = entry.layers.values().map(|l| l.expired.len()).sum();
    let expired = if expired > 0 { format!(" expired {expired}") } else { String::new() };
    let finals: u64 = entry.gold.iter().map(|g| g.rows).sum();
    crate::text::say!(
        "{:>8} {} {kind} claim {} read {read} kept {kept} files {files}{expired} finals {finals} G {} {}",
        entry.version,
        crate::text::timestamp(entry.created_at),
        entry.claim,
        crate::text::timestamp(entry.g.0),
        ranges.join(" ")
    );
    Ok(())
}
