//! The addresses of this host that calls can leave from.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::{IpNet, Ipv6Net};
use socket2::SockRef;
use tokio::net::TcpSocket;

use crate::AgentError;
use crate::judge::is_public;
use crate::simulated::{Stage, Wire};

/// Addresses that one agent may claim; the coordinator takes no more.
const MOST: usize = 1_024;
/// By this much of an address do services count IPv6.
const COUNTED: u8 = 64;

/// Which addresses to call from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Addresses, and networks that are routed to this host; empty: whatever the host has.
    named: Vec<IpNet>,
    excluded: Vec<IpNet>,
    stage: Stage,
}

/// Why there is no connection.
pub(crate) enum DialError {
    /// There is no socket with that address; nothing has left.
    Local(io::Error),
    /// What came of dialling.
    Remote(io::Error),
}

impl Sources {
    /// Checks them against the host.
    ///
    /// # Errors
    /// A named address that is not the host's, too many, or none at all.
    pub(crate) fn new(named: Vec<IpNet>, excluded: Vec<IpNet>, stage: Stage) -> Result<Self, AgentError> {
        let sources = Self { stage, ..Self::unchecked(named, excluded) };
        let unusable = |address: &IpAddr| Some((*address, sources.check(*address).err()?));
        let found = if let Some(wide) = sources.named.iter().find(|net| count(**net) > MOST) {
            let detail = format!("--egress {wide}: more than {MOST} addresses; name a longer prefix");
            return Err(AgentError::Setting(detail));
        } else {
            sources.current()?
        };
        if let Some((address, error)) = found.iter().find_map(unusable).filter(|_| !sources.named.is_empty())
        {
            let detail = format!("--egress {address}: {error}; name an address of this host");
            return Err(AgentError::Setting(detail));
        }
        match found.len() {
            0 => Err(AgentError::Setting(
                "this host has no usable address; name one with --egress, for example --egress 127.0.0.2 on loopback"
                    .to_owned(),
            )),
            1..=MOST => Ok(sources),
            _ => Err(AgentError::Setting(format!("more than {MOST} addresses; name those to call from with --egress"))),
        }
    }

    /// The same, whatever the host says to them.
    pub(crate) fn unchecked(named: Vec<IpNet>, excluded: Vec<IpNet>) -> Self {
        Self { named, excluded, stage: None }
    }

    /// Those there are now.
    ///
    /// # Errors
    /// The host does not tell.
    pub(crate) fn current(&self) -> Result<Vec<IpAddr>, AgentError> {
        let mut addresses = if self.named.is_empty() {
            discovered()?
        } else {
            self.named.iter().flat_map(|net| addresses_of(*net)).collect()
        };
        addresses.retain(|address| !self.excluded.iter().any(|net| net.contains(address)));
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// Whether an address may be another host's as far as this one knows: all of its network is routed here.
    fn is_free(&self, address: IpAddr) -> bool {
        let is_one = |net: &&IpNet| net.prefix_len() == net.max_prefix_len();
        self.named.iter().filter(|net| !is_one(net)).any(|net| net.contains(&address))
    }

    /// Whether calls can leave from an address.
    ///
    /// # Errors
    /// The host does not have it, or has no sockets left.
    pub(crate) fn check(&self, from: IpAddr) -> io::Result<()> {
        if self.stage.is_some() { Ok(()) } else { self.socket(from).map(drop) }
    }

    /// Connects, from an address that the host chooses if none is given.
    pub(crate) async fn dial(
        &self,
        from: Option<IpAddr>,
        to: SocketAddr,
    ) -> Result<Box<dyn Wire>, DialError> {
        if let Some(host) = self.stage {
            return host.dial(from, to).await.map_err(DialError::Remote);
        }
        let socket = match from {
            Some(from) => self.socket(from),
            None if to.is_ipv4() => TcpSocket::new_v4(),
            None => TcpSocket::new_v6(),
        };
        let stream = socket.map_err(DialError::Local)?.connect(to).await.map_err(DialError::Remote)?;
        // Without it what is said in small pieces waits for the other end's acknowledgements.
        let _ = stream.set_nodelay(true);
        Ok(Box::new(stream))
    }

    /// Every address of this host's interfaces; `None`: they cannot be read now.
    pub(crate) fn own_addresses(&self) -> Option<Vec<IpAddr>> {
        match self.stage {
            Some(_) => Some(self.named.iter().map(IpNet::addr).collect()),
            None => own_addresses(),
        }
    }

    /// A socket that dials from an address.
    fn socket(&self, from: IpAddr) -> io::Result<TcpSocket> {
        let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if self.is_free(from) {
            match from {
                IpAddr::V4(_) => SockRef::from(&socket).set_freebind_v4(true)?,
                IpAddr::V6(_) => SockRef::from(&socket).set_freebind_v6(true)?,
            }
        }
        socket.bind(SocketAddr::new(from, 0))?;
        Ok(socket)
    }
}

/// How many addresses are called from if a network is named.
fn count(net: IpNet) -> usize {
    let bits = match net {
        IpNet::V4(net) => 32 - net.prefix_len(),
        IpNet::V6(net) => COUNTED.saturating_sub(net.prefix_len()),
    };
    1usize.checked_shl(bits.into()).unwrap_or(usize::MAX)
}

/// Those addresses: of IPv4 all hosts', of IPv6 one of each /64, since that is what services count.
fn addresses_of(net: IpNet) -> Vec<IpAddr> {
    match net {
        IpNet::V4(net) => net.hosts().take(MOST).map(IpAddr::V4).collect(),
        IpNet::V6(net) if net.prefix_len() == 128 => vec![net.addr().into()],
        IpNet::V6(net) => {
            let first = |net: Ipv6Net| IpAddr::V6(Ipv6Addr::from(u128::from(net.network()) | 1));
            match net.subnets(net.prefix_len().max(COUNTED)) {
                Ok(counted) => counted.take(MOST).map(first).collect(),
                Err(_) => vec![first(net)],
            }
        }
    }
}

/// Every usable address: all public ones, and at most one private address of each family.
///
/// Private addresses usually leave through one and the same NAT address, so two of them are one
/// egress to a remote; the one the host itself would choose stands for all.
fn discovered() -> Result<Vec<IpAddr>, AgentError> {
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
    Ok(addresses)
}

fn own_addresses() -> Option<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    Some(interfaces.iter().map(if_addrs::Interface::ip).collect())
}

/// The source address that the host's routes choose; nothing is sent.
fn default_source(probe: &str) -> Option<IpAddr> {
    let probe: SocketAddr = probe.parse().ok()?;
    let unspecified: SocketAddr = if probe.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().ok()?;
    let socket = UdpSocket::bind(unspecified).ok()?;
    socket.connect(probe).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_stands_for_what_services_count_of_it() {
        let of = |text: &str| addresses_of(net(text)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of("192.0.2.7/32"), ["192.0.2.7"]);
        assert_eq!(of("192.0.2.8/30"), ["192.0.2.9", "192.0.2.10"]);
        assert_eq!(of("2001:db8:1::7/128"), ["2001:db8:1::7"]);
        assert_eq!(of("2001:db8:1::/64"), ["2001:db8:1::1"]);
        assert_eq!(of("2001:db8:1::5/112"), ["2001:db8:1::1"]);
        assert_eq!(of("2001:db8:1::/63"), ["2001:db8:1::1", "2001:db8:1:1::1"]);
        assert_eq!(of("2001:db8::/32").len(), MOST, "no more are ever made");
        for (text, many) in [
            ("2001:db8::/54", 1_024),
            ("2001:db8::/32", 1 << 32),
            ("::/0", usize::MAX),
            ("10.0.0.0/8", 1 << 24),
        ] {
            assert_eq!(count(net(text)), many, "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_named_is_checked_and_what_is_excluded_is_left_out() {
        let refused = |named: &[&str], excluded: &[&str]| {
            let nets = |texts: &[&str]| texts.iter().map(|text| net(text)).collect();
            Sources::new(nets(named), nets(excluded), None)
                .map(|sources| sources.current().unwrap())
                .map_err(|e| e.to_string())
        };
        assert_eq!(refused(&["127.0.0.2/32", "127.0.0.2/32"], &[]).unwrap().len(), 1);
        assert_eq!(refused(&["127.0.0.0/29"], &["127.0.0.4/30"]).unwrap().len(), 3);
        // Nobody's, but all of it is routed here.
        assert_eq!(refused(&["2001:db8:1::/64"], &[]).unwrap().len(), 1);
        for (named, excluded, why) in [
            (&["2001:db8:1::7/128"][..], &[][..], "name an address of this host"),
            (&["10.0.0.0/8"][..], &[][..], "name a longer prefix"),
            (&["127.0.0.0/22", "127.1.0.0/22"][..], &[][..], "more than 1024 addresses"),
            (&["127.0.0.2/32"][..], &["127.0.0.0/8"][..], "no usable address"),
        ] {
            let error = refused(named, excluded).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
