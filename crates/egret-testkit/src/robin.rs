//! The home-made client: round robin over the source addresses, blind to limits.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

/// A whole exchange, from connect to end of answer, takes no longer.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer answers are cut here.
const LONGEST_ANSWER: u64 = 1 << 20;

/// Asks `remote` one whois query from `source` and reads the answer to its end: the bare client, without any budget.
///
/// # Errors
/// The source cannot be bound, the remote cannot be reached or resets, or 10 s have passed ([`io::ErrorKind::TimedOut`]).
pub async fn ask(remote: SocketAddr, source: IpAddr, query: &str) -> io::Result<Vec<u8>> {
    let exchange = async {
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(source, 0))?;
        let mut stream = socket.connect(remote).await?;
        stream.write_all(format!("{query}\r\n").as_bytes()).await?;
        let mut answer = Vec::with_capacity(1024);
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(ASK_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether an answer is a refusal: empty, or one that says so within its first 512 bytes.
pub fn looks_refused(answer: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&answer[..answer.len().min(512)]).to_ascii_lowercase();
    let words = ["limit exceeded", "access denied", "too many", "slow down"];
    head.trim().is_empty() || words.iter().any(|word| head.contains(word))
}

/// What a blind round robin would send, and how.
#[derive(Clone, Debug)]
pub struct Robin {
    /// The whois remote.
    pub remote: SocketAddr,
    /// Addresses the calls leave from; query i leaves from source i modulo their number.
    pub sources: Vec<IpAddr>,
    /// Calls under way at once; 0 counts as 1.
    pub concurrency: usize,
}

/// What became of the queries: each was tried once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RobinScore {
    /// Answers that are no refusal by [`looks_refused`].
    pub answered: usize,
    /// Refusals in words, empty answers and resets.
    pub refused: usize,
    /// Anything else: not reached, timed out.
    pub failed: usize,
    /// From the first query to the last answer.
    pub elapsed: Duration,
}

impl Robin {
    /// Sends every query once, as fast as the remote lets it.
    pub async fn run(&self, queries: Vec<String>) -> RobinScore {
        let started = Instant::now();
        if self.sources.is_empty() {
            return RobinScore { failed: queries.len(), ..RobinScore::default() };
        }
        let workers = self.concurrency.clamp(1, queries.len().max(1));
        let shared = Arc::new((self.clone(), queries, AtomicUsize::new(0)));
        let mut running: JoinSet<_> = (0..workers)
            .map(|_| {
                let shared = Arc::clone(&shared);
                async move { shared.0.work(&shared.1, &shared.2).await }
            })
            .collect();
        let mut score = RobinScore::default();
        while let Some(worked) = running.join_next().await {
            let part = worked.unwrap_or_default();
            score.answered += part.answered;
            score.refused += part.refused;
            score.failed += part.failed;
        }
        RobinScore { elapsed: started.elapsed(), ..score }
    }

    /// Takes the next query until there is none.
    async fn work(&self, queries: &[String], next: &AtomicUsize) -> RobinScore {
        let mut score = RobinScore::default();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(query) = queries.get(n) else { return score };
            match ask(self.remote, self.sources[n % self.sources.len()], query).await {
                Ok(answer) if looks_refused(&answer) => score.refused += 1,
                Ok(_) => score.answered += 1,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => score.refused += 1,
                Err(_) => score.failed += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Refusal, echo_text};

    #[test]
    fn refusals_are_told_from_records() {
        let Refusal::Text(text) = Refusal::default() else { panic!("the default refusal has words") };
        assert!(looks_refused(&text) && looks_refused(b"") && looks_refused(b"\r\n"));
        assert!(!looks_refused(&echo_text("example.org")));
    }
}
