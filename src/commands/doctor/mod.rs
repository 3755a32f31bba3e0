//! `lakeward doctor`: asks everything that a run of a pipeline needs, says what it found and what to do about it.
//!
//! Changes nothing but a folder of its own in the lake, which it removes. Works beside a running pipeline.

mod kafka;
mod lake;
mod log;
mod mart;

use lakeward_core::pipeline::Pipeline;
use serde::Serialize;

use crate::builtin;
use crate::config::Config;
use crate::exit::Exit;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Note,
    /// A run would fail, or stop later.
    Bad,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// What was looked at.
    what: String,
    state: State,
    /// What was found.
    found: String,
    /// What to do, unless it is fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state: State::Ok, found: found.into(), remedy: None }
    }

    fn note(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state: State::Note, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn bad(what: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state: State::Bad, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Clocks this far apart are told, microseconds: FUTURE and freshness are judged by them.
const SKEW: i64 = 2_000_000;

/// A clock's distance from ours, which was read before and after.
fn clock(what: &str, theirs: i64, before: i64, after: i64) -> Finding {
    let off = if theirs < before { before - theirs } else { (theirs - after).max(0) };
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let seconds = off as f64 / 1e6;
    match off {
        off if off > SKEW => Finding::note(
            what,
            format!("is {seconds:.1} s away from this machine's"),
            "let both follow the same time server",
        ),
        _ => Finding::ok(what, "agrees with this machine's"),
    }
}

/// Looks at everything; exit code 1 if something is bad.
pub async fn doctor(config: &Config, name_or_file: &str, as_json: bool) -> Result<(), Exit> {
    let pipeline = builtin::load(name_or_file)?;
    let mut findings = vec![Finding::ok("pipeline", format!("{} is well-formed", pipeline.name))];
    findings.extend(
        config.warnings.iter().map(|warning| Finding::note("configuration", warning, "see docs/CONFIGURATION.md")),
    );
    findings.extend(kafka::look(config, &pipeline).await?);
    let (found, lake) = lake::look(config, &pipeline).await;
    findings.extend(found);
    findings.extend(mart::look(config, &pipeline).await);
    if let Some(lake) = lake {
        findings.extend(log::look(config, &pipeline, &lake).await);
    }
    findings.push(port(config));
    tell(&pipeline, &findings, as_json);
    let bad = findings.iter().filter(|finding| finding.state == State::Bad).count();
    if bad == 0 { Ok(()) } else { Err(Exit::failed(format!("{bad} of {} findings are bad", findings.len()))) }
}

/// Whether the HTTP port is free; it is not while the pipeline runs here.
fn port(config: &Config) -> Finding {
    let listen = config.http.listen;
    match std::net::TcpListener::bind(listen) {
        Ok(_) => Finding::ok("http.listen", format!("{listen} is free")),
        Err(error) => Finding::note(
            "http.listen",
            format!("{listen} can't be listened on: {error}"),
            "right while a pipeline runs here; else choose another http.listen",
        ),
    }
}

fn tell(pipeline: &Pipeline, findings: &[Finding], as_json: bool) {
    if as_json {
        crate::text::say!("{}", serde_json::json!({ "pipeline": pipeline.name, "findings": findings }));
        return;
    }
    let width = findings.iter().map(|finding| finding.what.chars().count()).max().unwrap_or(0);
    for finding in findings {
        let state = match finding.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Bad => "BAD",
        };
        let remedy = finding.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        crate::text::say!("{state:<4}  {:<width$}  {}{remedy}", finding.what, finding.found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_told_when_no_moment_of_the_question_explains_it() {
        for (theirs, state) in
            [(5_000_000, State::Ok), (9_000_001, State::Note), (2_999_999, State::Note), (3_000_000, State::Ok)]
        {
            assert_eq!(clock("c", theirs, 5_000_000, 7_000_000).state, state, "{theirs}");
        }
    }
}
