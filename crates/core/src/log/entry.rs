//! The entry of the log (L2): its JSON form and nothing else.
//!
//! An entry is written once and never again (I2). Whatever it names under staging was closed before and doesn't know
//! the entry's version, so an entry can be built again for another version from the same staged files (E2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::{EventTime, OffsetRange, Version};
use crate::late::LateMinutes;
use crate::ledger::Counters;
use crate::log::OffsetSet;

/// The format number of entries that this program writes. A reader refuses a greater one.
pub const ENTRY_FORMAT: u32 = 1;

/// Changes whenever the same input and definition would be decided otherwise; part of every entry (L2, H4).
pub const ENGINE_SEMANTICS: u32 = 1;

/// KPIs of this log may begin at a window that the log names (`Entry::first_windows`). Carried by every entry from the
/// first such one on: a reader that doesn't know it would count rows of earlier windows.
pub const FIRST_WINDOWS: &str = "first_windows";

/// Records of this log may have been taken out of Quarantine again (`PartitionEntry::replayed`). Carried by every entry from
/// the first such one on: to a reader that doesn't know it the ledger would be open.
pub const REPLAYED: &str = "replayed";

/// Retention has taken files out of this log's layers (`LayerChange::expired`). Carried by every entry from the first such
/// one on: to a reader that doesn't know it rows would be missing.
pub const EXPIRED: &str = "expired";

/// Features that this program knows.
const KNOWN: [&str; 3] = [FIRST_WINDOWS, REPLAYED, EXPIRED];

/// A file that writers closed and synced under staging (E2), before any version names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Hive leaf below the layer's folder, such as `year=2023/month=1`; empty where the layer has none.
    pub leaf: String,
    /// Path of the staged file below the lake's root.
    pub staged: String,
    /// Extension of the final name, without a dot.
    pub ext: String,
    /// Bytes.
    pub length: u64,
    /// XXH3-128 of the bytes, 32 hex digits.
    pub checksum: String,
    /// Rows or lines.
    pub rows: u64,
    /// Smallest and largest event time of its rows, both inclusive; `None` where the rows have none.
    pub event_times: Option<(EventTime, EventTime)>,
    /// Offsets that its rows come from, per partition; empty for Gold.
    pub offsets: BTreeMap<i32, OffsetRange>,
}

/// A file of a layer, as an entry names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFile {
    /// Final path below the lake's root: `<layer>/<leaf>/part-<v>-<n>-<attempt8>.<ext>` (F1).
    pub path: String,
    /// The staged file it is renamed from, with length, checksum, rows and ranges.
    pub staged: StagedFile,
    /// The furthest watermark of any partition when the file came: retention goes by it. `None` before the first event
    /// time, and in entries of programs that had no retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<EventTime>,
}

/// What one entry changes in a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerChange {
    /// Files that are live from this entry on.
    pub added: Vec<LiveFile>,
    /// Final paths of files that are live no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Final paths of files that are live no more because the layer's retention is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expired: Vec<String>,
}

impl LayerChange {
    /// Paths of all files that it takes out.
    pub fn taken_out(&self) -> impl Iterator<Item = &String> {
        self.removed.iter().chain(&self.expired)
    }
}

/// How an entry came out of the log before (L6). A log that is being rebuilt does not count until the one before has
/// ended, so its claims need an order of their own: that of the claims of the log before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// The claim of the log before under which it was written.
    pub under: Version,
    /// All entries of the log before up to this one are in this log.
    pub upto: Version,
}

/// What an entry is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A process takes the pipeline over (O1); its version is the claim.
    Claim {
        /// What is taken: `all`.
        takes: String,
    },
    /// One epoch.
    Epoch,
    /// The log's last entry; `next` is the id of the log that follows (L6).
    Ended {
        /// Id of the next log.
        next: String,
    },
}

/// Who wrote an entry: information only, no rule reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Random id of the process.
    pub id: String,
    /// Host name.
    pub host: String,
    /// Version of the program.
    pub build: String,
}

/// One partition in an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionEntry {
    /// 0 for the topic as first seen, one more for each accepted recreation (H4).
    pub incarnation: i32,
    /// Kafka's id of the topic, where the broker tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// The version by which its present holder took it; today the entry's own claim.
    pub claim: Version,
    /// First offset of this entry's range.
    pub from: i64,
    /// The next offset to fetch; the next entry's `from`.
    pub to: i64,
    /// The watermark at the barrier, the floor included.
    pub watermark: EventTime,
    /// The floor that this entry's barrier raised the watermark to; later records are judged by it (T2, T3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<EventTime>,
    /// Whether the partition was judged idle at the barrier.
    #[serde(default)]
    pub idle: bool,
    /// What became of the records of `[from, to)`.
    pub counters: Counters,
    /// What became of all records of this incarnation up to `to`.
    pub total: Counters,
    /// When the late rows of `[from, to)` lay (I12). Entries of programs that didn't know it have none.
    #[serde(default, skip_serializing_if = "LateMinutes::is_empty")]
    pub late_minutes: LateMinutes,
    /// Offsets below `from` whose records this entry takes out of Quarantine again, in this order, behind those of
    /// `[from, to)` (H5). The counters are of these too.
    #[serde(default, skip_serializing_if = "OffsetSet::is_empty")]
    pub replayed: OffsetSet,
}

/// The Gold rows of one KPI in an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldItem {
    /// The KPI's name.
    pub kpi: String,
    /// Key groups covered, `[from, to)` of 256; today all.
    pub key_groups: (u16, u16),
    /// Rows are the merge of all increments of entries up to this version; today this entry's own.
    pub upto: Version,
    /// The G that closed the windows.
    pub g: EventTime,
    /// Starts of the windows closed by this entry that had rows.
    pub windows: Vec<EventTime>,
    /// Final rows of these windows.
    pub rows: u64,
    /// Starts of windows closed before that late rows of this entry revise (T5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revised: Vec<EventTime>,
    /// Rows of those that are new or have another revision.
    #[serde(default, skip_serializing_if = "crate::ledger::is_zero")]
    pub revisions: u64,
}

/// A state object that the fold of the log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRef {
    /// Path below the lake's root.
    pub path: String,
    /// Whether it stands for all increments up to `upto` (base) or only for those of one entry (delta).
    pub base: bool,
    /// The version that it reflects. `None` in a staged delta: it is the version of the entry that names it.
    pub upto: Version,
    /// Bytes.
    pub length: u64,
    /// XXH3-128 of the bytes, 32 hex digits.
    pub checksum: String,
    /// Increments held.
    pub items: u64,
}

/// What an entry changes in the set of state objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Objects from this entry on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<StateRef>,
    /// Paths that the fold holds no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Format number of this JSON.
    pub format: u32,
    /// The commit's number.
    pub version: Version,
    /// Id of the log, in every entry, lease and fence (L6).
    pub log_id: String,
    /// Hash of the previous entry's bytes; `None` at version 0.
    pub previous: Option<String>,
    /// The claim under which it was created; its own version in a claim entry.
    pub claim: Version,
    /// 128 random bits, 32 hex digits: tells one's own entry from another's (L3).
    pub attempt: String,
    /// `single` today.
    pub mode: String,
    /// Who wrote it.
    pub member: Member,
    /// Features that a reader must know; who meets an unknown one stops (`NEWER_LOG`).
    #[serde(default)]
    pub requires: Vec<String>,
    /// What it is for.
    pub kind: EntryKind,
    /// Hash of the definition that decided (`definitions/<hash>.json`).
    pub definition: String,
    /// `ENGINE_SEMANTICS` of the program that decided.
    pub semantics: u32,
    /// The partition set.
    pub partitions: BTreeMap<i32, PartitionEntry>,
    /// Gold's watermark G (E3).
    pub g: EventTime,
    /// Windows closed, per KPI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gold: Vec<GoldItem>,
    /// Files, per layer name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, LayerChange>,
    /// In a claim entry: KPIs that the log takes up with it, with the start of each one's first window. All rows of
    /// that window and of later ones lie behind this entry (H4).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub first_windows: BTreeMap<String, EventTime>,
    /// State objects.
    #[serde(default)]
    pub state: StateChange,
    /// Rows of the mart with a Kafka time below this are gone (retention, F2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_boundary: Option<EventTime>,
    /// Entries below this version, which has a checkpoint, may be gone (F6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries_from: Option<Version>,
    /// Per follower the version that it had done when the entry was built.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub followers: BTreeMap<String, Version>,
    /// All files of entries up to this version are in place (F1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled: Option<Version>,
    /// Written by a rebuild, from entries of the log before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt: Option<Rebuilt>,
    /// Wall clock when it was built, microseconds: for people and freshness figures, no rule reads it.
    pub created_at: i64,
}

impl Entry {
    /// The bytes that are the commit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads an entry back. An unknown format or required feature is refused (`NEWER_LOG`).
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let head: EntryHead = serde_json::from_slice(bytes)?;
        if head.format > ENTRY_FORMAT {
            return Err(EntryError::NewerLog(format!("entry format {}", head.format)));
        }
        if let Some(feature) = head.requires.iter().find(|feature| !KNOWN.contains(&feature.as_str())) {
            return Err(EntryError::NewerLog(format!("feature {feature}")));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Whether this is a claim entry.
    #[must_use]
    pub fn is_claim(&self) -> bool {
        matches!(self.kind, EntryKind::Claim { .. })
    }
}

/// The hash that the next entry carries as `previous`: SHA-256 of the entry's bytes, hex.
#[must_use]
pub fn entry_hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[derive(Deserialize)]
struct EntryHead {
    format: u32,
    #[serde(default)]
    requires: Vec<String>,
}

/// Why bytes aren't an entry for this program.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Written by a newer program; the user updates this one.
    #[error("NEWER_LOG: the log holds {0}, which this version of lakeward does not know; update lakeward")]
    NewerLog(String),
    /// Not the JSON of an entry: damage or a bug.
    #[error("not a log entry: {0}")]
    Malformed(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_newer_program_is_not_read_whatever_else_is_in_it() {
        let refused = |text: &str| Entry::parse(text.as_bytes()).unwrap_err().to_string();
        let format = ENTRY_FORMAT + 1;
        assert!(refused(&format!("{{\"format\":{format},\"shape\":\"other\"}}")).starts_with("NEWER_LOG: "));
        assert!(refused("{\"format\":1,\"requires\":[\"first_windows\",\"tides\"]}").contains("feature tides"));
        assert!(refused("{\"format\":1}").starts_with("not a log entry"));
    }
}
