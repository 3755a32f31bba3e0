//! How the process ends, and with which code. The codes are documented in the README and never change their meaning.

use lakeward_core::ids::Version;

/// Every code with its meaning, as the README has it.
const CODES: [(u8, &str); 9] = [
    (0, "done"),
    (1, "a check failed, such as an open ledger, or there is nothing to look at yet"),
    (2, "the command line, lakeward.toml, a variable or a pipeline file is wrong: place and remedy are named"),
    (3, "Kafka, the lake or the mart did not answer for start.patience at the start"),
    (4, "refused to start, because going on could not be exact"),
    (5, "stopped itself; what was read before is committed"),
    (6, "FENCED: another process has taken the pipeline over; nothing is lost"),
    (70, "BUG: please report it"),
    (130, "a second signal came during a stop"),
];

/// The codes, for help and manual page.
#[must_use]
pub fn table() -> String {
    let lines = CODES.iter().map(|(code, meaning)| format!("  {code:>3}  {meaning}\n"));
    format!("Exit codes:\n{}", lines.collect::<String>())
}

/// A reason to end with a code other than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The process's exit code.
    pub code: u8,
    /// A stable word for what happened.
    pub reason: String,
    /// What happened and what to do, for people.
    pub message: String,
}

impl Exit {
    /// A check failed, or the ledger is open.
    #[must_use]
    pub fn failed(message: String) -> Self {
        Self { code: 1, reason: "FAILED".to_owned(), message }
    }

    /// The command line, the configuration or a pipeline file is wrong.
    #[must_use]
    pub fn usage(message: String) -> Self {
        Self { code: 2, reason: "USAGE".to_owned(), message }
    }

    /// Something needed did not answer at the start.
    #[must_use]
    pub fn unreachable(message: String) -> Self {
        Self { code: 3, reason: "UNREACHABLE".to_owned(), message }
    }

    /// Whether it is for want of an answer.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.code == 3
    }

    /// Going on from the log could not be exact.
    #[must_use]
    pub fn refused(reason: &str, message: String) -> Self {
        Self { code: 4, reason: reason.to_owned(), message }
    }

    /// The pipeline stopped itself.
    #[must_use]
    pub fn stopped(reason: &str, message: String) -> Self {
        let code = if reason == "BUG" { 70 } else { 5 };
        Self { code, reason: reason.to_owned(), message }
    }

    /// A refusal of a process that ran before: it has stopped itself.
    #[must_use]
    pub fn while_running(self) -> Self {
        if self.code == 4 { Self { code: 5, ..self } } else { self }
    }

    /// A greater claim owns the pipeline.
    #[must_use]
    pub fn fenced(pipeline: &str, claim: Version) -> Self {
        let message = format!(
            "another process took pipeline {pipeline} over (claim {claim}); nothing that this one did since then \
             counts, and nothing is lost"
        );
        Self { code: 6, reason: "FENCED".to_owned(), message }
    }

    /// Should not happen.
    #[must_use]
    pub fn bug(message: String) -> Self {
        Self { code: 70, reason: "BUG".to_owned(), message }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.message.starts_with(&self.reason) || self.code < 4 {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.reason, self.message)
        }
    }
}

impl std::error::Error for Exit {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_readme() {
        let readme = include_str!("../README.md").replace('`', "");
        let rows = readme.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?.parse::<u8>().ok()?, cells.next()?.to_owned()))
        });
        let known: Vec<_> = CODES.iter().map(|(code, meaning)| (*code, (*meaning).to_owned())).collect();
        assert_eq!(rows.collect::<Vec<_>>(), known);
    }
}
