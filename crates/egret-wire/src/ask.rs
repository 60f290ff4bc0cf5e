//! What an HTTP service is asked, as it travels in a grant.
//!
//! A bare GET is its path. Anything more is a JSON document, which begins with `{` and is therefore no path: an agent
//! that does not know the form sends nothing, instead of a GET that nobody meant.

use serde::{Deserialize, Serialize};

use crate::value::Bytes;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The method, in upper case.
    pub method: String,
    /// The path with its query, under the service's base URL; begins with `/`.
    pub path: String,
    /// Header fields, names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Bytes)>,
    /// The body.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub body: Bytes,
    /// All header fields of the answer are wanted, not only those that matter for limits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_head: bool,
    /// Whoever waits takes the answer as it comes, up to so many bytes ([`passage`](crate::passage)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_it_comes: Option<u64>,
}

impl Ask {
    /// A bare GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::default(),
            whole_head: false,
            as_it_comes: None,
        }
    }

    /// As it travels; the same request has the same bytes.
    ///
    /// # Errors
    /// None that a request could cause: the writer's own.
    pub fn to_question(&self) -> Result<Vec<u8>, serde_json::Error> {
        if *self == Self::get(&*self.path) {
            return Ok(self.path.clone().into_bytes());
        }
        serde_json::to_vec(self)
    }

    /// Reads one; `None`: it is neither a path nor such a document.
    pub fn read(question: &[u8]) -> Option<Self> {
        match question.first()? {
            b'/' => std::str::from_utf8(question).ok().map(Self::get),
            _ => serde_json::from_slice(question).ok().filter(|ask: &Self| ask.path.starts_with('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bare_get_is_its_path_and_anything_more_is_no_path() {
        assert_eq!(Ask::get("/a?b=1").to_question().unwrap(), b"/a?b=1");
        for more in [
            Ask { method: "HEAD".to_owned(), ..Ask::get("/a") },
            Ask { headers: vec![("accept".to_owned(), Bytes(b"x/y".to_vec()))], ..Ask::get("/a") },
            Ask { body: Bytes(b"x".to_vec()), ..Ask::get("/a") },
            Ask { whole_head: true, ..Ask::get("/a") },
            Ask { as_it_comes: Some(1), ..Ask::get("/a") },
        ] {
            let question = more.to_question().unwrap();
            assert_eq!((question[0], Ask::read(&question)), (b'{', Some(more)));
        }
    }

    #[test]
    fn what_is_no_request_is_not_read() {
        for question in ["", "a", "{}", "{", r#"{"method":"GET","path":"a"}"#, "[1]", "q\r\n"] {
            assert_eq!(Ask::read(question.as_bytes()), None, "{question}");
        }
        assert_eq!(Ask::read(b"/\xff"), None);
    }

    proptest! {
        #[test]
        fn any_request_comes_back_as_it_was(method: String, path: String, value: Vec<u8>, body: Vec<u8>, whole_head: bool, as_it_comes: Option<u64>) {
            let headers = vec![("x".to_owned(), Bytes(value))];
            let ask = Ask { method, path: format!("/{path}"), headers, body: Bytes(body), whole_head, as_it_comes };
            prop_assert_eq!(Ask::read(&ask.to_question().unwrap()), Some(ask));
        }
    }
}
