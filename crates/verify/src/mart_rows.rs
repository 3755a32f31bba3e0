//! The mart's table of rows against the kept rows, up to its fences (F2, I7, I8). Rows ahead of the log are previews.

use std::collections::{BTreeMap, HashMap};

use lakeward_connect::mart::{MartError, REPLAYED_FENCE};
use lakeward_core::pipeline::Pipeline;
use lakeward_core::types::Column;

use crate::cell::{Cell, digest};
use crate::history::Source;
use crate::input::shown;
use crate::invariant::Invariant::{I7, I8};
use crate::mart::{MartCheck, as_in_marts, cell_of};
use crate::report::Report;
use crate::silver::{Silver, SilverRow};

/// A row that the mart must hold.
pub struct Kept {
    /// Its offset.
    pub offset: i64,
    /// Kafka's timestamp in microseconds.
    pub time: Option<i64>,
    /// Whether retention took the file that a table would be filled from with it.
    pub without_file: bool,
    /// Stands for its values; 0 where they are not compared.
    pub digest: u128,
}

/// The rows that the mart's table of rows must hold, in order of their offsets.
pub struct KeptRows {
    deep: bool,
    /// Whether retention took the files of the rows that come now.
    pub without_files: bool,
    /// Columns of Silver that the table has, in its order, without the time of processing.
    sources: Vec<usize>,
    names: Vec<String>,
    rows: BTreeMap<Source, Vec<Kept>>,
}

impl KeptRows {
    /// None yet. `deep`: all values are compared, not only identities.
    #[must_use]
    pub fn new(pipeline: &Pipeline, deep: bool) -> Self {
        let silver = pipeline.silver_columns();
        let processing = pipeline.row_columns().len();
        let columns = pipeline.rows.iter().flat_map(|rows| &rows.columns);
        let columns: Vec<_> = columns.filter(|(_, source)| *source != processing && *source < silver.len()).collect();
        Self {
            deep,
            without_files: false,
            sources: columns.iter().map(|(_, source)| *source).collect(),
            names: columns.iter().map(|(name, _)| name.clone()).collect(),
            rows: BTreeMap::new(),
        }
    }

    /// Takes a kept row up.
    pub fn keep(&mut self, silver: &Silver, row: &SilverRow<'_>, scratch: &mut Vec<u8>) {
        let (incarnation, partition, offset) = row.line.identity;
        let digest = if self.deep {
            scratch.clear();
            self.sources.iter().for_each(|&at| as_in_marts(silver.cell(row, at)).encode(scratch));
            digest(scratch)
        } else {
            0
        };
        let kept = Kept { offset, time: row.line.time, without_file: self.without_files, digest };
        self.rows.entry((incarnation, partition)).or_default().push(kept);
    }

    /// All are taken up; replayed ones came behind their neighbours.
    pub fn settle(&mut self) {
        self.rows.values_mut().for_each(|rows| rows.sort_by_key(|kept| kept.offset));
    }
}

impl MartCheck<'_> {
    /// The table of rows.
    pub async fn rows(&self, kept: &KeptRows, report: &mut Report) -> Result<(), MartError> {
        let Some(rows) = &self.pipeline.rows else { return Ok(()) };
        let coordinates = self.coordinates(kept);
        let wanted =
            |column: &Column| coordinates.contains(&column.name) || kept.deep && kept.names.contains(&column.name);
        let Some(mut scan) = self.snapshot.scan(&rows.table, wanted).await? else {
            report.broken(I8, || format!("the table {} is not there", rows.table));
            return Ok(());
        };
        let mut seen: HashMap<Source, Vec<bool>> =
            kept.rows.iter().map(|(source, rows)| (*source, vec![false; rows.len()])).collect();
        let at = |name: &str| scan.columns.iter().position(|column| column.name == name);
        let places = coordinates.map_positions(at);
        let compared: Vec<usize> = kept.names.iter().filter_map(|name| at(name)).collect();
        let mut scratch = Vec::new();
        while let Some(chunk) = scan.rows.recv().await {
            for row in chunk? {
                let row: Vec<Cell> = row.into_iter().map(cell_of).collect();
                self.row(&rows.table, kept, &mut seen, &row, &places, &compared, &mut scratch, report);
            }
        }
        self.missing(&rows.table, kept, &seen, report);
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "one step of the loop above")]
    fn row(
        &self,
        table: &str,
        kept: &KeptRows,
        seen: &mut HashMap<Source, Vec<bool>>,
        row: &[Cell],
        places: &Places,
        compared: &[usize],
        scratch: &mut Vec<u8>,
        report: &mut Report,
    ) {
        report.counted(I8, "rows", 1);
        let Some((identity, time)) = places.of(row) else {
            return report.broken(I8, || format!("{table} holds a row without coordinates"));
        };
        let source = (identity.0, identity.1);
        if time.is_some_and(|time| Some(time) < self.boundary()) {
            return;
        }
        let next = self.snapshot.fences().rows.get(&source).map_or(i64::MIN, |(_, next)| *next);
        if identity.2 >= next {
            return report.broken(I7, || format!("{table} holds {}, its fence is at {next}", shown(identity)));
        }
        if identity.2 >= self.committed(source) {
            return;
        }
        let rows = kept.rows.get(&source).map_or(&[][..], Vec::as_slice);
        let Ok(at) = rows.binary_search_by_key(&identity.2, |kept| kept.offset) else {
            return report.broken(I8, || format!("{table} holds {}, which is no kept row", shown(identity)));
        };
        if seen.get_mut(&source).and_then(|seen| seen.get_mut(at)).is_none_or(|seen| std::mem::replace(seen, true)) {
            return report.broken(I8, || format!("{table} holds {} twice", shown(identity)));
        }
        if kept.deep {
            scratch.clear();
            compared.iter().filter_map(|&i| row.get(i)).for_each(|cell| cell.encode(scratch));
            if rows.get(at).is_some_and(|kept| kept.digest != digest(scratch)) {
                report.broken(I8, || format!("{table} holds other values than Silver for {}", shown(identity)));
            }
        }
    }

    fn missing(&self, table: &str, kept: &KeptRows, seen: &HashMap<Source, Vec<bool>>, report: &mut Report) {
        let mut without_file = 0;
        for (&source, rows) in &kept.rows {
            let committed = self.committed(source);
            let seen = seen.get(&source).into_iter().flatten();
            let replayed = self.history.sources.get(&source).filter(|_| self.awaits_replayed());
            let on_its_way = |row: &Kept| replayed.is_some_and(|reached| reached.replayed.contains(row.offset));
            for (row, _) in rows.iter().zip(seen).filter(|(row, seen)| !**seen && row.offset < committed) {
                if on_its_way(row) || row.time.is_some_and(|time| Some(time) < self.boundary()) {
                    continue;
                }
                if row.without_file {
                    without_file += 1;
                } else {
                    report.broken(I8, || format!("{table} lacks {}", shown((source.0, source.1, row.offset))));
                }
            }
        }
        self.may_lack(table, without_file, report);
    }

    /// Rows of files that retention took: who fills a table later can't put them there.
    pub(crate) fn may_lack(&self, table: &str, rows: usize, report: &mut Report) {
        if rows > 0 {
            report.undecided(I8, format!("{table} lacks {rows} rows whose files retention took: it was filled since"));
        }
    }

    /// Whether replayed rows are yet to come: the mart's fence of them is below the newest replay.
    fn awaits_replayed(&self) -> bool {
        let fence = self.snapshot.fences().kpis.get(REPLAYED_FENCE).and_then(|fence| fence.version);
        fence < self.history.replays.last().copied()
    }

    /// Rows below have gone by retention (F2), or are on their way.
    fn boundary(&self) -> Option<i64> {
        self.history.rows_boundary.map(|boundary| boundary.0)
    }

    /// The offset up to which rows must be there: the fence, or where its claim's reign ended; what is above is preview.
    fn committed(&self, source: Source) -> i64 {
        let fence = self.snapshot.fences().rows.get(&source);
        fence.map_or(i64::MIN, |(claim, next)| (*next).min(self.history.reign_end(*claim, source)))
    }

    fn coordinates(&self, kept: &KeptRows) -> Coordinates {
        let first = self.pipeline.row_columns().len();
        let name = |system: usize| {
            let at = kept.sources.iter().position(|source| *source == first + system);
            at.and_then(|at| kept.names.get(at)).cloned().unwrap_or_default()
        };
        Coordinates { incarnation: name(5), partition: name(2), offset: name(3), time: name(4) }
    }
}

/// Names of the columns that say whose a row is.
struct Coordinates {
    incarnation: String,
    partition: String,
    offset: String,
    time: String,
}

impl Coordinates {
    fn contains(&self, name: &str) -> bool {
        [&self.incarnation, &self.partition, &self.offset, &self.time].contains(&&name.to_owned())
    }

    fn map_positions(&self, at: impl Fn(&str) -> Option<usize>) -> Places {
        Places { of: [&self.incarnation, &self.partition, &self.offset, &self.time].map(|name| at(name)) }
    }
}

/// Where those columns stand.
struct Places {
    of: [Option<usize>; 4],
}

impl Places {
    fn of(&self, row: &[Cell]) -> Option<((i32, i32, i64), Option<i64>)> {
        let int = |at: Option<usize>| match row.get(at?)? {
            Cell::Int(n) => Some(*n),
            _ => None,
        };
        let [incarnation, partition, offset, time] = self.of.map(int);
        Some(((incarnation?.try_into().ok()?, partition?.try_into().ok()?, offset?), time))
    }
}
