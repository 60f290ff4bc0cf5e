//! A stage for tests: a server that plays prepared answers, one connection each, and writes down what it heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Client;

/// The server. It plays its last answer no more than once.
pub(crate) struct Stage {
    url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

/// A batch that runs.
pub(crate) const BATCH: &str = r#"{"id":"bat_1","state":"running","jobs_total":2,"queued":2,"running":0,"done":0,
    "failed":0,"expired":0,"cancelled":0,"refusals":0,"rejected":[],"rejected_total":0,
    "rate_per_second":0.0,"created_at":"2026-01-01T00:00:00.000Z","ended_at":null}"#;
/// In an answer: the text after it leaves a little later, in a packet of its own.
pub(crate) const PAUSE: char = '\u{1}';

impl Stage {
    /// Listens, and answers the n-th connection with the n-th of `answers`, closing it afterwards.
    pub(crate) async fn playing(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let request = hear(&mut socket).await;
                notes.lock().unwrap().push(request);
                play(&mut socket, &answer).await;
            }
        });
        Self { url, heard }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url, None).unwrap()
    }

    /// Every request so far: head and body as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// An answer with a body of known length.
pub(crate) fn json(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// An answer in chunks; with `whole` the body ends as it should, else it is cut off.
pub(crate) fn chunked(pieces: &[&str], whole: bool) -> String {
    let mut answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n".to_owned();
    for piece in pieces {
        answer.push(PAUSE);
        answer.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
    }
    if whole {
        answer.push_str("0\r\n\r\n");
    }
    answer
}

async fn hear(socket: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    while !is_whole(&heard) {
        if socket.read_buf(&mut heard).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(heard).unwrap()
}

fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn play(socket: &mut TcpStream, answer: &str) {
    for piece in answer.split(PAUSE) {
        socket.write_all(piece.as_bytes()).await.unwrap();
        socket.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
