//! What is noted of requests that were made under a key.

use std::time::Duration;

use bytes::Bytes;
use hookward::store::{KeptRequest, Store};

use super::world::*;

pub(super) async fn requests_under_a_key_are_known_for_good(factory: &impl Factory) {
    let store = factory.open();
    let now = factory.clock().now();
    let begun =
        |name: u8| KeptRequest { name: [name; 32], project: 7, request: [name + 1; 32], begun_at: now, answer: None };
    for name in 1..=3 {
        assert_eq!(store.begin_request(begun(name)).await.unwrap(), None);
    }
    let other = KeptRequest { request: [99; 32], ..begun(1) };
    assert_eq!(store.begin_request(other.clone()).await.unwrap(), Some(begun(1)), "the first one counts");
    let answer = Bytes::from_static(b"\x00 any bytes\n");
    store.end_request([1; 32], Some(answer.clone())).await.unwrap();
    store.end_request([2; 32], None).await.unwrap();
    store.end_request([9; 32], Some(answer.clone())).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = factory.open();
    let answered = KeptRequest { answer: Some(answer), ..begun(1) };
    assert_eq!(store.begin_request(other).await.unwrap(), Some(answered));
    assert_eq!(store.begin_request(begun(2)).await.unwrap(), None, "it was not made");
    assert_eq!(store.begin_request(begun(3)).await.unwrap(), Some(begun(3)), "what came of it nobody knows");
    assert_eq!(store.begin_request(begun(9)).await.unwrap(), None, "nothing was begun under it");
    let later = now.plus(Duration::from_secs(1));
    assert_eq!(store.begin_request(KeptRequest { begun_at: later, ..begun(9) }).await.unwrap(), Some(begun(9)));
    store.close().await.unwrap();
}
