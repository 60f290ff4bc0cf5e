//! How an HTTP service is asked: `methods`, and `headers` with secrets from the environment.
//!
//! A value is never part of an error: it may be half a secret.

use std::env;

use egret_lookup::fields::{METHODS, is_value, refusal};
use egret_wire::value::Secret;

use super::error::ConfigError;
use super::item::Item;
use super::value::quoted;

/// Fields of a service, and how long one may be, name and value, in bytes (chosen: what servers take in a head).
const FIELDS_MAX: usize = 32;
const FIELD_MAX: usize = 8 << 10;

/// What may be done unless told: look.
pub(super) fn usual_methods() -> Vec<&'static str> {
    vec!["GET", "HEAD"]
}

/// Reads `methods`.
pub(super) fn methods(item: &Item<'_>) -> Result<Vec<&'static str>, ConfigError> {
    let mut methods = Vec::new();
    for item in item.list()? {
        let method = item.word(&METHODS.map(|method| (method, method)))?;
        if methods.contains(&method) {
            return Err(item.error(format!("{} is given twice; keep one", quoted(method))));
        }
        methods.push(method);
    }
    if methods.is_empty() {
        return Err(item.error("empty; name a method, or remove the key for [\"GET\", \"HEAD\"]"));
    }
    Ok(methods)
}

/// Reads `headers`.
pub(super) fn headers(item: &Item<'_>) -> Result<Vec<(String, Secret)>, ConfigError> {
    let entries = item.entries()?;
    if entries.len() > FIELDS_MAX {
        return Err(item.error(format!("more than {FIELDS_MAX} fields; remove some")));
    }
    let mut headers: Vec<(String, Secret)> = Vec::with_capacity(entries.len());
    for (key, item) in entries {
        let name = key.to_ascii_lowercase();
        if let Some(why) = refusal(&name) {
            return Err(item.error(format!("{} {why}", quoted(key))));
        }
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(item.error(format!("{} is given twice in another spelling; keep one", quoted(key))));
        }
        let value = filled_in(item.text()?).map_err(|why| item.error(why))?;
        if value.is_empty() || !is_value(&value) || name.len() + value.len() > FIELD_MAX {
            return Err(item.error(
                "with its variables filled in, not one line of up to 8 KiB of visible ASCII; correct it",
            ));
        }
        headers.push((name, Secret(value)));
    }
    Ok(headers)
}

/// A text with `${NAME}` replaced by that environment variable.
fn filled_in(text: &str) -> Result<String, String> {
    let mut pieces = text.split("${");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once('}').ok_or("a `${` without its `}`; write ${NAME}")?;
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err("between `${` and `}` stands no name of a variable; write ${NAME}".to_owned());
        }
        let value = env::var(name).map_err(|_| {
            format!("the environment has no variable {}; set it for this process", quoted(name))
        })?;
        filled.push_str(&value);
        filled.push_str(rest);
    }
    Ok(filled)
}
