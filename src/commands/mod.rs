//! One file per command.

pub mod demo;
pub mod generate;
pub mod inspect;
pub mod ledger;
mod ledger_files;
mod ledger_late;
pub mod log;
pub mod peek;
pub mod quarantine;
pub mod rebuild;
pub mod reset;
pub mod run;
pub mod status;
pub mod tail;
pub mod validate;
pub mod verify;
