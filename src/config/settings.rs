//! Every setting once: name, default, meaning, and how its text becomes a value. The parser, the defaults and
//! `docs/CONFIGURATION.md` come from this table.

use super::effective::{optional, size, span};
use super::values::{self, Refusal};
use super::{Config, LogFormat, LogLevel, MartUrl, RowsMode};

/// One setting of `lakeward.toml`.
#[cfg_attr(not(test), allow(dead_code, reason = "the reference is made from all fields, by a test"))]
pub struct Setting {
    /// Section.
    pub section: &'static str,
    /// Key in the section.
    pub name: &'static str,
    /// What kind of value it takes, for people.
    pub kind: &'static str,
    /// The text that holds where nothing is said.
    pub default: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Puts the text's value into the configuration.
    pub set: fn(&mut Config, &str) -> Result<(), Refusal>,
    /// The value as it would be written; a secret gives `***`.
    pub get: fn(&Config) -> String,
}

impl Setting {
    /// `section.name`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variable that overrides it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("LAKEWARD_{}_{}", self.section.to_uppercase(), self.name.to_uppercase())
    }
}

/// The sections with what they are about, in the order of the reference.
pub const SECTIONS: [(&str, &str); 12] = [
    ("kafka", "Where records come from."),
    ("lake", "Where the lake's root is."),
    ("mart", "Where the live tables are."),
    ("http", "The one HTTP port: dashboard, metrics, health."),
    ("epoch", "An epoch is committed when the first of these is reached."),
    ("live", "Previews in the marts, ahead of the commit."),
    ("memory", "Caps."),
    ("owner", "Which process owns a pipeline. Safety never depends on these spans."),
    ("actors", "Actors."),
    ("log", "The program's own log."),
    ("start", "Starting."),
    ("stop", "Stopping."),
];

/// The settings, by section.
pub const SETTINGS: &[Setting] = &[
    Setting {
        section: "kafka",
        name: "brokers",
        kind: "host:port, …",
        default: "localhost:9092",
        doc: "Bootstrap brokers, separated by commas.",
        set: |c, text| values::brokers(text).map(|v| c.kafka.brokers = v),
        get: |c| c.kafka.brokers.clone(),
    },
    Setting {
        section: "kafka",
        name: "topic",
        kind: "topic",
        default: "",
        doc: "Read this topic instead of the one that the pipeline names. Only with a single pipeline.",
        set: |c, text| values::topic(text).map(|v| c.kafka.topic = v),
        get: |c| optional(c.kafka.topic.clone()),
    },
    Setting {
        section: "kafka",
        name: "accept_new_topic_id",
        kind: "true or false",
        default: "false",
        doc: "Go on when the topic was deleted and created anew: its records are a new incarnation. Otherwise the start \
              is refused with `TOPIC_CHANGED`.",
        set: |c, text| values::flag(text).map(|v| c.kafka.accept_new_topic_id = v),
        get: |c| c.kafka.accept_new_topic_id.to_string(),
    },
    Setting {
        section: "kafka",
        name: "accept_lost_records",
        kind: "true or false",
        default: "false",
        doc: "Go on when Kafka has lost records that a mart had shown and that were not committed yet. Otherwise the \
              start is refused with `TRUNCATED`.",
        set: |c, text| values::flag(text).map(|v| c.kafka.accept_lost_records = v),
        get: |c| c.kafka.accept_lost_records.to_string(),
    },
    Setting {
        section: "kafka",
        name: "accept_refused",
        kind: "true or false",
        default: "false",
        doc: "Go on however many records are refused. Otherwise a pipeline with `quarantine.max_percent` stops, and is not \
              started again, with `TOO_MANY_REFUSED`.",
        set: |c, text| values::flag(text).map(|v| c.kafka.accept_refused = v),
        get: |c| c.kafka.accept_refused.to_string(),
    },
    Setting {
        section: "lake",
        name: "url",
        kind: "URL",
        default: "",
        doc: "The lake's root: `file:///folder` or `hdfs://namenode:8020/folder`. Needed to run.",
        set: |c, text| values::lake_url(text).map(|v| c.lake.url = v),
        get: |c| optional(c.lake.url.as_ref().map(ToString::to_string)),
    },
    Setting {
        section: "lake",
        name: "hadoop_conf",
        kind: "folder",
        default: "",
        doc: "Folder of `core-site.xml` and `hdfs-site.xml`, for names of highly available NameNodes.",
        set: |c, text| values::folder(text).map(|v| c.lake.hadoop_conf = v),
        get: |c| optional(c.lake.hadoop_conf.as_ref().map(|path| path.display().to_string())),
    },
    Setting {
        section: "lake",
        name: "keep_entries",
        kind: "count",
        default: "",
        doc: "Entries of the log that stay at least; older ones go once two checkpoints stand above them and every follower \
              has passed them. Without it all stay, and `verify` can work everything out from the beginning.",
        set: |c, text| values::count_or_none(text).map(|v| c.lake.keep_entries = v),
        get: |c| optional(c.lake.keep_entries.map(|n| n.to_string())),
    },
    Setting {
        section: "mart",
        name: "url",
        kind: "URL",
        default: "none",
        doc: "`postgres://user@host:5432/database`, `sqlite:///file.db` or `none`.",
        set: |c, text| values::mart_url(text).map(|v| c.mart.url = v),
        get: |c| match &c.mart.url {
            MartUrl::None => "none".to_owned(),
            MartUrl::Postgres(url) => url.to_string(),
            MartUrl::Sqlite(path) => format!("sqlite://{}", path.display()),
        },
    },
    Setting {
        section: "mart",
        name: "rows",
        kind: "preview or committed",
        default: "preview",
        doc: "`preview` shows rows within a fraction of a second and takes them back if their commit never happens; \
              `committed` shows them after the commit.",
        set: |c, text| {
            values::choice(text, &[("preview", RowsMode::Preview), ("committed", RowsMode::Committed)])
                .map(|v| c.mart.rows = v)
        },
        get: |c| if c.mart.rows == RowsMode::Preview { "preview" } else { "committed" }.to_owned(),
    },
    Setting {
        section: "mart",
        name: "accept_incomplete",
        kind: "true or false",
        default: "false",
        doc: "Begin a table with what is left where retention took files that it would be filled from. Otherwise the start \
              is refused with `MART_INCOMPLETE`.",
        set: |c, text| values::flag(text).map(|v| c.mart.accept_incomplete = v),
        get: |c| c.mart.accept_incomplete.to_string(),
    },
    Setting {
        section: "http",
        name: "listen",
        kind: "address",
        default: "127.0.0.1:8501",
        doc: "Address and port. Beyond loopback `http.token` must be set.",
        set: |c, text| values::address(text).map(|v| c.http.listen = v),
        get: |c| c.http.listen.to_string(),
    },
    Setting {
        section: "http",
        name: "token",
        kind: "secret",
        default: "",
        doc: "What pages and `/api` ask for: open `/?token=…` once in a browser, or send `Authorization: Bearer …`; at \
              least 16 characters.",
        set: |c, text| values::token(text).map(|v| c.http.token = v),
        get: |c| optional(c.http.token.as_ref().map(ToString::to_string)),
    },
    Setting {
        section: "http",
        name: "allowed_hosts",
        kind: "host, …",
        default: "",
        doc: "Beyond loopback only requests to these names, separated by commas, are answered; empty: to any name.",
        set: |c, text| values::hosts(text).map(|v| c.http.allowed_hosts = v),
        get: |c| c.http.allowed_hosts.join(", "),
    },
    Setting {
        section: "epoch",
        name: "age",
        kind: "duration",
        default: "30s",
        doc: "Longest time between two commits while records come.",
        set: |c, text| values::duration(text).map(|v| c.epoch.age = v),
        get: |c| span(c.epoch.age),
    },
    Setting {
        section: "epoch",
        name: "rows",
        kind: "count",
        default: "1000000",
        doc: "Most records in an epoch.",
        set: |c, text| values::count(text).map(|v| c.epoch.rows = v),
        get: |c| c.epoch.rows.to_string(),
    },
    Setting {
        section: "epoch",
        name: "bronze_bytes",
        kind: "size",
        default: "1GiB",
        doc: "Most bytes of Bronze in an epoch.",
        set: |c, text| values::size(text).map(|v| c.epoch.bronze_bytes = v),
        get: |c| size(c.epoch.bronze_bytes),
    },
    Setting {
        section: "live",
        name: "tick",
        kind: "duration",
        default: "200ms",
        doc: "How often previews of rows and KPIs are handed on.",
        set: |c, text| values::duration(text).map(|v| c.live.tick = v),
        get: |c| span(c.live.tick),
    },
    Setting {
        section: "memory",
        name: "cap",
        kind: "size",
        default: "256MiB",
        doc: "Bytes that may be in flight between Kafka and the writers; beyond it fetching pauses.",
        set: |c, text| values::size(text).map(|v| c.memory.cap = v),
        get: |c| size(c.memory.cap),
    },
    Setting {
        section: "memory",
        name: "state_cap",
        kind: "size",
        default: "1GiB",
        doc: "Bytes of open windows and dedup keys; beyond it the pipeline stops with `STATE_FULL`.",
        set: |c, text| values::size(text).map(|v| c.memory.state_cap = v),
        get: |c| size(c.memory.state_cap),
    },
    Setting {
        section: "owner",
        name: "lease_renew",
        kind: "duration",
        default: "3s",
        doc: "How often the owner renews its lease.",
        set: |c, text| values::duration(text).map(|v| c.owner.lease_renew = v),
        get: |c| span(c.owner.lease_renew),
    },
    Setting {
        section: "owner",
        name: "lease_expiry",
        kind: "duration",
        default: "10s",
        doc: "Age at which a lease counts as given up; longer than `lease_renew`.",
        set: |c, text| values::duration(text).map(|v| c.owner.lease_expiry = v),
        get: |c| span(c.owner.lease_expiry),
    },
    Setting {
        section: "owner",
        name: "min_tenure",
        kind: "duration",
        default: "60s",
        doc: "An owner younger than this is not taken over by `--take-over`; may be 0s.",
        set: |c, text| values::duration_or_zero(text).map(|v| c.owner.min_tenure = v),
        get: |c| span(c.owner.min_tenure),
    },
    Setting {
        section: "actors",
        name: "kpi_max",
        kind: "count",
        default: "1024",
        doc: "KPI actors at most; beyond it several keys share one.",
        set: |c, text| values::count(text).map(|v| c.actors.kpi_max = v),
        get: |c| c.actors.kpi_max.to_string(),
    },
    Setting {
        section: "log",
        name: "format",
        kind: "text or json",
        default: "text",
        doc: "One line per message, for people or as JSON.",
        set: |c, text| {
            values::choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)]).map(|v| c.log.format = v)
        },
        get: |c| if c.log.format == LogFormat::Text { "text" } else { "json" }.to_owned(),
    },
    Setting {
        section: "log",
        name: "level",
        kind: "error, warn, info, debug or trace",
        default: "info",
        doc: "Least grave level that is written.",
        set: |c, text| values::choice(text, &LogLevel::ALL.map(|l| (l.as_str(), l))).map(|v| c.log.level = v),
        get: |c| c.log.level.as_str().to_owned(),
    },
    Setting {
        section: "start",
        name: "patience",
        kind: "duration",
        default: "30s",
        doc: "How long an unreachable Kafka, lake or mart is tried at the start before giving up with exit code 3.",
        set: |c, text| values::duration_or_zero(text).map(|v| c.start.patience = v),
        get: |c| span(c.start.patience),
    },
    Setting {
        section: "stop",
        name: "bound",
        kind: "duration",
        default: "25s",
        doc: "How long a stop may take: draining, one last epoch, followers. Then the process ends; nothing is lost.",
        set: |c, text| values::duration(text).map(|v| c.stop.bound = v),
        get: |c| span(c.stop.bound),
    },
];
