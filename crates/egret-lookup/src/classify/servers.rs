//! What single servers say, as data: `servers.tsv`, by host.
//!
//! Only what the lexicon cannot say belongs there: codes, and sentences that read like something else on any
//! other server. A rule looks at the text whatever record it may hold, so each begins at the start of a line.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

/// What a rule says of an answer that it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// A refusal, for good only if the words beside it say so.
    Refused,
    /// Shut out for good.
    Blocked,
}

static RULES: LazyLock<HashMap<&str, Vec<(Said, Regex)>>> =
    LazyLock::new(|| read(include_str!("servers.tsv")).expect("the table is a constant, read in every test"));

/// What the rules of a host, in lower case, say of an answer's text; the first that fits.
pub(super) fn says(host: &str, text: &str) -> Option<Said> {
    let rules = RULES.get(host)?;
    rules.iter().find(|(_, pattern)| pattern.is_match(text)).map(|(said, _)| *said)
}

/// Reads the table; `None` if a line is none of it.
fn read(table: &str) -> Option<HashMap<&str, Vec<(Said, Regex)>>> {
    let mut rules: HashMap<&str, Vec<_>> = HashMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [host, said, pattern] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
        let said = match said {
            "refused" => Said::Refused,
            "blocked" => Said::Blocked,
            _ => return None,
        };
        let pattern = Regex::new(&format!("(?m)^(?:{pattern})")).ok()?;
        rules.entry(host).or_default().push((said, pattern));
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_a_line_of_another_shape_cannot() {
        assert!(RULES.len() > 5);
        for line in ["host", "host\trefused", "host\tperhaps\tx", "host\trefused\t(", "a\trefused\tx\ty"] {
            assert!(read(line).is_none(), "{line}");
        }
    }

    #[test]
    fn a_rule_is_for_its_host_and_for_the_start_of_a_line() {
        assert_eq!(says("whois.ripe.net", "% x\n%ERROR:306: connections exceeded\n"), Some(Said::Refused));
        assert_eq!(says("whois.ripe.net", "remarks: %ERROR:306: as in the manual\n"), None);
        assert_eq!(says("whois.test", "%ERROR:306: connections exceeded\n"), None);
    }
}
