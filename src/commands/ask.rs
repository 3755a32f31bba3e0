//! Questions to a service that runs: what its HTTP port says of itself.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::Config;
use crate::exit::Exit;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const LONGEST: u64 = 64 << 20;

/// A service and what opens it.
pub struct Service {
    url: String,
    /// `host:port`.
    host: String,
    token: Option<String>,
}

impl Service {
    /// The service at `url`; without one, where the configuration has it listen. The token is the configuration's.
    pub fn new(config: &Config, url: Option<&str>) -> Result<Self, Exit> {
        let url = match url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", configured(config)),
        };
        let host = url.strip_prefix("http://").filter(|host| !host.is_empty() && !host.contains('/'));
        let host = host.ok_or_else(|| Exit::usage(format!("--url {url}: write it as http://127.0.0.1:8501")))?;
        let host = if has_port(host) { host.to_owned() } else { format!("{host}:80") };
        let token = config.http.token.as_ref().map(|token| token.expose().to_owned());
        Ok(Self { url, host, token })
    }

    /// What it answers to `path` below `/api/v1`, of a pipeline or of the first.
    pub async fn ask(&self, path: &str, pipeline: Option<&str>) -> Result<Value, Exit> {
        let query = pipeline.map(|name| format!("?pipeline={}", encoded(name))).unwrap_or_default();
        let answered = tokio::time::timeout(PATIENCE, self.get(&format!("/api/v1/{path}{query}"))).await;
        let (status, body) = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.silent(&error.to_string())),
            Err(_) => return Err(self.silent(&format!("no answer within {PATIENCE:?}"))),
        };
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            200 => Ok(told),
            401 => Err(Exit::failed(format!(
                "{} asks for a token: set http.token, or LAKEWARD_HTTP_TOKEN, to the service's",
                self.url
            ))),
            _ => {
                let why = told["error"]["message"].as_str().map_or_else(|| format!("status {status}"), str::to_owned);
                Err(Exit::failed(format!("{}: {why}", self.url)))
            }
        }
    }

    fn silent(&self, why: &str) -> Exit {
        Exit::failed(format!(
            "nothing answers at {} ({why}). Is `lakeward run` running? If it listens elsewhere, say so with --url",
            self.url
        ))
    }

    /// One request on a connection of its own, and the answer's status and body.
    async fn get(&self, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(&self.host).await?;
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\n{token}\r\n", self.host);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer).await?;
        parse(&answer).ok_or_else(|| std::io::Error::other("that is no HTTP server"))
    }
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(end + 4);
    let first = std::str::from_utf8(head).ok()?.lines().next()?;
    let status = first.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_vec()))
}

/// The configured address; one that means all of this machine's is reached by loopback.
fn configured(config: &Config) -> std::net::SocketAddr {
    let mut listen = config.http.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    listen
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn the_service_is_where_it_is_said_to_be_or_where_the_configuration_has_it() {
        let at = |text: &str, url: Option<&str>| {
            let config = Config::parse(text, "lakeward.toml", &Environment::default()).unwrap();
            Service::new(&config, url).map(|service| service.host).map_err(|exit| exit.code)
        };
        assert_eq!(at("", None), Ok("127.0.0.1:8501".to_owned()));
        let everywhere = "http = { listen = \"0.0.0.0:9000\", token = \"0123456789abcdef\" }";
        assert_eq!(at(everywhere, None), Ok("127.0.0.1:9000".to_owned()));
        assert_eq!(at("", Some("http://lake:8501/")), Ok("lake:8501".to_owned()));
        assert_eq!(at("", Some("http://lake")), Ok("lake:80".to_owned()));
        for wrong in ["https://lake", "lake:8501", "http://", "http://lake/x"] {
            assert_eq!(at("", Some(wrong)), Err(2), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_taken_apart_and_what_is_none_is_refused() {
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"), Some((200, b"{}".to_vec())));
        for wrong in [&b"SSH-2.0\r\n\r\n"[..], b"HTTP/1.1 x\r\n\r\n", b"HTTP/1.1 200 OK"] {
            assert_eq!(parse(wrong), None);
        }
        assert_eq!(encoded("a b/\u{e9}"), "a%20b%2F%C3%A9");
    }
}
