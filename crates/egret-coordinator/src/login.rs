//! An agent's login: a challenge, who it is, whether it is the only one of its name, and which addresses it proved.
//!
//! Whoever holds an agent's key is that agent, and two that hold it spend one budget twice. They are told apart by what a
//! copy cannot have: a session that lives, or the number of the last one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use egret_core::id::AgentId;
use egret_store::AgentRow;
use egret_wire::agent::{
    AGENT_KINDS, AgentMessage, CLOSE_DOUBLE, CLOSE_UNKNOWN_AGENT, Challenge, CoordinatorMessage, Hello, read,
};
use egret_wire::pattern::MOST_PATTERNS;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::api::Shared;
use crate::drive::Join;
use crate::identity::random_text;
use crate::join::is_signed;
use crate::server::Binding;
use crate::session::{Closed, Outgoing, say};

/// Frames that may wait for a slow agent.
const OUTGOING: usize = 1_024;
/// Addresses one agent may claim.
const MOST_EGRESSES: usize = 1_024;
/// How long the other end of an older session may take to show that it lives; a dead one costs a login this much (chosen).
const PROBE: Duration = Duration::from_secs(3);

static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// An agent that may have a session.
pub(crate) struct Login {
    pub(crate) join: Join,
    pub(crate) outgoing: mpsc::Receiver<Outgoing>,
    /// The number of the session among all of this agent.
    pub(crate) epoch: u64,
}

/// Challenge, hello, proofs. `None`: the agent went away.
pub(crate) async fn login(
    socket: &mut WebSocket,
    binding: Binding,
    shared: &Shared,
) -> Result<Option<Login>, Closed> {
    let binding = binding.0.filter(|_| shared.channel_binding);
    let nonce = random_text::<24>().map_err(Closed::internal)?;
    let challenge = Challenge { nonce, coordinator: shared.id.clone(), bound: binding.is_some() };
    if say(socket, &CoordinatorMessage::Challenge(challenge.clone())).await.is_err() {
        return Ok(None);
    }
    let hello = loop {
        let Some(Ok(frame)) = socket.recv().await else { return Ok(None) };
        let Message::Text(text) = frame else { continue };
        match read(text.as_str(), &AGENT_KINDS) {
            Ok(AgentMessage::Hello(hello)) => break hello,
            _ => return Err(Closed { code: 1002, reason: "the first message must be a hello".to_owned() }),
        }
    };
    let agent = known_agent(&challenge, binding.as_ref(), &hello, shared).await?;
    let epoch = only_one(&agent, hello.epoch, shared).await?;
    if hello.egresses.len() > MOST_EGRESSES {
        return Err(Closed { code: 1008, reason: format!("more than {MOST_EGRESSES} addresses") });
    }
    if hello.permits.len() > MOST_PATTERNS {
        return Err(Closed { code: 1008, reason: format!("more than {MOST_PATTERNS} patterns of services") });
    }
    let mut addresses = Vec::with_capacity(hello.egresses.len());
    for claim in hello.egresses {
        if !shared.proofs.accept(&claim.address, &claim.proof, shared.clock.wall_ms()) {
            return Err(Closed {
                code: 1008,
                reason: format!("the proof of {} does not hold; prove it again", claim.address),
            });
        }
        if !addresses.iter().any(|(address, _)| *address == claim.address) {
            addresses.push((claim.address, claim.memory));
        }
    }
    let (sender, outgoing) = mpsc::channel(OUTGOING);
    let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
    let Hello { version, permits, ledgers, mut in_flight, .. } = hello;
    in_flight
        .retain(|call| shared.seals.holds(agent.id, call.attempt, (&call.service, &call.egress), &call.seal));
    let join = Join { agent, session, version, addresses, permits, ledgers, in_flight, outgoing: sender };
    Ok(Some(Login { join, outgoing, epoch }))
}

async fn known_agent(
    challenge: &Challenge,
    binding: Option<&[u8; 32]>,
    hello: &Hello,
    shared: &Shared,
) -> Result<AgentRow, Closed> {
    let unknown = || {
        Closed {
        code: CLOSE_UNKNOWN_AGENT,
        reason: "this coordinator does not know the agent, or its key is another; remove its state dir and join with a new token"
            .to_owned(),
    }
    };
    let id: AgentId = hello.agent.parse().map_err(|_| unknown())?;
    let row = shared.store.agent(id).await.map_err(|error| Closed::internal(error.to_string()))?;
    let row = row.ok_or_else(unknown)?;
    if !is_signed(&row.public_key, &challenge.to_sign(&hello.agent, binding), &hello.signature) {
        return Err(unknown());
    }
    Ok(row)
}

/// The number of the new session, unless another holds the same key.
async fn only_one(agent: &AgentRow, shown: u64, shared: &Shared) -> Result<u64, Closed> {
    let epoch = match next_epoch(agent.confirmed, agent.offered, shown) {
        Some(epoch) if !lives(agent.id, shared).await => epoch,
        is_new => {
            let why =
                if is_new.is_some() { "while its session lives" } else { "after a later session of it" };
            tracing::warn!(
                agent = agent.name,
                "a copy of the key of {} was shown {why}; it was refused. If a host was cloned, give the clone a state dir of its own; \
                 if the key was stolen, revoke the agent and let it join anew",
                agent.id
            );
            // What is not written down is in the log.
            if let Ok(commit) = shared.store.note_double(agent.id, shared.clock.wall_ms()).await {
                let _ = commit.await;
            }
            let reason = "its key is in use elsewhere; give this agent its own state dir and a new token";
            return Err(Closed { code: CLOSE_DOUBLE, reason: reason.to_owned() });
        }
    };
    if shown > agent.offered {
        tracing::warn!(
            agent = agent.name,
            "{} has had later sessions than this store knows of: was it restored from a copy?",
            agent.id
        );
    }
    Ok(epoch)
}

/// The number of the next session of an agent that shows the number of its last one. `None`: another one has come later with
/// its key. An offer may have been lost, so that any number since the last one confirmed will do.
fn next_epoch(confirmed: u64, offered: u64, shown: u64) -> Option<u64> {
    (shown >= confirmed).then(|| offered.max(shown).saturating_add(1))
}

/// Whether the other end of the agent's session answers; without one nobody does.
async fn lives(agent: AgentId, shared: &Shared) -> bool {
    let Some(session) = shared.sessions.get(&agent).map(|session| session.clone()) else { return false };
    let (there, answer) = oneshot::channel();
    session.try_send(Outgoing::Probe(there)).is_ok() && matches!(timeout(PROBE, answer).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_welcome_is_no_copy_and_a_number_from_before_is() {
        for (confirmed, offered, shown, next) in [
            (0, 0, 0, Some(1)),
            (1, 1, 1, Some(2)),
            // The welcome of 2 was lost, or its confirmation, or both of 2 and 3.
            (1, 2, 1, Some(3)),
            (1, 2, 2, Some(3)),
            (1, 3, 2, Some(4)),
            // Somebody else has come as 2 meanwhile.
            (2, 2, 1, None),
            (2, 5, 0, None),
            // The store is older than the agent.
            (1, 1, 7, Some(8)),
        ] {
            assert_eq!(next_epoch(confirmed, offered, shown), next, "{confirmed} {offered} {shown}");
        }
    }
}
