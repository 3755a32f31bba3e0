//! What a mart says of itself, for people who set one up.

/// Facts about a mart. Nothing of them decides anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkup {
    /// The database's name and version.
    pub version: String,
    /// Its clock, microseconds since 1970; `None` where it has none of its own.
    pub clock_us: Option<i64>,
    /// Whether we may make tables where the pipeline's belong.
    pub may_create: bool,
    /// Settings by which an answered commit may be lost in a crash of the machine.
    pub forgetful: Vec<String>,
}
