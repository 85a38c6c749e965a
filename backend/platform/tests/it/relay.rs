use std::collections::BTreeMap;
use std::time::Duration;

use platform::Context;
use platform::outbox::Envelope;
use platform::outbox::relay::Relay;
use platform::testing::{Bench, outbox};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sqlx::PgPool;

use crate::kafka::{Kafka, Lying, eventually};
use crate::sample::{NoteWritten, TOPIC, bench, note};

fn start(bench: &Bench, kafka: &Kafka) {
    let relay = Relay::new(bench.ctx.clone(), &kafka.broker).unwrap();
    bench.ctx.lifecycle.spawn("relay", relay.run());
}

async fn stop(ctx: &Context) {
    ctx.lifecycle.stop(Duration::from_secs(10)).await.unwrap();
}

async fn append(bench: &Bench, book: &str, numbers: std::ops::RangeInclusive<i64>) {
    for number in numbers {
        let mut tx = bench.pool().begin().await.unwrap();
        bench.ctx.outbox.append(&mut tx, &note(book, number)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn is_empty(pool: &PgPool) -> bool {
    outbox(pool).await.is_empty()
}

fn event(record: &Lying) -> Envelope<NoteWritten> {
    serde_json::from_slice(&record.value).unwrap()
}

/// Numbers per book in the order they lie in the log.
fn per_book(records: &[Lying]) -> BTreeMap<String, Vec<i64>> {
    let mut books: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for record in records {
        let event = event(record);
        books.entry(event.payload.book).or_default().push(event.payload.number);
    }
    books
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_travels_as_an_envelope_with_cloud_event_headers() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    start(&bench, &kafka);
    append(&bench, "a", 1..=1).await;
    let records = kafka.read(TOPIC, 1).await;
    stop(&bench.ctx).await;
    let [record] = &records[..] else { panic!("{records:?}") };
    let envelope = event(record);
    assert_eq!(record.key.as_deref(), Some("a"));
    assert_eq!(envelope.payload, note("a", 1));
    let said = (envelope.producer.as_str(), envelope.aggregate_version, envelope.tenant.as_str());
    assert_eq!(said, ("books", 1, "default"));
    let header = |name: &str| record.headers.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!(header("ce_id"), envelope.event_id.to_string());
    assert_eq!(header("ce_type"), "test.book.note.written.v1");
    assert_eq!(header("ce_source"), "/books");
    assert_eq!(header("ce_specversion"), "1.0");
    assert_eq!(header("ce_subject"), "a");
    assert_eq!(header("ce_time"), "2026-11-20T10:00:00.000Z");
    assert_eq!(header("content-type"), "application/json");
    assert!(header("traceparent").starts_with(&format!("00-{}-", envelope.trace_id)));
    assert!(is_empty(bench.pool()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_keep_the_digits_they_were_written_with() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    sqlx::query(
        "INSERT INTO outbox (event_id, topic, event_type, partition_key, aggregate_id, aggregate_version,
                             payload, occurred_at)
         VALUES (gen_random_uuid(), $1, 'x', 'k', 'k', 1, '{\"amount\": 25.50, \"big\": 12345678901234567890.10}', now())",
    )
    .bind(TOPIC)
    .execute(bench.pool())
    .await
    .unwrap();
    start(&bench, &kafka);
    let records = kafka.read(TOPIC, 1).await;
    stop(&bench.ctx).await;
    let text = String::from_utf8(records[0].value.clone()).unwrap();
    assert!(
        text.ends_with(r#""payload":{"amount": 25.50, "big": 12345678901234567890.10}}"#),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_committed_late_is_not_skipped() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    start(&bench, &kafka);
    let mut late = bench.pool().begin().await.unwrap();
    bench.ctx.outbox.append(&mut late, &note("late", 1)).await.unwrap();
    append(&bench, "early", 1..=20).await;
    assert_eq!(kafka.read(TOPIC, 20).await.len(), 20);
    late.commit().await.unwrap();
    let books = per_book(&kafka.read(TOPIC, 21).await);
    stop(&bench.ctx).await;
    assert_eq!(books["late"], [1]);
    assert_eq!(books["early"], (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_and_two_relays_publish_once_and_in_aggregate_order() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    start(&bench, &kafka);
    start(&bench, &kafka);
    const WRITERS: i64 = 6;
    const EACH: i64 = 40;
    let writers = (0..WRITERS).map(|writer| {
        let (pool, outbox) = (bench.pool().clone(), bench.ctx.outbox.clone());
        tokio::spawn(async move {
            for round in 0..EACH {
                let mut tx = pool.begin().await.unwrap();
                let book = format!("book-{}", (writer + round) % 4);
                outbox.append(&mut tx, &note(&book, 0)).await.unwrap();
                if round % 5 == 0 {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                // Some change their mind, which must leave no gap.
                if round % 10 == 9 {
                    tx.rollback().await.unwrap()
                } else {
                    tx.commit().await.unwrap()
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let wanted = (WRITERS * EACH * 9 / 10) as usize;
    let records = kafka.read(TOPIC, wanted).await;
    stop(&bench.ctx).await;
    assert_eq!(records.len(), wanted, "nothing lost, nothing twice");
    let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for envelope in records.iter().map(event) {
        versions.entry(envelope.aggregate_id).or_default().push(envelope.aggregate_version);
    }
    for (book, seen) in versions {
        assert_eq!(seen, (1..=seen.len() as i64).collect::<Vec<_>>(), "{book}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stands_by_takes_over() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let first = Context { lifecycle: Default::default(), ..bench.ctx.clone() };
    let relay = Relay::new(first.clone(), &kafka.broker).unwrap();
    first.lifecycle.spawn("relay", relay.run());
    append(&bench, "a", 1..=3).await;
    kafka.read(TOPIC, 3).await;
    start(&bench, &kafka);
    stop(&first).await;
    append(&bench, "a", 4..=6).await;
    let books = per_book(&kafka.read(TOPIC, 6).await);
    stop(&bench.ctx).await;
    assert_eq!(books["a"], [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_only_delays() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    start(&bench, &kafka);
    append(&bench, "a", 1..=2).await;
    kafka.read(TOPIC, 2).await;
    kafka.cluster.broker_down(1).unwrap();
    append(&bench, "a", 3..=30).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!is_empty(bench.pool()).await, "nothing can have been acknowledged");
    kafka.cluster.broker_up(1).unwrap();
    eventually(async || is_empty(bench.pool()).await).await;
    let books = per_book(&kafka.read(TOPIC, 30).await);
    stop(&bench.ctx).await;
    assert_eq!(books["a"], (1..=30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_before_the_drain_is_published() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    append(&bench, "a", 1..=700).await;
    start(&bench, &kafka);
    stop(&bench.ctx).await;
    assert!(is_empty(bench.pool()).await);
    assert_eq!(per_book(&kafka.read(TOPIC, 700).await)["a"], (1..=700).collect::<Vec<_>>());
}

async fn dead(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT error FROM outbox_dead ORDER BY id").fetch_all(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_is_buried_and_its_key_goes_on() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    let mut tx = bench.pool().begin().await.unwrap();
    let huge = NoteWritten { text: "x".repeat(1_100_000), ..note("a", 2) };
    for note in [note("a", 1), huge, note("a", 3)] {
        bench.ctx.outbox.append(&mut tx, &note).await.unwrap();
    }
    tx.commit().await.unwrap();
    start(&bench, &kafka);
    eventually(async || is_empty(bench.pool()).await).await;
    let books = per_book(&kafka.read(TOPIC, 2).await);
    let notices = kafka.read(platform::outbox::DEAD_OUTBOX, 1).await;
    stop(&bench.ctx).await;
    assert_eq!(books["a"], [1, 3]);
    assert_eq!(notices.len(), 1);
    let headers = &notices[0].headers;
    assert_eq!((&*headers["x-dlq-consumer"], &*headers["x-outbox-cut"]), ("relay.books", "true"));
    assert_eq!((&*headers["x-dlq-topic"], notices[0].value.len()), (TOPIC, 800_000));
    let errors = dead(bench.pool()).await;
    assert!(errors.len() == 1 && errors[0].contains("too many"), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_record_that_the_broker_refuses_alone_is_buried() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    append(&bench, "a", 1..=10).await;
    // Refuses the first request with all ten, then the oldest of them alone.
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    kafka.cluster.request_errors(RDKafkaApiKey::Produce, &[refused, refused]);
    start(&bench, &kafka);
    eventually(async || is_empty(bench.pool()).await).await;
    let books = per_book(&kafka.read(TOPIC, 9).await);
    stop(&bench.ctx).await;
    assert_eq!(dead(bench.pool()).await.len(), 1);
    assert_eq!(books["a"], (2..=10).collect::<Vec<_>>(), "in order, without the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_broker_errors_cost_neither_order_nor_rows() {
    let (bench, kafka) = (bench().await, Kafka::start("books"));
    append(&bench, "a", 1..=50).await;
    use RDKafkaRespErr::*;
    kafka.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__TRANSPORT],
    );
    start(&bench, &kafka);
    append(&bench, "a", 51..=100).await;
    eventually(async || is_empty(bench.pool()).await).await;
    let books = per_book(&kafka.read(TOPIC, 100).await);
    stop(&bench.ctx).await;
    assert!(dead(bench.pool()).await.is_empty());
    let mut first_seen = books["a"].clone();
    let mut seen = std::collections::BTreeSet::new();
    first_seen.retain(|n| seen.insert(*n));
    assert_eq!(first_seen, (1..=100).collect::<Vec<_>>());
}
