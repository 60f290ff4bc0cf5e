//! How close a fleet comes to what its quotas allow, against remotes that count for themselves.
//!
//! `cargo bench -p egret-tests --features bench --bench waves`: for each rule 200 lookups over four
//! agents, one after another, about 70 s in all. The bound is the mean time of a fleet that wastes
//! nothing: each call leaves as soon as the reduced windows of `egret-core` allow, with the remote's
//! latency and none of ours. A remote that refuses bans for 5 s, so every refusal would show twice.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use egret_core::quota::{Counting, Quota, Terms, Window};
use egret_testkit::{Ban, Limit, Rules, Troubles, WhoisRemote};
use egret_tests::{Rig, names, service};
use egret_wire::api::JobState;

const LOOKUPS: usize = 200;
const AGENTS: u8 = 4;
const SECOND: Duration = Duration::from_secs(1);
const NONE: RangeInclusive<Duration> = Duration::ZERO..=Duration::ZERO;
/// Runs whose mean is the bound.
const DRAWS: usize = 500;

/// One rule, as the remote keeps it and as the config states it.
struct Wave {
    name: &'static str,
    limits: Vec<Limit>,
    counting: Counting,
    quotas: Vec<Quota>,
    latency: RangeInclusive<Duration>,
}

#[tokio::main]
async fn main() {
    let strict = Limit::Sliding { units: 5, per: SECOND };
    let long = Limit::Sliding { units: 30, per: 20 * SECOND };
    let phase = Duration::from_millis(370);
    let wave = |name, limits, counting, quotas| Wave { name, limits, counting, quotas, latency: NONE };
    let five = quota(5, SECOND);
    let waves = [
        wave("5 per 1 s, sliding", vec![strict], Counting::Sliding, vec![five.clone()]),
        Wave {
            latency: Duration::ZERO..=SECOND / 5,
            ..wave("the same, answers 0 to 200 ms late", vec![strict], Counting::Sliding, vec![five.clone()])
        },
        wave(
            "5 per 1 s and 30 per 20 s, sliding",
            vec![strict, long],
            Counting::Sliding,
            vec![five.clone(), quota(30, 20 * SECOND)],
        ),
        wave(
            "5 per 1 s, fixed windows",
            vec![Limit::Fixed { units: 5, per: SECOND, phase }],
            Counting::Fixed,
            vec![five.clone()],
        ),
        wave(
            "5 per 1 s, token bucket of 3",
            vec![Limit::TokenBucket { burst: 3, units: 5, per: SECOND }],
            Counting::TokenBucket,
            vec![Quota { burst: Some(3), ..five.clone() }],
        ),
    ];
    println!("| {LOOKUPS} lookups, {AGENTS} agents | bound s | elapsed s | over | answered | refused |");
    println!("|---|---|---|---|---|---|");
    for wave in waves {
        let (elapsed, answered, refused) = wave.run().await;
        let bound = wave.bound().as_secs_f64();
        let over = (elapsed.as_secs_f64() / bound - 1.0) * 100.0;
        let elapsed = elapsed.as_secs_f64();
        println!("| {} | {bound:.2} | {elapsed:.2} | {over:+.1} % | {answered} | {refused} |", wave.name);
    }
}

fn quota(units: u32, per: Duration) -> Quota {
    Quota::new(units, per)
}

impl Wave {
    /// From the submission to the last result; calls answered, calls refused or met by a ban.
    async fn run(&self) -> (Duration, u64, u64) {
        let troubles = Troubles { jitter: self.latency.clone(), ..Troubles::default() };
        let rules = Rules::new().ban(Ban::of(5 * SECOND)).troubles(troubles);
        let rules = self.limits.iter().fold(rules, |rules, limit| rules.limit(*limit));
        let remote = WhoisRemote::new(rules).start().await.expect("loopback has a free port");
        let mut rig = Rig::start(&service("w", remote.addr(), &self.config())).await;
        (2..2 + AGENTS).for_each(|last| rig.agent(last));
        let started = Instant::now();
        let batch = rig.submit("service=w", names(LOOKUPS)).await;
        let results = rig.results(&batch.id).await;
        let elapsed = started.elapsed();
        let done = results.iter().filter(|job| job.state == JobState::Done).count();
        assert_eq!((results.len(), done), (LOOKUPS, LOOKUPS), "{}: not all were answered", self.name);
        let tally = remote.shutdown().await.total.tally;
        (elapsed, tally.answered, tally.refused + tally.banned)
    }

    fn config(&self) -> String {
        let counting = match self.counting {
            Counting::Sliding => "sliding",
            Counting::Fixed => "fixed",
            Counting::TokenBucket => "token-bucket",
            Counting::TwoBucket => "two-bucket",
            Counting::Unknown => "unknown",
        };
        let rule = |quota: &Quota| {
            let burst = quota.burst.map(|burst| format!(", burst = {burst}")).unwrap_or_default();
            format!("{{ units = {}, per = \"{}s\"{burst} }}", quota.units, quota.per.as_secs())
        };
        let quotas: Vec<_> = self.quotas.iter().map(rule).collect();
        format!("counting = \"{counting}\"\nquotas = [{}]", quotas.join(", "))
    }

    /// The mean time of a fleet that wastes nothing.
    fn bound(&self) -> Duration {
        let terms = Terms {
            quotas: self.quotas.clone(),
            counting: self.counting,
            cost: 1,
            concurrency: None,
            cool_down: Duration::ZERO,
            max_cool_down: Duration::ZERO,
            timeout: SECOND,
            linger: Duration::ZERO,
        };
        let windows = terms.limits().windows;
        let mut rng = fastrand::Rng::with_seed(1);
        let total: Duration = (0..DRAWS).map(|_| perfect(&windows, &self.latency, &mut rng)).sum();
        total / u32::try_from(DRAWS).expect("a small number")
    }
}

/// One run of a fleet that sends at the first instant its windows allow: when the last answer is there.
fn perfect(windows: &[Window], latency: &RangeInclusive<Duration>, rng: &mut fastrand::Rng) -> Duration {
    // Answers so far of each egress, the latest first.
    let mut answers = vec![Vec::<Duration>::new(); usize::from(AGENTS)];
    for _ in 0..LOOKUPS {
        let next = |egress: &Vec<Duration>| {
            let free = |window: &Window| {
                let live = egress.get(window.units as usize - 1);
                live.map_or(Duration::ZERO, |answer| *answer + window.span())
            };
            windows.iter().map(free).max().unwrap_or_default()
        };
        let egress = answers.iter_mut().min_by_key(|egress| next(egress)).expect("there are agents");
        let spread = (*latency.end() - *latency.start()).mul_f64(rng.f64());
        let answer = next(egress) + *latency.start() + spread;
        let place = egress.partition_point(|other| *other > answer);
        egress.insert(place, answer);
    }
    answers.iter().filter_map(|egress| egress.first()).max().copied().unwrap_or_default()
}
