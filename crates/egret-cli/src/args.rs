//! What may be written on the command line.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use egret_wire::api::{Deadline, JobState, Keep, Lookup, Priority};
use egret_wire::value::Span;
use serde::de::DeserializeOwned;

use crate::commands::{
    explain, fleet, jobs, key, lookup, orders, plan, quota, results, retry, serve, submit, up,
};

const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 some lookup failed, 2 wrong usage or config, 3 cannot reach the coordinator,
4 not allowed, 5 timed out waiting.
The API key, if the coordinator wants one, is read from EGRET_API_KEY.";

/// Spreads rate-limited lookups over the addresses you own, so that no service sees more than its quota from any.
#[derive(Debug, Parser)]
#[command(name = "egret", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct Global {
    /// Where the coordinator is
    #[arg(
        long,
        global = true,
        env = "EGRET_URL",
        default_value = "http://127.0.0.1:7043",
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// Certificates of the authorities that vouch for the coordinator, PEM; its own is `ca.pem` in its data dir
    #[arg(long, global = true, env = "EGRET_CA", hide_env_values = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Write JSON: one document, or one a line where results come in one by one
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write nothing to stderr but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the coordinator
    Serve(serve::ServeArgs),
    /// Run a coordinator and one agent with the addresses of this host
    Up(up::UpArgs),
    /// Show what egret does, on loopback, in less than a minute
    Demo,
    /// Ask about targets and print the answers
    Lookup(lookup::LookupArgs),
    /// Submit a file of targets as one batch
    Submit(submit::SubmitArgs),
    /// Print the results of a batch
    Results(results::ResultsArgs),
    /// List jobs
    Jobs(jobs::JobsArgs),
    /// Give up a job, or what is left of a batch
    Cancel(jobs::CancelArgs),
    /// Let a batch or a service rest: nothing of it is sent until it is resumed
    Pause(orders::PauseArgs),
    /// Let it go on
    Resume(orders::ResumeArgs),
    /// Send nothing at all until `start`; the coordinator goes on and takes jobs
    Stop(orders::StopArgs),
    /// Send again
    Start,
    /// Ask again what failed or expired in a batch
    Retry(retry::RetryArgs),
    /// Say why a job has not been answered yet, and when it should be
    Explain(explain::ExplainArgs),
    /// Forecast what a file of targets would take; nothing is sent
    Plan(plan::PlanArgs),
    /// Show what is left of every quota
    Quota(quota::QuotaArgs),
    /// List the agents, or let one finish and rest
    Agents(fleet::AgentsArgs),
    /// List the services and their quotas
    Services,
    /// Let agents join
    #[command(subcommand)]
    Token(fleet::TokenCommand),
    /// Let callers in
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Print a completion script for a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// A kind of lookup that needs no more than a target.
pub(crate) fn kind_parser() -> impl TypedValueParser<Value = Lookup> {
    words(["domain", "ip", "asn", "nameserver", "entity", "whois", "rdap", "http"])
}

/// A state of a job.
pub(crate) fn state_parser() -> impl TypedValueParser<Value = JobState> {
    words(["queued", "running", "done", "failed", "expired", "cancelled"])
}

/// A priority.
pub(crate) fn priority_parser() -> impl TypedValueParser<Value = Priority> {
    words(["interactive", "normal", "bulk"])
}

/// What is kept of answers.
pub(crate) fn keep_parser() -> impl TypedValueParser<Value = Keep> {
    words(["record", "raw", "both"])
}

fn words<T, const N: usize>(words: [&'static str; N]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| serde_json::from_value::<T>(word.into()))
}

/// A duration from now or a time.
pub(crate) fn deadline(text: &str) -> Result<Deadline, String> {
    let wrong =
        || format!("`{text}` is neither a duration such as 2h nor a time such as 2031-05-01T08:00:00Z");
    span(text).map(Deadline::In).or_else(|_| text.parse().map(Deadline::At).map_err(|_: String| wrong()))
}

/// A duration.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    text.parse::<Span>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use egret_wire::value::Time;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_are_those_of_the_api() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        let cli = parse("egret submit - --kind asn --priority bulk --deadline 2h --quiet").unwrap();
        let Command::Submit(submit) = cli.command else { panic!("another command") };
        assert_eq!((submit.kind, submit.priority), (Some(Lookup::Asn), Some(Priority::Bulk)));
        assert!(cli.global.quiet);
        for wrong in
            ["submit - --kind domian", "submit - --deadline soon", "jobs --state gone", "quota a b", "top"]
        {
            assert!(parse(&format!("egret {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_deadline_is_a_duration_or_a_time() {
        assert!(matches!(deadline("90m"), Ok(Deadline::In(_))));
        assert_eq!(deadline("1970-01-01T00:00:01Z"), Ok(Deadline::At(Time(1_000))));
        assert!(deadline("tomorrow").unwrap_err().contains("such as 2h"));
    }
}
