//! How the one port is spoken to: TLS or not, bound signatures, and whose word counts for a caller's address.

use std::path::PathBuf;

use ipnet::IpNet;

use super::error::ConfigError;
use super::item::Item;
use super::table::{Keys, Table};
use super::value::quoted;

/// The keys of `[tls]`.
pub(super) const TLS: Keys = Keys { here: &["cert", "key", "channel_binding"], later: &[] };
/// Proxies in all (chosen).
const PROXIES_MAX: usize = 100;

/// Whom the listener shows itself as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Nobody: it speaks plain HTTP.
    #[default]
    Off,
    /// What the coordinator's own authority vouches for; that is made at the first start.
    Own,
    /// What the user's certificate says.
    Files {
        /// The certificate, and those that vouch for it, as PEM.
        cert: PathBuf,
        /// Its key, as PEM.
        key: PathBuf,
    },
}

/// What the config file says about the port, before it is known where that is.
#[derive(Clone, Debug, Default)]
pub(super) struct Door {
    tls: Option<Tls>,
    pub(super) is_unbound: bool,
    is_insecure: bool,
    pub(super) trusted_proxies: Vec<IpNet>,
}

impl Door {
    /// Reads the keys that are there.
    pub(super) fn read(&mut self, table: &Table<'_>) -> Result<(), ConfigError> {
        if let Some(item) = table.get("tls") {
            let tls = item.table(&TLS)?;
            let files = (tls.read("cert", Item::line)?, tls.read("key", Item::line)?);
            self.tls = Some(match files {
                (None, None) => Tls::Own,
                (Some(cert), Some(key)) => Tls::Files { cert: cert.into(), key: key.into() },
                (Some(_), None) => {
                    return Err(item.error("`cert` without its `key`; name both files, or neither"));
                }
                (None, Some(_)) => {
                    return Err(item.error("`key` without its `cert`; name both files, or neither"));
                }
            });
            self.is_unbound = !tls.read("channel_binding", Item::flag)?.unwrap_or(true);
        }
        if let Some(item) = table.get("insecure") {
            self.is_insecure = item.flag()?;
            if self.is_insecure && self.tls.is_some() {
                return Err(item.error("plain HTTP and [tls] at once; remove one of them"));
            }
        }
        if let Some(item) = table.get("trusted_proxies") {
            let proxies = item.list()?;
            if proxies.len() > PROXIES_MAX {
                return Err(item.error(format!("more than {PROXIES_MAX} networks; name larger ones")));
            }
            self.trusted_proxies = proxies.iter().map(network).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    /// What is spoken where others than this host can listen in, or only this host can.
    pub(super) fn tls(self, is_loopback: bool) -> Tls {
        match self.tls {
            Some(tls) => tls,
            None if is_loopback || self.is_insecure => Tls::Off,
            None => Tls::Own,
        }
    }
}

fn network(item: &Item<'_>) -> Result<IpNet, ConfigError> {
    let text = item.text()?;
    let single = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or_else(|_| single());
    network
        .map_err(|_| item.error(format!("{} is not a network; write 10.0.0.0/8 or 192.0.2.7", quoted(text))))
}
