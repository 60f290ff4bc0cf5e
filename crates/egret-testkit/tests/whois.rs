//! The whois remote over real sockets: who is let in, what the others get, what the score says of it.

use egret_testkit::{
    Answers, Ban, CountOn, Drip, Limit, Refusal, Remote, Robin, Rules, Troubles, WhoisRemote, ask, echo_text,
};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const MINUTE: Duration = Duration::from_secs(60);

fn five_a_minute() -> Rules {
    Rules::new().limit(Limit::Sliding { units: 5, per: MINUTE })
}

async fn start(remote: WhoisRemote) -> Remote {
    remote.start().await.expect("loopback has a free port")
}

fn denied(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).contains("access denied")
}

/// Uses up the five calls of a minute.
async fn spend(remote: &Remote, source: IpAddr) {
    for n in 0..5 {
        let query = format!("example{n}.org");
        assert_eq!(ask(remote.addr(), source, &query).await.ok(), Some(echo_text(&query)), "call {n}");
    }
}

#[tokio::test]
async fn the_sixth_of_five_a_minute_is_refused_and_another_source_is_not() {
    let remote = start(WhoisRemote::new(five_a_minute())).await;
    spend(&remote, A).await;
    assert!(denied(&ask(remote.addr(), A, "example5.org").await.unwrap()));
    spend(&remote, B).await;
    let arrivals = remote.arrivals(A);
    assert!(arrivals.len() == 6 && arrivals.is_sorted());
    let score = remote.shutdown().await;
    let (a, b) = (score.peer(A), score.peer(B));
    assert_eq!((a.tally.calls, a.tally.answered, a.tally.refused), (6, 5, 1));
    assert_eq!((b.tally.calls, b.tally.answered, b.tally.refused), (5, 5, 0));
    assert_eq!((a.worst_in_window[0].worst, b.worst_in_window[0].worst), (6, 5));
    assert_eq!((a.first_arrival, a.last_arrival), (Some(arrivals[0]), Some(arrivals[5])));
    assert!(!score.is_within_limits());
}

#[tokio::test]
async fn a_refusal_can_be_an_empty_answer_or_a_reset() {
    for (refusal, expected) in
        [(Refusal::Close, Ok(Vec::new())), (Refusal::Reset, Err(ErrorKind::ConnectionReset))]
    {
        let remote = start(WhoisRemote::new(five_a_minute()).refusal(refusal)).await;
        spend(&remote, A).await;
        assert_eq!(ask(remote.addr(), A, "example.org").await.map_err(|error| error.kind()), expected);
        assert_eq!(remote.score().peer(A).tally.refused, 1);
    }
}

#[tokio::test]
async fn one_address_can_be_banned_and_let_in_again_from_outside() {
    let remote = start(WhoisRemote::new(Rules::new()).ban_refusal(Refusal::Close)).await;
    remote.ban(A, MINUTE);
    assert_eq!(ask(remote.addr(), A, "example.org").await.unwrap(), b"");
    assert_eq!(ask(remote.addr(), B, "example.org").await.unwrap(), echo_text("example.org"));
    remote.unban(A);
    assert_eq!(ask(remote.addr(), A, "example.org").await.unwrap(), echo_text("example.org"));
    let tally = remote.score().peer(A).tally;
    assert_eq!((tally.calls, tally.banned, tally.answered), (2, 1, 1));
}

#[tokio::test]
async fn the_first_refusal_bans_where_the_rule_says_so() {
    let remote = start(WhoisRemote::new(five_a_minute().ban(Ban::of(MINUTE)))).await;
    spend(&remote, A).await;
    for _ in 0..3 {
        assert!(denied(&ask(remote.addr(), A, "example.org").await.unwrap()));
    }
    let tally = remote.score().peer(A).tally;
    assert_eq!((tally.refused, tally.banned), (1, 2));
}

#[tokio::test]
async fn counted_at_the_connect_a_silent_connection_spends_a_call() {
    for (count_on, calls) in [(CountOn::Connect, 1), (CountOn::Query, 0)] {
        let remote = start(WhoisRemote::new(five_a_minute()).count_on(count_on)).await;
        let mut silent = TcpStream::connect(remote.addr()).await.unwrap();
        silent.shutdown().await.unwrap();
        assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
        let tally = remote.score().total.tally;
        assert_eq!((tally.opens, tally.no_query, tally.calls), (1, 1, calls), "{count_on:?}");
    }
}

#[tokio::test]
async fn a_refusal_at_the_connect_arrives_whole_and_lets_the_peer_finish_its_query() {
    let remote = start(WhoisRemote::new(five_a_minute()).count_on(CountOn::Connect)).await;
    spend(&remote, A).await;
    assert!(denied(&ask(remote.addr(), A, "example.org").await.unwrap()));

    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    spend(&remote, source).await;
    let mut stream = TcpStream::connect(remote.addr()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(denied(&answer));
    for piece in ["exam", "ple.org", "\r\n"] {
        stream.write_all(piece.as_bytes()).await.expect("no reset between the pieces");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_open_connection_is_refused_and_one_after_the_other_is_not() {
    let remote = start(WhoisRemote::new(Rules::new().max_open(1))).await;
    for n in 0..500 {
        let query = format!("example{n}.org");
        assert_eq!(ask(remote.addr(), A, &query).await.unwrap(), echo_text(&query));
    }
    let _first = TcpStream::connect(remote.addr()).await.unwrap();
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(denied(&ask(remote.addr(), source, "example.org").await.unwrap()));
    let score = remote.score();
    assert_eq!((score.peer(A).tally.over_open, score.peer(source).tally.over_open), (0, 1));
    assert_eq!(score.peer(source).tally.calls, 0);
}

#[tokio::test]
async fn a_dropped_call_counts_and_ends_without_an_answer() {
    let hold = Duration::from_millis(30);
    let troubles = Troubles { drop_every: 2, hold, ..Troubles::default() };
    let remote = start(WhoisRemote::new(five_a_minute().troubles(troubles))).await;
    assert_eq!(ask(remote.addr(), A, "one").await.unwrap(), echo_text("one"));
    let asked = Instant::now();
    assert_eq!(ask(remote.addr(), A, "two").await.unwrap(), b"");
    assert!(asked.elapsed() >= hold);
    let tally = remote.score().peer(A).tally;
    assert_eq!((tally.calls, tally.answered, tally.dropped), (2, 1, 1));
}

#[tokio::test]
async fn latency_comes_after_the_count_and_the_way_in_before_it() {
    let wait = Duration::from_millis(40);
    for troubles in [
        Troubles { latency: wait, ..Troubles::default() },
        Troubles { jitter: wait..=wait, ..Troubles::default() },
        Troubles { way_in: wait..=wait, ..Troubles::default() },
    ] {
        let counted_late = !troubles.way_in.end().is_zero();
        let remote = start(WhoisRemote::new(Rules::new().troubles(troubles))).await;
        let asked = Instant::now();
        ask(remote.addr(), A, "example.org").await.unwrap();
        assert!(asked.elapsed() >= wait);
        assert!(!counted_late || remote.arrivals(A)[0] >= wait);
    }
}

#[tokio::test]
async fn answers_can_be_large_trickling_or_without_end() {
    let padded = Troubles { pad_to: 300_000, ..Troubles::default() };
    let remote = start(WhoisRemote::new(Rules::new().troubles(padded))).await;
    let answer = ask(remote.addr(), A, "example.org").await.unwrap();
    assert!(answer.len() == 300_000 && answer.starts_with(&echo_text("example.org")));

    let drip = Some(Drip { bytes: 100, every: Duration::from_millis(2) });
    let remote =
        start(WhoisRemote::new(Rules::new().troubles(Troubles { drip, ..Troubles::default() }))).await;
    assert_eq!(ask(remote.addr(), A, "example.org").await.unwrap(), echo_text("example.org"));

    let endless = Troubles { endless: true, ..Troubles::default() };
    let remote = start(WhoisRemote::new(Rules::new().troubles(endless))).await;
    assert_eq!(
        ask(remote.addr(), A, "example.org").await.unwrap().len(),
        1 << 20,
        "cut by the client's own cap"
    );
}

#[tokio::test]
async fn a_table_answers_what_it_holds_and_says_so_otherwise() {
    let table = HashMap::from([("example.org".to_owned(), b"a record".to_vec())]);
    let remote = start(WhoisRemote::new(Rules::new()).answers(Answers::Table(table))).await;
    assert_eq!(ask(remote.addr(), A, "example.org").await.unwrap(), b"a record");
    assert_eq!(ask(remote.addr(), A, "example.net").await.unwrap(), b"% No match for \"example.net\".\r\n");
}

#[tokio::test]
async fn a_query_in_pieces_is_one_query_and_one_without_an_end_is_none() {
    let remote = start(WhoisRemote::new(Rules::new())).await;
    let mut stream = TcpStream::connect(remote.addr()).await.unwrap();
    for piece in ["exam", "ple.org", "\r", "\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, echo_text("example.org"));

    let mut stream = TcpStream::connect(remote.addr()).await.unwrap();
    stream.write_all(&[b'x'; 4096]).await.unwrap();
    // Closed without an answer, in order or by a reset.
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let tally = remote.score().total.tally;
    assert_eq!((tally.calls, tally.no_query), (1, 1));
}

#[tokio::test]
async fn blind_round_robin_gets_no_more_than_the_limit_from_each_source() {
    let remote = start(WhoisRemote::new(five_a_minute())).await;
    let robin = Robin { remote: remote.addr(), sources: vec![A, B], concurrency: 8 };
    let outcome = robin.run((0..40).map(|n| format!("example{n}.org")).collect()).await;
    assert_eq!((outcome.answered, outcome.refused, outcome.failed), (10, 30, 0));
    let score = remote.score();
    assert_eq!([A, B].map(|peer| score.peer(peer).worst_in_window[0].worst), [20, 20]);
}

#[tokio::test]
async fn after_shutdown_the_port_is_free_and_open_connections_are_gone() {
    let remote = start(WhoisRemote::new(Rules::new())).await;
    let addr = remote.addr();
    let mut waiting = TcpStream::connect(addr).await.unwrap();
    ask(addr, A, "example.org").await.unwrap();
    remote.shutdown().await;
    assert_eq!(waiting.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(ask(addr, A, "example.org").await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    start(WhoisRemote::new(Rules::new()).listen(addr)).await;
}

#[tokio::test]
async fn addresses_of_one_network_can_be_one_peer() {
    let remote = start(WhoisRemote::new(five_a_minute().networks(30, 64))).await;
    spend(&remote, A).await;
    assert!(denied(&ask(remote.addr(), B, "example5.org").await.unwrap()), "127.0.0.2 and .3 are one");
    spend(&remote, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4))).await;
    let peers: Vec<IpAddr> = remote.shutdown().await.peers.into_keys().collect();
    assert_eq!(peers, ["127.0.0.0", "127.0.0.4"].map(|network| network.parse::<IpAddr>().unwrap()));
}
