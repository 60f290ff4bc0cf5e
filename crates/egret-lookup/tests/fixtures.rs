//! The classifier against recorded answers, where a checkout has them beside it.
//!
//! The recordings hold real people's data and are no part of this repository;
//! without them these tests say so and pass.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../examples/score/suites.rs"]
mod suites;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use egret_lookup::{Protocol, RdapError, Reply, Service, Verdict, classify, read_rdap};

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

#[test]
fn records_are_read_as_their_suites_expect() {
    let Some(weppos) = folder("parser-weppos") else { return };
    let (mut right, mut expected) = ([0; suites::FIELDS.len()], [0; suites::FIELDS.len()]);
    for (_, cases) in suites::all(weppos.parent().unwrap()) {
        for (field, met) in cases.iter().flat_map(|case| case.met().into_iter().enumerate()) {
            expected[field] += usize::from(met.is_some());
            right[field] += usize::from(met.is_some_and(|(is_met, ..)| is_met));
        }
    }
    println!("{:?}: {right:?} of {expected:?}", suites::FIELDS);
    let [right, expected]: [usize; 2] = [right, expected].map(|counts| counts.iter().sum());
    assert!(right * 100 >= expected * 97, "{right} of {expected}");
}

#[test]
fn no_free_name_is_called_found_and_none_found_is_called_free() {
    let Some(weppos) = folder("parser-weppos") else { return };
    for (suite, cases) in suites::all(weppos.parent().unwrap()) {
        for case in cases {
            let wrong =
                [Some(("not_found", "found")), Some(("found", "not_found"))].contains(&case.outcomes());
            assert!(!wrong, "{suite}: {}", case.file);
        }
    }
}

#[test]
fn every_valid_rdap_answer_gives_a_record() {
    let Some(rdap) = folder("rdap") else { return };
    let mut records = 0;
    for entry in fs::read_dir(rdap).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Whole HTTP exchanges are other crates' business.
        if path.extension().is_none_or(|end| end != "json") || name.contains("-http__") {
            continue;
        }
        let read = read_rdap(&fs::read(&path).unwrap());
        let is_card_alone = name.starts_with("openrdap-jcard");
        match read {
            Ok((record, _)) => {
                records += 1;
                assert!(
                    record.handle.is_some() || record.ldh_name.is_some() || record.name.is_some(),
                    "{name}"
                );
            }
            Err(RdapError::Error { .. }) => assert!(name.contains("error"), "{name}"),
            Err(error) => assert!(
                is_card_alone
                    || name.contains("bad_response")
                    || name.contains("domains_")
                    || name.contains("entities_"),
                "{name}: {error}"
            ),
        }
    }
    println!("{records} records");
    assert!(records >= 15);
}
