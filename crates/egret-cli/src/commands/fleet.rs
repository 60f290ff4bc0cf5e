//! `egret agents`, `egret services`, `egret token`.

use clap::{Args, Subcommand};
use comfy_table::Cell;
use egret_client::Client;
use egret_wire::api::{AgentView, Liveness, ServiceView, TokenListed, TokenRequest};
use egret_wire::value::Span;

use crate::args::span;
use crate::commands::cloud_init::{CloudInit, Draft};
use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::screen::sanitize_line;
use crate::table::{cell, counted, maybe, rule, table, verdict};

/// The commands of `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a join token and print it; it is shown this once
    Create {
        /// How many agents may join with it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// For how long it is good
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = span)]
        expires_in: Span,
        /// Given to every agent that joins with it; may be repeated
        #[arg(long, value_name = "TAG")]
        tag: Vec<String>,
        /// A service that agents which join with it may ask, such as whois.*; may be repeated [default: every one]
        #[arg(long, value_name = "PATTERN")]
        service: Vec<String>,
        #[command(flatten)]
        hosts: CloudInit,
    },
    /// List the tokens; their secrets are not kept
    List,
    /// Take a token back: nobody joins with it any more
    Revoke {
        /// The token's id, as `list` shows it
        id: String,
    },
}

/// The command line of `agents`.
#[derive(Debug, Args)]
pub(crate) struct AgentsArgs {
    #[command(subcommand)]
    command: Option<AgentsCommand>,
}

/// The commands of `agents`.
#[derive(Debug, Subcommand)]
enum AgentsCommand {
    /// Grant an agent nothing more; what it has is finished
    Drain {
        /// Its name or its id
        agent: String,
    },
    /// Let it work again
    Undrain {
        /// Its name or its id
        agent: String,
    },
    /// Take its place in the fleet back, for good: its session ends at once
    Revoke {
        /// Its name or its id
        agent: String,
    },
}

/// Lists the agents, or has one drained or revoked.
pub(crate) async fn agents(args: &AgentsArgs, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let (agent, is) = match &args.command {
        None => return list_agents(client, out).await,
        Some(AgentsCommand::Drain { agent }) => {
            (client.drain_agent(&find(agent, client).await?).await?, "gets nothing more to do")
        }
        Some(AgentsCommand::Undrain { agent }) => {
            (client.undrain_agent(&find(agent, client).await?).await?, "gets work again")
        }
        Some(AgentsCommand::Revoke { agent }) => {
            let id = find(agent, client).await?;
            client.revoke_agent(&id).await?;
            out.note(&format!("{id} is revoked; to come back it needs an empty state dir and a new token"));
            return Ok(Exit::Done);
        }
    };
    if out.json {
        out.document(&agent)?;
    } else {
        out.note(&format!("{} ({}) {is}", sanitize_line(&agent.name), sanitize_line(&agent.id)));
    }
    Ok(Exit::Done)
}

/// The id of an agent that is named by it, or by a name that no other has.
async fn find(named: &str, client: &Client) -> Result<String, Failure> {
    let agents = client.agents().await?.items;
    let mut ids =
        agents.iter().filter(|agent| agent.id == named || agent.name == named).map(|agent| &agent.id);
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id.clone()),
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "several agents are called {named}; name one by its id, `egret agents` lists them"
        ))),
        (None, _) => {
            Err(Failure::new(Exit::Failed, format!("there is no agent {named}; `egret agents` lists them")))
        }
    }
}

async fn list_agents(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let page = client.agents().await?;
    if out.json {
        out.document(&page)?;
    } else if page.items.is_empty() {
        out.note(
            "no agent has joined yet; make a token with `egret token create` and start `egret-agent` with it",
        );
    } else {
        let headings = ["agent", "name", "state", "version", "egresses", "tags", ">credit", "seen"];
        out.text(&table(&headings, page.items.iter().map(agent).collect()))?;
        for agent in &page.items {
            if let Some(at) = agent.doubled_at {
                let (name, id) = (sanitize_line(&agent.name), sanitize_line(&agent.id));
                out.note(&format!("somebody else showed the key of {name} ({id}) at {at}, and was refused"));
            }
        }
    }
    Ok(Exit::Done)
}

fn agent(agent: &AgentView) -> Vec<Cell> {
    let (state, is_up) = match agent.state {
        Liveness::Up => ("up", true),
        Liveness::Draining => ("draining", false),
        Liveness::Down => ("down", false),
    };
    vec![
        cell(&agent.id),
        cell(&agent.name),
        verdict(state, is_up),
        maybe(agent.version.as_deref()),
        cell(agent.egresses.join(" ")),
        maybe(some(&agent.tags)),
        cell(agent.credit),
        maybe(agent.seen_at),
    ]
}

/// Lists the services.
pub(crate) async fn services(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let page = client.services().await?;
    if out.json {
        out.document(&page)?;
    } else if page.items.is_empty() {
        out.note("no service is configured; add a [[service]] to the config file");
    } else {
        let headings =
            ["service", "state", "protocol", "address", "quotas", "counting", "zones", "written in"];
        out.text(&table(&headings, page.items.iter().map(service).collect()))?;
    }
    Ok(Exit::Done)
}

fn service(service: &ServiceView) -> Vec<Cell> {
    let quotas: Vec<_> = service.quotas.iter().map(rule).collect();
    vec![
        cell(&service.id),
        verdict(standing(service), !service.paused && service.down_since.is_none()),
        cell(&service.protocol),
        cell(&service.address),
        maybe(some(&quotas)),
        cell(&service.counting),
        cell(some(&service.zones).unwrap_or_else(|| unnamed_zones(service).to_owned())),
        cell(&service.origin),
    ]
}

/// What a service that names no zones answers for.
fn unnamed_zones(service: &ServiceView) -> &'static str {
    if ["catalogue", "referral"].contains(&&*service.origin) { "as known" } else { "any" }
}

/// Whether it is asked, and if not why, and since when.
pub(super) fn standing(service: &ServiceView) -> String {
    let paused = service.paused.then(|| match &service.paused_why {
        Some(why) => format!("paused, {why}"),
        None => "paused".to_owned(),
    });
    let down = service.down_since.map(|since| format!("down since {since}"));
    let parts: Vec<_> = paused.into_iter().chain(down).collect();
    some(&parts).unwrap_or_else(|| "up".to_owned())
}

fn some(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(", "))
}

/// Makes, lists and takes back tokens.
pub(crate) async fn token(command: TokenCommand, client: &Client, out: &Out) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Create { uses, expires_in, tag, service, hosts } => {
            let request = TokenRequest { uses, expires_in, tags: tag, services: service };
            match hosts.draft(client.url())? {
                Some(_) if out.json => Err(Failure::usage(
                    "--cloud-init prints user-data, which is no JSON; leave one of the two out".to_owned(),
                )),
                Some(draft) => create_hosts(&request, &draft, client, out).await,
                None => create_token(&request, client, out).await,
            }
        }
        TokenCommand::List => list_tokens(client, out).await,
        TokenCommand::Revoke { id } => {
            client.revoke_token(&id).await?;
            out.note(&format!("nobody joins with token {id} any more; agents that have joined with it stay"));
            Ok(Exit::Done)
        }
    }
}

async fn list_tokens(client: &Client, out: &Out) -> Result<Exit, Failure> {
    let page = client.tokens().await?;
    if out.json {
        out.document(&page)?;
    } else if page.items.is_empty() {
        out.note("there is no token; `egret token create` makes one");
    } else {
        let headings = ["token", "joined", "good until", "revoked", "tags", "services"];
        out.text(&table(&headings, page.items.iter().map(listed_token).collect()))?;
    }
    Ok(Exit::Done)
}

fn listed_token(token: &TokenListed) -> Vec<Cell> {
    vec![
        cell(&token.id),
        cell(format!("{} of {}", token.used, token.uses)),
        cell(token.expires_at),
        maybe(token.revoked_at),
        maybe(some(&token.tags)),
        cell(some(&token.services).unwrap_or_else(|| "any".to_owned())),
    ]
}

/// The user-data goes to stdout, what to do with it to stderr. A token that no host could use is taken back.
async fn create_hosts(
    request: &TokenRequest,
    draft: &Draft,
    client: &Client,
    out: &Out,
) -> Result<Exit, Failure> {
    let token = client.create_token(request).await?;
    if !draft.is_met_by(&token.token) {
        client.revoke_token(&token.id).await?;
        let text = format!(
            "agents would not get in at {}: the coordinator speaks {}",
            draft.coordinator(),
            if draft.coordinator().starts_with("http:") {
                "TLS; write https://"
            } else {
                "no TLS; set `tls = {}`"
            }
        );
        return Err(Failure::usage(text));
    }
    out.bytes(draft.with(&token.token).as_bytes())?;
    let hosts = counted(request.uses.into(), "host");
    out.note(&format!(
        "user-data for {hosts} until {}; keep it secret till then, or take token {} back",
        token.expires_at, token.id
    ));
    Ok(Exit::Done)
}

/// The token itself goes to stdout, what to do with it to stderr.
async fn create_token(request: &TokenRequest, client: &Client, out: &Out) -> Result<Exit, Failure> {
    let token = client.create_token(request).await?;
    if out.json {
        out.document(&token)?;
        return Ok(Exit::Done);
    }
    out.bytes(format!("{}\n", token.token).as_bytes())?;
    let uses = request.uses;
    let times = if uses == 1 { "once".to_owned() } else { format!("{uses} times") };
    out.note(&format!(
        "token {} is good {times}, until {}; keep it in a file, then run",
        token.id, token.expires_at
    ));
    out.note(&format!("    egret-agent --coordinator {} --token-file FILE", client.url()));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use egret_wire::value::Time;

    #[test]
    fn a_service_says_why_it_is_not_asked() {
        let up = ServiceView {
            id: "w".to_owned(),
            protocol: "whois".to_owned(),
            address: "w.example:43".to_owned(),
            quotas: vec![],
            counting: "sliding".to_owned(),
            cost: 1,
            zones: vec![],
            source: None,
            terms_url: None,
            paused: false,
            paused_why: None,
            down_since: None,
            origin: "egret.toml".to_owned(),
        };
        assert_eq!(standing(&up), "up");
        let down = ServiceView { down_since: Some(Time(1_000)), ..up };
        assert_eq!(standing(&down), "down since 1970-01-01T00:00:01.000Z");
        let both = ServiceView { paused: true, paused_why: Some("they are moving".to_owned()), ..down };
        assert_eq!(standing(&both), "paused, they are moving, down since 1970-01-01T00:00:01.000Z");
    }
}
