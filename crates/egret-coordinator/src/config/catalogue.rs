//! The services that ship with egret: the files of `config/services`, embedded.
//!
//! They add to what the catalogue knows of their ids: how refusals read, how long to rest after one. They hold when
//! there is no config file. Beside `config/egret.example.toml` the same files are found on disk, so both ways know the
//! same services.

use super::source::Source;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../config/services/", $name)))),*]
    };
}

const FILES: [(&str, &str); 7] = shipped![
    "whois.eu.toml",
    "whois.fi.toml",
    "whois.hkirc.hk.toml",
    "whois.nic.brussels.toml",
    "whois.nic.xn--d1acj3b.toml",
    "whois.tcinet.ru.toml",
    "whois.verisign-grs.com.toml",
];

/// The shipped files, by name.
pub(super) fn sources() -> Vec<Source> {
    FILES.iter().map(|(name, text)| Source::shipped(name, text)).collect()
}
