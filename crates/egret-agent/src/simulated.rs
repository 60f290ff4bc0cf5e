//! What stands in for the host of an agent in a simulation: its sockets and its clocks.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that is being made.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn Wire>>> + Send>>;

/// A host that is not there. Whoever runs it decides how its time passes; nothing is waited for but the runtime's clock, and
/// the journal has no thread.
pub trait Simulated: Debug + Send + Sync {
    /// Connects, from an address of its own choice if none is given.
    fn dial(&self, from: Option<IpAddr>, to: SocketAddr) -> Dialling;

    /// Microseconds since the host was started.
    fn since_boot(&self) -> u64;

    /// The wall clock, in milliseconds since 1970.
    fn wall_ms(&self) -> u64;

    /// The name of this boot, within which [`Simulated::since_boot`] is one clock; empty: nobody can tell.
    fn boot_name(&self) -> String;
}

/// `None`: the host is this one.
pub(crate) type Stage = Option<&'static dyn Simulated>;
