//! Who owns a pipeline (O1, O2). The lease is comfort: it decides when somebody tries, never whether it is safe.

use serde::{Deserialize, Serialize};

use crate::ids::Version;

/// The owner's hint that it is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The log that it owns.
    pub log_id: String,
    /// The claim that it holds.
    pub claim: Version,
    /// Its host.
    pub host: String,
    /// Its process id on that host.
    pub pid: u32,
    /// When that process started, as its host tells.
    pub started: String,
    /// Counts renewals: a lease that changes is fresh.
    pub beat: u64,
    /// Whether it was given up by a clean stop.
    pub given_up: bool,
}

/// What a process that isn't the owner sees.
#[derive(Clone, Debug)]
pub struct TakeOverFacts {
    /// The claim in force in the log; `None` if there is no log yet.
    pub claim: Option<Version>,
    /// The lease, as last read.
    pub lease: Option<Lease>,
    /// Microseconds since this process saw the lease change, by its own steady clock.
    pub unchanged_for: i64,
    /// Whether the lease names this host and a process that is gone.
    pub holder_gone: bool,
    /// `--take-over` was given and not used up yet.
    pub forced: bool,
    /// Microseconds since the newest claim entry was built, by the wall clock.
    pub tenure: i64,
    /// `owner.lease_expiry`, microseconds.
    pub expiry: i64,
    /// `owner.min_tenure`, microseconds.
    pub min_tenure: i64,
}

/// What such a process does.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Create a claim entry now.
    Now,
    /// Stand by: the owner's lease is fresh.
    StandBy,
    /// Stand by: the newest claim is younger than `min_tenure`.
    TooSoon,
}

/// Whether to take the pipeline over (O2).
pub fn take_over(facts: &TakeOverFacts) -> TakeOver {
    let Some(claim) = facts.claim else { return TakeOver::Now };
    if facts.forced {
        return if facts.tenure < facts.min_tenure { TakeOver::TooSoon } else { TakeOver::Now };
    }
    match &facts.lease {
        None => TakeOver::Now,
        Some(lease) if lease.claim < claim && facts.unchanged_for < facts.expiry => TakeOver::StandBy,
        Some(lease) if lease.given_up || facts.holder_gone || facts.unchanged_for >= facts.expiry => TakeOver::Now,
        Some(_) => TakeOver::StandBy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> TakeOverFacts {
        let lease = Lease {
            log_id: "l".into(),
            claim: Version(4),
            host: "h".into(),
            pid: 1,
            started: String::new(),
            beat: 9,
            given_up: false,
        };
        TakeOverFacts {
            claim: Some(Version(4)),
            lease: Some(lease),
            unchanged_for: 0,
            holder_gone: false,
            forced: false,
            tenure: 100,
            expiry: 10,
            min_tenure: 60,
        }
    }

    #[test]
    fn a_fresh_lease_is_respected_and_a_stale_one_is_not() {
        assert_eq!(take_over(&facts()), TakeOver::StandBy);
        assert_eq!(take_over(&TakeOverFacts { unchanged_for: 10, ..facts() }), TakeOver::Now);
        assert_eq!(take_over(&TakeOverFacts { holder_gone: true, ..facts() }), TakeOver::Now);
        assert_eq!(take_over(&TakeOverFacts { claim: None, lease: None, ..facts() }), TakeOver::Now);
    }

    #[test]
    fn a_forced_take_over_waits_for_the_newest_claims_tenure() {
        assert_eq!(take_over(&TakeOverFacts { forced: true, ..facts() }), TakeOver::Now);
        assert_eq!(take_over(&TakeOverFacts { forced: true, tenure: 59, ..facts() }), TakeOver::TooSoon);
    }
}
