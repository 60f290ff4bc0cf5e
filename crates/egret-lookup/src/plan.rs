//! Which service is asked what: from a lookup to the bytes on the wire.
//!
//! A [`Catalogue`] holds the configured services and finds the one that answers a
//! name by the longest zone on a label border: one hash look-up per label that
//! a zone can have, whatever the number of services. Where none does, the table of
//! the world's servers says who would (`world`). It decides nothing about
//! when or from where; that is the ledger's.

use std::collections::HashMap;
use std::sync::Arc;

use crate::charset::Charset;
use crate::known::Table;
use crate::service::{Protocol, Service, ServiceError};
use crate::target::{Given, Kind, Target, TargetError};

mod spelling;
mod subject;
mod world;

use subject::Subject;
use world::{table_naming, table_steps};

/// How many ids an error lists (chosen).
const IDS_SHOWN: usize = 5;

/// One question to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The service's id: a configured one, or the back end of a server that the table knows.
    pub service: String,
    /// Which of a back end's servers is asked, `host:43` or a base URL; `None`: the configured service's own address.
    pub at: Option<String>,
    /// The target in its normalised form.
    pub target: String,
    /// What is sent. Over whois the template with the target in it, in the service's charset, and CR LF; over
    /// HTTP and RDAP the path: under the configured service's base URL, or under the root of the server's host.
    pub question: Vec<u8>,
}

/// The questions of a lookup, in the order to ask them: a later one only if the service of that before fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// The first.
    pub first: Step,
    /// The other protocol's, where there is one.
    pub next: Option<Step>,
}

impl Steps {
    fn one(first: Step) -> Steps {
        Steps { first, next: None }
    }
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
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    services: Vec<Service>,
    by_id: HashMap<String, usize>,
    /// Whois and RDAP services by zone, each list in the order of the configuration.
    by_zone: HashMap<String, Vec<usize>>,
    /// Labels in the deepest zone: longer suffixes need no look-up.
    deepest: usize,
    /// Those that answer any target.
    anywhere: Vec<usize>,
    /// Whom the world asks; `None`: the configured services alone.
    table: Option<Arc<Table>>,
    /// The table it was made with, whose servers can be named when the newer one has them no more.
    first: Option<Arc<Table>>,
}

impl Catalogue {
    /// Indexes the services; their order is kept and [`Step::service`] counts in it.
    ///
    /// # Errors
    /// [`ServiceError::Twice`] if two share an id.
    pub fn new(services: Vec<Service>) -> Result<Catalogue, ServiceError> {
        Catalogue::with_table(services, None)
    }

    /// The same with a table of the world's servers, for what no configured service answers.
    ///
    /// A configured service whose id the table knows, and that names no zones, answers those of the table, in place of
    /// what the table says of it.
    ///
    /// # Errors
    /// [`ServiceError::Twice`] if two services share an id.
    pub fn with_table(services: Vec<Service>, table: Option<Arc<Table>>) -> Result<Catalogue, ServiceError> {
        let mut catalogue = Catalogue { first: table.clone(), table, ..Catalogue::default() };
        for (index, service) in services.iter().enumerate() {
            if catalogue.by_id.insert(service.id().to_owned(), index).is_some() {
                return Err(ServiceError::Twice { id: service.id().to_owned() });
            }
            if service.protocol() == Protocol::Http {
                continue;
            }
            if service.zones().is_empty() && catalogue.tables_of(service.id()).next().is_none() {
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

    /// The same services with a newer table.
    ///
    /// Services without zones mean what they meant with the first table, whatever the newer one knows of their ids;
    /// and a server of the first table can still be named.
    #[must_use]
    pub fn with_newer_table(&self, table: Arc<Table>) -> Catalogue {
        Catalogue { table: Some(table), ..self.clone() }
    }

    /// The table in use.
    pub fn table(&self) -> Option<&Table> {
        self.table.as_deref()
    }

    /// The tables that know a server or a back end of that id: the one in use, then the first.
    pub fn tables_of(&self, id: &str) -> impl Iterator<Item = &Table> {
        let tables = [&self.table, &self.first].into_iter().flatten().map(|table| &**table);
        tables.filter(move |table| table.knows(id))
    }

    /// The services, in the order they were given.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of that id, with its index.
    pub fn service(&self, id: &str) -> Option<(usize, &Service)> {
        self.by_id.get(id).map(|&index| (index, &self.services[index]))
    }

    /// Plans a lookup: the first question, then those that are to be asked if its service does not answer.
    ///
    /// A service named is the one asked; over HTTP it has to be. Else the longest zone on a label border
    /// decides for names; where none matches, the one service without zones; where there is none, the table.
    /// RDAP comes before whois. `exact` keeps all labels of a domain instead of the registrable name.
    ///
    /// # Errors
    /// See [`PlanError`]; each says what to change in the request or the config.
    pub fn plan(
        &self,
        kind: Kind,
        target: &str,
        service: Option<&str>,
        exact: bool,
    ) -> Result<Steps, PlanError> {
        if kind == Kind::Http {
            let index = self.configured(service.ok_or_else(|| self.nobody_named())?, kind)?;
            let target = Target::parse(kind, target)?.into_string();
            let service = self.services[index].id().to_owned();
            let question = target.clone().into_bytes();
            return Ok(Steps::one(Step { service, at: None, target, question }));
        }
        let target = Target::parse(kind, target)?;
        let zone = self.zone_of(&target);
        let by_table = |table, named| table_steps(self, table, (kind, target.clone(), exact), named);
        let known = service.filter(|id| self.service(id).is_none());
        if let Some(table) = known.and_then(|id| table_naming(self.tables_of(id), kind, &target, id)) {
            return by_table(table, known);
        }
        let indices = match service {
            Some(id) => vec![self.configured(id, kind)?],
            None => self.choose(kind, zone.map(|(_, services)| services))?,
        };
        if let Some(table) = self.table.as_deref().filter(|_| indices.is_empty()) {
            return by_table(table, None);
        }
        let [first, rest @ ..] = &indices[..] else { return Err(unsupported(nobody(kind, &target))) };
        let target = match kind {
            Kind::Domain if !exact => target.registrable(zone.map_or(0, |(bytes, _)| bytes)),
            _ => target,
        };
        let step = |index: &usize| self.configured_step(*index, kind, &target);
        Ok(Steps { first: step(first)?, next: rest.first().map(step).transpose()? })
    }

    /// A configured service that may be named for such a lookup.
    fn configured(&self, id: &str, kind: Kind) -> Result<usize, PlanError> {
        let Some((index, service)) = self.service(id) else {
            let nearest = spelling::nearest(id, self.services.iter().map(Service::id), IDS_SHOWN);
            return Err(PlanError::UnknownService { given: Given::new(id), nearest });
        };
        let protocol = service.protocol();
        if !speaks(protocol, kind) {
            let needed = match kind {
                Kind::Http => "http",
                Kind::Rdap => "rdap",
                Kind::Whois => "whois",
                _ => "whois or rdap",
            };
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

    /// The configured services that are to be asked, RDAP first; none: whoever else knows.
    fn choose(&self, kind: Kind, in_zone: Option<&[usize]>) -> Result<Vec<usize>, PlanError> {
        // A zone says who knows the domains below it, not the hosts or handles.
        let in_zone = in_zone.filter(|_| matches!(kind, Kind::Domain | Kind::Whois | Kind::Rdap));
        let mut chosen = Vec::with_capacity(2);
        for protocol in [Protocol::Rdap, Protocol::Whois] {
            let all = in_zone.unwrap_or(&self.anywhere).iter().copied();
            let speaking: Vec<usize> = all
                .filter(|&index| self.services[index].protocol() == protocol && speaks(protocol, kind))
                .collect();
            match speaking[..] {
                [] => {}
                [only] => chosen.push(only),
                _ => {
                    let id = |&index: &usize| self.services[index].id().to_owned();
                    return Err(PlanError::UnnamedService { candidates: speaking.iter().map(id).collect() });
                }
            }
        }
        Ok(chosen)
    }

    fn configured_step(&self, index: usize, kind: Kind, target: &Target) -> Result<Step, PlanError> {
        let service = &self.services[index];
        let question = match service.protocol() {
            Protocol::Rdap => format!("/{}", Subject::of(kind, target)?.path()).into_bytes(),
            _ => line(&service.line(target.as_str()), service.charset(), target)?,
        };
        let target = target.as_str().to_owned();
        Ok(Step { service: service.id().to_owned(), at: None, target, question })
    }
}

/// Whether a service of that protocol can answer such a lookup.
fn speaks(protocol: Protocol, kind: Kind) -> bool {
    match kind {
        Kind::Http => protocol == Protocol::Http,
        Kind::Rdap => protocol == Protocol::Rdap,
        Kind::Whois => protocol == Protocol::Whois,
        Kind::Domain | Kind::Ip | Kind::Asn | Kind::Nameserver | Kind::Entity => protocol != Protocol::Http,
    }
}

/// One line of whois, as it is sent.
fn line(line: &str, charset: Charset, target: &Target) -> Result<Vec<u8>, PlanError> {
    let mut bytes = charset.encode(line).ok_or_else(|| TargetError::NotInCharset {
        given: Given::new(target.as_str()),
        charset: charset.name(),
    })?;
    bytes.extend_from_slice(b"\r\n");
    Ok(bytes)
}

fn nobody(kind: Kind, target: &Target) -> String {
    let given = Given::new(target.as_str());
    let protocol = if kind == Kind::Rdap { "rdap" } else { "whois" };
    format!(
        "no {protocol} service is configured for the {kind} lookup {given}; add a [[service]] with a zone for it, \
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
