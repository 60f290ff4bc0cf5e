//! Each call is one request on one connection, from the egress to the judged address, whatever the remote does.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use egret_testkit::{Answers, Drip, HttpRemote, Remote, Rules, Troubles};
use egret_wire::ask::Ask;
use egret_wire::value::Secret;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

use super::asked::under;
use super::*;

const EGRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

fn call(address: String, path: &str) -> Call {
    Call {
        from: EGRESS,
        address,
        question: path.as_bytes().to_vec(),
        headers: Vec::new(),
        deadline: within(10_000),
        max_answer: 1 << 20,
        allow_private: true,
    }
}

fn to(remote: &Remote, path: &str) -> Call {
    call(format!("http://{}/", remote.addr()), path)
}

async fn get(call: &Call) -> Outcome {
    make(call, &Judge::default(), None).await
}

async fn remote(troubles: Troubles) -> Remote {
    HttpRemote::new(Rules::new().troubles(troubles)).start().await.unwrap()
}

/// Requests and connections, as the remote counted them.
#[track_caller]
fn check(remote: &Remote, calls: u64, opens: u64) {
    let tally = remote.score().total.tally;
    assert_eq!((tally.calls, tally.opens), (calls, opens), "requests and connections");
}

/// A remote that says `answer` to every connection, once something was asked, and counts them.
async fn saying(answer: &'static [u8]) -> (SocketAddr, JoinHandle<()>, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let opens = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&opens);
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut asked = [0; 4 << 10];
            // Whatever it is, it is asked once.
            let _ = stream.read(&mut asked).await;
            if answer.is_empty() {
                // Closed with a reset instead of an end.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            let _ = stream.write_all(answer).await;
        }
    });
    (address, serving, opens)
}

#[track_caller]
fn opened(opens: &AtomicU32, want: u32) {
    assert_eq!(opens.load(Ordering::SeqCst), want, "connections");
}

#[tokio::test]
async fn an_answer_brings_its_status_its_body_and_the_fields_that_matter() {
    let remote = HttpRemote::new(Rules::new()).header("ratelimit", "\"default\";r=4;t=1");
    let remote = remote.header("set-cookie", "id=1").header("x-ratelimit-limit", "5").start().await.unwrap();
    let outcome = get(&to(&remote, "/domain/a.example?x=1")).await;
    assert_eq!((outcome.end, outcome.head.status), (CallEnd::Answered, Some(200)));
    assert_eq!(outcome.answer, egret_testkit::echo_json("/domain/a.example?x=1"));
    let names: Vec<&str> = outcome.head.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["date", "ratelimit", "content-type", "x-ratelimit-limit"]);
    assert_eq!(remote.score().peer(EGRESS).tally.calls, 1, "it came from the egress");
    check(&remote, 1, 1);
}

/// An answer that came compressed, as `gzip -9` would.
fn compressed(body: &[u8]) -> &'static [u8] {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    Box::leak([head.as_bytes(), body].concat().into_boxed_slice())
}

#[tokio::test]
async fn a_compressed_answer_is_its_text_and_is_measured_by_it() {
    #[rustfmt::skip]
    let object = [31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 202, 79, 202, 74, 77, 46, 113, 206, 73, 44, 46, 246, 75, 204, 77, 85, 178, 82, 74, 201, 207, 77, 204, 204, 83, 170, 5, 0, 84, 27, 23, 83, 28, 0, 0, 0];
    let (address, serving, _) = saying(compressed(&object)).await;
    let outcome = get(&call(format!("http://{address}/"), "/")).await;
    assert_eq!(
        (outcome.end, outcome.answer.as_slice()),
        (CallEnd::Answered, &br#"{"objectClassName":"domain"}"#[..])
    );
    serving.abort();
    // A hundred thousand letters.
    #[rustfmt::skip]
    let bomb = [31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 237, 193, 49, 1, 0, 0, 0, 194, 160, 172, 235, 95, 194, 26, 30, 64, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 175, 6, 135, 250, 226, 27, 160, 134, 1, 0];
    let (address, serving, _) = saying(compressed(&bomb)).await;
    let outcome = get(&Call { max_answer: 10_000, ..call(format!("http://{address}/"), "/") }).await;
    assert_eq!(outcome.end, CallEnd::TooLong);
    assert!(outcome.answer.len() <= 10_000);
    serving.abort();
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let remote =
        HttpRemote::new(Rules::new()).status(302).header("location", "/again").start().await.unwrap();
    let outcome = get(&to(&remote, "/again")).await;
    assert_eq!((outcome.end, outcome.head.status), (CallEnd::Answered, Some(302)));
    assert!(outcome.head.headers.contains(&("location".to_owned(), "/again".to_owned())));
    check(&remote, 1, 1);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_not_tried_again() {
    let troubles = Troubles { drop_every: 1, hold: Duration::ZERO, ..Troubles::default() };
    let remote = remote(troubles).await;
    assert_eq!(get(&to(&remote, "/a")).await.end, CallEnd::Reset);
    check(&remote, 1, 1);

    let (address, _serving, opens) = saying(b"").await;
    let outcome = get(&call(format!("http://{address}/"), "/a")).await;
    assert_eq!((outcome.end, outcome.head.status), (CallEnd::Reset, None));
    opened(&opens, 1);
}

#[tokio::test]
async fn no_connection_is_used_twice_or_found_dead() {
    let idle = Duration::from_millis(40);
    let remote = HttpRemote::new(Rules::new()).idle(idle).start().await.unwrap();
    for calls in 1..=3 {
        assert_eq!(get(&to(&remote, "/a")).await.end, CallEnd::Answered);
        check(&remote, calls, calls);
        sleep(idle.mul_f64(0.5 * calls as f64)).await;
    }
}

#[tokio::test]
async fn of_a_name_with_several_addresses_the_judged_one_is_dialled() {
    let four = remote(Troubles::default()).await;
    let six = SocketAddr::new("::1".parse().unwrap(), four.addr().port());
    let six = HttpRemote::new(Rules::new()).listen(six).start().await.unwrap();
    // The name is nowhere to be found: nobody but us has resolved it.
    for name in ["localhost", "both.invalid"] {
        let mut call = call(format!("http://{name}:{}/", four.addr().port()), "/a");
        for (from, to) in [(EGRESS, four.addr()), ("::1".parse().unwrap(), six.addr())] {
            call.from = from;
            let outcome = ask(&call, asked(&call).unwrap(), to, TLS.clone(), None).await;
            assert_eq!(outcome.end, CallEnd::Answered, "{:?}", outcome.detail);
        }
    }
    check(&four, 2, 2);
    check(&six, 2, 2);
}

#[tokio::test]
async fn a_refusal_by_the_protocol_is_not_tried_again() {
    // An HTTP/2 GOAWAY without an error: "ask again on another connection".
    let (address, _serving, opens) = saying(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0").await;
    let outcome = get(&call(format!("http://{address}/"), "/a")).await;
    assert_eq!((outcome.end, outcome.head.status), (CallEnd::Answered, None));
    assert!(outcome.detail.unwrap().contains("no HTTP"));
    opened(&opens, 1);
}

#[tokio::test]
async fn an_answer_cut_off_keeps_its_head_and_what_came() {
    let (address, _serving, opens) =
        saying(b"HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 9\r\n\r\nhalf").await;
    let outcome = get(&call(format!("http://{address}/"), "/a")).await;
    assert_eq!((outcome.end, outcome.head.status), (CallEnd::Reset, Some(429)));
    assert_eq!(outcome.head.headers, [("retry-after".to_owned(), "7".to_owned())]);
    assert_eq!(outcome.answer, b"half");
    opened(&opens, 1);
}

#[tokio::test]
async fn headers_without_end_end_the_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let flood = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0u8; 4_096]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        let mut sent = 0u64;
        while stream.write_all(&[b"a: ", &[b'x'; 1_000][..], b"\r\n"].concat()).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let outcome = get(&call(format!("http://{address}/"), "/a")).await;
    assert_eq!((outcome.end, outcome.head.status), (CallEnd::Answered, None), "{:?}", outcome.detail);
    assert!(flood.await.unwrap() < 10_000, "and is not read on");
}

#[tokio::test]
async fn a_long_answer_is_cut_at_the_cap() {
    for troubles in
        [Troubles { pad_to: 5_000, ..Troubles::default() }, Troubles { endless: true, ..Troubles::default() }]
    {
        let remote = remote(troubles).await;
        let outcome = get(&Call { max_answer: 1_000, ..to(&remote, "/a") }).await;
        assert_eq!((outcome.end, outcome.answer.len()), (CallEnd::TooLong, 1_000));
        check(&remote, 1, 1);
    }
    let exact = HttpRemote::new(Rules::new()).answers(Answers::With(Arc::new(|_| vec![b'x'; 1_000])));
    let exact = exact.start().await.unwrap();
    let outcome = get(&Call { max_answer: 1_000, ..to(&exact, "/a") }).await;
    assert_eq!((outcome.end, outcome.answer.len()), (CallEnd::Answered, 1_000));
}

#[tokio::test]
async fn a_slow_answer_is_given_up_at_the_time_out() {
    let every = Duration::from_millis(100);
    for (troubles, status) in [
        (Troubles { latency: Duration::from_secs(5), ..Troubles::default() }, None),
        (Troubles { drip: Some(Drip { bytes: 1, every }), ..Troubles::default() }, Some(200)),
    ] {
        let remote = remote(troubles).await;
        let outcome = get(&Call { deadline: within(300), ..to(&remote, "/a") }).await;
        assert_eq!((outcome.end, outcome.head.status), (CallEnd::TimedOut, status));
        check(&remote, 1, 1);
    }
}

#[tokio::test]
async fn what_never_left_is_told_from_what_found_nobody() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = get(&call(format!("http://{nobody}/"), "/a")).await;
    assert_eq!(outcome.end, CallEnd::Unreachable, "{:?}", outcome.detail);

    let remote = remote(Troubles::default()).await;
    let not_here = Call { from: "192.0.2.1".parse().unwrap(), ..to(&remote, "/a") };
    let lenient = Judge::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let outcome = make(&not_here, &lenient, None).await;
    assert_eq!(outcome.end, CallEnd::NotSent, "{:?}", outcome.detail);
    let not_public = Call { allow_private: false, ..to(&remote, "/a") };
    let outcome = get(&not_public).await;
    assert_eq!(outcome.end, CallEnd::NotSent);
    assert!(outcome.detail.unwrap().contains("not a public address"));
    check(&remote, 0, 0);
}

#[test]
fn only_a_path_under_the_base_is_a_question() {
    let base = "https://api.example/v1/";
    let url = under(base, "/a/b?c=%20").map(String::from);
    assert_eq!(url.as_deref(), Some("https://api.example/v1/a/b?c=%20"));
    assert_eq!(
        under(base, "//evil.example/").map(String::from).as_deref(),
        Some("https://api.example/v1//evil.example/")
    );
    for bad in ["a", "/../a", "/%2e%2e/a", "/a#b", "", "http://evil.example/"] {
        assert_eq!(under(base, bad), None, "{bad:?}");
    }
    assert_eq!(under("https://api.example", "/.evil.example/"), None);
}

#[test]
fn few_fields_are_reported_and_short_ones_only() {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.parse().unwrap());
    };
    (0..40).for_each(|n| add(&format!("x-ratelimit-{n}"), "1"));
    add("x-rate-limit-reset", &"9".repeat(600));
    add("set-cookie", "secret");
    add("retry-after", "2");
    let told = told(&headers);
    assert_eq!((told.len(), told[0].0.as_str()), (MOST_FIELDS, "retry-after"));
    assert!(told[1..].iter().all(|(name, _)| name.starts_with("x-ratelimit-")));
}

/// A remote over TLS for `name` that answers once, and who trusts it.
async fn over_tls(name: &str) -> (SocketAddr, Trust, JoinHandle<Option<()>>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = cert.der().clone();
    let trust = Trust::Authorities(vec![certificate.clone()]);
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.ok()?;
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()?;
        let mut asked = vec![0; 4 << 10];
        assert!(stream.read(&mut asked).await.ok()? > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
        stream.shutdown().await.ok()
    });
    (address, trust, served)
}

#[tokio::test]
async fn over_tls_the_remote_must_be_who_the_url_says() {
    for (named, trusted, end) in [
        ("api.invalid", true, CallEnd::Answered),
        ("other.invalid", true, CallEnd::Unreachable),
        ("api.invalid", false, CallEnd::Unreachable),
    ] {
        let (address, trust, served) = over_tls(named).await;
        let call = call(format!("https://api.invalid:{}/", address.port()), "/a");
        let config = if trusted { tls(&trust) } else { TLS.clone() };
        let outcome = ask(&call, asked(&call).unwrap(), address, config, None).await;
        assert_eq!(outcome.end, end, "{named}, {trusted}: {:?}", outcome.detail);
        assert_eq!(served.await.unwrap().is_some(), end == CallEnd::Answered, "nothing was asked otherwise");
    }
}

/// A remote that answers one request, and what that was.
async fn hearing(answer: &'static [u8]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut heard, mut piece) = (Vec::new(), [0; 4 << 10]);
        while !heard.ends_with(b"the end") {
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&piece[..read]);
        }
        stream.write_all(answer).await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    (address, heard)
}

#[tokio::test]
async fn a_request_leaves_as_it_was_asked_and_nobody_stands_in_for_the_services_own_fields() {
    let (address, heard) = hearing(
        b"HTTP/1.1 201 Made\r\nx-odd: \xe9\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let field = |name: &str, value: &str| (name.to_owned(), Bytes(value.as_bytes().to_vec()));
    let ask = Ask {
        method: "POST".to_owned(),
        headers: vec![field("x-api-key", "guess"), field("x-mine", "1"), field("x-mine", "2")],
        body: Bytes(b"all of it, to the end".to_vec()),
        whole_head: true,
        ..Ask::get("/a?b=%20")
    };
    let mut call = call(format!("http://{address}/v1/"), "");
    call.question = ask.to_question().unwrap();
    call.headers = vec![("X-Api-Key".to_owned(), Secret("sesame".to_owned()))];
    assert!(!format!("{:?}", asked(&call)).contains("sesame"));
    let outcome = get(&call).await;
    assert_eq!((outcome.end, outcome.head.status), (CallEnd::Answered, Some(201)));
    let head = outcome.head.whole.unwrap();
    let value =
        |name: &str| head.iter().filter(|(is, _)| is == name).map(|(_, value)| value.0.clone()).collect();
    let (odd, cookies): (Vec<_>, Vec<_>) = (value("x-odd"), value("set-cookie"));
    assert_eq!((odd, cookies), (vec![b"\xe9".to_vec()], vec![b"a=1".to_vec(), b"b=2".to_vec()]));
    let heard = heard.await.unwrap().to_ascii_lowercase();
    let lines: Vec<&str> = heard.lines().collect();
    assert_eq!(lines[0], "post /v1/a?b=%20 http/1.1");
    for line in ["x-api-key: sesame", "x-mine: 1", "x-mine: 2", "content-length: 21"] {
        assert_eq!(lines.iter().filter(|is| **is == line).count(), 1, "{line}: {heard}");
    }
    assert!(!heard.contains("guess"), "{heard}");
}

#[tokio::test]
async fn a_head_that_is_too_long_to_be_told_is_no_answer() {
    let head = ["x-long"; 90].map(|name| format!("{name}: {}\r\n", "a".repeat(1_000))).concat();
    let answer = format!("HTTP/1.1 200 OK\r\n{head}content-length: 0\r\n\r\n");
    let (address, _serving, opens) = saying(answer.into_bytes().leak()).await;
    let mut call = call(format!("http://{address}/"), "/a");
    assert_eq!(get(&call).await.end, CallEnd::Answered, "without being told it is a head like others");
    call.question = Ask { whole_head: true, ..Ask::get("/a") }.to_question().unwrap();
    let outcome = get(&call).await;
    assert_eq!((outcome.end, outcome.head.whole), (CallEnd::TooLong, None));
    opened(&opens, 2);
}

#[test]
fn what_is_no_request_is_not_sent() {
    for question in [
        "",
        "{}",
        "a",
        r#"{"method":"CONNECT","path":"/a"}"#,
        r#"{"method":"G T","path":"/a"}"#,
        r#"{"method":"GET","path":"/../a"}"#,
        r#"{"method":"GET","path":"/a","headers":[["a b","c"]]}"#,
        r#"{"method":"GET","path":"/a","headers":[["a","b\nc"]]}"#,
    ] {
        assert!(asked(&call("http://a.example/v1/".to_owned(), question)).is_err(), "{question}");
    }
}
