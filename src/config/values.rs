//! From the text of a setting to its value. A refusal never repeats what may be a secret.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lakeward_core::document::nearest;
use lakeward_core::duration::parse_duration;
use lakeward_core::pipeline::check_topic;

use super::secret::{Secret, Url};

/// Why a value was refused, and the near one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub suggestion: Option<String>,
}

impl Refusal {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None }
    }
}

type Parsed<T> = Result<T, Refusal>;

/// Bytes per unit.
const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A span of time, longer than 0.
pub fn duration(text: &str) -> Parsed<Duration> {
    match parse_duration(text).map_err(Refusal::new)? {
        0 => Err(Refusal::new("must be longer than 0")),
        micros => Ok(Duration::from_micros(micros.unsigned_abs())),
    }
}

/// A span of time, 0 or longer.
pub fn duration_or_zero(text: &str) -> Parsed<Duration> {
    let micros = parse_duration(text).map_err(Refusal::new)?;
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// A number of bytes above 0, such as `256MiB`.
pub fn size(text: &str) -> Parsed<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(Refusal::new(format!(
            "\"{text}\" is no size; write a whole number with KiB, MiB or GiB, such as \"256MiB\""
        )));
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(*factor)) {
        Some(0) => Err(Refusal::new("must be more than 0")),
        Some(bytes) => Ok(bytes),
        None => Err(Refusal::new(format!("\"{text}\" is no size that this machine could have"))),
    }
}

/// A whole number above 0.
pub fn count(text: &str) -> Parsed<u64> {
    match text.replace('_', "").parse::<u64>() {
        Ok(0) => Err(Refusal::new("must be more than 0")),
        Ok(number) => Ok(number),
        Err(_) => Err(Refusal::new(format!("\"{text}\" is no whole number above 0"))),
    }
}

/// A whole number above 0; empty for none.
pub fn count_or_none(text: &str) -> Parsed<Option<u64>> {
    if text.is_empty() { Ok(None) } else { count(text).map(Some) }
}

/// `true` or `false`.
pub fn flag(text: &str) -> Parsed<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Refusal::new(format!("\"{text}\" is neither true nor false"))),
    }
}

/// One of a closed set of words.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Parsed<T> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    Err(Refusal {
        message: format!("\"{text}\" is none of {}", names.join(", ")),
        suggestion: nearest(text, names.iter().copied()).map(str::to_owned),
    })
}

/// `host:port,host:port`.
pub fn brokers(text: &str) -> Parsed<String> {
    for broker in text.split(',') {
        let (host, port) = broker.trim().rsplit_once(':').unwrap_or((broker.trim(), "9092"));
        if host.is_empty() || host.chars().any(char::is_whitespace) || host.contains('@') || host.contains("//") {
            return Err(Refusal::new("is no list of brokers; write host:port, separated by commas"));
        }
        self::port(port)?;
    }
    Ok(text.to_owned())
}

/// An address to listen on, `host:port`; the host is an IP address or `localhost`.
pub fn address(text: &str) -> Parsed<SocketAddr> {
    const RIGHT: &str = "write an IP address and a port, such as \"127.0.0.1:8501\"";
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Refusal::new(format!("\"{text}\" has no port; {RIGHT}")));
    };
    let port = self::port(port)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::from((ip, port))),
        Err(_) => Err(Refusal::new(format!("\"{host}\" is no IP address; {RIGHT}"))),
    }
}

fn port(text: &str) -> Parsed<u16> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Refusal::new(format!("\"{text}\" is no port; ports go from 1 to 65535"))),
    }
}

/// A Kafka topic; empty for none.
pub fn topic(text: &str) -> Parsed<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    check_topic(text).map_err(Refusal::new)?;
    Ok(Some(text.to_owned()))
}

/// The lake's root; empty for none. An absolute path without a scheme is a local folder.
pub fn lake_url(text: &str) -> Parsed<Option<Url>> {
    match text.split_once("://") {
        None if text.is_empty() => Ok(None),
        None if text.starts_with('/') => Ok(Some(Url::new(format!("file://{text}")))),
        None => Err(Refusal::new("is no absolute path; write file:///folder or hdfs://host:port/folder")),
        Some(("file", rest)) if !rest.starts_with('/') => Err(Refusal::new("names no folder; write file:///folder")),
        Some(("hdfs", rest)) if rest.starts_with('/') || rest.is_empty() => {
            Err(Refusal::new("names no host; write hdfs://namenode:8020/folder"))
        }
        Some(("file" | "hdfs", _)) => Ok(Some(Url::new(text))),
        Some(("s3" | "s3a", _)) => {
            Err(Refusal::new("S3 is not yet supported; use file:///folder or hdfs://host:port/folder"))
        }
        Some(_) => Err(Refusal::new("is no lake; write file:///folder or hdfs://host:port/folder")),
    }
}

/// Where the marts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MartUrl {
    /// Nowhere.
    #[default]
    None,
    /// A Postgres database.
    Postgres(Url),
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// `postgres://…`, `sqlite:///path` or `none`.
pub fn mart_url(text: &str) -> Parsed<MartUrl> {
    match text.split_once("://") {
        None if text == "none" => Ok(MartUrl::None),
        Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => Ok(MartUrl::Postgres(Url::new(text))),
        Some(("sqlite", path)) if !path.is_empty() => Ok(MartUrl::Sqlite(PathBuf::from(path))),
        _ => Err(Refusal::new("is no mart; write postgres://user@host:port/database, sqlite:///file or none")),
    }
}

/// A folder; empty for none.
pub fn folder(text: &str) -> Parsed<Option<PathBuf>> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// A token of at least 16 characters, so that it can't be guessed; empty for none.
pub fn token(text: &str) -> Parsed<Option<Secret>> {
    const SHORTEST: usize = 16;
    match text.len() {
        0 => Ok(None),
        length if length < SHORTEST || text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err(Refusal::new(format!("a token has at least {SHORTEST} characters and no white space")))
        }
        _ => Ok(Some(Secret::new(text))),
    }
}

/// Host names, separated by commas, without ports; empty for none.
pub fn hosts(text: &str) -> Parsed<Vec<String>> {
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let odd =
        |name: &&&str| name.contains("//") || name.chars().any(|c| c.is_whitespace() || matches!(c, '/' | '@' | '*'));
    if let Some(name) = names.iter().find(odd) {
        return Err(Refusal::new(format!(
            "\"{name}\" is no host name; write names without scheme and port, separated by commas"
        )));
    }
    let bare = |name: &str| name.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(names.into_iter().map(bare).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_are_not_zero() {
        let cases = [("1GiB", Some(1 << 30)), ("64 MiB", Some(64 << 20)), ("5MB", Some(5_000_000)), ("7B", Some(7))];
        for (text, bytes) in cases {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
        for text in ["0MiB", "5", "GiB", "-1GiB", "1.5GiB", "99999999999GiB", "1 parsec"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_have_a_port_between_1_and_65535() {
        assert_eq!(address("127.0.0.1:8501").unwrap().port(), 8501);
        assert_eq!(address("localhost:1").unwrap().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(address("[::1]:80").unwrap().ip().is_loopback());
        for text in ["127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1", "nowhere:80", ":80", "127.0.0.1:x"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lakes_and_marts_are_known_by_their_scheme() {
        assert_eq!(lake_url("file:///a/b").unwrap().unwrap().scheme(), "file");
        assert_eq!(lake_url("/lake").unwrap().unwrap().expose(), "file:///lake");
        assert_eq!(lake_url("hdfs://n:8020/x").unwrap().unwrap().scheme(), "hdfs");
        assert!(lake_url("s3://lake/").unwrap_err().message.contains("not yet supported"));
        for text in ["ftp://x", "hdfs:///x", "file://", "file://lake", "lake", "5", "./lake"] {
            assert!(lake_url(text).is_err(), "{text}");
        }
        assert_eq!(mart_url("sqlite:///tmp/x.db").unwrap(), MartUrl::Sqlite(PathBuf::from("/tmp/x.db")));
        assert_eq!(mart_url("none").unwrap(), MartUrl::None);
        let refusal = mart_url("mysql://root:hunter2@db/x").unwrap_err();
        assert!(!refusal.message.contains("hunter2"));
    }

    #[test]
    fn brokers_are_hosts_with_ports() {
        for text in ["a:9092", "a:9092,b:9093", "a", "10.0.0.1:29092"] {
            assert!(brokers(text).is_ok(), "{text}");
        }
        for text in ["", "a:0", "a:65536", "a b:1", "PLAINTEXT://a:9092", ","] {
            assert!(brokers(text).is_err(), "{text}");
        }
    }
}
