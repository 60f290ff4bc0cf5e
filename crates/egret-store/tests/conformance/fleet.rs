//! Tokens and agents, egresses and ledgers.

use std::sync::Arc;

use egret_core::id::AgentId;
use egret_store::{AgentRow, EgressRow, EnrolRequest, Enrolment, LedgerRow, Store, TokenKept, TokenRow};

use crate::Home;
use crate::rows::*;

pub(crate) async fn an_agent_joins_with_a_token_and_gets_its_tags(home: &dyn Home) {
    let store = home.open();
    add(&*store, token(2)).await;
    let agent = AgentRow {
        id: AgentId(5),
        tags: token(2).tags,
        services: token(2).services,
        ..AgentRow::new(AgentId(5), "host-5", [3; 32], 999)
    };
    assert_eq!(enrol(&*store, enrolment(5)).await, Enrolment::Joined(agent.clone()));
    assert!(matches!(enrol(&*store, enrolment(4)).await, Enrolment::Joined(_)));
    drop(store);
    let store = home.open();
    assert_eq!(store.agent(AgentId(5)).await.unwrap(), Some(agent.clone()));
    assert_eq!(store.agent(AgentId(6)).await.unwrap(), None);
    let agents = store.agents().await.unwrap();
    assert_eq!(agents.iter().map(|agent| agent.id.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(agents[1], agent);
}

pub(crate) async fn a_wrong_secret_is_as_unknown_as_a_wrong_token(home: &dyn Home) {
    let store = home.open();
    add(&*store, token(0)).await;
    // Before its time and its uses are looked at: a stranger learns nothing of them.
    let wrong = EnrolRequest { secret_hash: [8; 32], now_ms: 5_000, ..enrolment(1) };
    assert_eq!(enrol(&*store, wrong).await, Enrolment::Unknown);
    let wrong = EnrolRequest { token: "other".into(), ..enrolment(1) };
    assert_eq!(enrol(&*store, wrong).await, Enrolment::Unknown);
    assert!(store.agents().await.unwrap().is_empty());
}

pub(crate) async fn a_token_expires_at_its_instant(home: &dyn Home) {
    let store = home.open();
    add(&*store, token(1)).await;
    let late = EnrolRequest { now_ms: 1_000, ..enrolment(1) };
    assert_eq!(enrol(&*store, late.clone()).await, Enrolment::Expired);
    assert!(matches!(enrol(&*store, enrolment(1)).await, Enrolment::Joined(_)));
    assert_eq!(enrol(&*store, EnrolRequest { agent: AgentId(2), ..late }).await, Enrolment::Expired);
    assert_eq!(enrol(&*store, enrolment(2)).await, Enrolment::UsedUp);
}

pub(crate) async fn a_token_is_never_used_more_often_than_allowed(home: &dyn Home) {
    let store: Arc<dyn Store> = home.open().into();
    add(&*store, token(5)).await;
    let tries: Vec<_> = (1..=40)
        .map(|agent| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { enrol(&*store, enrolment(agent)).await })
        })
        .collect();
    let mut joined = 0;
    for ended in tries {
        match ended.await.unwrap() {
            Enrolment::Joined(_) => joined += 1,
            other => assert_eq!(other, Enrolment::UsedUp),
        }
    }
    assert_eq!((joined, store.agents().await.unwrap().len()), (5, 5));
    drop(store);
    assert_eq!(enrol(&*home.open(), enrolment(99)).await, Enrolment::UsedUp);
}

pub(crate) async fn a_token_taken_back_lets_nobody_in_and_nobody_out(home: &dyn Home) {
    let store = home.open();
    add(&*store, token(5)).await;
    enrol(&*store, enrolment(1)).await;
    let kept = |used, revoked_ms| vec![TokenKept { token: token(5), used, revoked_ms }];
    assert_eq!(store.tokens().await.unwrap(), kept(1, None));
    let revoke = async |id: &str, now_ms| store.revoke_token(id.into(), now_ms).await.unwrap().await.unwrap();
    assert_eq!((revoke("other", 500).await, revoke("tok", 500).await), (false, true));
    assert!(revoke("tok", 600).await, "again, and the first time stands");
    assert_eq!(enrol(&*store, enrolment(2)).await, Enrolment::Revoked);
    let wrong = EnrolRequest { secret_hash: [8; 32], ..enrolment(2) };
    assert_eq!(enrol(&*store, wrong).await, Enrolment::Unknown, "a stranger learns nothing");
    drop(store);
    let store = home.open();
    assert_eq!(store.tokens().await.unwrap(), kept(1, Some(500)));
    assert!(store.agent(AgentId(1)).await.unwrap().is_some());
}

pub(crate) async fn a_revoked_agent_is_gone_and_its_use_stays_spent(home: &dyn Home) {
    let store = home.open();
    add(&*store, token(2)).await;
    enrol(&*store, enrolment(1)).await;
    enrol(&*store, enrolment(2)).await;
    let revoke = async |id| store.revoke_agent(AgentId(id), 500).await.unwrap().await.unwrap();
    assert_eq!((revoke(1).await, revoke(1).await, revoke(9).await), (true, false, false));
    drop(store);
    let store = home.open();
    assert_eq!(store.agent(AgentId(1)).await.unwrap(), None);
    assert_eq!(store.agents().await.unwrap().len(), 1);
    assert_eq!(enrol(&*store, enrolment(3)).await, Enrolment::UsedUp);
}

pub(crate) async fn numbers_of_sessions_only_grow(home: &dyn Home) {
    let store = home.open();
    add(&*store, token(1)).await;
    enrol(&*store, enrolment(1)).await;
    let save = async |epoch, confirmed| {
        store.save_epoch(AgentId(1), epoch, confirmed).await.unwrap().await.unwrap();
        let row = store.agent(AgentId(1)).await.unwrap().unwrap();
        (row.confirmed, row.offered)
    };
    assert_eq!(save(1, false).await, (0, 1));
    assert_eq!(save(1, true).await, (1, 1));
    assert_eq!(save(4, false).await, (1, 4));
    assert_eq!(save(3, true).await, (3, 4));
    assert_eq!(save(2, true).await, (3, 4));
    assert_eq!(save(9, true).await, (9, 9));
    store.note_double(AgentId(1), 77).await.unwrap().await.unwrap();
    drop(store);
    let row = home.open().agent(AgentId(1)).await.unwrap().unwrap();
    assert_eq!((row.confirmed, row.offered, row.doubled_ms), (9, 9, Some(77)));
}

pub(crate) async fn an_agent_of_a_known_id_costs_no_use(home: &dyn Home) {
    let store = home.open();
    add(&*store, token(2)).await;
    enrol(&*store, enrolment(1)).await;
    assert!(store.enrol(enrolment(1)).await.unwrap().await.is_err());
    assert!(matches!(enrol(&*store, enrolment(2)).await, Enrolment::Joined(_)));
}

pub(crate) async fn the_last_checkpoint_of_a_ledger_counts(home: &dyn Home) {
    let store = home.open();
    let ledger = |egress: &str, service: &str, taken_ms| LedgerRow {
        egress: egress.into(),
        service: service.into(),
        taken_ms,
        state: format!(r#"{{"taken":{taken_ms}}}"#).into_bytes(),
    };
    let first = vec![ledger("192.0.2.1", "a", 1), ledger("192.0.2.1", "b", 2), ledger("192.0.2.2", "a", 3)];
    store.save_ledgers(first).await.unwrap().await.unwrap();
    store.save_ledgers(vec![ledger("192.0.2.1", "b", 9)]).await.unwrap().await.unwrap();
    drop(store);
    let mut kept = home.open().ledgers().await.unwrap();
    kept.sort_by_key(|ledger| ledger.taken_ms);
    let expected = [ledger("192.0.2.1", "a", 1), ledger("192.0.2.2", "a", 3), ledger("192.0.2.1", "b", 9)];
    assert_eq!(kept, expected);
}

pub(crate) async fn the_last_owner_of_an_egress_counts(home: &dyn Home) {
    let store = home.open();
    let egress = |address: &str, agent, memory| EgressRow {
        address: address.into(),
        agent: AgentId(agent),
        memory,
        since_ms: 10,
    };
    let first = vec![egress("192.0.2.1", 1, 7), egress("192.0.2.2", 1, 7)];
    store.save_egresses(first).await.unwrap().await.unwrap();
    store.save_egresses(vec![egress("192.0.2.1", 2, u64::MAX)]).await.unwrap().await.unwrap();
    drop(store);
    let mut kept = home.open().egresses().await.unwrap();
    kept.sort_by(|a, b| a.address.cmp(&b.address));
    assert_eq!(kept, [egress("192.0.2.1", 2, u64::MAX), egress("192.0.2.2", 1, 7)]);
}

async fn add(store: &dyn Store, token: TokenRow) {
    store.add_token(token).await.unwrap().await.unwrap();
}
