//! What Postgres says of itself.

use super::super::Checkup;
use super::failure::Failure;
use super::session::Sessions;

/// Settings that make an answered commit durable.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];

/// See `Mart::checkup`.
pub(super) async fn checkup(sessions: &Sessions) -> Result<Checkup, Failure> {
    let mut session = sessions.take().await?;
    let sql = "SELECT current_setting('server_version'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
               coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
    let row = session.client.query_one(sql, &[]).await?;
    let mut forgetful = Vec::new();
    for name in DURABLE {
        let value: String = session.client.query_one("SELECT current_setting($1)", &[&name]).await?.try_get(0)?;
        if value == "off" {
            forgetful.push(format!("{name} = off"));
        }
    }
    session.busy = false;
    let version: String = row.try_get(0)?;
    Ok(Checkup {
        version: format!("Postgres {version}"),
        clock_us: Some(row.try_get(1)?),
        may_create: row.try_get(2)?,
        forgetful,
    })
}
