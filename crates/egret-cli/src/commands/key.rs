//! `egret key`: keys are made, listed and revoked here, without a coordinator. Only their hashes are in its config file.

use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use egret_coordinator::config::{ApiKey, Config, Overrides, Role, owner_name, service_pattern, without_key};
use egret_coordinator::key::{KeyHash, NewKey};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::out::Out;
use crate::table::{cell, counted, table};

/// Digits of a hash that are shown, and the fewest that name a key; chosen: 48 and 32 bits.
const SHOWN: usize = 12;
const FEWEST: usize = 8;

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
    /// List the keys in a config file
    List {
        /// The config file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Take a key out of a config file; the coordinator refuses it once it has started anew
    Revoke {
        /// Its hash, or the first eight or more digits of it, as `key list` shows them
        hash: String,
        /// The config file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn role_parser() -> impl TypedValueParser<Value = Role> {
    let words = Role::WORDS.map(|(word, _)| word);
    PossibleValuesParser::new(words).try_map(|word| {
        Role::WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, role)| role).ok_or("no role")
    })
}

/// A key as `--json` shows it: the keys of its table; and itself when it is made.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    hash: String,
    role: &'static str,
    weight: u32,
    services: &'a [String],
}

impl<'a> Shown<'a> {
    fn of(key: &'a ApiKey, new: Option<&'a NewKey>) -> Self {
        Self {
            key: new.map(NewKey::text),
            id: new.map(NewKey::id),
            name: &key.name,
            hash: key.hash.to_string(),
            role: key.role.as_str(),
            weight: key.weight,
            services: &key.services,
        }
    }
}

/// Carries out a command of `key`.
pub(crate) fn run(command: KeyCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        KeyCommand::Create { name, role, weight, service } => {
            if role == Role::Read && !service.is_empty() {
                return Err(Failure::usage(
                    "--service is without effect for a key that only reads; leave it out",
                ));
            }
            let new = NewKey::make().map_err(|why| Failure::new(Exit::Failed, why))?;
            let hash = KeyHash::of(new.text());
            create(&new, &ApiKey { name, hash, role, weight, services: service }, out)
        }
        KeyCommand::List { config } => list(&keys(&config)?, out),
        KeyCommand::Revoke { hash, config } => revoke(&hash, &config, out),
    }
}

fn create(new: &NewKey, key: &ApiKey, out: &Out) -> Result<Exit, Failure> {
    if out.json {
        out.document(&Shown::of(key, Some(new)))?;
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

fn keys(config: &Path) -> Result<Vec<ApiKey>, Failure> {
    let config = Config::load(config, &Overrides::default());
    config.map(|config| config.api_keys).map_err(|error| Failure::usage(error.to_string()))
}

fn list(keys: &[ApiKey], out: &Out) -> Result<Exit, Failure> {
    if out.json {
        out.document(&keys.iter().map(|key| Shown::of(key, None)).collect::<Vec<_>>())?;
    } else if keys.is_empty() {
        out.note("there are no keys: programs on the coordinator's host need none, and nobody else may call");
    } else {
        let row = |key: &ApiKey| {
            let services = if key.services.is_empty() { "all".to_owned() } else { key.services.join(", ") };
            let hash: String = digits(key).chars().take(SHOWN).collect();
            vec![cell(&key.name), cell(key.role.as_str()), cell(key.weight), cell(services), cell(hash)]
        };
        let headings = ["name", "role", ">weight", "services", "hash"];
        out.text(&table(&headings, keys.iter().map(row).collect()))?;
    }
    Ok(Exit::Done)
}

/// Its hash without the name of the algorithm.
fn digits(key: &ApiKey) -> String {
    let hash = key.hash.to_string();
    hash.split_once(':').map_or(hash.clone(), |(_, digits)| digits.to_owned())
}

fn revoke(hash: &str, config: &Path, out: &Out) -> Result<Exit, Failure> {
    let wanted = hash.trim_start_matches("sha256:").to_ascii_lowercase();
    if wanted.len() < FEWEST {
        return Err(Failure::usage(format!(
            "`{hash}` is too short; give {FEWEST} digits of the hash or more"
        )));
    }
    let keys = keys(config)?;
    let matching: Vec<_> = keys.iter().filter(|key| digits(key).starts_with(&wanted)).collect();
    let [key] = matching[..] else {
        let many = counted(matching.len() as u64, "key");
        return Err(Failure::usage(format!(
            "{many} in {} begin with {wanted}; `egret key list` shows them",
            config.display()
        )));
    };
    let failed = |what: &str, error: io::Error| {
        Failure::usage(format!("{} cannot be {what}: {error}", config.display()))
    };
    // Behind a link lies the file that is to change.
    let file = config.canonicalize().map_err(|error| failed("found", error))?;
    let text = std::fs::read_to_string(&file).map_err(|error| failed("read", error))?;
    let rest = without_key(&text, &config.display().to_string(), key.hash).map_err(Failure::usage)?;
    replace(&file, &rest).map_err(|error| failed("written", error))?;
    out.note(&format!("a key of {} is gone; start the coordinator anew, until then it is good", key.name));
    Ok(Exit::Done)
}

/// Puts a text in place of a file, whole or not at all, and whose it was.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let beside = folder.join(format!(".egret-key-{}", std::process::id()));
    let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let done = written.and_then(|mut new| {
        let was = std::fs::metadata(file)?;
        // The coordinator may run as somebody else.
        fchown(&new, Some(was.uid()), Some(was.gid()))?;
        new.set_permissions(was.permissions())?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        std::fs::rename(&beside, file)
    });
    done.inspect_err(|_| {
        // What is left of it, if anything.
        let _ = std::fs::remove_file(&beside);
    })
}
