//! Pre-aggregation inside a partition: rows become increments, per (window, key), across batches. So the number of
//! messages to KPI actors depends on keys and ticks, never on events.

use arrow::array::ArrayRef;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::acc::{AccSpec, Accs};
use super::bounds::window_start;
use super::column::TypedColumn;
use super::increment::Increment;
use super::key::{MAX_KEY_BYTES, RowKeys};
use crate::decode::Reason;
use crate::ids::EventTime;
use crate::pipeline::{Kpi, Pipeline};

/// The running increments of one partition, for all KPIs.
#[derive(Debug)]
pub struct PreAggregate {
    partition: i32,
    kpis: Vec<Groups>,
}

/// Keys and measures' arguments of a batch, evaluated column by column before any row is accepted.
#[derive(Debug)]
pub struct Prepared {
    kpis: Vec<Inputs>,
    /// Rows that no KPI may take, and that must be quarantined.
    pub failures: Vec<InputFailure>,
}

/// A row that has no key or no argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFailure {
    /// Row of the batch.
    pub row: usize,
    /// `KeyTooLarge` or `Overflow`.
    pub reason: Reason,
    /// The KPI, or the measure.
    pub field: String,
    /// What happened, for people.
    pub detail: String,
}

#[derive(Debug)]
struct Inputs {
    keys: RowKeys,
    args: Vec<Option<ArrayRef>>,
}

/// The groups of one KPI, densely numbered.
#[derive(Debug)]
struct Groups {
    kpi: Kpi,
    specs: Vec<AccSpec>,
    index: HashTable<usize>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    hash: u64,
    window: EventTime,
    key: Box<[u8]>,
    accs: Accs,
}

impl PreAggregate {
    /// Nothing aggregated yet.
    #[must_use]
    pub fn new(pipeline: &Pipeline, partition: i32) -> Self {
        Self { partition, kpis: pipeline.kpis.iter().map(Groups::new).collect() }
    }

    /// Evaluates keys and arguments over `rows` rows of the pipeline's row columns.
    #[must_use]
    pub fn prepare(&self, columns: &[ArrayRef], rows: usize) -> Prepared {
        let mut failures = Vec::new();
        let kpis = self.kpis.iter().map(|groups| prepare_kpi(&groups.kpi, columns, rows, &mut failures)).collect();
        Prepared { kpis, failures }
    }

    /// Adds the accepted rows: for each KPI, in the pipeline's order, their row numbers. `event_times` has one per row.
    pub fn add(&mut self, prepared: &Prepared, event_times: &[EventTime], accepted: &[Vec<usize>]) {
        for ((groups, inputs), rows) in self.kpis.iter_mut().zip(&prepared.kpis).zip(accepted) {
            groups.add(inputs, event_times, rows);
        }
    }

    /// What was added since the last call, per KPI in the pipeline's order.
    pub fn take(&mut self) -> Vec<Vec<Increment>> {
        let partition = self.partition;
        self.kpis.iter_mut().map(|groups| groups.take(partition)).collect()
    }

    /// Estimated memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let group = |g: &Group| size_of::<Group>() + g.key.len() + g.accs.bytes();
        self.kpis.iter().flat_map(|groups| &groups.groups).map(group).sum()
    }
}

fn prepare_kpi(kpi: &Kpi, columns: &[ArrayRef], rows: usize, failures: &mut Vec<InputFailure>) -> Inputs {
    let key_columns: Vec<_> = kpi.key.iter().filter_map(|&i| columns.get(i)).collect();
    let keys = RowKeys::encode(&key_columns, &kpi.null_key, rows);
    failures.extend(keys.too_large().map(|(row, size)| InputFailure {
        row,
        reason: Reason::KeyTooLarge,
        field: kpi.name.clone(),
        detail: format!("the key takes {size} bytes, at most {MAX_KEY_BYTES} are allowed"),
    }));
    let mut args = Vec::with_capacity(kpi.measures.len());
    for measure in &kpi.measures {
        args.push(measure.expr.arg.as_ref().map(|arg| {
            if let Some(column) = arg.as_column().and_then(|i| columns.get(i)) {
                return column.clone();
            }
            let evaluated = arg.evaluate(columns, rows);
            failures.extend(evaluated.failures.into_iter().map(|failure| InputFailure {
                row: failure.row,
                reason: Reason::Overflow,
                field: measure.name.clone(),
                detail: failure.detail,
            }));
            evaluated.values
        }));
    }
    Inputs { keys, args }
}

impl Groups {
    fn new(kpi: &Kpi) -> Self {
        Self { specs: AccSpec::of(kpi), kpi: kpi.clone(), index: HashTable::new(), groups: Vec::new() }
    }

    fn add(&mut self, inputs: &Inputs, event_times: &[EventTime], rows: &[usize]) {
        let codes: Vec<(usize, usize)> = rows
            .iter()
            .filter_map(|&row| {
                let window = window_start(self.kpi.window, *event_times.get(row)?);
                Some((row, self.code(window, inputs.keys.get(row))))
            })
            .collect();
        for (measure, arg) in inputs.args.iter().enumerate() {
            let column = arg.as_ref().and_then(TypedColumn::new);
            for &(row, code) in &codes {
                if let Some(acc) = self.groups.get_mut(code).and_then(|group| group.accs.get_mut(measure)) {
                    acc.update(column.as_ref(), row);
                }
            }
        }
    }

    /// The number of the group, new or not.
    fn code(&mut self, window: EventTime, key: &[u8]) -> usize {
        let hash = xxh3_64_with_seed(key, window.0.cast_unsigned());
        let groups = &self.groups;
        let same = |code: &usize| groups.get(*code).is_some_and(|group| group.window == window && *group.key == *key);
        if let Some(code) = self.index.find(hash, same) {
            return *code;
        }
        let code = self.groups.len();
        self.groups.push(Group { hash, window, key: key.into(), accs: Accs::new(&self.specs) });
        let groups = &self.groups;
        self.index.insert_unique(hash, code, |code| groups.get(*code).map_or(0, |group| group.hash));
        code
    }

    fn take(&mut self, partition: i32) -> Vec<Increment> {
        self.index.clear();
        let increment = |g: Group| Increment { window: g.window, key: g.key, partition, accs: g.accs };
        self.groups.drain(..).map(increment).collect()
    }
}
