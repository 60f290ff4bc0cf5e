use super::*;
use egret_wire::agent::Attempt;
use egret_wire::value::Bytes;

fn job() -> Job {
    let (service, owner, egress) = ("s".to_owned(), String::new(), String::new());
    let line = Arc::new(Flow { service, owner, class: 1, egress, batch: None });
    Job::new(JobId(1), line, ServiceId(0), Instant::from_micros(u64::MAX), b"q\r\n".to_vec())
}

fn judged(end: CallEnd, verdict: Option<Verdict>) -> Judged {
    let report = Report {
        attempt: Attempt(1, 1, 1, 1),
        service: "s".to_owned(),
        egress: "e".to_owned(),
        seal: String::new(),
        end,
        answer: Bytes::default(),
        held_ms: 0,
        took_ms: 0,
        since_ms: 0,
        detail: None,
        ready_in_ms: None,
        status: None,
        headers: Vec::new(),
        head: None,
    };
    Judged { report, verdict, answer: None, onward: None, left: None }
}

fn after(job: &mut Job, judged: Judged, egress: u32, all_answer: bool) -> Next {
    let mut rng = fastrand::Rng::with_seed(1);
    job.after(judged, EgressId(egress), |_, _| all_answer, None, &mut rng, Instant::ZERO)
}

#[test]
fn refusals_never_use_up_tries() {
    let mut job = job();
    for egress in 0..100 {
        let refused = judged(CallEnd::Answered, Some(Verdict::Refused { wait: None }));
        assert!(
            matches!(after(&mut job, refused, egress, false), Next::Again(step) if step.avoid == Some(EgressId(egress)))
        );
    }
}

#[test]
fn a_target_refused_by_three_egresses_that_answer_others_is_hopeless() {
    let mut job = job();
    let refused = || judged(CallEnd::Answered, Some(Verdict::Refused { wait: None }));
    for egress in [0, 0, 1] {
        assert!(matches!(after(&mut job, refused(), egress, true), Next::Again(_)));
    }
    assert!(matches!(after(&mut job, refused(), 2, true), Next::Failed(e) if e.code == "always_refused"));
}

#[test]
fn an_answer_in_no_known_form_counts_when_it_is_given_twice() {
    let mut job = job();
    let odd = |text: &str| {
        let mut judged = judged(CallEnd::Answered, Some(Verdict::Nonsense));
        judged.report.answer = Bytes(text.as_bytes().to_vec());
        let answer = Answer { raw: Some(text.to_owned()), ..Answer::new(AnswerOutcome::Found, "whois") };
        Judged { answer: Some(answer), ..judged }
    };
    assert!(matches!(after(&mut job, odd("a"), 0, false), Next::Again(step) if step.avoid.is_some()));
    assert!(matches!(after(&mut job, odd("b"), 1, false), Next::Again(_)));
    assert!(
        matches!(after(&mut job, odd("b"), 2, false), Next::Done(answer) if answer.raw.as_deref() == Some("b"))
    );
}

#[test]
fn a_failed_answer_is_none_however_often_it_is_given() {
    let mut job = job();
    let failed = || judged(CallEnd::Answered, Some(Verdict::Failed));
    assert_eq!(outcome(&failed()), AttemptOutcome::BadAnswer);
    assert_eq!(settlement(&failed()), Settlement::Answered, "the remote counted it");
    for egress in 0..3 {
        assert!(matches!(after(&mut job, failed(), egress, true), Next::Again(_)));
    }
    assert!(matches!(after(&mut job, failed(), 3, true), Next::Failed(e) if e.code == "bad_answer"));
}

#[test]
fn three_egresses_that_are_answered_others_agree_that_there_is_no_answer() {
    let nothing = || judged(CallEnd::Reset, Some(Verdict::Empty));
    let mut job = job();
    for egress in [0, 0, 1] {
        assert!(matches!(after(&mut job, nothing(), egress, true), Next::Again(_)));
    }
    let agreed = after(&mut job, nothing(), 2, true);
    assert!(matches!(agreed, Next::Failed(e) if e.code == "bad_answer" && e.detail.starts_with("3 ")));
}

#[test]
fn four_failures_end_a_job_and_each_retry_avoids_the_egress() {
    let mut job = job();
    for egress in 0..3 {
        let next = after(&mut job, judged(CallEnd::TimedOut, None), egress, false);
        assert!(matches!(next, Next::Again(step) if step.avoid == Some(EgressId(egress))));
    }
    let last = after(&mut job, judged(CallEnd::Unreachable, None), 3, false);
    assert!(matches!(last, Next::Failed(e) if e.code == "unreachable"));
}

#[test]
fn a_retired_service_fails_the_job_at_once_and_says_what_to_ask_instead() {
    let retired = || judged(CallEnd::Answered, Some(Verdict::Retired));
    assert_eq!(outcome(&retired()), AttemptOutcome::Retired);
    assert_eq!(settlement(&retired()), Settlement::Answered, "the remote counted it");
    assert!(
        matches!(after(&mut job(), retired(), 0, true), Next::Failed(e) if e.code == "retired" && e.detail.contains("`s`") && e.detail.contains("RDAP"))
    );
}

#[test]
fn a_service_that_can_answer_nobody_is_tried_like_a_silent_one() {
    let mut job = job();
    let unavailable = || judged(CallEnd::Answered, Some(Verdict::Unavailable));
    assert_eq!(outcome(&unavailable()), AttemptOutcome::Unavailable);
    assert_eq!(settlement(&unavailable()), Settlement::Unanswered);
    for egress in 0..3 {
        let next = after(&mut job, unavailable(), egress, true);
        assert!(matches!(next, Next::Again(step) if step.avoid == Some(EgressId(egress))));
    }
    let last = after(&mut job, unavailable(), 3, true);
    assert!(matches!(last, Next::Failed(e) if e.code == "unavailable" && e.detail.contains("`s`")));
}

#[test]
fn what_the_remote_may_have_counted_is_charged() {
    assert_eq!(settlement(&judged(CallEnd::NotSent, None)), Settlement::NotSent);
    assert_eq!(settlement(&judged(CallEnd::Unreachable, None)), Settlement::Unanswered);
    assert_eq!(settlement(&judged(CallEnd::Reset, None)), Settlement::Answered);
    assert_eq!(settlement(&judged(CallEnd::TooLong, None)), Settlement::Answered);
}
