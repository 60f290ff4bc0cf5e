//! One request and its answer: addressing, authorisation, time-outs, bounds, and problems told from nonsense.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use egret_tls::Trust;
use egret_wire::problem::Problem;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::error::ClientError;
use crate::http::trusting;

/// How long a connection may take to come about (chosen).
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take that waits for nothing (chosen).
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The longest answer that is read as one document (chosen: a page of long raw answers fits).
const LONGEST_ANSWER: usize = 128 << 20;

/// A coordinator to talk to. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// A client of the coordinator at `url` (`http://HOST:PORT`, `https://HOST:PORT`), with its API key if it wants
    /// one; over TLS it is one that the public authorities know.
    ///
    /// Nothing is sent yet. Proxies named by the environment are not used and redirects are not followed.
    ///
    /// # Errors
    /// [`ClientError::Setting`] if the URL or the key cannot be used.
    pub fn new(url: &str, key: Option<&str>) -> Result<Self, ClientError> {
        Self::trusting(url, key, &Trust::Public)
    }

    /// The same, of a coordinator that is one of those trusted.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn trusting(url: &str, key: Option<&str>, trust: &Trust) -> Result<Self, ClientError> {
        let is_ours = |base: &Url| ["http", "https"].contains(&base.scheme()) && base.has_host();
        let base = Url::parse(url).ok().filter(is_ours).ok_or_else(|| {
            let mend = "write http://HOST:PORT or https://HOST:PORT";
            ClientError::Setting(format!("`{url}` is no address of a coordinator; {mend}"))
        })?;
        let http = trusting(trust)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .default_headers(headers(key)?)
            .build()
            .map_err(|error| ClientError::Setting(format!("no HTTP client can be made: {error}")))?;
        Ok(Self { http, base })
    }

    /// Where the coordinator is.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request for the path made of these segments, each of them escaped.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        self.http.request(method, url)
    }

    pub(crate) fn get(&self, segments: &[&str]) -> RequestBuilder {
        self.request(Method::GET, segments)
    }

    /// Sends a request and reads its answer as one document.
    pub(crate) async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.read_within(request, ANSWER_WITHIN).await
    }

    /// The same for a request that may take longer.
    pub(crate) async fn read_within<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let answer = self.send(request.timeout(limit)).await?;
        self.document(answer).await
    }

    /// Sends a request; any answer but a good one is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = self.send_any(request).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refusal(answer).await) }
    }

    /// Sends a request, whatever the status of its answer.
    pub(crate) async fn send_any(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        request.send().await.map_err(|error| self.broken(&error))
    }

    /// Reads an answer as one document.
    pub(crate) async fn document<T: DeserializeOwned>(&self, answer: Response) -> Result<T, ClientError> {
        let body = self.whole(answer).await?;
        serde_json::from_slice(&body)
            .map_err(|error| self.nonsense(format!("its answer does not read: {error}")))
    }

    pub(crate) fn broken(&self, error: &reqwest::Error) -> ClientError {
        ClientError::of_transport(&self.base, error)
    }

    pub(crate) fn nonsense(&self, reason: impl Into<String>) -> ClientError {
        ClientError::protocol(&self.base, reason)
    }

    pub(crate) async fn refusal(&self, answer: Response) -> ClientError {
        let status = answer.status();
        match self.whole(answer).await {
            Ok(body) => match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) => ClientError::Problem(problem),
                Err(_) => self.nonsense(foreign(status, &body)),
            },
            Err(error) => error,
        }
    }

    async fn whole(&self, mut answer: Response) -> Result<Bytes, ClientError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(self.nonsense(format!("its answer is longer than {} MiB", LONGEST_ANSWER >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

fn headers(key: Option<&str>) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let mut value = HeaderValue::try_from(format!("Bearer {key}"))
            .map_err(|_| ClientError::Setting("the API key holds characters that no key has".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// What to say of an error that is no [`Problem`]; one of a newer version still tells its `detail`.
fn foreign(status: StatusCode, body: &[u8]) -> String {
    let document = serde_json::from_slice::<serde_json::Value>(body).ok();
    match document.as_ref().and_then(|document| document.get("detail")).and_then(serde_json::Value::as_str) {
        Some(detail) => format!("{status}, {detail}"),
        None => format!("{status} without a problem document"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{Stage, json};
    use egret_wire::problem::Code;

    #[test]
    fn a_url_that_cannot_be_used_is_named_with_the_mend() {
        for url in ["", "127.0.0.1:7043", "ftp://127.0.0.1", "https:", "http:"] {
            let error = Client::new(url, None).unwrap_err();
            assert!(matches!(error, ClientError::Setting(_)), "{url}");
            assert!(error.to_string().contains("write http://HOST:PORT"), "{error}");
        }
        assert!(matches!(Client::new("http://127.0.0.1:1", Some("a\nb")), Err(ClientError::Setting(_))));
    }

    #[test]
    fn the_key_is_not_shown_by_debug() {
        let client = Client::new("http://127.0.0.1:1", Some("sesame")).unwrap();
        assert!(!format!("{client:?}").contains("sesame"));
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = Client::new(&format!("http://{free}"), None).unwrap().health().await.unwrap_err();
        let expected = format!("no coordinator answers at http://{free}: connection refused; start one with");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_the_answer_is_broken() {
        let stage = Stage::playing(vec![String::new()]).await;
        let error = stage.client().health().await.unwrap_err();
        assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_problem_document_arrives_as_it_is() {
        let problem = Problem::new(Code::NotFound, "no batch named bat_x");
        let body = serde_json::to_string(&problem).unwrap();
        let stage = Stage::playing(vec![json(404, &body)]).await;
        let error = stage.client().batch("bat_x").await.unwrap_err();
        assert!(matches!(&error, ClientError::Problem(got) if *got == problem), "{error}");
    }

    #[tokio::test]
    async fn other_servers_and_other_versions_are_told_from_coordinators() {
        let newer = r#"{"code":"too_new","detail":"upgrade the client"}"#;
        for (body, said) in
            [("<html>", "404 Not Found without"), (newer, "404 Not Found, upgrade the client")]
        {
            let stage = Stage::playing(vec![json(404, body)]).await;
            let error = stage.client().batch("bat_x").await.unwrap_err();
            assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
        let stage = Stage::playing(vec![json(200, "[]")]).await;
        assert!(matches!(stage.client().batch("bat_x").await, Err(ClientError::Protocol { .. })));
    }

    #[tokio::test]
    async fn ids_are_escaped_and_the_key_is_sent() {
        let stage = Stage::playing(vec![json(200, "{}")]).await;
        let client = Client::new(&format!("{}/base/", stage.url()), Some("sesame")).unwrap();
        drop(client.batch("../x?y").await);
        let request = stage.requests().remove(0);
        assert!(request.starts_with("GET /base/v1/batches/..%2Fx%3Fy HTTP/1.1"), "{request}");
        assert!(request.contains("authorization: Bearer sesame"), "{request}");
    }
}
