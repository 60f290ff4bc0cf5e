//! A longer way between two programs: bytes go through unchanged, each so much later.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Pieces under way in one direction.
const PIECES: usize = 4_096;

/// A forwarder to one address; it ends when this is dropped.
pub struct Delay {
    /// Where it listens.
    pub address: SocketAddr,
    accepting: AbortHandle,
}

impl Delay {
    /// Forwards connections to `to`, from the address that they came from, `each_way` later.
    pub async fn start(to: SocketAddr, each_way: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let accepting = tokio::spawn(async move {
            // Dropped with the task, and with it all connections.
            let mut open = JoinSet::new();
            while let Ok((near, peer)) = listener.accept().await {
                open.spawn(forward(near, peer, to, each_way));
            }
        });
        Self { address, accepting: accepting.abort_handle() }
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(near: TcpStream, peer: SocketAddr, to: SocketAddr, each_way: Duration) {
    let far = async {
        let socket = TcpSocket::new_v4()?;
        // The other side goes by the address that it sees.
        socket.bind(SocketAddr::new(peer.ip(), 0))?;
        socket.connect(to).await
    };
    let Ok(far) = far.await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::join!(carry(near_in, far_out, each_way), carry(far_in, near_out, each_way));
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, each_way: Duration) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let read = async move {
        let mut buffer = vec![0u8; 64 << 10];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            if sender.send((Instant::now() + each_way, buffer[..bytes].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        // The other end may have gone first.
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
