//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
