//! The results of a batch, streamed from the disk in the order of their ends: as NDJSON, or as rows for spreadsheets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use egret_core::id::BatchId;
use egret_store::{Ended, Kept};
use egret_wire::csv;
use egret_wire::problem::Code;
use futures_util::{StreamExt, stream};

use super::batches::{has_ended, paging, parse, seen};
use super::caller::Caller;
use super::jobs::{id_of, view};
use super::{Failure, Shared, shown};

/// Results read from the store in one go.
const RESULTS: usize = 500;
/// A follower looks again after this long even if nothing was recorded.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How results are written.
#[derive(Clone, Copy)]
enum Format {
    Ndjson,
    Csv,
}

impl Format {
    fn read(word: Option<&String>) -> Result<Self, Failure> {
        match word.map_or("ndjson", String::as_str) {
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            other => {
                let detail = format!("no format {}; there are ndjson and csv", shown(other));
                Err(Failure::new(Code::InvalidField, detail).at("/format"))
            }
        }
    }

    /// Its media type, and what goes before the first result; nothing if somebody reads on behind it.
    fn begins(self, is_first: bool) -> (&'static str, Option<Bytes>) {
        match self {
            Self::Ndjson => ("application/x-ndjson", None),
            Self::Csv if is_first => (csv::MEDIA_TYPE, Some(csv::header().into())),
            Self::Csv => (csv::MEDIA_TYPE_BARE, None),
        }
    }
}

/// `GET /v1/batches/{id}/results`: NDJSON or CSV in order of ending.
pub(crate) async fn stream_all(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(text): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Failure> {
    let id = parse(&text)?;
    let (cursor, _) = paging(&query, &["format", "follow"])?;
    let after: u64 = id_of(cursor.as_deref(), "cursor")?.unwrap_or(0);
    let format = Format::read(query.get("format"))?;
    let follow = query.get("follow").is_some_and(|value| value == "true");
    seen(&shared, &caller, id).await?;
    let first = Some(Reader { recorded: shared.recorded.clone(), shared, id, after, follow, format });
    let chunks = stream::unfold(first, |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(Some(lines)) => Some((Ok(lines), Some(reader))),
            Ok(None) => None,
            // The status is long out: cutting the stream is how a client learns of it.
            Err(Failure(problem)) => Some((Err(std::io::Error::other(problem.detail)), None)),
        }
    });
    let (media, header) = format.begins(cursor.is_none());
    let header = stream::iter(header.map(Ok));
    let mut response = Response::new(Body::from_stream(header.chain(chunks)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    Ok(response)
}

struct Reader {
    shared: Arc<Shared>,
    recorded: tokio::sync::watch::Receiver<u64>,
    id: BatchId,
    after: u64,
    follow: bool,
    format: Format,
}

impl Reader {
    /// The next lines; waits for them when following. `None`: there will be no more.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            self.recorded.borrow_and_update();
            let is_over = !self.follow || self.is_over().await?;
            let rows = self.shared.store.results(self.id, self.after, RESULTS).await?;
            if let Some(last) = rows.last() {
                self.after = last.seq;
                return lines(rows, self.format).map(Some);
            }
            if is_over {
                return Ok(None);
            }
            // Whether it changed or not, the store is asked again.
            let _ = tokio::time::timeout(LOOK_AGAIN, self.recorded.changed()).await;
        }
    }

    /// Whether every end of the batch is on disk.
    async fn is_over(&self) -> Result<bool, Failure> {
        let id = self.id;
        if self.shared.ask(move |drive, _| drive.batches.contains_key(&id)).await? {
            return Ok(false);
        }
        Ok(self.shared.store.batch(id).await?.is_none_or(|kept| has_ended(&kept)))
    }
}

fn lines(rows: Vec<Ended>, format: Format) -> Result<Bytes, Failure> {
    let mut lines = Vec::with_capacity(rows.len() * 1_024);
    for Ended { seq, job, outcome } in rows {
        let kept = Kept { job, outcome: None, discarded: false };
        let mut view = view(&kept, Some(&outcome), None)?;
        view.cursor = Some(seq.to_string());
        match format {
            Format::Ndjson => {
                serde_json::to_writer(&mut lines, &view)
                    .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
                lines.push(b'\n');
            }
            Format::Csv => lines.extend_from_slice(csv::row(&view).as_bytes()),
        }
    }
    Ok(lines.into())
}
