//! One HTTP exchange: a request out (`asked` reads it), a status, header fields and the body back.
//!
//! A call is one request on one connection, whatever the remote does. Each has a client of its own that
//! dials the one judged address and no other, follows nothing, tries nothing twice, keeps no connection and
//! speaks HTTP/1.1 only; proxies named by the environment are not used, and no cookie outlives a call.
//! Over https the roots are those built in, so that a host needs no store of certificates, and sessions are not
//! resumed: one egress is never linked to another by a ticket.

mod asked;

use std::error::Error;
use std::iter::successors;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use egret_tls::Trust;
use egret_wire::agent::CallEnd;
use egret_wire::passage::PIECE;
use egret_wire::value::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, Url, redirect, retry};
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::time::{timeout, timeout_at};

use self::asked::{Asked, asked};
use crate::call::{Call, Head, Outcome, is_local, is_reset};
use crate::judge::Judge;
use crate::passage::{Gone, Passage, Passing};
use crate::resolve::{self, resolve};

/// Who asks: nobody is to be misled about that.
const USER_AGENT: &str = concat!("egret/", env!("CARGO_PKG_VERSION"));
/// Header fields reported at most, and how long each may be, in bytes (chosen). Longer ones are left out,
/// since half a number would be another number.
const MOST_FIELDS: usize = 16;
const LONGEST_FIELD: usize = 512;
/// The longest head that is told whole, in bytes (chosen: servers send a few KiB).
const LONGEST_HEAD: usize = 64 << 10;
/// An answer that is wanted as it comes and has not ended by then is handed on, in time from its head (chosen: a person
/// would begin to wonder, and most answers are over).
const SOON: Duration = Duration::from_millis(250);
/// The fields reported, those of limits apart.
const FIELDS: [&str; 7] =
    ["retry-after", "date", "age", "ratelimit", "ratelimit-policy", "content-type", "location"];
/// What the names of further fields about limits begin with.
const LIMITS: [&str; 3] = ["ratelimit-", "x-ratelimit-", "x-rate-limit-"];

/// How a call ended, and why if it did not end well.
type Ended = (CallEnd, Option<String>);

static TLS: LazyLock<ClientConfig> = LazyLock::new(|| tls(&Trust::Public));

/// Makes the call; never takes longer than its time-out. `passage` is where its answer is handed on if it is wanted as it
/// comes.
pub(crate) async fn make(call: &Call, judge: &Judge, passage: Option<&Passage<'_>>) -> Outcome {
    let asked = match asked(call) {
        Ok(asked) => asked,
        Err(reason) => return Outcome::not_sent(reason),
    };
    match resolve(&host_and_port(&asked.url), call, judge, resolve::system).await {
        Ok(address) => ask(call, asked, address, TLS.clone(), passage).await,
        Err(reason) => Outcome::not_sent(reason),
    }
}

fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// Asks at `address` and nowhere else.
async fn ask(
    call: &Call,
    asked: Asked,
    address: SocketAddr,
    tls: ClientConfig,
    passage: Option<&Passage<'_>>,
) -> Outcome {
    let client = match client(call.from, address, tls) {
        Ok(client) => client,
        Err(error) => return Outcome::not_sent(format!("no HTTP client can be made: {}", cause(&error))),
    };
    let (mut head, mut answer) = (Head::default(), Vec::new());
    let exchanged = async {
        let Asked { method, url, fields, body, wants_head, as_it_comes } = asked;
        match client.request(method, url).headers(fields).body(body).send().await {
            Ok(response) => match read_head(&response, wants_head, &mut head) {
                Ok(()) => {
                    let passage = as_it_comes.zip(passage);
                    read_body(response, call, passage, &head, &mut answer).await
                }
                Err(detail) => (CallEnd::TooLong, Some(detail)),
            },
            Err(error) => unanswered(&error, call.from, address),
        }
    };
    let (end, detail) = match timeout_at(call.deadline, exchanged).await {
        Ok(ended) => ended,
        Err(_) => (CallEnd::TimedOut, Some("no end of the answer within the time-out".to_owned())),
    };
    Outcome { end, answer, head, detail }
}

/// A client for one call; it takes compressed answers, and measures them by what they hold. That it may not do more than asked is told once more where the default would do.
fn client(from: IpAddr, to: SocketAddr, tls: ClientConfig) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(USER_AGENT)
        .local_address(from)
        .dns_resolver(Judged(to))
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(0)
        .referer(false)
        .build()
}

fn tls(trust: &Trust) -> ClientConfig {
    let mut config = egret_tls::client(trust);
    config.resumption = Resumption::disabled();
    config
}

/// Every name is at the judged address. An address in a URL needs no name, and was judged as itself.
struct Judged(SocketAddr);

impl Resolve for Judged {
    fn resolve(&self, _: Name) -> Resolving {
        let only: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(only)))
    }
}

/// Reads what comes before the body, into `head`.
fn read_head(response: &Response, wants_all: bool, head: &mut Head) -> Result<(), String> {
    let fields = response.headers();
    head.status = Some(response.status().as_u16());
    head.headers = told(fields);
    if !wants_all {
        return Ok(());
    }
    if fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > LONGEST_HEAD {
        return Err(format!("the head of the answer is longer than {LONGEST_HEAD} bytes"));
    }
    let whole =
        fields.iter().map(|(name, value)| (name.as_str().to_owned(), Bytes(value.as_bytes().to_vec())));
    head.whole = Some(whole.collect());
    Ok(())
}

/// The fields that are reported; named ones first, so that a crowd of others cannot push them out.
fn told(headers: &HeaderMap) -> Vec<(String, String)> {
    let named = FIELDS.iter().flat_map(|name| headers.get_all(*name).iter().map(move |value| (*name, value)));
    let is_limit = |name: &str| !FIELDS.contains(&name) && LIMITS.iter().any(|begin| name.starts_with(begin));
    let limits =
        headers.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| is_limit(name));
    let readable = named.chain(limits).filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    let short = readable.filter(|(name, value)| name.len() + value.len() <= LONGEST_FIELD);
    short.take(MOST_FIELDS).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Reads the body until its end, the cap, or an error. One that is wanted as it comes, and is long or slow, is handed on;
/// only its beginning is kept.
async fn read_body(
    mut response: Response,
    call: &Call,
    passage: Option<(usize, &Passage<'_>)>,
    head: &Head,
    answer: &mut Vec<u8>,
) -> Ended {
    if let Some((most, passage)) = passage {
        if response.content_length().is_some_and(|length| length > most as u64) {
            return too_long(most);
        }
        // What may be a refusal is judged by as much as of any answer.
        let soon = if response.status().is_success() { SOON } else { Duration::MAX };
        let begun = match timeout(soon, fill(&mut response, PIECE, most, answer)).await {
            Ok(begun) => begun,
            // Nothing can be judged before anything has come.
            Err(_) => fill(&mut response, 0, most, answer).await,
        };
        if let Some(ended) = begun {
            return ended;
        }
        if let Some(passing) = passage.open(head, answer).await {
            let passed = timeout_at(call.deadline, pass(response, most, passing, answer)).await;
            // The service has answered; whether it or who asked took too long, nobody can tell.
            return passed.unwrap_or((CallEnd::Answered, Some("cut at the time-out".to_owned())));
        }
    }
    let whole = fill(&mut response, usize::MAX, call.max_answer, answer).await;
    whole.unwrap_or((CallEnd::Answered, None))
}

/// Reads on until there is more than `enough`; `None`: more may come.
async fn fill(response: &mut Response, enough: usize, most: usize, answer: &mut Vec<u8>) -> Option<Ended> {
    while answer.len() <= enough {
        match response.chunk().await {
            Ok(None) => return Some((CallEnd::Answered, None)),
            Ok(Some(chunk)) => {
                let room = most.saturating_sub(answer.len());
                answer.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return Some(too_long(most));
                }
            }
            Err(error) => return Some((CallEnd::Reset, Some(cause(&error).to_string()))),
        }
    }
    None
}

/// Hands on the rest of a body, all behind its first piece; of what has come as much is kept as it is judged by.
async fn pass(mut response: Response, most: usize, mut passing: Passing, answer: &mut Vec<u8>) -> Ended {
    // What was asked for has come, whether it was taken or not.
    let gone = |_: Gone| (CallEnd::Answered, Some("whoever asked went away before the end".to_owned()));
    let mut come = answer.len();
    let behind = answer.split_off(come.min(PIECE));
    if let Err(nobody) = passing.send(behind.into()).await {
        return gone(nobody);
    }
    loop {
        let chunk = tokio::select! {
            biased;
            nobody = passing.gone() => return gone(nobody),
            chunk = response.chunk() => chunk,
        };
        match chunk {
            Ok(None) => return passing.end().await.map_or_else(gone, |()| (CallEnd::Answered, None)),
            Ok(Some(chunk)) if chunk.len() > most - come => return too_long(most),
            Ok(Some(chunk)) => {
                come += chunk.len();
                answer.extend_from_slice(&chunk[..chunk.len().min(PIECE - answer.len())]);
                if let Err(nobody) = passing.send(chunk).await {
                    return gone(nobody);
                }
            }
            Err(error) => return (CallEnd::Reset, Some(cause(&error).to_string())),
        }
    }
}

fn too_long(most: usize) -> Ended {
    (CallEnd::TooLong, Some(format!("the answer is longer than {most} bytes")))
}

/// How a call ended that got no head: before it left, on the way, or after it had arrived.
fn unanswered(error: &reqwest::Error, from: IpAddr, to: SocketAddr) -> Ended {
    let is_own = causes(error).filter_map(|cause| cause.downcast_ref()).any(is_local);
    let is_no_http = causes(error).filter_map(|cause| cause.downcast_ref()).any(hyper::Error::is_parse);
    let was_reset = causes(error).filter_map(|cause| cause.downcast_ref()).any(is_reset);
    let cause = cause(error);
    match error.is_connect() && !was_reset {
        true if is_own => (CallEnd::NotSent, Some(format!("{from} cannot be used as a source: {cause}"))),
        true => (CallEnd::Unreachable, Some(format!("{to} from {from}: {cause}"))),
        false if is_no_http => (CallEnd::Answered, Some(format!("the answer is no HTTP: {cause}"))),
        false => (CallEnd::Reset, Some(cause.to_string())),
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error| error.source())
}

/// The last reason in the chain says what happened; the first ones repeat the URL.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests;
