//! The catalogue of what must hold, as `docs/PROTOCOL.md` names it.

/// An invariant of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// The log has no holes, hash links hold, ranges join.
    I1,
    /// An entry never changes.
    I2,
    /// Every record read is accounted for, and files hold the rows that the entries say.
    I3,
    /// Each record is once in Bronze, or once in Quarantine.
    I4,
    /// A file is visible exactly if it is live in the log.
    I5,
    /// KPI rows equal a single-threaded recomputation.
    I6,
    /// Fences never go back but to the head.
    I7,
    /// When quiet, all followers have converged.
    I8,
    /// A zombie changes nothing.
    I9,
    /// Watermarks never go back.
    I10,
    /// A final KPI row changes only with a new revision.
    I11,
    /// Late rows are accounted, per KPI.
    I12,
    /// Quarantine is exact.
    I13,
    /// A replay gives equal rows.
    I14,
    /// Memory, mailboxes and open files stay under their caps.
    I15,
    /// After a fault heals, lag goes to 0.
    I16,
    /// No secret in any output.
    I17,
    /// Stop is bounded.
    I18,
    /// A changed identity refuses to run.
    I19,
    /// The next version reads this version's data.
    I20,
    /// Garbage collection removes nothing referenced.
    I21,
    /// All files of a table share one readable schema.
    I22,
    /// Kafka's committed offset never passes the head.
    I23,
}

use Invariant as I;

impl Invariant {
    /// All, in order.
    pub const ALL: [Self; 23] = [
        I::I1,
        I::I2,
        I::I3,
        I::I4,
        I::I5,
        I::I6,
        I::I7,
        I::I8,
        I::I9,
        I::I10,
        I::I11,
        I::I12,
        I::I13,
        I::I14,
        I::I15,
        I::I16,
        I::I17,
        I::I18,
        I::I19,
        I::I20,
        I::I21,
        I::I22,
        I::I23,
    ];

    /// What it says, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            I::I1 => "the log has no holes, links and ranges join",
            I::I2 => "an entry never changes",
            I::I3 => "the ledger closes, files hold their rows",
            I::I4 => "each record once in Bronze or Quarantine",
            I::I5 => "visible files are the log's live ones",
            I::I6 => "KPI rows equal the recomputation",
            I::I7 => "fences never go back but to the head",
            I::I8 => "when quiet, all followers have converged",
            I::I9 => "a zombie changes nothing",
            I::I10 => "watermarks never go back",
            I::I11 => "a final KPI row changes with a revision only",
            I::I12 => "late rows are accounted, per KPI",
            I::I13 => "Quarantine is exact",
            I::I14 => "a replay gives equal rows",
            I::I15 => "memory, mailboxes, files stay under caps",
            I::I16 => "after a fault heals, lag goes to 0",
            I::I17 => "no secret in any output",
            I::I18 => "stop is bounded",
            I::I19 => "a changed identity refuses to run",
            I::I20 => "the next version reads this one's data",
            I::I21 => "clearing up removed nothing needed",
            I::I22 => "files of a table share one schema",
            I::I23 => "Kafka's group is not ahead of the head",
        }
    }

    /// Why it can't be decided from what lies in the sinks; `None` if it can.
    #[must_use]
    pub fn beyond_sinks(self) -> Option<&'static str> {
        Some(match self {
            I::I9 => "needs a frozen owner; what one would leave behind is looked for under I1, I5 and I6",
            I::I14 => "needs a second run; what one would give is compared under I3, I4 and I6",
            I::I15 | I::I16 | I::I18 => "about a running process, not about what it left",
            I::I17 => "about output that was not kept",
            I::I20 => "needs the next version",
            _ => return None,
        })
    }
}

impl std::fmt::Display for Invariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
