//! Which service is asked what: from a lookup to the bytes on the wire.
//!
//! A [`Catalogue`] holds the configured services and finds the one that answers a
//! name by the longest zone on a label border: one hash look-up per label that
//! a zone can have, whatever the number of services. It decides nothing about
//! when or from where; that is the ledger's.

use std::collections::HashMap;

use crate::service::{Protocol, Service, ServiceError};
use crate::target::{Given, Kind, Target, TargetError};

mod spelling;

/// How many ids an error lists (chosen).
const IDS_SHOWN: usize = 5;

/// One question to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The service's index in the catalogue.
    pub service: usize,
    /// The target in its normalised form.
    pub target: String,
    /// What is sent. Over whois the template with the target in it, in the service's charset, and CR LF; over
    /// HTTP the path under the service's base URL.
    pub question: Vec<u8>,
}

/// Why a lookup has no first step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The target cannot be asked.
    #[error(transparent)]
    InvalidTarget(#[from] TargetError),
    /// No service has that id.
    #[error("no service {given} is configured{}", meant(.nearest))]
    UnknownService {
        /// The id asked for.
        given: Given,
        /// Configured ids that are spelt much like it, the nearest first.
        nearest: Vec<String>,
    },
    /// Several services could answer, and nothing says which one is meant.
    #[error("several services answer this; name one with `service`: {}", listed(.candidates))]
    UnnamedService {
        /// Their ids, in the order of the configuration.
        candidates: Vec<String>,
    },
    /// Such a lookup says by itself nothing about whom to ask.
    #[error("an `http` lookup needs `service`; name one of: {}", listed(.candidates))]
    MissingService {
        /// The ids that could be named, in the order of the configuration.
        candidates: Vec<String>,
    },
    /// Nothing configured answers such a lookup.
    #[error("{detail}")]
    UnsupportedLookup {
        /// What is missing and the mend.
        detail: String,
    },
}

impl PlanError {
    /// The stable word for it in the API.
    pub fn code(&self) -> &'static str {
        match self {
            PlanError::InvalidTarget(_) => "invalid_target",
            PlanError::UnknownService { .. }
            | PlanError::UnnamedService { .. }
            | PlanError::MissingService { .. } => "unknown_service",
            PlanError::UnsupportedLookup { .. } => "unsupported_lookup",
        }
    }
}

/// The configured services and the ways to find them.
#[derive(Debug, Default)]
pub struct Catalogue {
    services: Vec<Service>,
    by_id: HashMap<String, usize>,
    /// Whois services by zone, each list in the order of the configuration.
    by_zone: HashMap<String, Vec<usize>>,
    /// Labels in the deepest zone: longer suffixes need no look-up.
    deepest: usize,
    /// Whois services that answer any target.
    anywhere: Vec<usize>,
}

impl Catalogue {
    /// Indexes the services; their order is kept and [`Step::service`] counts in it.
    ///
    /// # Errors
    /// [`ServiceError::Twice`] if two share an id.
    pub fn new(services: Vec<Service>) -> Result<Catalogue, ServiceError> {
        let mut catalogue = Catalogue::default();
        for (index, service) in services.iter().enumerate() {
            if catalogue.by_id.insert(service.id().to_owned(), index).is_some() {
                return Err(ServiceError::Twice { id: service.id().to_owned() });
            }
            if service.protocol() != Protocol::Whois {
                continue;
            }
            if service.zones().is_empty() {
                catalogue.anywhere.push(index);
            }
            for zone in service.zones() {
                catalogue.deepest = catalogue.deepest.max(zone.split('.').count());
                catalogue.by_zone.entry(zone.clone()).or_default().push(index);
            }
        }
        catalogue.services = services;
        Ok(catalogue)
    }

    /// The services, in the order they were given.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of that id, with its index.
    pub fn service(&self, id: &str) -> Option<(usize, &Service)> {
        self.by_id.get(id).map(|&index| (index, &self.services[index]))
    }

    /// Plans the first question of a lookup.
    ///
    /// A service named is the one asked; over HTTP it has to be. Else the longest zone on a label border
    /// decides for names; where none matches, the one service without zones.
    /// `exact` keeps all labels of a domain instead of the registrable name.
    ///
    /// # Errors
    /// See [`PlanError`]; each says what to change in the request or the config.
    pub fn plan(
        &self,
        kind: Kind,
        target: &str,
        service: Option<&str>,
        exact: bool,
    ) -> Result<Step, PlanError> {
        let named = service.map(|id| self.named(id, kind)).transpose()?;
        if kind == Kind::Rdap {
            return Err(unsupported(format!("`{kind}` lookups cannot be made yet; use `domain` or `whois`")));
        }
        if kind == Kind::Http {
            let service = named.ok_or_else(|| self.nobody_named())?;
            let target = Target::parse(kind, target)?.into_string();
            return Ok(Step { service, question: target.clone().into_bytes(), target });
        }
        let target = Target::parse(kind, target)?;
        let zone = self.zone_of(&target);
        let index = match named {
            Some(index) => index,
            None => self.choose(kind, &target, zone.map(|(_, services)| services))?,
        };
        let target = match kind {
            Kind::Domain if !exact => target.registrable(zone.map_or(0, |(bytes, _)| bytes)),
            _ => target,
        };
        let question = self.question(index, target.as_str())?;
        Ok(Step { service: index, target: target.into_string(), question })
    }

    fn named(&self, id: &str, kind: Kind) -> Result<usize, PlanError> {
        let Some((index, service)) = self.service(id) else {
            let nearest = spelling::nearest(id, self.services.iter().map(Service::id), IDS_SHOWN);
            return Err(PlanError::UnknownService { given: Given::new(id), nearest });
        };
        let needed = if kind == Kind::Http { Protocol::Http } else { Protocol::Whois };
        if service.protocol() != needed {
            let protocol = service.protocol();
            return Err(unsupported(format!(
                "service `{id}` speaks {protocol}, which cannot answer `{kind}`; name one that speaks {needed}"
            )));
        }
        Ok(index)
    }

    fn nobody_named(&self) -> PlanError {
        let http = self.services.iter().filter(|service| service.protocol() == Protocol::Http);
        let candidates: Vec<String> = http.map(|service| service.id().to_owned()).collect();
        if candidates.is_empty() {
            let mend =
                "no http service is configured; add a [[service]] with protocol = \"http\", and name it";
            return unsupported(mend.to_owned());
        }
        PlanError::MissingService { candidates }
    }

    /// The longest zone that holds `target`: its length in bytes and the services that answer it.
    fn zone_of(&self, target: &Target) -> Option<(usize, &[usize])> {
        if !target.is_host() {
            return None;
        }
        let name = target.as_str().strip_suffix('.').unwrap_or(target.as_str());
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.longest_zone(&name.to_ascii_lowercase());
        }
        self.longest_zone(name)
    }

    fn longest_zone(&self, name: &str) -> Option<(usize, &[usize])> {
        let borders = name.rmatch_indices('.').map(|(dot, _)| dot + 1).chain([0]);
        let mut longest = None;
        for start in borders.take(self.deepest) {
            let suffix = &name[start..];
            if let Some(services) = self.by_zone.get(suffix) {
                longest = Some((suffix.len(), services.as_slice()));
            }
        }
        longest
    }

    fn choose(&self, kind: Kind, target: &Target, in_zone: Option<&[usize]>) -> Result<usize, PlanError> {
        // A zone says who knows the domains below it, not the hosts or handles.
        let in_zone = in_zone.filter(|_| matches!(kind, Kind::Domain | Kind::Whois));
        match in_zone.unwrap_or(&self.anywhere) {
            [] => Err(unsupported(nobody(kind, target))),
            [only] => Ok(*only),
            several => Err(PlanError::UnnamedService {
                candidates: several.iter().map(|&index| self.services[index].id().to_owned()).collect(),
            }),
        }
    }

    fn question(&self, index: usize, target: &str) -> Result<Vec<u8>, PlanError> {
        let service = &self.services[index];
        let charset = service.charset();
        let mut bytes = charset.encode(&service.line(target)).ok_or_else(|| TargetError::NotInCharset {
            given: Given::new(target),
            charset: charset.name(),
        })?;
        bytes.extend_from_slice(b"\r\n");
        Ok(bytes)
    }
}

fn nobody(kind: Kind, target: &Target) -> String {
    let given = Given::new(target.as_str());
    format!(
        "no whois service is configured for the {kind} lookup {given}; add a [[service]] with a zone for it, \
         or one without zones"
    )
}

fn unsupported(detail: String) -> PlanError {
    PlanError::UnsupportedLookup { detail }
}

fn meant(nearest: &[String]) -> String {
    match nearest {
        [] => "; `egret services` lists what is".to_owned(),
        some => format!("; did you mean {}?", listed(some)),
    }
}

/// The first ids, quoted, and how many more there are.
fn listed(ids: &[String]) -> String {
    let shown: Vec<String> = ids.iter().take(IDS_SHOWN).map(|id| format!("`{id}`")).collect();
    let shown = shown.join(", ");
    match ids.len().saturating_sub(IDS_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
