//! `egret-remote`: a whois or HTTP remote with true limits, as a process of its own.
//!
//! The first line on stdout is `listening on ADDR:PORT`. Lines on stdin steer it:
//! `ban IP SECS`, `unban IP`, `score`. At the end (SIGTERM, SIGINT or the end of
//! stdin) the score is printed as one line of JSON.

#![allow(clippy::print_stdout, reason = "a program that talks over stdout")]

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use egret_testkit::{
    Ban, CountOn, HttpRefusal, HttpRemote, Limit, Refusal, Remote, Rules, Troubles, WhoisRemote,
    parse_duration, parse_range,
};
use std::io::{BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// A pretended remote service that counts its callers by address.
#[derive(Parser)]
#[command(name = "egret-remote", version)]
struct Args {
    /// What it speaks
    protocol: Protocol,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// sliding:5/1s, fixed:[phase=250ms,]5/1s, token-bucket:burst=10,5/1s or two-bucket:5/1s; all given must hold
    #[arg(long = "limit", value_name = "LIMIT")]
    limits: Vec<Limit>,
    /// Count refused calls against the limits too
    #[arg(long)]
    count_refused: bool,
    /// When a whois call is counted
    #[arg(long, value_enum, default_value = "query")]
    count_on: Count,
    /// Shut a refused peer out for so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ban: Option<Duration>,
    /// Refusals that bring a ban
    #[arg(long, value_name = "N", default_value_t = 1, requires = "ban")]
    ban_after: u32,
    /// A call during a ban starts it anew
    #[arg(long, requires = "ban")]
    ban_extend: bool,
    /// Connections a peer may have open at once
    #[arg(long, value_name = "N")]
    max_open: Option<u32>,
    /// What refused calls get: text, close or reset over whois (text unless told); 429, 503 or close over HTTP (429)
    #[arg(long, value_enum)]
    refuse: Option<Refuse>,
    /// Retry-After of an HTTP refusal
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    retry_after: Option<Duration>,
    #[command(flatten)]
    troubles: TroubleArgs,
    /// Take the addresses of one network for one peer: its prefix lengths for IPv4 and IPv6, such as 24,64
    #[arg(long, value_name = "V4,V6", value_delimiter = ',', num_args = 1, default_values_t = [32, 128])]
    networks: Vec<u8>,
    /// Seed of random delays and losses
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on when stdin ends
    #[arg(long)]
    ignore_stdin: bool,
}

/// What goes wrong apart from limits.
#[derive(clap::Args)]
struct TroubleArgs {
    /// Random wait before a call is counted, such as 0..200ms
    #[arg(long, value_name = "RANGE", value_parser = parse_range, default_value = "0")]
    way_in: RangeInclusive<Duration>,
    /// Wait between counting and answering
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0")]
    latency: Duration,
    /// Random wait on top of the latency, such as 0..200ms
    #[arg(long, value_name = "RANGE", value_parser = parse_range, default_value = "0")]
    jitter: RangeInclusive<Duration>,
    /// Never answer every n-th call let in
    #[arg(long, value_name = "N", default_value_t = 0)]
    drop_every: u32,
    /// Chance, 0 to 1, that a call let in is never answered
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    drop_chance: f64,
    /// How long an unanswered call is held open
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    hold: Duration,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Whois,
    Http,
}

#[derive(Clone, Copy, ValueEnum)]
enum Count {
    Connect,
    Query,
}

#[derive(Clone, Copy, ValueEnum)]
enum Refuse {
    Text,
    Close,
    Reset,
    #[value(name = "429")]
    TooManyRequests,
    #[value(name = "503")]
    Unavailable,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Before the first line: whoever reads it may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let remote = start(&args).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    say(&format!("listening on {}", remote.addr()))?;
    let mut lines = stdin_lines();
    let mut listening = true;
    loop {
        tokio::select! {
            line = lines.recv(), if listening => match line {
                Some(line) => say(&obey(&remote, &line).unwrap_or_else(|error| format!("error: {error:#}")))?,
                None if args.ignore_stdin => listening = false,
                None => break,
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    say(&serde_json::to_string(&remote.shutdown().await)?)
}

async fn start(args: &Args) -> anyhow::Result<Remote> {
    let rules = rules(args);
    let remote = match args.protocol {
        Protocol::Whois => {
            let refusal = match args.refuse {
                None | Some(Refuse::Text) => Refusal::default(),
                Some(Refuse::Close) => Refusal::Close,
                Some(Refuse::Reset) => Refusal::Reset,
                Some(_) => bail!("whois has no status codes: --refuse text, close or reset"),
            };
            let count_on = match args.count_on {
                Count::Connect => CountOn::Connect,
                Count::Query => CountOn::Query,
            };
            WhoisRemote::new(rules).listen(args.listen).refusal(refusal).count_on(count_on).start().await
        }
        Protocol::Http => {
            let status = |code| HttpRefusal::Status { code, retry_after: args.retry_after };
            let refusal = match args.refuse {
                None | Some(Refuse::TooManyRequests) => status(429),
                Some(Refuse::Unavailable) => status(503),
                Some(Refuse::Close) => HttpRefusal::Close,
                Some(_) => bail!("over HTTP: --refuse 429, 503 or close"),
            };
            HttpRemote::new(rules).listen(args.listen).refusal(refusal).start().await
        }
    };
    Ok(remote?)
}

fn rules(args: &Args) -> Rules {
    let TroubleArgs { way_in, latency, jitter, drop_every, drop_chance, hold } = &args.troubles;
    let troubles = Troubles {
        way_in: way_in.clone(),
        latency: *latency,
        jitter: jitter.clone(),
        drop_every: *drop_every,
        drop_chance: *drop_chance,
        hold: *hold,
        ..Troubles::default()
    };
    let mut rules = Rules::new().troubles(troubles).seed(args.seed).count_refused(args.count_refused);
    if let [ipv4, ipv6] = args.networks[..] {
        rules = rules.networks(ipv4, ipv6);
    }
    for limit in &args.limits {
        rules = rules.limit(*limit);
    }
    if let Some(length) = args.ban {
        rules = rules.ban(Ban { after_refusals: args.ban_after, length, extend: args.ban_extend });
    }
    match args.max_open {
        Some(most) => rules.max_open(most),
        None => rules,
    }
}

/// Lines of stdin, read on a thread that the end of the program does not wait for.
fn stdin_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Does what a line says and returns the line that answers it.
fn obey(remote: &Remote, line: &str) -> anyhow::Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["score"] => Ok(serde_json::to_string(&remote.score())?),
        ["ban", ip, secs] => {
            let ip: IpAddr = ip.parse().context("ban IP SECS")?;
            let secs: f64 = secs.parse().context("ban IP SECS")?;
            remote.ban(ip, Duration::try_from_secs_f64(secs).context("ban IP SECS")?);
            Ok(format!("banned {ip}"))
        }
        ["unban", ip] => {
            let ip: IpAddr = ip.parse().context("unban IP")?;
            remote.unban(ip);
            Ok(format!("unbanned {ip}"))
        }
        _ => bail!("unknown line; write `ban IP SECS`, `unban IP` or `score`"),
    }
}

/// One line, at once even into a pipe.
fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
