//! One agent's session: login, then frames both ways until either side goes.
//!
//! The reader judges what results mean, so that the drive need not; the writer sends what the drive
//! and the recorder have to say. Neither holds anything that a new session would miss.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use egret_core::id::AgentId;
use egret_wire::agent::{
    AGENT_KINDS, AgentMessage, Attempt, CLOSE_REPLACED, CLOSE_UNKNOWN_AGENT, CoordinatorMessage, Grant,
    Report, ServicePolicy, Spent, Welcome, read,
};
use egret_wire::value::Secret;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::Shared;
use crate::drive::{Join, Message as DriveMessage};
use crate::judge::judge;
use crate::login::{Login, login};
use crate::server::Binding;

/// How often a frame is due from either side.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(20);
/// Without a frame of any kind for this long the session is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// Logins that may ask at once whether an agent is there.
const MOST_PROBES: usize = 16;
/// Bytes of questions in one frame, unless one alone has more: escaped twice they are far from the most that an agent takes.
const FRAME: usize = 1 << 20;
/// How long a login may take, and getting rid of one frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is said to an agent.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Grants(Vec<Grant>),
    Ack(Vec<Attempt>),
    Cancel(Vec<Attempt>),
    Spent(Spent),
    /// More services that may be asked.
    Added(Vec<ServicePolicy>),
    /// The coordinator stops: come back within this many milliseconds.
    GoingAway(u64),
    /// Another login shows the key of this one: tell it if the agent answers.
    Probe(oneshot::Sender<()>),
    /// A newer session of the same agent has taken over.
    Replaced,
    /// The agent has lost its place in the fleet.
    Revoked,
}

/// Why a session was closed by us.
pub(crate) struct Closed {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Closed {
    /// For reasons on our side.
    pub(crate) fn internal(reason: String) -> Self {
        Self { code: 1011, reason }
    }
}

/// Holds a session from its upgrade to its end.
pub(crate) async fn hold(mut socket: WebSocket, peer: SocketAddr, binding: Binding, shared: Arc<Shared>) {
    let Login { join, outgoing, epoch } = match timeout(PATIENCE, login(&mut socket, binding, &shared)).await
    {
        Ok(Ok(Some(login))) => login,
        Ok(Ok(None)) => return,
        Ok(Err(closed)) => {
            tracing::warn!("login from {peer} refused: {}", closed.reason);
            return close(&mut socket, closed).await;
        }
        Err(_) => return tracing::warn!("login from {peer} took too long"),
    };
    let (agent, session) = (join.agent.id, join.session);
    let mut live = Session {
        socket,
        shared: Arc::clone(&shared),
        agent,
        session,
        unconfirmed: Some(epoch),
        probes: Vec::new(),
        is_warned: false,
    };
    match live.welcome(join, epoch).await {
        Ok(()) => {
            if let Err(closed) = live.talk(outgoing).await {
                close(&mut live.socket, closed).await;
            }
        }
        Err(closed) => close(&mut live.socket, closed).await,
    }
    let _ = shared.drive.send(DriveMessage::Leave { agent, session }).await;
}

/// For an agent that has lost its place in the fleet.
fn revoked() -> Closed {
    let reason = "this agent was revoked; remove its state dir and join with a new token";
    Closed { code: CLOSE_UNKNOWN_AGENT, reason: reason.to_owned() }
}

struct Session {
    socket: WebSocket,
    shared: Arc<Shared>,
    agent: AgentId,
    session: u64,
    /// The session's number, until the agent has shown by another frame that it knows it.
    unconfirmed: Option<u64>,
    /// Who asks whether the agent is there, and the ping that asks it.
    probes: Vec<([u8; 8], oneshot::Sender<()>)>,
    /// A result without a grant has been told of in the log.
    is_warned: bool,
}

impl Session {
    /// Makes the agent part of the fleet. Who owns its egresses is on disk before it can ask for work.
    async fn welcome(&mut self, join: Join, epoch: u64) -> Result<(), Closed> {
        let patterns = join.agent.services.clone();
        // What it has counted counts, also for services that this start has not needed yet.
        for entry in &join.ledgers {
            let _ = self.shared.services.revive(&entry.service);
        }
        for call in &join.in_flight {
            let _ = self.shared.services.revive(&call.service);
        }
        let internal = || Closed { code: 1012, reason: "the coordinator is stopping".to_owned() };
        let (reply, welcomed) = oneshot::channel();
        let sent = self.shared.drive.send(DriveMessage::Join(Box::new(join), reply)).await;
        sent.map_err(|_| internal())?;
        let welcomed = welcomed.await.map_err(|_| internal())?;
        let store = &self.shared.store;
        let stored = async {
            let ledgers = store.save_ledgers(welcomed.rows).await?;
            let owners = store.save_egresses(welcomed.owners).await?;
            let offered = store.save_epoch(self.agent, epoch, false).await?;
            ledgers.await?;
            owners.await?;
            offered.await
        };
        let stored = stored.await;
        stored.map_err(|error| Closed { code: 1011, reason: error.to_string() })?;
        // Whoever was revoked while it logged in was in no session that could be ended: it is in one now.
        let row = store.agent(self.agent).await.map_err(|error| Closed::internal(error.to_string()))?;
        row.ok_or_else(revoked)?;
        let welcome = Welcome {
            epoch,
            services: self.shared.services.policies(0..welcomed.services, &patterns),
            ledgers: welcomed.ledgers,
            egresses: welcomed.egresses,
            heartbeat_ms: u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX),
        };
        let sent = say(&mut self.socket, &CoordinatorMessage::Welcome(welcome)).await;
        sent.map_err(|()| Closed { code: 1011, reason: "the agent takes no frames".to_owned() })
    }

    /// Frames both ways. `Ok`: the agent went away.
    async fn talk(&mut self, mut outgoing: mpsc::Receiver<Outgoing>) -> Result<(), Closed> {
        let stuck = |()| Closed { code: 1011, reason: "the agent takes no frames".to_owned() };
        let mut heard_at = Instant::now();
        let mut ping_at = Instant::now() + HEARTBEAT.mul_f64(0.8 + 0.2 * fastrand::f64());
        loop {
            tokio::select! {
                biased;
                message = outgoing.recv() => match message {
                    Some(Outgoing::Grants(grants)) => self.hand_out(grants).await.map_err(stuck)?,
                    Some(Outgoing::Ack(attempts)) => {
                        say(&mut self.socket, &CoordinatorMessage::Ack(attempts)).await.map_err(stuck)?;
                    }
                    Some(Outgoing::Cancel(attempts)) => {
                        say(&mut self.socket, &CoordinatorMessage::Cancel(attempts)).await.map_err(stuck)?;
                    }
                    Some(Outgoing::Spent(spent)) => {
                        say(&mut self.socket, &CoordinatorMessage::Spent(spent)).await.map_err(stuck)?;
                    }
                    Some(Outgoing::Added(services)) => {
                        say(&mut self.socket, &CoordinatorMessage::Added(services)).await.map_err(stuck)?;
                    }
                    Some(Outgoing::GoingAway(within_ms)) => {
                        let away = CoordinatorMessage::GoingAway { after_ms: 0, within_ms };
                        say(&mut self.socket, &away).await.map_err(stuck)?;
                        return Err(Closed { code: 1001, reason: "the coordinator is stopping".to_owned() });
                    }
                    Some(Outgoing::Probe(asks)) => self.probe(asks).await.map_err(stuck)?,
                    Some(Outgoing::Revoked) => return Err(revoked()),
                    Some(Outgoing::Replaced) => {
                        let reason = "another session of this agent has taken over; is its state dir used twice?";
                        return Err(Closed { code: CLOSE_REPLACED, reason: reason.to_owned() });
                    }
                    None => return Ok(()),
                },
                frame = self.socket.recv() => {
                    heard_at = Instant::now();
                    match frame {
                        Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await?,
                        Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return Ok(()),
                        Some(Ok(Message::Pong(echo))) if !self.probes.is_empty() => self.is_there(&echo),
                        Some(Ok(_)) => self.tell(DriveMessage::Heard(self.agent)).await?,
                    }
                }
                () = sleep_until(heard_at + SILENCE) => return Ok(()),
                () = sleep_until(ping_at) => {
                    ping_at = Instant::now() + HEARTBEAT.mul_f64(0.8 + 0.2 * fastrand::f64());
                    send(&mut self.socket, Message::Ping(Vec::new().into())).await.map_err(stuck)?;
                }
            }
        }
    }

    /// Sends grants, complete with what only this session and the call itself know, in frames that the agent takes.
    async fn hand_out(&mut self, mut grants: Vec<Grant>) -> Result<(), ()> {
        for grant in &mut grants {
            let call = (grant.service.as_str(), grant.egress.as_str());
            grant.seal = self.shared.seals.seal(self.agent, grant.attempt, call);
            grant.headers = self.shared.services.headers(&grant.service).to_vec();
        }
        for frame in frames(grants) {
            say(&mut self.socket, &CoordinatorMessage::Grants(frame)).await?;
        }
        Ok(())
    }

    /// Asks the agent whether it is there.
    async fn probe(&mut self, asks: oneshot::Sender<()>) -> Result<(), ()> {
        if self.probes.len() >= MOST_PROBES {
            // Whoever asks now waits in vain, and is taken for the only one: the others were told.
            return Ok(());
        }
        let ping = fastrand::u64(..).to_be_bytes();
        self.probes.push((ping, asks));
        send(&mut self.socket, Message::Ping(ping.to_vec().into())).await
    }

    fn is_there(&mut self, echo: &[u8]) {
        if let Some(at) = self.probes.iter().position(|(ping, _)| ping == echo) {
            // Whoever asked may have given up.
            let _ = self.probes.swap_remove(at).1.send(());
        }
    }

    /// The results that this agent was granted calls for; the others are worth nothing, and are not to come again.
    async fn sealed(&mut self, mut reports: Vec<Report>) -> Result<Vec<Report>, Closed> {
        let (agent, seals) = (self.agent, &self.shared.seals);
        let forged: Vec<Attempt> = reports
            .extract_if(.., |report| {
                !seals.holds(agent, report.attempt, (&report.service, &report.egress), &report.seal)
            })
            .map(|report| report.attempt)
            .collect();
        if !forged.is_empty() {
            if !std::mem::replace(&mut self.is_warned, true) {
                tracing::warn!(agent = %agent, "results for calls that were never granted to this agent are left out");
            }
            let stuck = |()| Closed::internal("the agent takes no frames".to_owned());
            say(&mut self.socket, &CoordinatorMessage::Ack(forged)).await.map_err(stuck)?;
        }
        Ok(reports)
    }

    async fn hear(&mut self, frame: &str) -> Result<(), Closed> {
        let message = read(frame, &AGENT_KINDS);
        // A hello was said before the number was known.
        let shows = !matches!(message, Ok(AgentMessage::Hello(_)));
        if let Some(epoch) = self.unconfirmed.take_if(|_| shows) {
            // If this fails, the number counts as offered, and any since the last one confirmed will do.
            if let Ok(commit) = self.shared.store.save_epoch(self.agent, epoch, true).await {
                let _ = commit.await;
            }
        }
        match message {
            Ok(AgentMessage::Results(reports)) => {
                let reports = self.sealed(reports).await?;
                let services = &self.shared.services;
                let results = reports.into_iter().map(|report| judge(services, report)).collect();
                let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
                // Nobody closes it.
                let room = Arc::clone(&self.shared.results_room).acquire_many_owned(bytes).await.ok();
                self.tell(DriveMessage::Results { agent: self.agent, results, room }).await
            }
            Ok(AgentMessage::Credit(grants)) => {
                self.tell(DriveMessage::Credit { agent: self.agent, session: self.session, grants }).await
            }
            Ok(AgentMessage::Clock(shown_us)) => {
                self.tell(DriveMessage::Clock { agent: self.agent, session: self.session, shown_us }).await
            }
            Ok(AgentMessage::Draining {}) => {
                self.tell(DriveMessage::Draining { agent: self.agent, session: self.session }).await
            }
            Ok(AgentMessage::Hello(_)) => Ok(()),
            Ok(AgentMessage::Unsupported(kind)) => {
                tracing::warn!(agent = %self.agent, "the agent does not know `{}`", kind.escape_debug());
                Ok(())
            }
            Err(Some(kind)) => {
                let answer = CoordinatorMessage::Unsupported(kind.chars().take(64).collect());
                say(&mut self.socket, &answer)
                    .await
                    .map_err(|()| Closed { code: 1011, reason: "the agent takes no frames".to_owned() })
            }
            Err(None) => Err(Closed { code: 1002, reason: "this is no message".to_owned() }),
        }
    }

    async fn tell(&mut self, message: DriveMessage) -> Result<(), Closed> {
        let stopping = |_| Closed { code: 1012, reason: "the coordinator is stopping".to_owned() };
        self.shared.drive.send(message).await.map_err(stopping)
    }
}

/// Grants in the order they were made, cut so that each frame is small against what an agent takes.
fn frames(grants: Vec<Grant>) -> Vec<Vec<Grant>> {
    let (mut frames, mut bytes) = (Vec::new(), FRAME);
    for grant in grants {
        let fields = grant.headers.iter().map(|(name, Secret(value))| name.len() + value.len());
        let size = grant.question.0.len() + fields.sum::<usize>();
        if bytes.saturating_add(size) > FRAME {
            frames.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(frame) = frames.last_mut() {
            frame.push(grant);
        }
    }
    frames
}

pub(crate) async fn say(socket: &mut WebSocket, message: &CoordinatorMessage) -> Result<(), ()> {
    let text = serde_json::to_string(message)
        .map_err(|error| tracing::error!("a message cannot be written: {error}"))?;
    send(socket, Message::Text(text.into())).await
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), ()> {
    match timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}

async fn close(socket: &mut WebSocket, Closed { code, reason }: Closed) {
    // RFC 6455 5.5: the reason is at most 123 bytes.
    let reason: String = reason.chars().take(120).collect();
    // The agent may be gone already.
    let _ = send(socket, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_wire::value::Bytes;

    #[test]
    fn long_questions_go_in_frames_of_their_own_and_none_is_left_out() {
        let grant = |n: u64, bytes: usize| Grant {
            attempt: Attempt(n, 1, 1, n),
            service: "s".to_owned(),
            egress: "e".to_owned(),
            at: None,
            question: Bytes(vec![b'/'; bytes]),
            headers: Vec::new(),
            seal: String::new(),
            not_after_us: None,
        };
        let sizes = [10, FRAME - 20, 10, 1, 3 * FRAME, FRAME, 5];
        let frames = frames(sizes.iter().zip(0..).map(|(bytes, n)| grant(n, *bytes)).collect());
        let names: Vec<Vec<u64>> =
            frames.iter().map(|frame| frame.iter().map(|grant| grant.attempt.0).collect()).collect();
        assert_eq!(names, [vec![0, 1, 2], vec![3], vec![4], vec![5], vec![6]]);
    }
}
