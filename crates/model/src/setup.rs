//! What is explored: the input, what takes part, and how often things may go wrong.

use std::fmt;

use lakeward_core::ids::EventTime;
use lakeward_core::kpi::window_end;
use lakeward_core::pipeline::Window;
use lakeward_core::watermark::is_closed;

/// Most partitions.
pub const PARTS: usize = 3;

/// A set of records, one bit each. As a number it is what a sum over all of them gives, so a record that is counted twice
/// shows.
pub type Rows = u32;

/// Records by (start of window, key), sorted.
pub type Slices = Vec<((i64, u8), Rows)>;

/// A record of the topic.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Event time.
    pub time: i64,
    /// Whether a process may find it to be from the future, by its clock.
    pub future: bool,
    /// Its key; records from the future have one of their own, so that a ghost shows.
    pub key: u8,
    /// Its bit.
    pub bit: Rows,
}

/// How often each may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A process dies, or its generation ends.
    pub deaths: u8,
    /// A process takes over from one that lives.
    pub take_overs: u8,
    /// A create is lost.
    pub lost: u8,
    /// A create, a transaction or a rename takes effect later, and nobody hears of it.
    pub late: u8,
    /// A follower dies alone.
    pub followers: u8,
    /// Files are rewritten into one.
    pub compactions: u8,
    /// Entries below a checkpoint are removed.
    pub retentions: u8,
}

/// What is one step on the way from a record to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grain {
    /// Reading a record, cutting an epoch, each barrier, making the entry.
    Barriers,
    /// Reading a record; cutting an epoch with all that follows up to the entry. One epoch is under way.
    Epochs,
    /// Reading a record and cutting its epoch with all barriers; making the entry.
    Records,
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it is called.
    pub name: &'static str,
    /// Records per partition.
    pub topic: Vec<Vec<Record>>,
    /// How many of them are there from the beginning.
    pub ready: [u8; PARTS],
    /// The partition that is added later.
    pub added: Option<usize>,
    /// Processes.
    pub processes: u8,
    /// Size of the KPI's windows.
    pub window: i64,
    /// Allowed lateness.
    pub lateness: i64,
    /// Out-of-orderness.
    pub disorder: i64,
    /// What is one step.
    pub grain: Grain,
    /// Whether a create is sent, takes effect and is read back in three steps. Otherwise in one.
    pub creates: bool,
    /// Whether partitions may be idle.
    pub idle: bool,
    /// Whether there is a KPI.
    pub kpi: bool,
    /// Whether a mart holds rows.
    pub rows: bool,
    /// Whether a mart holds the KPI.
    pub live: bool,
    /// Whether files are rolled forward and staging is swept.
    pub folders: bool,
    /// A checkpoint stands at each multiple of this; 0: none.
    pub checkpoint: u64,
    /// What may go wrong.
    pub faults: Faults,
}

impl Setup {
    /// A configuration of `processes` processes and the given event times per partition; all else is off.
    #[must_use]
    pub fn new(name: &'static str, processes: u8, times: &[&[i64]]) -> Self {
        let mut bit = 1;
        let mut record = |&time: &i64| {
            let record = Record { time, future: false, key: 0, bit };
            bit <<= 1;
            record
        };
        let topic: Vec<Vec<Record>> = times.iter().map(|times| times.iter().map(&mut record).collect()).collect();
        let mut ready = [0; PARTS];
        for (ready, records) in ready.iter_mut().zip(&topic) {
            *ready = u8::try_from(records.len()).unwrap_or(u8::MAX);
        }
        Self {
            name,
            topic,
            ready,
            added: None,
            processes,
            window: 10,
            lateness: 0,
            disorder: 0,
            grain: Grain::Barriers,
            creates: false,
            idle: false,
            kpi: false,
            rows: false,
            live: false,
            folders: false,
            checkpoint: 0,
            faults: Faults::default(),
        }
    }

    /// The record may be found to be from the future.
    #[must_use]
    pub fn future(mut self, partition: usize, offset: usize) -> Self {
        if let Some(record) = self.topic.get_mut(partition).and_then(|records| records.get_mut(offset)) {
            (record.future, record.key) = (true, 1);
        }
        self
    }

    /// Bits of the records of a partition from `offset` on.
    #[must_use]
    pub fn bits_from(&self, partition: usize, offset: i64) -> Rows {
        let from = usize::try_from(offset).unwrap_or(0);
        self.topic.get(partition).map_or(0, |t| t.iter().skip(from).fold(0, |rows, record| rows | record.bit))
    }

    /// Bits of the records that may be from the future.
    #[must_use]
    pub fn doubtful(&self) -> Rows {
        self.topic.iter().flatten().filter(|r| r.future).fold(0, |rows, record| rows | record.bit)
    }
}

/// The bounds, in words.
impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records: Vec<String> = self.topic.iter().map(|records| records.len().to_string()).collect();
        let faults = &self.faults;
        let at_most = [
            ("deaths", faults.deaths),
            ("take-overs from the living", faults.take_overs),
            ("lost creates", faults.lost),
            ("late effects", faults.late),
            ("followers' deaths", faults.followers),
            ("compactions", faults.compactions),
            ("retentions", faults.retentions),
        ];
        write!(f, "processes {}, records {}", self.processes, records.join(" + "))?;
        at_most.iter().filter(|(_, n)| *n > 0).try_for_each(|(what, n)| write!(f, ", {what} {n}"))
    }
}

/// The KPI's windows.
#[must_use]
pub fn window(setup: &Setup) -> Window {
    Window::Tumbling { size: setup.window }
}

/// Whether `g` has closed the window that starts at `start`.
#[must_use]
pub fn closed_at(setup: &Setup, start: i64, g: i64) -> bool {
    is_closed(window_end(window(setup), EventTime(start)), setup.lateness, EventTime(g))
}

/// Adds rows to a slice. As numbers: what is there already shows.
pub fn add(slices: &mut Slices, slice: (i64, u8), rows: Rows) {
    match slices.binary_search_by_key(&slice, |(known, _)| *known) {
        Ok(at) => {
            if let Some((_, held)) = slices.get_mut(at) {
                *held += rows;
            }
        }
        Err(at) => slices.insert(at, (slice, rows)),
    }
}
