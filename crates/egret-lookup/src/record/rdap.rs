//! JSON of RDAP servers (RFC 9083) as a record, and where it says that more is known.

mod card;
mod json;

use std::net::IpAddr;

use card::Card;
use json::{Json, Members};

use super::date::Order;
use super::name::{ldh, unicode};
use super::{Class, Entity, Record, Registrar, SecureDns, date, is_redacted, status};

/// How deep entities stand in entities before they are passed over (registrar, then abuse contact, then chosen).
const DEPTH_MAX: usize = 3;
/// More entities than this are not kept (chosen).
const ENTITIES_MAX: usize = 32;
/// More roles of one entity than this are not kept (chosen; RFC 9083, 10.2.4 has eleven).
const ROLES_MAX: usize = 16;

/// The members of an object or entity that are read.
const MEMBERS: &[&str] = &[
    "objectClassName",
    "handle",
    "ldhName",
    "unicodeName",
    "name",
    "status",
    "events",
    "nameservers",
    "nameServers",
    "secureDNS",
    "entities",
    "startAddress",
    "endAddress",
    "startAutnum",
    "endAutnum",
    "country",
    "port43",
    "links",
    "redacted",
    "errorCode",
    "roles",
    "vcardArray",
    "publicIds",
    "fullName",
    "title",
    "description",
];

/// Why an answer is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdapError {
    /// It is no JSON.
    #[error("the answer is no JSON: {0}")]
    Json(String),
    /// It is JSON, and neither an object of RDAP nor an error of it.
    #[error("the answer is JSON, but no object of RDAP: it has neither objectClassName nor a name or handle")]
    NoObject,
    /// It is an error of RDAP (RFC 9083, section 6).
    #[error("the server answers error {code}{}", .title.as_deref().map_or_else(String::new, |title| format!(": {title}")))]
    Error {
        /// Its `errorCode`.
        code: u16,
        /// Its `title`, at most 200 characters.
        title: Option<String>,
    },
}

/// Reads an answer's body as a record, with the link to the registrar's own RDAP record where it has one.
///
/// The link is that of `rel` `related` and the type of RDAP, over http or https.
///
/// # Errors
/// [`RdapError`], when there is no object in it.
pub fn read_rdap(body: &[u8]) -> Result<(Record, Option<String>), RdapError> {
    let text = std::str::from_utf8(body).map_err(|error| RdapError::Json(error.to_string()))?;
    let json =
        Json::new(text.trim_start_matches('\u{feff}')).map_err(|error| RdapError::Json(error.to_string()))?;
    let object = json.members(MEMBERS);
    if let Some(code) = object.text("errorCode").and_then(|code| code.parse().ok()) {
        let title =
            object.text("title").map(|title| title.chars().filter(|c| !c.is_control()).take(200).collect());
        return Err(RdapError::Error { code, title });
    }
    let class = class_of(&object).ok_or(RdapError::NoObject)?;
    Ok((record(class, &object), related(&object)))
}

fn class_of(object: &Members<'_>) -> Option<Class> {
    let named = object.text("objectClassName").map(|name| name.to_lowercase());
    match named.as_deref() {
        Some("domain") => Some(Class::Domain),
        Some("ip network") => Some(Class::Network),
        Some("autnum") => Some(Class::Autnum),
        Some("nameserver") => Some(Class::Nameserver),
        Some("entity") => Some(Class::Entity),
        _ if object.get("startAddress").is_some() => Some(Class::Network),
        _ if object.get("startAutnum").is_some() => Some(Class::Autnum),
        _ if object.text("ldhName").is_some() => Some(Class::Domain),
        _ if object.text("handle").is_some() => Some(Class::Entity),
        _ => None,
    }
}

fn record(class: Class, object: &Members<'_>) -> Record {
    let mut record = Record {
        object_class_name: class,
        handle: object.text("handle"),
        name: object.text("name"),
        ldh_name: object.text("ldhName").and_then(|name| ldh(&name)),
        start_address: address(object, "startAddress"),
        end_address: address(object, "endAddress"),
        start_autnum: number(object, "startAutnum"),
        end_autnum: number(object, "endAutnum"),
        country: object.text("country"),
        port43: object.text("port43").and_then(|name| ldh(&name)),
        ..Record::default()
    };
    let named = object.text("unicodeName");
    record.ldh_name = record.ldh_name.or_else(|| ldh(named.as_deref()?));
    record.unicode_name = named.as_deref().and_then(unicode);
    for status in object.list("status").into_iter().filter_map(Json::text).flat_map(|word| statuses(&word)) {
        record.add_status(status);
    }
    for event in object.list("events") {
        let event = event.members(&["eventAction", "eventDate"]);
        let date = event.text("eventDate").and_then(|date| date::read(&date, Order::DayFirst));
        if let (Some(action), Some(date)) = (event.text("eventAction"), date) {
            record.add_event(&action.to_lowercase(), date);
        }
    }
    // Old drafts spelt it otherwise.
    for host in object.list("nameservers").into_iter().chain(object.list("nameServers")) {
        nameserver(&mut record, host);
    }
    record.secure_dns = object.get("secureDNS").and_then(secure_dns);
    people(&mut record, object, 0);
    redactions(&mut record, object);
    record
}

/// RDAP's `active` is EPP's `ok` (RFC 8056); all other words are EPP's, spaced.
fn statuses(word: &str) -> Vec<String> {
    if word.eq_ignore_ascii_case("active") { vec!["ok".to_owned()] } else { status::read(word) }
}

fn address(object: &Members<'_>, name: &str) -> Option<IpAddr> {
    // Some servers give a network's address with its length.
    object.text(name)?.split('/').next()?.parse().ok()
}

fn number(object: &Members<'_>, name: &str) -> Option<u32> {
    object.text(name)?.trim_start_matches(['A', 'S', 'a', 's']).parse().ok()
}

fn nameserver(record: &mut Record, host_json: Json<'_>) {
    let members = host_json.members(&["ldhName", "unicodeName", "ipAddresses"]);
    let Some(name) =
        members.text("ldhName").or_else(|| members.text("unicodeName")).and_then(|name| ldh(&name))
    else {
        return;
    };
    let addresses = members.get("ipAddresses").map(|addresses| addresses.members(&["v4", "v6"]));
    let addresses = addresses.iter().flat_map(|both| both.list("v4").into_iter().chain(both.list("v6")));
    let addresses = addresses.filter_map(|address| address.text()?.parse().ok()).collect();
    record.add_nameserver(name, addresses);
}

fn secure_dns(json: Json<'_>) -> Option<SecureDns> {
    let members = json.members(&["delegationSigned", "dsData", "keyData"]);
    let has_keys = !members.list("dsData").is_empty() || !members.list("keyData").is_empty();
    let said = members.get("delegationSigned").and_then(Json::flag);
    said.or(has_keys.then_some(true)).map(|delegation_signed| SecureDns { delegation_signed })
}

/// The registrar and the contacts, those in other entities too.
fn people(record: &mut Record, object: &Members<'_>, depth: usize) {
    for json in object.list("entities") {
        let entity = json.members(MEMBERS);
        let roles = entity.list("roles").into_iter().filter_map(Json::text);
        let mut roles: Vec<String> = roles.take(ROLES_MAX).collect();
        // Old drafts wrote one role as a string.
        roles.extend(entity.get("roles").and_then(Json::text));
        let card = Card::read(entity.get("vcardArray"));
        if roles.iter().any(|role| role == "registrar") {
            registrar(record, &entity, &card);
        } else if record.entities.len() < ENTITIES_MAX && depth < DEPTH_MAX {
            record.entities.push(contact(roles, &entity, card));
            people(record, &entity, depth + 1);
        }
    }
}

fn registrar(record: &mut Record, entity: &Members<'_>, card: &Card) {
    let ids = entity.list("publicIds").into_iter().map(|id| id.members(&["type", "identifier"]));
    let iana = ids.filter(|id| id.text("type").is_some_and(|kind| kind.to_lowercase().contains("iana")));
    let abuse = entity
        .list("entities")
        .into_iter()
        .map(|json| json.members(MEMBERS))
        .find(|inner| inner.list("roles").into_iter().filter_map(Json::text).any(|role| role == "abuse"));
    let abuse = abuse.map(|inner| Card::read(inner.get("vcardArray"))).unwrap_or_default();
    let known = record.registrar.get_or_insert_with(Registrar::default);
    let name = card.name.clone().or_else(|| card.organization.clone()).or_else(|| entity.text("handle"));
    known.name = known.name.take().or(name);
    known.iana_id =
        known.iana_id.or_else(|| iana.filter_map(|id| id.text("identifier")?.parse().ok()).next());
    known.url = known.url.take().or_else(|| card.url.clone());
    known.abuse_email = known.abuse_email.take().or(abuse.email);
    known.abuse_phone = known.abuse_phone.take().or(abuse.phone);
}

fn contact(roles: Vec<String>, entity: &Members<'_>, card: Card) -> Entity {
    let mut contact = Entity { roles, handle: entity.text("handle"), ..Entity::default() };
    let parts = [
        ("name", card.name, &mut contact.name),
        ("organization", card.organization, &mut contact.organization),
        ("email", card.email, &mut contact.email),
        ("phone", card.phone, &mut contact.phone),
        ("address", card.address, &mut contact.address),
        ("country", card.country, &mut contact.country),
    ];
    for (name, value, slot) in parts {
        match value {
            Some(value) if is_redacted(&value) => contact.redacted.push(name),
            value => *slot = value,
        }
    }
    contact
}

/// RFC 9537: what an answer says that it hides, by the names that the gTLD registries use.
fn redactions(record: &mut Record, object: &Members<'_>) {
    const ROLES: [(&str, &str); 4] = [
        ("registrant", "registrant"),
        ("admin", "administrative"),
        ("tech", "technical"),
        ("billing", "billing"),
    ];
    const PARTS: [(&str, &str); 6] = [
        ("name", "name"),
        ("organization", "organization"),
        ("email", "email"),
        ("phone", "phone"),
        ("street", "address"),
        ("country", "country"),
    ];
    for json in object.list("redacted") {
        let Some(name) = json.members(&["name"]).get("name") else { continue };
        let name = name.members(&["type", "description"]);
        let Some(name) = name.text("type").or_else(|| name.text("description")) else { continue };
        let name = name.to_lowercase();
        let role = ROLES.iter().find(|(word, _)| name.starts_with(word)).map(|(_, role)| *role);
        let part = PARTS.iter().find(|(word, _)| name.contains(word)).map(|(_, part)| *part);
        if let (Some(role), Some(part)) = (role, part) {
            for entity in
                record.entities.iter_mut().filter(|entity| entity.roles.iter().any(|known| known == role))
            {
                if !entity.redacted.contains(&part) {
                    entity.redacted.push(part);
                }
            }
        }
    }
}

fn related(object: &Members<'_>) -> Option<String> {
    object.list("links").into_iter().find_map(|link| {
        let link = link.members(&["rel", "type", "href"]);
        let is_rdap = link.text("rel").is_some_and(|rel| rel.eq_ignore_ascii_case("related"))
            && link.text("type").is_some_and(|kind| kind.to_lowercase().starts_with("application/rdap+json"));
        link.text("href").filter(|href| is_rdap && is_link(href))
    })
}

/// Whether a text is an address that can be asked, on one line.
fn is_link(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://"))
        && !text.contains(|c: char| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests;
