use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use platform::clock::Clock;
use platform::consumer::runner::{Limits, Runner};
use platform::consumer::{Consumer, HandleError};
use platform::outbox::{Envelope, Event, SCHEMA_VERSION};
use platform::testing::{Bench, OutboxRow, outbox};
use sqlx::PgPool;

use crate::kafka::{Kafka, eventually};
use crate::sample::{NoteWritten, TOPIC, bench, note, scribe, written};

pub fn envelope(bench: &Bench, note: &NoteWritten) -> Vec<u8> {
    let envelope = Envelope {
        event_id: bench.id(),
        event_type: NoteWritten::TYPE.to_owned(),
        occurred_at: bench.clock().now(),
        producer: "library".to_owned(),
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        correlation_id: "till-7".to_owned(),
        causation_id: None,
        schema_version: SCHEMA_VERSION.to_owned(),
        partition_key: note.book.clone(),
        aggregate_id: note.book.clone(),
        aggregate_version: note.number,
        tenant: "default".to_owned(),
        payload: note,
    };
    serde_json::to_vec(&envelope).unwrap()
}

pub async fn put(kafka: &Kafka, bench: &Bench, book: &str, number: i64) -> Vec<u8> {
    let bytes = envelope(bench, &note(book, number));
    kafka.put(TOPIC, Some(book), &bytes, &[("ce_type", NoteWritten::TYPE)]).await;
    bytes
}

pub fn start(bench: &Bench, kafka: &Kafka, consumer: Consumer) {
    start_with(bench, kafka, consumer, Limits::default());
}

pub fn start_with(bench: &Bench, kafka: &Kafka, consumer: Consumer, limits: Limits) {
    let runner = Runner::with_limits(bench.ctx.clone(), consumer, &kafka.broker, limits).unwrap();
    bench.ctx.lifecycle.spawn("runner", runner.run());
}

pub async fn stop(bench: &Bench) {
    bench.ctx.lifecycle.stop(Duration::from_secs(15)).await.unwrap();
}

/// Parked rows of `book` as `(offset order number, attempts, dead)`.
pub async fn parked(pool: &PgPool, book: &str) -> Vec<(i32, bool)> {
    let sql = "SELECT attempts, dead_at IS NOT NULL FROM parked WHERE message_key = $1 ORDER BY id";
    sqlx::query_as(sql).bind(book.as_bytes()).fetch_all(pool).await.unwrap()
}

/// Waits for the next attempt and moves the clock to the one after it.
pub async fn attempt_fails(bench: &Bench, book: &str, attempts: i32) {
    let pool = bench.pool();
    eventually(async || parked(pool, book).await.first().is_some_and(|(a, _)| *a == attempts))
        .await;
}

pub async fn exhaust(bench: &Bench, book: &str) {
    for attempts in 1..=3 {
        attempt_fails(bench, book, attempts).await;
        bench.advance(Duration::from_secs(1 << (attempts - 1)));
    }
    let pool = bench.pool();
    eventually(async || parked(pool, book).await.first() == Some(&(4, true))).await;
}

pub async fn dead_letters(pool: &PgPool) -> Vec<OutboxRow> {
    outbox(pool).await.into_iter().filter(|r| r.topic == format!("{TOPIC}.DLQ")).collect()
}

pub fn broken() -> HandleError {
    anyhow::anyhow!("calling postgres://u:hunter2@db failed").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_delivered_twice_takes_effect_once() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let bytes = put(&kafka, &bench, "a", 1).await;
    kafka.put(TOPIC, Some("a"), &bytes, &[]).await;
    put(&kafka, &bench, "a", 2).await;
    kafka.put(TOPIC, Some("a"), &bytes, &[]).await;
    put(&kafka, &bench, "a", 3).await;
    start(&bench, &kafka, scribe("books", |_| Ok(())));
    eventually(async || written(bench.pool(), "a").await.len() >= 3).await;
    stop(&bench).await;
    assert_eq!(written(bench.pool(), "a").await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_it_goes_on_where_it_was() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let seen = Arc::new(AtomicU32::new(0));
    let run = async |wanted: usize| {
        let ctx = platform::Context { lifecycle: Default::default(), ..bench.ctx.clone() };
        let seen = seen.clone();
        let consumer = scribe("books", move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let runner = Runner::new(ctx.clone(), consumer, &kafka.broker).unwrap();
        ctx.lifecycle.spawn("runner", runner.run());
        eventually(async || written(bench.pool(), "a").await.len() >= wanted).await;
        ctx.lifecycle.stop(Duration::from_secs(15)).await.unwrap();
    };
    for number in 1..=100 {
        put(&kafka, &bench, "a", number).await;
    }
    run(100).await;
    put(&kafka, &bench, "a", 101).await;
    run(101).await;
    assert_eq!(written(bench.pool(), "a").await, (1..=101).collect::<Vec<_>>());
    assert_eq!(seen.load(Ordering::Relaxed), 101, "offsets were committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_message_holds_back_its_own_key_only() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let healed = Arc::new(AtomicBool::new(false));
    let flag = healed.clone();
    start(
        &bench,
        &kafka,
        scribe("books", move |n| {
            let sick = n.book == "a" && n.number == 2 && !flag.load(Ordering::Relaxed);
            if sick { Err(broken()) } else { Ok(()) }
        }),
    );
    for number in 1..=4 {
        put(&kafka, &bench, "a", number).await;
        put(&kafka, &bench, "b", number).await;
    }
    eventually(async || written(bench.pool(), "b").await == [1, 2, 3, 4]).await;
    eventually(async || parked(bench.pool(), "a").await == [(1, false), (0, false), (0, false)])
        .await;
    assert_eq!(written(bench.pool(), "a").await, [1], "nothing overtakes");
    bench.advance(Duration::from_secs(1));
    attempt_fails(&bench, "a", 2).await;
    healed.store(true, Ordering::Relaxed);
    bench.advance(Duration::from_secs(2));
    eventually(async || written(bench.pool(), "a").await == [1, 2, 3, 4]).await;
    put(&kafka, &bench, "a", 5).await;
    eventually(async || written(bench.pool(), "a").await == [1, 2, 3, 4, 5]).await;
    stop(&bench).await;
    assert!(parked(bench.pool(), "a").await.is_empty());
    assert!(dead_letters(bench.pool()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_wait_one_two_and_four_seconds_and_then_it_is_a_dead_letter() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let times: Arc<Mutex<Vec<i64>>> = Arc::default();
    let (clock, noted): (Clock, _) = (bench.clock().clone(), times.clone());
    start(
        &bench,
        &kafka,
        scribe("books", move |n| {
            if n.number != 1 {
                return Ok(());
            }
            noted.lock().unwrap().push(clock.now().unix());
            Err(broken())
        }),
    );
    let bytes = put(&kafka, &bench, "a", 1).await;
    put(&kafka, &bench, "a", 2).await;
    let start = bench.clock().now();
    exhaust(&bench, "a").await;
    eventually(async || parked(bench.pool(), "a").await == [(4, true), (0, false)]).await;
    stop(&bench).await;
    let waits: Vec<i64> = times.lock().unwrap().iter().map(|t| t - start.unix()).collect();
    assert_eq!(waits, [0, 1, 3, 7]);
    assert!(written(bench.pool(), "a").await.is_empty(), "followers stay parked");
    let dead = dead_letters(bench.pool()).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].raw.as_deref(), Some(&bytes[..]), "unchanged");
    let mut headers = dead[0].headers.clone();
    let error = headers.remove("x-dlq-error").unwrap();
    assert!(error.contains("failed") && !error.contains("hunter2"), "{error}");
    let partition = headers.remove("x-dlq-partition").unwrap();
    assert!(["0", "1"].contains(&partition.as_str()));
    let wanted: BTreeMap<String, String> = [
        ("ce_type", NoteWritten::TYPE),
        ("x-dlq-topic", TOPIC),
        ("x-dlq-offset", "0"),
        ("x-dlq-consumer", "books"),
        ("x-dlq-attempts", "4"),
        ("x-dlq-error-code", "internal"),
        ("x-dlq-first-failed-at", "2026-11-20T10:00:00.000Z"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    assert_eq!(headers, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decoded_is_a_dead_letter_at_once() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let wrong_payload = String::from_utf8(envelope(&bench, &note("c", 1)))
        .unwrap()
        .replace("\"number\":1", "\"number\":\"one\"");
    kafka.put(TOPIC, Some("b"), b"\x00\xff not json", &[("odd", "head\u{0}er")]).await;
    kafka.put(TOPIC, Some("c"), wrong_payload.as_bytes(), &[]).await;
    kafka.put(TOPIC, None, b"", &[]).await;
    kafka.put(TOPIC, None, b"{}", &[]).await;
    put(&kafka, &bench, "a", 1).await;
    start(&bench, &kafka, scribe("books", |_| Ok(())));
    eventually(async || dead_letters(bench.pool()).await.len() == 4).await;
    eventually(async || written(bench.pool(), "a").await == [1]).await;
    stop(&bench).await;
    for letter in dead_letters(bench.pool()).await {
        assert_eq!(letter.headers["x-dlq-error-code"], "undecodable");
        assert_eq!(letter.headers["x-dlq-attempts"], "1");
        for name in ["topic", "partition", "offset", "consumer", "error", "first-failed-at"] {
            assert!(letter.headers.contains_key(&format!("x-dlq-{name}")), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_nobody_listens_to_are_passed_over() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let other = String::from_utf8(envelope(&bench, &note("a", 1))).unwrap();
    let other = other.replace(NoteWritten::TYPE, "test.book.note.burnt.v1");
    kafka.put(TOPIC, Some("a"), other.as_bytes(), &[]).await;
    put(&kafka, &bench, "a", 2).await;
    start(&bench, &kafka, scribe("books", |_| Ok(())));
    eventually(async || written(bench.pool(), "a").await == [2]).await;
    stop(&bench).await;
    assert!(dead_letters(bench.pool()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependency_that_is_away_burns_no_attempts() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let away = Arc::new(AtomicBool::new(true));
    let tried = Arc::new(AtomicU32::new(0));
    let (flag, count) = (away.clone(), tried.clone());
    start(
        &bench,
        &kafka,
        scribe("books", move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            let gone = flag.load(Ordering::Relaxed);
            if gone {
                Err(HandleError::Dependency(anyhow::anyhow!("payments away")))
            } else {
                Ok(())
            }
        }),
    );
    for number in 1..=3 {
        put(&kafka, &bench, "a", number).await;
    }
    eventually(async || tried.load(Ordering::Relaxed) >= 5).await;
    assert!(parked(bench.pool(), "a").await.is_empty());
    away.store(false, Ordering::Relaxed);
    eventually(async || written(bench.pool(), "a").await == [1, 2, 3]).await;
    stop(&bench).await;
    assert!(parked(bench.pool(), "a").await.is_empty());
    assert!(dead_letters(bench.pool()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_with_too_many_parked_messages_stops_taking_more() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let healed = Arc::new(AtomicBool::new(false));
    let flag = healed.clone();
    let limits = Limits { parked_per_key: 3, ..Limits::default() };
    let consumer =
        scribe("books", move |_| if flag.load(Ordering::Relaxed) { Ok(()) } else { Err(broken()) });
    start_with(&bench, &kafka, consumer, limits);
    for number in 1..=8 {
        put(&kafka, &bench, "a", number).await;
    }
    eventually(async || parked(bench.pool(), "a").await.len() == 3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(parked(bench.pool(), "a").await.len(), 3);
    healed.store(true, Ordering::Relaxed);
    bench.advance(Duration::from_secs(1));
    eventually(async || written(bench.pool(), "a").await == [1, 2, 3, 4, 5, 6, 7, 8]).await;
    stop(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_of_a_group_share_the_work_and_keep_the_order() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let second = platform::Context { lifecycle: Default::default(), ..bench.ctx.clone() };
    start(&bench, &kafka, scribe("books", |_| Ok(())));
    const BOOKS: [&str; 4] = ["a", "b", "c", "d"];
    for number in 1..=30 {
        for book in BOOKS {
            put(&kafka, &bench, book, number).await;
        }
        if number == 10 {
            let runner = Runner::new(second.clone(), scribe("books", |_| Ok(())), &kafka.broker);
            second.lifecycle.spawn("second", runner.unwrap().run());
        }
    }
    for book in BOOKS {
        eventually(async || written(bench.pool(), book).await.len() >= 30).await;
    }
    second.lifecycle.stop(Duration::from_secs(15)).await.unwrap();
    for book in BOOKS {
        put(&kafka, &bench, book, 31).await;
    }
    for book in BOOKS {
        eventually(async || written(bench.pool(), book).await.len() >= 31).await;
        assert_eq!(written(bench.pool(), book).await, (1..=31).collect::<Vec<_>>());
    }
    stop(&bench).await;
}
