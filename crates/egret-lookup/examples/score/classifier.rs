//! Recall and false alarms of the classifier, and what is left of it at a registry that had no part in it.
#![allow(clippy::disallowed_methods)] // A program of its own, which reads files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use egret_lookup::{Classifier, Protocol, Reply, Service, Verdict, Wording, classify, wordings};

/// A recorded answer with what its manifest says.
pub(crate) struct Sample {
    pub(crate) file: String,
    columns: BTreeMap<String, String>,
    bytes: Vec<u8>,
}

impl Sample {
    pub(crate) fn column(&self, name: &str) -> &str {
        self.columns.get(name).map_or("", String::as_str)
    }

    /// Who answered: registries with several servers have one group.
    fn registry(&self) -> &str {
        Some(self.column("group")).filter(|group| !group.is_empty()).unwrap_or(self.column("server"))
    }

    fn service(&self) -> Service {
        let service = Service::new("whois.test", Protocol::Whois).expect("the id is plain");
        service.with_host(self.column("server"))
    }

    /// What all that is known says of it.
    pub(crate) fn verdict(&self) -> Verdict {
        classify(&self.service(), Reply::Answer(&self.bytes))
    }
}

/// Whether a verdict says that we were refused.
pub(crate) fn is_refusal(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Refused { .. } | Verdict::Blocked)
}

/// The answers of a folder with a manifest, whose file names hold no comma; none without one.
pub(crate) fn samples(folder: &Path) -> Vec<Sample> {
    let manifest = fs::read_to_string(folder.join("manifest.csv")).unwrap_or_default();
    let mut lines = manifest.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let rows = lines.map(|line| names.iter().map(|name| (*name).to_owned()).zip(line.split(',')));
    rows.filter_map(|row| {
        let columns: BTreeMap<String, String> = row.map(|(name, value)| (name, value.to_owned())).collect();
        let file = columns.get("file")?.clone();
        Some(Sample { bytes: fs::read(folder.join(&file)).ok()?, file, columns })
    })
    .collect()
}

/// Refusals that are recognised no more when everything is forgotten that their own registry brought, and how many
/// there are: its rules, and the wordings that occur in its refusals and in no other registry's.
pub(crate) fn left_out(refusals: &[&Sample]) -> (Vec<String>, usize) {
    let mut said: BTreeMap<&str, BTreeSet<Wording>> = BTreeMap::new();
    for sample in refusals {
        said.entry(sample.registry()).or_default().extend(wordings(&sample.service(), &sample.bytes));
    }
    let mut missed = Vec::new();
    for (registry, own) in &said {
        let others: BTreeSet<Wording> =
            said.iter().filter(|(name, _)| *name != registry).flat_map(|(_, words)| words.clone()).collect();
        let of_it = || refusals.iter().filter(|sample| sample.registry() == *registry);
        let hosts = of_it().map(|sample| sample.column("server").to_owned()).collect();
        let stranger = Classifier::without(hosts, &own.difference(&others).copied().collect());
        let unheard =
            of_it().filter(|one| !is_refusal(stranger.judge(&one.service(), Reply::Answer(&one.bytes))));
        missed.extend(unheard.map(|sample| sample.file.clone()));
    }
    (missed, refusals.len())
}

/// Prints the scores of `throttled` and `normal` below `folder` and returns how many answers were judged.
#[allow(dead_code, reason = "the tests print their own")]
#[allow(clippy::print_stdout)]
pub(crate) fn score(folder: &Path) -> usize {
    let (throttled, normal) = (samples(&folder.join("throttled")), samples(&folder.join("normal")));
    let refusals: Vec<&Sample> =
        throttled.iter().filter(|sample| sample.column("expected") == "throttled").collect();
    let missed: Vec<&Sample> = refusals.iter().copied().filter(|one| !is_refusal(one.verdict())).collect();
    let alarms: Vec<&Sample> = normal.iter().filter(|sample| is_refusal(sample.verdict())).collect();
    println!(
        "classifier: {} of {} refusals found, {} false alarms among {} ordinary answers",
        refusals.len() - missed.len(),
        refusals.len(),
        alarms.len(),
        normal.len()
    );
    for sample in missed.into_iter().chain(alarms) {
        println!("  wrong: {}: {:?}", sample.file, sample.verdict());
    }
    let (missed, of) = left_out(&refusals);
    println!("without their own registry's rules and wording: {} of {of} found", of - missed.len());
    for file in missed {
        println!("  missed: {file}");
    }
    throttled.len() + normal.len()
}
