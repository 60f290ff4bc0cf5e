//! How far a batch is: a bar where somebody looks, a line now and then where nobody does.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use egret_wire::api::{AttemptOutcome, JobState, JobView};
use indicatif::{ProgressBar, ProgressStyle};

use crate::out::Out;
use crate::table::brief;

/// Without a screen: a line this often (chosen).
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How the jobs seen so far have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// With an answer.
    pub(crate) answered: u64,
    /// Without one.
    pub(crate) failed: u64,
    /// After their deadline.
    pub(crate) expired: u64,
    /// Given up.
    pub(crate) cancelled: u64,
    /// Attempts that services refused on the way.
    pub(crate) refused: u64,
}

impl Tally {
    /// Counts a job that has ended.
    pub(crate) fn count(&mut self, job: &JobView) {
        match job.state {
            JobState::Done => self.answered += 1,
            JobState::Failed => self.failed += 1,
            JobState::Expired => self.expired += 1,
            JobState::Cancelled => self.cancelled += 1,
            JobState::Queued | JobState::Running => {}
        }
        let refused = job.result.attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Refused);
        self.refused += refused.count() as u64;
    }

    /// Jobs that have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.answered + self.failed + self.expired + self.cancelled
    }

    /// Whether some lookup brought no answer though nobody gave it up.
    pub(crate) fn has_failures(&self) -> bool {
        self.failed + self.expired > 0
    }
}

/// Progress on stderr.
pub(crate) struct Progress {
    out: Out,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    started: Instant,
    said_at: Instant,
}

impl Progress {
    /// Towards `total` jobs, if that is known. Nothing is shown if the user asked for quiet.
    pub(crate) fn new(out: &Out, total: Option<u64>) -> Self {
        let is_seen = !out.quiet && io::stderr().is_terminal();
        let bar = is_seen.then(|| total.map_or_else(ProgressBar::no_length, ProgressBar::new));
        let template = if total.is_some() { "{bar:30.cyan} {msg}" } else { "{spinner} {msg}" };
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(template)) {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { out: out.clone(), bar, total, started: now, said_at: now }
    }

    /// Progress of which nothing is shown, because the results themselves are.
    pub(crate) fn unseen(out: &Out, total: Option<u64>) -> Self {
        let mut out = out.clone();
        out.quiet = true;
        Self::new(&out, total)
    }

    /// Shows where things stand; `refusals`: those known of, which may be more than ended jobs tell.
    pub(crate) fn show(&mut self, tally: &Tally, refusals: u64) {
        let (ended, refused) = (tally.ended(), tally.refused.max(refusals));
        if let Some(bar) = &self.bar {
            // Its rate is that of late, which a cool-down changes.
            bar.set_position(ended);
            bar.set_message(line(ended, self.total, refused, bar.per_sec()));
        } else if self.said_at.elapsed() >= LINE_EVERY {
            self.said_at = Instant::now();
            let rate = ended as f64 / self.started.elapsed().as_secs_f64();
            self.out.note(&line(ended, self.total, refused, rate));
        }
    }

    /// Shows how much has been sent.
    pub(crate) fn show_sent(&mut self, bytes: u64) {
        let sent = format!("{:.1} MiB sent", bytes as f64 / f64::from(1 << 20));
        if let Some(bar) = &self.bar {
            bar.set_message(sent);
            bar.tick();
        } else if self.said_at.elapsed() >= LINE_EVERY {
            self.said_at = Instant::now();
            self.out.note(&sent);
        }
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `72 of 200 ended, 0 refused, 19.8/s, 6.5 s left`.
fn line(ended: u64, total: Option<u64>, refused: u64, rate: f64) -> String {
    let Some(total) = total else { return format!("{ended} ended, {refused} refused, {rate:.1}/s") };
    let left = Duration::try_from_secs_f64(total.saturating_sub(ended) as f64 / rate);
    let left = left.map_or_else(|_| "?".to_owned(), brief);
    format!("{ended} of {total} ended, {refused} refused, {rate:.1}/s, {left} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_time_left() {
        assert_eq!(line(72, Some(200), 1, 18.0), "72 of 200 ended, 1 refused, 18.0/s, 7.1 s left");
        assert_eq!(line(0, Some(200), 0, 0.0), "0 of 200 ended, 0 refused, 0.0/s, ? left");
        assert_eq!(line(72, None, 1, 18.0), "72 ended, 1 refused, 18.0/s");
    }
}
