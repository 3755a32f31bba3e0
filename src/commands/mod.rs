//! One file per command.

pub mod generate;
pub mod inspect;
pub mod ledger;
pub mod log;
pub mod peek;
pub mod run;
pub mod status;
pub mod validate;
