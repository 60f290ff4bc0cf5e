//! The configured services, ready for use by everybody: looked up, planned for, announced.

use egret_core::id::ServiceId;
use egret_core::quota::{Counting, Quota, Rules, WHOLE};
use egret_core::scope::Scope;
use egret_lookup::Catalogue;
use egret_wire::agent::{self, CallQuota, ServicePolicy};
use egret_wire::api::{QuotaRule, ServiceView};
use egret_wire::pattern::permits;
use egret_wire::value::{Secret, Span};

use crate::config::ServiceConfig;
use crate::drive::Standing;

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

    /// The fields that every request to a service has; none if it has none, or is not known.
    pub(crate) fn headers(&self, id: &str) -> &[(String, Secret)] {
        self.find(id).map_or(&[], |service| &self.config(service).headers)
    }

    /// The quota behind a window of a service's limits: the `index`th of its scope.
    pub(crate) fn quota_at(&self, service: ServiceId, scope: &Scope, index: usize) -> Option<Quota> {
        let quotas = self.config(service).terms.quotas_in_force();
        quotas.into_iter().filter(|quota| quota.scope == *scope).nth(index)
    }

    pub(crate) fn rules(&self) -> Vec<Rules> {
        self.configs.iter().map(|config| config.terms.rules()).collect()
    }

    /// What an agent is told that may ask those with these patterns.
    pub(crate) fn policies(&self, patterns: &[String]) -> Vec<ServicePolicy> {
        let told = self.configs.iter().filter(|config| permits(patterns, config.lookup.id()));
        told.map(policy).collect()
    }

    pub(crate) fn view(&self, service: ServiceId, standing: Standing) -> ServiceView {
        let config = self.config(service);
        ServiceView {
            id: config.lookup.id().to_owned(),
            protocol: protocol(config.protocol).to_owned(),
            address: config.address.clone(),
            quotas: config.terms.quotas_in_force().iter().map(rule).collect(),
            cost: config.terms.cost,
            counting: counting_word(config.terms.counting).to_owned(),
            zones: config.lookup.zones().to_vec(),
            source: config.source.clone(),
            terms_url: config.terms_url.clone(),
            paused: standing.paused.is_some(),
            paused_why: standing.paused,
            down_since: standing.down_since,
            origin: config.origin.clone(),
        }
    }
}

/// The protocol in the words of the API.
pub(crate) fn protocol(protocol: agent::Protocol) -> &'static str {
    match protocol {
        agent::Protocol::Whois => "whois",
        agent::Protocol::Http => "http",
        agent::Protocol::Null => "null",
    }
}

/// A quota as the API shows it.
pub(crate) fn rule(quota: &Quota) -> QuotaRule {
    let (ipv4_prefix, ipv6_prefix) = match quota.scope {
        Scope::Subnet { ipv4_prefix, ipv6_prefix } => (Some(ipv4_prefix), Some(ipv6_prefix)),
        Scope::Ip | Scope::Fleet | Scope::Tag(_) => (None, None),
    };
    QuotaRule {
        units: quota.units,
        per: Span(quota.per),
        burst: quota.burst,
        scope: quota.scope.word(),
        ipv4_prefix,
        ipv6_prefix,
        share: (quota.share < WHOLE).then(|| f64::from(quota.share) / f64::from(WHOLE)),
    }
}

fn policy(config: &ServiceConfig) -> ServicePolicy {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    ServicePolicy {
        id: config.lookup.id().to_owned(),
        protocol: config.protocol,
        address: config.address.clone(),
        quotas: config.terms.own_in_calls().iter().map(calls).collect(),
        is_careful: config.terms.quotas.is_empty(),
        ceiling: config.terms.ceiling_in_calls().as_ref().map(calls),
        counting: counting(config.terms.counting),
        concurrency: config.terms.concurrency,
        timeout_ms: millis(config.terms.timeout),
        linger_ms: millis(config.terms.linger),
        max_answer: config.max_answer,
        allow_private_addresses: config.allow_private_addresses,
    }
}

fn calls(quota: &Quota) -> CallQuota {
    CallQuota { units: quota.units, per: Span(quota.per), burst: quota.burst }
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
