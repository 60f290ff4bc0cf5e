//! A whois server (RFC 3912): one line in, an answer out, the connection closed.

use crate::answers::{Answers, echo_text};
use crate::gate::{Gate, Open, Outcome};
use crate::pour::Pour;
use crate::remote::Remote;
use crate::rules::Rules;
use crate::trouble::pause;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest query line, with its end.
const LONGEST_QUERY: usize = 4096;

/// A query must be complete this long after the connect.
const QUERY_DEADLINE: Duration = Duration::from_secs(10);

/// No connection lives longer, whatever the troubles.
const LIFETIME: Duration = Duration::from_secs(600);

/// After a refusal that did not wait for the query, the query is read and thrown away for this long.
const DRAIN: Duration = Duration::from_secs(1);

/// Comes after the answer when it is to be larger than it is.
const FILLER: &str = "% This line only makes the answer longer.\r\n";

/// When a call is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountOn {
    /// At the accept, even if no query follows; a refusal then does not wait for the query.
    Connect,
    /// When the whole line has been read.
    #[default]
    Query,
}

/// What a peer gets instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// These bytes, then an orderly close.
    Text(Vec<u8>),
    /// Nothing but an orderly close.
    Close,
    /// A TCP reset.
    Reset,
}

impl Default for Refusal {
    /// The words of a registry that has had enough.
    fn default() -> Self {
        let text = "%ERROR:201: access denied\r\n%\r\n\
                    % Your connection limit exceeded. Please slow down and try again later.\r\n";
        Self::Text(text.into())
    }
}

/// A whois remote to be started.
#[derive(Clone, Debug)]
pub struct WhoisRemote {
    rules: Rules,
    listen: SocketAddr,
    answers: Answers,
    count_on: CountOn,
    refusal: Refusal,
    ban_refusal: Option<Refusal>,
}

impl WhoisRemote {
    /// A remote under `rules` that echoes queries and refuses in words, on a free port of 127.0.0.1.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            answers: Answers::default(),
            count_on: CountOn::default(),
            refusal: Refusal::default(),
            ban_refusal: None,
        }
    }

    /// Listens on another address; port 0 takes a free one.
    pub fn listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Where answers come from; a query not found gets a line that says so.
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// When calls are counted.
    pub fn count_on(mut self, count_on: CountOn) -> Self {
        self.count_on = count_on;
        self
    }

    /// What refused calls get.
    pub fn refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// What calls that meet a ban get; the same as other refusals unless told.
    pub fn ban_refusal(mut self, refusal: Refusal) -> Self {
        self.ban_refusal = Some(refusal);
        self
    }

    /// Starts listening on the current runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(self) -> io::Result<Remote> {
        let gate = Gate::new(self.rules.clone());
        let whois = Arc::new(Whois { gate: Arc::clone(&gate), remote: self });
        Remote::start(whois.remote.listen, gate, move |stream, peer| {
            let whois = Arc::clone(&whois);
            let open = whois.gate.open(peer);
            async move {
                let _ = timeout(LIFETIME, whois.serve(stream, peer, open)).await;
            }
        })
    }
}

struct Whois {
    gate: Arc<Gate>,
    remote: WhoisRemote,
}

/// How a connection ends once everything is written.
enum End {
    /// In order: the query has been read.
    Close,
    /// In order, after throwing away what the peer still sends: closing over it would reset the connection.
    Drain,
    /// By a reset, or however the peer left it.
    Drop,
}

impl Whois {
    async fn serve(&self, mut stream: TcpStream, peer: IpAddr, open: Option<Open>) {
        let done = match &open {
            Some(_) => self.exchange(&mut stream, peer).await,
            None => refuse(&mut stream, &self.remote.refusal, End::Drain).await,
        };
        // Before the peer can see the end: its next connection is no second one.
        drop(open);
        let done = match done {
            Ok(End::Drop) => Ok(()),
            Ok(End::Close) => stream.shutdown().await,
            Ok(End::Drain) => drain(&mut stream).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            self.gate.cut(peer);
        }
    }

    /// Counts the call and writes what it gets.
    async fn exchange(&self, stream: &mut TcpStream, peer: IpAddr) -> io::Result<End> {
        let early = match self.remote.count_on {
            CountOn::Connect => Some(self.gate.call(peer).await),
            CountOn::Query => None,
        };
        if let Some(verdict) = early
            && let Some(refusal) = self.refusal(verdict.outcome)
        {
            pause(verdict.after).await;
            return refuse(stream, refusal, End::Drain).await;
        }
        let Some(query) = read_query(stream).await else {
            self.gate.no_query(peer);
            return Ok(End::Drop);
        };
        let verdict = match early {
            Some(verdict) => verdict,
            None => self.gate.call(peer).await,
        };
        pause(verdict.after).await;
        match self.refusal(verdict.outcome) {
            Some(refusal) => refuse(stream, refusal, End::Close).await,
            None if verdict.outcome == Outcome::Drop => {
                pause(self.gate.troubles().hold).await;
                Ok(End::Close)
            }
            None => self.answer(stream, &query).await,
        }
    }

    /// What a call that ended so gets instead of an answer, if it gets none.
    fn refusal(&self, outcome: Outcome) -> Option<&Refusal> {
        match outcome {
            Outcome::Refuse => Some(&self.remote.refusal),
            Outcome::Banned => Some(self.remote.ban_refusal.as_ref().unwrap_or(&self.remote.refusal)),
            Outcome::Answer | Outcome::Drop => None,
        }
    }

    async fn answer(&self, stream: &mut TcpStream, query: &str) -> io::Result<End> {
        let answer = self.remote.answers.to(query, echo_text);
        let answer = answer.unwrap_or_else(|| format!("% No match for \"{query}\".\r\n").into_bytes());
        let mut pour = Pour::new(answer, self.gate.troubles(), FILLER);
        while let Some((wait, piece)) = pour.next() {
            pause(wait).await;
            stream.write_all(&piece).await?;
        }
        Ok(End::Close)
    }
}

/// Writes a refusal, or sets the connection up to end by a reset; `end` is how it ends otherwise.
async fn refuse(stream: &mut TcpStream, refusal: &Refusal, end: End) -> io::Result<End> {
    match refusal {
        Refusal::Text(text) => stream.write_all(text).await.map(|()| end),
        Refusal::Close => Ok(end),
        Refusal::Reset => stream.set_zero_linger().map(|()| End::Drop),
    }
}

/// Ends our side, then reads a query nobody waited for.
async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = [0; LONGEST_QUERY];
    let read = async { while stream.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {} };
    let _ = timeout(DRAIN, read).await;
    Ok(())
}

/// One line without its end; `None` if it is too long, too late or never ends.
async fn read_query(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::with_capacity(128);
    let read = async {
        while !line.contains(&b'\n') {
            if line.len() >= LONGEST_QUERY || stream.read_buf(&mut line).await.ok()? == 0 {
                return None;
            }
        }
        Some(())
    };
    timeout(QUERY_DEADLINE, read).await.ok()??;
    let end = line.iter().position(|byte| *byte == b'\n').filter(|end| *end < LONGEST_QUERY)?;
    let query = line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]);
    Some(String::from_utf8_lossy(query).into_owned())
}
