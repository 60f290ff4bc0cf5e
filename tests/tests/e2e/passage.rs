//! Answers that pass through as they come: nobody holds them, whoever reads slowly holds up nobody else, and an answer
//! that was cut is never taken for a whole one.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use egret_tests::{PATIENCE, Rig, http};
use egret_wire::agent::{Attempt, CallEnd, Report};
use egret_wire::passage::{AgentMessage, Begins, PROTOCOL};
use egret_wire::value::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;

/// Bytes of the long answers.
const LONG: usize = 48 << 20;
const PIECE: usize = 1 << 20;

/// A service that answers by its path, and goes on when it is told to.
#[derive(Clone)]
struct Service {
    address: SocketAddr,
    /// Who asked what.
    heard: Arc<Mutex<Vec<(IpAddr, String)>>>,
    goes_on: Arc<Notify>,
    /// A connection was left before its answer was whole.
    was_left: Arc<Notify>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            Self { address, heard: Arc::default(), goes_on: Arc::default(), was_left: Arc::default() };
        let serving = service.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    let was_left = Arc::clone(&serving.was_left);
                    if serving.serve(stream, peer.ip()).await.is_err() {
                        was_left.notify_one();
                    }
                });
            }
        });
        service
    }

    fn asked(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    async fn serve(self, mut stream: TcpStream, peer: IpAddr) -> std::io::Result<()> {
        let (mut request, mut piece) = (Vec::new(), [0; 4 << 10]);
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read(&mut piece).await?;
            request.extend_from_slice(&piece[..read]);
        }
        let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default().to_owned();
        let is_first = {
            let mut heard = self.heard.lock().unwrap();
            heard.push((peer, path.clone()));
            heard.len() == 1
        };
        match &*path {
            "/long" => {
                stream
                    .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n").as_bytes())
                    .await?;
                for n in 0..LONG / PIECE {
                    stream.write_all(&piece_of_long(n)).await?;
                }
            }
            "/endless" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 64 << 10]).await?;
                }
            }
            "/slow" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-trace: 7\r\n\r\nfirst").await?;
                tokio::select! {
                    () = self.goes_on.notified() => stream.write_all(b", then").await?,
                    // Nothing more is sent: it was left.
                    _ = stream.read(&mut piece) => return Err(std::io::ErrorKind::BrokenPipe.into()),
                }
            }
            "/cut" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n").await?;
                stream.write_all(&[b'x'; 150_000]).await?;
            }
            "/cut-chunks" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n249f0\r\n").await?;
                stream.write_all(&[b'x'; 150_000]).await?;
            }
            "/both" => {
                let head =
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 10\r\n\r\n249f0\r\n";
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&[b'x'; 150_000]).await?;
                stream.write_all(b"\r\n0\r\n\r\n").await?;
            }
            "/slowly-refusing" if is_first => {
                stream.write_all(b"HTTP/1.1 400 Bad\r\ncontent-length: 9\r\n\r\ntoo ").await?;
                // Longer than an answer is waited for before it is handed on.
                tokio::time::sleep(Duration::from_millis(600)).await;
                stream.write_all(b"often").await?;
            }
            "/refusing" if is_first => {
                stream.write_all(b"HTTP/1.1 429 Slow\r\ncontent-length: 300000\r\n\r\n").await?;
                stream.write_all(&[b'r'; 300_000]).await?;
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?,
        }
        Ok(())
    }
}

/// No two pieces of a long answer are alike.
fn piece_of_long(n: usize) -> Vec<u8> {
    [&n.to_be_bytes()[..], b"abcdefgh"].concat().repeat(PIECE / 16)
}

async fn rig(service: &Service, rest: &str, agents: u8) -> Rig {
    rig_with(service, "units = 90, per = \"1s\"", rest, agents).await
}

async fn rig_with(service: &Service, quota: &str, rest: &str, agents: u8) -> Rig {
    let service = format!(
        "[[service]]\nid = \"api\"\nprotocol = \"http\"\naddress = \"http://{}/\"\n\
         allow_private_addresses = true\nquotas = [{{ {quota} }}]\n{rest}\n",
        service.address
    );
    let mut rig = Rig::start(&service).await;
    (2..2 + agents).for_each(|n| rig.agent(n));
    rig
}

fn get(rig: &Rig, path: &str) -> RequestBuilder {
    http().get(format!("http://{}/v1/via/api/{path}", rig.address))
}

async fn ok(request: RequestBuilder) -> Response {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// Waits until no call is under way.
async fn await_quiet(rig: &Rig) -> Value {
    let began = Instant::now();
    loop {
        let url = format!("http://{}/v1/quota/api", rig.address);
        let quota: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        let quota = quota["services"][0].clone();
        if quota["running"] == 0 {
            return quota;
        }
        assert!(began.elapsed() < PATIENCE, "{quota}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_passes_through_and_is_held_by_nobody() {
    let service = Service::start().await;
    let rig = rig(&service, "max_answer = \"48MiB\"\ntimeout = \"1h\"", 1).await;
    ok(get(&rig, "short")).await;
    let before = (rig.coordinator.peak(), rig.agents[0].peak());
    let mut response = ok(get(&rig, "long")).await;
    assert_eq!(response.content_length(), Some(LONG as u64));
    assert_eq!(response.headers()["x-egret-egress"], "127.0.0.2");
    let (mut came, mut expected, mut n) = (0, Vec::new(), 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        came += chunk.len();
        while expected.len() < chunk.len() {
            expected.extend(piece_of_long(n));
            n += 1;
        }
        let rest = expected.split_off(chunk.len());
        assert!(expected == chunk, "the first {came} bytes are not as they were sent");
        expected = rest;
    }
    assert_eq!(came, LONG);
    let grown = (rig.coordinator.peak() - before.0, rig.agents[0].peak() - before.1);
    assert!(grown.0 < 16 << 20 && grown.1 < 16 << 20, "48 MiB took {grown:?} bytes");
    await_quiet(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_can_be_read_before_the_service_goes_on() {
    let service = Service::start().await;
    let rig = rig(&service, "timeout = \"1h\"", 1).await;
    let mut response = ok(get(&rig, "slow")).await;
    assert_eq!(response.headers()["x-trace"], "7");
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    // A job of another caller is answered meanwhile.
    assert_eq!(ok(get(&rig, "short")).await.text().await.unwrap(), "ok");
    service.goes_on.notify_one();
    assert_eq!(response.text().await.unwrap(), ", then");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_is_cut_for_its_caller_too_and_is_not_asked_for_again() {
    let service = Service::start().await;
    let mut rig = rig(&service, "timeout = \"1h\"", 1).await;
    for path in ["cut", "cut-chunks"] {
        let response = ok(get(&rig, path)).await;
        assert!(response.bytes().await.is_err(), "{path}");
    }
    assert_eq!(service.asked(), 2);
    // By the death of the agent.
    let mut response = ok(get(&rig, "slow")).await;
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    rig.agents[0].kill();
    assert!(response.text().await.is_err());
    assert_eq!(service.asked(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_much_passes_as_may() {
    let service = Service::start().await;
    let rig = rig(&service, "max_answer = \"8MiB\"\ntimeout = \"1h\"", 1).await;
    let long = get(&rig, "long").send().await.unwrap();
    let problem: Value = long.json().await.unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(502), &json!("bad_answer")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("longer than 8388608 bytes"), "{problem}");
    service.was_left.notified().await;

    let mut endless = ok(get(&rig, "endless")).await;
    let mut came = 0;
    let error = loop {
        match endless.chunk().await {
            Ok(chunk) => came += chunk.unwrap().len(),
            Err(error) => break error,
        }
    };
    // The last piece is the one that would have been too much.
    assert!((7 << 20..=8 << 20).contains(&came), "{came}: {error}");
    service.was_left.notified().await;

    // What a job keeps is less.
    let job = json!({"lookup": "http", "service": "api", "target": "/endless"});
    let job =
        http().post(format!("http://{}/v1/jobs?wait=60s", rig.address)).json(&job).send().await.unwrap();
    let job: Value = job.json().await.unwrap();
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("bad_answer")), "{job}");
    assert!(job["error"]["detail"].as_str().unwrap().contains("longer than 4194304 bytes"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_no_longer_than_its_time_out_and_a_service_that_has_begun_to_answer_is_not_down() {
    let service = Service::start().await;
    let rig = rig(&service, "timeout = \"5s\"", 1).await;
    let mut slow = ok(get(&rig, "slow")).await;
    assert_eq!(slow.chunk().await.unwrap().unwrap(), "first");
    assert!(slow.chunk().await.is_err(), "the service says no more");
    service.was_left.notified().await;
    // As often as would make a service look dead that does not answer; it would be tried again after 5 s at the earliest.
    let slow: Vec<Response> = join_all((0..8).map(|_| ok(get(&rig, "slow")))).await;
    assert!(join_all(slow.into_iter().map(Response::text)).await.iter().all(Result::is_err));
    ok(get(&rig, "short").header("x-egret-wait", "4s")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_in_the_middle_ends_the_call_which_is_charged() {
    let service = Service::start().await;
    let rig = rig_with(&service, "units = 9, per = \"1h\"", "timeout = \"1h\"", 1).await;
    for path in ["slow", "endless"] {
        let mut response = ok(get(&rig, path)).await;
        response.chunk().await.unwrap();
        drop(response);
        service.was_left.notified().await;
    }
    let quota = await_quiet(&rig).await;
    assert_eq!((&quota["queued"], &quota["budgets"][0]["used"]), (&json!(0), &json!(2)), "{quota}");
    assert_eq!(service.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_holds_up_nobody_else() {
    let service = Service::start().await;
    let rig = rig(&service, "max_answer = \"48MiB\"\ntimeout = \"1h\"", 1).await;
    let before = (rig.coordinator.resident(), rig.agents[0].resident());
    let unread: Vec<Response> = join_all((0..8).map(|_| ok(get(&rig, "long")))).await;
    for _ in 0..200 {
        assert_eq!(ok(get(&rig, "short")).await.text().await.unwrap(), "ok");
    }
    let grown = (rig.coordinator.resident() - before.0, rig.agents[0].resident() - before.1);
    assert!(grown.0 < 48 << 20 && grown.1 < 48 << 20, "8 answers of 48 MiB, unread, take {grown:?} bytes");
    drop(unread);
    await_quiet(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_long_or_slow_is_nobodys_answer() {
    for path in ["refusing", "slowly-refusing"] {
        let service = Service::start().await;
        let rig = rig(&service, "refused_when = [{ text = \"too often\" }]", 2).await;
        let response = ok(get(&rig, path)).await;
        assert_eq!(response.text().await.unwrap(), "ok");
        let heard = service.heard.lock().unwrap().clone();
        assert_eq!(heard.len(), 2);
        assert_ne!(heard[0].0, heard[1].0, "another address was asked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_the_end_belies_is_not_handed_on_and_who_cannot_see_a_cut_gets_answers_whole() {
    let service = Service::start().await;
    let rig = rig(&service, "timeout = \"1h\"", 1).await;
    assert_eq!(ok(get(&rig, "both")).await.bytes().await.unwrap().len(), 150_000);
    let old = async |path: &str| {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let request = format!("GET /v1/via/api/{path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let whole = old("both").await;
    assert!(
        whole.starts_with("HTTP/1.0 200") && whole.contains("\r\ncontent-length: 150000\r\n"),
        "{whole:.300}"
    );
    assert!(whole.ends_with("xxx"));
    let cut = old("cut-chunks").await;
    assert!(cut.starts_with("HTTP/1.0 50"), "{cut:.300}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_granted_nothing_has_no_answer_to_hand_on() {
    let service = Service::start().await;
    let rig = rig(&service, "timeout = \"1h\"", 1).await;
    let mut waits = ok(get(&rig, "slow")).await;
    let report = Report {
        attempt: Attempt(1, 1, 1, 1),
        service: "api".to_owned(),
        egress: "127.0.0.2".to_owned(),
        seal: "AAAAAAAAAAAAAAAA".to_owned(),
        end: CallEnd::Answered,
        answer: Bytes(b"forged".to_vec()),
        held_ms: 0,
        took_ms: 1,
        since_ms: 0,
        detail: None,
        ready_in_ms: None,
        status: Some(200),
        headers: Vec::new(),
        head: Some(Vec::new()),
    };
    let agent = rig.client.agents().await.unwrap().items.remove(0).id;
    let begins = AgentMessage::Begins(Box::new(Begins { agent, report }));
    let begins = serde_json::to_string(&begins).unwrap();
    for said in [&begins, "{\"ends\":{}}", "{", ""] {
        let uri = format!("ws://{}/agent/v1/answer", rig.address).parse().unwrap();
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(PROTOCOL);
        let stream = TcpStream::connect(rig.address).await.unwrap();
        let mut socket = tokio_tungstenite::client_async(request, stream).await.unwrap().0;
        socket.send(Message::Text(said.into())).await.unwrap();
        while let Some(frame) = socket.next().await {
            assert!(!matches!(frame, Ok(Message::Text(_) | Message::Binary(_))), "{said}: {frame:?}");
        }
    }
    service.goes_on.notify_one();
    assert_eq!(waits.chunk().await.unwrap().unwrap(), "first");
    assert_eq!(waits.text().await.unwrap(), ", then");
}
