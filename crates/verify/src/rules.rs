//! What a record is by itself, in the protocol's order of decisions: fields, event time, checks, derived columns, keys
//! and arguments of KPIs. The first thing that is wrong decides.

use std::collections::{BTreeSet, HashMap};

use lakeward_core::hive::is_special;
use lakeward_core::pipeline::{EventTimeSource, FieldDef, Holds, Kpi, Otherwise, Pipeline};
use lakeward_core::types::{Column, DataType};

use crate::calendar::DAY;
use crate::cell::Cell;
use crate::definition::{Known, Strictness};
use crate::eval::eval;
use crate::field::{self, Refusal};
use crate::line::{BronzeLine, Reject};
use crate::object::Members;

/// The largest key, in bytes of its encoding (N3).
const MOST_KEY_BYTES: usize = 1024;

/// A pipeline's rules, as far as a definition had them.
pub struct Rules<'p> {
    /// The definition of today.
    pub pipeline: &'p Pipeline,
    /// Fields and derived columns.
    pub columns: Vec<Column>,
    /// Fields as the definition in force had them; those that it didn't know are NULL.
    pub fields: Vec<Option<FieldDef>>,
    /// Checks of the definition in force that are gone today: what they refused is taken from Quarantine.
    gone_checks: BTreeSet<String>,
    /// KPIs that the definition in force knows.
    pub known_kpis: Vec<bool>,
    by_name: HashMap<&'p str, usize>,
}

/// What a record with a payload is.
pub enum Fate {
    /// It belongs in Quarantine.
    Refused(Refusal),
    /// A check leaves it out: the check's index, the event time.
    Filtered(usize, i64),
    /// It is a row.
    Row(Row),
}

/// A row that passed the checks.
pub struct Row {
    /// Fields and derived columns.
    pub cells: Vec<Cell>,
    /// Event time in microseconds.
    pub time: i64,
    /// Per KPI the key's texts and the measures' arguments; `None` for a KPI that is not known yet.
    pub inputs: Vec<Option<KpiInput>>,
}

/// What a row brings to a KPI.
pub struct KpiInput {
    /// The key, NULL replaced.
    pub key: Vec<String>,
    /// Per measure its argument; NULL also for `count(*)`.
    pub args: Vec<Cell>,
}

impl<'p> Rules<'p> {
    /// All of a pipeline's rules.
    #[must_use]
    pub fn new(pipeline: &'p Pipeline) -> Self {
        Self {
            pipeline,
            columns: pipeline.row_columns(),
            fields: pipeline.fields.iter().cloned().map(Some).collect(),
            gone_checks: BTreeSet::new(),
            known_kpis: vec![true; pipeline.kpis.len()],
            by_name: pipeline.fields.iter().enumerate().map(|(i, field)| (field.name.as_str(), i)).collect(),
        }
    }

    /// Goes on by what an earlier definition knew; answers the KPIs that are new by it.
    pub fn decide_by(&mut self, known: &Known) -> Vec<usize> {
        let before = std::mem::take(&mut self.known_kpis);
        let as_it_was = |field: &FieldDef| {
            let Strictness { required, round } = *known.fields.get(&field.name)?;
            Some(FieldDef { required, round, ..field.clone() })
        };
        self.fields = self.pipeline.fields.iter().map(as_it_was).collect();
        let gone = known.checks.iter().filter(|name| !self.pipeline.checks.iter().any(|check| check.name == **name));
        self.gone_checks = gone.cloned().collect();
        self.known_kpis = self.pipeline.kpis.iter().map(|kpi| known.kpis.contains(&kpi.name)).collect();
        let new = before.iter().zip(&self.known_kpis).enumerate().filter(|(_, (was, is))| !**was && **is);
        new.map(|(i, _)| i).collect()
    }

    /// Decides a record that is a JSON object. `told` is what Quarantine says of it, if it is there: what was too far ahead
    /// of a clock (FUTURE), which Kafka times no calendar holds (T4), and what a check refused that is gone is taken from it.
    #[must_use]
    pub fn judge(&self, line: &BronzeLine<'_>, members: &Members<'_>, told: Option<&Reject>) -> Fate {
        let reason = told.map(|reject| reject.reason.as_str());
        let decided = self.decode(members).and_then(|cells| Ok((self.time(line, &cells, reason)?, cells)));
        let gone = told.filter(|_| reason == Some("CHECK")).and_then(|reject| reject.field.as_ref());
        match (decided, gone.filter(|check| self.gone_checks.contains(*check))) {
            (Ok(_), Some(check)) => Fate::Refused(Refusal::of("CHECK", check)),
            (Ok((time, cells)), None) => self.checked(cells, time),
            (Err(refusal), _) => Fate::Refused(refusal),
        }
    }

    fn decode(&self, members: &Members<'_>) -> Result<Vec<Cell>, Refusal> {
        let mut raw: Vec<Option<&str>> = vec![None; self.fields.len()];
        for (name, value) in members {
            let slot = self.by_name.get(name.as_ref()).and_then(|at| raw.get_mut(*at));
            if let Some(slot) = slot {
                *slot = Some(value.get());
            }
        }
        let mut cells = Vec::with_capacity(self.columns.len());
        for (field, raw) in self.fields.iter().zip(raw) {
            cells.push(field.as_ref().map_or(Ok(Cell::Null), |field| field::cell(field, raw))?);
        }
        Ok(cells)
    }

    fn time(&self, line: &BronzeLine<'_>, cells: &[Cell], told: Option<&str>) -> Result<i64, Refusal> {
        let plain = |reason| Refusal { reason, field: None };
        let time = match self.pipeline.time.event_time {
            EventTimeSource::Kafka => line.time.ok_or_else(|| {
                plain(match told {
                    Some("FUTURE") => "FUTURE",
                    Some("OUT_OF_RANGE") => "OUT_OF_RANGE",
                    _ => "NO_TIMESTAMP",
                })
            }),
            EventTimeSource::Field(index) => {
                let field = self.pipeline.fields.get(index);
                match (cells.get(index), field.map(|field| field.ty)) {
                    (Some(Cell::Int(days)), Some(DataType::Date)) => Ok(days * DAY),
                    (Some(Cell::Int(micros)), _) => Ok(*micros),
                    _ => Err(Refusal::of("NO_TIMESTAMP", field.map_or("", |field| &field.name))),
                }
            }
        }?;
        if told == Some("FUTURE") { Err(plain("FUTURE")) } else { Ok(time) }
    }

    fn checked(&self, mut cells: Vec<Cell>, time: i64) -> Fate {
        for (index, check) in self.pipeline.checks.iter().enumerate() {
            match (eval(check.expr.tree(), &cells), check.otherwise) {
                (Ok(Cell::Bool(true)), _) => {}
                (Err(_), _) => return Fate::Refused(Refusal::of("OVERFLOW", &check.name)),
                (Ok(_), Otherwise::Filter) => return Fate::Filtered(index, time),
                (Ok(_), Otherwise::Quarantine) => return Fate::Refused(Refusal::of("CHECK", &check.name)),
            }
        }
        for derived in &self.pipeline.derived {
            match eval(derived.expr.tree(), &cells) {
                Ok(cell) => cells.push(cell),
                Err(_) => return Fate::Refused(Refusal::of("OVERFLOW", &derived.column.name)),
            }
        }
        if let Some(refusal) = self.long_folder(&cells) {
            return Fate::Refused(refusal);
        }
        let kpis = self.pipeline.kpis.iter().zip(&self.known_kpis);
        let inputs = kpis.map(|(kpi, known)| known.then(|| self.input(kpi, &cells)).transpose());
        match inputs.collect() {
            Ok(inputs) => Fate::Row(Row { cells, time, inputs }),
            Err(refusal) => Fate::Refused(refusal),
        }
    }

    /// The first text that makes no name of a folder: over 200 bytes, or over 255 with its column's name once the
    /// characters that Hive escapes are three bytes each.
    fn long_folder(&self, cells: &[Cell]) -> Option<Refusal> {
        let escaped = |text: &str| text.chars().map(|c| if is_special(c) { 3 } else { c.len_utf8() }).sum::<usize>();
        for layer in &self.pipeline.layers {
            let Holds::Rows { partition_by } = &layer.holds else { continue };
            for &index in partition_by {
                let (Some(Cell::Text(text)), Some(column)) = (cells.get(index), self.columns.get(index)) else {
                    continue;
                };
                if text.len() > 200 || escaped(&column.name) + escaped("x") + escaped(text) > 255 {
                    return Some(Refusal::of("KEY_TOO_LARGE", &column.name));
                }
            }
        }
        None
    }

    fn input(&self, kpi: &Kpi, cells: &[Cell]) -> Result<KpiInput, Refusal> {
        let part = |&i: &usize| {
            let text = cells.get(i).zip(self.columns.get(i)).and_then(|(cell, column)| cell.key_text(column.ty));
            text.unwrap_or_else(|| kpi.null_key.clone())
        };
        let key: Vec<String> = kpi.key.iter().map(part).collect();
        if key.iter().map(|text| 4 + text.len()).sum::<usize>() > MOST_KEY_BYTES {
            return Err(Refusal::of("KEY_TOO_LARGE", &kpi.name));
        }
        let arg = |measure: &lakeward_core::pipeline::Measure| match &measure.expr.arg {
            Some(arg) => eval(arg.tree(), cells).map_err(|_| Refusal::of("OVERFLOW", &measure.name)),
            None => Ok(Cell::Null),
        };
        Ok(KpiInput { key, args: kpi.measures.iter().map(arg).collect::<Result<_, _>>()? })
    }
}
