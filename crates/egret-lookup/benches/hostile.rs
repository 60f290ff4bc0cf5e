//! What long answers cost that were made to cost much.
//!
//! `cargo bench -p egret-lookup --bench hostile`: for each shape of text an answer of 64 KiB and one of 1 MiB, and the
//! processor time of the one thread for one call, the best of three rounds. A reader that takes time by the
//! square of its input shows at once; by hand and by fuzzing that is seen late, for short inputs hide it.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]
#![allow(clippy::disallowed_methods, reason = "a bench reads what it used; what it measures reads nothing")]

use std::fmt::Write as _;
use std::hint::black_box;

use egret_lookup::{
    Catalogue, Kind, Protocol, Reply, Service, Told, classify, classify_http, read_rdap, read_whois,
};

const ROUNDS: usize = 3;
/// A figure is taken over this many nanoseconds.
const LEAST: u64 = 40_000_000;
const SIZES: [usize; 2] = [64 << 10, 1 << 20];

fn main() {
    println!("| text | ms for 64 KiB | ms for 1 MiB |\n|---|---|---|");
    for (what, piece) in WHOIS {
        row(
            &format!("whois: {what}"),
            |size| repeated("", piece, "", size),
            |text| {
                black_box(read_whois(text, "example.test"));
            },
        );
    }
    for (what, start, piece, end) in RDAP {
        row(
            &format!("RDAP: {what}"),
            |size| repeated(start, piece, end, size),
            |text| {
                let read = black_box(read_rdap(text.as_bytes()));
                assert!(read.is_ok() || what.starts_with("no "), "{what}: {read:?}");
            },
        );
    }
    judges();
    parsers();
}

/// Makes the n-th piece of a text.
type Piece = fn(usize) -> String;

const WHOIS: &[(&str, Piece)] = &[
    ("one host with ever more addresses", |n| {
        format!("nserver: a.test {}\n", listed(n, 20, |n| format!("::{n:x} ")))
    }),
    ("ever more hosts", |n| format!("nserver: {}\n", listed(n, 30, |n| format!("a.b{n} ")))),
    ("ever more statuses, one of them known", |n| {
        format!("status: ok,{}\n", listed(n, 60, |n| format!("a{n},")))
    }),
    ("dates that end before the year", |n| format!("changed: {n} 2 {}\n", "a ".repeat(32))),
    ("dates again and again", |_| "created: 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1 2 3 4 5\n".to_owned()),
    ("contacts by ever more handles", |n| {
        format!("tech-c: {n}\nadmin-c: {n}\n\nperson: a\nnic-hdl: b{n}\n\n")
    }),
    ("international names", |n| format!("domain: ü{n}.{}\n", "ö".repeat(90))),
    ("short lines", |_| "a:b\n".to_owned()),
    ("lines of gaps", |_| format!("{}\n", "a   ".repeat(490))),
    ("lines of colons", |_| format!("{}\n", "a: ".repeat(600))),
    ("lines of brackets", |_| format!("{}\n", "[ab] ".repeat(390))),
    ("one line", |_| "Domain Name: a.test ".to_owned()),
    ("blank lines", |_| "\n".to_owned()),
];

const RDAP: &[(&str, &str, Piece, &str)] = &[
    ("one host with ever more addresses", r#"{"ldhName":"a.test","nameservers":["#, |n| host(n), "null]}"),
    (
        "ever more statuses, one of them known",
        r#"{"ldhName":"a.test","status":["#,
        |n| format!("\"ok,{}\",", listed(n, 150, |n| format!("{n:x},"))),
        "null]}",
    ),
    (
        "ever more events",
        r#"{"ldhName":"a.test","events":["#,
        |n| format!(r#"{{"eventAction":"a{n}","eventDate":"1 2 {}"}},"#, "a ".repeat(32)),
        "null]}",
    ),
    (
        "contacts",
        r#"{"ldhName":"a.test","entities":["#,
        |n| format!(r#"{{"handle":"{n}","roles":["a","b"],{CARD}}},"#),
        "null]}",
    ),
    (
        "registrars",
        r#"{"ldhName":"a.test","entities":["#,
        |_| format!(r#"{{"roles":["registrar"],{CARD}}},"#),
        "null]}",
    ),
    (
        "a contact in a contact in a contact",
        r#"{"ldhName":"a.test","entities":[{"entities":[{"entities":["#,
        |_| format!(r#"{{"roles":["a"],{CARD}}},"#),
        "null]}]}]}",
    ),
    ("members that nobody asks for", r#"{"ldhName":"a.test""#, |n| format!(r#","a{n}":0"#), "}"),
    ("the same member", r#"{"ldhName":"a.test""#, |_| r#","handle":"a""#.to_owned(), "}"),
    ("lists in lists", r#"{"ldhName":"a.test","x":"#, |_| "[".to_owned(), "]}"),
    (
        "international names",
        r#"{"ldhName":"a.test","nameservers":["#,
        |n| format!(r#"{{"ldhName":"ü{n}.{}"}},"#, "ö".repeat(400)),
        "null]}",
    ),
    ("one text", r#"{"ldhName":"a.test","handle":""#, |_| "\\u00fc".to_owned(), "\"}"),
];

const CARD: &str = r#""vcardArray":["vcard",[["fn",{},"text",["a","b"]],["adr",{"cc":"d"},"text",["e","f"]],["tel",{},"uri","tel:1"]]]"#;

const ANSWERS: &[(&str, Piece)] = &[
    ("sentences of a letter", |n| if n % 40 == 39 { "a\n\n".to_owned() } else { "a! ".to_owned() }),
    ("sentences about ever other things", |n| {
        format!("{} too many requests\n\n", listed(n, 8, |n| letters(n * 7919)))
    }),
    ("fields", |n| format!("k{n}: value {n}\n")),
    ("keys without a colon", |n| format!("key {n}   value\n")),
    ("waits", |n| format!("please wait {}\n\n", listed(n, 9, |n| format!("{n}s/ ")))),
    ("HTML", |n| format!("<p>{n} slow</p>")),
    ("bytes of no charset", |_| "\u{fffd}".to_owned()),
];

fn host(n: usize) -> String {
    format!(
        r#"{{"ldhName":"a.test","ipAddresses":{{"v6":[{}"::"]}}}},"#,
        listed(n, 250, |n| format!(r#""::{n:x}","#))
    )
}

/// `count` items, of numbers that no other piece has.
fn listed(piece: usize, count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(|n| item(piece * count + n)).collect()
}

/// A word that few others begin like.
fn letters(n: usize) -> String {
    let letters = (0..6).filter_map(|place| char::from_u32(0x430 + (n >> (place * 4) & 31) as u32));
    letters.chain([' ']).collect()
}

/// A text of about `size` bytes, a whole number of pieces.
fn repeated(start: &str, piece: impl Fn(usize) -> String, end: &str, size: usize) -> String {
    let mut text = start.to_owned();
    for n in 0.. {
        text.push_str(&piece(n));
        if text.len() + end.len() >= size {
            break;
        }
    }
    // Lists in lists are closed as often as they were opened.
    if end == "]}" {
        text.push_str(&"]".repeat(text.matches('[').count() - 1));
    }
    text.push_str(end);
    text
}

fn judges() {
    let whois = Service::new("whois.test", Protocol::Whois).expect("it is an id");
    let http = Service::new("api.test", Protocol::Http).expect("it is an id");
    for (what, piece) in ANSWERS {
        row(
            &format!("classify: {what}"),
            |size| repeated("", piece, "", size),
            |text| {
                black_box(classify(&whois, Reply::Answer(text.as_bytes())));
            },
        );
        row(
            &format!("classify_http, 403: {what}"),
            |size| repeated("", piece, "", size),
            |text| {
                black_box(classify_http(&http, Some(403), &Told::default(), Reply::Answer(text.as_bytes())));
            },
        );
    }
    row(
        "Told: a field of limits",
        |size| repeated("", |n| format!(r#""a";r={n};t=7, "#), "", size),
        |text| {
            black_box(Told::read(&[("ratelimit".to_owned(), text.to_owned())]));
        },
    );
}

fn parsers() {
    let service = Service::new("whois.test", Protocol::Whois).expect("it is an id");
    let http = Service::new("api.test", Protocol::Http).expect("it is an id");
    let catalogue = Catalogue::new(vec![service, http]).expect("two services");
    for (what, piece) in TARGETS {
        row(
            &format!("plan of every kind: {what}"),
            |size| repeated("/", piece, "", size),
            |text| {
                for kind in Kind::ALL {
                    // Targets end long before answers do: the longest that is looked into has 8 KiB.
                    let cut = |from: usize, to: usize| {
                        text.get(from..to).or(text.get(from..to + 1)).unwrap_or(text)
                    };
                    for (text, service) in
                        [(text, None), (cut(0, 4_095), Some("api.test")), (cut(1, 1_001), None)]
                    {
                        let _ = black_box(catalogue.plan(kind, text, service, false));
                    }
                }
            },
        );
    }
}

const TARGETS: &[(&str, Piece)] = &[
    ("labels", |_| "a.".to_owned()),
    ("international labels", |_| "ü.".to_owned()),
    ("one international label", |_| "ü".to_owned()),
    ("segments", |_| "./%2e/".to_owned()),
];

fn row(what: &str, make: impl Fn(usize) -> String, read: impl Fn(&str)) {
    let mut line = format!("| {what} |");
    for size in SIZES {
        let text = make(size);
        let best = (0..ROUNDS).map(|_| timed(|| read(&text))).fold(f64::INFINITY, f64::min);
        let _ = write!(line, " {:.2} |", best / 1e6);
    }
    println!("{line}");
}

/// Nanoseconds of processor time that this thread spends in one call of `work`.
fn timed(work: impl Fn()) -> f64 {
    let began = on_cpu();
    for calls in 1.. {
        work();
        // The kernel adds up in ticks of some milliseconds.
        if on_cpu() - began > LEAST {
            return (on_cpu() - began) as f64 / f64::from(calls);
        }
    }
    0.0
}

/// Nanoseconds that this thread has run (proc(5): schedstat).
fn on_cpu() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
