//! Whoever uses the API: submits until told that a job is accepted, and looks how it ended.

use std::time::Duration;

use bytes::Bytes;
use egret_core::id::JobId;
use egret_wire::api::{JobState, JobView};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

use crate::scene::{KEY, PORT, Shared, look};

/// How long an exchange may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One exchange; `None`: no answer came.
pub(crate) async fn ask(
    scene: &Shared,
    method: Method,
    path: &str,
    key: &str,
    body: String,
) -> Option<(u16, Bytes)> {
    let to = (look(scene).coordinator, PORT);
    let exchange = async {
        let stream = TcpStream::connect(to).await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let driven = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "coordinator");
        request = request.header("authorization", format!("Bearer {KEY}"));
        if !key.is_empty() {
            request = request.header("idempotency-key", key).header("content-type", "application/json");
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        driven.abort();
        Some((status, body))
    };
    timeout(PATIENCE, exchange).await.ok().flatten()
}

/// Submits jobs, at random times until `until`, and looks after them until all have ended.
pub(crate) async fn call(scene: Shared, jobs: usize, until: Duration) -> turmoil::Result {
    while look(&scene).token.is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    let mut wait = vec![];
    for n in 0..jobs {
        let after = until.mul_f64(fastrand::f64());
        wait.push(tokio::spawn(submit(scene.clone(), n, after)));
    }
    for submitted in wait {
        submitted.await?;
    }
    loop {
        let open: Vec<JobId> = {
            let scene = look(&scene);
            scene.accepted.iter().filter(|job| !scene.ended.contains_key(job)).copied().collect()
        };
        if open.is_empty() {
            break;
        }
        for job in open {
            see(&scene, job).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    look(&scene).is_done = true;
    std::future::pending().await
}

/// Submits one job until it is accepted, and looks at it now and then.
pub(crate) async fn submit(scene: Shared, n: usize, after: Duration) {
    sleep(after).await;
    let services = look(&scene).rules.len();
    let body = format!(
        r#"{{"lookup":"whois","service":"w{}","target":"name{n}.example"}}"#,
        fastrand::usize(..services)
    );
    let job = loop {
        match ask(&scene, Method::POST, "/v1/jobs", &format!("key{n}"), body.clone()).await {
            // Asked again it may have ended meanwhile.
            Some((200 | 202, body)) => {
                let id = serde_json::from_slice::<JobView>(&body).unwrap().id;
                break id.parse().unwrap();
            }
            // A request that was cut off holds its key until the next start.
            Some((409 | 500..600, _)) | None => {}
            Some((status, body)) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                return look(&scene).object(format!("submitting was answered {status}: {body}"));
            }
        }
        sleep(Duration::from_millis(fastrand::u64(100..1_000))).await;
    };
    look(&scene).accepted.insert(job);
    for _ in 0..4 {
        sleep(Duration::from_millis(fastrand::u64(10..8_000))).await;
        if fastrand::u8(..20) == 0 {
            // Whether that was heard or not, it ends once.
            ask(&scene, Method::DELETE, &format!("/v1/jobs/{job}"), "", String::new()).await;
        }
        see(&scene, job).await;
    }
}

/// Looks at a job; an end that was told before must still be the same.
async fn see(scene: &Shared, job: JobId) {
    let Some((status, body)) = ask(scene, Method::GET, &format!("/v1/jobs/{job}"), "", String::new()).await
    else {
        return;
    };
    let mut scene = look(scene);
    match (status, serde_json::from_slice::<JobView>(&body)) {
        (200, Ok(view)) => {
            let end = match view.state {
                JobState::Queued | JobState::Running => None,
                _ => Some(format!("{:?} {:?} {:?}", view.state, view.ended_at, view.result.answer)),
            };
            let before = scene.ended.get(&job).cloned();
            match (before, end) {
                (Some(before), end) if end.as_ref() != Some(&before) => {
                    scene.object(format!("{job} had ended as {before}, and now {end:?}"));
                }
                (None, Some(end)) => {
                    scene.ended.insert(job, end);
                }
                _ => {}
            }
        }
        (500..600, _) => {}
        (status, _) => scene.object(format!("{job} was accepted, and asking for it is answered {status}")),
    }
}
