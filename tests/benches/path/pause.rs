//! How soon nothing leaves any more after a batch is paused, or everything is stopped, at full load.

use std::time::{Duration, Instant, SystemTime};

use egret_tests::{Rig, http, names};

use crate::bed::{NULL, part_ms, start_agents};

const JOBS: usize = 2_000_000;
const ROUNDS: usize = 10;
/// Of full load before each order.
const LOAD: Duration = Duration::from_millis(500);
/// Between two looks at a batch that is to come to rest.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn run() {
    println!(
        "\n| order, {ROUNDS} times, null service, 4 agents | jobs/s before it | answered after ms: p50 | max \
         | the last call left after ms: p50 | max |"
    );
    println!("|---|---|---|---|---|---|");
    let mut rig = Rig::start(NULL).await;
    start_agents(&mut rig, 4);
    let batch = rig.submit("service=w", names(JOBS)).await.id;
    let mut bed = Bed { http: http(), cursor: None, rig, batch };
    let (pause, resume) = (format!("batches/{}/pause", bed.batch), format!("batches/{}/resume", bed.batch));
    for (order, opposite) in [(pause.as_str(), resume.as_str()), ("stop", "start")] {
        bed.order(order).await;
        bed.rest().await;
        let (mut rate, mut answered, mut left) = (0.0, Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = bed.done().await;
            bed.order(opposite).await;
            let began = Instant::now();
            tokio::time::sleep(LOAD).await;
            rate += (bed.done().await - before) as f64 / began.elapsed().as_secs_f64() / ROUNDS as f64;
            let ordered_at = SystemTime::now();
            answered.push(bed.order(order).await);
            bed.rest().await;
            left.push(bed.last_left().await.duration_since(ordered_at).unwrap_or_default());
        }
        bed.order(opposite).await;
        answered.sort_unstable();
        left.sort_unstable();
        let word = order.rsplit('/').next().unwrap_or(order);
        let [a, b, c, d] = [(&answered, 0.5), (&answered, 1.0), (&left, 0.5), (&left, 1.0)]
            .map(|(all, part)| part_ms(all, part));
        println!("| {word} | {rate:.0} | {a:.1} | {b:.1} | {c:.0} | {d:.0} |");
    }
}

struct Bed {
    rig: Rig,
    batch: String,
    http: reqwest::Client,
    /// Up to here results were read.
    cursor: Option<String>,
}

impl Bed {
    /// Gives an order, and says how long the answer took.
    async fn order(&self, what: &str) -> Duration {
        let began = Instant::now();
        let sent = self.http.post(format!("http://{}/v1/{what}", self.rig.address)).send().await;
        let status = sent.expect("the coordinator answers").status();
        assert!(status.is_success(), "{what}: {status}");
        began.elapsed()
    }

    async fn done(&self) -> u64 {
        let view = self.rig.client.batch(&self.batch).await.expect("the batch is known");
        assert!(view.done < JOBS as u64, "all is done too soon: {view:?}");
        view.done
    }

    /// Until nothing ends any more.
    async fn rest(&self) {
        let mut before = None;
        while before != Some(self.done().await) {
            before = Some(self.done().await);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// When the last call left of those that have ended since: as its agent told, so up to the way of that later.
    async fn last_left(&mut self) -> SystemTime {
        let mut results = self.rig.client.results(&self.batch, false, self.cursor.take());
        let mut last = 0;
        while let Some(line) = results.next().await {
            let job = line.expect("results are readable").job;
            last = job.result.attempts.iter().map(|attempt| attempt.sent_at.0).max().unwrap_or(0).max(last);
        }
        self.cursor = results.cursor().map(str::to_owned);
        SystemTime::UNIX_EPOCH + Duration::from_millis(last)
    }
}
