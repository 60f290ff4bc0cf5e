//! The part of a plan that no configured service decides: whom the table of the world's servers names.

use super::{Catalogue, PlanError, Step, Steps, Subject, line, speaks, unsupported};
use crate::charset::Charset;
use crate::known::{Known, Server, Table, Terms};
use crate::service::Protocol;
use crate::target::{Given, Kind, Target, TargetError};

/// Plans a lookup by the table; `named` is the server or back end that was asked for.
///
/// A configured service with the id of the back end is asked in its own way.
pub(super) fn table_steps(
    catalogue: &Catalogue,
    table: &Table,
    (kind, target, exact): (Kind, Target, bool),
    named: Option<&str>,
) -> Result<Steps, PlanError> {
    let subject = Subject::of(kind, &target)?;
    let known = known(table, &subject);
    let (target, subject) = registered(kind, target, exact, subject, known.zone)?;
    let servers = match named {
        Some(id) => [table.server(id).or_else(|| member(table, id, &known)), None],
        None => [known.rdap, known.whois.filter(|_| !matches!(subject, Subject::Nameserver(_)))],
    };
    let may_ask = |server: &&Server| speaks(server.protocol, kind) && shut(server).is_none();
    let mut steps = servers.into_iter().flatten().filter(may_ask);
    let step = |server: &Server| step(catalogue, server, kind, &target, &subject);
    let Some(first) = steps.next() else { return Err(nobody(kind, &target, &known, servers)) };
    Ok(Steps { first: step(first)?, next: steps.next().map(step).transpose()? })
}

/// Of tables that know a server or back end, the first that would ask it about the target; else the first of all.
///
/// Under another table's paths a server may well say that there is no such name.
pub(super) fn table_naming<'t>(
    tables: impl Iterator<Item = &'t Table>,
    kind: Kind,
    target: &Target,
    named: &str,
) -> Option<&'t Table> {
    let subject = Subject::of(kind, target).ok();
    let asks = |table: &&Table| {
        let known = subject.as_ref().map(|subject| known(table, subject));
        let servers = known.into_iter().flat_map(|known| [known.rdap, known.whois]).flatten();
        servers.into_iter().any(|server| [server.backend(), &*server.id].contains(&named))
    };
    let mut tables = tables.peekable();
    let first = tables.peek().copied();
    tables.find(asks).or(first)
}

fn known<'t>(table: &'t Table, subject: &Subject) -> Known<'t> {
    match subject {
        Subject::Domain(name) | Subject::Nameserver(name) => table.domain(name),
        Subject::Network(address, _) => table.ip(*address),
        Subject::Autnum(number) => table.asn(*number),
        Subject::Entity(handle) => table.entity(handle),
    }
}

/// The server of a back end that knows the subject, else the first one of it.
fn member<'t>(table: &'t Table, backend: &str, known: &Known<'t>) -> Option<&'t Server> {
    let own = [known.rdap, known.whois].into_iter().flatten().find(|server| server.backend() == backend);
    own.or_else(|| table.backend(backend).next())
}

/// A domain as its registry knows it.
fn registered(
    kind: Kind,
    target: Target,
    exact: bool,
    subject: Subject,
    zone: &str,
) -> Result<(Target, Subject), PlanError> {
    if kind != Kind::Domain || exact {
        return Ok((target, subject));
    }
    let target = target.registrable(zone.len());
    if target.is_suffix(zone.len()) {
        let why =
            "names are registered below it; write one of them, or `\"exact\": true` to ask about itself";
        return Err(TargetError::NotAName { given: Given::new(target.as_str()), why }.into());
    }
    let subject = Subject::Domain(target.as_str().to_owned());
    Ok((target, subject))
}

fn step(
    catalogue: &Catalogue,
    server: &Server,
    kind: Kind,
    target: &Target,
    subject: &Subject,
) -> Result<Step, PlanError> {
    for id in [server.backend(), &*server.id] {
        if let Some((index, _)) = catalogue.service(id).filter(|(_, own)| own.protocol() == server.protocol) {
            return catalogue.configured_step(index, kind, target);
        }
    }
    let question = match server.protocol {
        Protocol::Rdap => format!("{}{}", root_path(&server.address), subject.path()).into_bytes(),
        Protocol::Whois | Protocol::Http => {
            let charset = server.charset().and_then(|label| label.parse().ok()).unwrap_or(Charset::Auto);
            line(&whois_line(server, kind, subject), charset, target)?
        }
    };
    let (service, at) = (server.backend().to_owned(), Some(server.address.to_string()));
    Ok(Step { service, at, target: target.as_str().to_owned(), question })
}

/// The path of a base URL, from the root of its host; ends in `/`.
fn root_path(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

fn whois_line(server: &Server, kind: Kind, subject: &Subject) -> String {
    let of = match subject {
        Subject::Network(..) => Kind::Ip,
        Subject::Autnum(_) => Kind::Asn,
        Subject::Domain(_) | Subject::Nameserver(_) => Kind::Domain,
        Subject::Entity(_) => kind,
    };
    let word = subject.word();
    match server.template(of) {
        Some(template) => template.replace("{q}", &word).replace("{n}", word.trim_start_matches("AS")),
        None => word,
    }
}

/// Why a server is not to be asked by a program.
fn shut(server: &Server) -> Option<&'static str> {
    match server.terms() {
        Terms::Closed => Some("answers registered clients only"),
        Terms::Forbidden => Some("forbids programs to ask"),
        Terms::Unread | Terms::Allowed | Terms::Discouraged => None,
    }
}

fn nobody(kind: Kind, target: &Target, known: &Known<'_>, servers: [Option<&Server>; 2]) -> PlanError {
    let given = Given::new(target.as_str());
    let shut = servers.into_iter().flatten().find_map(|server| Some((server, shut(server)?)));
    unsupported(match (shut, known.why_none) {
        (Some((server, why)), _) => format!(
            "{given} is known to {} alone, which {why}; configure it as a [[service]] if you have its leave",
            server.id
        ),
        (None, Some(why)) => format!("nobody can be asked about {given}: {why}"),
        (None, None) => {
            format!("no server that could answer `{kind}` is known for {given}; name a `service`")
        }
    })
}
