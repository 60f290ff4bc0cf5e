//! Where an answer sends the asker: to the registrar, or to another server altogether.
//!
//! What a remote names is a stranger's word: only names of hosts below a top-level domain are followed, never
//! addresses, ports of whois other than its own, or text that could be more than a host.

use url::Url;

use crate::known::{Referral, Table};
use crate::record::read_whois;

/// The longest path that is followed, in bytes (chosen; the longest recorded has 120).
const PATH_MAX: usize = 1_024;

/// Whom to ask next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onward {
    /// Who is asked.
    pub to: Place,
    /// The answer pointed there instead of answering; else it is an answer, and there is more.
    pub is_redirect: bool,
}

/// A server that an answer names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A whois server.
    Whois {
        /// Its host name, lower case.
        host: String,
    },
    /// An RDAP server, and what it is to be asked.
    Rdap {
        /// `https://host/` or `http://host:port/`.
        root: String,
        /// The path from there; begins with `/`.
        path: String,
    },
}

impl Place {
    /// The id of its service, if no other is known for it: for whois the host, for RDAP `rdap:` and the host,
    /// `rdap:http:` if it has no TLS. From the id alone [`Place::of_id`] finds the server again.
    pub fn id(&self) -> String {
        match self {
            Place::Whois { host } => host.clone(),
            Place::Rdap { root, .. } => {
                let (scheme, host) = root.trim_end_matches('/').split_once("://").unwrap_or_default();
                let scheme = if scheme == "http" { "http:" } else { "" };
                format!("rdap:{scheme}{host}")
            }
        }
    }

    /// The server of such an id, with the root of it for RDAP.
    pub fn of_id(id: &str) -> Option<Place> {
        let Some(host) = id.strip_prefix("rdap:") else {
            return host(id).map(|host| Place::Whois { host });
        };
        let (scheme, host) = match host.strip_prefix("http:") {
            Some(host) => ("http", host),
            None => ("https", host),
        };
        rdap(&Url::parse(&format!("{scheme}://{host}/")).ok()?)
    }
}

/// Where the text of a whois server of that kind sends the asker.
pub fn whois_onward(referral: Referral, text: &str) -> Option<Onward> {
    let named = |key: &'static str| {
        let lines = text.lines().filter_map(|line| line.trim().split_once(':'));
        lines.filter(move |(of, _)| of.trim().eq_ignore_ascii_case(key)).map(|(_, value)| value.trim())
    };
    let (host_text, is_redirect) = match referral {
        Referral::None | Referral::Transferred => return None,
        Referral::Thin | Referral::Recursive => (read_whois(text, "").port43?, false),
        Referral::Refer => (named("refer").next()?.to_owned(), true),
        // The last one is the most specific network's; what is no plain whois is another protocol.
        Referral::ReferralServer => {
            let server = named("ReferralServer").next_back()?;
            (server.strip_prefix("whois://")?.trim_end_matches('/').trim_end_matches(":43").to_owned(), false)
        }
    };
    Some(Onward { to: Place::Whois { host: host(&host_text)? }, is_redirect })
}

/// Where an RDAP answer sends the asker: `next` as the answer has it, from a server at `root`.
pub fn rdap_onward(next: &str, root: &str, is_redirect: bool) -> Option<Onward> {
    let url = Url::parse(root).ok()?.join(next).ok()?;
    Some(Onward { to: rdap(&url)?, is_redirect })
}

fn rdap(url: &Url) -> Option<Place> {
    let is_plain =
        matches!(url.scheme(), "https" | "http") && url.username().is_empty() && url.password().is_none();
    let name = url.domain().filter(|_| is_plain)?;
    // A name for tests and for one's own network is taken if a service is configured for it.
    let name = host(name).or_else(|| (name == "localhost").then(|| name.to_owned()))?;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    (path.len() <= PATH_MAX && path.is_ascii())
        .then(|| Place::Rdap { root: format!("{}://{name}{port}/", url.scheme()), path })
}

/// A host below a top-level domain that there is, in lower case.
fn host(text: &str) -> Option<String> {
    let name = crate::target::parse_zone(text.trim().trim_end_matches('.'))?;
    let is_public = name.contains('.') && !Table::embedded().domain(&name).zone.is_empty();
    is_public.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn whois(referral: Referral, text: &str, want: Option<&str>) {
        let got = whois_onward(referral, text).map(|onward| onward.to.id());
        assert_eq!(got.as_deref(), want, "{text}");
    }

    #[test]
    fn a_thin_registry_names_the_registrars_server() {
        let text = "Domain Name: EXAMPLE.COM\nRegistrar WHOIS Server: WHOIS.Registrar.com.\nRegistrar: A\n";
        whois(Referral::Thin, text, Some("whois.registrar.com"));
        whois(Referral::None, text, None);
        whois(Referral::Refer, "refer:        whois.nic.fr\n\ndomain: FR\n", Some("whois.nic.fr"));
        let two = "ReferralServer: whois://whois.arin.net\nReferralServer:  whois://whois.ripe.net:43\n";
        whois(Referral::ReferralServer, two, Some("whois.ripe.net"));
        whois(Referral::ReferralServer, "ReferralServer: rwhois://rwhois.example.com:4321\n", None);
    }

    #[test]
    fn what_is_no_public_host_is_not_followed() {
        for named in [
            "127.0.0.1",
            "localhost",
            "intranet",
            "a.internal",
            "[::1]",
            "whois.registrar.com:7043",
            "a b.com",
            "..",
            "",
        ] {
            whois(Referral::Thin, &format!("Registrar WHOIS Server: {named}\n"), None);
        }
        for next in [
            "https://127.0.0.1/domain/a",
            "https://[::1]/",
            "ftp://rdap.registrar.com/",
            "https://u:p@rdap.registrar.com/",
            "https://router.lan/",
            "//",
            "https://rdap.registrar.com/\u{e9}".trim_end_matches('\u{e9}').repeat(60).as_str(),
        ] {
            assert_eq!(rdap_onward(next, "https://rdap.verisign.com/", false), None, "{next}");
        }
    }

    #[test]
    fn rdap_links_and_redirects_are_read_from_where_they_stand() {
        let to = |next: &str| match rdap_onward(next, "https://rdap.verisign.com/", true).unwrap().to {
            Place::Rdap { root, path } => (root, path),
            Place::Whois { .. } => unreachable!(),
        };
        let pair = |root: &str, path: &str| (root.to_owned(), path.to_owned());
        assert_eq!(
            to("https://rdap.registrar.com/rdap/domain/EXAMPLE.COM"),
            pair("https://rdap.registrar.com/", "/rdap/domain/EXAMPLE.COM")
        );
        assert_eq!(to("/v2/domain/a.com"), pair("https://rdap.verisign.com/", "/v2/domain/a.com"));
        assert_eq!(
            to("http://rdap.registrar.com:8080/d?x=1"),
            pair("http://rdap.registrar.com:8080/", "/d?x=1")
        );
    }

    #[test]
    fn a_server_is_found_again_by_its_id() {
        for id in ["whois.registrar.com", "rdap:rdap.registrar.com", "rdap:http:rdap.registrar.com:8080"] {
            assert_eq!(Place::of_id(id).unwrap().id(), id);
        }
        for id in ["", "mine", "whois:rdap.registrar.com", "rdap:", "rdap:127.0.0.1"] {
            assert_eq!(Place::of_id(id), None, "{id}");
        }
    }
}
