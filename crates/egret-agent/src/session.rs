//! One login after another, until told to stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use egret_wire::agent::{
    AgentMessage, CLOSE_DOUBLE, CLOSE_UNKNOWN_AGENT, COORDINATOR_KINDS, Challenge, CoordinatorMessage,
    ENROL_CONTEXT, EgressClaim, EnrolRequest, Enrolled, Hello, Observed, Welcome, read,
};
use futures_util::{SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::books::Books;
use crate::clock::Clock;
use crate::host::Sources;
use crate::identity::{Identity, Membership};
use crate::journal::Lock;
use crate::judge::Judge;
use crate::link::{Link, LinkError, token_pin};
use crate::passage::Door;
use crate::sight::{LOOK, Seen, Sighting, look};
use crate::simulated::{Simulated, Stage, Wire};
use crate::stop::Stop;
use crate::worker::Worker;
use crate::{AgentError, Options, systemd};

/// The first wait between two logins is up to this; it doubles up to [`LONGEST_WAIT`], with full jitter.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Without a frame of any kind for this long the session is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a login, or getting rid of one frame, may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<Box<dyn Wire>>;
/// The addresses of the host, and what they are seen as.
type Looking = Pin<Box<dyn Future<Output = (Vec<IpAddr>, Vec<Sighting>)> + Send>>;

/// How a session ended.
enum End {
    /// The link broke, or the coordinator went away: come back.
    Broken(String),
    /// The coordinator asked to come back after this long.
    Asked(Duration),
    /// Its addresses are not what the coordinator takes them for: come back at once.
    Moved(String),
    /// The agent is to stop, or is ready to.
    Stopping,
    /// Coming back is useless.
    Fatal(AgentError),
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Broken(reason) => Self::Broken(reason),
            LinkError::Stranger(reason) => {
                Self::Broken(format!("it is not the coordinator this agent joined: {reason}"))
            }
            LinkError::Problem(problem) => Self::Broken(problem.detail),
        }
    }
}

/// Runs an agent until `stop` ends, then finishes what it has begun.
///
/// That is: it takes nothing more, gives back what has not left, waits for calls under way and until their results are
/// acknowledged, and says goodbye; all of it within [`Options::drain_timeout`].
///
/// # Errors
/// A wrong setting, a coordinator that was never reached, or one that does not let this agent in. A
/// coordinator that goes away later is waited for.
pub async fn run(options: Options, stop: impl Future<Output = ()> + Send) -> Result<(), AgentError> {
    run_on(None, options, stop).await
}

/// The same on a host that is not there; its addresses are those that the options name.
///
/// # Errors
/// As of [`run`].
pub async fn simulate(
    host: &'static dyn Simulated,
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), AgentError> {
    run_on(Some(host), options, stop).await
}

async fn run_on(
    stage: Stage,
    options: Options,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), AgentError> {
    let rng = fastrand::Rng::new();
    let sources = Sources::new(options.egresses.clone(), options.excluded.clone(), stage)?;
    let mut identity = Identity::open(&options.state_dir)?;
    let _lock = Lock::take(&options.state_dir)?;
    tokio::pin!(stop);
    let link = if let Some(membership) = &identity.membership {
        Link::new(&options.coordinator, &membership.pin, options.insecure, sources.clone())?
    } else {
        let token = options.token.as_deref().ok_or_else(|| {
            AgentError::Setting(
                "this agent has not joined yet: give it a token with --token-file or EGRET_TOKEN".to_owned(),
            )
        })?;
        let pin = token_pin(token)?;
        let link = Link::new(&options.coordinator, pin, options.insecure, sources.clone())?;
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            joined = enrol(&link, &mut identity, &options.name, token, pin) => joined?,
        }
        link
    };
    let judge = Judge::new(options.allow_private.clone());
    let clock = Clock::start(stage);
    let books = Books::open(&options.state_dir, clock)?;
    let sources = Arc::new(sources);
    let agent = identity.membership.as_ref().map(|membership| membership.agent.clone()).unwrap_or_default();
    let door = Door { link: link.clone(), agent };
    let worker = Worker::new(books, clock, judge, options.allow_service.clone(), Arc::clone(&sources), door);
    let (is_supervised, is_bound) = (options.is_supervised, options.channel_binding);
    let seen = Seen::default();
    let mut agent = Agent { is_supervised, worker, clock, link, identity, is_bound, sources, seen, rng };
    let ended = agent.stay(Stop::new(stop, options.drain_timeout)).await;
    if ended.is_ok() && !agent.worker.is_done() {
        tracing::warn!("there is no more time: calls are cut, or results are not acknowledged");
    }
    agent.worker.close();
    ended
}

/// Joins. The token leaves this host only once the other end has shown that it is the one pinned.
async fn enrol(
    link: &Link,
    identity: &mut Identity,
    name: &str,
    token: &str,
    pin: &str,
) -> Result<(), AgentError> {
    let request = EnrolRequest {
        token: token.to_owned(),
        name: name.to_owned(),
        public_key: identity.public_key(),
        signature: identity.sign(format!("{ENROL_CONTEXT}\n{token}").as_bytes()),
    };
    match link.post::<Enrolled>("/agent/v1/enroll", &request, None).await {
        Ok(Enrolled { agent, coordinator }) => {
            tracing::info!(agent, "joined the coordinator at {}", link.url);
            identity.keep(Membership { agent, coordinator, pin: pin.to_owned(), epoch: 0 })
        }
        Err(LinkError::Stranger(reason)) => Err(AgentError::NotAllowed(format!(
            "whoever answers at {} is not the coordinator that made the join token ({reason}); the token was not sent. \
             Correct --coordinator, or get a new token if the coordinator has a new key",
            link.url
        ))),
        Err(LinkError::Problem(problem)) => Err(AgentError::NotAllowed(problem.detail)),
        Err(LinkError::Broken(reason)) => Err(AgentError::Unreachable { url: link.url.clone(), reason }),
    }
}

struct Agent {
    is_supervised: bool,
    link: Link,
    identity: Identity,
    /// Signatures hold for one TLS connection only.
    is_bound: bool,
    sources: Arc<Sources>,
    seen: Seen,
    clock: Clock,
    worker: Worker,
    rng: fastrand::Rng,
}

impl Agent {
    /// Logs in again and again; returns when it is to stop, or when that is useless.
    async fn stay(&mut self, mut stop: Stop<'_>) -> Result<(), AgentError> {
        let mut failures = 0u32;
        loop {
            let began = Instant::now();
            let end = self.session(&mut stop).await;
            self.worker.end();
            if self.is_done(&stop) {
                return Ok(());
            }
            if began.elapsed() > LONGEST_WAIT {
                failures = 0;
            }
            let bound = FIRST_WAIT.saturating_mul(2u32.saturating_pow(failures)).min(LONGEST_WAIT);
            let wait = match end {
                End::Fatal(error) => return Err(error),
                End::Asked(wait) => wait,
                End::Stopping => Duration::ZERO,
                End::Moved(how) => {
                    tracing::info!("{how}; logging in anew");
                    failures = 0;
                    Duration::ZERO
                }
                End::Broken(reason) => {
                    let wait = bound.mul_f64(self.rng.f64());
                    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(wait_ms, "no session with {}: {reason}; trying again", self.link.url);
                    if self.is_supervised {
                        systemd::status(&format!("no session with {}: {reason}", self.link.url));
                    }
                    wait
                }
            };
            failures = failures.saturating_add(1);
            self.wait(wait, &mut stop).await;
            if self.is_done(&stop) {
                return Ok(());
            }
        }
    }

    /// Waits, while calls under way end and their results are kept.
    async fn wait(&mut self, wait: Duration, stop: &mut Stop<'_>) {
        let until = Instant::now() + wait;
        while !self.is_done(stop) {
            tokio::select! {
                biased;
                () = sleep_until(until) => return,
                () = stop.next() => {}
                Some(ended) = self.worker.next_ended() => self.worker.finish(ended),
            }
        }
    }

    /// Whether the agent is to stop and may.
    fn is_done(&self, stop: &Stop<'_>) -> bool {
        stop.is_due() || stop.is_wanted() && self.worker.is_done()
    }

    async fn session(&mut self, stop: &mut Stop<'_>) -> End {
        let login = tokio::select! {
            biased;
            () = stop.next() => return End::Stopping,
            login = self.login() => login,
        };
        match login {
            Ok((socket, welcome, locals)) => self.work(socket, welcome, locals, stop).await,
            Err(end) => end,
        }
    }

    /// Proves the addresses, connects, signs the challenge.
    async fn login(&mut self) -> Result<(Socket, Welcome, BTreeMap<String, IpAddr>), End> {
        let membership = self.identity.membership.clone();
        let Some(Membership { agent, coordinator, pin, epoch }) = membership else {
            return Err(End::Broken("this agent has not joined".to_owned()));
        };
        let mut locals = BTreeMap::new();
        let mut egresses = Vec::new();
        let mut broken = None;
        self.seen.begin();
        let current = self.sources.current().map_err(|error| End::Broken(error.to_string()))?;
        for (local, sighting) in look(self.link.clone(), current).await {
            match sighting {
                Ok(Observed { address, proof }) => {
                    if let Some(before) = self.seen.claim(local, &address) {
                        tracing::info!("{local} was seen as {before}, and is {address} now");
                        if !self.worker.has_moved(&before, &address) {
                            return Err(End::Broken("the agent's journal cannot be written".to_owned()));
                        }
                    }
                    let memory = self.worker.memory(&address);
                    locals.insert(address.clone(), local);
                    egresses.push(EgressClaim { address, proof, memory });
                }
                // An address may have gone, or not reach the coordinator; the others can work.
                Err(error) => broken = Some((local, End::from(error))),
            }
        }
        if egresses.is_empty() && broken.is_none() {
            return Err(End::Broken("this host has no usable address".to_owned()));
        }
        if let Some((local, end)) = broken {
            if egresses.is_empty() {
                return Err(end);
            }
            if let End::Broken(reason) = end {
                tracing::warn!("{local} cannot be used: {reason}");
            }
        }
        let (theirs, own) = (self.link.addresses().await, self.sources.own_addresses());
        if let Some(own) = own.filter(|_| !theirs.is_empty()) {
            let seen = locals.keys().filter_map(|address| address.parse().ok());
            self.worker.at_home(theirs.into_iter().chain(own).chain(seen));
        }
        let (mut socket, binding) = self.link.session().await?;
        let challenge: Challenge = match receive(&mut socket).await? {
            CoordinatorMessage::Challenge(challenge) if challenge.coordinator == coordinator => challenge,
            CoordinatorMessage::Challenge(_) => {
                return Err(End::Fatal(AgentError::NotAllowed(format!(
                    "{} is another coordinator than the one this agent has joined; use another --state-dir to join it",
                    self.link.url
                ))));
            }
            _ => return Err(End::Broken("the session did not begin with a challenge".to_owned())),
        };
        if binding.is_some() && self.is_bound && !challenge.bound {
            return Err(End::Fatal(AgentError::NotAllowed(format!(
                "{} does not bind logins to the connection: something in between may end TLS; if that is meant so, start \
                 this agent with --no-channel-binding",
                self.link.url
            ))));
        }
        let binding = binding.filter(|_| challenge.bound);
        let hello = Hello {
            signature: self.identity.sign(&challenge.to_sign(&agent, binding.as_ref())),
            agent: agent.clone(),
            epoch,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            egresses,
            permits: self.worker.permits().to_vec(),
            ledgers: self.worker.ledgers(),
            in_flight: self.worker.in_flight(),
        };
        send(&mut socket, &AgentMessage::Hello(hello)).await?;
        loop {
            match receive(&mut socket).await? {
                CoordinatorMessage::Welcome(welcome) if welcome.epoch <= epoch => {
                    return Err(End::Broken(format!(
                        "the coordinator counts sessions from before the last one ({} after {epoch}); is an old copy of it running?",
                        welcome.epoch
                    )));
                }
                CoordinatorMessage::Welcome(welcome) => {
                    // Known on this disk before anything more is said: whoever shows an older number is a copy.
                    let membership = Membership { agent, coordinator, pin, epoch: welcome.epoch };
                    self.identity.keep(membership).map_err(End::Fatal)?;
                    return Ok((socket, welcome, locals));
                }
                CoordinatorMessage::Unsupported(_)
                | CoordinatorMessage::Policy(_)
                | CoordinatorMessage::Added(_) => {}
                _ => return Err(End::Broken("the login was not answered with a welcome".to_owned())),
            }
        }
    }

    /// Makes calls until the session ends.
    async fn work(
        &mut self,
        mut socket: Socket,
        welcome: Welcome,
        mut locals: BTreeMap<String, IpAddr>,
        stop: &mut Stop<'_>,
    ) -> End {
        let granted: Vec<String> = welcome.egresses.iter().map(|grant| grant.address.clone()).collect();
        let idle: Vec<&str> =
            locals.keys().map(String::as_str).filter(|a| !granted.iter().any(|g| g == a)).collect();
        if !idle.is_empty() {
            tracing::warn!("another agent speaks for {}; it stays idle here", idle.join(", "));
        }
        tracing::info!("session with {} for {}", self.link.url, granted.join(", "));
        if self.is_supervised {
            systemd::ready(&format!("session with {} for {} addresses", self.link.url, granted.len()));
        }
        locals.retain(|address, _| granted.contains(address));
        self.worker.set_policy(welcome.services);
        self.worker.begin(locals, welcome.egresses, welcome.ledgers);
        let heartbeat = Duration::from_millis(welcome.heartbeat_ms.clamp(100, 30_000));
        if let Err(end) = self.tell_clock(&mut socket).await {
            return end;
        }
        if stop.is_wanted()
            && let Err(end) = self.drain(&mut socket).await
        {
            return end;
        }
        let mut heard_at = Instant::now();
        let mut ping_at = Instant::now() + heartbeat.mul_f64(0.8 + 0.2 * self.rng.f64());
        let clock = self.clock;
        // Nothing is looked at before the first minute is over.
        let mut looking: Looking = Box::pin(std::future::pending());
        let mut look_at = Instant::now() + LOOK.mul_f64(0.8 + 0.2 * self.rng.f64());
        loop {
            if let Err(end) = self.report(&mut socket).await {
                return end;
            }
            if self.is_done(stop) {
                tracing::info!("nothing is under way any more; goodbye");
                // The coordinator may be gone already.
                let _ = timeout(GOODBYE, socket.close(None)).await;
                return End::Stopping;
            }
            let wake_at = self.worker.wake_at().map_or(heard_at + SILENCE, |at| clock.deadline(at));
            tokio::select! {
                biased;
                frame = socket.next() => {
                    heard_at = Instant::now();
                    match frame {
                        Some(Ok(frame)) => if let Err(end) = self.obey(&mut socket, frame).await { return end },
                        Some(Err(error)) => return End::Broken(error.to_string()),
                        None => return End::Broken("the coordinator closed the session".to_owned()),
                    }
                }
                Some(ended) = self.worker.next_ended() => {
                    self.worker.finish(ended);
                    while let Some(ended) = self.worker.another_ended() {
                        self.worker.finish(ended);
                    }
                }
                () = stop.next() => if !stop.is_due() && let Err(end) = self.drain(&mut socket).await {
                    return end;
                },
                () = sleep_until(wake_at.min(heard_at + SILENCE)) => {
                    if heard_at.elapsed() >= SILENCE {
                        return End::Broken("nothing was heard for 60 s".to_owned());
                    }
                    self.worker.wake();
                }
                (current, sightings) = &mut looking => {
                    looking = Box::pin(std::future::pending());
                    if let Some(how) = self.seen.change(&current, &sightings) {
                        return End::Moved(how);
                    }
                }
                () = sleep_until(look_at) => {
                    look_at = Instant::now() + LOOK.mul_f64(0.8 + 0.2 * self.rng.f64());
                    // A host that does not tell, or a look that takes longer than until the next, says nothing.
                    if let Ok(current) = self.sources.current() {
                        let sightings = look(self.link.clone(), current.clone());
                        looking = Box::pin(async move { (current, sightings.await) });
                    }
                }
                () = sleep_until(ping_at) => {
                    self.worker.tidy();
                    if let Err(end) = self.tell_clock(&mut socket).await {
                        return end;
                    }
                    ping_at = Instant::now() + heartbeat.mul_f64(0.8 + 0.2 * self.rng.f64());
                    if let Err(end) = transmit(&mut socket, Message::Ping(Vec::new().into())).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Takes nothing more, and says so.
    async fn drain(&mut self, socket: &mut Socket) -> Result<(), End> {
        tracing::info!("taking no more work; what is under way is finished");
        self.worker.drain();
        send(socket, &AgentMessage::Draining {}).await
    }

    /// So that the coordinator can say, on this clock, until when a grant is good.
    async fn tell_clock(&self, socket: &mut Socket) -> Result<(), End> {
        send(socket, &AgentMessage::Clock(self.clock.told().as_micros())).await
    }

    /// Sends results that are new to this session, then asks for as much work as they were.
    async fn report(&mut self, socket: &mut Socket) -> Result<(), End> {
        for results in self.worker.fresh_results() {
            send(socket, &AgentMessage::Results(results)).await?;
        }
        match self.worker.fresh_credit() {
            0 => Ok(()),
            credit => send(socket, &AgentMessage::Credit(credit)).await,
        }
    }

    async fn obey(&mut self, socket: &mut Socket, frame: Message) -> Result<(), End> {
        let text = match frame {
            Message::Text(text) => text,
            Message::Close(frame) => {
                return Err(closed(frame.map(|f| (u16::from(f.code), f.reason.to_string()))));
            }
            _ => return Ok(()),
        };
        match read(text.as_str(), &COORDINATOR_KINDS) {
            Ok(CoordinatorMessage::Grants(grants)) => self.worker.take(grants),
            Ok(CoordinatorMessage::Ack(attempts)) => self.worker.acknowledge(&attempts),
            Ok(CoordinatorMessage::Cancel(attempts)) => self.worker.cancel(&attempts),
            Ok(CoordinatorMessage::Spent(spent)) => self.worker.spent(spent),
            Ok(CoordinatorMessage::Policy(services)) => self.worker.set_policy(services),
            Ok(CoordinatorMessage::Added(services)) => self.worker.add_policy(services),
            Ok(CoordinatorMessage::GoingAway { after_ms, within_ms }) => {
                let wait = self.rng.u64(after_ms..=within_ms.max(after_ms)).min(600_000);
                return Err(End::Asked(Duration::from_millis(wait)));
            }
            Ok(CoordinatorMessage::Unsupported(kind)) => {
                tracing::warn!("the coordinator does not know `{kind}`");
            }
            Ok(CoordinatorMessage::Challenge(_) | CoordinatorMessage::Welcome(_)) => {}
            Err(Some(kind)) => send(socket, &AgentMessage::Unsupported(kind)).await?,
            Err(None) => {
                return Err(End::Broken("the coordinator sent something that is no message".to_owned()));
            }
        }
        Ok(())
    }
}

async fn receive(socket: &mut Socket) -> Result<CoordinatorMessage, End> {
    loop {
        let frame = timeout(PATIENCE, socket.next()).await;
        match frame.map_err(|_| End::Broken("the coordinator fell silent during the login".to_owned()))? {
            Some(Ok(Message::Text(text))) => match read(text.as_str(), &COORDINATOR_KINDS) {
                Ok(message) => return Ok(message),
                Err(Some(_)) => {}
                Err(None) => {
                    return Err(End::Broken("the coordinator sent something that is no message".to_owned()));
                }
            },
            Some(Ok(Message::Close(frame))) => {
                return Err(closed(frame.map(|f| (u16::from(f.code), f.reason.to_string()))));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(End::Broken(error.to_string())),
            None => return Err(End::Broken("the coordinator closed the session".to_owned())),
        }
    }
}

async fn send(socket: &mut Socket, message: &AgentMessage) -> Result<(), End> {
    let text = serde_json::to_string(message).map_err(|error| End::Broken(error.to_string()))?;
    transmit(socket, Message::Text(text.into())).await
}

async fn transmit(socket: &mut Socket, message: Message) -> Result<(), End> {
    match timeout(PATIENCE, socket.send(message)).await {
        Ok(sent) => sent.map_err(|error| End::Broken(error.to_string())),
        Err(_) => Err(End::Broken("the coordinator takes no frames".to_owned())),
    }
}

fn closed(frame: Option<(u16, String)>) -> End {
    match frame {
        Some((CLOSE_UNKNOWN_AGENT | CLOSE_DOUBLE, reason)) => End::Fatal(AgentError::NotAllowed(reason)),
        Some((_, reason)) if !reason.is_empty() => End::Broken(reason),
        _ => End::Broken("the coordinator closed the session".to_owned()),
    }
}
