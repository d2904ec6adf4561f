//! A destination that asks for an order, with several gateways at one Redis: one at a time of all of them together.

use crate::flow::order::{EVENTS, failing, id, in_order, is_crashing, judge, send};
use crate::support::{Gateway, RedisServer, Sender, event};

use super::fleet::DRAIN_MAX;

/// The gateway that has the first in line dies; another one makes it again, and nothing passes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_keep_one_order_and_a_crash_of_the_one_that_delivers_keeps_it_too() {
    let (redis, sink) = (RedisServer::start(), failing().await);
    let config = in_order(&redis.store(""), &sink);
    let mut first = Gateway::start(&config).await;
    let mut second = Gateway::prepare(&config);
    // Alone at first, so that it is the one that delivers when it dies.
    send(&mut [Sender::new(&first)], 0..25).await;
    is_crashing(&sink).await;
    first.kill();
    second.run().await;
    first.run().await;
    send(&mut [Sender::new(&first), Sender::new(&second)], 25..EVENTS).await;
    first.drained(DRAIN_MAX).await;
    // Before the next one is claimed the outcome of the one before it is in Redis.
    judge(&sink.hits(), 0);
}

/// Acknowledged by one gateway, then by another: that is the order, however fast they take turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_is_that_of_acceptance_at_all_gateways() {
    let (redis, sink) = (RedisServer::start(), crate::support::Sink::start().await);
    let config = in_order(&redis.store(""), &sink);
    let gateways = [Gateway::start(&config).await, Gateway::start(&config).await, Gateway::start(&config).await];
    let mut senders: Vec<Sender> = gateways.iter().map(Sender::new).collect();
    for number in 0..300 {
        let to = fastrand::usize(..senders.len());
        assert_eq!(senders[to].send(&event(&id(number), "payment.succeeded")).await.status, 200);
    }
    gateways[0].drained(DRAIN_MAX).await;
    let hits = sink.hits();
    let taken: Vec<&str> = hits.iter().map(|hit| hit.header("hookward-source-event-id")).collect();
    let sent: Vec<String> = (0..300).map(id).collect();
    assert_eq!(taken, sent);
}
