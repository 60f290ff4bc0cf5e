//! One whois exchange: a line out, bytes back until the remote closes.
//!
//! The address is resolved once, judged, and dialled as judged. Everything is inside one deadline.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use egret_wire::agent::CallEnd;
use egret_wire::value::{Bytes, Secret};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::host::{DialError, Sources};
use crate::judge::Judge;
use crate::resolve;
use crate::simulated::Wire;

/// The longest whois question, in bytes (chosen: twice the longest target).
const LONGEST_QUESTION: usize = 2_048;

/// What to ask, of whom, from where.
pub(crate) struct Call {
    pub(crate) from: IpAddr,
    /// `host:port`; over HTTP a base URL.
    pub(crate) address: String,
    pub(crate) question: Vec<u8>,
    /// Over HTTP: fields that the service's configuration adds.
    pub(crate) headers: Vec<(String, Secret)>,
    /// When it is over; nothing leaves then or later.
    pub(crate) deadline: Instant,
    pub(crate) max_answer: usize,
    pub(crate) allow_private: bool,
}

/// How it went.
pub(crate) struct Outcome {
    pub(crate) end: CallEnd,
    pub(crate) answer: Vec<u8>,
    pub(crate) head: Head,
    pub(crate) detail: Option<String>,
}

/// What an HTTP answer says before its body; whois has none.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: Option<u16>,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// All of them, if the question wants that.
    pub(crate) whole: Option<Vec<(String, Bytes)>>,
}

impl Outcome {
    pub(crate) fn new(end: CallEnd, answer: Vec<u8>, detail: Option<String>) -> Self {
        Self { end, answer, head: Head::default(), detail }
    }

    pub(crate) fn not_sent(detail: impl Into<String>) -> Self {
        Self::new(CallEnd::NotSent, Vec::new(), Some(detail.into()))
    }

    pub(crate) fn withdrawn(detail: impl Into<String>) -> Self {
        Self::new(CallEnd::Withdrawn, Vec::new(), Some(detail.into()))
    }

    fn unreachable(detail: impl Into<String>) -> Self {
        Self::new(CallEnd::Unreachable, Vec::new(), Some(detail.into()))
    }
}

/// Makes the call; never takes longer than its time-out.
pub(crate) async fn make(call: &Call, judge: &Judge, sources: &Sources) -> Outcome {
    make_by(call, judge, sources, resolve::system).await
}

async fn make_by(
    call: &Call,
    judge: &Judge,
    sources: &Sources,
    lookup: impl AsyncFn(&str) -> io::Result<Vec<SocketAddr>>,
) -> Outcome {
    if !is_one_line(&call.question) {
        return Outcome::not_sent("the question is not one line");
    }
    let deadline = call.deadline;
    let address = match resolve::resolve(&call.address, call, judge, lookup).await {
        Ok(address) => address,
        Err(reason) => return Outcome::not_sent(reason),
    };
    let stream = match timeout_at(deadline, connect(sources, call.from, address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(Dial::Local(reason))) => return Outcome::not_sent(reason),
        Ok(Err(Dial::Remote(reason))) => return Outcome::unreachable(reason),
        Ok(Err(Dial::Reset(reason))) => return Outcome::new(CallEnd::Reset, Vec::new(), Some(reason)),
        Err(_) => return timed_out(Vec::new(), "no connection"),
    };
    let mut answer = Vec::new();
    let exchanged = exchange(stream, call, &mut answer);
    match timeout_at(deadline, exchanged).await {
        Ok((end, detail)) => Outcome::new(end, answer, detail),
        Err(_) => timed_out(answer, "no end of the answer"),
    }
}

/// A whois question is one line: nothing before its CR LF may end it early or be anything but text.
fn is_one_line(question: &[u8]) -> bool {
    question.len() <= LONGEST_QUESTION
        && question.strip_suffix(b"\r\n").is_some_and(|line| !line.iter().any(u8::is_ascii_control))
}

fn timed_out(answer: Vec<u8>, what: &str) -> Outcome {
    Outcome::new(CallEnd::TimedOut, answer, Some(format!("{what} within the time-out")))
}

enum Dial {
    /// Failed before anything was sent.
    Local(String),
    /// The remote, or the way to it, refused.
    Remote(String),
    /// The remote took the connection and broke it off at once.
    Reset(String),
}

async fn connect(sources: &Sources, from: IpAddr, address: SocketAddr) -> Result<Box<dyn Wire>, Dial> {
    let local = |error: io::Error| Dial::Local(format!("{from} cannot be used as a source: {error}"));
    let said = |error: &io::Error| format!("{address} from {from}: {error}");
    sources.dial(Some(from), address).await.map_err(|error| match error {
        DialError::Local(error) => local(error),
        DialError::Remote(error) if is_local(&error) => local(error),
        DialError::Remote(error) if is_reset(&error) => Dial::Reset(said(&error)),
        DialError::Remote(error) => Dial::Remote(said(&error)),
    })
}

/// Whether the remote had accepted the connection and broke it off before it was used: so some services refuse. One
/// that nobody listens for is refused instead.
pub(crate) fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

/// Whether this host decided that no connection can be made: no packet has left.
pub(crate) fn is_local(error: &std::io::Error) -> bool {
    // Of these the host has run out: descriptors of the process or of all, memory for sockets.
    let spent = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
        || Errno::from_io_error(error).is_some_and(|errno| spent.contains(&errno))
}

/// Sends the question and reads until the end, the cap, or an error.
async fn exchange(mut stream: Box<dyn Wire>, call: &Call, answer: &mut Vec<u8>) -> (CallEnd, Option<String>) {
    // A remote may refuse by closing before it reads: what it said is still to be read.
    let written = stream.write_all(&call.question).await;
    let mut buffer = [0u8; 8 << 10];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) if written.is_ok() => return (CallEnd::Answered, None),
            Ok(0) => return (CallEnd::Reset, written.err().map(|error| error.to_string())),
            Ok(n) => {
                let room = call.max_answer - answer.len();
                answer.extend_from_slice(&buffer[..n.min(room)]);
                if n > room {
                    return (
                        CallEnd::TooLong,
                        Some(format!("the answer is longer than {} bytes", call.max_answer)),
                    );
                }
            }
            Err(error) => return (CallEnd::Reset, Some(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_one_whole_line_is_a_question() {
        assert!(is_one_line(b"example.com\r\n") && is_one_line("b\u{fc}cher.example\r\n".as_bytes()));
        let long = [&[b'a'; LONGEST_QUESTION - 1][..], b"\r\n"].concat();
        for bad in
            [&b"example.com"[..], b"a\r\nb\r\n", b"a\nb\r\n", b"a\0\r\n", b"a\r\r\n", b"a\x1b[2J\r\n", &long]
        {
            assert!(!is_one_line(bad), "{bad:?}");
        }
    }

    #[test]
    fn what_the_host_has_run_out_of_is_not_the_services_fault() {
        let is = |errno: Errno| is_local(&io::Error::from(errno));
        assert!([Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS].into_iter().all(is));
        assert!(![Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::TIMEDOUT].into_iter().any(is));
    }

    /// How often a listener at 127.0.0.1 is called if the service's name leads to these answers in turn, and how often the
    /// name was looked up.
    async fn connections(answers: &[&[&str]], allow_private: bool, calls: usize) -> (usize, usize) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (lookups, turn) = (Cell::new(0), RefCell::new(answers.iter().cycle()));
        let lookup = async |_: &str| {
            lookups.set(lookups.get() + 1);
            let answer = turn.borrow_mut().next().unwrap();
            Ok(answer.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect())
        };
        for _ in 0..calls {
            let call = Call {
                from: "127.0.0.9".parse().unwrap(),
                address: format!("w.example:{port}"),
                question: b"a\r\n".to_vec(),
                headers: Vec::new(),
                deadline: Instant::now() + Duration::from_millis(300),
                max_answer: 100,
                allow_private,
            };
            let outcome = make_by(&call, &Judge::default(), &Sources::default(), lookup).await;
            assert_ne!(outcome.end, CallEnd::Answered, "nobody answers");
        }
        let mut count = 0;
        // Whoever has connected is in the queue by now.
        while tokio::time::timeout(Duration::ZERO, listener.accept()).await.is_ok() {
            count += 1;
        }
        (count, lookups.get())
    }

    #[tokio::test]
    async fn a_name_that_leads_inwards_is_not_followed() {
        for inwards in
            ["169.254.169.254", "127.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1"]
        {
            assert_eq!(connections(&[&[inwards]], false, 2).await, (0, 2), "{inwards}");
        }
    }

    #[tokio::test]
    async fn a_name_that_flips_is_looked_up_once_a_call_and_every_answer_counts() {
        // From a loopback address nothing reaches the public one.
        let (public, inwards) = (&["198.41.0.4"][..], &["127.0.0.1"][..]);
        assert_eq!(connections(&[public, inwards], false, 6).await, (0, 6));
        assert_eq!(connections(&[&["198.41.0.4", "127.0.0.1"]], false, 3).await, (0, 3));
        assert_eq!(connections(&[inwards], true, 1).await, (1, 1), "with leave it is");
    }
}
