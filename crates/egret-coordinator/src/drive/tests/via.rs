//! Requests that are passed on: what their callers hear, and that nothing else does.

use egret_lookup::Verdict;
use tokio::sync::oneshot::error::TryRecvError;

use super::super::via::Straight;
use super::*;
use crate::passage::Piece;

const HTTP: &str = "[[service]]\nid = \"w\"\nprotocol = \"http\"\naddress = \"https://w.example\"\n\
                    quotas = [{ units = 10, per = \"1d\" }]\n";

fn via(stage: &Stage, id: u64, may_repeat: bool) -> (Job, oneshot::Receiver<Passed>) {
    let (reply, passed) = oneshot::channel();
    let mut job = Job::new(JobId(id), line(None), W, stage.now + Duration::from_secs(5), b"/a".to_vec());
    job.is_stored = false;
    job.via = Some(Via::new(reply, may_repeat));
    (job, passed)
}

/// A stage with an agent, a request that is passed on, and its grant.
fn granted_via(may_repeat: bool) -> (Stage, mpsc::Receiver<Outgoing>, Attempt, oneshot::Receiver<Passed>) {
    let mut stage = Stage::with(HTTP, Memory::default());
    let (_, mut frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 9 }, stage.now);
    let (job, passed) = via(&stage, 1, may_repeat);
    stage.drive.take(Message::Submit { jobs: vec![job], batch: None }, stage.now);
    stage.turn();
    let attempt = granted(&mut frames)[0].attempt;
    (stage, frames, attempt, passed)
}

fn judged(attempt: Attempt, status: u16, verdict: Verdict) -> Judged {
    let head = Some(vec![("x".to_owned(), Bytes(b"1".to_vec()))]);
    let report = Report { status: Some(status), head, ..report(attempt, CallEnd::Answered) };
    Judged { report, verdict: Some(verdict), answer: None, onward: None, left: None }
}

fn tell(stage: &mut Stage, judged: Judged) {
    stage.drive.take(Message::Results { agent: AgentId(1), results: vec![judged], room: None }, stage.now);
    stage.turn();
}

#[tokio::test]
async fn any_answer_goes_to_the_caller_alone_and_is_acknowledged_at_once() {
    for (status, verdict) in [(200, Verdict::Found), (500, Verdict::Failed), (403, Verdict::Blocked)] {
        let (mut stage, mut frames, attempt, mut passed) = granted_via(true);
        let open = stage.drive.open_jobs.load(Ordering::Relaxed);
        tell(&mut stage, judged(attempt, status, verdict));
        let Ok(Passed::Answer { report, egress, .. }) = passed.try_recv() else { panic!("no answer") };
        assert_eq!((report.status, egress.as_str()), (Some(status), ADDRESS));
        let is_acknowledged = std::iter::from_fn(|| frames.try_recv().ok())
            .any(|frame| matches!(frame, Outgoing::Ack(attempts) if attempts == [attempt]));
        assert!(is_acknowledged && stage.drive.finished.is_empty() && stage.drive.ending.is_empty());
        assert_eq!((stage.drive.jobs.len(), stage.used()), (0, 1));
        assert_eq!(stage.drive.open_jobs.load(Ordering::Relaxed), open - 1);
        tell(&mut stage, judged(attempt, status, Verdict::Found));
        assert!(stage.drive.finished.is_empty(), "told twice it changes nothing");
    }
}

#[tokio::test]
async fn a_refusal_is_not_the_callers_to_hear_while_there_is_time_and_its_end_is_told_with_what_was_tried() {
    let (mut stage, _frames, attempt, mut passed) = granted_via(true);
    let wait = Some(Duration::from_secs(3_600));
    tell(&mut stage, judged(attempt, 429, Verdict::Refused { wait }));
    assert!(matches!(passed.try_recv(), Err(TryRecvError::Empty)));
    stage.now = stage.now + Duration::from_secs(31);
    stage.turn();
    let Ok(Passed::Nothing { state, attempts, .. }) = passed.try_recv() else { panic!("it waits on") };
    assert_eq!((state, attempts.len(), attempts[0].outcome), (EndState::Expired, 1, AttemptOutcome::Refused));
    assert!(stage.drive.finished.is_empty() && stage.drive.jobs.is_empty());
}

#[tokio::test]
async fn a_call_under_way_when_the_wait_is_over_is_still_the_callers() {
    let (mut stage, _frames, attempt, mut passed) = granted_via(false);
    stage.now = stage.now + Duration::from_secs(9);
    stage.turn();
    tell(&mut stage, judged(attempt, 200, Verdict::Found));
    assert!(matches!(passed.try_recv(), Ok(Passed::Answer { .. })));
}

#[tokio::test]
async fn what_changes_something_ends_when_nobody_knows_what_became_of_it_and_the_rest_is_asked_again() {
    for (may_repeat, ends) in [(false, true), (true, false)] {
        let (mut stage, _frames, attempt, mut passed) = granted_via(may_repeat);
        let silent = Judged {
            report: report(attempt, CallEnd::TimedOut),
            verdict: None,
            answer: None,
            onward: None,
            left: None,
        };
        tell(&mut stage, silent);
        let heard = passed.try_recv();
        assert_eq!(matches!(heard, Ok(Passed::Nothing { state: EndState::Failed, .. })), ends, "{heard:?}");

        let (mut stage, _frames, _, mut passed) = granted_via(may_repeat);
        stage.now = stage.now + Duration::from_secs(20);
        stage.turn();
        let heard = passed.try_recv();
        assert_eq!(
            matches!(heard, Ok(Passed::Nothing { state: EndState::Failed, .. })),
            ends,
            "lost: {heard:?}"
        );
    }
    let (mut stage, _frames, attempt, mut passed) = granted_via(false);
    let never = Judged {
        report: report(attempt, CallEnd::Unreachable),
        verdict: None,
        answer: None,
        onward: None,
        left: None,
    };
    tell(&mut stage, never);
    assert!(matches!(passed.try_recv(), Err(TryRecvError::Empty)), "what was never asked may be asked");
}

#[tokio::test]
async fn an_answer_that_begins_goes_to_the_one_who_waits_for_it_and_its_end_is_charged_as_any() {
    let (mut stage, mut frames, attempt, mut passed) = granted_via(false);
    let offered = |stage: &mut Stage, agent: u64, attempt: Attempt, verdict: Verdict| {
        let (to, rest) = mpsc::channel(1);
        let now = stage.now;
        stage.drive.begin(AgentId(agent), judged(attempt, 200, verdict), rest, now).then_some(to)
    };
    let Attempt(job, step, start, count) = attempt;
    assert!(offered(&mut stage, 2, attempt, Verdict::Found).is_none(), "of another agent's egress");
    assert!(offered(&mut stage, 1, Attempt(job, step, start, count + 1), Verdict::Found).is_none());
    assert!(offered(&mut stage, 1, Attempt(job + 1, step, start, count), Verdict::Found).is_none());
    assert!(offered(&mut stage, 1, attempt, Verdict::Refused { wait: None }).is_none(), "others are asked");
    assert!(offered(&mut stage, 1, attempt, Verdict::Blocked).is_none(), "the service is to be paused");
    let (to, rest) = mpsc::channel(1);
    drop(to);
    let now = stage.now;
    assert!(!stage.drive.begin(AgentId(1), judged(attempt, 200, Verdict::Found), rest, now), "given up");
    assert!(matches!(passed.try_recv(), Err(TryRecvError::Empty)));

    let to = offered(&mut stage, 1, attempt, Verdict::Found).expect("it is wanted");
    let Ok(Passed::Answer { rest: Some(mut rest), .. }) = passed.try_recv() else { panic!("no answer") };
    to.try_send(Piece::End).unwrap();
    assert!(matches!(rest.try_recv(), Ok(Piece::End)));
    assert!(offered(&mut stage, 1, attempt, Verdict::Found).is_none(), "once");
    assert_eq!((stage.drive.jobs.len(), stage.drive.is_busy()), (0, true), "the call is still under way");
    tell(&mut stage, judged(attempt, 200, Verdict::Found));
    let is_acknowledged = std::iter::from_fn(|| frames.try_recv().ok())
        .any(|frame| matches!(frame, Outgoing::Ack(attempts) if attempts == [attempt]));
    assert!(is_acknowledged && stage.drive.finished.is_empty());
    assert_eq!((stage.used(), stage.drive.is_busy()), (1, false));
}

#[tokio::test]
async fn a_request_that_every_address_is_refused_comes_back_with_the_refusal() {
    let stage = Stage::with(HTTP, Memory::default());
    let (mut job, _passed) = via(&stage, 1, true);
    let refused = judged(Attempt(1, 1, 2, 1), 429, Verdict::Refused { wait: None });
    let mut passes = |egress, all_answer| {
        matches!(job.straight(&refused, EgressId(egress), |_, _| all_answer, stage.now), Straight::Pass)
    };
    assert!(
        [0, 1, 2].iter().all(|egress| !passes(*egress, false)),
        "nobody is answered there: they are limited"
    );
    assert!(passes(2, true), "others are: it is this request");
}
