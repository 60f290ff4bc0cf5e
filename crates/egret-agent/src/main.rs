//! The small binary for each server.

mod log;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use egret_agent::{AgentError, Finding, Options, Verdict, systemd};
use egret_wire::pattern::{MOST_PATTERNS, service_pattern};
use egret_wire::value::Span;
use ipnet::IpNet;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Makes the calls that its egret coordinator grants, from the addresses of this host.
#[derive(Debug, Parser)]
#[command(name = "egret-agent", version)]
struct Flags {
    /// Where the coordinator is: https://HOST:PORT, or http://HOST:PORT on loopback
    #[arg(long, value_name = "URL", env = "EGRET_COORDINATOR")]
    coordinator: String,
    /// An address to call from, or a network that is routed to this host; may be given more than once [default: every
    /// usable address]
    #[arg(long, value_name = "ADDR", value_parser = network)]
    egress: Vec<IpNet>,
    /// An address or network not to call from; may be given more than once
    #[arg(long, value_name = "ADDR", value_parser = network)]
    exclude: Vec<IpNet>,
    /// What people call this agent [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// Where the agent keeps its key and its id
    #[arg(long, value_name = "DIR", default_value = "./egret-agent")]
    state_dir: PathBuf,
    /// A file with the join token; needed once
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The join token itself; it shows in `ps`, so prefer --token-file or EGRET_TOKEN
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A network that is not public and that calls may go to all the same; may be given more than once
    #[arg(long, value_name = "CIDR", value_parser = network)]
    allow_private: Vec<IpNet>,
    /// Take plain http beyond loopback: whoever listens in can take this agent's place
    #[arg(long)]
    insecure: bool,
    /// Log in although something in front of the coordinator ends TLS, as a load balancer does
    #[arg(long)]
    no_channel_binding: bool,
    /// Look whether an agent could run with these options, print what was found, and do no more
    #[arg(long)]
    check: bool,
    /// Services that this host permits, such as whois.*; may be given more than once [default: every one]
    #[arg(long, value_name = "GLOB", value_parser = service_pattern)]
    allow_service: Vec<String>,
    /// How long calls under way may take after SIGTERM or SIGINT; a second one stops at once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = span)]
    drain_timeout: Span,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    log::start();
    let is_check = flags.check;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) if is_check => {
            match options(flags).and_then(|options| runtime.block_on(look(&options))) {
                Ok(worst) => return worst,
                Err(error) => Err(error),
            }
        }
        Ok(runtime) => options(flags).and_then(|options| runtime.block_on(run(options))),
        Err(error) => Err(AgentError::Setting(format!("the runtime does not start: {error}"))),
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    // Nothing can be done about a closed stderr.
    let _ = writeln!(std::io::stderr(), "egret-agent: {error}");
    ExitCode::from(match error {
        AgentError::Setting(_) => 2,
        AgentError::Unreachable { .. } => 3,
        AgentError::NotAllowed(_) => 4,
    })
}

/// Prints what is found, a line each.
async fn look(options: &Options) -> Result<ExitCode, AgentError> {
    let findings = egret_agent::check(options).await?;
    let mut text = String::new();
    for Finding { what, which, verdict, detail } in &findings {
        let verdict = match verdict {
            Verdict::Fit => "ok",
            Verdict::Amiss | Verdict::Wrong | Verdict::Unreachable => "failed",
        };
        text += &format!("{what:<12} {which:<28} {verdict:<7} {detail}\n");
    }
    // Nothing can be done about a closed stdout.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(match findings.iter().map(|finding| finding.verdict).max() {
        None | Some(Verdict::Fit) => 0,
        Some(Verdict::Amiss) => 1,
        Some(Verdict::Wrong) => 2,
        Some(Verdict::Unreachable) => 3,
    }))
}

/// Runs the agent until the first signal, and lets it finish until the second.
async fn run(options: Options) -> Result<(), AgentError> {
    let heard = |error: std::io::Error| AgentError::Setting(format!("signals cannot be heard: {error}"));
    let (mut term, mut int) =
        (signal(SignalKind::terminate()).map_err(heard)?, signal(SignalKind::interrupt()).map_err(heard)?);
    let mut asked = async || {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    let (stop, stopping) = oneshot::channel::<()>();
    let agent = egret_agent::run(options, async { drop(stopping.await) });
    tokio::pin!(agent);
    tokio::select! {
        ended = &mut agent => return ended,
        () = asked() => drop(stop),
        () = systemd::watch(async || true) => {}
    }
    systemd::stopping();
    tokio::select! {
        ended = &mut agent => ended,
        () = asked() => Ok(()),
        () = systemd::watch(async || true) => Ok(()),
    }
}

fn span(text: &str) -> Result<Span, String> {
    text.parse::<Span>().map_err(|error| error.to_string())
}

fn network(text: &str) -> Result<IpNet, String> {
    let single = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| single()).map_err(|_| "write a network like 10.0.0.0/8".to_owned())
}

fn options(flags: Flags) -> Result<Options, AgentError> {
    if flags.allow_service.len() > MOST_PATTERNS {
        return Err(AgentError::Setting(format!(
            "--allow-service: more than {MOST_PATTERNS} patterns; use `*` to say more with fewer"
        )));
    }
    let token = match (&flags.token_file, flags.token) {
        (Some(file), _) => Some(
            std::fs::read_to_string(file)
                .map(|text| text.trim().to_owned())
                .map_err(|error| AgentError::Setting(format!("--token-file {}: {error}", file.display())))?,
        ),
        (None, Some(token)) => {
            tracing::warn!("--token shows in the list of processes; prefer --token-file or EGRET_TOKEN");
            Some(token)
        }
        (None, None) => std::env::var("EGRET_TOKEN").ok(),
    };
    let hostname = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        if name.trim().is_empty() { "agent".to_owned() } else { name.trim().to_owned() }
    };
    Ok(Options {
        coordinator: flags.coordinator,
        egresses: flags.egress,
        excluded: flags.exclude,
        name: flags.name.unwrap_or_else(hostname),
        state_dir: flags.state_dir,
        // An empty file is no token: that is what a unit makes of one that is not needed any more.
        token: token.filter(|token| !token.is_empty()),
        allow_private: flags.allow_private,
        insecure: flags.insecure,
        channel_binding: !flags.no_channel_binding,
        allow_service: flags.allow_service,
        drain_timeout: flags.drain_timeout.0,
        is_supervised: true,
    })
}
