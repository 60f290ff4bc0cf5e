//! The listener: HTTP/1.1 with a deadline for every header, and a cap on connections.
//!
//! Where it speaks TLS, callers on this host may leave it out: what does not leave the host needs none. Which of the
//! two a connection is shows its first byte.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::linger::Lingering;

/// A client that has not sent its whole header by then is cut; so is one that idles.
const HEADER: Duration = Duration::from_secs(10);
/// Connections at a time (chosen: thousands of agents and as many callers).
const CONNECTIONS: usize = 8_192;
/// How long a connection may take to end once the coordinator stops.
const STOP: Duration = Duration::from_secs(3);

/// What a TLS connection begins with (RFC 8446 5.1: a record of a handshake).
const HANDSHAKE: u8 = 22;
/// What callers from elsewhere are told who speak plain HTTP where TLS is spoken.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
    this port speaks TLS: write https:// instead of http://\n";

/// What signatures may be bound to on this connection (RFC 9266); `None`: it is plain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding(pub(crate) Option<[u8; 32]>);

/// Where connections come from: a port of this host, or of a simulated one.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Where it is reached.
    ///
    /// # Errors
    /// The system does not tell.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next connection, and who made it.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The first byte of a connection, which is still to be read; `None`: it has ended without one.
    fn first(stream: &mut Self::Stream) -> impl Future<Output = io::Result<Option<u8>>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = Self::accept(self).await?;
        // Without it small answers wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    async fn first(stream: &mut TcpStream) -> io::Result<Option<u8>> {
        let mut first = [0];
        let length = stream.peek(&mut first).await?;
        Ok(first.get(..length).and_then(|read| read.first().copied()))
    }
}

/// Serves until `stop` turns true, then lets the exchanges under way end.
pub(crate) async fn serve<L: Listener>(
    listener: L,
    router: Router,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let (router, tls, stop) = (router.clone(), tls.clone(), stop.clone());
        connections.spawn(async move {
            connection::<L>(stream, peer, router, tls, stop).await;
            drop(permit);
        });
    }
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP, rest).await.is_err() {
        connections.shutdown().await;
    }
}

async fn accept<L: Listener>(
    listener: &L,
    permits: &Arc<Semaphore>,
) -> Option<(L::Stream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            tracing::warn!("a connection could not be accepted: {error}");
            // Out of descriptors, most likely: some must be given back first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection<L: Listener>(
    mut stream: L::Stream,
    peer: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: watch::Receiver<bool>,
) {
    let Some(tls) = tls else { return speak(stream, peer, Binding(None), router, stop).await };
    match timeout(HEADER, L::first(&mut stream)).await {
        Ok(Ok(Some(HANDSHAKE))) => {
            // Whoever does not come through is a stranger, or has a certificate of ours that is another's: it says so itself.
            let Ok(Ok(stream)) = timeout(HEADER, tls.accept(stream)).await else { return };
            let binding = Binding(egret_tls::binding(stream.get_ref().1));
            speak(stream, peer, binding, router, stop).await;
        }
        Ok(Ok(Some(_))) if peer.ip().to_canonical().is_loopback() => {
            speak(stream, peer, Binding(None), router, stop).await;
        }
        Ok(Ok(Some(_))) => {
            let _ = timeout(HEADER, stream.write_all(SPEAK_TLS)).await;
            // It may not have been read when the connection is reset over what was not read here: no more can be done.
            let _ = timeout(HEADER, stream.shutdown()).await;
        }
        _ => {}
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    binding: Binding,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(binding);
        let router = router.clone();
        let request = request.map(Lingering::new);
        async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        biased;
        // Errors here are the client's: it left, or spoke no HTTP.
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
