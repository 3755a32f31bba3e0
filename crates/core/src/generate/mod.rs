//! Deterministic records for a feed, from a generator file: the same file, seed and ratios give the same records.
//!
//! Promises: every record that isn't broken on purpose is one JSON object. Does not do: rates, clocks,
//! Kafka; time is an argument.

mod broken;
mod csv;
mod random;
mod rule;
mod spec;

use std::collections::VecDeque;

use self::broken::break_payload;
use self::random::{Chance, Random};
use self::rule::{Codes, Rule};
use crate::json_line::write_text;

pub use self::broken::Broken;
pub use self::csv::{CsvError, CsvTemplate};
pub use self::spec::{GeneratorSpec, Member, SpecError};

/// Rows drawn at a time, so that formulas run on columns.
const BLOCK: usize = 1024;
/// One in this many records may be repeated later.
const REPEATABLE: u64 = 8;
/// Records that a duplicate is taken from.
const RECENT: usize = 32;

/// How often a generated record is not an ordinary one; each from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ratios {
    /// Its Kafka timestamp lies back by the file's span of lateness.
    pub late: f64,
    /// Key and payload of a recent record once more.
    pub duplicate: f64,
    /// A payload that decoding must refuse.
    pub bad: f64,
    /// A skewed member has its first value.
    pub key_skew: f64,
}

/// A record to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedRecord {
    /// Kafka key.
    pub key: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
    /// Kafka timestamp, milliseconds.
    pub timestamp_ms: i64,
}

/// An endless source of records.
#[derive(Debug)]
pub struct Generator {
    members: Vec<Member>,
    /// Per member, `{"name":` or `,"name":`; empty for hidden ones.
    names: Vec<Vec<u8>>,
    key: usize,
    /// The first member that is a number.
    numeric: Option<usize>,
    late_ms: (i64, i64),
    chances: Chances,
    random: Random,
    block: Vec<Codes>,
    /// The next row of `block`.
    row: usize,
    /// Rows drawn so far.
    drawn: u64,
    broken: usize,
    recent: VecDeque<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug)]
struct Chances {
    late: Chance,
    duplicate: Chance,
    bad: Chance,
    key_skew: Chance,
}

impl Generator {
    /// A generator that begins at the sequences' first values.
    #[must_use]
    pub fn new(spec: &GeneratorSpec, seed: u64, ratios: Ratios) -> Self {
        Self {
            names: names(&spec.members),
            key: spec.key,
            numeric: spec.members.iter().position(|member| !member.hidden && member.rule.numeric_type().is_some()),
            members: spec.members.clone(),
            late_ms: spec.late_ms,
            chances: Chances {
                late: Chance::new(ratios.late),
                duplicate: Chance::new(ratios.duplicate),
                bad: Chance::new(ratios.bad),
                key_skew: Chance::new(ratios.key_skew),
            },
            random: Random::new(seed),
            block: Vec::new(),
            row: BLOCK,
            drawn: 0,
            broken: 0,
            recent: VecDeque::with_capacity(RECENT),
        }
    }

    /// The next record; an ordinary one has `now_us` (microseconds since 1970-01-01T00:00:00Z) as its Kafka timestamp.
    pub fn next(&mut self, now_us: i64) -> GeneratedRecord {
        let late =
            if self.random.happens(self.chances.late) { self.random.within(self.late_ms.0, self.late_ms.1) } else { 0 };
        let timestamp_ms = now_us.div_euclid(1000).saturating_sub(late);
        if self.random.happens(self.chances.duplicate) {
            let index = self.random.index(self.recent.len());
            if let Some((key, payload)) = self.recent.get(index).cloned() {
                return GeneratedRecord { key, payload, timestamp_ms };
            }
        }
        let (key, payload) = self.fresh();
        GeneratedRecord { key, payload, timestamp_ms }
    }

    /// A new record's key and payload, good or broken.
    fn fresh(&mut self) -> (Vec<u8>, Vec<u8>) {
        if self.row == BLOCK {
            self.draw_block();
        }
        let kind = if self.random.happens(self.chances.bad) { self.next_broken() } else { None };
        let payload = self.payload(kind);
        let key = self.key();
        let number = self.drawn + u64::try_from(self.row).unwrap_or(0);
        self.row += 1;
        if kind.is_none() && number.is_multiple_of(REPEATABLE) {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((key.clone(), payload.clone()));
        }
        (key, payload)
    }

    fn next_broken(&mut self) -> Option<Broken> {
        let kind = Broken::ALL.get(self.broken % Broken::ALL.len()).copied();
        self.broken += 1;
        kind
    }

    fn draw_block(&mut self) {
        let first = self.drawn + 1;
        let mut block: Vec<Codes> = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let codes = match &member.rule {
                Rule::Formula(formula) => {
                    let column = |&i: &usize| self.members.get(i)?.rule.column(block.get(i)?);
                    let columns: Vec<_> = formula.inputs.iter().filter_map(column).collect();
                    formula.codes(&columns, BLOCK)
                }
                rule => rule.draw(&mut self.random, self.chances.key_skew, first, BLOCK, &block),
            };
            block.push(codes);
        }
        self.block = block;
        self.row = 0;
        self.drawn += u64::try_from(BLOCK).unwrap_or(0);
    }

    fn code(&self, member: usize) -> Option<i64> {
        self.block.get(member)?.get(self.row).copied().flatten()
    }

    fn payload(&self, kind: Option<Broken>) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        for (i, (member, name)) in self.members.iter().zip(&self.names).enumerate() {
            if member.hidden || (kind == Some(Broken::MissingMember) && i == self.key) {
                continue;
            }
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.extend_from_slice(name);
            match kind {
                Some(Broken::TextForNumber) if self.numeric == Some(i) => out.extend_from_slice(b"\"many\""),
                Some(Broken::TooManyDigits) if self.numeric == Some(i) => out.extend_from_slice(&[b'9'; 40]),
                _ => member.rule.write(&mut out, self.code(i)),
            }
        }
        out.extend_from_slice(if out.is_empty() { b"{}" } else { b"}" });
        match kind {
            Some(kind) => break_payload(kind, out),
            None => out,
        }
    }

    /// The key's member as text: a string without its quotes, else the number as written.
    fn key(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(member) = self.members.get(self.key) {
            member.rule.write(&mut out, self.code(self.key));
        }
        serde_json::from_slice::<String>(&out).map_or(out, String::into_bytes)
    }
}

fn names(members: &[Member]) -> Vec<Vec<u8>> {
    let name = |member: &Member| {
        let mut out = Vec::new();
        write_text(&mut out, &member.name);
        out.push(b':');
        out
    };
    members.iter().map(name).collect()
}

#[cfg(test)]
mod tests;
