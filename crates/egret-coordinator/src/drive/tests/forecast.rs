//! What is left of a batch, and why its jobs wait.

use egret_core::scheduler::Wait;
use egret_wire::api::WhyKind;

use super::*;

const BATCH: BatchId = BatchId(9);

/// Jobs 1 to `count` of one batch.
fn submit(stage: &mut Stage, count: u64) {
    let (now, deadline) = (stage.now, stage.now + Duration::from_secs(3_600));
    let bulk = Arc::new(Flow { class: 2, ..(*line(Some(BATCH))).clone() });
    let job = |n| Job::new(JobId(n), Arc::clone(&bulk), W, deadline, b"q\r\n".to_vec());
    let batch = Some((BATCH, Progress::new(count, [0; 4], now)));
    stage.drive.take(Message::Submit { jobs: (1..=count).map(job).collect(), batch }, now);
}

fn kinds(stage: &Stage, job: u64) -> Vec<WhyKind> {
    let reasons = stage.drive.reasons(JobId(job), stage.now).unwrap();
    reasons.why.into_iter().map(|why| why.kind).collect()
}

#[tokio::test]
async fn the_last_job_of_a_batch_stands_behind_what_goes_first_and_another_takes_its_place() {
    let mut stage = Stage::new(Memory::default());
    stage.submit(101..=105);
    submit(&mut stage, 20);
    let last = |stage: &mut Stage| {
        let lasts = stage.drive.last_of(BATCH);
        assert_eq!(lasts.len(), 1);
        lasts[0].wait
    };
    assert_eq!(last(&mut stage), Some(Wait { ahead: 24, not_before: None }));
    stage.drive.cancel(JobId(20), stage.now);
    assert_eq!(last(&mut stage), Some(Wait { ahead: 23, not_before: None }));
    (1..=19).for_each(|n| {
        stage.drive.cancel(JobId(n), stage.now);
    });
    assert!(stage.drive.last_of(BATCH).is_empty(), "nothing is open");
}

#[tokio::test]
async fn what_is_in_the_way_changes_as_agents_come_and_quotas_are_spent() {
    let mut stage = Stage::new(Memory::default());
    submit(&mut stage, 13);
    assert_eq!(kinds(&stage, 1), [WhyKind::NoEgress]);
    assert_eq!(kinds(&stage, 2), [WhyKind::NoEgress, WhyKind::Behind]);
    let (_, _frames) = stage.join(1, 1, ADDRESS, None);
    assert_eq!(kinds(&stage, 1), [WhyKind::Agent], "it has given no credit yet");
    stage.drive.take(Message::Credit { agent: AgentId(1), session: 1, grants: 64 }, stage.now);
    assert_eq!(kinds(&stage, 1), [WhyKind::Due]);
    stage.turn();
    assert_eq!(kinds(&stage, 1), [WhyKind::Running]);
    assert_eq!(kinds(&stage, 11), [WhyKind::Quota], "all ten are under way");
    assert_eq!(kinds(&stage, 13), [WhyKind::Behind, WhyKind::Quota]);
    assert!(stage.drive.reasons(JobId(99), stage.now).is_none());
}
