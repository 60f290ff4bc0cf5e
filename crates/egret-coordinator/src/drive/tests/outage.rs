//! A service that answers nobody costs no job its tries.

use super::*;
use egret_lookup::Verdict;

const PLENTY: &str = "[[service]]\nid = \"w\"\nprotocol = \"whois\"\naddress = \"w.example:43\"\n\
    quotas = [{ units = 1000, per = \"1s\" }]\n";
/// Longer than any back-off, and than any wait for a trial.
const LATER: Duration = Duration::from_secs(130);

fn staffed() -> (Stage, mpsc::Receiver<Outgoing>) {
    let mut stage = Stage::with(PLENTY, Memory::default());
    let (_, frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    (stage, frames)
}

/// Some time later whatever is granted ends so: the jobs that were asked for.
fn round(stage: &mut Stage, frames: &mut mpsc::Receiver<Outgoing>, end: CallEnd) -> Vec<u64> {
    judged_round(stage, frames, end, Some(Verdict::Empty).filter(|_| end == CallEnd::Answered))
}

fn judged_round(
    stage: &mut Stage,
    frames: &mut mpsc::Receiver<Outgoing>,
    end: CallEnd,
    verdict: Option<Verdict>,
) -> Vec<u64> {
    stage.now = stage.now + LATER;
    stage.turn();
    let attempts: Vec<Attempt> = granted(frames).iter().map(|grant| grant.attempt).collect();
    let judged = |attempt: &Attempt| {
        let report = report(*attempt, end);
        Judged { report, verdict, answer: None, onward: None, left: None }
    };
    let results = attempts.iter().map(judged).collect();
    stage.drive.take(Message::Results { agent: AgentId(1), results, room: None }, stage.now);
    stage.turn();
    attempts.iter().map(|attempt| attempt.0).collect()
}

fn is_down(stage: &Stage) -> bool {
    stage.drive.standing(W).down_since.is_some()
}

#[tokio::test]
async fn neither_the_calls_that_show_an_outage_nor_its_trials_use_up_tries() {
    let (mut stage, mut frames) = staffed();
    stage.submit(1..=2);
    for _ in 0..3 {
        assert!(!is_down(&stage));
        assert_eq!(round(&mut stage, &mut frames, CallEnd::TimedOut).len(), 2);
    }
    assert!(is_down(&stage), "six calls, three of each job");
    for _ in 0..12 {
        assert_eq!(round(&mut stage, &mut frames, CallEnd::Unreachable).len(), 1, "one trial");
    }
    // An empty answer is one; it uses up a try like any other.
    let back = round(&mut stage, &mut frames, CallEnd::Answered);
    assert!(!is_down(&stage));
    let mut ends = [4, 4];
    ends[back[0] as usize - 1] -= 1;
    for _ in 0..8 {
        for job in round(&mut stage, &mut frames, CallEnd::Answered) {
            ends[job as usize - 1] -= 1;
            let has_ended = stage.drive.ending.contains_key(&JobId(job));
            assert_eq!(has_ended, ends[job as usize - 1] == 0, "job {job} has all its tries: {ends:?}");
        }
    }
    assert_eq!(ends, [0, 0]);
}

#[tokio::test]
async fn silence_that_an_answer_ends_uses_up_tries() {
    let (mut stage, mut frames) = staffed();
    stage.submit(1..=1);
    for end in [CallEnd::TimedOut, CallEnd::Answered, CallEnd::TimedOut] {
        assert_eq!(round(&mut stage, &mut frames, end), [1]);
    }
    // Five more calls without an answer make an outage: what came before the answer stays spent.
    stage.submit(2..=6);
    round(&mut stage, &mut frames, CallEnd::TimedOut);
    assert!(is_down(&stage) && !stage.drive.ending.contains_key(&JobId(1)));
    let mut tries = 0;
    while !stage.drive.ending.contains_key(&JobId(1)) {
        tries += round(&mut stage, &mut frames, CallEnd::Answered).iter().filter(|job| **job == 1).count();
        assert!(tries <= 2, "two of four were spent");
    }
    assert_eq!(tries, 2);
}

#[tokio::test]
async fn a_service_that_says_it_can_answer_nobody_is_down_like_a_silent_one() {
    let (mut stage, mut frames) = staffed();
    stage.submit(1..=2);
    let unavailable = |stage: &mut Stage, frames: &mut mpsc::Receiver<Outgoing>| {
        judged_round(stage, frames, CallEnd::Answered, Some(Verdict::Unavailable))
    };
    for _ in 0..3 {
        assert!(!is_down(&stage));
        assert_eq!(unavailable(&mut stage, &mut frames).len(), 2);
    }
    assert!(is_down(&stage), "six calls, three of each job");
    for _ in 0..12 {
        assert_eq!(unavailable(&mut stage, &mut frames).len(), 1, "one trial, and it costs no tries");
    }
    assert!(stage.drive.ending.is_empty());
    round(&mut stage, &mut frames, CallEnd::Answered);
    assert!(!is_down(&stage));
}

#[tokio::test]
async fn a_retired_service_ends_its_job_and_is_not_down() {
    let (mut stage, mut frames) = staffed();
    stage.submit(1..=1);
    assert_eq!(judged_round(&mut stage, &mut frames, CallEnd::Answered, Some(Verdict::Retired)), [1]);
    assert!(!is_down(&stage) && stage.drive.ending.contains_key(&JobId(1)));
}
