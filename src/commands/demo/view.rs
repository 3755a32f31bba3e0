//! The demo on the screen: one picture twice a second on a terminal, a plain line now and then elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::Duration;

use lakeward_core::ids::Version;
use lakeward_core::ledger::Counters;
use lakeward_core::log::Fold;
use lakeward_core::pipeline::{Encoding, Holds, Pipeline};
use tokio::sync::watch;

use super::fit::{Size, folded, wrapped};
use super::folder::CONFIG;
use super::gather::Gather;

/// Time between two pictures.
const PICTURE_EVERY: Duration = Duration::from_millis(500);

/// Pictures per plain line.
const PLAIN_EVERY: u32 = 4;

/// A terminal that does not tell its size.
const USUAL: Size = Size { columns: 80, lines: 24 };

/// The state of the demo.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// Since its start.
    pub elapsed: Duration,
    /// Records in Kafka, of this run.
    pub sent: u64,
    /// Records per second into Kafka.
    pub sent_rate: u64,
    /// Records read, of this run.
    pub read: u64,
    /// Records per second out of Kafka.
    pub read_rate: u64,
    /// The newest committed version.
    pub version: Option<Version>,
    /// The ledger at that version, all runs.
    pub counters: Counters,
    /// What the layers hold at that version.
    pub layers: Vec<LayerPicture>,
    /// Live actors by kind.
    pub actors: BTreeMap<&'static str, usize>,
    /// Rows of a KPI.
    pub newest: Option<Table>,
}

/// What a layer holds.
#[derive(Clone, Debug)]
pub struct LayerPicture {
    /// Its name.
    pub name: String,
    /// Live files.
    pub files: usize,
    /// Their rows.
    pub rows: u64,
}

/// Rows of a table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// A text per column.
    pub rows: Vec<Vec<String>>,
}

/// Shows pictures until it is over.
pub async fn show(mut gather: Gather, plain: bool, mut over: watch::Receiver<bool>) {
    let on_terminal = !plain && std::io::stdout().is_terminal();
    let mut count: u32 = 0;
    let mut tick = tokio::time::interval(PICTURE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut drawn = 0;
    while !*over.borrow() {
        tokio::select! { _ = tick.tick() => {}, _ = over.changed() => {} }
        let picture = gather.look().await;
        if on_terminal {
            drawn = redraw(&render(&picture, terminal()), drawn);
        } else if count.is_multiple_of(PLAIN_EVERY) {
            println!("{}", plain_line(&picture));
        }
        count = count.wrapping_add(1);
    }
}

/// Asked for each picture: people resize.
fn terminal() -> Size {
    terminal_size::terminal_size()
        .map_or(USUAL, |(columns, lines)| Size { columns: columns.0.into(), lines: lines.0.into() })
}

/// Draws over the `drawn` lines of the last picture; the number of lines drawn.
fn redraw(text: &str, drawn: usize) -> usize {
    let mut out = String::new();
    if drawn > 0 {
        let _ = write!(out, "\x1b[{drawn}F");
    }
    for line in text.lines() {
        // A line that wraps would move the next picture.
        let _ = writeln!(out, "\x1b[?7l{line}\x1b[K\x1b[?7h");
    }
    out.push_str("\x1b[J");
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    text.lines().count()
}

fn render(p: &Picture, size: Size) -> String {
    let line = |label: &str, pieces: &[String], gap: &str| wrapped(label, pieces, gap, size.columns);
    let now = [
        format!("into Kafka {} ({}/s)", p.sent, p.sent_rate),
        format!("read {} ({}/s)", p.read, p.read_rate),
        format!("lag {}", p.sent.saturating_sub(p.read)),
        format!("committed version {}", version(p.version)),
    ];
    let layers: Vec<String> =
        p.layers.iter().map(|l| format!("{} {} rows in {} files", l.name, l.rows, l.files)).collect();
    let mut out = String::from("\n");
    out.push_str(&line(&format!("{:>4} s   ", p.elapsed.as_secs()), &now, "   "));
    out.push_str(&line("ledger   ", &ledger_terms(&p.counters), " "));
    out.push_str(&line("lake     ", &layers, "   "));
    out.push_str(&line("actors   ", &actors_list(&p.actors), " "));
    if let Some(table) = &p.newest {
        let _ = writeln!(out, "\n{}, newest rows", table.name);
        // The cursor stays in the line below the picture.
        let lines = size.lines.saturating_sub(out.lines().count() + 1);
        out.push_str(&folded(table, Size { lines, ..size }));
    }
    out
}

fn plain_line(p: &Picture) -> String {
    let mut line = format!(
        "{:.1} s: sent {} ({}/s), read {} ({}/s), lag {}, version {}, {}, actors: {}",
        p.elapsed.as_secs_f64(),
        p.sent,
        p.sent_rate,
        p.read,
        p.read_rate,
        p.sent.saturating_sub(p.read),
        version(p.version),
        ledger_terms(&p.counters).join(" "),
        actors_list(&p.actors).join(" ")
    );
    if let Some((table, row)) = p.newest.as_ref().and_then(|t| Some((t, t.rows.first()?))) {
        let cells: Vec<String> = table.columns.iter().zip(row).map(|(name, value)| format!("{name}={value}")).collect();
        let _ = write!(line, ", {}: {}", table.name, cells.join(" "));
    }
    line
}

fn version(version: Option<Version>) -> String {
    version.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

/// The balance, term by term.
fn ledger_terms(c: &Counters) -> Vec<String> {
    let late: u64 = c.late.values().sum();
    let balance = if c.is_balanced() { "closed;".to_owned() } else { format!("OPEN by {};", c.balance()) };
    vec![
        format!("{} read =", c.records),
        format!("{} kept +", c.kept),
        format!("{} filtered +", c.filtered),
        format!("{} duplicate +", c.duplicate),
        format!("{} quarantined +", c.quarantined),
        format!("{} tombstones,", c.tombstones),
        balance,
        format!("{late} late"),
    ]
}

fn actors_list(actors: &BTreeMap<&'static str, usize>) -> Vec<String> {
    let Some((last, others)) = actors.iter().collect::<Vec<_>>().split_last().map(|(l, o)| (*l, o.to_vec())) else {
        return vec!["none".to_owned()];
    };
    let others = others.iter().map(|(kind, n)| format!("{n} {kind},"));
    others.chain([format!("{} {}", last.1, last.0)]).collect()
}

/// What is going to happen.
pub fn introduction(
    pipeline: &Pipeline,
    dir: &Path,
    changes: &[String],
    per_second: u32,
    earlier: Option<&Fold>,
) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "lakeward demo: {} at {per_second} records/s, 1 % of them broken on purpose", pipeline.name);
    let _ = writeln!(out, "event time in this demo: {}", changes.join(", "));
    let _ = writeln!(
        out,
        "Kafka inside this process\nlake  {0}/lake\nmart  {0}/mart.db\nlog   {0}/lakeward.log",
        dir.display()
    );
    if let Some(fold) = earlier {
        let next = fold.partitions.values().map(|p| p.incarnation).max().unwrap_or(0) + 1;
        let _ = writeln!(
            out,
            "an earlier demo left version {} here; its topic is gone, this run's topic is accepted\nas incarnation {next} \
             (--fresh starts anew)",
            fold.version
        );
    }
    let _ = writeln!(out, "Ctrl-C ends it cleanly");
    out
}

/// How to look at what is there.
pub fn farewell(pipeline: &Pipeline, dir: &Path) -> String {
    let mut out = String::new();
    let dir = dir.display();
    let _ = writeln!(out, "\nThe files stay in {dir}. Look at them:");
    if let Some(kpi) = pipeline.kpis.iter().find_map(|k| k.mart.as_ref()) {
        let _ = writeln!(out, "  sqlite3 -header {dir}/mart.db 'SELECT * FROM {} LIMIT 10'", kpi.table);
    }
    let rows = pipeline.layer(|holds| matches!(holds, Holds::Rows { .. }));
    if let Some((_, layer)) = rows.filter(|(_, layer)| layer.encoding == Encoding::Parquet) {
        let files = format!("{dir}/lake/{}/**/*.parquet", layer.path);
        let _ = writeln!(out, "  duckdb -c \"SELECT count(*) FROM read_parquet('{files}', hive_partitioning = true)\"");
    }
    for command in ["ledger --files", "log", "tail"] {
        let _ = writeln!(out, "  lakeward --config {dir}/{CONFIG} {command} {dir}/pipeline.toml");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let counters = Counters { records: 100, kept: 98, quarantined: 2, ..Counters::default() };
        let rows = vec![vec!["10:00:00".to_owned(), "a".to_owned()]];
        Picture {
            elapsed: Duration::from_secs(12),
            sent: 120,
            sent_rate: 10,
            read: 110,
            read_rate: 9,
            version: Some(Version(5)),
            counters,
            layers: vec![LayerPicture { name: "raw".to_owned(), files: 3, rows: 100 }],
            actors: BTreeMap::from([("kpi", 7), ("partition", 3)]),
            newest: Some(Table { name: "t".to_owned(), columns: vec!["start".to_owned(), "shop".to_owned()], rows }),
        }
    }

    const WIDE: Size = Size { columns: 200, lines: 50 };

    #[test]
    fn the_picture_fits_its_terminal() {
        let mut picture = picture();
        let rows = (0..20).map(|_| vec!["10:00:00".to_owned(), "Sports & Outdoors".to_owned()]).collect();
        picture.newest =
            Some(Table { name: "t".to_owned(), columns: vec!["start".to_owned(), "shop".to_owned()], rows });
        for (columns, lines) in [(80, 24), (40, 24), (120, 16)] {
            let text = render(&picture, Size { columns, lines });
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
            assert!(text.lines().count() < lines, "{lines}: {text}");
            assert!(text.contains("2 quarantined") && text.contains("committed version 5"), "{text}");
        }
    }

    #[test]
    fn the_picture_says_rates_lag_version_ledger_actors_and_rows() {
        let text = render(&picture(), WIDE);
        for part in ["into Kafka 120 (10/s)", "lag 10", "version 5", "2 quarantined", "closed", "7 kpi, 3 partition"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("t, newest rows\n  start     shop\n  10:00:00  a\n"), "{text}");
    }

    #[test]
    fn a_plain_line_is_one_line_and_an_open_ledger_is_told() {
        let mut picture = picture();
        picture.counters.kept = 97;
        let line = plain_line(&picture);
        assert!(
            line.contains("OPEN by 1") && line.contains("t: start=10:00:00 shop=a") && !line.contains('\n'),
            "{line}"
        );
    }
}
