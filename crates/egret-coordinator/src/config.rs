//! The configuration: what the files and the command line say, checked before anything listens.
//!
//! A TOML document keeps the place of every value (`source`, `table`, `item`); one pass over it yields
//! a [`Config`] in which nothing is left to doubt, or the first [`ConfigError`] with file, line,
//! column, key and mend. There are no inert keys: one that this version does not act on is an
//! error. Which services exist, and in which order, is decided here; what they are asked is
//! `egret-lookup`'s, what they allow is `egret-core`'s.

mod api_key;
mod catalogue;
pub(crate) mod defaults;
mod door;
mod error;
mod item;
mod request;
mod revoke;
mod service;
mod source;
mod spelling;
mod table;
mod terms;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use egret_core::quota::Terms;
use egret_lookup::Service;
use egret_lookup::known::Referral;
use egret_wire::agent::Protocol;
use egret_wire::value::Secret;
use ipnet::IpNet;

pub use api_key::{ApiKey, Role, owner_name};
use door::Door;
pub use door::Tls;
pub use egret_wire::pattern::service_pattern;
pub use error::{ConfigError, Position};
use item::Item;
pub use revoke::without_key;
use source::{Document, Source};
use table::Keys;

const DAY: Duration = Duration::from_secs(86_400);
/// Where the API listens unless told: this host only.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7043);

/// What answers take on the disk unless told: 256 MiB. Chosen.
const CACHE_SIZE: u64 = 256 << 20;

/// The keys of the config file.
const TOP: Keys = Keys {
    here: &[
        "listen",
        "data_dir",
        "tls",
        "insecure",
        "trusted_proxies",
        "new_egress",
        "default_deadline",
        "cache_size",
        "catalogue",
        "bootstrap",
        "api_key",
        "service",
    ],
    later: &["database", "retention", "min_free", "proxy_listen", "whois_listen"],
};
/// The keys of a file in `services/`.
const BESIDE: Keys = Keys { here: &["service"], later: &[] };

/// Everything the coordinator is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the API and the agents connect.
    pub listen: SocketAddr,
    /// What is spoken there. Plain HTTP beyond loopback only if the user insisted.
    pub tls: Tls,
    /// Agents' signatures hold for one TLS connection only; not where something in front of the coordinator ends TLS.
    pub channel_binding: bool,
    /// Who may say from which address a request came, by `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
    /// Where the data lives; relative to the current directory.
    pub data_dir: PathBuf,
    /// What an address never seen before may spend at once.
    pub new_egress: NewEgress,
    /// When a job ends that names no deadline.
    pub default_deadline: Duration,
    /// What answers may take on the disk together, in bytes.
    pub cache_size: u64,
    /// The keys that open the API; none: callers on this host, without any.
    pub api_keys: Vec<ApiKey>,
    /// Whether the catalogue's servers are asked where no service answers.
    pub catalogue: bool,
    /// The base URL of IANA's RDAP bootstrap files, which keep the catalogue new; ends in `/`. `None`: nothing is fetched.
    pub bootstrap: Option<String>,
    /// The services: the file's own, then those of the files beside it; their ids differ.
    pub services: Vec<ServiceConfig>,
}

/// How an address never seen before starts at a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewEgress {
    /// With a full budget.
    #[default]
    Fresh,
    /// With half of it for one window.
    Ramp,
    /// With none for one window.
    Wait,
}

/// One service: how it is reached, what it allows, what it is asked. Its id is `lookup.id()`.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// How it is asked.
    pub protocol: Protocol,
    /// `host:port`; over HTTP a base URL that ends in `/`.
    pub address: String,
    /// Over HTTP: the methods it may be asked with.
    pub methods: Vec<&'static str>,
    /// Over HTTP: fields that every request to it has, names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// What it allows.
    pub terms: Terms,
    /// How its answers name the next server to ask, if the catalogue knows.
    pub referral: Referral,
    /// What is asked, and how its answers are judged.
    pub lookup: Service,
    /// How old an answer may be that is given again, unless a job says otherwise; zero: none ever is.
    pub cache_for: Duration,
    /// The longest answer taken, in bytes. Over HTTP more may pass than is kept: of that, `MAX_ANSWER` is the most.
    pub max_answer: u64,
    /// It may live at an address that is not public.
    pub allow_private_addresses: bool,
    /// Where its quotas were read, and when.
    pub source: Option<String>,
    /// Its terms of use.
    pub terms_url: Option<String>,
    /// The file it comes from, or `catalogue`.
    pub origin: String,
}

/// What flags and environment say; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`, `EGRET_LISTEN`.
    pub listen: Option<String>,
    /// `--data-dir`, `EGRET_DATA_DIR`.
    pub data_dir: Option<PathBuf>,
}

impl Config {
    /// Reads the file, the `services/*.toml` beside it in the order of their names, and the overrides on top.
    ///
    /// # Errors
    /// The first mistake found: unreadable files first, then TOML syntax, then keys and values in
    /// the order of the files.
    pub fn load(file: &Path, overrides: &Overrides) -> Result<Config, ConfigError> {
        let main = Source::read(file)?;
        let beside = source::services_beside(file)?;
        assemble(Some(&main), &beside, overrides)
    }

    /// What holds without a file: the defaults and the embedded catalogue.
    ///
    /// # Errors
    /// A wrong override.
    pub fn embedded(overrides: &Overrides) -> Result<Config, ConfigError> {
        assemble(None, &catalogue::sources(), overrides)
    }

    /// Reads one text as a config file called `name`, with nothing beside it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, name: &str) -> Result<Config, ConfigError> {
        assemble(Some(&Source::new(name, text.to_owned())), &[], &Overrides::default())
    }

    /// Every owner of keys once, in the order of the file, with its share of the grants.
    pub fn owners(&self) -> impl Iterator<Item = (&str, u32)> {
        let is_first = |index: usize, name: &str| self.api_keys[..index].iter().all(|key| key.name != name);
        let keys = self.api_keys.iter().enumerate();
        keys.filter(move |(index, key)| is_first(*index, &key.name)).map(|(_, key)| (&*key.name, key.weight))
    }
}

impl Default for Config {
    /// The defaults, and no services.
    fn default() -> Config {
        Config {
            listen: LISTEN,
            tls: Tls::Off,
            channel_binding: true,
            trusted_proxies: Vec::new(),
            data_dir: PathBuf::from("./data"),
            new_egress: NewEgress::Fresh,
            default_deadline: 7 * DAY,
            cache_size: CACHE_SIZE,
            api_keys: Vec::new(),
            catalogue: true,
            bootstrap: None,
            services: Vec::new(),
        }
    }
}

fn assemble(main: Option<&Source>, beside: &[Source], overrides: &Overrides) -> Result<Config, ConfigError> {
    let documents = main.into_iter().chain(beside).map(Source::parse).collect::<Result<Vec<_>, _>>()?;
    let (mut config, mut door) = (Config::default(), Door::default());
    let mut ids = BTreeMap::new();
    for (index, document) in documents.iter().enumerate() {
        let is_main = main.is_some() && index == 0;
        config.apply(document, if is_main { &TOP } else { &BESIDE }, &mut door, &mut ids)?;
    }
    config.override_by(overrides)?;
    config.channel_binding = !door.is_unbound;
    config.trusted_proxies = std::mem::take(&mut door.trusted_proxies);
    config.tls = door.tls(config.listen.ip().is_loopback());
    Ok(config)
}

impl Config {
    /// Adds what one file says. `ids` holds where each service was named.
    fn apply<'d>(
        &mut self,
        document: &'d Document<'d>,
        keys: &Keys,
        door: &mut Door,
        ids: &mut BTreeMap<&'d str, Item<'d>>,
    ) -> Result<(), ConfigError> {
        let table = document.table(keys)?;
        door.read(&table)?;
        let listen =
            table.read("listen", |item| value::listen(item.text()?).map_err(|why| item.error(why)))?;
        self.listen = listen.unwrap_or(self.listen);
        if let Some(dir) = table.read("data_dir", Item::line)? {
            self.data_dir = PathBuf::from(dir);
        }
        self.new_egress = table.read("new_egress", new_egress)?.unwrap_or(self.new_egress);
        let deadline = table.read("default_deadline", |item| item.span(value::LIFE))?;
        self.default_deadline = deadline.unwrap_or(self.default_deadline);
        let size = table
            .read("cache_size", |item| value::cache_size(item.text()?).map_err(|why| item.error(why)))?;
        self.cache_size = size.unwrap_or(self.cache_size);
        self.catalogue = table.read("catalogue", Item::flag)?.unwrap_or(self.catalogue);
        if let Some(url) = table.read("bootstrap", |item| bootstrap(item, self.catalogue))? {
            self.bootstrap = Some(url);
        }
        if let Some(items) = table.read("api_key", Item::tables)? {
            self.api_keys = api_key::read_all(&items)?;
        }
        for item in table.read("service", Item::tables)?.unwrap_or_default() {
            self.add(&item, ids)?;
        }
        Ok(())
    }

    fn add<'d>(&mut self, item: &Item<'d>, ids: &mut BTreeMap<&'d str, Item<'d>>) -> Result<(), ConfigError> {
        let (id, service) = service::read(item)?;
        if let Some(first) = ids.insert(id.text()?, id.clone()) {
            let (name, place) = (service.lookup.id(), first.place());
            return Err(id.error(format!("`{name}` is already the id of {place}; rename or remove one")));
        }
        self.services.push(service);
        Ok(())
    }

    fn override_by(&mut self, overrides: &Overrides) -> Result<(), ConfigError> {
        if let Some(listen) = &overrides.listen {
            let refuse = |why| ConfigError::nowhere("--listen or EGRET_LISTEN", "listen", why);
            self.listen = value::listen(listen).map_err(refuse)?;
        }
        if let Some(dir) = &overrides.data_dir {
            if dir.as_os_str().is_empty() {
                let why = "empty; name a directory, such as ./data".to_owned();
                return Err(ConfigError::nowhere("--data-dir or EGRET_DATA_DIR", "data_dir", why));
            }
            self.data_dir.clone_from(dir);
        }
        Ok(())
    }
}

fn bootstrap(item: &Item<'_>, catalogue: bool) -> Result<String, ConfigError> {
    let url = value::bootstrap_url(item.text()?).map_err(|why| item.error(why))?;
    if catalogue {
        return Ok(url);
    }
    Err(item.error("it keeps the catalogue new, and `catalogue = false` turns that off; remove one of them"))
}

fn new_egress(item: &Item<'_>) -> Result<NewEgress, ConfigError> {
    item.word(&[("fresh", NewEgress::Fresh), ("ramp", NewEgress::Ramp), ("wait", NewEgress::Wait)])
}
