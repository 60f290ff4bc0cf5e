//! What is one question, which answers are taken, and how much is held.

use egret_core::id::{JobId, ServiceId};
use egret_core::time::Instant;
use egret_store::{Flow, SqliteStore};

use super::*;
use crate::clock::wall_ms;

const MINUTE: Duration = Duration::from_secs(60);

fn key(n: u64) -> Key {
    Key::new(&[b"w", b"whois"], &n.to_be_bytes())
}

fn job(n: u64, max_age: Option<Duration>) -> Job {
    let (service, owner, egress) = ("w".to_owned(), String::new(), String::new());
    let line = Arc::new(Flow { service, owner, class: 1, egress, batch: None });
    let reuse = max_age.map(|max_age| Reuse { key: key(n), max_age });
    Job::new(JobId(n), line, ServiceId(0), Instant::from_micros(u64::MAX), Vec::new()).with_reuse(reuse)
}

fn answered(ago: Duration, length: usize) -> Arc<Answered> {
    let ago_ms = u64::try_from(ago.as_millis()).unwrap();
    Arc::new(Answered::new(wall_ms() - ago_ms, vec![b'a'; length]))
}

/// A cache over a store that has answers of this length to the even questions below 100.
async fn cache(length: usize) -> (Cache, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    let rows = (0..100).step_by(2).map(|n| answered(Duration::ZERO, length).row(key(n))).collect();
    store.save_answers(rows).await.unwrap().await.unwrap();
    (Cache::new(Arc::new(store), 1 << 20, Clock::start(wall_ms)), dir)
}

#[test]
fn whatever_differs_makes_another_key() {
    let keys = [
        Key::new(&[b"a", b"whois"], b"q"),
        Key::new(&[b"a", b"http"], b"q"),
        Key::new(&[b"b", b"whois"], b"q"),
        Key::new(&[b"a", b"whois"], b"Q"),
        Key::new(&[b"a", b"whois", b""], b"q"),
        Key::new(&[b"awhois"], b"q"),
        Key::new(&[b"a"], b"whoisq"),
    ];
    assert_eq!(keys.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
    assert_eq!(keys[0], Key::new(&[b"a", b"whois"], b"q"));
}

#[test]
fn an_answer_is_taken_up_to_its_age_and_never_from_the_future() {
    let takes = |max_age: Duration, answered_ms: u64| {
        Reuse { key: key(0), max_age }.takes(&Answered::new(answered_ms, Vec::new()), 100_000)
    };
    assert!(takes(MINUTE, 40_000) && takes(MINUTE, 100_000));
    assert!(!takes(MINUTE, 39_999), "too old");
    assert!(!takes(MINUTE, 100_001), "the clock went back");
    assert!(!takes(Duration::ZERO, 100_000), "it insists on a call");
}

#[tokio::test]
async fn an_answer_in_the_store_comes_to_the_front_and_a_newer_one_stays_there() {
    let (cache, _dir) = cache(10).await;
    let mut found = job(2, Some(MINUTE));
    cache.look(&mut found).await;
    assert_eq!(found.known.unwrap().body.len(), 10);
    assert!(cache.recent(&found.reuse.unwrap(), wall_ms()).is_some());
    for (n, max_age) in [(3, Some(MINUTE)), (2, Some(Duration::ZERO)), (2, None)] {
        let mut none = job(n, max_age);
        cache.look(&mut none).await;
        assert!(none.known.is_none(), "{n} {max_age:?}");
    }
    cache.put(key(2), &answered(MINUTE / 2, 20));
    let body = cache.recent(&found.reuse.unwrap(), wall_ms()).unwrap();
    assert_eq!(body.body.len(), 10, "the older one came late");
}

#[tokio::test]
async fn the_front_is_bounded_in_bytes_and_no_larger_than_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path()).unwrap());
    for (room, most) in [(0, 0), (100_000, 100_000), (u64::MAX, FRONT)] {
        let cache = Cache::new(Arc::clone(&store), room, Clock::start(wall_ms));
        (0..2_000).for_each(|n| cache.put(key(n), &answered(Duration::ZERO, 20_000)));
        let (weight, least) = (cache.front.weight(), most / 2);
        assert!((least..=most).contains(&weight), "{weight} of {most}");
    }
}

#[tokio::test]
async fn of_many_jobs_those_get_their_answers_for_which_there_is_room() {
    let (cache, _dir) = cache(200_000).await;
    let mut jobs: VecDeque<Job> = (0..100).map(|n| job(n, Some(MINUTE))).collect();
    let first = cache.next(&mut jobs, |job| Some(job)).await;
    // 20 answers of 200 kB fit into 4 MiB; the 21st is that of question 40.
    assert_eq!((first.len(), jobs.len()), (40, 60));
    assert!(first.iter().all(|job| job.known.is_some() == job.id.0.is_multiple_of(2)));
    assert_eq!(ROOM - cache.room.available_permits(), 20 * 200_000, "until their jobs have ended");
    drop(first);
    assert_eq!(cache.room.available_permits(), ROOM);
}

#[tokio::test]
async fn jobs_that_take_no_answers_pass_at_once() {
    let (cache, _dir) = cache(10).await;
    let all = u32::try_from(ROOM).unwrap();
    let _room = Arc::clone(&cache.room).acquire_many_owned(all).await.unwrap();
    let mut jobs: VecDeque<Job> = (0..5_000).map(|n| job(n, None)).collect();
    assert_eq!(cache.next(&mut jobs, |job| Some(job)).await.len(), 5_000);
}
