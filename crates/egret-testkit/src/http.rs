//! An HTTP/1.1 service: every request is a call, whatever its method and path.

use crate::answers::{Answers, echo_json};
use crate::gate::{Gate, Outcome};
use crate::pour::Pour;
use crate::remote::Remote;
use crate::rules::Rules;
use crate::trouble::{Troubles, pause};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

/// The head of a request must be complete this long after the connect or the last answer, unless told.
const HEAD_DEADLINE: Duration = Duration::from_secs(60);

/// Largest head, in bytes.
const LARGEST_HEAD: usize = 16 * 1024;

/// No connection lives longer.
const LIFETIME: Duration = Duration::from_secs(3_600);

/// What a peer gets instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpRefusal {
    /// A status with a problem body (RFC 9457), such as 429 or 503.
    Status {
        /// The status code; 500 if it is none.
        code: u16,
        /// Sent as Retry-After, in whole seconds rounded up (RFC 9110 §10.2.3).
        retry_after: Option<Duration>,
    },
    /// The connection is closed without an answer.
    Close,
}

impl Default for HttpRefusal {
    /// 429 without Retry-After.
    fn default() -> Self {
        Self::Status { code: 429, retry_after: None }
    }
}

/// An HTTP remote to be started.
///
/// A connection above [`Rules::max_open`] is closed without a word.
#[derive(Clone, Debug)]
pub struct HttpRemote {
    rules: Rules,
    listen: SocketAddr,
    answers: Answers,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    idle: Duration,
    refusal: HttpRefusal,
    ban_refusal: Option<HttpRefusal>,
}

impl HttpRemote {
    /// A remote under `rules` that echoes paths as JSON and refuses with 429, on a free port of 127.0.0.1.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            answers: Answers::default(),
            status: StatusCode::OK,
            headers: Vec::new(),
            idle: HEAD_DEADLINE,
            refusal: HttpRefusal::default(),
            ban_refusal: None,
        }
    }

    /// Listens on another address; port 0 takes a free one.
    pub fn listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Where answers come from; a path not found gets 404.
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// The status of answers; 200 unless told.
    ///
    /// # Panics
    /// If `code` is no status.
    pub fn status(mut self, code: u16) -> Self {
        self.status = StatusCode::from_u16(code).expect("a status from 100 to 999");
        self
    }

    /// Adds a field to the head of every answer.
    ///
    /// # Panics
    /// If it cannot stand in a head.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a value without line ends");
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// A connection on which nothing is asked for so long is closed, without having been announced.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// What refused calls get.
    pub fn refusal(mut self, refusal: HttpRefusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// What calls that meet a ban get; the same as other refusals unless told.
    pub fn ban_refusal(mut self, refusal: HttpRefusal) -> Self {
        self.ban_refusal = Some(refusal);
        self
    }

    /// Starts listening on the current runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(self) -> io::Result<Remote> {
        let gate = Gate::new(self.rules.clone());
        let http = Arc::new(Http { gate: Arc::clone(&gate), remote: self });
        Remote::start(http.remote.listen, gate, move |stream, peer| {
            let http = Arc::clone(&http);
            let open = http.gate.open(peer);
            async move {
                if let Some(_open) = open {
                    let _ = timeout(LIFETIME, http.serve(stream, peer)).await;
                }
            }
        })
    }
}

struct Http {
    gate: Arc<Gate>,
    remote: HttpRemote,
}

/// The connection is to be closed instead of an answer.
#[derive(Debug)]
struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for HangUp {}

impl Http {
    async fn serve(self: &Arc<Self>, stream: TcpStream, peer: IpAddr) {
        let service = service_fn(|request| self.respond(request, peer));
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.remote.idle)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        // An error is a peer that left, or our own hanging up: the score has it.
        let _ = served;
    }

    async fn respond(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Response<Poured>, HangUp> {
        let verdict = self.gate.call(peer).await;
        pause(verdict.after).await;
        match verdict.outcome {
            Outcome::Answer => Ok(self.answer(&request, peer)),
            Outcome::Drop => {
                pause(self.gate.troubles().hold).await;
                Err(HangUp)
            }
            Outcome::Refuse => self.refuse(self.remote.refusal, peer),
            Outcome::Banned => self.refuse(self.remote.ban_refusal.unwrap_or(self.remote.refusal), peer),
        }
    }

    fn answer(&self, request: &Request<Incoming>, peer: IpAddr) -> Response<Poured> {
        let query = request.uri().path_and_query().map_or("/", |path| path.as_str());
        match self.remote.answers.to(query, echo_json) {
            Some(answer) => {
                let body = self.body(answer, self.gate.troubles(), peer);
                let mut response = response(self.remote.status, "application/rdap+json", body);
                response.headers_mut().extend(self.remote.headers.iter().cloned());
                response
            }
            None => self.problem(StatusCode::NOT_FOUND, peer),
        }
    }

    fn refuse(&self, refusal: HttpRefusal, peer: IpAddr) -> Result<Response<Poured>, HangUp> {
        let HttpRefusal::Status { code, retry_after } = refusal else { return Err(HangUp) };
        let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = self.problem(status, peer);
        if let Some(wait) = retry_after {
            let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        Ok(response)
    }

    fn problem(&self, status: StatusCode, peer: IpAddr) -> Response<Poured> {
        let problem = serde_json::json!({ "title": status.canonical_reason(), "status": status.as_u16() });
        let body = self.body(problem.to_string().into_bytes(), &Troubles::default(), peer);
        response(status, "application/problem+json", body)
    }

    fn body(&self, answer: Vec<u8>, troubles: &Troubles, peer: IpAddr) -> Poured {
        // JSON may be followed by spaces, so a padded answer is still one.
        let pour = Pour::new(answer, troubles, " ");
        Poured { pour, waiting: None, gate: Arc::clone(&self.gate), peer }
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Poured) -> Response<Poured> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body that pours; what is left when hyper drops it was cut off by the peer.
struct Poured {
    pour: Pour,
    /// A piece and the wait before it.
    waiting: Option<(Pin<Box<Sleep>>, Bytes)>,
    gate: Arc<Gate>,
    peer: IpAddr,
}

impl Body for Poured {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.waiting.is_none() {
            match self.pour.next() {
                None => return Poll::Ready(None),
                Some((wait, piece)) if wait.is_zero() => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Some((wait, piece)) => self.waiting = Some((Box::pin(sleep(wait)), piece)),
            }
        }
        if let Some((wait, _)) = &mut self.waiting {
            ready!(wait.as_mut().poll(cx));
        }
        Poll::Ready(self.waiting.take().map(|(_, piece)| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.pour.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.waiting.as_ref().map_or(0, |(_, piece)| piece.len());
        SizeHint::with_exact((self.pour.left() + waiting) as u64)
    }
}

impl Drop for Poured {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.gate.cut(self.peer);
        }
    }
}
