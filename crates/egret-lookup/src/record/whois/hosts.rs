//! The hosts and addresses in a value: `ns1.example.net [192.0.2.1 2001:db8::1]`.

use std::net::IpAddr;

/// A host and the addresses behind it.
pub(super) type Host = (String, Vec<IpAddr>);

/// The hosts that a value names, if it consists of hosts, addresses and little else.
pub(super) fn read(value: &str) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    let mut strange = 0;
    let is_between = |c: char| c.is_whitespace() || ",;()[]|<>".contains(c);
    for token in value.split(is_between).filter(|token| !token.is_empty()) {
        let token = token.trim_end_matches([':', '.']);
        if let Ok(address) = token.parse() {
            if let Some((_, addresses)) = hosts.last_mut() {
                addresses.push(address);
            }
        } else if let Some(name) = name(token) {
            hosts.push((name, Vec::new()));
        } else if token.chars().any(char::is_alphabetic) {
            strange += 1;
        }
    }
    // A sentence that mentions a page is no list of hosts; a host with a word behind it is one.
    let starts_with_host = value
        .split_whitespace()
        .next()
        .is_some_and(|first| name(first.trim_end_matches([',', ';', ':', '.'])).is_some());
    if strange > if starts_with_host { 4 } else { 0 } { Vec::new() } else { hosts }
}

/// A host name in its one form: two labels or more of letters, digits, `-` and `_`.
pub(super) fn name(token: &str) -> Option<String> {
    let token = token.trim_end_matches('.');
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = token.rsplit('.').next()?;
    let fits = token.len() <= 253
        && token.contains('.')
        // What some registries write for none.
        && !token.eq_ignore_ascii_case("not.defined")
        && token.split('.').all(is_label)
        && last.len() >= 2
        && !last.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| token.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, want: &[(&str, &[&str])]) {
        let got = read(value);
        let got: Vec<(&str, Vec<String>)> = got
            .iter()
            .map(|(name, at)| (name.as_str(), at.iter().map(ToString::to_string).collect()))
            .collect();
        let want: Vec<(&str, Vec<String>)> =
            want.iter().map(|(name, at)| (*name, at.iter().map(|at| (*at).to_owned()).collect())).collect();
        assert_eq!(got, want, "{value:?}");
    }

    #[test]
    fn a_host_has_the_addresses_behind_it() {
        check(
            "NS1.Example.NET. [192.0.2.1 2001:db8::1]",
            &[("ns1.example.net", &["192.0.2.1", "2001:db8::1"])],
        );
        check("ns.example.net - 192.0.2.1", &[("ns.example.net", &["192.0.2.1"])]);
        check("a.example.net,b.example.net", &[("a.example.net", &[]), ("b.example.net", &[])]);
    }

    #[test]
    fn a_sentence_is_no_list_of_hosts() {
        check("please visit www.example.net for more", &[]);
        check("No nameserver", &[]);
        check("192.0.2.1", &[]);
    }
}
