//! Replays the fuzz targets' corpus, on stable and without a fuzzer.
//!
//! The claims are those of `fuzz/src/readers`; memory is counted by the fuzz targets alone, since it takes
//! an allocator of their own.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test reads its files, and names one that fails"
)]
#![allow(unreachable_pub, reason = "the readers are public in the fuzz crate")]

#[path = "../../../fuzz/src/readers/mod.rs"]
mod readers;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use readers::{Classifier, Plain, Rdap, Reader, Targets, Whois};

/// Checks every file of the corpus of `target`, and that there are some.
#[track_caller]
fn replay<R: Reader>(target: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{} inputs in {}", files.len(), folder.display());
    for file in files {
        check::<R>(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    R::WARM.iter().for_each(|text| check::<R>(text, text.as_bytes()));
}

fn check<R: Reader>(name: &str, data: &[u8]) {
    if let Err(found) = catch_unwind(AssertUnwindSafe(|| R::check(data, &Plain))) {
        eprintln!("the input was {name}");
        resume_unwind(found);
    }
}

#[test]
fn the_whois_reader_keeps_its_claims() {
    replay::<Whois>("whois_reader");
}

#[test]
fn the_rdap_reader_keeps_its_claims() {
    replay::<Rdap>("rdap_reader");
}

#[test]
fn the_classifier_keeps_its_claims() {
    replay::<Classifier>("classifier");
}

#[test]
fn the_target_parser_keeps_its_claims() {
    replay::<Targets>("target_parser");
}
