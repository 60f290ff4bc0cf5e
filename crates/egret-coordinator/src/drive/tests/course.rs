//! Jobs that go from step to step: what belongs to a step they have left changes nothing.

use super::*;
use crate::api::Spec;
use crate::drive::Course;
use egret_lookup::{Onward, Place, Verdict};
use egret_wire::api::{Answer, AnswerOutcome};

const SERVICES: &str = "[[service]]\nid = \"w\"\nprotocol = \"rdap\"\naddress = \"https://w.example/\"\n\
    quotas = [{ units = 100, per = \"1s\" }]\n\
    [[service]]\nid = \"r\"\nprotocol = \"rdap\"\naddress = \"https://r.example/\"\n\
    quotas = [{ units = 100, per = \"1s\" }]\n";

fn answer() -> Answer {
    Answer { raw: Some("{}".to_owned()), ..Answer::new(AnswerOutcome::Found, "rdap") }
}

fn onward(root: &str, path: &str, is_redirect: bool) -> Option<Onward> {
    Some(Onward { to: Place::Rdap { root: root.to_owned(), path: path.to_owned() }, is_redirect })
}

struct Road {
    stage: Stage,
    frames: mpsc::Receiver<Outgoing>,
}

impl Road {
    /// One job on its way to the registry.
    fn new() -> Road {
        let mut stage = Stage::with(SERVICES, Memory::default());
        let (_, frames) = stage.join(1, 1, ADDRESS, None);
        stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
        let spec: Spec = serde_json::from_value(serde_json::json!({
            "lookup": "domain", "target": "a.example", "priority": "normal", "deadline_ms": 1,
        }))
        .unwrap();
        let course = Some(Box::new(Course { spec, fallback: None }));
        let deadline = stage.now + Duration::from_secs(3_600);
        let job =
            Job::new(JobId(1), line(None), W, deadline, b"/domain/a.example".to_vec()).with_course(course);
        stage.drive.take(Message::Submit { jobs: vec![job], batch: None }, stage.now);
        Road { stage, frames }
    }

    /// The only call that is granted.
    fn granted(&mut self) -> Grant {
        self.stage.turn();
        let mut grants = granted(&mut self.frames);
        assert_eq!(grants.len(), 1, "{grants:?}");
        grants.remove(0)
    }

    fn answered(&mut self, grant: &Grant, onward: Option<Onward>) {
        let report = Report { service: grant.service.clone(), ..report(grant.attempt, CallEnd::Answered) };
        let answer = Some(answer());
        let results = vec![Judged { report, verdict: Some(Verdict::Found), answer, onward, left: None }];
        self.stage.drive.take(Message::Results { agent: AgentId(1), results, room: None }, self.stage.now);
        self.stage.turn();
    }

    fn moves(&mut self) -> usize {
        self.stage.drive.finished.iter().filter(|finished| matches!(finished, Finished::Moved { .. })).count()
    }
}

#[tokio::test]
async fn a_result_of_a_step_that_was_left_changes_nothing() {
    let mut road = Road::new();
    let first = road.granted();
    road.answered(&first, onward("https://r.example/", "/domain/a.example", false));
    let second = road.granted();
    assert_eq!((&*first.service, &*second.service, road.moves()), ("w", "r", 1));
    // It comes again, because its acknowledgement was lost.
    road.answered(&first, None);
    assert!(road.stage.drive.jobs.contains_key(&JobId(1)) && granted(&mut road.frames).is_empty());
    road.answered(&second, None);
    assert!(!road.stage.drive.jobs.contains_key(&JobId(1)));
}

#[tokio::test]
async fn a_redirect_within_a_service_is_another_step_of_it() {
    let mut road = Road::new();
    let first = road.granted();
    road.answered(&first, onward("https://w.example/", "/v2/a.example", true));
    let second = road.granted();
    assert_eq!((&*second.service, second.question.0.as_slice()), ("w", &b"/v2/a.example"[..]));
    let open = road.stage.drive.jobs.get(&JobId(1)).unwrap();
    assert!(!open.is_of_this_step(W, first.attempt) && open.is_of_this_step(W, second.attempt));
    // Back to where it was: nobody is asked in circles.
    road.answered(&second, onward("https://w.example/", "/domain/a.example", true));
    assert!(!road.stage.drive.jobs.contains_key(&JobId(1)));
}

#[tokio::test]
async fn a_job_takes_four_steps_and_no_more() {
    let mut road = Road::new();
    for step in 1..4 {
        let grant = road.granted();
        road.answered(&grant, onward("https://w.example/", &format!("/{step}"), true));
    }
    let last = road.granted();
    assert_eq!(last.question.0.as_slice(), b"/3");
    road.answered(&last, onward("https://w.example/", "/4", true));
    assert!(!road.stage.drive.jobs.contains_key(&JobId(1)) && granted(&mut road.frames).is_empty());
}
