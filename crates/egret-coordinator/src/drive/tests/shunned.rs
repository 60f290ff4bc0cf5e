//! What one egress gets nothing for and another one is answered tells a ban from an outage.

use super::*;
use egret_lookup::Verdict;
use egret_wire::api::{Answer, AnswerOutcome};

const PLENTY: &str = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
    quotas = [{ units = 1000, per = \"1s\" }]\ncache_for = \"0s\"\n";
const ADDRESSES: [&str; 2] = ["198.51.100.1", "203.0.113.1"];
/// Longer than any back-off.
const LATER: Duration = Duration::from_secs(10);

struct Pair {
    stage: Stage,
    frames: [mpsc::Receiver<Outgoing>; 2],
}

impl Pair {
    fn new() -> Pair {
        let mut stage = Stage::with(PLENTY, Memory::default());
        let frames = [(1, ADDRESSES[0]), (2, ADDRESSES[1])].map(|(agent, address)| {
            let (_, frames) = stage.join(agent, agent, address, None);
            stage
                .drive
                .take(Message::Credit { agent: AgentId(agent), session: agent, grants: 64 }, stage.now);
            frames
        });
        Pair { stage, frames }
    }

    /// Some time later each egress gets this for whatever it asks: how many calls each made.
    fn round(&mut self, verdicts: [Verdict; 2]) -> [usize; 2] {
        self.stage.now = self.stage.now + LATER;
        self.stage.turn();
        let mut calls = [0; 2];
        for (at, verdict) in verdicts.into_iter().enumerate() {
            let grants = granted(&mut self.frames[at]);
            calls[at] = grants.len();
            let results = grants.iter().map(|grant| judged(grant.attempt, ADDRESSES[at], verdict)).collect();
            let agent = AgentId(at as u64 + 1);
            self.stage.drive.take(Message::Results { agent, results, room: None }, self.stage.now);
        }
        self.stage.turn();
        calls
    }

    fn rests(&self, at: u32) -> bool {
        let seat = self.stage.drive.scheduler.seat(W, EgressId(at));
        seat.and_then(|ledger| ledger.rest()).is_some_and(|rest| rest.until > self.stage.now)
    }
}

fn judged(attempt: Attempt, egress: &str, verdict: Verdict) -> Judged {
    let report = Report { egress: egress.to_owned(), ..report(attempt, CallEnd::Answered) };
    let answer = (verdict == Verdict::Found)
        .then(|| Answer { raw: Some("a".to_owned()), ..Answer::new(AnswerOutcome::Found, "whois") });
    Judged { report, verdict: Some(verdict), answer, onward: None, left: None }
}

#[tokio::test]
async fn an_egress_that_gets_nothing_where_another_is_answered_rests() {
    let mut pair = Pair::new();
    pair.stage.submit(1..=20);
    let mut nothing = 0;
    for _ in 0..4 {
        nothing += pair.round([Verdict::Empty, Verdict::Found])[0];
    }
    assert!(nothing >= 2, "{nothing}");
    assert!(pair.rests(0) && !pair.rests(1));
    assert_eq!(pair.stage.drive.ending.len(), 20, "and every job was answered");
}

#[tokio::test]
async fn what_nobody_is_answered_is_no_egresss_fault() {
    let mut pair = Pair::new();
    pair.stage.submit(1..=4);
    for _ in 0..6 {
        pair.round([Verdict::Empty, Verdict::Empty]);
    }
    assert_eq!(pair.stage.drive.ending.len(), 4, "each has failed");
    assert!(!pair.rests(0) && !pair.rests(1));
}

#[tokio::test]
async fn what_happens_to_an_egress_between_answers_is_an_accident() {
    let mut pair = Pair::new();
    let mut accidents = 0;
    for n in 0..10_u64 {
        pair.stage.submit(n * 10 + 1..=n * 10 + 2);
        accidents += pair.round([Verdict::Empty, Verdict::Found])[0];
        pair.stage.submit(n * 10 + 3..=n * 10 + 9);
        assert!(pair.round([Verdict::Found, Verdict::Found])[0] > 0);
    }
    assert!(accidents > 1 && !pair.rests(0), "{accidents}");
}
