//! The suites of recorded answers with what their authors expect of a reader.
//!
//! Four public suites write their expectations in four ways; each becomes a list of [`Case`]s.
//! A field that a suite leaves open is not scored.
#![allow(clippy::disallowed_methods)] // A program of its own, which reads files.

use std::fs;
use std::path::{Path, PathBuf};

use egret_lookup::{Protocol, Raw, Record, Reply, Service, Verdict, classify, decode, guess, read_whois};
use serde_json::Value;

/// The fields scored, in the order printed.
pub(crate) const FIELDS: [&str; 7] =
    ["created", "updated", "expires", "registrar", "nameservers", "status", "outcome"];

/// One recorded answer and what is expected of it.
#[derive(Default)]
pub(crate) struct Case {
    pub(crate) file: String,
    record: Record,
    /// `found`, `not_found`, `reserved`, as the classifier says.
    outcome: &'static str,
    created: Option<Vec<String>>,
    updated: Option<Vec<String>>,
    expires: Option<Vec<String>>,
    registrar: Option<Vec<String>>,
    nameservers: Option<Vec<String>>,
    status: Option<Vec<String>>,
    expected: Option<&'static str>,
}

impl Case {
    /// Expected and read outcome, where one is expected.
    pub(crate) fn outcomes(&self) -> Option<(&'static str, &'static str)> {
        Some((self.expected?, self.outcome))
    }

    /// Per field: whether it is met, what is expected, what was read; `None` where nothing is expected.
    pub(crate) fn met(&self) -> [Option<(bool, String, String)>; FIELDS.len()] {
        let date = |want: &Option<Vec<String>>, action: &str| {
            let got = self.record.event(action).unwrap_or_default();
            want.as_ref().map(|want| {
                (want.iter().any(|want| same_day(want, got)), format!("{want:?}"), got.to_owned())
            })
        };
        let registrar =
            self.record.registrar.as_ref().and_then(|registrar| registrar.name.clone()).unwrap_or_default();
        let hosts: Vec<String> = self.record.nameservers.iter().map(|host| host.ldh_name.clone()).collect();
        let list = |want: &Option<Vec<String>>, got: &[String], plain: fn(&str) -> String| {
            let sorted = |all: &[String]| {
                let mut all: Vec<String> =
                    all.iter().map(|one| plain(one)).filter(|one| !one.is_empty()).collect();
                all.sort();
                all.dedup();
                all
            };
            want.as_ref().map(|want| (sorted(want) == sorted(got), format!("{want:?}"), format!("{got:?}")))
        };
        [
            date(&self.created, "registration"),
            date(&self.updated, "last changed"),
            date(&self.expires, "expiration"),
            self.registrar.as_ref().map(|want| {
                (
                    want.iter().any(|want| letters(without_code(want)) == letters(&registrar)),
                    format!("{want:?}"),
                    registrar.clone(),
                )
            }),
            list(&self.nameservers, &hosts, |host| host.trim_end_matches('.').to_lowercase()),
            list(&self.status, &self.record.status, letters),
            self.expected.map(|want| (want == self.outcome, want.to_owned(), self.outcome.to_owned())),
        ]
    }
}

/// A registrar's name without the code or page behind it: some suites keep it, some do not.
fn without_code(name: &str) -> &str {
    let name = name.split_once(" [Tag").map_or(name, |(name, _)| name);
    let bracket = name.strip_suffix(')').and_then(|name| name.rsplit_once('('));
    bracket
        .filter(|(_, code)| !code.contains(' ') && code.contains(['/', '-', '9']))
        .map_or(name, |(name, _)| name)
}

/// The letters and digits of a text, lower case.
fn letters(text: &str) -> String {
    let text = text.split(" http").next().unwrap_or_default();
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether two times name one instant, or one day where either has no time of day.
///
/// Expectations often drop the zone that the answer names: then the same minute and second
/// within fourteen hours will do.
fn same_day(want: &str, got: &str) -> bool {
    let Ok(got) = got.parse::<jiff::Timestamp>() else { return false };
    let mut numbers = want.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    // Some suites keep the date as the answer writes it: 20190523, or 19.2.2019.
    let first = numbers.next().unwrap_or_default();
    let rest: Vec<&str> = numbers.collect();
    let iso = match (first.len(), &rest[..]) {
        (8, rest) => [&first[..4], &first[4..6], &first[6..]]
            .into_iter()
            .chain(rest.iter().copied())
            .collect::<Vec<_>>(),
        (1 | 2, [month, year, rest @ ..]) => {
            [*year, *month, first].into_iter().chain(rest.iter().copied()).collect()
        }
        _ => [first].into_iter().chain(rest.iter().copied()).collect(),
    };
    let number = |at: usize| iso.get(at).and_then(|part| part.parse::<i16>().ok());
    let (Some(year), Some(month), Some(day)) = (number(0), number(1), number(2)) else { return false };
    let small = |value: i16| i8::try_from(value).unwrap_or(-1);
    let Ok(date) = jiff::civil::Date::new(year, small(month), small(day)) else { return false };
    let clock = [3, 4, 5].map(|at| small(number(at).unwrap_or(0)));
    let has_time = clock.iter().any(|part| *part != 0);
    let Ok(at) = jiff::civil::Time::new(clock[0], clock[1], clock[2], 0) else { return false };
    let Ok(wanted) = jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(at)) else { return false };
    let apart = (got.as_second() - wanted.as_second()).abs();
    let got_day = got.as_second().div_euclid(86_400) == wanted.as_second().div_euclid(86_400);
    let is_zoned = has_time || want.contains('+');
    got_day && !(has_time && got.as_second() % 86_400 != 0)
        || is_zoned && apart % 900 == 0 && apart <= 14 * 3_600
}

/// Reads the cases of a suite in its folder.
type Suite = fn(&Path) -> Vec<Case>;

/// Every suite that is there, by name.
pub(crate) fn all(folder: &Path) -> Vec<(&'static str, Vec<Case>)> {
    let suites: [(&str, Suite); 4] =
        [("likexian", likexian), ("weppos", weppos), ("iodev", iodev), ("penman", penman)];
    let present = suites.into_iter().filter(|(name, _)| folder.join(format!("parser-{name}")).is_dir());
    present.map(|(name, read)| (name, read(&folder.join(format!("parser-{name}"))))).collect()
}

/// Reads the answer in `path` as one about `asked`.
fn case(path: &Path, asked: &str) -> Case {
    let bytes = fs::read(path).unwrap_or_default();
    let service = Service::new("whois.test", Protocol::Whois).expect("the id is plain");
    let text = match decode(&bytes, service.charset()) {
        Raw::Text { text, .. } => text.into_owned(),
        Raw::Bytes => guess(&bytes, asked).into_owned(),
    };
    let outcome = match classify(&service, Reply::Answer(&bytes)) {
        Verdict::Found => "found",
        Verdict::NotFound => "not_found",
        Verdict::Reserved => "reserved",
        Verdict::Invalid => "invalid",
        Verdict::Refused { .. } | Verdict::Blocked => "refused",
        _ => "nothing known",
    };
    Case { file: path.display().to_string(), record: read_whois(&text, asked), outcome, ..Case::default() }
}

fn json(path: &Path) -> Value {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}

/// A string, or the strings of a list; `None` for nothing or an empty one.
fn texts(value: &Value) -> Option<Vec<String>> {
    let all: Vec<String> = match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => return None,
    };
    let all: Vec<String> = all.into_iter().filter(|text| !text.trim().is_empty()).collect();
    (!all.is_empty()).then_some(all)
}

/// Every file below `folder` that `wanted` takes, sorted.
fn files(folder: &Path, wanted: fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `noterror/com_google.com` beside `….json`, and `notfound`.
fn likexian(folder: &Path) -> Vec<Case> {
    let is_answer = |path: &Path| {
        path.extension().is_none_or(|end| !["json", "pre", "csv"].contains(&&*end.to_string_lossy()))
    };
    let answers = files(folder, is_answer).into_iter();
    answers
        .map(|path| {
            let name = name_of(&path);
            let asked = name.split_once('_').map_or(name.clone(), |(_, name)| name.to_owned());
            let mut case = case(&path, &asked);
            let want = json(&path.with_file_name(format!("{name}.json")));
            if want.is_null() {
                case.expected = Some("not_found");
                return case;
            }
            let domain = &want["domain"];
            case.expected = Some("found");
            case.created = texts(&domain["created_date_in_time"]).or_else(|| texts(&domain["created_date"]));
            case.updated = texts(&domain["updated_date_in_time"]).or_else(|| texts(&domain["updated_date"]));
            case.expires =
                texts(&domain["expiration_date_in_time"]).or_else(|| texts(&domain["expiration_date"]));
            case.nameservers = texts(&domain["name_servers"]);
            case.status = texts(&domain["status"]);
            case.registrar = texts(&want["registrar"]["name"]);
            case
        })
        .collect()
}

/// `server/zone/status_registered.txt` beside `….expected.json`.
fn weppos(folder: &Path) -> Vec<Case> {
    let answers = files(folder, |path| path.extension().is_some_and(|end| end == "txt")).into_iter();
    answers
        .map(|path| {
            let want = json(&path.with_extension("expected.json"));
            let zone = path.parent().map(name_of).unwrap_or_default();
            let asked = want["domain"]["."].as_str().map_or(format!("x.{zone}"), str::to_owned);
            let mut case = case(&path, &asked);
            let date = |key: &str| texts(&want[key]["."]["time"]);
            (case.created, case.updated, case.expires) =
                (date("created_on"), date("updated_on"), date("expires_on"));
            let registrar = &want["registrar"];
            let names =
                [&registrar[".name"], &registrar[".organization"]].into_iter().filter_map(texts).flatten();
            case.registrar = Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty());
            let hosts =
                (0..20).filter_map(|at| texts(&want["nameservers"][format!("[{at}].name")])).flatten();
            case.nameservers = Some(hosts.collect::<Vec<_>>()).filter(|hosts| !hosts.is_empty());
            case.status = want["status"]["."].as_array().and_then(|_| texts(&want["status"]["."]));
            case.expected = match (want["available?"]["."].as_bool(), want["registered?"]["."].as_bool()) {
                (Some(true), Some(false)) => Some("not_found"),
                (Some(false), Some(true)) => Some("found"),
                (Some(false), Some(false)) => Some("reserved"),
                _ => None,
            };
            case
        })
        .collect()
}

/// `zone/google.zone.txt` beside `….json`, and `free.txt`.
fn iodev(folder: &Path) -> Vec<Case> {
    let answers = files(folder, |path| path.extension().is_some_and(|end| end == "txt")).into_iter();
    answers
        .map(|path| {
            let name = name_of(&path);
            let mut case = case(&path, name.trim_end_matches(".txt"));
            let want = json(&path.with_extension("json"));
            if name == "free.txt" {
                case.expected = Some("not_found");
            } else if want.is_object() {
                case.expected = Some("found");
            }
            case.created = texts(&want["creationDate"]);
            case.updated = texts(&want["updatedDate"]);
            case.expires = texts(&want["expirationDate"]);
            case.registrar = texts(&want["registrar"]);
            case.nameservers = texts(&want["nameServers"]);
            case.status = texts(&want["states"]);
            case
        })
        .collect()
}

/// `whois/name` beside `expected/name`.
fn penman(folder: &Path) -> Vec<Case> {
    files(&folder.join("whois"), |_| true)
        .into_iter()
        .map(|path| {
            let name = name_of(&path);
            let mut case = case(&path, &name);
            let want = json(&folder.join("expected").join(&name));
            case.created = texts(&want["creation_date"]);
            case.updated = texts(&want["updated_date"]);
            case.expires = texts(&want["expiration_date"]);
            case.registrar = texts(&want["registrar"]);
            case.nameservers = texts(&want["name_servers"]);
            case.status = texts(&want["status"]);
            case
        })
        .collect()
}
