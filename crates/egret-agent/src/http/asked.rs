//! What a grant asks of an HTTP service, read and made into a request.
//!
//! The coordinator has said which methods and fields a service takes; here it is seen to that a request stays under the
//! service's base URL, and that nobody's field stands where the service's configuration has put its own.

use egret_wire::ask::Ask;
use egret_wire::passage::MAX_PASSING;
use egret_wire::value::Secret;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::call::Call;

/// A request, ready to be sent.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) fields: HeaderMap,
    pub(super) body: Vec<u8>,
    /// All fields of the answer are wanted.
    pub(super) wants_head: bool,
    /// It is wanted as it comes, up to so many bytes.
    pub(super) as_it_comes: Option<usize>,
}

/// Reads what a call asks.
///
/// # Errors
/// Why nothing can be sent.
pub(super) fn asked(call: &Call) -> Result<Asked, &'static str> {
    let Some(Ask { method, path, headers, body, whole_head, as_it_comes }) = Ask::read(&call.question) else {
        return Err("the question is no path and no request; is this agent older than its coordinator?");
    };
    let url = under(&call.address, &path).ok_or("the question is no path under the service's address")?;
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    let method = method.ok_or("the question has no method that can be sent")?;
    let mut fields = HeaderMap::with_capacity(headers.len() + call.headers.len());
    for (name, value) in &headers {
        fields.append(field(name)?, HeaderValue::from_bytes(&value.0).map_err(|_| NO_FIELD)?);
    }
    for (name, Secret(value)) in &call.headers {
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| NO_FIELD)?;
        // Whatever shows a request, a log of the client say, leaves it out.
        value.set_sensitive(true);
        fields.insert(field(name)?, value);
    }
    let as_it_comes = as_it_comes.map(|most| usize::try_from(most.min(MAX_PASSING)).unwrap_or(usize::MAX));
    Ok(Asked { method, url, fields, body: body.0, wants_head: whole_head, as_it_comes })
}

const NO_FIELD: &str = "the question has a header field that cannot be sent";

fn field(name: &str) -> Result<HeaderName, &'static str> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| NO_FIELD)
}

/// The URL of a path under a base URL that ends in `/`; `None` if it leads anywhere else.
pub(super) fn under(base: &str, path: &str) -> Option<Url> {
    let below = path.strip_prefix('/')?;
    let url = Url::parse(&format!("{base}{below}")).ok()?;
    let stays = base.ends_with('/') && url.as_str().starts_with(base) && url.fragment().is_none();
    stays.then_some(url)
}
