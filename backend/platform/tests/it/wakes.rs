//! Word of changes from one process to another.

use std::time::Duration;

use platform::outbox::relay::Relay;
use platform::testing::Bench;
use platform::wakes::{Wakes, Watch};

use crate::kafka::Kafka;
use crate::sample::{bench, note};

const CHANNEL: &str = "test_changed";

async fn rung(watch: &Watch) {
    let rung = tokio::time::timeout(Duration::from_secs(30), watch.rung()).await;
    assert!(rung.is_ok(), "no word came");
}

/// A process that listens, and one in it who waits for `target`.
async fn listening(bench: &Bench, target: &str) -> Watch {
    let wakes = Wakes::over(CHANNEL);
    let watch = wakes.watch(target);
    let ctx = &bench.ctx;
    ctx.lifecycle.spawn("word", wakes.listen(ctx.pool.clone(), ctx.lifecycle.clone(), None));
    // Everybody is woken once it hears.
    rung(&watch).await;
    watch
}

async fn tell(bench: &Bench, targets: &[&str]) {
    let mut connection = bench.pool().acquire().await.unwrap();
    Wakes::over(CHANNEL).tell(&mut connection, targets).await.unwrap();
}

#[tokio::test]
async fn word_reaches_every_process_that_listens_and_only_who_waits_for_it() {
    let bench = bench().await;
    let (one, other) = (listening(&bench, "a").await, listening(&bench, "a").await);
    let third = listening(&bench, "b").await;
    tell(&bench, &["a", "nobody's"]).await;
    rung(&one).await;
    rung(&other).await;
    assert!(futures_util::poll!(Box::pin(third.rung())).is_pending());
}

#[tokio::test]
async fn a_lost_connection_wakes_everybody_and_is_made_anew() {
    let bench = bench().await;
    let watch = listening(&bench, "a").await;
    let lost: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .fetch_one(bench.pool())
    .await
    .unwrap();
    assert_eq!(lost, 1);
    rung(&watch).await;
    tell(&bench, &["a"]).await;
    rung(&watch).await;
}

#[tokio::test]
async fn the_relay_tells_what_events_are_about_even_while_the_broker_is_away() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let (told, other) = (listening(&bench, "tale").await, listening(&bench, "other").await);
    let mut nowhere = kafka.broker.clone();
    nowhere.bootstrap = "127.0.0.1:1".to_owned();
    let relay = Relay::new(bench.ctx.clone(), &nowhere).unwrap();
    bench.ctx.lifecycle.spawn("relay", relay.waking(Some(Wakes::over(CHANNEL))).run());
    let mut tx = bench.pool().begin().await.unwrap();
    bench.ctx.outbox.append(&mut tx, &note("tale", 1)).await.unwrap();
    tx.commit().await.unwrap();
    rung(&told).await;
    assert!(futures_util::poll!(Box::pin(other.rung())).is_pending());
}
