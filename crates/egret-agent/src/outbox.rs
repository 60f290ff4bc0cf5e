//! Results that the coordinator has not acknowledged yet.
//!
//! A result cost a unit of somebody's quota: it is kept until it is safe on the other side, and sent
//! again on every new session.

use std::collections::BTreeMap;

use egret_core::time::Instant;
use egret_wire::agent::{Attempt, Report};

/// Answers kept beyond this, in bytes, stop the agent from asking for more work (chosen).
const FULL_BYTES: usize = 32 << 20;
/// About how much of it goes into one frame, in bytes (chosen).
const FRAME_BYTES: usize = 1 << 20;

#[derive(Default)]
pub(crate) struct Outbox {
    kept: BTreeMap<Attempt, (Report, Instant)>,
    bytes: usize,
}

impl Outbox {
    /// Keeps a result that ended at `ended_at`.
    pub(crate) fn keep(&mut self, report: Report, ended_at: Instant) {
        self.bytes += size(&report);
        self.kept.insert(report.attempt, (report, ended_at));
    }

    /// Forgets what is safe.
    pub(crate) fn acknowledge(&mut self, attempts: &[Attempt]) {
        for attempt in attempts {
            if let Some((report, _)) = self.kept.remove(attempt) {
                self.bytes -= size(&report);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes > FULL_BYTES
    }

    /// The given results, their ages brought up to date, in frames of a bearable size.
    pub(crate) fn frames(&self, attempts: &[Attempt], now: Instant) -> Vec<Vec<Report>> {
        let mut frames: Vec<Vec<Report>> = Vec::new();
        let mut room = 0usize;
        for (report, ended_at) in attempts.iter().filter_map(|attempt| self.kept.get(attempt)) {
            let size = size(report) + 256;
            if frames.is_empty() || size > room {
                frames.push(Vec::new());
                room = FRAME_BYTES;
            }
            room = room.saturating_sub(size);
            let since_ms = u64::try_from(now.since(*ended_at).as_millis()).unwrap_or(u64::MAX);
            if let Some(frame) = frames.last_mut() {
                frame.push(Report { since_ms, ..report.clone() });
            }
        }
        frames
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.kept.keys().copied().collect()
    }
}

/// What a report holds that a remote chose the length of, in bytes.
fn size(report: &Report) -> usize {
    let fields = report.headers.iter().map(|(name, value)| name.len() + value.len());
    let head = report.head.iter().flatten().map(|(name, value)| name.len() + value.0.len());
    report.answer.0.len() + fields.sum::<usize>() + head.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_wire::agent::CallEnd;
    use egret_wire::value::Bytes;

    fn report(n: u64, bytes: usize) -> Report {
        Report {
            attempt: Attempt(n, 1, 1, n),
            service: "s".to_owned(),
            egress: "e".to_owned(),
            seal: String::new(),
            end: CallEnd::Answered,
            answer: Bytes(vec![b'x'; bytes]),
            held_ms: 0,
            took_ms: 1,
            since_ms: 0,
            detail: None,
            ready_in_ms: None,
            status: None,
            headers: Vec::new(),
            head: None,
        }
    }

    #[test]
    fn a_result_is_offered_until_it_is_acknowledged() {
        let mut outbox = Outbox::default();
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        (1..=3).for_each(|n| outbox.keep(report(n, 600 << 10), at(10)));
        let frames = outbox.frames(&outbox.attempts(), at(35));
        assert_eq!(
            frames.iter().map(Vec::len).collect::<Vec<_>>(),
            [1, 1, 1],
            "none is much over a mebibyte"
        );
        assert_eq!(frames[0][0].since_ms, 25);
        outbox.acknowledge(&[Attempt(2, 1, 1, 2), Attempt(9, 9, 9, 9)]);
        assert_eq!(outbox.attempts(), [Attempt(1, 1, 1, 1), Attempt(3, 1, 1, 3)]);
        (4..60).for_each(|n| outbox.keep(report(n, 1 << 20), at(10)));
        assert!(outbox.is_full());
        outbox.acknowledge(&outbox.attempts());
        assert!(!outbox.is_full() && outbox.bytes == 0);
    }
}
