//! `--check`: what an agent would find if it were started with these options. Nothing is made, joined or called.

use std::net::IpAddr;

use egret_wire::agent::Observed;

use crate::host::Sources;
use crate::identity;
use crate::journal::Lock;
use crate::link::{Link, LinkError, PLAIN, PUBLIC, token_pin};
use crate::{AgentError, Options};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is: `state dir`, `coordinator`, `address`.
    pub what: &'static str,
    /// Which one.
    pub which: String,
    /// How it is.
    pub verdict: Verdict,
    /// In words, of one line.
    pub detail: String,
}

/// How it is with what was looked at; the worst says how it is with all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Fit.
    Fit,
    /// The agent would run, but not with this.
    Amiss,
    /// A setting is wrong.
    Wrong,
    /// The coordinator is out of reach.
    Unreachable,
}

/// Looks at everything.
///
/// # Errors
/// What there is to look at cannot be found out: the coordinator's URL makes no sense, or there are no addresses.
pub async fn check(options: &Options) -> Result<Vec<Finding>, AgentError> {
    let sources = Sources::unchecked(options.egresses.clone(), options.excluded.clone());
    let addresses = sources.current()?;
    let link = Link::new(&options.coordinator, &pin(options)?, options.insecure, sources.clone())?;
    let mut findings = vec![state_dir(options), coordinator(&link).await];
    let mut seen = Vec::new();
    for address in addresses {
        seen.push(look_from(address, &link, &sources).await);
    }
    if seen.iter().any(|finding| finding.verdict == Verdict::Fit) {
        // The others can work.
        let unreached = seen.iter_mut().filter(|finding| finding.verdict == Verdict::Unreachable);
        unreached.for_each(|finding| finding.verdict = Verdict::Amiss);
    }
    findings.extend(seen);
    Ok(findings)
}

/// How the coordinator is known: as this agent joined it, or as its token says. Without either the public authorities have
/// to know it.
fn pin(options: &Options) -> Result<String, AgentError> {
    // What is wrong with the state dir is a finding of its own.
    let joined = identity::membership(&options.state_dir).ok().flatten().map(|membership| membership.pin);
    match (joined, &options.token) {
        (Some(pin), _) => Ok(pin),
        (None, Some(token)) => token_pin(token).map(str::to_owned),
        (None, None) if options.coordinator.starts_with("https:") => Ok(PUBLIC.to_owned()),
        (None, None) => Ok(PLAIN.to_owned()),
    }
}

fn state_dir(options: &Options) -> Finding {
    let dir = &options.state_dir;
    let finding = |verdict, detail: String| Finding {
        what: "state dir",
        which: one_line(&dir.display().to_string()),
        verdict,
        detail: one_line(&detail),
    };
    let has_token = options.token.is_some();
    let unjoined = |state: &str| match has_token {
        true => finding(Verdict::Fit, format!("{state}; the token joins")),
        false => finding(
            Verdict::Amiss,
            format!("{state}; joining needs a token, with --token-file or EGRET_TOKEN"),
        ),
    };
    if !dir.exists() {
        return unjoined("not there yet");
    }
    let in_use = match Lock::take(dir) {
        Ok(_) => "",
        Err(_) if Lock::is_taken(dir) => ", in use by a running agent",
        Err(error) => return finding(Verdict::Wrong, format!("cannot be written: {error}")),
    };
    match identity::membership(dir) {
        Err(error) => finding(Verdict::Wrong, error.to_string()),
        Ok(Some(membership)) => finding(Verdict::Fit, format!("joined as {}{in_use}", membership.agent)),
        Ok(None) => unjoined("not joined yet"),
    }
}

async fn coordinator(link: &Link) -> Finding {
    let found = link.addresses().await;
    let addresses: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    let (verdict, detail) = match addresses.is_empty() {
        true => (Verdict::Unreachable, "its name leads to no address".to_owned()),
        false => (Verdict::Fit, format!("is at {}", addresses.join(", "))),
    };
    Finding { what: "coordinator", which: one_line(&link.url), verdict, detail }
}

/// Whether calls can leave from an address, and what the coordinator takes it for.
async fn look_from(address: IpAddr, link: &Link, sources: &Sources) -> Finding {
    let finding = |verdict, detail: String| Finding {
        what: "address",
        which: address.to_string(),
        verdict,
        detail: one_line(&detail),
    };
    if let Err(error) = sources.check(address) {
        return finding(Verdict::Wrong, format!("{error}; name an address of this host"));
    }
    match link.post::<Observed>("/agent/v1/observe", &serde_json::json!({}), Some(address)).await {
        Ok(Observed { address, .. }) => finding(Verdict::Fit, format!("seen as {address}")),
        Err(LinkError::Problem(problem)) => finding(Verdict::Unreachable, problem.detail),
        Err(LinkError::Broken(reason)) => finding(Verdict::Unreachable, reason),
        Err(LinkError::Stranger(reason)) => {
            finding(Verdict::Unreachable, format!("somebody else answers there: {reason}"))
        }
    }
}

/// What others wrote, fit for a terminal.
fn one_line(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '?' } else { c }).collect()
}
