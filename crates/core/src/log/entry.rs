//! The entry of the log (L2): its JSON form and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{EventTime, OffsetRange, Version};

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
    #[serde(flatten)]
    pub staged: StagedFile,
}

/// A version as entries spell it in names: 20 digits.
#[must_use]
pub fn version_name(version: Version) -> String {
    format!("{:020}", version.0)
}
