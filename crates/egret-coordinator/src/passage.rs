//! Answers that pass through as they come: from an agent's connection to the caller who takes them, and nothing kept.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use egret_core::id::AgentId;
use egret_wire::passage::{AgentMessage, Begins, CoordinatorMessage, PIECE};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout, timeout_at};

use crate::api::Shared;
use crate::judge::judge;
use crate::session::HEARTBEAT;

/// How long an agent may take to say how an answer begins, and to hear whether it is wanted.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much longer than its call an answer may be on its way (chosen: a slow link's buffers).
const SLACK: Duration = Duration::from_secs(10);
/// How often in vain an agent is asked whether it is there, while its service says nothing.
const IN_VAIN: u32 = 2;

/// Connections for answers at a time, those included that have yet to show whose they are (chosen: twice as many as there
/// is room for answers that pass). An agent that finds no place reports the answer whole.
pub(crate) const MOST: usize = 2_048;

/// What follows the beginning of an answer.
#[derive(Debug)]
pub(crate) enum Piece {
    More(Bytes),
    /// It was whole. Without this it was cut.
    End,
}

/// Where the rest of an answer comes from.
pub(crate) type Rest = mpsc::Receiver<Piece>;

/// An answer on its way.
struct Passing {
    to: mpsc::Sender<Piece>,
    /// Bytes that may still come.
    left: u64,
    /// How long it may take.
    within: Duration,
}

/// Takes one answer of an agent's, if somebody waits for it, to its end.
pub(crate) async fn hold(mut socket: WebSocket, shared: Arc<Shared>) {
    let Ok(Some(passing)) = timeout(PATIENCE, begin(&mut socket, &shared)).await else { return };
    let deadline = tokio::time::Instant::now() + passing.within;
    // Whoever takes it hears of the cut when the sender is dropped, and the agent when the socket is.
    let _ = timeout_at(deadline, pass(&mut socket, passing)).await;
}

async fn begin(socket: &mut WebSocket, shared: &Arc<Shared>) -> Option<Passing> {
    let Message::Text(text) = socket.recv().await?.ok()? else { return None };
    let AgentMessage::Begins(begins) = serde_json::from_str(text.as_str()).ok()? else { return None };
    let Begins { agent, report } = *begins;
    let agent: AgentId = agent.parse().ok()?;
    if !shared.seals.holds(agent, report.attempt, (&report.service, &report.egress), &report.seal) {
        tracing::debug!("an answer to a call that was never granted is left out");
        return None;
    }
    let config = shared.services.config(shared.services.find(&report.service)?);
    let within = config.terms.timeout + SLACK;
    let left = config.max_answer.saturating_sub(report.answer.0.len() as u64);
    let judged = judge(&shared.services, report);
    // One piece waits while another is written: whoever reads slowly slows the remote down.
    let (to, rest) = mpsc::channel(1);
    let is_wanted = tokio::select! {
        biased;
        // It waits no longer, and reports the answer another way: the beginning is not to be taken from there.
        _ = socket.recv() => return None,
        is_wanted = shared.ask(move |drive, now| drive.begin(agent, judged, rest, now)) => is_wanted.ok()?,
    };
    let text = serde_json::to_string(&CoordinatorMessage::Wanted(is_wanted)).ok()?;
    socket.send(Message::Text(text.into())).await.ok()?;
    is_wanted.then_some(Passing { to, left, within })
}

async fn pass(socket: &mut WebSocket, Passing { to, mut left, .. }: Passing) {
    let mut in_vain = 0;
    loop {
        let frame = tokio::select! {
            biased;
            () = to.closed() => return,
            frame = socket.recv() => frame,
            () = sleep(HEARTBEAT) => {
                let ping = Message::Ping(Bytes::new());
                if in_vain == IN_VAIN || !matches!(timeout(PATIENCE, socket.send(ping)).await, Ok(Ok(()))) {
                    return;
                }
                in_vain += 1;
                continue;
            }
        };
        in_vain = 0;
        match frame {
            Some(Ok(Message::Binary(bytes))) if bytes.len() > PIECE => return,
            Some(Ok(Message::Binary(bytes))) => {
                let Some(rest) = left.checked_sub(bytes.len() as u64) else { return };
                left = rest;
                if to.send(Piece::More(bytes)).await.is_err() {
                    return;
                }
            }
            Some(Ok(Message::Text(text))) => {
                if let Ok(AgentMessage::Ends {}) = serde_json::from_str(text.as_str()) {
                    // Whoever took it may have gone.
                    let _ = to.send(Piece::End).await;
                }
                return;
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        }
    }
}
