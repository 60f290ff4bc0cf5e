//! Answers to be given again, and orders: kept by key.

use egret_store::{AnswerRow, Store};

use crate::Home;
use crate::rows::*;

pub(crate) async fn an_answer_is_found_by_its_key_after_a_restart(home: &dyn Home) {
    let store = home.open();
    let rows = [answer(1, 10), AnswerRow { key: vec![0; 64], body: vec![], ..answer(2, 20) }];
    save(&*store, &rows).await;
    drop(store);
    let store = home.open();
    store.begin(0).await.unwrap();
    for row in rows {
        assert_eq!(store.answer(row.key.clone()).await.unwrap(), Some(row));
    }
    assert_eq!(store.answer(vec![9]).await.unwrap(), None);
    assert_eq!(store.answer(vec![0; 65]).await.unwrap(), None);
}

pub(crate) async fn many_answers_come_in_the_order_of_their_keys_until_there_are_enough(home: &dyn Home) {
    let store = home.open();
    let rows = [1, 2, 3].map(|key| AnswerRow { body: vec![key; 10], ..answer(key, 10) });
    save(&*store, &rows).await;
    let keys = || [9, 3, 1, 9, 2].map(|key| vec![key]).to_vec();
    let [one, two, three] = rows.map(Some);
    let all = [None, three, one, None, two];
    for (most, count) in [(1_000, 5), (30, 5), (29, 4), (20, 4), (19, 2), (0, 1)] {
        assert_eq!(store.answers(keys(), most).await.unwrap(), all[..count], "{most} bytes");
    }
    assert_eq!(store.answers(keys()[1..].to_vec(), 0).await.unwrap(), all[1..2], "at least one");
    assert_eq!(store.answers(vec![], 10).await.unwrap(), []);
    let times = all.map(|row| row.map(|row| row.answered_ms));
    assert_eq!(store.answered(keys()).await.unwrap(), times);
}

pub(crate) async fn the_newest_answer_of_a_key_counts(home: &dyn Home) {
    let store = home.open();
    save(&*store, &[answer(1, 20)]).await;
    save(&*store, &[answer(1, 10)]).await;
    assert_eq!(store.answer(vec![1]).await.unwrap(), Some(answer(1, 20)));
    let same_time = AnswerRow { body: b"later".to_vec(), ..answer(1, 20) };
    save(&*store, std::slice::from_ref(&same_time)).await;
    assert_eq!(store.answer(vec![1]).await.unwrap(), Some(same_time));
    save(&*store, &[answer(1, 30), answer(1, 25)]).await;
    assert_eq!(store.answer(vec![1]).await.unwrap(), Some(answer(1, 30)));
}

pub(crate) async fn a_key_that_is_too_long_is_refused_with_all_beside_it(home: &dyn Home) {
    let store = home.open();
    let long = AnswerRow { key: vec![7; 65], ..answer(2, 10) };
    let error = store.save_answers(vec![answer(1, 10), long]).await.unwrap_err();
    assert!(error.to_string().contains("a key of 65 bytes, and at most 64"), "{error}");
    assert_eq!(store.answer(vec![1]).await.unwrap(), None);
}

pub(crate) async fn the_last_word_under_a_key_counts(home: &dyn Home) {
    let store = home.open();
    for (key, value) in [("b", Some("1")), ("a", Some("2")), ("c", Some("3")), ("b", Some("")), ("c", None)] {
        save_order(&*store, key, value).await;
    }
    save_order(&*store, "never given", None).await;
    drop(store);
    let store = home.open();
    store.begin(0).await.unwrap();
    let expected = [("a", "2"), ("b", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(store.orders().await.unwrap(), expected);
}

pub(crate) async fn an_order_that_is_no_small_word_is_refused(home: &dyn Home) {
    let store = home.open();
    save_order(&*store, &"k".repeat(512), Some(&"v".repeat(4_096))).await;
    for (key, value) in [(513, 1), (1, 4_097)] {
        let refused = store.save_order("k".repeat(key), Some("v".repeat(value))).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("keep them to 512 and 4096"), "{error}");
    }
    assert_eq!(store.orders().await.unwrap().len(), 1);
}

async fn save(store: &dyn Store, answers: &[AnswerRow]) {
    store.save_answers(answers.to_vec()).await.unwrap().await.unwrap();
}
