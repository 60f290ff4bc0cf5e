//! A running remote: its socket, its handle, its end.

use crate::gate::Gate;
use crate::score::Score;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Connections the kernel may keep waiting to be accepted.
const BACKLOG: u32 = 4096;

/// Connections served at once; more wait in the backlog.
const MAX_CONNECTIONS: usize = 8192;

/// A remote that listens; it ends when this is dropped.
pub struct Remote {
    addr: SocketAddr,
    gate: Arc<Gate>,
    stop: Arc<Notify>,
    serving: JoinHandle<()>,
}

impl Remote {
    /// Where it listens, with the real port.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it has seen so far.
    pub fn score(&self) -> Score {
        self.gate.score()
    }

    /// When each call of `peer` was counted, after the start, in order.
    pub fn arrivals(&self, peer: IpAddr) -> Vec<Duration> {
        self.gate.arrivals(peer)
    }

    /// Shuts `peer` out for `length` from now, known or not.
    pub fn ban(&self, peer: IpAddr, length: Duration) {
        self.gate.ban(peer, length);
    }

    /// Ends the ban of `peer`, if there is one.
    pub fn unban(&self, peer: IpAddr) {
        self.gate.unban(peer);
    }

    /// Closes the socket and every connection, and returns the final score.
    pub async fn shutdown(mut self) -> Score {
        self.stop.notify_one();
        // A serving task that panicked is gone as well; the score stands.
        let _ = (&mut self.serving).await;
        self.gate.score()
    }

    /// Listens on `listen` and hands every connection to `serve`, in the order they came.
    pub(crate) fn start<F, S>(listen: SocketAddr, gate: Arc<Gate>, serve: F) -> io::Result<Self>
    where
        F: Fn(TcpStream, IpAddr) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(listen)?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let stop = Arc::new(Notify::new());
        let serving = tokio::spawn(accept(listener, Arc::clone(&stop), serve));
        Ok(Self { addr, gate, stop, serving })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Accepts until told to stop, then ends every connection.
async fn accept<F, S>(listener: TcpListener, stop: Arc<Notify>, serve: F)
where
    F: Fn(TcpStream, IpAddr) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        tokio::select! {
            biased;
            () = stop.notified() => break,
            _ = open.join_next(), if open.len() >= MAX_CONNECTIONS => {}
            accepted = listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    // Answers are one write; waiting to join it with another would only delay it.
                    let _ = stream.set_nodelay(true);
                    open.spawn(serve(stream, peer.ip().to_canonical()));
                }
                // Out of descriptors, most likely: let some connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    open.shutdown().await;
}
