use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use platform::testing::{Bench, OutboxRow, drain_outbox, outbox};

use crate::kafka::{Kafka, eventually};
use crate::runner::{broken, dead_letters, exhaust, parked, put, start, stop};
use crate::sample::{bench, scribe, written};

/// Sends a dead letter back the way `operations` does.
async fn redrive(kafka: &Kafka, letter: &OutboxRow, further: &[(&str, &str)]) {
    let mut headers: Vec<(&str, &str)> =
        letter.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    headers.push(("x-redrive-of", "1"));
    headers.extend(further);
    let value = letter.raw.clone().unwrap();
    kafka.put("redrive.books", Some(&letter.partition_key), &value, &headers).await;
}

/// A consumer that fails on `a`'s message number `sick`, with that message
/// dead and two others waiting behind it.
async fn with_a_dead_letter(bench: &Bench, kafka: &Kafka) -> (Arc<AtomicI64>, OutboxRow) {
    let sick = Arc::new(AtomicI64::new(2));
    let number = sick.clone();
    start(
        bench,
        kafka,
        scribe("books", move |n| {
            if n.number == number.load(Ordering::Relaxed) { Err(broken()) } else { Ok(()) }
        }),
    );
    for number in 1..=4 {
        put(kafka, bench, "a", number).await;
    }
    exhaust(bench, "a").await;
    let letter = dead_letters(bench.pool()).await.remove(0);
    drain_outbox(bench.pool()).await;
    (sick, letter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redriven_message_is_handled_in_its_old_place_and_its_followers_go_on() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let (sick, letter) = with_a_dead_letter(&bench, &kafka).await;
    sick.store(-1, Ordering::Relaxed);
    redrive(&kafka, &letter, &[]).await;
    eventually(async || written(bench.pool(), "a").await == [1, 2, 3, 4]).await;
    // Twice does no harm.
    redrive(&kafka, &letter, &[]).await;
    put(&kafka, &bench, "a", 5).await;
    eventually(async || written(bench.pool(), "a").await == [1, 2, 3, 4, 5]).await;
    eventually(async || receipts(&bench).await == ["done", "duplicate"]).await;
    stop(&bench).await;
    assert!(parked(bench.pool(), "a").await.is_empty());
    assert!(dead_letters(bench.pool()).await.is_empty());
}

/// What was told to the one who sent messages back.
async fn receipts(bench: &Bench) -> Vec<String> {
    let rows = outbox(bench.pool()).await.into_iter().filter(|r| r.topic == "redrive.results");
    rows.map(|r| r.headers["x-redrive-outcome"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redriven_message_that_fails_again_is_a_dead_letter_again() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let (sick, letter) = with_a_dead_letter(&bench, &kafka).await;
    redrive(&kafka, &letter, &[]).await;
    exhaust(&bench, "a").await;
    let again = dead_letters(bench.pool()).await.remove(0);
    assert_eq!(again.raw, letter.raw);
    for name in ["x-dlq-topic", "x-dlq-partition", "x-dlq-offset", "x-dlq-attempts"] {
        assert_eq!(again.headers[name], letter.headers[name], "{name}");
    }
    assert_eq!(again.headers["x-redrive-of"], "1");
    assert_eq!(written(bench.pool(), "a").await, [1]);
    sick.store(-1, Ordering::Relaxed);
    redrive(&kafka, &again, &[]).await;
    eventually(async || written(bench.pool(), "a").await == [1, 2, 3, 4]).await;
    stop(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_message_lets_its_followers_go_on_without_it() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let (_, letter) = with_a_dead_letter(&bench, &kafka).await;
    redrive(&kafka, &letter, &[("x-redrive-discard", "true")]).await;
    eventually(async || written(bench.pool(), "a").await == [1, 3, 4]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop(&bench).await;
    assert!(parked(bench.pool(), "a").await.is_empty());
}
