//! An answer handed on as it comes, over a connection of its own: nobody else's results wait behind it, and a caller who
//! reads slowly slows down only this call.

use std::time::Duration;

use egret_core::time::Instant;
use egret_wire::agent::{CallEnd, Grant, Report};
use egret_wire::passage::{AgentMessage, Begins, CoordinatorMessage, MAX_FRAME, PIECE, PROTOCOL};
use egret_wire::value::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes as Piece, Message};

use crate::call::Head;
use crate::clock::Clock;
use crate::link::Link;
use crate::simulated::Wire;
use crate::worker::millis;

/// How long it may take to be told whether an answer is wanted as it comes (chosen: the call's own time runs).
const PATIENCE: Duration = Duration::from_secs(3);

/// How long whoever asked may take nothing (chosen: calls that nobody reads are calls that nobody else has).
const STALL: Duration = Duration::from_secs(30);

/// The way to whoever takes answers as they come.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) link: Link,
    /// Who knocks.
    pub(crate) agent: String,
}

/// The call whose answer may be handed on.
pub(crate) struct Passage<'a> {
    pub(crate) door: &'a Door,
    pub(crate) grant: &'a Grant,
    pub(crate) held: Duration,
    pub(crate) sent_at: Instant,
    pub(crate) clock: Clock,
}

/// Whoever asked is gone, or the way there.
#[derive(Debug)]
pub(crate) struct Gone;

/// An answer that somebody takes as it comes. Dropped before its end, it is cut.
pub(crate) struct Passing(WebSocketStream<Box<dyn Wire>>);

impl Passage<'_> {
    /// Offers an answer that has begun like this, with its first piece; `None`: it is not wanted as it comes, or there is no way.
    pub(crate) async fn open(&self, head: &Head, answer: &[u8]) -> Option<Passing> {
        let report = self.report(head, &answer[..answer.len().min(PIECE)]);
        let begins = AgentMessage::Begins(Box::new(Begins { agent: self.door.agent.clone(), report }));
        let offered = async {
            let text = serde_json::to_string(&begins).ok()?;
            let (mut socket, _) =
                self.door.link.websocket("/agent/v1/answer", PROTOCOL, MAX_FRAME).await.ok()?;
            socket.send(Message::Text(text.into())).await.ok()?;
            loop {
                match socket.next().await?.ok()? {
                    Message::Text(text) => return Some((serde_json::from_str(text.as_str()).ok()?, socket)),
                    Message::Close(_) => return None,
                    _ => {}
                }
            }
        };
        let (CoordinatorMessage::Wanted(is_wanted), socket) = timeout(PATIENCE, offered).await.ok()??;
        is_wanted.then_some(Passing(socket))
    }

    fn report(&self, head: &Head, first: &[u8]) -> Report {
        let Grant { attempt, service, egress, seal, .. } = self.grant;
        Report {
            attempt: *attempt,
            service: service.clone(),
            egress: egress.clone(),
            seal: seal.clone(),
            end: CallEnd::Answered,
            answer: Bytes(first.to_vec()),
            held_ms: millis(self.held),
            took_ms: millis(self.clock.now().since(self.sent_at)),
            since_ms: 0,
            detail: None,
            ready_in_ms: None,
            status: head.status,
            headers: head.headers.clone(),
            head: head.whole.clone(),
        }
    }
}

impl Passing {
    /// Hands on what has come.
    pub(crate) async fn send(&mut self, mut bytes: Piece) -> Result<(), Gone> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            match timeout(STALL, self.0.send(Message::Binary(piece))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Waits until whoever asked is gone.
    pub(crate) async fn gone(&mut self) -> Gone {
        // Nothing is said on the way but that it is over; pings are answered by the reading.
        while let Some(Ok(frame)) = self.0.next().await {
            if frame.is_close() {
                break;
            }
        }
        Gone
    }

    /// All of it has come.
    pub(crate) async fn end(mut self) -> Result<(), Gone> {
        let text = serde_json::to_string(&AgentMessage::Ends {}).map_err(|_| Gone)?;
        self.0.send(Message::Text(text.into())).await.map_err(|_| Gone)
    }
}
