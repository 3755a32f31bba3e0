//! What was found: per invariant what was compared, what is broken with evidence, or why it can't be decided here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::invariant::Invariant;

/// Pieces of evidence kept per invariant; the rest is counted.
pub const KEPT: usize = 100;

/// The findings of a verification.
#[derive(Clone, Debug, Default)]
pub struct Report {
    findings: BTreeMap<Invariant, Finding>,
}

/// What is known of one invariant.
#[derive(Clone, Debug, Default)]
struct Finding {
    counted: BTreeMap<&'static str, u64>,
    evidence: Vec<String>,
    broken: u64,
    undecided: BTreeSet<String>,
}

/// What became of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything compared was as it must be.
    Holds,
    /// This many things are not.
    Broken(u64),
    /// Why it can't be said here.
    NotCheckable(String),
}

impl Report {
    /// Counts `count` more things that were compared, such as `"rows"`, whatever came of it.
    pub fn counted(&mut self, invariant: Invariant, what: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        *self.findings.entry(invariant).or_default().counted.entry(what).or_default() += count;
    }

    /// Something breaks an invariant: where (partition, offset, file, key) and what. Evidence beyond `KEPT` is not made.
    pub fn broken(&mut self, invariant: Invariant, evidence: impl FnOnce() -> String) {
        let finding = self.findings.entry(invariant).or_default();
        finding.broken += 1;
        if finding.evidence.len() < KEPT {
            finding.evidence.push(evidence());
        }
    }

    /// An invariant, or a part of it, can't be decided here. What is broken stays broken.
    pub fn undecided(&mut self, invariant: Invariant, why: impl Into<String>) {
        self.findings.entry(invariant).or_default().undecided.insert(why.into());
    }

    /// What became of an invariant. Nothing compared is not called holding.
    #[must_use]
    pub fn verdict(&self, invariant: Invariant) -> Verdict {
        if let Some(why) = invariant.beyond_sinks() {
            return Verdict::NotCheckable(why.to_owned());
        }
        match self.findings.get(&invariant) {
            Some(finding) if finding.broken > 0 => Verdict::Broken(finding.broken),
            Some(finding) if !finding.undecided.is_empty() => {
                Verdict::NotCheckable(finding.undecided.iter().cloned().collect::<Vec<_>>().join("; "))
            }
            Some(finding) if !finding.counted.is_empty() => Verdict::Holds,
            _ => Verdict::NotCheckable("there was nothing to compare".to_owned()),
        }
    }

    /// The evidence that was kept.
    #[must_use]
    pub fn evidence(&self, invariant: Invariant) -> &[String] {
        self.findings.get(&invariant).map_or(&[], |finding| &finding.evidence)
    }

    /// What was compared, such as `3 000 rows, 12 files`.
    #[must_use]
    pub fn compared(&self, invariant: Invariant) -> String {
        let counted = self.findings.get(&invariant).map(|finding| &finding.counted);
        let texts = counted.into_iter().flatten().map(|(what, count)| format!("{count} {what}"));
        texts.collect::<Vec<_>>().join(", ")
    }

    /// The invariants that are broken.
    pub fn all_broken(&self) -> impl Iterator<Item = Invariant> {
        Invariant::ALL.into_iter().filter(|invariant| matches!(self.verdict(*invariant), Verdict::Broken(_)))
    }

    /// One member per invariant.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let one = |invariant: Invariant| {
            let (verdict, why) = match self.verdict(invariant) {
                Verdict::Holds => ("holds", None),
                Verdict::Broken(_) => ("broken", None),
                Verdict::NotCheckable(why) => ("not checkable", Some(why)),
            };
            let finding = self.findings.get(&invariant);
            json!({
                "invariant": invariant.to_string(), "title": invariant.title(), "verdict": verdict, "why": why,
                "broken": finding.map_or(0, |f| f.broken), "evidence": self.evidence(invariant),
                "compared": finding.map(|f| &f.counted),
            })
        };
        Invariant::ALL.into_iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_outweighs_undecided_and_nothing_compared_is_not_holding() {
        let mut report = Report::default();
        assert!(matches!(report.verdict(Invariant::I1), Verdict::NotCheckable(_)));
        report.counted(Invariant::I1, "entries", 2);
        assert_eq!(report.verdict(Invariant::I1), Verdict::Holds);
        report.undecided(Invariant::I1, "a reason");
        assert_eq!(report.verdict(Invariant::I1), Verdict::NotCheckable("a reason".to_owned()));
        (0..KEPT + 5).for_each(|n| report.broken(Invariant::I1, || format!("no {n}")));
        assert_eq!(report.verdict(Invariant::I1), Verdict::Broken(KEPT as u64 + 5));
        assert_eq!(report.evidence(Invariant::I1).len(), KEPT);
        assert_eq!(report.all_broken().collect::<Vec<_>>(), [Invariant::I1]);
        report.counted(Invariant::I15, "things", 1);
        assert!(matches!(report.verdict(Invariant::I15), Verdict::NotCheckable(_)), "no sink tells of it");
    }
}
