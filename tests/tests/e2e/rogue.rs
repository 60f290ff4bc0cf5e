//! An agent that lies: it has a place in the fleet, and says what it likes.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use egret_testkit::{Rules, WhoisRemote};
use egret_tests::{Rig, names, service};
use egret_wire::agent::{
    AgentMessage, Attempt, CLOSE_UNKNOWN_AGENT, CallEnd, CoordinatorMessage, ENROL_CONTEXT, EgressClaim,
    EnrolRequest, Enrolled, Hello, InFlight, Observed, PROTOCOL, Report,
};
use egret_wire::api::{JobState, TokenRequest};
use egret_wire::value::Bytes;
use futures_util::{SinkExt, StreamExt};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;

const QUOTA: &str = "quotas = [{ units = 1000, per = \"1s\" }]";

struct Rogue {
    socket: WebSocketStream<TcpStream>,
    agent: String,
}

impl Rogue {
    /// Joins and logs in as any agent does, from 127.0.0.`last`, with these calls in flight.
    async fn join(rig: &Rig, last: u8, in_flight: Vec<InFlight>) -> Self {
        let token = rig.client.create_token(&TokenRequest::default()).await.unwrap().token;
        let key = key(last);
        let request = EnrolRequest {
            name: "rogue".to_owned(),
            public_key: STANDARD.encode(key.public_key().as_ref()),
            signature: STANDARD.encode(key.sign(format!("{ENROL_CONTEXT}\n{token}").as_bytes())),
            token,
        };
        let text = post(rig, last, "/agent/v1/enroll", &json!(request)).await;
        let Enrolled { agent, .. } = serde_json::from_str(&text).unwrap();
        let mut rogue = Self::greet(rig, last, agent, 0, in_flight).await;
        assert!(matches!(rogue.hear().await, CoordinatorMessage::Welcome(_)));
        rogue
    }

    /// Says hello as `agent`, whose last session had that number.
    async fn greet(rig: &Rig, last: u8, agent: String, epoch: u64, in_flight: Vec<InFlight>) -> Self {
        let text = post(rig, last, "/agent/v1/observe", &json!({})).await;
        let Observed { address, proof } = serde_json::from_str(&text).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::from([127, 0, 0, last]), 0)).unwrap();
        let stream = socket.connect(rig.address).await.unwrap();
        let uri = format!("ws://{}/agent/v1/session", rig.address).parse().unwrap();
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(PROTOCOL);
        let socket = tokio_tungstenite::client_async(request, stream).await.unwrap().0;
        let mut rogue = Self { socket, agent: agent.clone() };
        let CoordinatorMessage::Challenge(challenge) = rogue.hear().await else { panic!("no challenge") };
        let hello = Hello {
            signature: STANDARD.encode(key(last).sign(&challenge.to_sign(&agent, None))),
            agent,
            version: "0".to_owned(),
            epoch,
            egresses: vec![EgressClaim { address, proof, memory: None }],
            permits: Vec::new(),
            ledgers: Vec::new(),
            in_flight,
        };
        rogue.say(&AgentMessage::Hello(hello)).await;
        rogue
    }

    async fn say(&mut self, message: &AgentMessage) {
        self.socket.send(Message::Text(serde_json::to_string(message).unwrap().into())).await.unwrap();
    }

    async fn hear(&mut self) -> CoordinatorMessage {
        loop {
            if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// Says that these attempts are over, and waits until they are to be forgotten.
    async fn report(&mut self, reports: Vec<Report>) {
        let mut attempts: Vec<Attempt> = reports.iter().map(|report| report.attempt).collect();
        self.say(&AgentMessage::Results(reports)).await;
        while !attempts.is_empty() {
            if let CoordinatorMessage::Ack(safe) = self.hear().await {
                attempts.retain(|attempt| !safe.contains(attempt));
            }
        }
    }
}

fn key(last: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[last; 32]).unwrap()
}

async fn post(rig: &Rig, last: u8, path: &str, body: &serde_json::Value) -> String {
    let from = IpAddr::from([127, 0, 0, last]);
    let http = egret_client::plain_http().local_address(from).build().unwrap();
    http.post(format!("{}{path}", rig.url)).json(body).send().await.unwrap().text().await.unwrap()
}

fn forged(attempt: Attempt, answer: Vec<u8>) -> Report {
    Report {
        attempt,
        service: "w".to_owned(),
        egress: "127.0.0.9".to_owned(),
        seal: "AAAAAAAAAAAAAAAA".to_owned(),
        end: CallEnd::Answered,
        answer: Bytes(answer),
        held_ms: 0,
        took_ms: 1,
        since_ms: 0,
        detail: None,
        ready_in_ms: None,
        status: None,
        headers: Vec::new(),
        head: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_calls_that_were_never_granted_are_left_out_and_told_of_once() {
    let remote = WhoisRemote::new(Rules::new()).start().await.unwrap();
    let mut rig = Rig::start(&service("w", remote.addr(), QUOTA)).await;
    let batch = rig.submit("service=w", names(3)).await;
    let jobs = rig.client.jobs(&egret_client::JobFilter::default()).await.unwrap().items;
    let numbers: Vec<u64> =
        jobs.iter().map(|job| job.id.parse::<egret_core::id::JobId>().unwrap().0).collect();
    // Of this start and of an earlier one, claimed as in flight as well.
    let attempts = || numbers.iter().flat_map(|job| (0..3).map(|start| Attempt(*job, 1, start, 1)));
    let call = |attempt| InFlight {
        attempt,
        service: "w".to_owned(),
        egress: "127.0.0.9".to_owned(),
        seal: String::new(),
    };
    let mut rogue = Rogue::join(&rig, 9, attempts().map(call).collect()).await;
    for _ in 0..20 {
        let lies = attempts().map(|attempt| forged(attempt, b"domain: free for all\r\n".to_vec()));
        rogue.report(lies.collect()).await;
    }
    rig.agent(2);
    let answered = rig.results(&batch.id).await;
    assert!(
        answered.iter().all(|job| job.state == JobState::Done && job.result.attempts.len() == 1),
        "{answered:?}"
    );
    assert!(answered.iter().all(|job| job.result.attempts[0].egress == "127.0.0.2"), "{answered:?}");
    assert_eq!(rig.coordinator.said().matches("never granted to this agent").count(), 1);
    assert_eq!(remote.shutdown().await.total.tally.calls, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_results_takes_no_memory() {
    let rig = Rig::start("").await;
    let mut rogue = Rogue::join(&rig, 9, Vec::new()).await;
    let flood = |n: u64| (0..8).map(|m| forged(Attempt(n, 1, 1, m), vec![b'x'; 1 << 20])).collect::<Vec<_>>();
    rogue.report(flood(0)).await;
    let before = rig.coordinator.resident();
    for n in 1..40 {
        rogue.report(flood(n)).await;
    }
    let grown = rig.coordinator.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "320 MiB of results took {} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_revoked_while_it_logs_in_has_no_session() {
    let rig = Rig::start(&service("w", "127.0.0.1:43".parse().unwrap(), QUOTA)).await;
    let mut first = Rogue::join(&rig, 9, Vec::new()).await;
    let mut second = Rogue::greet(&rig, 9, first.agent.clone(), 1, Vec::new()).await;
    // The second is known already when the coordinator asks whether the first is there, which never answers.
    while !matches!(first.socket.next().await.unwrap().unwrap(), Message::Ping(_)) {}
    rig.client.revoke_agent(&first.agent).await.unwrap();
    let closed = loop {
        match second.socket.next().await.unwrap().unwrap() {
            Message::Text(text) => panic!("it was let in: {text}"),
            Message::Close(frame) => break frame.unwrap(),
            _ => {}
        }
    };
    assert_eq!(u16::from(closed.code), CLOSE_UNKNOWN_AGENT, "{}", closed.reason);
    assert!(rig.client.agents().await.unwrap().items.is_empty());
}
