//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Kafka to a lake and live marts, exactly once, with a ledger that proves it.
#[derive(Debug, Parser)]
#[command(name = "lakeward", version, arg_required_else_help = true)]
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
    /// The balance per partition; exit code 1 if it is open
    Ledger {
        /// Built-in name or file
        pipeline: String,
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
    /// Write a built-in feed's records to Kafka
    Generate(GenerateArgs),
}

/// Where generated records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The pipeline's topic, created if it is absent
    Kafka,
    /// Standard output, one payload a line
    Stdout,
}

/// Arguments of `generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
    /// Built-in name
    pub pipeline: String,
    /// How many records; without it, until --duration or a signal
    #[arg(long)]
    pub events: Option<u64>,
    /// How long, such as 60s
    #[arg(long)]
    pub duration: Option<String>,
    /// Records per second, or max; the feed's own by default, as fast as possible with --events
    #[arg(long)]
    pub rate: Option<String>,
    /// The same seed gives the same records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Share of records of the first key value, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub key_skew: f64,
    /// Share of late records
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub late: f64,
    /// Share of repeated records
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub duplicates: f64,
    /// Share of broken records
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub bad: f64,
    /// Spread the Kafka timestamps of --events over this span, which ends now
    #[arg(long, requires = "events")]
    pub span: Option<String>,
    /// Where the records go
    #[arg(long, value_enum, default_value_t = Target::Kafka)]
    pub to: Target,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("give a number from 0 to 1".to_owned()),
    }
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
