//! Lines streamed up as one batch: never whole in memory, however many there are.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use egret_wire::api::{BatchView, Deadline, Follow, Keep, Lookup, Plan, Priority};
use egret_wire::value::Span;
use futures_util::stream::{Stream, try_unfold};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method, RequestBuilder, Response};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::client::Client;
use crate::error::ClientError;

/// How much is read at a time (chosen).
const PIECE: usize = 64 << 10;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// A target.
    Text,
    /// A JSON object as `POST /v1/jobs` takes it.
    Ndjson,
}

impl LineFormat {
    fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// What holds for every line that does not say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadOptions {
    /// What is asked for.
    pub lookup: Option<Lookup>,
    /// Which service is asked.
    pub service: Option<String>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// When each job must have ended.
    pub deadline: Option<Deadline>,
    /// Ask for targets as they are, not for their registrable names.
    pub exact: bool,
    /// How far referrals are followed.
    pub follow: Option<Follow>,
    /// How old an answer may be that was given to another job; zero: the service is asked.
    pub max_age: Option<Span>,
    /// What is kept of the answers; all of them unless told.
    pub keep: Option<Keep>,
}

impl UploadOptions {
    fn query(&self) -> Vec<(&'static str, String)> {
        let deadline = self.deadline.map(|deadline| match deadline {
            Deadline::In(span) => span.to_string(),
            Deadline::At(time) => time.to_string(),
        });
        [
            ("lookup", self.lookup.map(|lookup| lookup.as_str().to_owned())),
            ("service", self.service.clone()),
            ("priority", self.priority.map(|priority| word(priority).to_owned())),
            ("deadline", deadline),
            ("exact", self.exact.then(|| "true".to_owned())),
            ("follow", self.follow.map(|follow| follow.as_str().to_owned())),
            ("max_age", self.max_age.map(|age| age.to_string())),
            ("keep", self.keep.map(|keep| keep.as_str().to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

fn word(priority: Priority) -> &'static str {
    match priority {
        Priority::Interactive => "interactive",
        Priority::Normal => "normal",
        Priority::Bulk => "bulk",
    }
}

impl Client {
    /// Sends `lines` as one batch while they are read, and returns it once it is safe with the coordinator.
    ///
    /// There is no limit of time: the answer comes when the lines have ended.
    ///
    /// # Errors
    /// As [`ClientError`] says; [`ClientError::Input`] if `lines` cannot be read. Nothing of a broken upload runs.
    pub async fn submit_lines(
        &self,
        lines: impl AsyncRead + Send + Unpin + 'static,
        format: LineFormat,
        options: &UploadOptions,
    ) -> Result<BatchView, ClientError> {
        let request = self.request(Method::POST, &["v1", "jobs"]).query(&options.query());
        let answer = self.send_lines(request, lines, format).await?;
        self.document(answer).await
    }

    /// Asks what `lines` of targets would take, and with how many `more` addresses; nothing is stored or asked of services.
    ///
    /// There is no limit of time: the answer comes when the lines have ended.
    ///
    /// # Errors
    /// As [`ClientError`] says; [`ClientError::Input`] if `lines` cannot be read.
    pub async fn plan(
        &self,
        lines: impl AsyncRead + Send + Unpin + 'static,
        options: &UploadOptions,
        more: &[u32],
    ) -> Result<Plan, ClientError> {
        let mut request = self.request(Method::POST, &["v1", "plan"]).query(&options.query());
        if !more.is_empty() {
            let numbers: Vec<String> = more.iter().map(u32::to_string).collect();
            request = request.query(&[("more", numbers.join(","))]);
        }
        let answer = self.send_lines(request, lines, LineFormat::Text).await?;
        self.document(answer).await
    }

    async fn send_lines(
        &self,
        request: RequestBuilder,
        lines: impl AsyncRead + Send + Unpin + 'static,
        format: LineFormat,
    ) -> Result<Response, ClientError> {
        let unread = Arc::new(OnceLock::new());
        let request = request
            .header(CONTENT_TYPE, format.media_type())
            .body(Body::wrap_stream(pieces(lines, Arc::clone(&unread))));
        self.send(request).await.map_err(|error| match unread.get() {
            Some(reason) => ClientError::Input(String::clone(reason)),
            None => error,
        })
    }
}

/// The input in pieces; why it could not be read goes to `unread`, because the transport hides it.
fn pieces(
    lines: impl AsyncRead + Send + Unpin + 'static,
    unread: Arc<OnceLock<String>>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    try_unfold((lines, unread), |(mut lines, unread)| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        match lines.read_buf(&mut piece).await {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some((piece.freeze(), (lines, unread)))),
            Err(error) => {
                unread.get_or_init(|| error.to_string());
                Err(error)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{BATCH, Stage, json};
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;
    use tokio::io::ReadBuf;

    #[tokio::test]
    async fn lines_go_up_with_their_options_in_the_query() {
        let stage = Stage::playing(vec![json(202, BATCH)]).await;
        let options = UploadOptions {
            lookup: Some(Lookup::Domain),
            priority: Some(Priority::Bulk),
            deadline: Some(Deadline::In(Span(Duration::from_secs(3600)))),
            exact: true,
            follow: Some(Follow::Registry),
            max_age: Some(Span(Duration::ZERO)),
            keep: Some(Keep::Record),
            ..UploadOptions::default()
        };
        let lines = &b"a.example\nb.example\n"[..];
        let batch = stage.client().submit_lines(lines, LineFormat::Text, &options).await.unwrap();
        assert_eq!(batch.jobs_total, 2);
        let request = stage.requests().remove(0);
        let head = "POST /v1/jobs?lookup=domain&priority=bulk&deadline=1h&exact=true&follow=registry&max_age=0ms\
                    &keep=record HTTP/1.1";
        assert!(request.starts_with(head), "{request}");
        assert!(request.contains("content-type: text/plain"), "{request}");
        assert!(request.contains("a.example\nb.example\n"), "{request}");
    }

    #[tokio::test]
    async fn a_plan_asks_with_the_same_options_and_more_addresses() {
        let plan = r#"{"at":"2026-01-01T00:00:00.000Z","calls":2,"rejected":[],"rejected_total":0,"disk_bytes":9,
            "finish_estimate":null,"services":[]}"#;
        let stage = Stage::playing(vec![json(200, plan)]).await;
        let options = UploadOptions { service: Some("w".to_owned()), ..UploadOptions::default() };
        let lines = &b"a.example\nb.example\n"[..];
        assert_eq!(stage.client().plan(lines, &options, &[1, 2]).await.unwrap().calls, 2);
        let request = stage.requests().remove(0);
        assert!(request.starts_with("POST /v1/plan?service=w&more=1%2C2 HTTP/1.1"), "{request}");
        assert!(request.contains("content-type: text/plain"), "{request}");
    }

    struct Worn;

    impl AsyncRead for Worn {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::Error::other("the disk is worn")))
        }
    }

    #[tokio::test]
    async fn an_input_that_cannot_be_read_is_named_as_such() {
        let stage = Stage::playing(vec![String::new()]).await;
        let sent = stage.client().submit_lines(Worn, LineFormat::Ndjson, &UploadOptions::default()).await;
        assert!(matches!(sent, Err(ClientError::Input(reason)) if reason == "the disk is worn"));
    }
}
