//! The facts as they were collected, and what was judged by hand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use egret_lookup::known::{Bootstrap, BootstrapFile};

use crate::csv::Csv;

/// What was judged by hand; it is part of the program.
const HAND: &str = include_str!("../hand.tsv");

/// Everything the catalogue is made of and checked against.
pub(crate) struct Data {
    pub(crate) bootstrap: Bootstrap,
    /// Publication days of IANA's files: names, IPv4, IPv6, AS numbers.
    pub(crate) published: [String; 4],
    /// Tags of handles, with the base URL of their RDAP server.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) extra: Csv,
    pub(crate) tlds: Csv,
    pub(crate) quirks: Csv,
    pub(crate) limits: Csv,
    /// For the cross-check only: under the GPL.
    pub(crate) networks: Csv,
    /// For the cross-check only: under the GPL.
    pub(crate) as_numbers: Csv,
    pub(crate) hand: Vec<Judgement>,
}

/// A line of `hand.tsv`.
pub(crate) struct Judgement {
    pub(crate) verb: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) value: &'static str,
    pub(crate) why: &'static str,
}

impl Data {
    /// Reads the folder.
    pub(crate) fn read(folder: &Path) -> Result<Data> {
        Data::of(|name| text(folder, name), HAND)
    }

    /// Reads the texts of the files, and what was judged.
    pub(crate) fn of(text: impl Fn(&str) -> Result<String>, hand: &'static str) -> Result<Data> {
        let mut bootstrap = Bootstrap::default();
        for file in BootstrapFile::ALL {
            bootstrap.read(file, &text(&format!("rdap-{}", file.name()))?)?;
        }
        let csv = |name: &str| Csv::parse(&text(name)?).with_context(|| format!("{name} cannot be read"));
        Ok(Data {
            published: BootstrapFile::ALL.map(|file| day(bootstrap.published(file))),
            bootstrap,
            tags: tags(&text("rdap-object-tags.json")?).context("rdap-object-tags.json cannot be read")?,
            extra: csv("rdap-extra.csv")?,
            tlds: csv("whois-tld.csv")?,
            quirks: csv("whois-server-quirks.csv")?,
            limits: csv("known-limits.csv")?,
            networks: csv("whois-ip.csv")?,
            as_numbers: csv("whois-asn.csv")?,
            hand: judgements(hand)?,
        })
    }

    /// The judgements of one kind.
    pub(crate) fn judged(&self, verb: &str) -> impl Iterator<Item = &Judgement> {
        self.hand.iter().filter(move |judgement| judgement.verb == verb)
    }

    /// The judgement of one kind about `subject`.
    pub(crate) fn judged_of(&self, verb: &str, subject: &str) -> Option<&Judgement> {
        self.judged(verb).find(|judgement| judgement.subject == subject)
    }
}

fn text(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(name);
    fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read; --data names the folder of the facts", path.display()))
}

/// The day of `2026-07-23T02:00:03Z`; empty without one.
fn day(published: Option<&str>) -> String {
    published.unwrap_or_default().chars().take(10).collect()
}

/// IANA's file of tags (RFC 8521): contacts, tags, base URLs. Of several URLs the first over https is taken.
fn tags(json: &str) -> Result<Vec<(String, String)>> {
    #[derive(serde::Deserialize)]
    struct File {
        services: Vec<(Vec<String>, Vec<String>, Vec<String>)>,
    }
    let mut pairs = Vec::new();
    for (_, tags, bases) in serde_json::from_str::<File>(json)?.services {
        let base = bases.iter().find(|base| base.starts_with("https://")).or(bases.first());
        let base = base.with_context(|| format!("{tags:?} has no base URL"))?;
        pairs.extend(tags.into_iter().map(|tag| (tag, base.clone())));
    }
    pairs.sort();
    Ok(pairs)
}

fn judgements(text: &'static str) -> Result<Vec<Judgement>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| judgement(line).with_context(|| format!("hand.tsv: `{line}`"))).collect()
}

fn judgement(line: &'static str) -> Result<Judgement> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [verb, subject, value, why] = fields[..] else {
        bail!("it needs verb, subject, value and reason, set apart by tabs");
    };
    if !["zone", "retired", "rdap", "group", "cost", "terms"].contains(&verb) {
        bail!("the verb `{verb}` is unknown; the file's head lists them");
    }
    Ok(Judgement { verb, subject, value, why })
}
