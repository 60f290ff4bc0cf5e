//! The HTTP remote over real sockets, asked by hand so that every byte of an answer is seen.

use egret_testkit::{Answers, Drip, HttpRefusal, HttpRemote, Limit, Remote, Rules, Troubles, echo_json};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

fn two_a_minute() -> Rules {
    Rules::new().limit(Limit::Fixed { units: 2, per: Duration::from_secs(3_600), phase: Duration::ZERO })
}

async fn start(remote: HttpRemote) -> Remote {
    remote.start().await.expect("loopback has a free port")
}

/// Sends requests for `paths` over one connection and reads until the remote closes it.
async fn get(remote: &Remote, source: IpAddr, paths: &[&str]) -> io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    let mut stream = socket.connect(remote.addr()).await?;
    for (n, path) in paths.iter().enumerate() {
        let last = if n + 1 == paths.len() { "connection: close\r\n" } else { "" };
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{last}\r\n").as_bytes()).await?;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[tokio::test]
async fn the_third_of_two_gets_429_with_retry_after_rounded_up() {
    let refusal = HttpRefusal::Status { code: 429, retry_after: Some(Duration::from_millis(1_200)) };
    let remote = start(HttpRemote::new(two_a_minute()).refusal(refusal)).await;
    for path in ["/domain/one.example", "/domain/two.example"] {
        let answer = get(&remote, A, &[path]).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && body(&answer).as_bytes() == echo_json(path),
            "{answer}"
        );
    }
    let refused = get(&remote, A, &["/domain/three.example"]).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("\r\nretry-after: 2\r\n"), "{refused}");
    assert!(get(&remote, B, &["/"]).await.unwrap().starts_with("HTTP/1.1 200 "));
    let score = remote.shutdown().await;
    let (a, b) = (score.peer(A), score.peer(B));
    assert_eq!((a.tally.answered, a.tally.refused, a.worst_in_window[0].worst), (2, 1, 3));
    assert_eq!((b.tally.answered, b.tally.refused, b.worst_in_window[0].worst), (1, 0, 1));
}

#[tokio::test]
async fn requests_are_counted_each_on_a_kept_connection() {
    let refusal = HttpRefusal::Status { code: 503, retry_after: None };
    let remote = start(HttpRemote::new(two_a_minute()).refusal(refusal)).await;
    let answers = get(&remote, A, &["/1", "/2", "/3"]).await.unwrap();
    assert_eq!((answers.matches("HTTP/1.1 200 ").count(), answers.matches("HTTP/1.1 503 ").count()), (2, 1));
    assert!(!answers.contains("retry-after"));
    let tally = remote.score().peer(A).tally;
    assert_eq!((tally.opens, tally.calls, tally.cut), (1, 3, 0));
}

#[tokio::test]
async fn a_refusal_can_be_a_closed_connection() {
    let remote = start(HttpRemote::new(two_a_minute()).refusal(HttpRefusal::Close)).await;
    remote.ban(B, Duration::from_secs(60));
    assert_eq!(get(&remote, B, &["/"]).await.unwrap(), "");
    assert_eq!(remote.score().peer(B).tally.banned, 1);
}

#[tokio::test]
async fn a_dropped_request_counts_and_is_never_answered() {
    let troubles = Troubles { drop_every: 1, hold: Duration::from_millis(5), ..Troubles::default() };
    let remote = start(HttpRemote::new(two_a_minute().troubles(troubles))).await;
    assert_eq!(get(&remote, A, &["/"]).await.unwrap(), "");
    assert_eq!(remote.score().peer(A).tally.dropped, 1);
}

#[tokio::test]
async fn a_padded_trickling_answer_is_still_json() {
    let drip = Some(Drip { bytes: 1_000, every: Duration::from_millis(1) });
    let troubles = Troubles { pad_to: 5_000, drip, ..Troubles::default() };
    let remote = start(HttpRemote::new(Rules::new().troubles(troubles))).await;
    let answer = get(&remote, A, &["/domain/example.org"]).await.unwrap();
    assert_eq!(body(&answer).len(), 5_000);
    let json: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(json["ldhName"], "example.org");
    assert_eq!(remote.score().total.tally.cut, 0);
}

#[tokio::test]
async fn a_path_that_no_table_holds_is_not_found() {
    let table = HashMap::from([("/a?b=1".to_owned(), b"{}".to_vec())]);
    let remote = start(HttpRemote::new(Rules::new()).answers(Answers::Table(table))).await;
    assert_eq!(body(&get(&remote, A, &["/a?b=1"]).await.unwrap()), "{}");
    assert!(get(&remote, A, &["/a"]).await.unwrap().starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn a_second_open_connection_is_closed() {
    let remote = start(HttpRemote::new(Rules::new().max_open(1))).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(A, 0)).unwrap();
    let _first = socket.connect(remote.addr()).await.unwrap();
    // Closed over an unread request, which may show as a reset.
    assert_eq!(get(&remote, A, &["/"]).await.unwrap_or_default(), "");
    assert_eq!(remote.score().peer(A).tally.over_open, 1);
}

#[tokio::test]
async fn an_answer_can_have_any_head_and_leave_its_connection_to_die() {
    let idle = Duration::from_millis(50);
    let remote = HttpRemote::new(two_a_minute()).status(302).header("location", "/again").idle(idle);
    let remote = start(remote).await;
    let mut stream = TcpSocket::new_v4().unwrap().connect(remote.addr()).await.unwrap();
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 302 ") && answer.contains("\r\nlocation: /again\r\n"), "{answer}");
    assert!(!answer.contains("connection: close") && body(&answer).as_bytes() == echo_json("/a"), "{answer}");
}
