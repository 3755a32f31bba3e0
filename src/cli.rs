//! The command line.

use std::path::PathBuf;

use std::time::Duration;

use chrono::DateTime;
use clap::{Args, Parser, Subcommand, ValueEnum};
use lakeward_core::decode::Reason;
use lakeward_core::duration::parse_duration;

use crate::feed::Rate;

/// Kafka to a lake and live marts, exactly once, with a ledger that proves it.
#[derive(Debug, Parser)]
#[command(name = "lakeward", version, arg_required_else_help = true, after_help = crate::exit::table())]
pub struct Cli {
    /// Configuration file; lakeward.toml in the working folder by default
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run pipelines: built-in names or files
    Run(RunArgs),
    /// Check a pipeline file and print what would run
    Validate {
        /// Built-in name or file
        pipeline: String,
    },
    /// Whether everything that a run needs is there, and what to do where it isn't; exit code 1 if something is bad
    Doctor {
        /// Built-in name or file
        pipeline: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// The balance per partition; exit code 1 if it is open
    Ledger {
        /// Built-in name or file
        pipeline: String,
        /// Read every file of the lake too: bytes, rows, and rows per partition
        #[arg(long)]
        files: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Work everything out anew and compare it with what lake, mart and Kafka hold; exit code 1 if anything is broken
    Verify {
        /// Built-in name or file
        pipeline: String,
        /// Every value of the mart's rows and the bytes of all state too
        #[arg(long)]
        deep: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What each layer, mart and partition holds
    Status {
        /// Built-in name or file
        pipeline: String,
    },
    /// Entries of the pipeline's log
    Log(LogArgs),
    /// Rows of a layer or of a mart's table, as they appear
    Tail(TailArgs),
    /// What was refused: counted by reason, or record by record
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Start a pipeline over: end its log and remove what it has put into lake and mart
    Reset(ResetArgs),
    /// Write Silver, Gold, Quarantine and the mart anew from Bronze, by the pipeline file as it is now
    Rebuild(RebuildArgs),
    /// A feed from Kafka to lake and mart in this process, no server needed, with a live view
    Demo(DemoArgs),
    /// How fast this machine takes a feed in: records in memory, the real actors, a lake in a folder, no server
    Bench(BenchArgs),
    /// Send records of a feed: drawn by its rules, the same for a seed, or from a CSV file
    Generate(GenerateArgs),
    /// What holds the watermark, or where lag arises, of a service that runs
    Explain(ExplainArgs),
    /// A service that runs, live on one screen; q ends it
    Top(TopArgs),
    /// A few records of a topic, with their coordinates
    Peek(PeekArgs),
    /// What a shell needs to complete this command line
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// The manual page, as troff
    Man {
        /// Write a page for every command into this folder instead
        #[arg(long, value_name = "FOLDER")]
        to: Option<PathBuf>,
    },
}

/// What to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Explained {
    /// What keeps windows from closing
    Watermark,
    /// Why records wait in Kafka
    Lag,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// What
    #[arg(value_enum)]
    pub what: Explained,
    /// Name of a pipeline that the service runs; its first by default
    pub pipeline: Option<String>,
    /// Where the service is; http.listen of the configuration by default
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// Name of a pipeline that the service runs; its first by default
    pub pipeline: Option<String>,
    /// Where the service is; http.listen of the configuration by default
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// One frame, and no more
    #[arg(long)]
    pub once: bool,
}

/// Where generated records go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// The pipeline's topic, created if it is absent
    #[default]
    Kafka,
    /// Standard output, one payload per line
    Stdout,
}

/// Arguments of `generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
    /// Built-in name or file; the rules of x.toml are in x.generator.toml beside it
    pub pipeline: String,
    /// Stop after this many records; without --rate as fast as Kafka takes them
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub events: Option<u64>,
    /// Stop after this time, such as 60s; without --events and --duration a signal ends it
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub duration: Option<Duration>,
    /// Records per second, or "max"; the rules' own rate by default
    #[arg(long, value_name = "N|max")]
    pub rate: Option<Rate>,
    /// The same seed gives the same records
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Share of records whose skewed members have their first value, 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = ratio)]
    pub key_skew: f64,
    /// Share of records that come late, 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = ratio)]
    pub late: f64,
    /// Share of records that repeat an earlier one, 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = ratio)]
    pub duplicates: f64,
    /// Share of records that can't be decoded, 0 to 1
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = ratio)]
    pub bad: f64,
    /// Send the lines of this file instead; its header names the members
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "key_skew", "late", "duplicates", "bad"])]
    pub csv: Option<PathBuf>,
    /// Where records go
    #[arg(long, value_enum, default_value_t)]
    pub to: To,
    /// Spread the Kafka timestamps evenly over this span, such as 30m; it ends now, or begins at --start-time
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub span: Option<Duration>,
    /// Where the span begins, as RFC 3339
    #[arg(long, value_name = "TIME", requires = "span", value_parser = time)]
    pub start_time: Option<i64>,
}

/// Arguments of `tail`.
#[derive(Clone, Debug, Args)]
pub struct TailArgs {
    /// Built-in name or file
    pub pipeline: String,
    /// The layer; the one with typed rows by default
    #[arg(long, value_name = "NAME", conflicts_with = "table")]
    pub layer: Option<String>,
    /// A table of the mart instead of a layer, previews included; --follow shows what changed among its newest rows
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// This many of the newest rows
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub n: u32,
    /// Go on with rows as they come
    #[arg(long)]
    pub follow: bool,
}

/// What to tell of the quarantine.
#[derive(Clone, Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Records by reason and field
    List(QuarantineFilter),
    /// The newest records, with what they hold
    Show {
        /// Which.
        #[command(flatten)]
        filter: QuarantineFilter,
        /// This many
        #[arg(short, value_name = "N", default_value_t = 10)]
        n: usize,
    },
    /// Judges records again and takes in those that are not refused any more; refuses while a process runs the pipeline
    Replay {
        /// Which.
        #[command(flatten)]
        filter: QuarantineFilter,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
}

/// Which refused records.
#[derive(Clone, Debug, Default, Args)]
pub struct QuarantineFilter {
    /// Built-in name or file
    pub pipeline: String,
    /// Only those refused for this reason, such as WRONG_TYPE
    #[arg(long, value_name = "CODE", value_parser = reason)]
    pub reason: Option<String>,
    /// Only those of one partition
    #[arg(long, value_name = "P")]
    pub partition: Option<i32>,
    /// Only those with a Kafka time at or after this one, such as 2025-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<i64>,
    /// Only those with a Kafka time before this one
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<i64>,
    /// As JSON; `show` prints the lines of the lake
    #[arg(long)]
    pub json: bool,
}

/// What a rebuild reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RebuildFrom {
    /// The lake's own Bronze, and Quarantine for what Bronze doesn't hold
    Bronze,
}

/// Arguments of `rebuild`.
#[derive(Clone, Debug, Args)]
pub struct RebuildArgs {
    /// Built-in name or file, as it is to decide from now on
    pub pipeline: String,
    /// Where the records come from
    #[arg(long)]
    pub from: RebuildFrom,
    /// Don't ask
    #[arg(long)]
    pub yes: bool,
    /// What changes and what came of it, as JSON; without --yes nothing changes
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `reset`.
#[derive(Clone, Debug, Args)]
pub struct ResetArgs {
    /// Built-in name or file, as it ran: its tables are emptied
    pub pipeline: String,
    /// Don't ask
    #[arg(long)]
    pub yes: bool,
    /// What goes, as JSON; without --yes nothing does
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Folder of the lake, the mart, the configuration and the logs
    #[arg(long, value_name = "DIR", default_value = "lakeward-demo")]
    pub dir: PathBuf,
    /// Remove what an earlier demo left there
    #[arg(long)]
    pub fresh: bool,
    /// Records per second; the Kafka inside this process keeps little, so stay below 5000
    #[arg(long, value_name = "N", default_value = "500", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub events_per_second: u32,
    /// End by itself after this many seconds
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Plain lines even on a terminal
    #[arg(long)]
    pub plain: bool,
}

/// Arguments of `bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// Built-in name or file; the rules of x.toml are in x.generator.toml beside it
    pub pipeline: String,
    /// This many records, all of which are made before the clock starts
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub events: u64,
    /// Partitions that they are spread over; the rules' own number by default
    #[arg(long, value_name = "P")]
    pub partitions: Option<u32>,
    /// Keep to this many of the machine's cores
    #[arg(long, value_name = "N")]
    pub cores: Option<usize>,
    /// Time that the records' timestamps are spread over
    #[arg(long, value_name = "SPAN", default_value = "3h", value_parser = span)]
    pub span: Duration,
    /// How often an epoch is committed
    #[arg(long, value_name = "SPAN", default_value = "2s")]
    pub epoch_age: String,
    /// The same seed gives the same records
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Leave lake and lakeward.toml in this folder, which must be new; by default they go when it is over
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `peek`.
#[derive(Clone, Debug, Args)]
pub struct PeekArgs {
    /// The topic
    pub topic: String,
    /// This many records over all partitions
    #[arg(short, value_name = "N", default_value_t = 10)]
    pub n: usize,
    /// The oldest records instead of the newest
    #[arg(long)]
    pub first: bool,
}

/// Arguments of `log`.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// Built-in name or file
    pub pipeline: String,
    /// One entry, whole, as JSON
    pub version: Option<u64>,
    /// Go on with entries as they come
    #[arg(long, conflicts_with = "version")]
    pub follow: bool,
    /// One JSON object per line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Built-in names or files
    #[arg(required = true, value_name = "PIPELINE|FILE")]
    pub pipelines: Vec<String>,
    /// Read to the present end of the topic, commit, bring all followers up, exit
    #[arg(long)]
    pub once: bool,
    /// With --once: raise floors as if all partitions were idle, so that windows close
    #[arg(long, requires = "once")]
    pub close_all: bool,
    /// Take over at once instead of waiting for the owner's lease to expire
    #[arg(long)]
    pub take_over: bool,
}

fn span(text: &str) -> Result<Duration, String> {
    parse_duration(text).map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse::<f64>().ok().filter(|r| (0.0..=1.0).contains(r));
    ratio.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

/// A reason code, in any case.
fn reason(text: &str) -> Result<String, String> {
    let wanted = text.to_uppercase();
    let known = |reason: &Reason| reason.as_str() == wanted;
    let all = || Reason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(", ");
    if Reason::ALL.iter().any(known) { Ok(wanted) } else { Err(format!("there are {}", all())) }
}

/// Microseconds since 1970.
pub fn time(text: &str) -> Result<i64, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|t| t.timestamp_micros()).map_err(|e| format!("{e}; write it as 2025-01-31T12:00:00Z"))
}
