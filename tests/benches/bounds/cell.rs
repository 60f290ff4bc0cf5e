//! Cells over real sockets: a rule, a way of counting, a jitter.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use egret_core::quota::Limits;
use egret_testkit::{Remote, Rules, Troubles, WhoisRemote};
use egret_tests::delay::Delay;
use egret_tests::rule::{COUNTINGS, Rule, SECOND};
use egret_tests::{Rig, ideal, names, service};
use futures_util::{StreamExt, stream};

pub(crate) const EGRESSES: u8 = 16;
/// How long a cell is measured, from its first call.
const LASTS: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 4;

pub(crate) async fn table() {
    let rules: [&[(u32, u64)]; 3] = [&[(1, 1)], &[(10, 1)], &[(5, 1), (40, 15)]];
    let mut cells = Vec::new();
    for quotas in rules {
        for counting in COUNTINGS {
            for jitter_ms in [0, 50, 200] {
                let jitter = Duration::from_millis(jitter_ms);
                cells.push(Cell { rule: Rule::new(counting, quotas), jitter, further: Duration::ZERO });
            }
        }
    }
    println!(
        "\n| {EGRESSES} egresses, 20 s | counting | jitter each way | mean answer | bound | sent | refused | of the bound |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut figures =
        stream::iter(cells).map(|cell| async move { cell.run().await.row(&cell) }).buffered(AT_ONCE);
    while let Some(row) = figures.next().await {
        println!("{row}");
    }
}

/// One fleet against one remote.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) rule: Rule,
    /// Up to this much each way between agent and remote.
    pub(crate) jitter: Duration,
    /// How much further away the coordinator is, each way.
    pub(crate) further: Duration,
}

pub(crate) struct Figures {
    pub(crate) bound: usize,
    pub(crate) sent: usize,
    pub(crate) refused: u64,
    mean_answer: Duration,
}

impl Cell {
    pub(crate) async fn run(&self) -> Figures {
        let remote = self.remote().await;
        let mut rig = Rig::start(&service("w", remote.addr(), &self.rule.config())).await;
        let delay = Delay::start(rig.address, self.further).await;
        let via: SocketAddr = if self.further.is_zero() { rig.address } else { delay.address };
        let egresses: Vec<String> = sources().map(|ip| ip.to_string()).collect();
        rig.host("agent", &egresses, via);
        let limits = self.rule.terms().limits();
        let enough = ideal::sends(&limits, LASTS + 5 * SECOND, || Duration::ZERO).len();
        let batch = rig.submit("service=w", names(enough * usize::from(EGRESSES) + 100)).await;
        let first = loop {
            if let Some(first) = remote.score().total.first_arrival {
                break first;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        tokio::time::sleep(LASTS + SECOND).await;
        let score = remote.score();
        let within = |ip: IpAddr| remote.arrivals(ip).iter().filter(|at| **at <= first + LASTS).count();
        let sent = sources().map(within).sum();
        let answers = answer_times(&rig, &batch.id).await;
        let mean_answer = answers.iter().sum::<Duration>() / u32::try_from(answers.len().max(1)).unwrap_or(1);
        let bound = bound(&limits, &answers);
        Figures { bound, sent, refused: score.total.tally.refused, mean_answer }
    }

    async fn remote(&self) -> Remote {
        let jitter: RangeInclusive<Duration> = Duration::ZERO..=self.jitter;
        let troubles = Troubles { way_in: jitter.clone(), jitter, ..Troubles::default() };
        let rules = self.rule.limits().into_iter().fold(Rules::new().troubles(troubles), Rules::limit);
        WhoisRemote::new(rules).start().await.expect("loopback has a free port")
    }
}

impl Figures {
    pub(crate) fn row(&self, cell: &Cell) -> String {
        let Self { bound, sent, refused, mean_answer } = self;
        format!(
            "| {} | {} | 0 to {} ms | {} ms | {bound} | {sent} | {refused} | {:.1} % |",
            cell.rule.words(),
            cell.rule.counting(),
            cell.jitter.as_millis(),
            mean_answer.as_millis(),
            self.utilisation() * 100.0
        )
    }

    pub(crate) fn utilisation(&self) -> f64 {
        self.sent as f64 / self.bound as f64
    }
}

fn sources() -> impl Iterator<Item = IpAddr> {
    (2..2 + EGRESSES).map(|last| Ipv4Addr::new(127, 0, 0, last).into())
}

/// How long each answered call of the batch took, as its agent saw it.
async fn answer_times(rig: &Rig, batch: &str) -> Vec<Duration> {
    let mut results = rig.client.results(batch, false, None);
    let mut times = Vec::new();
    while let Some(line) = results.next().await {
        let attempts = line.expect("results are readable").job.result.attempts;
        // They come in whole milliseconds, rounded down.
        times.extend(attempts.iter().map(|attempt| Duration::from_micros(attempt.took_ms * 1_000 + 500)));
    }
    times
}

/// What senders with these answer times would have sent at the most.
fn bound(limits: &Limits, answers: &[Duration]) -> usize {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut took = || if answers.is_empty() { Duration::ZERO } else { answers[rng.usize(..answers.len())] };
    (0..EGRESSES).map(|_| ideal::sends(limits, LASTS, &mut took).len()).sum()
}
