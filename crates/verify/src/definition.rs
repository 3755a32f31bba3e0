//! The definitions that entries were decided by: there, unchanged, and what they know (I19, I21).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lakeward_connect::lake::{Lake, LakeError};
use lakeward_core::log::PipelinePaths;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::invariant::Invariant::{I19, I21};
use crate::report::Report;

/// What a definition knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Fields by name.
    pub fields: BTreeMap<String, Strictness>,
    /// Names of checks.
    pub checks: BTreeSet<String>,
    /// Names of KPIs.
    pub kpis: BTreeSet<String>,
}

/// How strict a definition is about a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strictness {
    /// A record without it is refused.
    pub required: bool,
    /// Digits beyond the scale are rounded, not refused.
    pub round: bool,
}

/// Reads the definitions of the given hashes; one that is gone or changed is evidence.
pub async fn read(
    lake: &Lake,
    pipeline: &str,
    hashes: &[String],
    report: &mut Report,
) -> Result<HashMap<String, Known>, LakeError> {
    let mut known = HashMap::new();
    for hash in hashes.iter().collect::<BTreeSet<_>>() {
        let path = PipelinePaths::new(pipeline).definition(hash);
        report.counted(I19, "definitions", 1);
        report.counted(I21, "definitions", 1);
        let Some(bytes) = lake.read(&path).await? else {
            report.broken(I21, || format!("{path} is gone; entries were decided by it"));
            continue;
        };
        let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if hex::encode(Sha256::digest(sorted(&told).to_string())) != *hash {
            report.broken(I19, || format!("{path} is another definition than its name says"));
        }
        let (fields, checks, kpis) = (strictness(&told), names(&told, "checks"), names(&told, "kpis"));
        known.insert(hash.clone(), Known { fields, checks, kpis });
    }
    Ok(known)
}

fn strictness(told: &Value) -> BTreeMap<String, Strictness> {
    let fields = told.get("fields").and_then(Value::as_array).into_iter().flatten();
    let is = |field: &Value, key| field.get(key) == Some(&Value::Bool(true));
    let of = |field: &Value| Strictness { required: is(field, "required"), round: is(field, "round") };
    fields.filter_map(|field| Some((field.get("name")?.as_str()?.to_owned(), of(field)))).collect()
}

fn names(told: &Value, section: &str) -> BTreeSet<String> {
    let values = told.get(section).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(|value| value.get("name")?.as_str().map(str::to_owned)).collect()
}

/// The value with the keys of every object sorted: what the hash is over (N1).
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let by_name: BTreeMap<&String, Value> = members.iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(by_name.into_iter().map(|(name, value)| (name.clone(), value)).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
