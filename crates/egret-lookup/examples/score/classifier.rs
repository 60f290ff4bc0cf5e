//! Recall and false alarms of the classifier.
#![allow(clippy::disallowed_methods)] // A program of its own, which reads files.

use std::fs;
use std::path::Path;

use egret_lookup::{Protocol, Reply, Service, Verdict, classify};

/// Prints the scores of `throttled` and `normal` below `folder` and returns how many answers were judged.
#[allow(clippy::print_stdout)]
pub(crate) fn score(folder: &Path) -> usize {
    let throttled = judged(&folder.join("throttled"));
    let normal = judged(&folder.join("normal"));
    let expected: Vec<_> = throttled.iter().filter(|(row, _)| row.contains(",throttled,")).collect();
    let found = expected.iter().filter(|(_, is_refusal)| *is_refusal).count();
    let alarms: Vec<&str> = normal.iter().filter(|(_, is)| *is).map(|(row, _)| row.as_str()).collect();
    println!(
        "classifier: {found} of {} refusals found, {} false alarms among {} ordinary answers",
        expected.len(),
        alarms.len(),
        normal.len()
    );
    for row in expected.iter().filter(|(_, is)| !is).map(|(row, _)| row.as_str()).chain(alarms) {
        println!("  wrong: {row}");
    }
    throttled.len() + normal.len()
}

/// Rows of the folder's manifest, each with whether its answer is judged a refusal.
fn judged(folder: &Path) -> Vec<(String, bool)> {
    let service = Service::new("whois.test", Protocol::Whois).expect("the id is plain");
    let manifest = fs::read_to_string(folder.join("manifest.csv")).unwrap_or_default();
    let rows = manifest.lines().skip(1).map(str::to_owned);
    rows.filter_map(|row| {
        let bytes = fs::read(folder.join(row.split(',').next()?)).ok()?;
        let verdict = classify(&service, Reply::Answer(&bytes));
        Some((row, matches!(verdict, Verdict::Refused { .. } | Verdict::Blocked)))
    })
    .collect()
}
