//! Scores the classifier and the readers on folders of recorded answers.
//!
//! `cargo run --release -p egret-lookup --example score -- FOLDER [--show FIELD]`
//!
//! FOLDER holds suites as `suites` describes them; those that are absent are left out. Printed are the
//! classifier's recall and false alarms, found against not found, and for each suite how many
//! of its expectations the reader meets, field by field. `--show created` lists what it missed.
//! Exit 0 when there was anything to score.

mod classifier;
mod suites;

use std::path::Path;
use std::process::ExitCode;

use suites::{Case, FIELDS};

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let mut folder = None;
    let mut show = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--show" => show = arguments.next(),
            _ => folder = Some(argument),
        }
    }
    let Some(folder) = folder else {
        eprintln!(
            "usage: score FOLDER [--show FIELD]; FOLDER holds recorded answers, FIELD is one of {FIELDS:?}"
        );
        return ExitCode::from(2);
    };
    let folder = Path::new(&folder);
    let judged = classifier::score(folder);
    let read = readers(folder, show.as_deref());
    if judged + read == 0 {
        eprintln!(
            "{}: no recorded answers here; expected folders such as throttled, normal, parser-weppos",
            folder.display()
        );
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// Right and expected, one field of one suite.
type Score = (usize, usize);

#[allow(clippy::print_stdout)]
fn readers(folder: &Path, show: Option<&str>) -> usize {
    let mut scored = 0;
    let mut total = [(0, 0); FIELDS.len()];
    let mut outcomes = Vec::new();
    println!("\n{:<16}{}", "reader", FIELDS.map(|field| format!("{field:>18}")).join(""));
    for (suite, cases) in suites::all(folder) {
        let mut scores = [(0, 0); FIELDS.len()];
        for case in &cases {
            count(case, &mut scores, show);
            outcomes.extend(case.outcomes());
        }
        println!("{suite:<16}{}", scores.map(percent).join(""));
        for (sum, one) in total.iter_mut().zip(scores) {
            *sum = (sum.0 + one.0, sum.1 + one.1);
        }
        scored += cases.len();
    }
    let all = total.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{:<16}{}\n{:<16}{}", "all", total.map(percent).join(""), "all fields", percent(all));
    let told = |want: &str, got: &str| outcomes.iter().filter(|pair| **pair == (want, got)).count();
    let free = outcomes.iter().filter(|(want, _)| *want == "not_found").count();
    let right = told("not_found", "not_found");
    println!(
        "not found: {right} of {free} recognised; {} of them called found, {} found called not found",
        told("not_found", "found"),
        told("found", "not_found")
    );
    scored
}

#[allow(clippy::print_stdout)]
fn count(case: &Case, scores: &mut [Score], show: Option<&str>) {
    for ((field, score), met) in FIELDS.iter().zip(scores).zip(case.met()) {
        let Some((is_met, want, got)) = met else { continue };
        score.1 += 1;
        score.0 += usize::from(is_met);
        if !is_met && show == Some(field) {
            println!("{}: {field}: read {got:?}, expected {want:?}", case.file);
        }
    }
}

fn percent((right, of): Score) -> String {
    let share = if of == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * right as f64 / of as f64) };
    format!("{:>18}", format!("{right}/{of} {share}"))
}
