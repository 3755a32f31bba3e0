//! What SQLite says of itself.

use rusqlite::Connection;

use super::super::Checkup;
use super::failure::Failure;

/// See `Mart::checkup`.
pub(super) fn checkup(connection: &Connection) -> Result<Checkup, Failure> {
    let may_create = !connection.is_readonly("main")?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let forgetful = (synchronous == 0).then(|| "synchronous = OFF".to_owned());
    Ok(Checkup {
        version: format!("SQLite {}", rusqlite::version()),
        clock_us: None,
        may_create,
        forgetful: forgetful.into_iter().collect(),
    })
}
