//! One file per command.

pub mod ask;
pub mod bench;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod generate;
pub mod inspect;
pub mod ledger;
mod ledger_files;
mod ledger_late;
pub mod log;
pub mod manual;
pub mod peek;
pub mod quarantine;
pub mod rebuild;
mod replay;
pub mod reset;
pub mod run;
pub mod status;
pub mod tail;
pub mod top;
pub mod validate;
pub mod verify;

use std::io::{BufRead, IsTerminal};

use crate::exit::Exit;

/// Whether a person at the terminal agrees to `what` by the pipeline's name; without a terminal nobody does.
fn ask(pipeline: &str, what: &str) -> Result<bool, Exit> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{what}Type the pipeline's name to go on: ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Exit::failed(e.to_string()))?;
    Ok(answer.trim() == pipeline)
}
