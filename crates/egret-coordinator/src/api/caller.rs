//! Who calls: found by the key that comes with a request, and carried with it to the handlers.

use std::collections::HashMap;
use std::sync::Arc;

use egret_wire::problem::Code;
use ring::hmac;

use super::Failure;
use crate::config::{ApiKey, Role};
use crate::identity::random;
use crate::key::KeyHash;

/// Who calls, and what that allows.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A program on this host, while no keys are configured: it may do everything, and nobody owns anything.
    Local,
    /// Whoever holds this key.
    Key(Arc<ApiKey>),
}

impl Caller {
    /// Whose the jobs and batches are that it submits; empty without keys.
    pub(crate) fn owner(&self) -> &str {
        match self {
            Self::Local => "",
            Self::Key(key) => &key.name,
        }
    }

    /// Whose jobs and batches it sees; `None`: everybody's.
    pub(crate) fn sees_only(&self) -> Option<&str> {
        match self {
            Self::Key(key) if key.role < Role::Admin => Some(&key.name),
            Self::Local | Self::Key(_) => None,
        }
    }

    /// Whether it sees what this owner has. What it does not see is not there for it.
    pub(crate) fn sees(&self, owner: &str) -> bool {
        self.sees_only().is_none_or(|own| own == owner)
    }

    /// # Errors
    /// `forbidden`: its role is below `need`.
    pub(super) fn check_role(&self, need: Role) -> Result<(), Failure> {
        match self {
            Self::Key(key) if key.role < need => {
                let (name, role, need) = (&key.name, key.role.as_str(), need.as_str());
                let detail = format!("this key of `{name}` has the role {role}; this needs the role {need}");
                Err(Failure::new(Code::Forbidden, detail))
            }
            Self::Local | Self::Key(_) => Ok(()),
        }
    }

    /// Patterns of the services that it may submit jobs for; none: all.
    pub(super) fn allowed(&self) -> &[String] {
        match self {
            Self::Key(key) => &key.services,
            Self::Local => &[],
        }
    }

    /// # Errors
    /// `forbidden`: it may not submit jobs for this service.
    pub(super) fn check_service(&self, service: &str) -> Result<(), Failure> {
        match self {
            Self::Key(key) if !key.may_ask(service) => {
                let (name, allowed) = (&key.name, key.services.join(", "));
                let detail = format!("this key of `{name}` may not ask {service}; it may ask {allowed}");
                Err(Failure::new(Code::Forbidden, detail))
            }
            Self::Local | Self::Key(_) => Ok(()),
        }
    }
}

/// The keys of the config file, to be found by what a caller shows.
///
/// They lie under a keyed hash of their hashes, with a key made at each start: how long a search takes
/// says nothing about what is kept.
#[derive(Debug)]
pub(crate) struct Keyring {
    blind: hmac::Key,
    callers: HashMap<Vec<u8>, Caller>,
}

impl Keyring {
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn new(keys: Vec<ApiKey>) -> Result<Self, String> {
        let blind = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?);
        let callers = keys.into_iter().map(|key| (blinded(&blind, key.hash), Caller::Key(Arc::new(key))));
        Ok(Self { callers: callers.collect(), blind })
    }

    /// Whether no keys are configured.
    pub(super) fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    /// Who holds this key.
    pub(super) fn find(&self, key: &str) -> Option<Caller> {
        self.callers.get(&blinded(&self.blind, KeyHash::of(key))).cloned()
    }
}

fn blinded(blind: &hmac::Key, hash: KeyHash) -> Vec<u8> {
    hmac::sign(blind, &hash.0).as_ref().to_vec()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A key whose text is `text`.
    pub(crate) fn key(name: &str, text: &str, role: Role, services: &[&str]) -> ApiKey {
        ApiKey {
            name: name.to_owned(),
            hash: KeyHash::of(text),
            role,
            weight: 1,
            services: services.iter().map(|pattern| (*pattern).to_owned()).collect(),
        }
    }

    #[test]
    fn a_key_finds_its_owner_and_nothing_else_does() {
        let ring = Keyring::new(vec![
            key("a", "one", Role::Read, &[]),
            key("b", "two", Role::Admin, &[]),
            key("a", "three", Role::Submit, &[]),
        ]);
        let ring = ring.unwrap();
        let owner = |text: &str| ring.find(text).map(|caller| caller.owner().to_owned());
        let all = ["one", "two", "three"].map(owner);
        assert_eq!(all, ["a", "b", "a"].map(|name| Some(name.to_owned())));
        assert!(
            ["", "on", "one ", "ONE", &KeyHash::of("one").to_string()].iter().all(|t| owner(t).is_none())
        );
        assert!(!ring.is_empty() && Keyring::new(Vec::new()).unwrap().is_empty());
    }

    #[test]
    fn only_admins_and_callers_without_keys_see_what_others_have() {
        let caller = |role| Caller::Key(Arc::new(key("a", "x", role, &[])));
        for role in [Role::Read, Role::Submit] {
            assert!(caller(role).sees("a") && !caller(role).sees("b") && !caller(role).sees(""));
            assert_eq!(caller(role).sees_only(), Some("a"));
        }
        for all in [caller(Role::Admin), Caller::Local] {
            assert!(all.sees("a") && all.sees("b") && all.sees("") && all.sees_only().is_none());
        }
    }

    #[test]
    fn a_service_that_a_key_may_not_ask_is_named() {
        let caller = Caller::Key(Arc::new(key("a", "x", Role::Submit, &["whois.*", "api"])));
        assert!(caller.check_service("whois.eu").is_ok() && Caller::Local.check_service("rdap").is_ok());
        let Failure(problem) = caller.check_service("rdap").unwrap_err();
        assert_eq!(problem.detail, "this key of `a` may not ask rdap; it may ask whois.*, api");
    }
}
