//! The services, ready for use by everybody: looked up, planned for, announced. Those of the configuration, and those
//! of the catalogue that were needed.

mod known;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use dashmap::DashMap;
use egret_core::id::ServiceId;
use egret_core::quota::{Counting, Quota, Rules, WHOLE};
use egret_core::scope::Scope;
use egret_lookup::known::{Server, Table};
use egret_lookup::{Catalogue, Kind, Place, PlanError, Protocol, Steps, Target};
use egret_wire::agent::{self, CallQuota, MAX_ANSWER, ServicePolicy};
use egret_wire::api::{QuotaRule, ServiceView};
use egret_wire::pattern::permits;
use egret_wire::value::{Secret, Span};

use crate::config::ServiceConfig;
use crate::drive::Standing;

/// Services at most: those of the configuration, and those that were needed since (chosen: the catalogue has 1,700
/// back ends, and the rest is for registrars).
const MOST: usize = 16_384;

/// All services; a [`ServiceId`] is an index into them.
///
/// Those of the configuration come first. Others are added when they are first needed, and stay: an id is good
/// for as long as the process lives.
pub(crate) struct Services {
    /// Whom to ask; another one takes its place when IANA's files are newer.
    catalogue: RwLock<Arc<Catalogue>>,
    /// Whether servers of the catalogue may be on this host.
    has_local: bool,
    /// Filled from the front; what is filled never changes.
    slots: Box<[OnceLock<Box<ServiceConfig>>]>,
    /// How many are filled.
    count: AtomicUsize,
    by_id: DashMap<String, ServiceId>,
    /// Held while one is added.
    adding: Mutex<()>,
}

impl Services {
    /// # Errors
    /// Two services share an id; the configuration has checked that they do not. Or there are too many.
    pub(crate) fn new(configs: Vec<ServiceConfig>, table: Option<Arc<Table>>) -> Result<Self, String> {
        let lookups = configs.iter().map(|config| config.lookup.clone()).collect();
        let catalogue = Catalogue::with_table(lookups, table).map_err(|error| error.to_string())?;
        let services = Self {
            catalogue: RwLock::new(Arc::new(catalogue)),
            has_local: false,
            slots: std::iter::repeat_with(OnceLock::new).take(MOST).collect(),
            count: AtomicUsize::new(0),
            by_id: DashMap::new(),
            adding: Mutex::new(()),
        };
        for mut config in configs {
            let catalogue = services.catalogue();
            let known = catalogue.table().and_then(|table| table.server(config.lookup.id()));
            config.referral = known.map(Server::referral).unwrap_or_default();
            services.add(config)?;
        }
        Ok(services)
    }

    /// The same, where servers that the catalogue has at `localhost` may be asked.
    pub(crate) fn with_local(self, has_local: bool) -> Self {
        Self { has_local, ..self }
    }

    /// Plans by this table from now on. Services that there are stay as they are.
    pub(crate) fn renew(&self, table: Arc<Table>) {
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        *catalogue = Arc::new(catalogue.with_newer_table(table));
    }

    /// Whether others than the configured services may be asked.
    fn has_table(&self) -> bool {
        self.catalogue().table().is_some()
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.catalogue.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whom to ask what: [`Catalogue::plan`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn plan(
        &self,
        kind: Kind,
        target: &str,
        service: Option<&str>,
        exact: bool,
    ) -> Result<Steps, PlanError> {
        self.catalogue().plan(kind, target, service, exact)
    }

    /// The service of that id, added if the table knows it and it was not needed before.
    ///
    /// # Errors
    /// There is none, or no room for it.
    pub(crate) fn need(&self, id: &str) -> Result<ServiceId, String> {
        if let Some(service) = self.find(id) {
            return Ok(service);
        }
        let catalogue = self.catalogue();
        let known = catalogue.tables_of(id).find_map(|table| known::service(table, id, self.has_local));
        self.add(known.ok_or_else(|| format!("no service `{id}` is configured, and the catalogue has none"))?)
    }

    /// The same for one that was asked before: also if only an answer had named it.
    ///
    /// # Errors
    /// There is none, or no room for it.
    pub(crate) fn revive(&self, id: &str) -> Result<ServiceId, String> {
        self.need(id).or_else(|why| match Place::of_id(id).filter(|_| self.has_table()) {
            Some(place) => self.learn(&place),
            None => Err(why),
        })
    }

    /// A server that an answer names, as a service: the configured or known one, else one with the careful default.
    fn learn(&self, place: &Place) -> Result<ServiceId, String> {
        let id = place.id();
        match self.need(&id) {
            Ok(service) => Ok(service),
            Err(_) => self.add(known::learned(&id, place).ok_or_else(|| format!("`{id}` is no service"))?),
        }
    }

    /// Whom an answer names, and what is asked there about `target`: service, which of its hosts, question.
    ///
    /// # Errors
    /// Why it cannot be asked, fit to stand behind "and".
    pub(crate) fn place(
        &self,
        place: &Place,
        (kind, target, exact): (Kind, &str, bool),
    ) -> Result<(ServiceId, Option<String>, Vec<u8>), String> {
        match place {
            Place::Rdap { root, path } => {
                let (service, path) = self.rdap_place(place, root, path)?;
                Ok((service, None, path.into_bytes()))
            }
            Place::Whois { host } => match self.plan(kind, target, Some(host), exact) {
                Ok(Steps { first: step, .. }) => {
                    let service = self.need(&step.service)?;
                    let at = step.at.filter(|_| self.config(service).address.is_empty());
                    Ok((service, at, step.question))
                }
                Err(PlanError::UnknownService { .. }) if self.has_table() => {
                    let name = Target::parse(kind, target).map_err(|error| error.to_string())?;
                    let name = if exact { name } else { name.registrable(0) };
                    Ok((self.learn(place)?, None, format!("{}\r\n", name.as_str()).into_bytes()))
                }
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// The service of a URL and the path below its address: a configured one, a known host, or one that is new.
    fn rdap_place(&self, place: &Place, root: &str, path: &str) -> Result<(ServiceId, String), String> {
        let url = format!("{root}{}", path.trim_start_matches('/'));
        let catalogue = self.catalogue();
        let configured = catalogue.services().iter().filter(|service| service.protocol() == Protocol::Rdap);
        for id in configured.filter_map(|service| self.find(service.id())) {
            if let Some(below) = url.strip_prefix(self.config(id).address.as_str()) {
                return Ok((id, format!("/{below}")));
            }
        }
        let host = root.split("//").nth(1).unwrap_or_default().trim_end_matches('/');
        let known = catalogue.table().is_some_and(|table| table.backend(host).next().is_some());
        let service = match known.then(|| self.need(host)) {
            Some(Ok(service)) if self.config(service).address == root => service,
            // A stranger may name a host of this machine only if a service was configured for it.
            _ if !self.has_table() || host.starts_with("localhost") => {
                return Err(format!("no service is configured for {host}"));
            }
            _ => self.learn(place)?,
        };
        Ok((service, path.to_owned()))
    }

    /// Adds a service, unless there is one of its id by now.
    fn add(&self, config: ServiceConfig) -> Result<ServiceId, String> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let id = config.lookup.id().to_owned();
        if let Some(service) = self.find(&id) {
            return Ok(service);
        }
        let index = self.count.load(Ordering::Relaxed);
        let slot = self.slots.get(index).ok_or_else(|| {
            format!(
                "{MOST} services are in use, and there is no room for `{id}`; it can be asked after a restart"
            )
        })?;
        // Whoever holds the lock is the only one who fills.
        let _ = slot.set(Box::new(config));
        let service = ServiceId(u32::try_from(index).unwrap_or(u32::MAX));
        // Counted before it can be found: whoever is told of it by somebody who found it has it among all.
        self.count.store(index + 1, Ordering::Release);
        self.by_id.insert(id, service);
        Ok(service)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0u32..).take(self.count()).map(ServiceId)
    }

    pub(crate) fn find(&self, id: &str) -> Option<ServiceId> {
        self.by_id.get(id).map(|service| *service)
    }

    pub(crate) fn config(&self, service: ServiceId) -> &ServiceConfig {
        self.slots[service.0 as usize].get().expect("an id is given when its slot is filled")
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

    pub(crate) fn rules(&self, service: ServiceId) -> Rules {
        self.config(service).terms.rules()
    }

    /// What an agent is told of these services that may ask those with these patterns.
    pub(crate) fn policies(&self, services: Range<usize>, patterns: &[String]) -> Vec<ServicePolicy> {
        let ids = services.filter_map(|index| u32::try_from(index).ok()).map(ServiceId);
        let configs = ids.map(|service| self.config(service));
        configs.filter(|config| permits(patterns, config.lookup.id())).map(policy).collect()
    }

    pub(crate) fn view(&self, service: ServiceId, standing: Standing) -> ServiceView {
        let config = self.config(service);
        ServiceView {
            id: config.lookup.id().to_owned(),
            protocol: protocol(config).to_owned(),
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
pub(crate) fn protocol(config: &ServiceConfig) -> &'static str {
    match config.protocol {
        agent::Protocol::Null => "null",
        agent::Protocol::Whois | agent::Protocol::Http => config.lookup.protocol().as_str(),
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
        // Longer ones are not kept, they pass.
        max_answer: config.max_answer.min(MAX_ANSWER),
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
