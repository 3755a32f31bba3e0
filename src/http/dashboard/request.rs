//! What a reader asks for: the query of an address as a selection.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lakeward_connect::mart::board::Selection;
use lakeward_core::duration::parse_duration;
use lakeward_core::pipeline::{Dashboard, Pipeline};

use super::Refusal;

/// Most values that are chosen of one filter.
const MOST_CHOSEN: usize = 200;

/// A selection as it was asked for: the same text for the same one, whenever it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// From this time on, microseconds.
    pub from: Option<i64>,
    /// Before this time.
    pub to: Option<i64>,
    /// Instead of both: up to now, so many microseconds.
    pub last: Option<i64>,
    /// Chosen labels by column of the rows table.
    pub chosen: BTreeMap<usize, Vec<String>>,
    /// Most rows.
    pub limit: Option<u32>,
}

impl Asked {
    /// Reads the pairs of a query. What is not known is refused: a filter that is misspelt must not show everything.
    pub fn read(pairs: &[(String, String)], pipeline: &Pipeline, board: &Dashboard) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "pipeline" => {}
                "from" => asked.from = Some(time(name, value)?),
                "to" => asked.to = Some(time(name, value)?),
                "last" => asked.last = Some(parse_duration(value).map_err(|why| bad(name, &why))?),
                "limit" => asked.limit = Some(value.parse().map_err(|_| bad(name, "is no whole number"))?),
                _ => {
                    let column = board.filters.iter().copied().find(|filter| is_named(pipeline, *filter, name));
                    let column = column.ok_or_else(|| bad(name, "is no filter of this board"))?;
                    asked.chosen.entry(column).or_default().push(value.clone());
                }
            }
        }
        if asked.last.is_some() && (asked.from.is_some() || asked.to.is_some()) {
            return Err(bad("last", "goes without from and to"));
        }
        for labels in asked.chosen.values_mut() {
            labels.sort();
            labels.dedup();
            if labels.len() > MOST_CHOSEN {
                return Err(Refusal::bad(format!("at most {MOST_CHOSEN} values of a filter can be chosen")));
            }
        }
        Ok(asked)
    }

    /// The rows that are meant at this moment. Bounds are widened to whole multiples of `grain`, so that windows of
    /// KPIs and rows are looked at alike.
    pub fn selection(&self, now: i64, grain: i64) -> Selection {
        let from = self.last.map_or(self.from, |last| Some(now.saturating_sub(last)));
        let down = |micros: i64| micros.saturating_sub(micros.rem_euclid(grain));
        let up = |micros: i64| if micros.rem_euclid(grain) == 0 { micros } else { down(micros).saturating_add(grain) };
        Selection { from: from.map(down), to: self.to.map(up), chosen: self.chosen.clone().into_iter().collect() }
    }
}

/// Whether the column of the rows table bears that name in the pipeline file.
pub fn is_named(pipeline: &Pipeline, column: usize, name: &str) -> bool {
    pipeline.rows_column(column).is_some_and(|(_, column)| column.name == name)
}

fn bad(name: &str, why: &str) -> Refusal {
    Refusal::bad(format!("{name}: {why}"))
}

fn time(name: &str, text: &str) -> Result<i64, Refusal> {
    let time = DateTime::parse_from_rfc3339(text);
    let time = time.map_err(|_| bad(name, "is no time; write it as 2024-01-31T12:00:00Z"))?;
    Ok(time.with_timezone(&Utc).timestamp_micros())
}
