//! The `request` of an `http` lookup.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::value::Bytes;

/// What a service is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// The method; one of those that the service's configuration allows.
    #[serde(default = "get", skip_serializing_if = "is_get")]
    pub method: String,
    /// Under the service's base URL; the job's target unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Behind the path, and behind a query that it has already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
    /// Header fields. They are kept with the job: secrets belong into the service's configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body: a string, or `{"base64": "…"}`.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub body: Bytes,
}

/// A query, as it is or in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Query {
    /// `a=1&b=2`, encoded already.
    Text(String),
    /// Names and values, to be encoded.
    Pairs(BTreeMap<String, Values>),
}

/// What a name stands for in a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// One value.
    One(String),
    /// Several, each with the name before it.
    Several(Vec<String>),
}

impl Values {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let values = match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        };
        values.iter().map(String::as_str)
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn is_get(method: &str) -> bool {
    method == "GET"
}
