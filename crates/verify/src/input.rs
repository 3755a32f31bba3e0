//! What one entry read: the lines that its files of Bronze and Quarantine hold, by partition and offset (I4).

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use lakeward_core::log::Entry;

use crate::history::{Live, Source};
use crate::invariant::Invariant::{I3, I4, I13};
use crate::line::{self, Identity, Reject};
use crate::report::Report;

/// The records of an entry.
#[derive(Default)]
pub struct Input {
    bodies: Vec<Bytes>,
    lines: HashMap<Source, Vec<Place>>,
    rejects: BTreeMap<Identity, Reject>,
}

/// Where a line of Bronze lies.
#[derive(Clone)]
struct Place {
    offset: i64,
    body: usize,
    range: Range<usize>,
}

/// One record: its line in Bronze, and in Quarantine; at least one of them.
pub struct Record<'a> {
    /// Whose.
    pub identity: Identity,
    /// The line of Bronze.
    pub bronze: Option<&'a [u8]>,
    /// The line of Quarantine.
    pub reject: Option<&'a Reject>,
}

impl Input {
    /// Takes up a file of Bronze.
    pub fn add_bronze(&mut self, live: &Live, bytes: Bytes, report: &mut Report) {
        let body = self.bodies.len();
        let mut count = 0;
        for range in lines(&bytes) {
            count += 1;
            let line = bytes.get(range.clone()).unwrap_or_default();
            match line::identity(line) {
                Some((incarnation, partition, offset)) => {
                    let places = self.lines.entry((incarnation, partition)).or_default();
                    places.push(Place { offset, body, range });
                }
                None => report.broken(I4, || format!("{}: line {count} has no coordinates", live.file.path)),
            }
        }
        note_count(live, count, &bytes, report);
        report.counted(I4, "lines of Bronze", count);
        self.bodies.push(bytes);
    }

    /// Takes up a file of Quarantine.
    pub fn add_quarantine(&mut self, live: &Live, bytes: &Bytes, report: &mut Report) {
        let path = &live.file.path;
        let mut count = 0;
        for range in lines(bytes) {
            count += 1;
            let text = std::str::from_utf8(bytes.get(range).unwrap_or_default());
            let read = text.map_err(|_| "is no text").and_then(line::quarantine);
            match read {
                Ok(reject) => {
                    let identity = reject.identity;
                    if self.rejects.insert(identity, reject).is_some() {
                        report.broken(I13, || format!("{} is in Quarantine twice, again in {path}", shown(identity)));
                    }
                }
                Err(what) => report.broken(I13, || format!("{path}: line {count} {what}")),
            }
        }
        note_count(live, count, bytes, report);
        report.counted(I13, "lines of Quarantine", count);
    }

    /// Sorts what was taken up, and finds what does not belong to the entry's ranges or is there twice.
    pub fn settle(&mut self, entry: &Entry, report: &mut Report) {
        let inside = |(incarnation, partition): Source, offset: i64| {
            let told = entry.partitions.get(&partition).filter(|told| told.incarnation == incarnation);
            told.is_some_and(|told| (told.from..told.to).contains(&offset))
        };
        let version = entry.version;
        for (&source, places) in &mut self.lines {
            // Files of one entry follow each other; lines of a partition are in order within each.
            places.sort_by_key(|place| place.offset);
            for place in places.iter().filter(|place| !inside(source, place.offset)) {
                let identity = (source.0, source.1, place.offset);
                report.broken(I4, || {
                    format!("entry {version}: Bronze holds {}, which is not in its range", shown(identity))
                });
            }
            for pair in places.windows(2) {
                if let [a, b] = pair
                    && a.offset == b.offset
                {
                    let identity = (source.0, source.1, a.offset);
                    report.broken(I4, || format!("entry {version}: {} is in Bronze twice", shown(identity)));
                }
            }
            places.dedup_by_key(|place| place.offset);
        }
        for identity in self.rejects.keys().filter(|(i, p, offset)| !inside((*i, *p), *offset)) {
            report.broken(I13, || {
                format!("entry {version}: Quarantine holds {}, which is not in its range", shown(*identity))
            });
        }
    }

    /// The records of a partition in order of their offsets.
    pub fn records(&self, source: Source) -> Vec<Record<'_>> {
        let (incarnation, partition) = source;
        let places = self.lines.get(&source).map_or(&[][..], Vec::as_slice);
        let rejects = self.rejects.range((incarnation, partition, i64::MIN)..=(incarnation, partition, i64::MAX));
        let mut rejects = rejects.peekable();
        let mut records = Vec::with_capacity(places.len());
        for place in places {
            let identity = (incarnation, partition, place.offset);
            while let Some((before, reject)) = rejects.next_if(|(at, _)| at.2 < place.offset) {
                records.push(Record { identity: *before, bronze: None, reject: Some(reject) });
            }
            let reject = rejects.next_if(|(at, _)| **at == identity).map(|(_, reject)| reject);
            records.push(Record { identity, bronze: Some(self.line(place)), reject });
        }
        records.extend(rejects.map(|(&identity, reject)| Record { identity, bronze: None, reject: Some(reject) }));
        records
    }

    /// One record's line of Bronze.
    #[must_use]
    pub fn bronze_line(&self, identity: Identity) -> Option<&[u8]> {
        let places = self.lines.get(&(identity.0, identity.1))?;
        let at = places.binary_search_by_key(&identity.2, |place| place.offset).ok()?;
        places.get(at).map(|place| self.line(place))
    }

    /// The records that Quarantine holds.
    pub fn refused(&self) -> impl Iterator<Item = Identity> {
        self.rejects.keys().copied()
    }

    fn line(&self, place: &Place) -> &[u8] {
        self.bodies.get(place.body).and_then(|body| body.get(place.range.clone())).unwrap_or_default()
    }
}

/// `partition 3, offset 7`, with the incarnation where it is not the first.
#[must_use]
pub fn shown((incarnation, partition, offset): Identity) -> String {
    let anew = if incarnation == 0 { String::new() } else { format!(" of incarnation {incarnation}") };
    format!("partition {partition}{anew}, offset {offset}")
}

/// Where the lines lie, without their line feeds.
fn lines(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut start = 0;
    bytes
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| {
            let range = start..start + line.strip_suffix(b"\n").unwrap_or(line).len();
            start += line.len();
            range
        })
        .collect()
}

fn note_count(live: &Live, count: usize, bytes: &[u8], report: &mut Report) {
    let (path, told) = (&live.file.path, live.file.staged.rows);
    report.counted(I3, "rows of files", count);
    if u64::try_from(count) != Ok(told) {
        report.broken(I3, || format!("{path} holds {count} lines, its entry says {told}"));
    }
    if bytes.last().is_some_and(|byte| *byte != b'\n') {
        report.broken(I3, || format!("{path} does not end with a line feed"));
    }
}
