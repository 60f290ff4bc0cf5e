//! Names of the DNS in a record, whatever a source writes for one.

/// Longer names are none of the DNS, in bytes, or in characters for Unicode (RFC 1035, 2.3.4).
const NAME_MAX: usize = 253;
/// The same of labels.
const LABEL_MAX: usize = 63;

/// A name in A-labels, lower case, without a final dot; `None` if it cannot be one of the DNS.
pub(super) fn ldh(name: &str) -> Option<String> {
    let name = name.trim().trim_end_matches('.');
    // Of a longer one UTS 46 would make fifty times as much, only to find it too long.
    if name.chars().count() > NAME_MAX {
        return None;
    }
    let name = idna::domain_to_ascii(name).ok()?;
    let name = name.trim_end_matches('.');
    // Unlike in a target a label may hold `/`, as zones of RFC 2317 do, or `*`.
    let is_label =
        |label: &str| (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_graphic());
    (name.len() <= NAME_MAX && name.split('.').all(is_label)).then(|| name.to_owned())
}

/// A name in Unicode, lower case, without a final dot; `None` if it has no need of Unicode.
pub(super) fn unicode(name: &str) -> Option<String> {
    let name = name.trim().trim_end_matches('.').to_lowercase();
    let fits = !name.is_ascii() && name.chars().count() <= NAME_MAX && !name.contains(char::is_control);
    fits.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_name_of_the_dns_is_none() {
        assert_eq!(ldh("0/25.2.0.192.IN-ADDR.ARPA.").as_deref(), Some("0/25.2.0.192.in-addr.arpa"));
        assert_eq!(ldh("bücher。example。").as_deref(), Some("xn--bcher-kva.example"));
        // One character that stands for eighteen, so that a short name is a long one.
        let ligatures = "\u{fdfa}.".repeat(60);
        // Short once its letters and accents are joined, and long to join.
        let accents = format!("{}.", "e\u{301}".repeat(20)).repeat(8);
        for name in ["", ".", "a b.test", "a\u{1b}[2J.test", "a..test", &"a.".repeat(128), &"a".repeat(64)] {
            assert_eq!(ldh(name), None, "{name:?}");
        }
        for name in [&ligatures, &accents] {
            assert_eq!(ldh(name), None, "{name:?}");
        }
        assert_eq!(unicode("Bücher.Example.").as_deref(), Some("bücher.example"));
        for name in ["example.com", "bü\u{1b}[2Jcher.test", "bü\ncher.test", &"ü".repeat(254)] {
            assert_eq!(unicode(name), None, "{name:?}");
        }
    }
}
