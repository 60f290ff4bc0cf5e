//! The configured services, ready for use by everybody: looked up, planned for, announced.

use egret_core::id::ServiceId;
use egret_core::quota::{Counting, Limits};
use egret_lookup::Catalogue;
use egret_wire::agent::{self, QuotaRule, ServicePolicy};
use egret_wire::api::ServiceView;
use egret_wire::value::Span;

use crate::config::ServiceConfig;

/// All services; a [`ServiceId`] is an index into them.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) catalogue: Catalogue,
    configs: Vec<ServiceConfig>,
}

impl Services {
    /// # Errors
    /// Two services share an id; the configuration has checked that they do not.
    pub(crate) fn new(configs: Vec<ServiceConfig>) -> Result<Self, String> {
        let lookups = configs.iter().map(|config| config.lookup.clone()).collect();
        let catalogue = Catalogue::new(lookups).map_err(|error| error.to_string())?;
        Ok(Self { catalogue, configs })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ServiceId> {
        (0u32..).take(self.configs.len()).map(ServiceId)
    }

    pub(crate) fn find(&self, id: &str) -> Option<ServiceId> {
        let (index, _) = self.catalogue.service(id)?;
        u32::try_from(index).ok().map(ServiceId)
    }

    pub(crate) fn config(&self, service: ServiceId) -> &ServiceConfig {
        &self.configs[service.0 as usize]
    }

    pub(crate) fn name(&self, service: ServiceId) -> &str {
        self.config(service).lookup.id()
    }

    pub(crate) fn limits(&self) -> Vec<Limits> {
        self.configs.iter().map(|config| config.terms.limits()).collect()
    }

    /// What agents are told.
    pub(crate) fn policies(&self) -> Vec<ServicePolicy> {
        self.configs.iter().map(policy).collect()
    }

    pub(crate) fn view(&self, service: ServiceId, paused: bool) -> ServiceView {
        let config = self.config(service);
        ServiceView {
            id: config.lookup.id().to_owned(),
            protocol: protocol(config.protocol).to_owned(),
            address: config.address.clone(),
            quotas: rules(config),
            counting: counting_word(config.terms.counting).to_owned(),
            zones: config.lookup.zones().to_vec(),
            source: config.source.clone(),
            terms_url: config.terms_url.clone(),
            paused,
            origin: config.origin.clone(),
        }
    }
}

/// The protocol in the words of the API.
pub(crate) fn protocol(protocol: agent::Protocol) -> &'static str {
    match protocol {
        agent::Protocol::Whois => "whois",
        agent::Protocol::Null => "null",
    }
}

/// The quotas in force, as the API and the agents read them.
pub(crate) fn rules(config: &ServiceConfig) -> Vec<QuotaRule> {
    let rule = |q: egret_core::quota::Quota| QuotaRule { units: q.units, per: Span(q.per), burst: q.burst };
    config.terms.quotas_in_force().into_iter().map(rule).collect()
}

fn policy(config: &ServiceConfig) -> ServicePolicy {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    ServicePolicy {
        id: config.lookup.id().to_owned(),
        protocol: config.protocol,
        address: config.address.clone(),
        // Empty stands for the careful default on both sides.
        quotas: if config.terms.quotas.is_empty() { Vec::new() } else { rules(config) },
        counting: counting(config.terms.counting),
        concurrency: config.terms.concurrency,
        timeout_ms: millis(config.terms.timeout),
        linger_ms: millis(config.terms.linger),
        max_answer: config.max_answer,
        allow_private_addresses: config.allow_private_addresses,
    }
}

fn counting(counting: Counting) -> agent::Counting {
    match counting {
        Counting::Sliding => agent::Counting::Sliding,
        Counting::Fixed => agent::Counting::Fixed,
        Counting::TokenBucket => agent::Counting::TokenBucket,
        Counting::TwoBucket => agent::Counting::TwoBucket,
        Counting::Unknown => agent::Counting::Unknown,
    }
}

fn counting_word(counting: Counting) -> &'static str {
    match counting {
        Counting::Sliding => "sliding",
        Counting::Fixed => "fixed",
        Counting::TokenBucket => "token-bucket",
        Counting::TwoBucket => "two-bucket",
        Counting::Unknown => "unknown",
    }
}
