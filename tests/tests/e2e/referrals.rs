//! Lookups of more than one step: each hop its own service and budget, and no answer asked for twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use egret_client::JobFilter;
use egret_testkit::{Answers, HttpRemote, Remote, Rules, WhoisRemote};
use egret_tests::{Rig, service};
use egret_wire::api::{AnswerOutcome, AttemptOutcome, BatchView, JobState, JobView};
use serde_json::{Value, json};

const QUOTA: &str = "quotas = [{ units = 100, per = \"1s\" }]";

/// An RDAP service at `/rdap/` of a remote.
fn rdap(id: &str, address: SocketAddr, rest: &str) -> String {
    format!(
        "[[service]]\nid = \"{id}\"\nprotocol = \"rdap\"\naddress = \"http://localhost:{}/rdap/\"\n\
         allow_private_addresses = true\n{QUOTA}\n{rest}\n",
        address.port()
    )
}

fn nobody() -> SocketAddr {
    // Nothing listens on the discard port.
    SocketAddr::from(([127, 0, 0, 1], 9))
}

fn registrar_record() -> Value {
    json!({
        "objectClassName": "domain", "ldhName": "name0.example",
        "status": ["client hold"],
        "entities": [{"roles": ["registrant"], "vcardArray": ["vcard", [["fn", {}, "text", "A Person"]]]}],
    })
}

fn registry_record(registrar: SocketAddr) -> Value {
    json!({
        "objectClassName": "domain", "ldhName": "name0.example",
        "status": ["active"],
        "events": [{"eventAction": "expiration", "eventDate": "2031-02-03T04:05:06Z"}],
        "entities": [{"roles": ["registrar"], "vcardArray": ["vcard", [["fn", {}, "text", "Example Registrar"]]]}],
        "links": [{"rel": "related", "type": "application/rdap+json",
                   "href": format!("http://localhost:{}/rdap/domain/name0.example", registrar.port())}],
    })
}

async fn remote(answer: Value) -> Remote {
    let table = HashMap::from([("/rdap/domain/name0.example".to_owned(), answer.to_string().into_bytes())]);
    HttpRemote::new(Rules::new()).answers(Answers::Table(table)).start().await.unwrap()
}

/// A registry and a registrar, over RDAP, and one agent.
async fn rig() -> (Rig, Remote, Remote) {
    let registrar = remote(registrar_record()).await;
    let registry = remote(registry_record(registrar.addr())).await;
    let services = rdap("registry", registry.addr(), "zones = [\"example\"]")
        + &rdap("registrar", registrar.addr(), "zones = [\"nobody.invalid\"]");
    let mut rig = Rig::start(&services).await;
    rig.agent(2);
    rig.await_agents(1).await;
    (rig, registry, registrar)
}

async fn only(rig: &Rig, batch: &BatchView) -> JobView {
    rig.results(&batch.id).await.remove(0)
}

fn asked(job: &JobView) -> Vec<&str> {
    job.result.attempts.iter().map(|attempt| attempt.service.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_asked_of_the_registry_and_then_of_its_registrar() {
    let (rig, registry, registrar) = rig().await;
    let batch = rig.submit("lookup=domain", "name0.example\n").await;
    let job = only(&rig, &batch).await;
    assert_eq!((job.state, asked(&job)), (JobState::Done, vec!["registry", "registrar"]), "{job:?}");
    let answer = job.result.answer.unwrap();
    assert_eq!((answer.outcome, answer.protocol.as_str()), (AnswerOutcome::Found, "rdap"));
    assert_eq!(answer.registry.unwrap().service, "registry");
    let record = answer.record.unwrap();
    assert_eq!(record["status"], json!(["ok"]), "the registry's word");
    assert_eq!(record["registrar"]["name"], json!("Example Registrar"));
    assert_eq!(record["events"][0]["eventDate"], json!("2031-02-03T04:05:06Z"));
    assert_eq!(record["entities"][0]["name"], json!("A Person"), "the registrar's");
    // Each hop has a budget of its own.
    for service in ["registry", "registrar"] {
        let quota = rig.client.quota_of(service, false).await.unwrap();
        assert_eq!(quota.services[0].budgets.len(), 1, "{service} was asked from one egress");
    }
    // The answer of both is given again.
    let again = rig.submit("lookup=domain", "name0.example\n").await;
    let job = only(&rig, &again).await;
    assert!(job.cached && job.result.answer.unwrap().registry.is_some());
    let one = rig.submit("lookup=domain&follow=registry", "name0.example\n").await;
    let job = only(&rig, &one).await;
    assert_eq!((asked(&job), job.cached), (vec!["registry"], false));
    assert_eq!(
        (registry.shutdown().await.total.tally.calls, registrar.shutdown().await.total.tally.calls),
        (2, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_between_two_steps_outlives_kill_9_and_asks_nothing_twice() {
    let (mut rig, registry, registrar) = rig().await;
    rig.client.pause_service("registrar", None).await.unwrap();
    let batch = rig.submit("lookup=domain", "name0.example\n").await;
    // It is seen at the registrar once the store has it there.
    let filter = JobFilter { service: Some("registrar".to_owned()), ..JobFilter::default() };
    let job = loop {
        if let Some(job) = rig.client.jobs(&filter).await.unwrap().items.pop() {
            break job;
        }
    };
    assert_eq!((job.state, asked(&job)), (JobState::Queued, vec!["registry"]));
    rig.coordinator.kill();
    rig.restart();
    rig.await_agents(1).await;
    rig.client.resume_service("registrar").await.unwrap();
    let job = only(&rig, &batch).await;
    assert_eq!((job.state, asked(&job)), (JobState::Done, vec!["registry", "registrar"]), "{job:?}");
    assert_eq!(
        (registry.shutdown().await.total.tally.calls, registrar.shutdown().await.total.tally.calls),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registrar_that_does_not_answer_leaves_the_registrys_answer() {
    let registry = remote(registry_record(nobody())).await;
    let services = rdap("registry", registry.addr(), "zones = [\"example\"]")
        + &rdap("registrar", nobody(), "zones = [\"nobody.invalid\"]");
    let mut rig = Rig::start(&services).await;
    rig.agent(2);
    let batch = rig.submit("lookup=domain", "name0.example\n").await;
    let job = only(&rig, &batch).await;
    let answer = job.result.answer.as_ref().unwrap_or_else(|| panic!("{job:?}"));
    assert_eq!((job.state, answer.outcome), (JobState::Done, AnswerOutcome::Found));
    assert_eq!(answer.incomplete.as_ref().unwrap().code, "unreachable");
    assert_eq!(answer.record.as_ref().unwrap()["registrar"]["name"], json!("Example Registrar"));
    assert_eq!(registry.shutdown().await.total.tally.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whois_is_asked_where_rdap_does_not_answer() {
    let whois = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let services = rdap("over-rdap", nobody(), "zones = [\"example\"]")
        + &service("over-whois", whois.addr(), &format!("zones = [\"example\"]\n{QUOTA}"));
    let mut rig = Rig::start(&services).await;
    rig.agent(2);
    let batch = rig.submit("lookup=domain", "name0.example\n").await;
    let job = only(&rig, &batch).await;
    let answer = job.result.answer.as_ref().unwrap_or_else(|| panic!("{job:?}"));
    assert_eq!((job.state, answer.protocol.as_str()), (JobState::Done, "whois"));
    assert_eq!((asked(&job)[0], asked(&job).last().copied()), ("over-rdap", Some("over-whois")));
    assert!(
        job.result.attempts.iter().rev().skip(1).all(|a| a.outcome == AttemptOutcome::Unreachable),
        "{job:?}"
    );
    assert_eq!(whois.shutdown().await.total.tally.calls, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_a_step_of_its_own_and_a_loop_of_them_ends() {
    let there = remote(registrar_record()).await;
    let to = format!("http://localhost:{}/rdap/domain/name0.example", there.addr().port());
    let here = HttpRemote::new(Rules::new()).status(302).header("location", &to).start().await.unwrap();
    // Points to itself.
    let round = HttpRemote::new(Rules::new())
        .status(302)
        .header("location", "/rdap/domain/name0.loop")
        .start()
        .await
        .unwrap();
    let services = rdap("here", here.addr(), "zones = [\"example\"]")
        + &rdap("there", there.addr(), "zones = [\"nobody.invalid\"]")
        + &rdap("round", round.addr(), "zones = [\"loop\"]");
    let mut rig = Rig::start(&services).await;
    rig.agent(2);
    let batch = rig.submit("lookup=domain", "name0.example\nname0.loop\n").await;
    let mut jobs = rig.results(&batch.id).await;
    jobs.sort_by(|a, b| a.target.cmp(&b.target));
    assert_eq!((jobs[0].state, asked(&jobs[0])), (JobState::Done, vec!["here", "there"]), "{:?}", jobs[0]);
    let error = jobs[1].result.error.as_ref().unwrap_or_else(|| panic!("{:?}", jobs[1]));
    assert!(error.code == "bad_answer" && error.detail.contains("asked already"), "{error:?}");
    for (remote, calls) in [(here, 1), (there, 1), (round, 1)] {
        assert_eq!(remote.shutdown().await.total.tally.calls, calls);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_registry_names_the_server_of_its_registrar() {
    let registrar = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let thin = |_: &str| {
        b"Domain Name: EXAMPLE.COM\r\nRegistrar WHOIS Server: whois.markmonitor.com\r\nRegistrar: MarkMonitor Inc.\r\n\
          Creation Date: 1995-08-14T04:00:00Z\r\nName Server: A.EXAMPLE.NET\r\n"
            .to_vec()
    };
    let registry =
        WhoisRemote::new(Rules::new()).answers(Answers::With(Arc::new(thin))).start().await.unwrap();
    // The catalogue knows the one as a thin registry; the other it does not know.
    let services = service("whois.verisign-grs.com", registry.addr(), QUOTA)
        + &service(
            "whois.markmonitor.com",
            registrar.addr(),
            &format!("zones = [\"nobody.invalid\"]\n{QUOTA}"),
        );
    let mut rig = Rig::start(&services).await;
    rig.agent(2);
    let batch = rig.submit("lookup=whois&follow=registrar", "example.com\n").await;
    let job = only(&rig, &batch).await;
    assert_eq!(asked(&job), ["whois.verisign-grs.com", "whois.markmonitor.com"], "{job:?}");
    let record = job.result.answer.unwrap().record.unwrap();
    assert_eq!(record["registrar"]["name"], json!("MarkMonitor Inc."));
    assert_eq!(record["nameservers"][0]["ldhName"], json!("a.example.net"));
    assert_eq!(
        (registry.shutdown().await.total.tally.calls, registrar.shutdown().await.total.tally.calls),
        (1, 1)
    );
}
