//! What a configuration means, and what becomes of wrong ones.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use egret_core::quota::{CAREFUL, Counting, Quota};
use egret_core::scope::Scope;
use egret_lookup::known::Table;
use egret_lookup::{Catalogue, Kind};

use super::*;
use crate::key::KeyHash;

mod mistakes;

const EXAMPLE: &str = include_str!("../../../../config/egret.example.toml");
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");

/// A whole service but for `keys`, which start in line 5.
fn service(keys: &str) -> String {
    format!("[[service]]\nid = \"a\"\nprotocol = \"whois\"\naddress = \"a.example:43\"\n{keys}\n")
}

/// The same over HTTP.
fn http(keys: &str) -> String {
    service(keys).replace("\"whois\"", "\"http\"").replace("a.example:43", "https://a.example/v1")
}

#[track_caller]
fn one(keys: &str) -> ServiceConfig {
    let mut config = Config::parse(&service(keys), "egret.toml").unwrap();
    assert_eq!(config.services.len(), 1);
    config.services.remove(0)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = Config::parse("", "egret.toml").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:7043");
    assert_eq!(config.data_dir, Path::new("./data"));
    assert_eq!((config.new_egress, config.default_deadline), (NewEgress::Fresh, secs(7 * 86_400)));
    assert_eq!((config.cache_size, config.services.len()), (256 << 20, 0));
}

#[test]
fn beyond_loopback_it_speaks_tls_unless_somebody_insists() {
    let files = || Tls::Files { cert: "c.pem".into(), key: "k.pem".into() };
    for (text, tls) in [
        ("", Tls::Off),
        ("tls = {}", Tls::Own),
        ("tls = { cert = \"c.pem\", key = \"k.pem\" }", files()),
        ("listen = \"0.0.0.0:7043\"", Tls::Own),
        ("listen = \"[2001:db8::1]:7043\"", Tls::Own),
        ("listen = \"192.0.2.1:7043\"\ninsecure = true", Tls::Off),
        ("listen = \"192.0.2.1:7043\"\ninsecure = false", Tls::Own),
        ("listen = \"192.0.2.1:7043\"\ntls = { cert = \"c.pem\", key = \"k.pem\" }", files()),
    ] {
        assert_eq!(Config::parse(text, "egret.toml").unwrap().tls, tls, "{text}");
    }
    let config =
        Config::parse("tls = { channel_binding = false }\ntrusted_proxies = [\"::1\"]", "e").unwrap();
    assert_eq!((config.channel_binding, config.trusted_proxies.len()), (false, 1));
    assert!(Config::parse("", "e").unwrap().channel_binding);
    // Where it listens is decided last.
    let overrides = Overrides { listen: Some("0.0.0.0:0".to_owned()), data_dir: None };
    assert_eq!(Config::embedded(&overrides).unwrap().tls, Tls::Own);
}

#[test]
fn a_service_of_three_keys_gets_the_careful_default() {
    let service = one("");
    assert_eq!((service.protocol, service.address.as_str()), (Protocol::Whois, "a.example:43"));
    assert_eq!(service.terms.quotas_in_force(), [CAREFUL]);
    assert_eq!(service.terms.limits().concurrency, Some(1));
    assert_eq!((service.terms.timeout, service.terms.linger), (secs(10), secs(2)));
    assert_eq!((service.terms.cool_down, service.terms.max_cool_down), (secs(60), secs(86_400)));
    assert_eq!((service.max_answer, service.allow_private_addresses), (1 << 20, false));
    assert_eq!((service.lookup.id(), service.origin.as_str()), ("a", "egret.toml"));
    assert_eq!((service.source, service.terms_url), (None, None));
}

#[test]
fn every_key_arrives_where_it_belongs() {
    let text = "listen = \"[::1]:0\"\ndata_dir = \"/srv/egret\"\nnew_egress = \"wait\"\ndefault_deadline = \"60d\"\n\
                cache_size = \"2GiB\"\n";
    let config = Config::parse(text, "egret.toml").unwrap();
    assert_eq!(
        (config.listen.to_string().as_str(), config.data_dir.to_str()),
        ("[::1]:0", Some("/srv/egret"))
    );
    assert_eq!((config.new_egress, config.default_deadline), (NewEgress::Wait, secs(60 * 86_400)));
    assert_eq!(config.cache_size, 2 << 30);

    let service = one(
        "quotas = [{ units = 5, per = \"1s\", burst = 3, scope = \"ip\" }, { units = 0x10, per = \"1h\" }]\n\
         counting = \"token-bucket\"\nconcurrency = 3\ntimeout = \"5s\"\nlinger = \"0s\"\ncool_down = \"5m\"\n\
         max_cool_down = \"5m\"\ntemplate = \"domain {q}\"\nzones = [\"РФ\", \"com\"]\ncharset = \"koi8-r\"\n\
         max_answer = \"4MiB\"\nallow_private_addresses = true\nsource = \"a letter, 2026\"\n\
         terms_url = \"https://a.example/\"\nrefused_when = [{ text = \"(?i)slow down\" }, { closed = true }]",
    );
    let bucket = Quota { burst: Some(3), ..Quota::new(5, secs(1)) };
    assert_eq!(service.terms.quotas, [bucket, Quota::new(16, secs(3_600))]);
    assert_eq!((service.terms.counting, service.terms.concurrency), (Counting::TokenBucket, Some(3)));
    assert_eq!((service.terms.timeout, service.terms.linger), (secs(5), Duration::ZERO));
    assert_eq!((service.terms.cool_down, service.terms.max_cool_down), (secs(300), secs(300)));
    assert_eq!((service.max_answer, service.allow_private_addresses), (4 << 20, true));
    assert_eq!(service.source.as_deref(), Some("a letter, 2026"));
    assert_eq!(service.terms_url.as_deref(), Some("https://a.example/"));
    assert_eq!(service.lookup.zones(), ["com", "xn--p1ai"]);
    assert_eq!((service.lookup.charset().name(), service.lookup.refused_when().len()), ("KOI8-R", 2));
    let catalogue = Catalogue::new(vec![service.lookup]).unwrap();
    let step = catalogue.plan(Kind::Domain, "a.com", None, false).unwrap().first;
    assert_eq!(step.question, b"domain a.com\r\n");
}

#[test]
fn whois_answers_are_given_again_for_a_while_and_those_over_http_are_not_unless_told() {
    let over_http =
        |keys: &str| Config::parse(&http(keys), "egret.toml").unwrap().services.remove(0).cache_for;
    assert_eq!((one("").cache_for, over_http("")), (secs(900), secs(0)));
    assert_eq!(
        (one("cache_for = \"0s\"").cache_for, over_http("cache_for = \"1h\"")),
        (secs(0), secs(3_600))
    );
}

#[test]
fn fields_of_a_service_are_filled_in_from_the_environment_and_shown_to_nobody() {
    let keys = "methods = [\"POST\"]\n\
                headers = { Authorization = \"Bearer ${CARGO_PKG_NAME}.${CARGO_PKG_NAME}\", x-plain = \"$5 {a}\" }";
    let service = Config::parse(&http(keys), "egret.toml").unwrap().services.remove(0);
    let headers: Vec<_> = service.headers.iter().map(|(name, value)| (&**name, &*value.0)).collect();
    let token = "Bearer egret-coordinator.egret-coordinator";
    assert_eq!(headers, [("authorization", token), ("x-plain", "$5 {a}")]);
    assert!(!format!("{service:?}").contains("Bearer"));
    assert_eq!((service.methods, one("").methods), (vec!["POST"], vec!["GET", "HEAD"]));
}

#[test]
fn keys_are_read_as_they_are_written_and_owners_are_named_once() {
    let key = |name: &str, text: &str, role, weight, services: &[&str]| ApiKey {
        name: name.to_owned(),
        hash: KeyHash::of(text),
        role,
        weight,
        services: services.iter().map(|pattern| (*pattern).to_owned()).collect(),
    };
    let keys = [
        key("research", "old", Role::Submit, 3, &["whois.*", "api.example"]),
        key("ops", "ops", Role::Admin, 1, &[]),
        key("research", "new", Role::Submit, 3, &[]),
        key("research", "look", Role::Read, 3, &[]),
    ];
    let text: String = keys.iter().map(|key| format!("{key}\n\n")).collect();
    let config = Config::parse(&text, "egret.toml").unwrap();
    assert_eq!(config.api_keys, keys);
    assert_eq!(config.owners().collect::<Vec<_>>(), [("research", 3), ("ops", 1)]);
    assert_eq!(Config::default().owners().count(), 0);
}

#[test]
fn every_scope_has_its_word_and_its_prefixes() {
    let scope = |rest: &str| {
        one(&format!("quotas = [{{ units = 8, per = \"1s\", {rest} }}]")).terms.quotas[0].clone()
    };
    let subnet = |ipv4_prefix, ipv6_prefix| Scope::Subnet { ipv4_prefix, ipv6_prefix };
    for (text, meaning) in [
        ("scope = \"ip\", ipv6_prefix = 64", Scope::Ip),
        ("ipv6_prefix = 56", subnet(32, 56)),
        ("scope = \"subnet\"", subnet(24, 64)),
        ("scope = \"subnet\", ipv4_prefix = 16, ipv6_prefix = 48", subnet(16, 48)),
        ("scope = \"fleet\"", Scope::Fleet),
        ("scope = \"tag:eu\"", Scope::Tag("eu".into())),
    ] {
        assert_eq!(scope(text).scope, meaning, "{text}");
    }
    assert_eq!(
        (scope("share = 0.5").usable(), scope("share = 1").usable(), scope("share = 0.999").usable()),
        (4, 8, 7)
    );
    assert_eq!(one("cost = 3\nquotas = [{ units = 8, per = \"1s\" }]").terms.limits().windows[0].units, 2);
}

#[test]
fn every_way_of_counting_has_its_word() {
    let counting =
        |word: &str| one(&format!("counting = \"{word}\"\nquotas = [{{ units = 2, per = \"1s\" }}]"));
    for (word, meaning) in [
        ("sliding", Counting::Sliding),
        ("fixed", Counting::Fixed),
        ("token-bucket", Counting::TokenBucket),
        ("two-bucket", Counting::TwoBucket),
        ("unknown", Counting::Unknown),
    ] {
        assert_eq!(counting(word).terms.counting, meaning);
    }
}

#[test]
fn addresses_are_names_or_numbers_with_a_port() {
    for address in ["whois.eu:43", "192.0.2.1:65535", "[2001:db8::1]:43", "whois_1.a:1", "localhost:4343"] {
        assert_eq!(value::host_and_port(address), Ok(address));
    }
}

#[test]
fn an_http_service_has_a_base_url_and_may_name_statuses() {
    let text = http("refused_when = [{ status = [420, 503] }, { text = \"slow down\" }]");
    let service = Config::parse(&text, "egret.toml").unwrap().services.remove(0);
    assert_eq!((service.protocol, service.address.as_str()), (Protocol::Http, "https://a.example/v1/"));
    assert_eq!(service.lookup.refused_when().len(), 2);
    let catalogue = Catalogue::new(vec![service.lookup]).unwrap();
    assert_eq!(catalogue.plan(Kind::Http, "/x?y", Some("a"), false).unwrap().first.question, b"/x?y");
    for (written, meant) in [
        ("http://A.example:80", "http://a.example/"),
        ("https://a.example:8443/v1/", "https://a.example:8443/v1/"),
        ("http://127.0.0.1:8080/a/../b", "http://127.0.0.1:8080/b/"),
        ("http://[::1]:8080", "http://[::1]:8080/"),
    ] {
        assert_eq!(value::base_url(written).as_deref(), Ok(meant));
    }
}

#[test]
#[cfg(feature = "bench")]
fn a_null_service_is_for_benchmarks() {
    let text = service("").replace("\"whois\"", "\"null\"");
    assert_eq!(Config::parse(&text, "egret.toml").unwrap().services[0].protocol, Protocol::Null);
}

#[test]
fn flags_and_environment_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    fs::write(&file, "listen = \"127.0.0.1:1\"\ndata_dir = \"a\"\n").unwrap();
    let overrides = Overrides { listen: Some("127.0.0.2:2".to_owned()), data_dir: Some("b".into()) };
    for config in [Config::load(&file, &overrides), Config::embedded(&overrides)] {
        let config = config.unwrap();
        assert_eq!(
            (config.listen.to_string().as_str(), config.data_dir.to_str()),
            ("127.0.0.2:2", Some("b"))
        );
    }
}

#[test]
fn services_beside_the_file_follow_its_own_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("egret.toml");
    fs::create_dir(folder.path().join("services")).unwrap();
    let write = |name: &str, ids: &[&str]| {
        let text: String = ids.iter().map(|id| service("").replace("\"a\"", &format!("{id:?}"))).collect();
        fs::write(folder.path().join(name), text).unwrap();
    };
    write("egret.toml", &["own"]);
    write("services/b.toml", &["b2", "b1"]);
    write("services/a.toml", &["a"]);
    write("services/.hidden.toml", &["own"]);
    write("services/a.toml~", &["own"]);
    let config = Config::load(&file, &Overrides::default()).unwrap();
    let ids: Vec<&str> = config.services.iter().map(|service| service.lookup.id()).collect();
    assert_eq!(ids, ["own", "a", "b2", "b1"]);
    assert!(config.services[1].origin.ends_with("services/a.toml"));
}

#[test]
fn nothing_keeps_the_catalogue_new_unless_told() {
    let url = |text: &str| Config::parse(text, "egret.toml").unwrap().bootstrap;
    assert_eq!(url(""), None);
    for base in
        ["https://data.iana.org/rdap/", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/a/"]
    {
        assert_eq!(url(&format!("bootstrap = \"{base}\"")).as_deref(), Some(base));
    }
    // A file beside that has services leaves it as it is.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("services")).unwrap();
    std::fs::write(dir.path().join("services/a.toml"), service("")).unwrap();
    let main = dir.path().join("egret.toml");
    std::fs::write(&main, "bootstrap = \"https://mirror.example/\"\n").unwrap();
    let config = Config::load(&main, &Overrides::default()).unwrap();
    assert_eq!((config.bootstrap.as_deref(), config.services.len()), (Some("https://mirror.example/"), 1));
}

#[test]
fn the_example_is_valid_and_shows_every_key() {
    let config = Config::parse(EXAMPLE, "egret.example.toml").unwrap();
    assert_eq!(config.services.len(), 1);
    let keys = TOP
        .here
        .iter()
        .chain(api_key::API_KEY.here)
        .chain(door::TLS.here)
        .chain(service::SERVICE.here)
        .chain(terms::QUOTA.here)
        .chain(service::RULE.here);
    for key in keys {
        let is_shown = |word: &str| word == *key;
        assert!(
            EXAMPLE.split(|c: char| !c.is_alphanumeric() && c != '_').any(is_shown),
            "{key} is not shown"
        );
    }
}

#[test]
fn the_example_and_the_embedded_catalogue_know_the_same_services() {
    let embedded = Config::embedded(&Overrides::default()).unwrap().services;
    let example = Path::new(SHIPPED).join("egret.example.toml");
    let loaded = Config::load(&example, &Overrides::default()).unwrap().services;
    let ids = |services: &[ServiceConfig]| -> Vec<String> {
        services.iter().map(|service| service.lookup.id().to_owned()).collect()
    };
    assert_eq!(ids(&embedded), ids(&loaded[1..]));
    assert!(embedded.iter().all(|service| service.origin == "catalogue"));
}

#[test]
fn shipped_services_state_the_source_of_their_quotas_and_add_to_what_the_catalogue_knows() {
    let services = Config::embedded(&Overrides::default()).unwrap().services;
    assert!(services.len() >= 5);
    for service in &services {
        let id = service.lookup.id();
        assert_eq!(service.source.is_some(), !service.terms.quotas.is_empty(), "{id}");
        assert!(service.lookup.zones().is_empty() && !service.allow_private_addresses, "{id}");
        let known = Table::embedded().server(id).unwrap_or_else(|| panic!("{id} answers for nothing"));
        // The back end is that one host: its budget is not split.
        assert_eq!((known.backend(), &*known.address), (id, &*service.address));
        assert_eq!(service.terms.quotas.len(), known.quotas().len(), "{id}");
    }
    let lookups = services.into_iter().map(|service| service.lookup).collect();
    let catalogue = Catalogue::with_table(lookups, Some(Arc::clone(Table::embedded()))).unwrap();
    for (domain, service) in [("example.com", "whois.verisign-grs.com"), ("пример.рф", "whois.tcinet.ru")]
    {
        let steps = catalogue.plan(Kind::Domain, domain, None, false).unwrap();
        let whois = steps.next.unwrap_or(steps.first);
        assert_eq!((&*whois.service, whois.at), (service, None), "by its configuration");
    }
}

#[test]
fn a_text_cut_or_bent_anywhere_is_taken_or_refused_in_one_line() {
    let check = |text: &str| {
        if let Err(error) = Config::parse(text, "egret.toml") {
            let line = error.to_string();
            assert!(line.starts_with("egret.toml:") && !line.contains(char::is_control), "{line:?}");
            assert!(error.position.is_some_and(|at| at.line <= text.matches('\n').count() + 1), "{line:?}");
        }
    };
    // The comments are left out: they hold nothing that could break.
    let bare: String =
        EXAMPLE.lines().map(|line| format!("{}\n", line.split('#').next().unwrap().trim_end())).collect();
    let example = bare.replace("\n\n", "\n");
    for at in (0..example.len()).filter(|at| example.is_char_boundary(*at)) {
        let (start, rest) = example.split_at(at);
        check(start);
        if at % 11 == 0 {
            for bend in ["\"", "[", "}", "=", "\n", "\u{0}", "é", "99999999999999999999", "'''"] {
                check(&format!("{start}{bend}{rest}"));
            }
        }
    }
}
