//! A coordinator's connection, listened in on, and with frames that come twice.
//!
//! Frames of a WebSocket are cut out of the stream both ways (RFC 6455 5.2), noted, and passed on whole. A connection that is none
//! passes as it is.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use egret_core::id::JobId;
use egret_wire::agent::{AgentMessage, CallEnd, CoordinatorMessage, Grant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::conn::Conn;
use crate::scene::{Scene, Session, Shared, Who, look, now};

/// How a connection for a session begins.
const SESSION: &[u8] = b"GET /agent/v1/session";
const TEXT: u8 = 0x81;

/// One direction.
#[derive(Default)]
struct Way {
    /// The HTTP head is over.
    is_open: bool,
    /// Not a whole frame yet.
    half: Vec<u8>,
    /// To be passed on.
    ready: VecDeque<u8>,
    /// The connection breaks when that has been passed on.
    is_last: bool,
}

impl Way {
    fn check(&self) -> io::Result<()> {
        if self.is_last { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// Between whom.
#[derive(Clone, Copy)]
struct Line {
    who: Who,
    peer: IpAddr,
    number: u64,
}

/// The connection.
pub(crate) struct Tap {
    inner: Conn,
    scene: Shared,
    line: Line,
    /// `None`: nothing has been read yet.
    is_session: Option<bool>,
    theirs: Way,
    ours: Way,
    is_over: bool,
}

impl Tap {
    pub(crate) fn new(inner: Conn, scene: Shared, who: Who, peer: IpAddr) -> Self {
        let line = Line { who, peer, number: inner.number() };
        Self {
            inner,
            scene,
            line,
            is_session: None,
            theirs: Way::default(),
            ours: Way::default(),
            is_over: false,
        }
    }

    /// Takes in what came one way; `note` is told the text of every frame.
    fn take(way: &mut Way, bytes: &[u8], scene: &Shared, note: impl Fn(&mut Scene, &str)) {
        way.half.extend_from_slice(bytes);
        if !way.is_open {
            let Some(end) = way.half.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            way.ready.extend(way.half.drain(..end + 4));
            way.is_open = true;
        }
        while let Some((length, text)) = frame(&way.half) {
            let frame: Vec<u8> = way.half.drain(..length).collect();
            let mut scene = look(scene);
            let times = match text {
                Some(text) => {
                    note(&mut scene, &text);
                    let one_in = scene.one_doubled_in;
                    if one_in > 0 && fastrand::u64(..one_in) == 0 { 2 } else { 1 }
                }
                None => 1,
            };
            (0..times).for_each(|_| way.ready.extend(&frame));
            let one_in = scene.one_last_in;
            way.is_last |= one_in > 0 && fastrand::u64(..one_in) == 0;
        }
    }

    fn flush_ours(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ours.ready.is_empty() {
            let (front, _) = self.ours.ready.as_slices();
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, front))?;
            self.ours.ready.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.theirs.ready.is_empty() && !this.is_over {
            this.theirs.check()?;
            let mut bytes = [0; 8 << 10];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            let read = read.filled();
            this.is_over = read.is_empty();
            if *this.is_session.get_or_insert(read.starts_with(SESSION)) {
                let line = this.line;
                Self::take(&mut this.theirs, read, &this.scene, |scene, text| heard(scene, line, text));
            } else {
                this.theirs.ready.extend(read);
            }
        }
        let (front, _) = this.theirs.ready.as_slices();
        let length = front.len().min(buf.remaining());
        buf.put_slice(&front[..length]);
        this.theirs.ready.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_session != Some(true) {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        }
        ready!(this.flush_ours(cx))?;
        this.ours.check()?;
        let line = this.line;
        Self::take(&mut this.ours, buf, &this.scene, |scene, text| said(scene, line, text));
        // What does not leave now is flushed before anything more is taken.
        if let Poll::Ready(flushed) = this.flush_ours(cx) {
            flushed?;
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.flush_ours(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.flush_ours(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

/// The first frame of some bytes: its length, and what it says if that is a text.
fn frame(bytes: &[u8]) -> Option<(usize, Option<String>)> {
    let (kind, second) = (*bytes.first()?, *bytes.get(1)?);
    let wide = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
    let length = if wide == 0 { usize::from(second & 0x7f) } else { number(bytes.get(2..2 + wide)?) };
    let masked = second & 0x80 != 0;
    let begin = 2 + wide + if masked { 4 } else { 0 };
    let body = bytes.get(begin..begin + length)?;
    let text = (kind == TEXT).then(|| match masked {
        true => {
            let mask = &bytes[begin - 4..begin];
            body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
        }
        false => body.to_vec(),
    });
    Some((begin + length, text.map(|text| String::from_utf8(text).unwrap())))
}

/// A coordinator spoke.
fn said(scene: &mut Scene, line: Line, text: &str) {
    let Line { who, peer, number } = line;
    tracing::debug!("{:?}: {who:?} to {peer}: {text}", now());
    match serde_json::from_str(text) {
        Ok(CoordinatorMessage::Welcome(welcome)) => {
            scene.sessions.insert(number, Session { who, epoch: welcome.epoch, clock: None });
        }
        Ok(CoordinatorMessage::Grants(grants)) => {
            grants.into_iter().for_each(|grant| give(scene, line, grant));
        }
        Ok(CoordinatorMessage::Ack(attempts)) if who == Who::Original => {
            let answered = attempts.iter().filter(|attempt| scene.answered.contains(&(who, **attempt)));
            let safe: Vec<JobId> = answered.map(|attempt| JobId(attempt.0)).collect();
            scene.safe.extend(safe);
        }
        _ => {}
    }
}

fn give(scene: &mut Scene, Line { who, peer, number }: Line, grant: Grant) {
    let job = JobId(grant.attempt.0);
    if who == Who::Original && scene.safe.contains(&job) {
        scene.object(format!("{job} is asked again although its answer was safe"));
    }
    let session = scene.sessions.get(&number).copied();
    let Some((session, not_after_us)) = session.zip(grant.not_after_us) else {
        return scene.object("a grant without a session or a deadline");
    };
    let Some((showed, heard_at)) = session.clock else {
        return scene.object("a grant to an agent whose clock was not told");
    };
    let not_after = heard_at + Duration::from_micros(not_after_us.saturating_sub(showed));
    let call = (peer, grant.service.clone(), grant.question.0);
    scene.given.entry(call).or_default().push((not_after, session));
    scene.grants.push((now(), who, peer, grant.attempt, grant.service));
}

/// An agent spoke.
fn heard(scene: &mut Scene, Line { who, peer, number }: Line, text: &str) {
    tracing::debug!("{:?}: {peer} to {who:?}: {text}", now());
    match serde_json::from_str(text) {
        Ok(AgentMessage::Clock(shows)) => {
            let Some(session) = scene.sessions.get_mut(&number) else { return };
            session.clock = Some((shows, now()));
            let session = *session;
            let works_in = scene.works_in.entry(peer).or_insert((session, now()));
            if works_in.0.epoch < session.epoch {
                *works_in = (session, now());
            }
        }
        Ok(AgentMessage::Results(reports)) => {
            for report in reports {
                if report.detail.as_deref() == Some("guard_tripped") {
                    scene.object(format!("the guard of {peer} stopped {:?}", report.attempt));
                }
                // Without anything in it the remote was killed: that ends no job.
                if report.end == CallEnd::Answered && !report.answer.0.is_empty() {
                    scene.answered.insert((who, report.attempt));
                }
            }
        }
        _ => {}
    }
}
