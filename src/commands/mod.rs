//! One file per command.

pub mod ask;
pub mod demo;
pub mod explain;
pub mod generate;
pub mod inspect;
pub mod ledger;
mod ledger_files;
pub mod log;
pub mod peek;
pub mod quarantine;
pub mod reset;
pub mod run;
pub mod status;
pub mod tail;
pub mod top;
pub mod validate;
pub mod verify;
