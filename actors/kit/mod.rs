//! What every actor stands on: edges with credits, gauges, a clock, and the alarm that ends a generation.
//!
//! This is the only folder that may call actix's raw sends; everywhere else clippy refuses them.

pub mod alarm;
pub mod board;
pub mod clock;
pub mod gauge;
pub mod history;
pub mod inlet;
pub mod load;
pub mod metric;
pub mod outbox;

pub use alarm::{Alarm, Cause, Sentinel};
pub use board::Board;
pub use clock::Clock;
pub use gauge::{Gauge, Gauges};
pub use history::{History, Noted};
pub use inlet::{Gap, Inlet};
pub use load::{Load, Spent, Work};
pub use outbox::{Closed, Envelope, Inbox, Outbox, Weight};

#[cfg(test)]
mod tests;
