//! A connection of a host that may be killed.
//!
//! In which order a runtime drops its tasks is not a seed's to say, and whoever is told first that a connection has ended
//! acts first. So what a killed host leaves open is closed in the order in which it was opened.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

use crate::scene::{Shared, look};

pub(crate) struct Conn {
    /// `None`: dropped.
    inner: Option<TcpStream>,
    scene: Shared,
    /// Counts up over the simulation.
    number: u64,
}

impl Conn {
    pub(crate) fn new(inner: TcpStream, scene: &Shared) -> Self {
        let number = {
            let mut scene = look(scene);
            scene.connections += 1;
            scene.connections
        };
        Self { inner: Some(inner), scene: scene.clone(), number }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn inner(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.inner.as_mut().unwrap())
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let mut scene = look(&self.scene);
        if let Some(inner) = self.inner.take().filter(|_| scene.is_dying) {
            scene.graves.insert(self.number, inner);
        }
    }
}

/// Closes what a killed host has left open; on that host.
pub(crate) fn bury(scene: &Shared) {
    let graves = std::mem::take(&mut look(scene).graves);
    graves.into_values().for_each(drop);
}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}
