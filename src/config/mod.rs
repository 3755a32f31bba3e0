//! Where things run: `lakeward.toml`, overridden by `LAKEWARD_*` variables, parsed once into [`Config`].
//!
//! Every mistake is a [`ConfigError`] (exit code 2) that names file, line and key, or the variable. No secret is ever
//! repeated (I17).

mod effective;
mod environment;
#[cfg(test)]
mod reference;
mod secret;
mod settings;
mod source;
mod values;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lakeward_core::document::DefinitionError;

pub use effective::Effective;
pub use environment::Environment;
pub use secret::{Secret, Url};
pub use values::MartUrl;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records come from.
    pub kafka: Kafka,
    /// Where the lake is.
    pub lake: Lake,
    /// Where the marts are.
    pub mart: Mart,
    /// The HTTP port.
    pub http: Http,
    /// When an epoch is cut.
    pub epoch: EpochLimits,
    /// Previews.
    pub live: Live,
    /// Caps in bytes.
    pub memory: Memory,
    /// Leases.
    pub owner: Owner,
    /// Actors.
    pub actors: Actors,
    /// The program's log.
    pub log: Log,
    /// The start.
    pub start: Start,
    /// The stop.
    pub stop: Stop,
    /// What is no mistake but should be said, such as a password spelt in the file.
    pub warnings: Vec<String>,
    /// The file that was read; `None` where there was none.
    pub file: Option<PathBuf>,
}

/// `[kafka]`.
#[derive(Clone, Debug, Default)]
pub struct Kafka {
    /// Bootstrap brokers.
    pub brokers: String,
    /// Topic instead of the pipeline's.
    pub topic: Option<String>,
    /// Whether a topic that was created anew is taken up as a new incarnation.
    pub accept_new_topic_id: bool,
    /// Whether to go on without records that Kafka lost after a mart had shown them.
    pub accept_lost_records: bool,
    /// Whether to go on however many records are refused.
    pub accept_refused: bool,
    /// Options of librdkafka; all values print as `***` where their name is that of a secret.
    pub options: BTreeMap<String, OptionValue>,
}

/// The value of a librdkafka option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// May be seen.
    Plain(String),
    /// May not.
    Hidden(Secret),
}

impl OptionValue {
    /// The value itself, for the one place that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Hidden(secret) => secret.expose(),
        }
    }
}

/// `[lake]`.
#[derive(Clone, Debug, Default)]
pub struct Lake {
    /// The lake's root; see [`Config::lake_url`].
    pub url: Option<Url>,
    /// Folder of Hadoop's configuration files.
    pub hadoop_conf: Option<PathBuf>,
    /// Newest entries of the log that stay; `None`: all.
    pub keep_entries: Option<u64>,
}

/// `[mart]`.
#[derive(Clone, Debug, Default)]
pub struct Mart {
    /// Which mart.
    pub url: MartUrl,
    /// When rows are shown.
    pub rows: RowsMode,
    /// Whether tables are filled though retention took what they would be filled from.
    pub accept_incomplete: bool,
}

/// When rows appear in the mart (F2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowsMode {
    /// Ahead of their commit.
    #[default]
    Preview,
    /// After it.
    Committed,
}

/// `[http]`.
#[derive(Clone, Debug)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// What clients must send; always set beyond loopback.
    pub token: Option<Secret>,
    /// Host names that are answered beyond loopback; empty: all.
    pub allowed_hosts: Vec<String>,
}

/// `[epoch]`.
#[derive(Clone, Debug, Default)]
pub struct EpochLimits {
    /// Longest time.
    pub age: Duration,
    /// Most records.
    pub rows: u64,
    /// Most bytes of Bronze.
    pub bronze_bytes: u64,
}

/// `[live]`.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Time between two previews.
    pub tick: Duration,
}

/// `[memory]`.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Bytes in flight.
    pub cap: u64,
    /// Bytes of state (H6).
    pub state_cap: u64,
}

impl Memory {
    /// Bytes that Kafka's client may hold, of all in flight.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.cap / 16
    }
}

/// `[owner]`.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    /// Time between two renewals of the lease.
    pub lease_renew: Duration,
    /// Age at which a lease is given up.
    pub lease_expiry: Duration,
    /// Age that a claim must have before it is taken over on demand (O2).
    pub min_tenure: Duration,
}

/// `[actors]`.
#[derive(Clone, Debug, Default)]
pub struct Actors {
    /// Most KPI actors.
    pub kpi_max: u64,
}

/// `[log]`.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Form of a message.
    pub format: LogFormat,
    /// Least grave level written.
    pub level: LogLevel,
}

/// The form of a log message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The level of a log message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Something is lost or stops.
    Error,
    /// Something needs attention.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Every step.
    Trace,
}

impl LogLevel {
    /// All levels, gravest first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `[start]`.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// How long an unreachable dependency is tried.
    pub patience: Duration,
}

/// `[stop]`.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// How long a stop may take (I18).
    pub bound: Duration,
}

/// Why the configuration was refused. The user acts; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: cannot read it: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file or the variables are wrong; one line per mistake.
    #[error("{}", lines(.0))]
    Wrong(Vec<Mistake>),
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// In the file.
    #[error(transparent)]
    InFile(#[from] DefinitionError),
    /// In an environment variable.
    #[error("environment variable {variable}: {message}{}", suggested(.suggestion.as_deref()))]
    InVariable {
        /// Its name.
        variable: String,
        /// What is wrong.
        message: String,
        /// The near name or value.
        suggestion: Option<String>,
    },
    /// Something that must be said is not.
    #[error("{key}: {message}")]
    Missing {
        /// Dotted key.
        key: String,
        /// What is missing and how to say it.
        message: String,
    },
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn suggested(suggestion: Option<&str>) -> String {
    suggestion.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default()
}

impl Config {
    /// Reads `path` and the environment; without a path, `lakeward.toml` of the working folder if there is one.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let default = Path::new("lakeward.toml");
        let chosen = path.unwrap_or(default);
        let bytes = match std::fs::read(chosen) {
            Ok(bytes) => bytes,
            Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Self::parse("", &default.to_string_lossy(), environment);
            }
            Err(source) => return Err(ConfigError::Unreadable { path: chosen.to_owned(), source }),
        };
        let file = chosen.to_string_lossy();
        let text = lakeward_core::document::utf8(&bytes, &file)
            .map_err(|errors| ConfigError::Wrong(errors.into_iter().map(Mistake::from).collect()))?;
        let mut config = Self::parse(text, &file, environment)?;
        config.file = Some(chosen.to_owned());
        Ok(config)
    }

    /// As `load`, from the file's text.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(text: &str, file: &str, environment: &Environment) -> Result<Self, ConfigError> {
        source::read(text, file, environment)
    }

    /// The lake's root.
    ///
    /// # Errors
    /// Where none is configured.
    pub fn lake_url(&self) -> Result<&Url, ConfigError> {
        self.lake.url.as_ref().ok_or_else(|| {
            let message = "missing; write it under [lake] in lakeward.toml or set LAKEWARD_LAKE_URL, \
                           such as \"file:///var/lake\" or \"hdfs://namenode:8020/datalake\"";
            ConfigError::Wrong(vec![Mistake::Missing { key: "lake.url".to_owned(), message: message.to_owned() }])
        })
    }

    /// A configuration in which every setting still has to be set.
    fn blank() -> Self {
        Self {
            kafka: Kafka::default(),
            lake: Lake::default(),
            mart: Mart::default(),
            http: Http { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), token: None, allowed_hosts: Vec::new() },
            epoch: EpochLimits::default(),
            live: Live::default(),
            memory: Memory::default(),
            owner: Owner::default(),
            actors: Actors::default(),
            log: Log::default(),
            start: Start::default(),
            stop: Stop::default(),
            warnings: Vec::new(),
            file: None,
        }
    }
}
