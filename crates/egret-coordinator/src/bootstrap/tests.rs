//! Files as servers give them, good and bad.

use std::sync::Mutex;

use egret_lookup::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const DNS: usize = 0;

/// A server of files that gives these answers, one a connection, and notes what it was asked.
struct Mirror {
    base: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    async fn playing(answers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let mirror = Self { base, heard: Arc::default() };
        let (heard, answers) = (Arc::clone(&mirror.heard), Vec::from_iter(answers));
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                heard.lock().unwrap().push(String::from_utf8(request).unwrap());
                // Whoever has read enough leaves.
                let _ = stream.write_all(&answer).await;
            }
        });
        mirror
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

/// An answer with this head and body.
fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// `dns.json` with one zone.
fn file(zone: &str, publication: &str) -> Vec<u8> {
    format!(r#"{{"publication": "{publication}", "services": [[["{zone}"], ["https://rdap.nic.{zone}/"]]]}}"#)
        .into_bytes()
}

fn good(zone: &str) -> Vec<u8> {
    let head = "200 OK\r\netag: \"1\"\r\nlast-modified: Sun, 29 Nov 2026 02:00:00 GMT\r\n\
                cache-control: max-age=7200";
    answer(head, &file(zone, "2126-01-01T00:00:00Z"))
}

fn services() -> Arc<Services> {
    Arc::new(Services::new(Vec::new(), Some(Arc::clone(Table::embedded()))).unwrap())
}

/// Whom services ask about a name in a zone.
fn asked(services: &Services, zone: &str) -> Option<String> {
    services.plan(Kind::Domain, &format!("a.{zone}"), None, false).ok().map(|steps| steps.first.service)
}

fn open(base: &str, dir: &Path) -> Renewal {
    Renewal::open(base, dir).unwrap()
}

#[tokio::test]
async fn a_file_is_used_and_kept_and_then_only_asked_for_if_it_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let same = answer("304 Not Modified\r\ncache-control: max-age=10800", b"");
    let mirror = Mirror::playing([good("mirrored"), same.clone(), same]).await;
    let (services, mut renewal) = (services(), open(&mirror.base, dir.path()));
    assert!(renewal.table().is_none() && asked(&services, "mirrored").is_none());
    for hours in [2, 3] {
        let before = Instant::now();
        renewal.renew(DNS, &services).await;
        let due = renewal.files[DNS].due;
        assert!(due >= before + hours * HOUR && due <= Instant::now() + hours * HOUR * 11 / 10);
        assert_eq!(asked(&services, "mirrored").as_deref(), Some("rdap.nic.mirrored"));
    }
    let [first, second] = &mirror.heard()[..] else { panic!("two requests") };
    assert!(first.starts_with("GET /dns.json HTTP/1.1\r\n") && !first.contains("\r\nif-"), "{first}");
    for line in ["if-none-match: \"1\"", "if-modified-since: Sun, 29 Nov 2026 02:00:00 GMT"] {
        assert!(second.contains(line), "{second}");
    }
    // The next start begins with it, and asks for no more.
    let mut next = open(&mirror.base, dir.path());
    let fresh = self::services();
    fresh.renew(next.table().unwrap());
    next.renew(DNS, &fresh).await;
    assert_eq!(asked(&fresh, "mirrored").as_deref(), Some("rdap.nic.mirrored"));
    assert!(mirror.heard()[0].contains("if-none-match: \"1\""));
    // What is from elsewhere is not believed.
    assert!(open("http://127.0.0.1:1/", dir.path()).table().is_none());
}

#[tokio::test]
async fn whatever_is_wrong_with_a_file_leaves_what_was_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let redirect = |to: &str| answer(&format!("302 Found\r\nlocation: {to}"), b"");
    let long = vec![b' '; Bootstrap::TEXT_MAX + 1];
    let wrong = [
        (answer("200 OK", b"<html>"), "breaks RFC 9224"),
        (answer("200 OK", &file("other", "2019-01-01T00:00:00Z")), "built in"),
        (answer("200 OK", br#"{"services": [[["other"], ["https://a.example/"]]]}"#), "does not say when"),
        (answer("200 OK", b"\xff"), "not UTF-8"),
        (answer("200 OK", &long), "longer than 4 MiB"),
        (answer("404 Not Found", &file("other", "2126-01-01T00:00:00Z")), "status 404"),
        (answer("203 Changed On The Way", &file("other", "2126-01-01T00:00:00Z")), "status 203"),
        (redirect("http://a.example/dns.json"), "plain HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{".to_vec(), ""),
        (b"rubbish\r\n\r\n".to_vec(), ""),
        (Vec::new(), ""),
    ];
    let answers = [good("mirrored")].into_iter().chain(wrong.iter().map(|(answer, _)| answer.clone()));
    let mirror = Mirror::playing(answers).await;
    let (services, mut renewal) = (services(), open(&mirror.base, dir.path()));
    renewal.renew(DNS, &services).await;
    for (failures, (_, want)) in (1..).zip(&wrong) {
        renewal.renew(DNS, &services).await;
        let known = &renewal.files[DNS];
        let said = known.said.as_deref().unwrap();
        assert!(said.contains(want) && !said.contains('\n'), "{said}");
        assert_eq!(known.failures, failures);
        assert_eq!(asked(&services, "mirrored").as_deref(), Some("rdap.nic.mirrored"));
        assert_eq!(asked(&services, "other"), None);
    }
    let kept = open(&mirror.base, dir.path());
    assert_eq!(kept.bootstrap.published(BootstrapFile::Dns), Some("2126-01-01T00:00:00Z"));
}

#[tokio::test]
async fn a_reason_is_told_once_and_a_server_left_alone_for_as_long_as_it_says() {
    let mut known = Known::new(BootstrapFile::Dns, "https://mirror.example/dns.json".to_owned());
    assert_eq!(known.fail("status 500", None), Some(Duration::from_secs(300)));
    assert_eq!(known.fail("status 500", None), None);
    assert_eq!(known.fail("status 503", Some(5 * HOUR)), Some(5 * HOUR));
    assert!(known.due >= Instant::now() + 4 * HOUR);
    known.wait_for(HOUR);
    assert_eq!(known.fail("status 503", None), Some(Duration::from_secs(300)), "it is news again");
}

#[tokio::test]
async fn three_redirects_are_followed_and_no_more() {
    for (redirects, is_used) in [(3, true), (4, false)] {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = answer("302 Found\r\nlocation: /elsewhere", b"");
        let answers = std::iter::repeat_n(elsewhere, redirects).chain([good("mirrored")]);
        let mirror = Mirror::playing(answers).await;
        let (services, mut renewal) = (services(), open(&mirror.base, dir.path()));
        renewal.renew(DNS, &services).await;
        assert_eq!(asked(&services, "mirrored").is_some(), is_used, "{:?}", renewal.files[DNS].said);
        assert_eq!(mirror.heard().len(), 4);
    }
}

#[tokio::test]
async fn a_kept_file_that_is_older_than_what_is_built_in_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let base = "http://127.0.0.1:1/";
    let old = String::from_utf8(file("mirrored", "2019-01-01T00:00:00Z")).unwrap();
    let validators = Validators { etag: Some("1".to_owned()), last_modified: None };
    kept::write(dir.path(), BootstrapFile::Dns, &format!("{base}dns.json"), old, validators).unwrap();
    let renewal = open(base, dir.path());
    assert!(renewal.table().is_none());
    assert_eq!(renewal.files[DNS].validators, Validators::default(), "a newer one is asked for");
}

#[tokio::test]
async fn one_file_after_the_other_is_asked_for_at_once_until_the_coordinator_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = Mirror::playing(std::iter::repeat_n(answer("500 No", b""), 4)).await;
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(open(&mirror.base, dir.path()).run(services(), stopping));
    let mut heard = Vec::new();
    while heard.len() < 4 {
        heard.extend(mirror.heard());
        tokio::task::yield_now().await;
    }
    for (file, request) in BootstrapFile::ALL.into_iter().zip(heard) {
        assert!(request.starts_with(&format!("GET /{} ", file.name())), "{request}");
    }
    drop(stop);
    running.await.unwrap();
}
