//! State objects: what one epoch adds to the slices and to dedup, as one Arrow IPC file (E2, I20).
//!
//! Columns: `section` (`kpi:<name>` or `dedup`), `key_group` (N2; -1 for dedup), `window` (its start; dedup: the row's
//! event time), `key` (dedup: 16 bytes of hash, big-endian), `partition`, `value` (aggregates; dedup: empty). KPI rows are
//! sorted by (section, key group, window, key, partition), dedup's by (partition, time, hash). A record batch never
//! spans two sections, nor two blocks of 16 key groups, nor, in dedup, two partitions: a reader may load only its share.

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int16Type, Int32Type, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;

use super::acc::{Accs, MergeError};
use super::codec::{self, CodecError};
use super::increment::Increment;
use super::key::key_group;
use crate::dedup::DedupItem;
use crate::ids::EventTime;

/// The format that is written.
pub const FORMAT: u32 = 1;

const FORMAT_KEY: &str = "format";
const DEDUP: &str = "dedup";
const KPI: &str = "kpi:";
/// Key groups per record batch.
const BLOCK: u8 = 16;

/// What an object holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateIncrements {
    /// Increments by KPI.
    pub kpis: Vec<(String, Vec<Increment>)>,
    /// Rows that dedup remembers.
    pub dedup: Vec<DedupItem>,
}

/// Why a state object could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not Arrow IPC, or damaged: the lake must be repaired.
    #[error("the state object cannot be read or written: {0}")]
    Arrow(#[from] ArrowError),
    /// The object has no format number.
    #[error("the state object has no format number")]
    NoFormat,
    /// Written by a newer program: use that one.
    #[error("state of format {0} needs a newer program, this one reads up to {FORMAT}")]
    Newer(String),
    /// The columns are not those of the format.
    #[error("the state object's column {0} is missing or of a wrong type")]
    Column(&'static str),
    /// A row is none that any version writes.
    #[error("the state object's section {section}, row {row}, is damaged: {detail}")]
    Row {
        /// The section.
        section: String,
        /// Row of its record batch.
        row: usize,
        /// What is wrong.
        detail: String,
    },
    /// Objects of different definitions were to be merged.
    #[error("KPI {kpi}: {source}")]
    Merge {
        /// The KPI.
        kpi: String,
        /// Why.
        source: MergeError,
    },
}

/// The bytes of an object. Equal content gives equal bytes, whatever its order.
pub fn encode(state: &StateIncrements) -> Result<Vec<u8>, StateError> {
    let schema = schema();
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, &schema)?;
    let mut kpis: Vec<_> = state.kpis.iter().collect();
    kpis.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut dedup = state.dedup.clone();
    dedup.sort_unstable();
    for items in dedup.chunk_by(|a, b| a.partition == b.partition) {
        writer.write(&dedup_batch(&schema, items)?)?;
    }
    for (name, increments) in kpis {
        let mut rows: Vec<_> = increments.iter().map(|i| (key_group(&i.key), i)).collect();
        rows.sort_by(|(a, x), (b, y)| (a, x.window, &x.key, x.partition).cmp(&(b, y.window, &y.key, y.partition)));
        for block in rows.chunk_by(|(a, _), (b, _)| a / BLOCK == b / BLOCK) {
            writer.write(&kpi_batch(&schema, name, block)?)?;
        }
    }
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

/// Reads an object back.
pub fn decode(bytes: &[u8]) -> Result<StateIncrements, StateError> {
    let reader = FileReader::try_new(Cursor::new(bytes), None)?;
    let schema = reader.schema();
    match schema.metadata().get(FORMAT_KEY) {
        None => return Err(StateError::NoFormat),
        Some(format) if *format != FORMAT.to_string() => return Err(StateError::Newer(format.clone())),
        Some(_) => {}
    }
    let mut state = StateIncrements::default();
    for batch in reader {
        read_batch(&batch?, &mut state)?;
    }
    Ok(state)
}

/// Merges objects into one base: increments of a slice become one, those of windows for which `drop_window(kpi, window
/// start)` says so are left out, and so are dedup's rows older than their partition's horizon.
pub fn compact(
    objects: impl IntoIterator<Item = StateIncrements>,
    drop_window: impl Fn(&str, EventTime) -> bool,
    dedup_horizon: impl Fn(i32) -> EventTime,
) -> Result<StateIncrements, StateError> {
    let mut kpis: BTreeMap<String, Slices> = BTreeMap::new();
    let mut dedup = Vec::new();
    for object in objects {
        for (name, mut increments) in object.kpis {
            increments.retain(|i| !drop_window(&name, i.window));
            let slices = kpis.entry(name).or_default();
            for Increment { window, key, partition, accs } in increments {
                slices.entry((window, key, partition)).or_default().push(accs);
            }
        }
        dedup.extend(object.dedup.into_iter().filter(|item| item.time >= dedup_horizon(item.partition)));
    }
    dedup.sort_unstable();
    dedup.dedup();
    let kpis = kpis.into_iter().map(|(name, slices)| match merged(slices) {
        Ok(increments) => Ok((name, increments)),
        Err(source) => Err(StateError::Merge { kpi: name, source }),
    });
    Ok(StateIncrements { kpis: kpis.collect::<Result<_, _>>()?, dedup })
}

/// By window, key and partition.
type Slices = BTreeMap<(EventTime, Box<[u8]>, i32), Vec<Accs>>;

fn merged(slices: Slices) -> Result<Vec<Increment>, MergeError> {
    let increment = |((window, key, partition), parts)| Ok(Increment { window, key, partition, accs: merge(parts)? });
    slices.into_iter().map(increment).collect()
}

/// The later parts are merged in pairs before the first takes them up: that is the base, and much larger than they.
fn merge(mut parts: Vec<Accs>) -> Result<Accs, MergeError> {
    while parts.len() > 2 {
        let mut pairs = Vec::with_capacity(parts.len() / 2 + 1);
        let mut later = parts.drain(1..);
        while let Some(mut accs) = later.next() {
            if let Some(other) = later.next() {
                accs.merge(&other)?;
            }
            pairs.push(accs);
        }
        drop(later);
        parts.append(&mut pairs);
    }
    let mut parts = parts.into_iter();
    let mut base = parts.next().unwrap_or_default();
    parts.try_for_each(|accs| base.merge(&accs))?;
    base.settle();
    Ok(base)
}

fn schema() -> SchemaRef {
    let fields = [
        ("section", DataType::Utf8),
        ("key_group", DataType::Int16),
        ("window", DataType::Int64),
        ("key", DataType::Binary),
        ("partition", DataType::Int32),
        ("value", DataType::Binary),
    ];
    let fields: Vec<_> = fields.into_iter().map(|(name, ty)| Field::new(name, ty, false)).collect();
    let metadata = HashMap::from([(FORMAT_KEY.to_owned(), FORMAT.to_string())]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

fn kpi_batch(schema: &SchemaRef, name: &str, rows: &[(u8, &Increment)]) -> Result<RecordBatch, ArrowError> {
    let section = format!("{KPI}{name}");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| &section))),
        Arc::new(Int16Array::from_iter_values(rows.iter().map(|(group, _)| i16::from(*group)))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, i)| i.window.0))),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|(_, i)| &i.key))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, i)| i.partition))),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|(_, i)| codec::encode(&i.accs)))),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

fn dedup_batch(schema: &SchemaRef, items: &[DedupItem]) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(items.iter().map(|_| DEDUP))),
        Arc::new(Int16Array::from_iter_values(items.iter().map(|_| -1))),
        Arc::new(Int64Array::from_iter_values(items.iter().map(|item| item.time.0))),
        Arc::new(BinaryArray::from_iter_values(items.iter().map(|item| item.hash.to_be_bytes()))),
        Arc::new(Int32Array::from_iter_values(items.iter().map(|item| item.partition))),
        Arc::new(BinaryArray::from_iter_values(items.iter().map(|_| b""))),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// The columns of a record batch, all of its length and without NULL.
struct Rows<'a> {
    sections: &'a StringArray,
    groups: &'a Int16Array,
    windows: &'a Int64Array,
    keys: &'a BinaryArray,
    partitions: &'a Int32Array,
    values: &'a BinaryArray,
}

impl<'a> Rows<'a> {
    fn new(batch: &'a RecordBatch) -> Result<Self, StateError> {
        let column = |name| batch.column_by_name(name).filter(|c| c.null_count() == 0).ok_or(StateError::Column(name));
        let wrong = StateError::Column;
        Ok(Self {
            sections: column("section")?.as_string_opt().ok_or(wrong("section"))?,
            groups: column("key_group")?.as_primitive_opt::<Int16Type>().ok_or(wrong("key_group"))?,
            windows: column("window")?.as_primitive_opt::<Int64Type>().ok_or(wrong("window"))?,
            keys: column("key")?.as_binary_opt().ok_or(wrong("key"))?,
            partitions: column("partition")?.as_primitive_opt::<Int32Type>().ok_or(wrong("partition"))?,
            values: column("value")?.as_binary_opt().ok_or(wrong("value"))?,
        })
    }
}

fn read_batch(batch: &RecordBatch, state: &mut StateIncrements) -> Result<(), StateError> {
    let rows = Rows::new(batch)?;
    for row in 0..batch.num_rows() {
        let section = rows.sections.value(row);
        let damaged = |detail: &str| StateError::Row { section: section.into(), row, detail: detail.into() };
        match section.strip_prefix(KPI) {
            Some(kpi) => {
                let increment = read_increment(&rows, row).map_err(|detail| damaged(&detail))?;
                match state.kpis.last_mut() {
                    Some((last, increments)) if last == kpi => increments.push(increment),
                    _ => state.kpis.push((kpi.to_owned(), vec![increment])),
                }
            }
            None if section == DEDUP => {
                let item = read_dedup(&rows, row).ok_or_else(|| damaged("the hash is not of 16 bytes"))?;
                state.dedup.push(item);
            }
            None => return Err(damaged("the section is unknown")),
        }
    }
    Ok(())
}

fn read_increment(rows: &Rows<'_>, row: usize) -> Result<Increment, String> {
    let key = rows.keys.value(row);
    if rows.groups.value(row) != i16::from(key_group(key)) {
        return Err("the key is not of the key group named".into());
    }
    Ok(Increment {
        window: EventTime(rows.windows.value(row)),
        key: key.into(),
        partition: rows.partitions.value(row),
        accs: codec::decode(rows.values.value(row)).map_err(|error: CodecError| error.to_string())?,
    })
}

fn read_dedup(rows: &Rows<'_>, row: usize) -> Option<DedupItem> {
    Some(DedupItem {
        partition: rows.partitions.value(row),
        time: EventTime(rows.windows.value(row)),
        hash: u128::from_be_bytes(rows.keys.value(row).try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::super::acc::Acc;
    use super::*;

    fn count(window: i64, key: u8, partition: i32, rows: u64) -> Increment {
        let accs = [Acc::Count(rows)].into_iter().collect();
        Increment { window: EventTime(window), key: [key].into(), partition, accs }
    }

    fn item(partition: i32, time: i64, hash: u128) -> DedupItem {
        DedupItem { partition, time: EventTime(time), hash }
    }

    fn sorted(state: &StateIncrements) -> StateIncrements {
        compact([state.clone()], |_, _| false, |_| EventTime::MIN).unwrap()
    }

    fn state() -> impl Strategy<Value = StateIncrements> {
        let increments = prop::collection::vec((0..5_i64, any::<u8>(), 0..3_i32, 1..9_u64), 1..30);
        let dedup = prop::collection::vec((0..3_i32, any::<i64>(), any::<u128>()), 0..10);
        (prop::collection::btree_map("[ab]", increments, 0..3), dedup).prop_map(|(kpis, dedup)| StateIncrements {
            kpis: kpis
                .into_iter()
                .map(|(kpi, rows)| (kpi, rows.into_iter().map(|(w, k, p, n)| count(w, k, p, n)).collect()))
                .collect(),
            dedup: dedup.into_iter().map(|(p, t, h)| item(p, t, h)).collect(),
        })
    }

    proptest! {
        #[test]
        fn an_object_reads_back_and_equal_content_gives_equal_bytes(state in state()) {
            let bytes = encode(&state).unwrap();
            prop_assert_eq!(sorted(&decode(&bytes).unwrap()), sorted(&state));
            let mut turned = state.clone();
            turned.kpis.reverse();
            turned.dedup.reverse();
            prop_assert_eq!(encode(&turned).unwrap(), bytes);
        }

        #[test]
        fn compaction_in_any_grouping_gives_the_same(a in state(), b in state(), c in state()) {
            let all = |objects: Vec<StateIncrements>| compact(objects, |_, w| w.0 == 2, |p| EventTime(i64::from(p))).unwrap();
            let whole = all(vec![a.clone(), b.clone(), c.clone()]);
            prop_assert_eq!(all(vec![all(vec![c, a]), b]), whole);
        }
    }

    #[test]
    fn compaction_merges_slices_and_drops_what_is_closed_or_beyond_the_horizon() {
        let a = StateIncrements {
            kpis: vec![("k".into(), vec![count(0, 1, 0, 1), count(10, 1, 0, 2)])],
            dedup: vec![item(0, 5, 1), item(1, 5, 1)],
        };
        let b = StateIncrements { kpis: vec![("k".into(), vec![count(10, 1, 0, 3)])], dedup: vec![item(0, 9, 2)] };
        let horizon = |partition| EventTime(if partition == 0 { 6 } else { 0 });
        let base = compact([a, b], |kpi, window| kpi == "k" && window.0 < 10, horizon).unwrap();
        assert_eq!(base.kpis, [("k".to_owned(), vec![count(10, 1, 0, 5)])]);
        assert_eq!(base.dedup, [item(0, 9, 2), item(1, 5, 1)]);
    }

    #[test]
    fn an_unknown_format_and_damaged_bytes_are_refused() {
        let schema = Schema::new_with_metadata(vec![Field::new("x", DataType::Int32, false)], HashMap::new());
        let file = |schema: &Schema| {
            let mut bytes = Vec::new();
            FileWriter::try_new(&mut bytes, schema).unwrap().finish().unwrap();
            bytes
        };
        assert!(matches!(decode(&file(&schema)), Err(StateError::NoFormat)));
        let newer = schema.with_metadata(HashMap::from([("format".to_owned(), "2".to_owned())]));
        assert!(matches!(decode(&file(&newer)), Err(StateError::Newer(format)) if format == "2"));
        assert!(matches!(decode(b"no arrow"), Err(StateError::Arrow(_))));
    }
}
