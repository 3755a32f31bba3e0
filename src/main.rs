//! The composition root: command line, configuration, topology, HTTP.

mod admission;
mod builtin;
mod cli;
mod commands;
mod config;
#[cfg(test)]
mod crash_points;
mod exit;
mod feed;
mod flow;
mod host;
mod http;
mod layers;
mod observe;
mod reader;
mod rebuild;
mod replay;
mod reset;
mod run;
mod scribe;
mod signal;
mod text;
mod topology;
mod trust;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use config::{Config, Environment, LogFormat};
use exit::Exit;

/// Batches are made on one thread and dropped on another all the time. Under that the C library's allocator keeps what
/// was freed; this one gives it back soon, as `.cargo/config.toml` asks.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("lakeward: {exit}");
            ExitCode::from(exit.code)
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Exit> {
    match cli.command {
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Man { to } => commands::manual::man(to.as_deref()),
        Command::Validate { pipeline } => commands::validate::validate(&pipeline),
        // It brings its own configuration.
        Command::Demo(args) => actix::System::new().block_on(commands::demo::demo(args)),
        Command::Bench(args) => {
            // Threads keep to the cores of the thread that starts them: this one, before there are others.
            commands::bench::keep_to_cores(&args)?;
            actix::System::new().block_on(commands::bench::bench(args))
        }
        command => configured(cli.config.as_deref(), command),
    }
}

/// Runs a command that needs the configuration.
fn configured(file: Option<&Path>, command: Command) -> Result<(), Exit> {
    let environment = Environment::of_process();
    let config = Config::load(file, &environment).map_err(|e| Exit::usage(e.to_string()))?;
    observe::start_logs(config.log.level.as_str(), config.log.format == LogFormat::Json);
    actix::System::new().block_on(async {
        match command {
            Command::Run(args) => commands::run::run(config, args).await,
            Command::Doctor { pipeline, json } => commands::doctor::doctor(&config, &pipeline, json).await,
            Command::Ledger { pipeline, files, json } => {
                commands::ledger::ledger(&config, &pipeline, files, json).await
            }
            Command::Verify { pipeline, deep, json } => commands::verify::verify(&config, &pipeline, deep, json).await,
            Command::Status { pipeline } => commands::status::status(&config, &pipeline).await,
            Command::Log(args) => commands::log::log(&config, &args).await,
            Command::Quarantine(command) => commands::quarantine::quarantine(&config, &command).await,
            Command::Reset(args) => commands::reset::reset(&config, &args).await,
            Command::Rebuild(args) => commands::rebuild::rebuild(&config, &args).await,
            Command::Tail(args) => commands::tail::tail(&config, &args).await,
            Command::Generate(args) => commands::generate::generate(&config, args).await,
            Command::Explain(args) => commands::explain::explain(&config, &args).await,
            Command::Top(args) => commands::top::top(&config, &args).await,
            Command::Peek(args) => commands::peek::peek(&config, args).await,
            Command::Validate { .. }
            | Command::Demo(_)
            | Command::Bench(_)
            | Command::Completions { .. }
            | Command::Man { .. } => Ok(()),
        }
    })
}
