//! Where a feed's records come from: the rules of a generator file, or the lines of a CSV file.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use lakeward_core::generate::{CsvTemplate, GeneratedRecord, Generator};
use lakeward_core::pipeline::FieldDef;

use crate::exit::Exit;

/// A source of records.
pub enum Records {
    /// Endless, drawn by rules.
    Rules(Box<Generator>),
    /// The lines of a file, once.
    Csv(CsvRecords),
}

/// The lines of a CSV file behind its header.
pub struct CsvRecords {
    file: String,
    lines: BufReader<File>,
    number: u64,
    template: CsvTemplate,
    line: String,
}

impl Records {
    /// The lines of `path`, whose header names the record's members; `key` is the column of the Kafka key.
    ///
    /// # Errors
    /// The file can't be read, or its header lacks the key.
    pub fn csv(path: &Path, fields: &[FieldDef], key: &str) -> Result<Self, Exit> {
        let file = path.display().to_string();
        let opened = File::open(path).map_err(|e| Exit::usage(format!("{file}: cannot read it: {e}")))?;
        let mut lines = BufReader::new(opened);
        let mut header = String::new();
        lines.read_line(&mut header).map_err(|e| Exit::usage(format!("{file}:1: {e}")))?;
        let template = CsvTemplate::new(&header, fields, key).map_err(|e| Exit::usage(format!("{file}:1: {e}")))?;
        Ok(Self::Csv(CsvRecords { file, lines, number: 1, template, line: String::new() }))
    }

    /// The next record, with `stamp` (microseconds since 1970) as an ordinary one's Kafka timestamp; `None` at the end.
    ///
    /// # Errors
    /// A line that doesn't fit the header.
    pub fn next(&mut self, stamp: i64) -> Result<Option<GeneratedRecord>, Exit> {
        match self {
            Self::Rules(generator) => Ok(Some(generator.next(stamp))),
            Self::Csv(csv) => csv.next(stamp),
        }
    }
}

impl CsvRecords {
    fn next(&mut self, stamp: i64) -> Result<Option<GeneratedRecord>, Exit> {
        loop {
            self.line.clear();
            self.number += 1;
            let place = |error: String| Exit::failed(format!("{}:{}: {error}", self.file, self.number));
            if self.lines.read_line(&mut self.line).map_err(|e| place(e.to_string()))? == 0 {
                return Ok(None);
            }
            if self.line.trim_end().is_empty() {
                continue;
            }
            let (key, payload) = self.template.record(&self.line).map_err(|e| place(e.to_string()))?;
            return Ok(Some(GeneratedRecord { key, payload, timestamp_ms: stamp.div_euclid(1000) }));
        }
    }
}
