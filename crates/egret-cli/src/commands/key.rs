//! `egret key create`: made here, without a coordinator. Only the hash goes into its config file.

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use egret_coordinator::config::{ApiKey, Role, owner_name, service_pattern};
use egret_coordinator::key::{KeyHash, NewKey};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::out::Out;

/// The commands of `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make an API key and print it with its table for the config file; the key is shown this once
    Create {
        /// Whose key it is; jobs belong to this name, and keys of one name share what they see
        #[arg(long, value_parser = owner_name)]
        name: String,
        /// What it allows: looking, submitting as well, or everything
        #[arg(long, default_value = "submit", value_parser = role_parser())]
        role: Role,
        /// The owner's share of the grants, against other owners that wait
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        weight: u32,
        /// A service it may ask, such as whois.*; may be repeated; without it, all
        #[arg(long, value_name = "PATTERN", value_parser = service_pattern)]
        service: Vec<String>,
    },
}

fn role_parser() -> impl TypedValueParser<Value = Role> {
    let words = Role::WORDS.map(|(word, _)| word);
    PossibleValuesParser::new(words).try_map(|word| {
        Role::WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, role)| role).ok_or("no role")
    })
}

/// A key as `--json` shows it: the keys of its table, and itself.
#[derive(Serialize)]
struct Shown<'a> {
    key: &'a str,
    id: &'a str,
    name: &'a str,
    hash: String,
    role: &'static str,
    weight: u32,
    services: &'a [String],
}

/// Makes a key: the key itself goes to stdout, what to do with it to stderr.
pub(crate) fn run(command: KeyCommand, out: &Out) -> Result<Exit, Failure> {
    let KeyCommand::Create { name, role, weight, service } = command;
    if role == Role::Read && !service.is_empty() {
        return Err(Failure::usage("--service is without effect for a key that only reads; leave it out"));
    }
    let new = NewKey::make().map_err(|why| Failure::new(Exit::Failed, why))?;
    let key = ApiKey { name, hash: KeyHash::of(new.text()), role, weight, services: service };
    if out.json {
        out.document(&Shown {
            key: new.text(),
            id: new.id(),
            name: &key.name,
            hash: key.hash.to_string(),
            role: role.as_str(),
            weight,
            services: &key.services,
        })?;
        return Ok(Exit::Done);
    }
    out.bytes(format!("{}\n", new.text()).as_bytes())?;
    let steps = format!(
        "# {} opens the API once this stands in the config file and the coordinator has started anew.\n\
         # Its holder puts the key into EGRET_API_KEY, or sends `Authorization: Bearer KEY`.\n{key}",
        new.id()
    );
    steps.lines().for_each(|line| out.note(line));
    Ok(Exit::Done)
}
