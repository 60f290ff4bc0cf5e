//! Equal lookups: one call for all of them, whatever becomes of the one that makes it.

use super::*;
use crate::cache::Reuse;
use egret_lookup::Verdict;
use egret_wire::api::{Answer, AnswerOutcome};

const QUARTER: Duration = Duration::from_secs(900);
const MINUTE: Duration = Duration::from_secs(60);

/// A job that asks what all of these ask.
fn equal(stage: &Stage, id: u64, class: u8, batch: Option<BatchId>, max_age: Duration) -> Job {
    let line = Arc::new(Flow { class, ..(*line(batch)).clone() });
    let deadline = stage.now + MINUTE * u32::try_from(id).unwrap();
    let reuse = Reuse { key: Key::new(&[b"w"], b"q\r\n"), max_age };
    Job::new(JobId(id), line, W, deadline, b"q\r\n".to_vec()).with_reuse(Some(reuse))
}

/// A stage with an agent that takes many grants.
fn staffed() -> (Stage, mpsc::Receiver<Outgoing>) {
    let mut stage = Stage::new(Memory::default());
    let (_, frames) = stage.join(1, 1, ADDRESS, None);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    (stage, frames)
}

fn come(stage: &mut Stage, jobs: impl IntoIterator<Item = u64>, max_age: Duration) {
    let jobs = jobs.into_iter().map(|id| equal(stage, id, 1, None, max_age)).collect();
    stage.drive.take(Message::Submit { jobs, batch: None }, stage.now);
    stage.turn();
}

/// The agent reports an attempt; with an answer that came `since` ago, or too long a one.
pub(super) fn tell(stage: &mut Stage, attempt: Attempt, answer: Option<&str>, since: Duration) {
    let end = if answer.is_some() { CallEnd::Answered } else { CallEnd::TooLong };
    let since_ms = u64::try_from(since.as_millis()).unwrap();
    let report = Report { since_ms, ..report(attempt, end) };
    let verdict = Some(Verdict::Found).filter(|_| answer.is_some());
    let answer = answer
        .map(|text| Answer { raw: Some(text.to_owned()), ..Answer::new(AnswerOutcome::Found, "whois") });
    let results = vec![Judged { report, verdict, answer, onward: None, left: None }];
    stage.drive.take(Message::Results { agent: AgentId(1), results, room: None }, stage.now);
    stage.turn();
}

/// How a job has ended: state, raw answer, whether it was another's, attempts.
fn ended(stage: &Stage, id: u64) -> Option<(EndState, Option<String>, bool, usize)> {
    let outcome = stage.drive.ending.get(&JobId(id))?;
    let result: JobResult = serde_json::from_slice(&outcome.body).unwrap();
    let raw = result.answer.and_then(|answer| answer.raw);
    Some((outcome.state, raw, result.answered_at.is_some(), result.attempts.len()))
}

fn done(raw: &str, cached: bool, attempts: usize) -> Option<(EndState, Option<String>, bool, usize)> {
    Some((EndState::Done, Some(raw.to_owned()), cached, attempts))
}

#[track_caller]
fn one(frames: &mut mpsc::Receiver<Outgoing>) -> (JobId, Attempt) {
    let grants = granted(frames);
    assert_eq!(grants.len(), 1);
    (JobId(grants[0].attempt.0), grants[0].attempt)
}

#[tokio::test]
async fn a_hundred_equal_jobs_are_one_call_and_those_that_come_later_none() {
    let (mut stage, mut frames) = staffed();
    come(&mut stage, 1..=100, QUARTER);
    let (leader, attempt) = one(&mut frames);
    tell(&mut stage, attempt, Some("yes"), Duration::ZERO);
    assert_eq!((leader, ended(&stage, 1)), (JobId(1), done("yes", false, 1)));
    assert!((2..=100).all(|id| ended(&stage, id) == done("yes", true, 0)));
    come(&mut stage, [101], QUARTER);
    assert_eq!((ended(&stage, 101), stage.used()), (done("yes", true, 0), 1));
    assert!(stage.drive.jobs.is_empty() && granted(&mut frames).is_empty());
}

#[tokio::test]
async fn who_insists_on_a_fresh_answer_makes_a_call_and_shares_what_it_brings() {
    let (mut stage, mut frames) = staffed();
    come(&mut stage, 1..=3, Duration::ZERO);
    let attempts: Vec<Attempt> = granted(&mut frames).iter().map(|grant| grant.attempt).collect();
    assert_eq!(attempts.len(), 3);
    come(&mut stage, [4, 5], QUARTER);
    let (leader, _) = one(&mut frames);
    tell(&mut stage, attempts[1], Some("fresh"), Duration::ZERO);
    assert_eq!((leader, ended(&stage, 2)), (JobId(4), done("fresh", false, 1)));
    assert_eq!((ended(&stage, 4), ended(&stage, 5)), (done("fresh", true, 0), done("fresh", true, 0)));
    assert_eq!((ended(&stage, 1), ended(&stage, 3)), (None, None));
}

#[tokio::test]
async fn when_the_leader_fails_the_next_asks() {
    let (mut stage, mut frames) = staffed();
    come(&mut stage, 1..=3, QUARTER);
    let (_, attempt) = one(&mut frames);
    tell(&mut stage, attempt, None, Duration::ZERO);
    assert_eq!(ended(&stage, 1).map(|end| end.0), Some(EndState::Failed));
    let (leader, attempt) = one(&mut frames);
    tell(&mut stage, attempt, Some("yes"), Duration::ZERO);
    assert_eq!((leader, ended(&stage, 3)), (JobId(2), done("yes", true, 0)));
}

#[tokio::test]
async fn what_a_given_up_job_is_answered_is_for_the_others() {
    let (mut stage, mut frames) = staffed();
    come(&mut stage, [1], QUARTER);
    let (_, attempt) = one(&mut frames);
    stage.drive.cancel(JobId(1), stage.now);
    stage.turn();
    granted(&mut frames);
    tell(&mut stage, attempt, Some("late"), Duration::ZERO);
    come(&mut stage, [2], QUARTER);
    assert_eq!(ended(&stage, 1), Some((EndState::Cancelled, None, false, 0)));
    assert_eq!((ended(&stage, 2), stage.used()), (done("late", true, 0), 1));
    assert!(stage.drive.left_over.is_empty());
}

#[tokio::test]
async fn followers_keep_their_own_deadlines_and_can_be_given_up() {
    let (mut stage, mut frames) = staffed();
    come(&mut stage, 1..=4, QUARTER);
    let (_, attempt) = one(&mut frames);
    assert_eq!(stage.drive.asker(JobId(3)), JobId(1));
    assert!(stage.drive.cancel(JobId(3), stage.now));
    stage.now = stage.now + MINUTE * 3;
    stage.drive.expire_followers(stage.now);
    tell(&mut stage, attempt, Some("yes"), Duration::ZERO);
    let states: Vec<_> = (1..=4).map(|id| ended(&stage, id).unwrap().0).collect();
    assert_eq!(states, [EndState::Done, EndState::Expired, EndState::Cancelled, EndState::Done]);
}

#[tokio::test]
async fn a_more_urgent_job_takes_the_lead() {
    let mut stage = Stage::new(Memory::default());
    let jobs = [(1, 2), (2, 0), (3, 1)].map(|(id, class)| equal(&stage, id, class, None, QUARTER));
    stage.drive.take(Message::Submit { jobs: jobs.into(), batch: None }, stage.now);
    assert!((1..=3).all(|id| stage.drive.asker(JobId(id)) == JobId(2)));
    assert_eq!(
        (1..=3).map(|id| stage.drive.scheduler.has_step(JobId(id))).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[tokio::test]
async fn a_batch_that_is_paused_holds_nobody_else_and_goes_on_with_what_came_meanwhile() {
    let (mut stage, mut frames) = (Stage::new(Memory::default()), None);
    let batch = BatchId(9);
    let jobs = vec![equal(&stage, 1, 1, Some(batch), QUARTER), equal(&stage, 2, 1, Some(batch), QUARTER)];
    let progress = Progress::new(2, [0; 4], stage.now);
    stage.drive.take(Message::Submit { jobs, batch: Some((batch, progress)) }, stage.now);
    come(&mut stage, [3], QUARTER);
    assert_eq!(stage.drive.asker(JobId(3)), JobId(1));
    stage.drive.order_batch(batch, BatchOrder::Pause, stage.now);
    let frames = frames.insert(stage.join(1, 1, ADDRESS, None).1);
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    stage.turn();
    let (leader, attempt) = one(frames);
    tell(&mut stage, attempt, Some("yes"), Duration::ZERO);
    assert_eq!((leader, ended(&stage, 1), ended(&stage, 2)), (JobId(3), None, None));
    stage.drive.order_batch(batch, BatchOrder::Run, stage.now);
    stage.turn();
    assert_eq!((ended(&stage, 1), ended(&stage, 2)), (done("yes", true, 0), done("yes", true, 0)));
    assert_eq!(stage.used(), 1);
}

#[tokio::test]
async fn a_batch_that_goes_on_asks_together_again() {
    let mut stage = Stage::new(Memory::default());
    let batch = BatchId(9);
    let jobs = (1..=3).map(|id| equal(&stage, id, 1, Some(batch), QUARTER)).collect();
    let progress = Progress::new(3, [0; 4], stage.now);
    stage.drive.take(Message::Submit { jobs, batch: Some((batch, progress)) }, stage.now);
    stage.drive.order_batch(batch, BatchOrder::Pause, stage.now);
    assert!((1..=3).all(|id| stage.drive.scheduler.has_step(JobId(id))), "each waits in its held flow");
    stage.drive.order_batch(batch, BatchOrder::Run, stage.now);
    assert_eq!((1..=3).filter(|id| stage.drive.scheduler.has_step(JobId(*id))).count(), 1);
    assert!((1..=3).all(|id| stage.drive.asker(JobId(id)) == JobId(1)));
}

#[tokio::test]
async fn an_answer_older_than_others_take_is_not_theirs() {
    let (mut stage, mut frames) = staffed();
    come(&mut stage, 1..=2, QUARTER);
    let (_, attempt) = one(&mut frames);
    tell(&mut stage, attempt, Some("old"), QUARTER * 2);
    assert_eq!((ended(&stage, 1), ended(&stage, 2)), (done("old", false, 1), None));
    assert_eq!(one(&mut frames).0, JobId(2));
}

#[tokio::test]
async fn jobs_read_from_the_store_follow_and_their_flow_ends_with_them() {
    let (mut stage, mut frames) = staffed();
    let flow = line(None);
    stage.drive.take(
        Message::Flows { flows: vec![(flow, W, 3, (stage.now + MINUTE * 3, JobId(3)))], batch: None },
        stage.now,
    );
    let jobs = (1..=3).map(|id| Ok(equal(&stage, id, 1, None, QUARTER))).collect();
    let id = stage.drive.scheduler.next_command();
    let Some(Command::Load { flow, .. }) = id else { panic!("{id:?}") };
    stage.drive.load(flow, None, 32);
    stage.drive.take(Message::Loaded(Loaded { flow, jobs, through: None }), stage.now);
    stage.turn();
    assert_eq!(stage.drive.scheduler.waiting(flow), 0, "one runs, two have no step");
    let (_, attempt) = one(&mut frames);
    tell(&mut stage, attempt, Some("yes"), Duration::ZERO);
    assert!((1..=3).all(|id| ended(&stage, id).is_some_and(|end| end.0 == EndState::Done)));
    assert!(stage.drive.find_flow(&line(None)).is_none());
}

#[tokio::test]
async fn an_answer_is_written_before_the_end_of_the_job_that_got_it() {
    let (mut stage, mut frames) = staffed();
    come(&mut stage, 1..=2, QUARTER);
    let (_, attempt) = one(&mut frames);
    tell(&mut stage, attempt, Some("yes"), Duration::ZERO);
    let written: Vec<_> =
        stage.drive.finished.iter().map(|item| matches!(item, Finished::Answer { .. })).collect();
    assert_eq!(written, [true, false, false]);
}
