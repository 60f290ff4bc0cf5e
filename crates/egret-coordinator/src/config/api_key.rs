//! One `[[api_key]]` table: who may call, what for, and its share of the grants.

use std::fmt;

use super::error::ConfigError;
use super::item::Item;
use super::table::Keys;
use super::value::quoted;
use crate::key::{KeyHash, KeyHashError};
use egret_wire::pattern::{MOST_PATTERNS, permits, service_pattern};

/// Keys in all; more belong behind a service of their own (chosen).
const KEYS_MAX: usize = 1_000;
/// The longest name of an owner (chosen).
const NAME_MAX: usize = 64;
/// The largest weight (chosen: a thousandth is as small a part as anybody asks for).
const WEIGHT_MAX: u32 = 1_000;

/// The keys of an `[[api_key]]`.
pub(super) const API_KEY: Keys = Keys { here: &["name", "hash", "role", "weight", "services"], later: &[] };

/// What a caller may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at what is its own, and at quotas, services and agents.
    Read,
    /// Submit and cancel jobs.
    Submit,
    /// Everything, also with what others own.
    Admin,
}

impl Role {
    /// The words for the roles.
    pub const WORDS: [(&'static str, Role); 3] =
        [("read", Role::Read), ("submit", Role::Submit), ("admin", Role::Admin)];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Submit => "submit",
            Role::Admin => "admin",
        }
    }
}

/// A key that opens the API. Keys of one name have one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its owner.
    pub name: String,
    /// What is kept of it.
    pub hash: KeyHash,
    /// What it allows.
    pub role: Role,
    /// The owner's share of the grants, against other owners that wait.
    pub weight: u32,
    /// The services it may ask, as [`service_pattern`] allows them; empty: all.
    pub services: Vec<String>,
}

impl ApiKey {
    /// Whether it may submit jobs for a service.
    pub(crate) fn may_ask(&self, service: &str) -> bool {
        permits(&self.services, service)
    }
}

/// The table that the config file wants for it.
impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, hash, role, weight, services } = self;
        write!(f, "[[api_key]]\nname     = {name:?}\nhash     = \"{hash}\"\nrole     = {:?}", role.as_str())?;
        if *weight != 1 {
            write!(f, "\nweight   = {weight}")?;
        }
        if !services.is_empty() {
            write!(f, "\nservices = {services:?}")?;
        }
        Ok(())
    }
}

/// A name of an owner.
///
/// # Errors
/// What is wrong with it, and the mend.
pub fn owner_name(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(format!("{} is not a name; write 1 to {NAME_MAX} of a-z, 0-9, `.`, `_` and `-`", quoted(text)))
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b)
}

/// Reads all keys and holds them against each other.
pub(super) fn read_all(items: &[Item<'_>]) -> Result<Vec<ApiKey>, ConfigError> {
    if let Some(item) = items.get(KEYS_MAX) {
        return Err(item.error(format!("more than {KEYS_MAX} keys; remove those that are not used")));
    }
    let mut keys: Vec<ApiKey> = Vec::with_capacity(items.len());
    for item in items {
        let Read { key, hash, weight } = read(item)?;
        for (other, place) in keys.iter().zip(items.iter().map(Item::place)) {
            if other.hash == key.hash {
                return Err(hash.error(format!("the hash of the key of {place} too; remove one of them")));
            }
            if other.name == key.name && other.weight != key.weight {
                let (name, weighs) = (&key.name, other.weight);
                return Err(weight.error(format!(
                    "`{name}` has weight {weighs} in {place}, and its keys share one; \
                     write weight = {weighs}, or change both"
                )));
            }
        }
        keys.push(key);
    }
    Ok(keys)
}

/// A key, and where it says what others may contradict.
struct Read<'d> {
    key: ApiKey,
    hash: Item<'d>,
    /// The weight; the name, if it says none.
    weight: Item<'d>,
}

fn read<'d>(item: &Item<'d>) -> Result<Read<'d>, ConfigError> {
    let table = item.table(&API_KEY)?;
    let name = table.need("name", "the owner's name, such as name = \"research\"")?;
    let hash = table.need("hash", "what `egret key create` prints, hash = \"sha256:…\"")?;
    let role = table.need("role", "role = \"read\", \"submit\" or \"admin\"")?.word(&Role::WORDS)?;
    let services = table.read("services", |item| services(item, role))?;
    let key = ApiKey {
        name: owner_name(name.text()?).map_err(|why| name.error(why))?,
        hash: hash.text()?.parse().map_err(|why: KeyHashError| hash.error(why.to_string()))?,
        role,
        weight: table.read("weight", |item| item.whole(1..=WEIGHT_MAX))?.unwrap_or(1),
        services: services.unwrap_or_default(),
    };
    Ok(Read { key, hash, weight: table.get("weight").unwrap_or(name) })
}

fn services(item: &Item<'_>, role: Role) -> Result<Vec<String>, ConfigError> {
    if role == Role::Read {
        return Err(item.error("without effect for a key that submits nothing; remove it, or change `role`"));
    }
    let patterns = item.list()?;
    if patterns.is_empty() {
        return Err(item.error("empty; name a service, or remove the key to allow all of them"));
    }
    if patterns.len() > MOST_PATTERNS {
        return Err(item.error(format!("more than {MOST_PATTERNS} patterns; use `*` to say more with fewer")));
    }
    let pattern = |item: &Item<'_>| service_pattern(item.text()?).map_err(|why| item.error(why));
    patterns.iter().map(pattern).collect()
}
