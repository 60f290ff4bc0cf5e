//! What an agent's host permits holds whatever the coordinator wants.

use egret_client::JobFilter;
use egret_testkit::{Remote, Rules, WhoisRemote};
use egret_tests::{Rig, names, service};
use egret_wire::api::WhyKind;

async fn remote() -> Remote {
    WhoisRemote::new(Rules::new()).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_asked_for_nothing_but_the_services_that_its_host_permits() {
    let (one, two) = (remote().await, remote().await);
    let quotas = "quotas = [{ units = 20, per = \"1s\" }]";
    let services = [service("w.one", one.addr(), quotas), service("w.two", two.addr(), quotas)].concat();
    let mut rig = Rig::start(&services).await;
    rig.host_with("picky", &["127.0.0.2".to_owned()], rig.address, &["--allow-service", "w.o*"]);
    let first = rig.submit("service=w.one", names(10)).await;
    assert_eq!(rig.results(&first.id).await.len(), 10);
    let second = rig.submit("service=w.two", names(60)).await;
    let filter = JobFilter { batch: Some(second.id.clone()), ..JobFilter::default() };
    let waiting = rig.client.jobs(&filter).await.unwrap().items.remove(0);
    let explained = rig.client.explain(&waiting.id).await.unwrap();
    let no_egress = explained.why.iter().find(|why| why.kind == WhyKind::NoEgress).unwrap();
    assert!(no_egress.detail.contains("does not permit w.two"), "{explained:?}");
    rig.agent(3);
    let jobs = rig.results(&second.id).await;
    let attempts = jobs.iter().flat_map(|job| &job.result.attempts);
    assert_eq!(attempts.filter(|attempt| attempt.egress == "127.0.0.3").count(), 60, "{jobs:?}");
    assert_eq!(two.shutdown().await.total.tally.calls, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_told_of_nothing_but_the_services_of_its_token() {
    let (one, two) = (remote().await, remote().await);
    let quotas = "quotas = [{ units = 20, per = \"1s\" }]";
    let services = [service("w.one", one.addr(), quotas), service("w.two", two.addr(), quotas)].concat();
    let mut rig = Rig::start(&services).await;
    rig.new_token(&["w.one"]).await;
    rig.agent(2);
    rig.new_token(&[]).await;
    rig.agent(3);
    let batches =
        [rig.submit("service=w.one", names(60)).await, rig.submit("service=w.two", names(60)).await];
    let asked_by = async |batch: &str, last: u8| {
        let jobs = rig.results(batch).await;
        let attempts = jobs.iter().flat_map(|job| &job.result.attempts);
        attempts.filter(|attempt| attempt.egress == format!("127.0.0.{last}")).count()
    };
    assert!(asked_by(&batches[0].id, 2).await > 0);
    assert_eq!(asked_by(&batches[1].id, 2).await, 0);
    assert_eq!(two.shutdown().await.total.tally.calls, 60);
}
