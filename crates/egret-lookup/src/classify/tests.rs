use std::fmt::Write as _;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::service::Protocol;

mod wording;

const LEGAL: &str = "\
% Terms of use. By submitting a query you agree that you will use this data only for\n\
% lawful purposes. The registry may throttle clients, and too many requests or\n\
% excessive querying of the database leads to a block of the address. The rate limit\n\
% is exceeded when more than 100 queries are sent. Requests that exceed the limit are\n\
% refused, and access is denied to anyone who compiles the database. Domain names not\n\
% found here are not necessarily available. All rights reserved by the registry.\n";

fn service(rules: Vec<Rule>) -> Service {
    Service::new("whois.test", Protocol::Whois).unwrap().with_refused_when(rules).unwrap()
}

fn judge(text: &str) -> Verdict {
    classify(&service(Vec::new()), Reply::Answer(text.as_bytes()))
}

fn refused(secs: Option<u64>) -> Verdict {
    Verdict::Refused { wait: secs.map(Duration::from_secs) }
}

/// Each line is an answer of its own; it is tried bare, and as a comment after legal text.
#[track_caller]
fn check_lines(want: Verdict, lines: &[&str]) {
    for line in lines {
        assert_eq!(judge(&format!("{line}\r\n")), want, "bare: {line}");
        assert_eq!(judge(&format!("{LEGAL}%\n%% {line}\n\n")), want, "after legal text: {line}");
    }
}

#[test]
fn refusals_are_heard_in_many_words() {
    check_lines(
        refused(None),
        &[
            "Query limit exceeded",
            "QUOTA EXCEEDED",
            "Error: rate limit",
            "-ERR: Quota exceeded",
            "You have exceeded your quota of queries.",
            "Your connection limit exceeded. Please slow down and try again later.",
            "Requests quota exceeded, please try again later",
            "Maximum number of concurrent connections reached",
            "IP Address Has Reached Rate Limit",
            "You exceeded the maximum allowable number of whois lookups.",
            "The address is not authorised or has exceeded the established limit for queries.",
            "Too many queries from your IP address.",
            "HTTP/1.1 429 Too Many Requests",
            "Excessive querying detected.",
            "You have been temporarily blocked",
            "You are sending queries too fast.",
            "Query throttled",
            "Server is too busy now, try again later",
            "You have no remaining queries; no more queries allowed",
            "query_status: 440 Request Denied due to rate",
            "Connection refused",
            "Query limit exceeded:",
            "WHOIS LIMIT EXCEEDED - SEE WWW.REGISTRY.TEST FOR DETAILS",
            "Your address was temporarily put on the blacklist.",
            "Zu viele Anfragen",
            "Límite de consultas excedido",
        ],
    );
}

#[test]
fn a_time_named_is_the_time_to_wait() {
    check_lines(
        refused(Some(30)),
        &["Limit exceeded, try again in 30 seconds.", "You must wait 30 seconds."],
    );
    check_lines(
        refused(Some(300)),
        &["Too many requests. Please wait 5 minutes.", "Blocked for 5 minutes: too many queries"],
    );
    check_lines(refused(Some(86_400)), &["Daily query limit reached."]);
}

#[test]
fn a_door_shut_for_good_is_no_refusal() {
    check_lines(
        Verdict::Blocked,
        &[
            "Access denied",
            "Your address has been permanently blocked because of excessive querying.",
            "Sorry, your IP is blacklisted.",
            "This network is on our block-list. To be removed from the block-list, write to us.",
            "Requests of this client are not permitted.",
            "You are not allowed to connect.",
        ],
    );
}

#[test]
fn an_outage_is_everybodys() {
    check_lines(
        Verdict::Unavailable,
        &[
            "Sorry, the database is down. Please wait a while and try again.",
            "Service temporarily unavailable",
            "The system is currently undergoing scheduled maintenance, please try again later.",
            "Internal server error",
            "ERROR:100: internal software error",
            "Could not connect to the registry database",
            "Connection to backend failed",
            "Lookup for a.test can temporarily not be answered.",
            "We are experiencing technical difficulties.",
            "503 Service Unavailable",
            "Unable to process your request",
            "Der Dienst ist wegen Wartungsarbeiten nicht erreichbar.",
            "Service temporairement indisponible",
            "El servicio no está disponible en este momento.",
            "Сервис временно недоступен",
            "サーバはメンテナンス中です",
        ],
    );
    assert_ne!(judge("% The whois service will be down for maintenance on Sunday.\n"), Verdict::Unavailable);
    assert_eq!(judge("Domain: a.test\nStatus: unavailable\n"), Verdict::Reserved);
}

#[test]
fn a_service_that_says_it_is_gone_has_retired() {
    check_lines(
        Verdict::Retired,
        &[
            "TLD is not supported.",
            "This zone is no longer served here",
            "The whois service on port 43 has been discontinued.",
            "WHOIS is no longer available for this registry.",
            "We no longer provide whois. Please use RDAP.",
            "Please use RDAP instead",
            "Port 43 was switched off; use our RDAP service at https://rdap.test/",
            "This server has been decommissioned",
        ],
    );
    assert_eq!(
        judge("No match for a.test\n\nPlease use RDAP for more than that.\n"),
        Verdict::NotFound,
        "advice beside an answer retires nothing"
    );
    assert_eq!(judge("The whois service will be discontinued in 2030.\nNo match.\n"), Verdict::NotFound);
    assert_eq!(judge("Whois was discontinued.\nNot found.\n"), Verdict::Retired, "and nothing is free there");
}

#[test]
fn what_one_server_says_is_known_of_that_server_only() {
    let said = "query_status: 440 Nope\n";
    let at = |host: &str| {
        let service = service(Vec::new()).with_host(host);
        classify(&service, Reply::Answer(said.as_bytes()))
    };
    assert_eq!(at("WHOIS.SRS.net.nz."), refused(None));
    assert_ne!(at("whois.test"), refused(None));
    let strangers = BTreeSet::from(["whois.srs.net.nz".to_owned()]);
    let without = Classifier::without(strangers, &BTreeSet::new());
    let known = service(Vec::new()).with_host("whois.srs.net.nz");
    assert_ne!(without.judge(&known, Reply::Answer(said.as_bytes())), refused(None));
}

#[test]
fn wording_left_out_is_not_heard() {
    let said = "Looup quota exceeded\n";
    let service = service(Vec::new());
    let heard = wordings(&service, said.as_bytes());
    assert!(heard.iter().any(|wording| wording.to_string().contains("MEASURE")), "{heard:?}");
    let without = Classifier::without(BTreeSet::new(), &heard);
    assert_eq!(without.judge(&service, Reply::Answer(said.as_bytes())), Verdict::Nonsense);
}

#[test]
fn policy_is_no_refusal() {
    check_lines(
        Verdict::Nonsense,
        &[
            "Queries may be limited if too many requests are sent.",
            "Do not abuse this service or you will get blocked.",
            "High-volume automated queries are not permitted.",
            "Excessive use is prohibited.",
            "If the limit is exceeded, access will be blocked for two hours.",
            "Access to this service is rate limited. For more information, see our site.",
            "Clients should not send more than 10 requests per minute.",
        ],
    );
    assert_eq!(judge(LEGAL), Verdict::Empty);
    assert_eq!(judge(&format!("{LEGAL}\nNo match for EXAMPLE.TEST\n")), Verdict::NotFound);
}

#[test]
fn a_full_record_beats_a_word_of_refusal() {
    let record = "Domain Name: TOO-MANY-REQUESTS.TEST\nRegistrar: Rate Limit Exceeded Ltd\n\
                  Creation Date: 2001-02-03\nName Server: NS1.EXAMPLE.TEST\nRemarks: access denied\n";
    assert_eq!(judge(record), Verdict::Found);
    assert_eq!(judge(&format!("% Quota exceeded, see our site.\n{record}")), Verdict::Found);
}

#[test]
fn what_a_limit_left_of_a_record_is_a_refusal() {
    let record = "domain: a.test\nowner: Example\ncountry: ZZ\nnserver: ns1.a.test\n";
    let reduced = |said: &str| judge(&format!("% {said}\n\n{record}"));
    assert_eq!(reduced("Query limit exceeded: contact data left out."), refused(None));
    assert_eq!(reduced("Too many queries today. Partial answer."), refused(Some(86_400)));
    assert_eq!(reduced("Contact data left out, as the law demands."), Verdict::Found);
}

#[test]
fn a_refusal_beats_not_found_and_a_mere_status() {
    assert_eq!(judge("%% No entries found\n%% Maximum query rate reached\n"), refused(None));
    assert_eq!(
        judge("domain_name: a.test\nquery_status: 440 Request Denied, rate exceeded\n"),
        refused(None)
    );
}

#[test]
fn a_link_says_nothing() {
    let link = "For more information, see\nhttps://registry.test/faq/why-access-denied-limit-exceeded\n";
    assert_eq!(judge(&format!("No match\n\n{link}")), Verdict::NotFound);
}

#[test]
fn text_after_the_last_update_is_legal() {
    let tail = ">>> Last update of WHOIS database: 2026-01-01T00:00:00Z <<<\n\nQuery limit exceeded\n";
    assert_eq!(judge(&format!("Domain not found.\n{tail}")), Verdict::NotFound);
}

#[test]
fn absence_is_said_in_many_words() {
    check_lines(
        Verdict::NotFound,
        &[
            "No match for \"EXAMPLE.TEST\".",
            "NOT FOUND",
            "No entries found for the selected source(s).",
            "ERROR:101: no entries found",
            "Not found: example.test",
            "example.test is available for registration",
            "The queried object does not exist: DOMAIN NOT FOUND",
            "No Object Found",
            "No_Such_Domain",
            "This domain name has not been registered.",
            "We could not find the requested domain on our system",
        ],
    );
    assert_eq!(judge("Domain: example.test\nStatus: free\n"), Verdict::NotFound);
    assert_eq!(judge("query_status: 220 Available\n"), Verdict::NotFound);
    assert_eq!(judge("Domain: a.test\nStatus: free\n\n[Whois]\nUpdated: 2026-01-01\n"), Verdict::NotFound);
}

#[test]
fn reserved_and_invalid_are_outcomes_of_their_own() {
    check_lines(
        Verdict::Reserved,
        &["Reserved name", "This name is reserved by the registry", "The domain cannot be registered"],
    );
    check_lines(
        Verdict::Invalid,
        &[
            "Invalid query",
            "Malformed request",
            "example.test is not a valid domain name",
            "This type of query is not supported",
        ],
    );
}

#[test]
fn records_come_in_many_shapes() {
    for text in [
        "domain: example.test\nnserver: ns1.example.test\n",
        "    Domain name:\n        example.test\n\n    Registrant:\n        Example Ltd\n",
        "[Domain Name]    EXAMPLE.TEST\n[Registrant]     Example KK\n",
        "a. [Domain Name]   EXAMPLE.TEST\np. [Name Server]   ns1.example.test\n",
        "domain.............: example.test\nexpires............: 1.1.2030\nholder.............: Example\n",
        "Domain-name         example.test\nTech-email          a@example.test\n",
        "inetnum: 192.0.2.0 - 192.0.2.255\nnetname: TEST-NET\ncountry: ZZ\n",
        "Domain: example.test\nStatus: connect\n",
        "Key One: 1\nKey Two: 2\n",
        "domain: example.test\n",
        "64496   | 192.0.2.1        | EXAMPLE-AS, ZZ\n",
    ] {
        assert_eq!(judge(text), Verdict::Found, "{text}");
    }
}

#[test]
fn prose_and_pages_that_say_nothing_known_are_not_guessed_at() {
    assert_eq!(judge("hello there\n"), Verdict::Nonsense);
    assert_eq!(judge("<html>\n<style>\nfont: big\ncolor: red\n</style>\n<p>Hello</p>\n"), Verdict::Nonsense);
    assert_eq!(judge("\u{15}\u{3}\u{1}\0\u{2}\u{2}P\n"), Verdict::Nonsense);
    assert_eq!(judge("% Welcome to the whois server.\n"), Verdict::Nonsense);
}

#[test]
fn the_services_own_rules_come_first() {
    let rule = || Rule::text("(?i)bummer").unwrap();
    let text = |text: &str, rules| classify(&service(rules), Reply::Answer(text.as_bytes()));
    let record = "domain: a.test\nregistrar: Bummer Ltd\nnserver: ns1.a.test\n";
    assert_eq!(text(record, vec![rule()]), refused(None));
    assert_eq!(text("BUMMER! retry in 7 seconds\n", vec![rule()]), refused(Some(7)));
    assert_eq!(text("Bummer: access permanently denied\n", vec![rule()]), Verdict::Blocked);
    assert_eq!(
        text("Bummer: access denied\n", vec![rule()]),
        refused(None),
        "the operator knows that it passes"
    );
    assert_eq!(text(" \r\n", vec![Rule::Empty]), refused(None));
    assert_eq!(text(" \r\n", Vec::new()), Verdict::Empty);
    let latin = service(vec![Rule::text("später").unwrap()]).with_charset("iso-8859-1").unwrap();
    assert_eq!(classify(&latin, Reply::Answer(b"Bitte sp\xe4ter\n")), refused(None));
}

#[test]
fn a_reset_is_a_refusal_only_by_rule() {
    let reset = |bytes: &[u8], rules| classify(&service(rules), Reply::Reset(bytes));
    assert_eq!(reset(b"", vec![Rule::Closed]), refused(None));
    assert_eq!(reset(b"", Vec::new()), Verdict::Empty);
    assert_eq!(reset(b"domain: a.test\nregistrar: B\n", Vec::new()), Verdict::Found);
    assert_eq!(reset(b"domain: a.test\nregistrar: B Lt", Vec::new()), Verdict::Nonsense);
    assert_eq!(reset(b"Query limit exceeded", Vec::new()), refused(None));
}

/// Answers made to cost as much as they can.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let mut varied = String::new();
    for n in 0..40_000 {
        let _ = writeln!(varied, "Exceeded {n} the limits: rate too many{n} quer may");
    }
    vec![
        ("one line", vec![b'a'; 1 << 20]),
        ("line ends", vec![b'\n'; 1 << 20]),
        ("fields", b"k:v\n".repeat(1 << 18)),
        ("sentences", b"limit rate. ".repeat(90_000)),
        ("varied", varied.into_bytes()),
        ("no text", vec![0xff; 1 << 20]),
        ("words", b"exceeded limit too many rate no not\n\n".repeat(28_000)),
        ("brackets", b"[a] [b].[ ".repeat(100_000)),
    ]
}

#[test]
fn a_hostile_mebibyte_costs_no_more_than_its_first_64_kib() {
    for (what, bytes) in hostile() {
        let whole = classify(&service(Vec::new()), Reply::Answer(&bytes));
        assert_eq!(whole, classify(&service(Vec::new()), Reply::Answer(&bytes[..JUDGED_MAX])), "{what}");
    }
}

/// `cargo test -p egret-lookup --release -- --ignored --nocapture classify_takes`
#[test]
#[ignore = "a measurement, not a claim"]
#[allow(clippy::disallowed_methods)]
fn classify_takes() {
    let start = Instant::now();
    judge("Quota exceeded\n");
    println!("the first answer of a process: {:?}", start.elapsed());
    let record =
        format!("{LEGAL}\nDomain: a.test\nStatus: connect\nRegistrar: B\n>>> Last update: now <<<\n");
    let usual = [("record", record.into_bytes()), ("refusal", b"% Quota exceeded\n".to_vec())];
    for (what, bytes) in hostile().into_iter().chain(usual) {
        let service = service(Vec::new());
        classify(&service, Reply::Answer(&bytes));
        let start = Instant::now();
        for _ in 0..20 {
            std::hint::black_box(classify(&service, Reply::Answer(std::hint::black_box(&bytes))));
        }
        println!("{what}: {:?} an answer", start.elapsed() / 20);
    }
}

#[test]
fn words_are_told_from_the_letters_of_other_scripts() {
    // Written without spaces; and for Unicode's borders of words the matcher leaves its fast way.
    check_lines(refused(None), &["您的query limit exceeded。", "エラー：too many requestsです"]);
    check_lines(Verdict::Blocked, &["アクセスaccess deniedです"]);
}

#[test]
fn sentences_of_a_letter_are_cut_off_and_what_came_before_them_is_heard() {
    let babble = format!("{}a\n\n", "a! ".repeat(130)).repeat(160);
    assert_eq!(Page::read(&babble, Lexicon::whole()).statements.len(), 1_000);
    assert_eq!(judge(&format!("Quota exceeded\n\n{babble}")), refused(None));
    assert_eq!(judge(&babble), Verdict::Nonsense);
}

proptest! {
    #[test]
    fn nothing_makes_the_classifier_panic(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..400),
            "([a-zA-Z0-9 :.%#\\[\\]\\t()üß>-]{0,30}\\n){0,20}".prop_map(String::into_bytes),
            "((wait|again|limit|per|1|99999999999|an|hours|h|m|s|days)[ -]?){0,12}".prop_map(String::into_bytes),
        ],
        charset in proptest::sample::select(&["auto", "iso-8859-1", "iso-2022-jp", "euc-kr"][..]),
        rules in any::<bool>(),
    ) {
        let rules = if rules { vec![Rule::Empty, Rule::Closed] } else { Vec::new() };
        let service = service(rules).with_charset(charset).unwrap();
        for reply in [Reply::Answer(&bytes), Reply::Reset(&bytes)] {
            if let Verdict::Refused { wait: Some(wait) } = classify(&service, reply) {
                prop_assert!(wait > Duration::ZERO && wait <= Duration::from_secs(7 * 86_400));
            }
        }
    }
}
