//! Patterns of services: an id in which `*` stands for any characters, or none.

/// Patterns that anybody may have (chosen).
pub const MOST_PATTERNS: usize = 100;
/// How long a pattern may be, in bytes: as long as an id.
const LONGEST: usize = 253;

/// Takes a text for a pattern.
///
/// # Errors
/// What is wrong with it, and the mend.
pub fn service_pattern(text: &str) -> Result<String, String> {
    let is_fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-*".contains(&b);
    if !text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_fit) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    Err(format!("`{shown}` matches no id of a service; write one such as whois.* or whois.example.org"))
}

/// Whether a service is as one of the patterns says; without patterns every service is.
pub fn permits(patterns: &[String], service: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, service))
}

/// Whether `text` is as `pattern` says: its pieces between the `*` in their order, the outer ones at the ends.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in between.split('*') {
        let Some((_, after)) = text.split_once(piece) else { return false };
        text = after;
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_or_none() {
        for (pattern, yes, no) in [
            ("whois.eu", &["whois.eu"][..], &["whois.eu2", "whois", ""][..]),
            ("whois.*", &["whois.eu", "whois."], &["whois", "a.whois.eu"]),
            ("*.eu", &["whois.eu", ".eu"], &["whois.eu.org", "eu"]),
            ("*", &["a", ""], &[]),
            ("a*b*c", &["abc", "axbxc", "abbcc"], &["ac", "acb", "abcd"]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("a**ab", &["aab", "axab"], &["ab"]),
        ] {
            assert!(yes.iter().all(|text| matches(pattern, text)), "{pattern}");
            assert!(!no.iter().any(|text| matches(pattern, text)), "{pattern}");
        }
    }

    #[test]
    fn what_no_id_can_be_is_no_pattern() {
        for text in ["whois.*", "*", "a-b_c.1"] {
            assert_eq!(service_pattern(text).as_deref(), Ok(text));
        }
        for text in ["", "Whois.*", "a b", "a\n", &"a".repeat(254)] {
            assert!(service_pattern(text).unwrap_err().contains("such as whois.*"), "{text}");
        }
    }
}
