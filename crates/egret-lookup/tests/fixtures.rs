//! The classifier against recorded answers, where a checkout has them beside it.
//!
//! The recordings hold real people's data and are no part of this repository;
//! without them these tests say so and pass.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use egret_lookup::{Protocol, Reply, Service, Verdict, classify};

/// One recorded answer with the columns of its manifest.
struct Recorded {
    name: String,
    row: Vec<(String, String)>,
    verdict: Verdict,
}

impl Recorded {
    fn column(&self, name: &str) -> &str {
        self.row.iter().find(|(column, _)| column == name).map_or("", |(_, value)| value)
    }

    fn is_refusal(&self) -> bool {
        matches!(self.verdict, Verdict::Refused { .. } | Verdict::Blocked)
    }
}

fn folder(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures").join(name);
    if !path.is_dir() {
        // Past the capture of the test harness, so that nobody takes a skipped score for a pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED: no recorded answers at {}", path.display());
        return None;
    }
    Some(path)
}

fn judge(path: &Path) -> Verdict {
    let service = Service::new("whois.test", Protocol::Whois).unwrap();
    classify(&service, Reply::Answer(&fs::read(path).unwrap()))
}

/// Judges every file of a manifest, whose file names hold no comma.
fn judged(folder: &Path) -> Vec<Recorded> {
    let manifest = fs::read_to_string(folder.join("manifest.csv")).unwrap();
    let mut lines = manifest.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let row =
                columns.iter().zip(line.split(',')).map(|(c, v)| ((*c).to_owned(), v.to_owned())).collect();
            let name = line.split(',').next().unwrap().to_owned();
            let verdict = judge(&folder.join(&name));
            Recorded { name, row, verdict }
        })
        .collect()
}

/// Every recorded answer below a folder, whatever its form of manifest.
fn answers_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            answers_below(&path, found);
        } else if path.extension().is_some_and(|end| end == "txt") {
            found.push(path);
        }
    }
}

#[test]
fn no_ordinary_answer_is_called_a_refusal() {
    let mut paths = Vec::new();
    for name in ["normal", "normal-ip", "parser-iodev", "parser-weppos", "parser-penman", "parser-likexian"] {
        let Some(folder) = folder(name) else { return };
        answers_below(&folder, &mut paths);
    }
    let is_refusal = |verdict| matches!(verdict, Verdict::Refused { .. } | Verdict::Blocked);
    let wrong: Vec<&PathBuf> = paths.iter().filter(|path| is_refusal(judge(path))).collect();
    println!("{} ordinary answers, {} false alarms", paths.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn networks_are_found() {
    let Some(folder) = folder("normal-ip") else { return };
    let mut paths = Vec::new();
    answers_below(&folder, &mut paths);
    for path in paths {
        assert_eq!(judge(&path), Verdict::Found, "{}", path.display());
    }
}

#[test]
fn refusals_are_recognised() {
    let Some(throttled) = folder("throttled") else { return };
    let mut all = judged(&throttled);
    all.retain(|answer| answer.column("expected") == "throttled");
    let missed: Vec<&str> = all.iter().filter(|a| !a.is_refusal()).map(|a| a.name.as_str()).collect();
    let is_final = |a: &&Recorded| a.verdict == Verdict::Blocked;
    let misjudged: Vec<&str> = all
        .iter()
        .filter(|a| is_final(a) != (a.column("kind") == "blocked"))
        .map(|a| a.name.as_str())
        .collect();
    println!("{} of {} refusals recognised, missed {missed:?}", all.len() - missed.len(), all.len());
    println!("taken for final, or the other way round: {misjudged:?}");
    assert!(missed.len() * 20 <= all.len() && misjudged.len() * 20 <= all.len());
}

#[test]
fn found_and_not_found_are_told_apart() {
    let Some(weppos) = folder("parser-weppos") else { return };
    let (mut right, mut known) = (0, 0);
    for answer in judged(&weppos) {
        let want = match (answer.column("available"), answer.column("registered")) {
            ("true", "false") => Verdict::NotFound,
            ("false", "true") => Verdict::Found,
            ("false", "false") => Verdict::Reserved,
            _ => continue,
        };
        known += 1;
        if answer.verdict == want {
            right += 1;
        } else {
            println!("{}: said {:?}, is {want:?}", answer.name, answer.verdict);
        }
    }
    println!("{right} of {known} told right");
    assert!(right * 100 >= known * 97);
}
