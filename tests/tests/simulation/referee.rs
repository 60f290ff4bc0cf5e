//! The remote: whois services that count what arrives from each address, exactly, on their own clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use egret_testkit::{Counters, Limit, echo_text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use turmoil::net::TcpListener;

use crate::conn::Conn;
use crate::faults::USUAL;
use crate::scene::{FIRST_SERVICE, Scene, Shared, look, now};

/// How long ago at most a call that arrives has left: the longest time that its first message takes to a remote, which is
/// never slow, and some ticks.
const LONGEST_WAY: Duration = Duration::from_millis(USUAL + 50);

/// What has arrived at the services, over their restarts.
#[derive(Clone)]
pub(crate) struct Referee {
    scene: Shared,
    limits: Vec<Vec<Limit>>,
    counted: Arc<std::sync::Mutex<BTreeMap<(usize, IpAddr), Counters>>>,
    /// An instant for the beginning of the simulation.
    origin: Instant,
}

impl Referee {
    pub(crate) fn new(scene: &Shared) -> Self {
        let limits = look(scene).rules.iter().map(egret_tests::rule::Rule::limits).collect();
        Self { scene: Arc::clone(scene), limits, counted: Arc::default(), origin: Instant::now() }
    }

    /// Serves for as long as its host runs.
    pub(crate) async fn serve(self) -> turmoil::Result {
        for service in 0..self.limits.len() {
            let listener = TcpListener::bind(("0.0.0.0", FIRST_SERVICE + service as u16)).await?;
            let referee = self.clone();
            tokio::spawn(async move {
                while let Ok((stream, from)) = listener.accept().await {
                    let is_within = referee.count(service, from);
                    let call = Call { service, from: from.ip(), at: now(), is_within };
                    let stream = Conn::new(stream, &referee.scene);
                    tokio::spawn(answer(stream, call, Arc::clone(&referee.scene)));
                }
            });
        }
        std::future::pending().await
    }

    /// Units that count at this moment, of each limit.
    pub(crate) fn held(&self, service: usize, from: IpAddr, at: Duration) -> Vec<u32> {
        let counted = self.counted.lock().unwrap();
        counted.get(&(service, from)).map(|counters| counters.peek(self.origin + at)).unwrap_or_default()
    }

    fn count(&self, service: usize, from: SocketAddr) -> bool {
        let mut counted = self.counted.lock().unwrap();
        let whose = if look(&self.scene).is_shared { Ipv4Addr::UNSPECIFIED.into() } else { from.ip() };
        let fresh = || Counters::new(&self.limits[service], true, self.origin);
        let is_within = counted.entry((service, whose)).or_insert_with(fresh).admit(self.origin + now());
        let mut scene = look(&self.scene);
        scene.calls += 1;
        if !is_within {
            scene.object(format!("one call too many from {} to w{service}", from.ip()));
        }
        is_within
    }
}

/// A call as it arrives.
struct Call {
    service: usize,
    from: IpAddr,
    at: Duration,
    is_within: bool,
}

impl Call {
    /// Whether it may have left when it did.
    fn check(&self, question: &[u8], scene: &mut Scene) {
        let left = self.at.saturating_sub(LONGEST_WAY);
        let given = scene.given.get(&(self.from, format!("w{}", self.service), question.to_vec()));
        let given = given.map_or(&[][..], Vec::as_slice);
        let (mut in_time, mut in_turn) = (false, false);
        for (not_after, session) in given {
            let is_over = scene.works_in.get(&self.from).is_some_and(|(current, since)| {
                current.epoch > session.epoch && current.who != session.who && *since < left
            });
            in_time |= left <= *not_after;
            in_turn |= left <= *not_after && !is_over;
        }
        let question = String::from_utf8_lossy(question);
        if !in_time {
            scene.object(format!(
                "the call for {question:?} from {} was given too early, or never",
                self.from
            ));
        } else if !in_turn {
            scene.object(format!(
                "{} still carries out the call for {question:?} of a former session",
                self.from
            ));
        }
    }
}

/// Reads a line, takes its time, answers.
async fn answer(mut stream: Conn, call: Call, scene: Shared) {
    let mut question = Vec::new();
    while !question.ends_with(b"\n") {
        match stream.read_buf(&mut question).await {
            Ok(1..) => {}
            _ => return,
        }
    }
    let slow = {
        let mut scene = look(&scene);
        call.check(&question, &mut scene);
        scene.slow
    };
    let millis = if fastrand::u64(..100) < slow { 1_000..6_000 } else { 5..400 };
    sleep(Duration::from_millis(fastrand::u64(millis))).await;
    let text = if call.is_within {
        echo_text(String::from_utf8_lossy(&question).trim())
    } else {
        b"% Query rate limit exceeded\r\n".to_vec()
    };
    // Whoever asked may have given up.
    if stream.write_all(&text).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
