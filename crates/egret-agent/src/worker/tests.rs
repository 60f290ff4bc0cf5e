//! The worker in virtual time. The service's address is one that no call may go to, so that a grant ends `not_sent` once
//! its gate has let it through, and `withdrawn` if it has not.

use egret_core::scheduler::LONGEST_HOLD;
use egret_wire::agent::{CallQuota, Counting};
use egret_wire::value::Span;
use proptest::prelude::*;
use tokio::time::sleep_until;

use super::*;
use crate::link::{Link, PLAIN};

const EGRESS: &str = "192.0.2.1";

fn policy(units: u32) -> ServicePolicy {
    ServicePolicy {
        id: "s".to_owned(),
        protocol: Protocol::Whois,
        address: "10.0.0.1:43".to_owned(),
        quotas: vec![CallQuota { units, per: Span(Duration::from_secs(1)), burst: None }],
        is_careful: false,
        ceiling: None,
        counting: Counting::Sliding,
        concurrency: None,
        timeout_ms: 1_000,
        linger_ms: 0,
        max_answer: 1_024,
        allow_private_addresses: false,
    }
}

fn grant(n: u64, not_after_us: Option<u64>) -> Grant {
    let (service, egress, question) = ("s".to_owned(), EGRESS.to_owned(), Bytes(b"a\r\n".to_vec()));
    let (attempt, seal, headers) = (Attempt(n, 1, 1, n), String::new(), Vec::new());
    Grant { attempt, service, egress, at: None, question, headers, seal, not_after_us }
}

fn worker(clock: Clock, units: u32) -> Worker {
    let link = Link::new("http://127.0.0.1:1", PLAIN, false, Sources::default()).unwrap();
    let door = Door { link, agent: "agt_1".to_owned() };
    let mut worker =
        Worker::new(Books::new(clock), clock, Judge::default(), Vec::new(), Arc::default(), door);
    worker.set_policy(vec![policy(units)]);
    let locals = BTreeMap::from([(EGRESS.to_owned(), EGRESS.parse().unwrap())]);
    worker.begin(locals, Vec::new(), Vec::new());
    worker
}

/// Runs the worker until then, and notes when each grant was let through, or that it was not.
async fn run(worker: &mut Worker, until: Instant, seen: &mut BTreeMap<u64, Option<Instant>>) {
    loop {
        let clock = worker.clock;
        for report in worker.fresh_results().into_iter().flatten() {
            let has_left = report.end == CallEnd::NotSent;
            seen.insert(report.attempt.0, has_left.then(|| clock.now()));
        }
        let wake_at = worker.wake_at().unwrap_or(until).min(until);
        tokio::select! {
            biased;
            Some(ended) = worker.next_ended() => worker.finish(ended),
            () = sleep_until(clock.deadline(wake_at)) => {
                if wake_at == until {
                    return;
                }
                worker.wake();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_the_host_does_not_permit_is_refused_whatever_the_coordinator_grants() {
    for (permits, reason) in [("whois.*", "does not permit"), ("s", "not a public address")] {
        let clock = Clock::start(None);
        let mut worker = worker(clock, 5);
        worker.permits = vec![permits.to_owned()];
        worker.take(vec![grant(1, None)]);
        let mut reports = Vec::new();
        while reports.is_empty() {
            reports.extend(worker.fresh_results().into_iter().flatten());
            if reports.is_empty() {
                let ended = worker.next_ended().await.unwrap();
                worker.finish(ended);
            }
        }
        let report: &Report = &reports[0];
        assert_eq!(report.end, CallEnd::NotSent);
        assert!(report.detail.as_ref().unwrap().contains(reason), "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_the_coordinator_offers_can_be_asked() {
    let clock = Clock::start(None);
    let mut worker = worker(clock, 5);
    worker.set_policy(Vec::new());
    worker.take(vec![grant(1, None)]);
    let reports: Vec<Report> = worker.fresh_results().into_iter().flatten().collect();
    assert!(reports[0].detail.as_ref().unwrap().contains("does not know the service"), "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_comes_again_is_carried_out_once() {
    let mut worker = worker(Clock::start(None), 1);
    (0..2).for_each(|_| worker.take(vec![grant(1, None), grant(2, None)]));
    worker.take(vec![grant(1, None)]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(worker.fresh_results().into_iter().flatten().map(|report| report.attempt.0));
        tokio::select! {
            biased;
            Some(ended) = worker.next_ended() => worker.finish(ended),
            () = sleep_until(tokio::time::Instant::now() + 2 * LONGEST_HOLD) => worker.wake(),
        }
    }
    worker.drain();
    seen.extend(worker.fresh_results().into_iter().flatten().map(|report| report.attempt.0));
    assert_eq!(seen, [1, 2]);
    assert!(worker.books.flying() == 0);
    // A new session may be with a coordinator that has started anew, or with an older one.
    worker.begin(worker.egresses.clone(), Vec::new(), Vec::new());
    worker.is_draining = false;
    worker.take(vec![grant(1, None)]);
    assert_eq!(worker.books.flying() + worker.outbox.attempts().len(), 3);
}

/// A grant: when it is made, and how long it is on its way, in milliseconds.
type Way = (u64, u64);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_grant_leaves_later_than_its_coordinator_counts_with_however_long_it_was_on_its_way(
        words in prop::collection::vec((0..60_000u64, 0..60_000u64), 1..8),
        ways in prop::collection::vec((0..60_000u64, prop_oneof![0..1_500u64, 0..60_000u64]), 1..60),
        units in 1..8u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let left = runtime.unwrap().block_on(leave(&words, &ways, units));
        for (n, (made, way)) in (0u64..).zip(&ways) {
            let (made, arrived) = (ms(*made), ms(*made + *way));
            match left.get(&n).copied().flatten() {
                Some(at) => {
                    prop_assert!(at < made + LONGEST_HOLD, "grant {n} of {made:?} left after {at:?}");
                    prop_assert!(at >= arrived);
                }
                // With room for all, one that came in time leaves.
                None => prop_assert!(ways.len() > units as usize || *way > 900 || words.iter().any(|w| w.1 > 0)),
            }
        }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// When grants left, as durations since the start. Words of the clock and grants take their time; each grant is stamped
/// as `Connected::not_after` in the coordinator does, from the word that was heard last.
async fn leave(words: &[Way], ways: &[Way], units: u32) -> BTreeMap<u64, Option<Duration>> {
    let clock = Clock::start(None);
    let start = clock.now();
    let told = |(said, way): &Way| (*said + *way, (clock.told() + ms(*said)).as_micros());
    let heard: Vec<(u64, u64)> = words.iter().map(told).collect();
    let not_after = |made: u64| {
        let (at, shown) = heard.iter().filter(|(at, _)| *at <= made).max_by_key(|(at, _)| *at)?;
        let since = ms(made - at);
        Some(shown + u64::try_from(((since - since / 1_000) + LONGEST_HOLD).as_micros()).unwrap())
    };
    // An agent tells what its clock shows before it asks for work, so nothing is granted before a word was heard.
    let mut arrivals: Vec<(u64, Grant)> = (0u64..)
        .zip(ways)
        .filter(|(_, (made, _))| not_after(*made).is_some())
        .map(|(n, (made, way))| (made + way, grant(n, not_after(*made))))
        .collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let (mut worker, mut seen) = (worker(clock, units), BTreeMap::new());
    for (count, (at, mut grant)) in (1..).zip(arrivals) {
        // A session keeps the order, so those that overtake others are numbered as they come.
        grant.attempt.3 = count;
        run(&mut worker, start + ms(at), &mut seen).await;
        worker.take(vec![grant]);
    }
    run(&mut worker, start + ms(200_000), &mut seen).await;
    seen.into_iter().map(|(n, at)| (n, at.map(|at| at.since(start)))).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_for_one_address_counts_for_the_one_it_turns_out_to_be() {
    const OTHER: &str = "192.0.2.2";
    let clock = Clock::start(None);
    let mut worker = worker(clock, 2);
    let key = |egress: &str| ("s".to_owned(), egress.to_owned());
    for (n, has_ended) in [(1, true), (2, false)] {
        let now = clock.now();
        let gate = worker.books.open_gate("s", EGRESS).unwrap();
        let limits = gate.limits();
        gate.ledger.reserve(&limits, now);
        assert!(worker.books.leave(&key(EGRESS), (Attempt(n, 1, 1, n), ""), now));
        if has_ended {
            worker.books.back(Attempt(n, 1, 1, n), How::Answered, now);
        }
    }
    assert!(worker.has_moved(EGRESS, OTHER));
    for egress in [EGRESS, OTHER] {
        let gate = worker.books.gate(&key(egress)).unwrap();
        let limits = gate.limits();
        assert_eq!(gate.ledger.used(&limits, 0, clock.now()), 2, "{egress}: one that ended, one under way");
    }
}
