//! One conditional GET of a file: bounded in bytes, time and redirects, over TLS to whom the public authorities know.

use std::time::Duration;

use egret_lookup::known::Bootstrap;
use egret_tls::{Trust, client};
use reqwest::header::{ACCEPT, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, StatusCode};

use super::freshness;
use crate::config::value::is_loopback;

/// How long a connection may take to come about (chosen).
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a file may take, redirects included (chosen).
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Redirects on the way to a file (chosen).
const REDIRECTS: usize = 3;
/// A longer validator is not kept, in bytes (chosen).
const VALIDATOR_MAX: usize = 1_024;

/// By what a server knows again which version of a file somebody has (RFC 9110 section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Validators {
    fn of(head: &HeaderMap) -> Self {
        let text = |name: &HeaderName| {
            let text = head.get(name)?.to_str().ok()?;
            (text.len() <= VALIDATOR_MAX).then(|| text.to_owned())
        };
        Self { etag: text(&ETAG), last_modified: text(&LAST_MODIFIED) }
    }

    fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// What a server said, and the head it said it with.
#[derive(Debug)]
pub(super) enum Fetched {
    /// It is the version that we have.
    Same(HeaderMap),
    /// It is this text.
    New { head: HeaderMap, text: String, validators: Validators },
}

/// No file came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoFile {
    /// What happened.
    pub(super) why: String,
    /// When the server wants to be asked again, at the earliest.
    pub(super) retry_after: Option<Duration>,
}

impl NoFile {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry_after: None }
    }
}

/// A client for files alone. Proxies named by the environment are not used.
///
/// # Errors
/// No client can be made; one line.
pub(super) fn fetcher() -> Result<Client, String> {
    Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(client(&Trust::Public))
        .user_agent(concat!("egret/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::custom(redirect))
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        // A file a day needs no open connection.
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|error| format!("no HTTP client can be made: {error}"))
}

/// Follows a few, and none to where others than the server could write the file.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_plain = attempt.previous().first().is_some_and(|first| first.scheme() == "http");
    let is_kept_whole = attempt.url().scheme() == "https" || (was_plain && is_loopback(attempt.url()));
    if attempt.previous().len() > REDIRECTS {
        attempt.error(format!("more than {REDIRECTS} redirects"))
    } else if is_kept_whole {
        attempt.follow()
    } else {
        attempt.error("a redirect to plain HTTP")
    }
}

/// Asks for a file, unless it is still the version that we have.
///
/// # Errors
/// [`NoFile`] with what happened, in one line.
pub(super) async fn fetch(client: &Client, url: &str, known: &Validators) -> Result<Fetched, NoFile> {
    let mut request = client.get(url).header(ACCEPT, "application/json");
    for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.map_err(|error| NoFile::because(reason(&error)))?;
    match answer.status() {
        StatusCode::OK => new(answer).await,
        StatusCode::NOT_MODIFIED if !known.is_empty() => Ok(Fetched::Same(answer.headers().clone())),
        status => Err(NoFile {
            why: format!("status {}", status.as_u16()),
            retry_after: freshness::retry_after(answer.headers()),
        }),
    }
}

async fn new(mut answer: Response) -> Result<Fetched, NoFile> {
    let head = answer.headers().clone();
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| NoFile::because(reason(&error)))? {
        if body.len() + piece.len() > Bootstrap::TEXT_MAX {
            return Err(NoFile::because(format!("it is longer than {} MiB", Bootstrap::TEXT_MAX >> 20)));
        }
        body.extend_from_slice(&piece);
    }
    let text = String::from_utf8(body).map_err(|_| NoFile::because("it is not UTF-8"))?;
    let validators = Validators::of(&head);
    Ok(Fetched::New { head, text, validators })
}

/// The innermost cause: those around it repeat the URL.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
