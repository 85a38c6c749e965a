//! Consumers that fetch on a relay's word, and those that handle what came
//! together in one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use platform::consumer::runner::Runner;
use platform::consumer::{Consumer, HandleError};
use platform::news::News;

use crate::kafka::{Kafka, eventually};
use crate::runner::{broken, envelope, parked, put, start, stop};
use crate::sample::{NoteWritten, TOPIC, bench, note, quick_scribe, scribe, written};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_rests_wakes_at_a_word_and_looks_by_itself_without() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let news = News::default();
    let runner = Runner::new(bench.ctx.clone(), scribe("books", |_| Ok(())), &kafka.broker);
    bench.ctx.lifecycle.spawn("runner", runner.unwrap().resting(news.clone()).run());
    put(&kafka, &bench, "a", 1).await;
    eventually(async || written(bench.pool(), "a").await == [1]).await;
    // Told each time, in bursts and alone, while it is awake and while it rests.
    for number in 2..=60 {
        put(&kafka, &bench, "a", number).await;
        news.published([TOPIC].into_iter());
        if number % 20 == 0 {
            let wanted: Vec<i64> = (1..=number).collect();
            eventually(async || written(bench.pool(), "a").await == wanted).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    // Nobody tells of this one.
    let began = Instant::now();
    put(&kafka, &bench, "a", 61).await;
    eventually(async || written(bench.pool(), "a").await.len() == 61).await;
    assert!(began.elapsed() < Duration::from_secs(15), "it looks every ten seconds");
    stop(&bench).await;
    assert_eq!(written(bench.pool(), "a").await, (1..=61).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_came_together_share_a_transaction_and_take_effect_once() {
    share_a_transaction(scribe("books", |_| Ok(())).together()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_do_events_that_are_handled_at_once() {
    share_a_transaction(quick_scribe("books", |_| Ok(()))).await;
}

async fn share_a_transaction(consumer: Consumer) {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    for number in 1..=100 {
        let bytes = envelope(&bench, &note("a", number));
        kafka.put(TOPIC, Some("a"), &bytes, &[]).await;
        // Twice in one chunk, most of them.
        kafka.put(TOPIC, Some("a"), &bytes, &[]).await;
        put(&kafka, &bench, "b", number).await;
    }
    start(&bench, &kafka, consumer);
    eventually(async || written(bench.pool(), "a").await.len() >= 100).await;
    eventually(async || written(bench.pool(), "b").await.len() >= 100).await;
    stop(&bench).await;
    let all: Vec<i64> = (1..=100).collect();
    assert_eq!(written(bench.pool(), "a").await, all);
    assert_eq!(written(bench.pool(), "b").await, all);
    let transactions: i64 = sqlx::query_scalar("SELECT count(DISTINCT xmin::text) FROM inbox")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    assert!(transactions < 100, "200 events in {transactions} transactions");
}

/// Fails the seventh note of b; counts how often.
fn no_seventh(
    tries: &Arc<AtomicU32>,
) -> impl Fn(&NoteWritten) -> Result<(), HandleError> + Send + Sync + 'static {
    let tries = tries.clone();
    move |note| {
        if note.book == "b" && note.number == 7 {
            tries.fetch_add(1, Ordering::Relaxed);
            return Err(broken());
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_among_others_fails_alone() {
    let tries = Arc::new(AtomicU32::new(0));
    fails_alone(scribe("books", no_seventh(&tries)).together()).await;
    assert!(tries.load(Ordering::Relaxed) >= 2, "together, then alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_one_among_those_that_are_handled_at_once() {
    let tries = Arc::new(AtomicU32::new(0));
    fails_alone(quick_scribe("books", no_seventh(&tries))).await;
    assert!(tries.load(Ordering::Relaxed) >= 2, "at once, then alone");
}

async fn fails_alone(consumer: Consumer) {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    for number in 1..=20 {
        put(&kafka, &bench, "a", number).await;
        put(&kafka, &bench, "b", number).await;
    }
    start(&bench, &kafka, consumer);
    eventually(async || written(bench.pool(), "a").await.len() == 20).await;
    eventually(async || parked(bench.pool(), "b").await.len() == 14).await;
    stop(&bench).await;
    assert_eq!(written(bench.pool(), "b").await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(parked(bench.pool(), "b").await.first(), Some(&(1, false)), "one attempt counts");
}
