//! `egret explain`: why a job has not been answered yet, and when it should be.

use clap::Args;
use egret_client::Client;
use egret_wire::api::{Explanation, JobState, Why};
use egret_wire::value::Time;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::screen::sanitize_line;
use crate::table::ahead;

/// The command line of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The job (job_…)
    job: String,
}

/// Prints it.
pub(crate) async fn run(args: &ExplainArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let explanation = client.explain(&args.job).await?;
    if out.json {
        out.document(&explanation)?;
    } else {
        out.text(&picture(&explanation, now()))?;
    }
    Ok(Exit::Done)
}

/// The wall clock: the coordinator's, as long as it is on this host.
pub(super) fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A line for where it stands, one for each thing in its way, and one for when it should come to its end.
fn picture(explanation: &Explanation, now: Time) -> String {
    let Explanation { job, state, why, position, start_estimate, finish_estimate } = explanation;
    let position = position.map(|place| format!(", number {place} in line")).unwrap_or_default();
    let mut lines = vec![format!("{} is {}{position}", sanitize_line(job), state.as_str())];
    lines.extend(why.iter().map(|why| line(why, now)));
    match (state, start_estimate, finish_estimate) {
        (JobState::Queued, Some(start), Some(finish)) => lines.push(format!(
            "it should leave {} and be answered {}, at {finish}",
            ahead(*start, now),
            ahead(*finish, now)
        )),
        (JobState::Queued, ..) => lines.push("when it leaves cannot be foreseen".to_owned()),
        (JobState::Running, _, Some(finish)) => {
            lines.push(format!("it should be answered {}, at {finish}", ahead(*finish, now)));
        }
        _ => {}
    }
    lines.join("\n")
}

fn line(why: &Why, now: Time) -> String {
    let until =
        why.until.map(|until| format!("; free {}, at {until}", ahead(until, now))).unwrap_or_default();
    format!("  {}: {}{until}", why.kind.as_str(), sanitize_line(&why.detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_wire::api::WhyKind;

    #[test]
    fn a_waiting_job_is_told_with_times_from_now_on() {
        let why = |kind, detail: &str, until| Why { kind, detail: detail.to_owned(), until };
        let explanation = Explanation {
            job: "job_1".to_owned(),
            state: JobState::Queued,
            why: vec![
                why(WhyKind::Behind, "6 jobs of w go before it", None),
                why(WhyKind::Quota, "5 per 1s at 127.0.0.2 is used up", Some(Time(1_400))),
            ],
            position: Some(7),
            start_estimate: Some(Time(2_000)),
            finish_estimate: Some(Time(2_150)),
        };
        let expected = "\
job_1 is queued, number 7 in line
  behind: 6 jobs of w go before it
  quota: 5 per 1s at 127.0.0.2 is used up; free in 0.4 s, at 1970-01-01T00:00:01.400Z
it should leave in 1.0 s and be answered in 1.1 s, at 1970-01-01T00:00:02.150Z";
        assert_eq!(picture(&explanation, Time(1_000)), expected);
        let stuck = Explanation { why: vec![], start_estimate: None, ..explanation };
        assert!(picture(&stuck, Time(1_000)).ends_with("cannot be foreseen"));
    }
}
