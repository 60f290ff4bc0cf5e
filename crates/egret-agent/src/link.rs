//! Connections to the coordinator: one request at a time from a given address, and the session's WebSocket.
//!
//! Beyond loopback they are TLS, to whom the join token pins: before anything is said, so that a stranger
//! learns nothing, the token least of all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use egret_tls::{Pin, Trust};

use egret_wire::agent::{MAX_FRAME, PROTOCOL};
use egret_wire::problem::Problem;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::AgentError;
use crate::host::{DialError, Sources};
use crate::simulated::Wire;

/// How long connecting and one exchange may take (chosen: a slow link, not a dead one).
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers to enrolment and observation are a few hundred bytes.
const MAX_BODY: usize = 64 << 10;
/// Small buffers: a session costs 24 KB instead of 148 KB.
const BUFFER: usize = 8 << 10;

/// What the pin of a token says of a coordinator without TLS.
pub(crate) const PLAIN: &str = "plain";
/// What it says of one that the public authorities know.
pub(crate) const PUBLIC: &str = "public";

/// Where the coordinator is, and whom to take for it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) url: String,
    authority: String,
    /// `None`: plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    sources: Sources,
}

/// A WebSocket, and what RFC 9266 makes of its connection.
pub(crate) type Session = (WebSocketStream<Box<dyn Wire>>, Option<[u8; 32]>);

/// What a connection to the coordinator can come to.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// It cannot be reached, or broke off.
    Broken(String),
    /// Somebody else is there; nothing was said to it.
    Stranger(String),
    /// It answered with a problem.
    Problem(Box<Problem>),
}

impl Link {
    /// Checks the URL against the pin of the token. Plain HTTP is for loopback, or for those who insist.
    pub(crate) fn new(url: &str, pin: &str, insecure: bool, sources: Sources) -> Result<Self, AgentError> {
        let wrong =
            |why: &str, mend: &str| AgentError::Setting(format!("--coordinator {url}: {why}; {mend}"));
        let example = "write it like https://egret.example:7043 or http://127.0.0.1:7043";
        let uri: hyper::Uri = url.parse().map_err(|_| wrong("this is no URL", example))?;
        let host = uri.host().ok_or_else(|| wrong("the host is missing", example))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_local =
            bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let tls = match uri.scheme_str() {
            Some("https") => {
                let trust = trust(pin).ok_or_else(|| {
                    let why = "the join token was made by a coordinator that does not speak TLS";
                    wrong(why, "make a new one there, or write http://")
                })?;
                let name = ServerName::try_from(bare.to_owned());
                let name = name.map_err(|_| wrong("the host is no name or address", example))?;
                let mut config = egret_tls::client(&trust);
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some((TlsConnector::from(Arc::new(config)), name))
            }
            Some("http") if is_local => None,
            Some("http") if pin != PLAIN => {
                return Err(wrong(
                    "plain http beyond loopback to a coordinator that speaks TLS",
                    "write https://",
                ));
            }
            Some("http") if insecure => {
                tracing::warn!(
                    "INSECURE: plain http to {host}; whoever listens in can take this agent's place"
                );
                None
            }
            Some("http") => {
                let mend = "write https://, or insist with --insecure";
                return Err(wrong("plain http beyond loopback is refused", mend));
            }
            _ => return Err(wrong("neither https nor http", example)),
        };
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(7043));
        Ok(Self { url: url.trim_end_matches('/').to_owned(), authority, tls, sources })
    }

    /// A connection, and what RFC 9266 makes of it.
    async fn connect(&self, from: Option<IpAddr>) -> Result<(Box<dyn Wire>, Option<[u8; 32]>), LinkError> {
        let stream = self.dial(from).await?;
        let Some((connector, name)) = &self.tls else { return Ok((stream, None)) };
        let shaken = tokio::time::timeout(PATIENCE, connector.connect(name.clone(), stream)).await;
        let stream = shaken
            .map_err(|_| LinkError::Broken("no TLS handshake within 10 s".to_owned()))?
            .map_err(|error| {
                let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                match cause {
                    Some(rustls::Error::InvalidCertificate(_)) => LinkError::Stranger(error.to_string()),
                    Some(_) => LinkError::Broken(format!("{error}; is this a port that speaks TLS?")),
                    None => LinkError::Broken(error.to_string()),
                }
            })?;
        let binding = egret_tls::binding(stream.get_ref().1);
        Ok((Box::new(stream), binding))
    }

    /// The addresses that the coordinator has now, as far as they can be found out.
    pub(crate) async fn addresses(&self) -> Vec<IpAddr> {
        let found = tokio::net::lookup_host(self.authority.as_str()).await;
        found.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
    }

    async fn dial(&self, from: Option<IpAddr>) -> Result<Box<dyn Wire>, LinkError> {
        let broken = |error: std::io::Error| LinkError::Broken(error.to_string());
        let found = tokio::net::lookup_host(self.authority.as_str()).await.map_err(broken)?;
        let fits = |address: &SocketAddr| from.is_none_or(|from| from.is_ipv4() == address.is_ipv4());
        let address = found.into_iter().find(fits).ok_or_else(|| {
            let from = from.map_or_else(String::new, |from| format!(" of the family of {from}"));
            LinkError::Broken(format!("{} has no address{from}", self.authority))
        })?;
        tokio::time::timeout(PATIENCE, self.sources.dial(from, address))
            .await
            .map_err(|_| LinkError::Broken("no connection within 10 s".to_owned()))?
            .map_err(|(DialError::Local(error) | DialError::Remote(error))| match from {
                Some(from) => LinkError::Broken(format!("from {from}: {error}")),
                None => LinkError::Broken(error.to_string()),
            })
    }

    /// Posts `body` to `path` from the given local address.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        from: Option<IpAddr>,
    ) -> Result<T, LinkError> {
        let (stream, _) = self.connect(from).await?;
        let exchange = self.exchange(stream, path, body);
        let (ok, bytes) = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| LinkError::Broken("no answer within 10 s".to_owned()))?
            .map_err(|error| LinkError::Broken(error.to_string()))?;
        if ok {
            return serde_json::from_slice(&bytes).map_err(|error| LinkError::Broken(error.to_string()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(problem) => Err(LinkError::Problem(Box::new(problem))),
            Err(_) => Err(LinkError::Broken("the answer is not egret's; is this the right port?".to_owned())),
        }
    }

    async fn exchange(
        &self,
        stream: Box<dyn Wire>,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(bool, Vec<u8>), Box<dyn std::error::Error + Send + Sync>> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = hyper::Request::post(path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(hyper::body::Bytes::from(serde_json::to_vec(body)?)))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let ok = response.status().is_success();
            let bytes = Limited::new(response.into_body(), MAX_BODY).collect().await?.to_bytes();
            Ok((ok, bytes.to_vec()))
        };
        let driven = async {
            // The connection only has to be driven; its end is the answer's end or its error.
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            () = driven => Err("the connection ended".into()),
        }
    }

    /// Opens the session's WebSocket.
    pub(crate) async fn session(&self) -> Result<Session, LinkError> {
        self.websocket("/agent/v1/session", PROTOCOL, MAX_FRAME).await
    }

    /// Opens a WebSocket that takes frames of up to `most` bytes.
    pub(crate) async fn websocket(
        &self,
        path: &str,
        protocol: &str,
        most: usize,
    ) -> Result<Session, LinkError> {
        let (stream, binding) = self.connect(None).await?;
        let broken = |error: tokio_tungstenite::tungstenite::Error| LinkError::Broken(error.to_string());
        let uri = format!("ws://{}{path}", self.authority);
        let uri = uri.parse().map_err(|_| LinkError::Broken(format!("{uri} is no URL")))?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(protocol);
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (socket, _) = tokio::time::timeout(PATIENCE, handshake)
            .await
            .map_err(|_| LinkError::Broken("no handshake within 10 s".to_owned()))?
            .map_err(broken)?;
        Ok((socket, binding))
    }
}

/// How a join token says the coordinator is known: `egj1.PIN.ID.SECRET`.
///
/// # Errors
/// It is none.
pub(crate) fn token_pin(token: &str) -> Result<&str, AgentError> {
    match token.split('.').collect::<Vec<_>>()[..] {
        ["egj1", pin, _, _] => Ok(pin),
        _ => Err(AgentError::NotAllowed(
            "this is no join token; it looks like egj1.…, and `egret token create` makes one".to_owned(),
        )),
    }
}

/// Whom the pin of a join token names; `None`: nobody that speaks TLS.
fn trust(pin: &str) -> Option<Trust> {
    match pin {
        PUBLIC => Some(Trust::Public),
        pin => pin.parse::<Pin>().ok().map(Trust::Pinned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_in_the_clear_beyond_loopback_unless_somebody_insists() {
        let pin = "A".repeat(43);
        for (url, pin, insecure, error) in [
            ("http://127.0.0.1:7043", PLAIN, false, None),
            ("http://localhost", &pin, false, None),
            ("http://[::1]:7043", PLAIN, false, None),
            ("https://192.0.2.1:7043", &pin, false, None),
            ("https://[2001:db8::1]", &pin, false, None),
            ("https://egret.example", PUBLIC, false, None),
            ("http://192.0.2.1:7043", PLAIN, true, None),
            ("http://192.0.2.1:7043", PLAIN, false, Some("insist with --insecure")),
            ("http://192.0.2.1:7043", &pin, true, Some("write https://")),
            ("http://egret.example", PUBLIC, false, Some("write https://")),
            ("https://egret.example", PLAIN, false, Some("make a new one")),
            ("https://egret.example", "short", false, Some("make a new one")),
            ("ftp://egret.example", PLAIN, false, Some("neither https nor http")),
            ("egret.example:7043", PLAIN, false, Some("write it like")),
            ("", PLAIN, false, Some("this is no URL")),
        ] {
            let found =
                Link::new(url, pin, insecure, Sources::default()).err().map(|error| error.to_string());
            let (said, want) = (found.as_deref().unwrap_or_default(), error.unwrap_or_default());
            assert!(found.is_some() == error.is_some() && said.contains(want), "{url} {pin}: {found:?}");
        }
    }
}
