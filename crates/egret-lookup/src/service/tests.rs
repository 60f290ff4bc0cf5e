use super::*;

fn service() -> Service {
    Service::new("whois.test", Protocol::Whois).unwrap()
}

#[track_caller]
fn says<T>(result: Result<T, ServiceError>, key: &str, words: &str) {
    let said = result.err().expect("an error").to_string();
    assert!(said.starts_with(key) && said.contains(words), "{said}");
    assert!(!said.contains('\n'), "{said:?}");
}

#[test]
fn a_service_starts_with_the_defaults_of_the_config() {
    let service = service();
    assert_eq!(service.line("example.com"), "example.com");
    assert_eq!(service.charset(), Charset::Auto);
    assert!(service.zones().is_empty() && service.refused_when().is_empty());
}

#[test]
fn a_template_keeps_every_place_of_the_question() {
    let service = service().with_template("-T dn {q} # {q}").unwrap();
    assert_eq!(service.line("a.de"), "-T dn a.de # a.de");
}

#[test]
fn a_template_is_one_line_with_a_place() {
    says(service().with_template("domain"), "template:", "{q} is missing");
    says(service().with_template(""), "template:", "{q} is missing");
    says(service().with_template("{q}\r\nquit"), "template:", "one line");
    says(service().with_template("{q}\0"), "template:", "one line");
    says(service().with_template(&"{q}".repeat(200)), "template:", "512");
}

#[test]
fn zones_are_lower_case_a_labels_without_dots_around() {
    let service = service().with_zones(&["COM", "рф", "co.uk", "com"]).unwrap();
    assert_eq!(service.zones(), ["co.uk", "com", "xn--p1ai"]);
    for zone in ["", ".", ".com", "a..b", "*.com", "co uk", "192.0.2.0/24"] {
        says(self::service().with_zones(&[zone]), "zones:", "co.uk");
    }
}

#[test]
fn ids_charsets_and_protocols_are_checked() {
    says(Service::new("", Protocol::Whois), "id:", "letters");
    says(Service::new("a b\n", Protocol::Whois), "id:", "`a b\\n`");
    says(service().with_charset("klingon"), "charset:", "iso-8859-1");
    says("gopher".parse::<Protocol>(), "protocol:", "whois, rdap or http");
    assert_eq!(service().with_charset("koi8-r").unwrap().charset().name(), "KOI8-R");
    assert_eq!("rdap".parse(), Ok(Protocol::Rdap));
}

#[test]
fn a_bad_pattern_is_explained_on_one_line() {
    says(Rule::text("(limit"), "refused_when:", "unclosed group");
    says(Rule::text("a\n(?P<x"), "refused_when:", "`text`");
    says(Rule::text("(?:\\w{1000}){1000}"), "refused_when:", "size limit");
    says(Rule::text("limit|"), "refused_when:", "empty answer");
    assert!(Rule::text("(?i)limit exceeded").is_ok());
}

#[test]
fn status_rules_are_for_http_only() {
    says(Rule::status(&[]), "refused_when:", "[429, 503]");
    says(Rule::status(&[42]), "refused_when:", "[429, 503]");
    let rule = Rule::status(&[429]).unwrap();
    says(service().with_refused_when(vec![rule.clone()]), "refused_when:", "closed");
    assert!(Service::new("api", Protocol::Http).unwrap().with_refused_when(vec![rule]).is_ok());
}
