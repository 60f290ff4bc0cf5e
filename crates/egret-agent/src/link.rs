//! Connections to the coordinator: one request at a time from a given address, and the session's WebSocket.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use egret_wire::agent::{MAX_FRAME, PROTOCOL};
use egret_wire::problem::Problem;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::AgentError;

/// How long connecting and one exchange may take (chosen: a slow link, not a dead one).
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers to enrolment and observation are a few hundred bytes.
const MAX_BODY: usize = 64 << 10;
/// Small buffers: a session costs 24 KB instead of 148 KB.
const BUFFER: usize = 8 << 10;

/// Where the coordinator is.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    authority: String,
}

/// What a connection to the coordinator can come to.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// It cannot be reached, or broke off.
    Broken(String),
    /// It answered with a problem.
    Problem(Box<Problem>),
}

impl Link {
    /// Checks the URL; plain HTTP is for loopback only.
    pub(crate) fn new(url: &str) -> Result<Self, AgentError> {
        let wrong = |why: &str| {
            AgentError::Setting(format!("--coordinator {url}: {why}; write it like http://127.0.0.1:7043"))
        };
        let uri: hyper::Uri = url.parse().map_err(|_| wrong("this is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("this version of egret speaks plain http, on loopback only"));
        }
        let host = uri.host().ok_or_else(|| wrong("the host is missing"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare != "localhost" && !bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) {
            return Err(wrong(
                "plain http beyond loopback is refused, and TLS is not supported by this version",
            ));
        }
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(7043));
        Ok(Self { url: url.trim_end_matches('/').to_owned(), authority })
    }

    async fn dial(&self, from: Option<IpAddr>) -> Result<TcpStream, LinkError> {
        let broken = |error: std::io::Error| LinkError::Broken(error.to_string());
        let found = tokio::net::lookup_host(self.authority.as_str()).await.map_err(broken)?;
        let fits = |address: &SocketAddr| from.is_none_or(|from| from.is_ipv4() == address.is_ipv4());
        let address = found.into_iter().find(fits).ok_or_else(|| {
            let from = from.map_or_else(String::new, |from| format!(" of the family of {from}"));
            LinkError::Broken(format!("{} has no address{from}", self.authority))
        })?;
        let connect = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        tokio::time::timeout(PATIENCE, connect)
            .await
            .map_err(|_| LinkError::Broken("no connection within 10 s".to_owned()))?
            .map_err(|error: std::io::Error| match from {
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
        let stream = self.dial(from).await?;
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
        stream: TcpStream,
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
    pub(crate) async fn session(&self) -> Result<WebSocketStream<TcpStream>, LinkError> {
        let stream = self.dial(None).await?;
        let broken = |error: tokio_tungstenite::tungstenite::Error| LinkError::Broken(error.to_string());
        let uri = format!("ws://{}/agent/v1/session", self.authority);
        let uri = uri.parse().map_err(|_| LinkError::Broken(format!("{uri} is no URL")))?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(PROTOCOL);
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (socket, _) = tokio::time::timeout(PATIENCE, handshake)
            .await
            .map_err(|_| LinkError::Broken("no handshake within 10 s".to_owned()))?
            .map_err(broken)?;
        Ok(socket)
    }
}
