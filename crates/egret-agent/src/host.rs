//! The addresses of this host that calls can leave from.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::AgentError;
use crate::judge::is_public;

/// Every usable address: all public ones, and at most one private address of each family.
///
/// Private addresses usually leave through one and the same NAT address, so two of them are one
/// egress to a remote; the one the host itself would choose stands for all.
pub(crate) fn usable_addresses() -> Result<Vec<IpAddr>, AgentError> {
    let interfaces = if_addrs::get_if_addrs().map_err(|error| {
        AgentError::Setting(format!("this host's addresses cannot be read: {error}; name them with --egress"))
    })?;
    let mut addresses: Vec<IpAddr> =
        interfaces.iter().map(if_addrs::Interface::ip).filter(|address| is_public(*address)).collect();
    for (probe, is_family) in
        [("192.0.2.1:9", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("[2001:db8::1]:9", IpAddr::is_ipv6)]
    {
        if !addresses.iter().any(is_family) {
            addresses.extend(default_source(probe).filter(|address| !address.is_loopback()));
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(AgentError::Setting(
            "this host has no usable address; name one with --egress, for example --egress 127.0.0.2 on loopback".to_owned(),
        ));
    }
    Ok(addresses)
}

/// Why this host cannot call from an address, if it cannot.
pub(crate) fn unusable(address: IpAddr) -> Option<std::io::Error> {
    UdpSocket::bind(SocketAddr::new(address, 0)).err()
}

/// The source address that the host's routes choose; nothing is sent.
fn default_source(probe: &str) -> Option<IpAddr> {
    let probe: SocketAddr = probe.parse().ok()?;
    let unspecified: SocketAddr = if probe.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().ok()?;
    let socket = UdpSocket::bind(unspecified).ok()?;
    socket.connect(probe).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
