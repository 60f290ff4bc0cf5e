//! Idempotency keys: one request runs, its answer is repeated.

use std::sync::Arc;

use egret_store::{KeyClaim, Store};

use crate::Home;
use crate::rows::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

pub(crate) async fn a_key_is_fresh_once(home: &dyn Home) {
    let store = home.open();
    assert_eq!(claim(&*store, "k", 1, 0).await, KeyClaim::Fresh);
    assert_eq!(claim(&*store, "k", 1, 0).await, KeyClaim::InFlight);
    assert_eq!(claim(&*store, "other", 1, 0).await, KeyClaim::Fresh);
}

pub(crate) async fn an_answer_is_repeated_and_never_replaced(home: &dyn Home) {
    let store = home.open();
    claim(&*store, "k", 1, 0).await;
    answer(&*store, "k", b"first").await;
    answer(&*store, "k", b"second").await;
    release(&*store, "k").await;
    drop(store);
    let store = home.open();
    store.begin(0).await.unwrap();
    assert_eq!(claim(&*store, "k", 1, 0).await, KeyClaim::Answered(b"first".to_vec()));
}

pub(crate) async fn another_fingerprint_is_a_mismatch(home: &dyn Home) {
    let store = home.open();
    claim(&*store, "k", 1, 0).await;
    assert_eq!(claim(&*store, "k", 2, 0).await, KeyClaim::Mismatch);
    answer(&*store, "k", b"answer").await;
    assert_eq!(claim(&*store, "k", 2, 0).await, KeyClaim::Mismatch);
}

pub(crate) async fn a_released_key_is_fresh_again(home: &dyn Home) {
    let store = home.open();
    claim(&*store, "k", 1, 0).await;
    release(&*store, "k").await;
    assert_eq!(claim(&*store, "k", 2, 0).await, KeyClaim::Fresh);
    release(&*store, "never claimed").await;
    answer(&*store, "never claimed", b"answer").await;
    assert_eq!(claim(&*store, "never claimed", 1, 0).await, KeyClaim::Fresh);
}

pub(crate) async fn a_key_is_forgotten_after_a_day(home: &dyn Home) {
    let store = home.open();
    claim(&*store, "k", 1, 5).await;
    answer(&*store, "k", b"answer").await;
    assert_eq!(claim(&*store, "k", 1, 5 + DAY_MS).await, KeyClaim::Answered(b"answer".to_vec()));
    assert_eq!(claim(&*store, "k", 2, 6 + DAY_MS).await, KeyClaim::Fresh);
}

pub(crate) async fn a_key_stands_for_what_its_request_has_added(home: &dyn Home) {
    let store = home.open();
    for (key, object) in [("job", 1), ("batch", 8), ("broken batch", 9), ("nothing", 10), ("failed", 11)] {
        assert_eq!(claim_for(&*store, key, 1, object, 0).await, KeyClaim::Fresh);
    }
    append(&*store, &[job(1), job_of(2, 8), job_of(3, 9), job(11)]).await;
    for batch in [8, 9] {
        open_batch(&*store, batch).await;
    }
    end_batch(&*store, 8, closed(1)).await;
    assert_eq!(claim_for(&*store, "job", 1, 20, 0).await, KeyClaim::InFlight);
    // A request that failed when its job was in.
    release(&*store, "failed").await;
    assert_eq!(claim_for(&*store, "failed", 1, 20, 0).await, KeyClaim::Added(11));
    drop(store);
    let store = home.open();
    store.begin(0).await.unwrap();
    for (key, claim) in [
        ("job", KeyClaim::Added(1)),
        ("batch", KeyClaim::Added(8)),
        ("broken batch", KeyClaim::Fresh),
        ("nothing", KeyClaim::Fresh),
    ] {
        assert_eq!(claim_for(&*store, key, 1, 20, 0).await, claim, "{key}");
    }
    assert_eq!(claim_for(&*store, "job", 2, 20, 0).await, KeyClaim::Mismatch);
}

pub(crate) async fn one_of_many_claims_at_once_is_fresh(home: &dyn Home) {
    let store: Arc<dyn Store> = home.open().into();
    let claims: Vec<_> = (0..30)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { claim(&*store, "k", 1, 0).await })
        })
        .collect();
    let mut fresh = 0;
    for ended in claims {
        match ended.await.unwrap() {
            KeyClaim::Fresh => fresh += 1,
            other => assert_eq!(other, KeyClaim::InFlight),
        }
    }
    assert_eq!(fresh, 1);
}

async fn claim(store: &dyn Store, key: &str, fingerprint: u8, now_ms: u64) -> KeyClaim {
    claim_for(store, key, fingerprint, 1, now_ms).await
}

async fn claim_for(store: &dyn Store, key: &str, fingerprint: u8, object: u64, now_ms: u64) -> KeyClaim {
    store.claim_key(key.into(), [fingerprint; 32], object, now_ms).await.unwrap().await.unwrap()
}

async fn answer(store: &dyn Store, key: &str, answer: &[u8]) {
    store.answer_key(key.into(), answer.to_vec()).await.unwrap().await.unwrap();
}

async fn release(store: &dyn Store, key: &str) {
    store.release_key(key.into()).await.unwrap().await.unwrap();
}
