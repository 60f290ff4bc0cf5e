//! What a remote says to a call that is let in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Makes an answer from a query.
pub type AnswerFn = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// Where a remote's answers come from. The query is the whois line, or the path of an HTTP request with its `?` part.
#[derive(Clone, Default)]
pub enum Answers {
    /// A plausible record made from the query: [`echo_text`] over whois, [`echo_json`] over HTTP.
    #[default]
    Echo,
    /// The bytes kept for this very query; another query is not found.
    Table(HashMap<String, Vec<u8>>),
    /// Whatever the function makes of the query.
    With(AnswerFn),
}

impl Answers {
    /// The answer to `query`; `None` means that there is no such record.
    pub(crate) fn to(&self, query: &str, echo: fn(&str) -> Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Echo => Some(echo(query)),
            Self::Table(table) => table.get(query).cloned(),
            Self::With(answer) => Some(answer(query)),
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.write_str("Echo"),
            Self::Table(table) => write!(f, "Table({} records)", table.len()),
            Self::With(_) => f.write_str("With(..)"),
        }
    }
}

/// A whois record for `query`, which it holds unchanged in its `domain:` line.
pub fn echo_text(query: &str) -> Vec<u8> {
    format!(
        "% This is a pretended registry; its records are made up.\r\n\
         \r\n\
         domain:      {query}\r\n\
         registrar:   Example Registrar, Inc.\r\n\
         status:      active\r\n\
         created:     2001-02-03T04:05:06Z\r\n\
         expires:     2031-02-03T04:05:06Z\r\n\
         nserver:     ns1.example.net\r\n\
         nserver:     ns2.example.net\r\n\
         source:      EGRET-TESTKIT\r\n"
    )
    .into_bytes()
}

/// An RDAP-like record for the path `query`, whose last segment is the name and which `links` repeats in full.
pub fn echo_json(query: &str) -> Vec<u8> {
    let path = query.split('?').next().unwrap_or(query);
    let name = path.rsplit('/').next().unwrap_or(path);
    serde_json::json!({
        "rdapConformance": ["rdap_level_0"],
        "objectClassName": "domain",
        "ldhName": name,
        "status": ["active"],
        "events": [{ "eventAction": "registration", "eventDate": "2001-02-03T04:05:06Z" }],
        "links": [{ "rel": "self", "href": query }],
    })
    .to_string()
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_carries_the_query() {
        let text = String::from_utf8(echo_text("example.org")).unwrap();
        assert!(text.contains("domain:      example.org\r\n"));
        let json: serde_json::Value = serde_json::from_slice(&echo_json("/domain/a\"b.example?x=1")).unwrap();
        assert_eq!(json["ldhName"], "a\"b.example");
        assert_eq!(json["links"][0]["href"], "/domain/a\"b.example?x=1");
    }

    #[test]
    fn a_table_knows_only_what_it_holds() {
        let table = Answers::Table(HashMap::from([("a".to_owned(), b"one".to_vec())]));
        assert_eq!(table.to("a", echo_text), Some(b"one".to_vec()));
        assert_eq!(table.to("b", echo_text), None);
    }
}
