//! A read model that is kept, spoiled, compared and rebuilt.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use platform::consumer::Received;
use platform::outbox::{Envelope, SCHEMA_VERSION};
use platform::projection::{self, Part, ReadModel, Report};
use platform::testing::Bench;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::kafka::{Kafka, eventually};
use crate::sample::{NoteWritten, TOPIC, bench, note};

/// The highest number of each book.
struct Books;

#[async_trait]
impl ReadModel for Books {
    fn name(&self) -> &'static str {
        "books"
    }
    fn table(&self) -> &'static str {
        "book_model"
    }
    fn key(&self) -> &'static str {
        "book"
    }
    fn topics(&self) -> &'static [&'static str] {
        &[TOPIC]
    }
    async fn fold(
        &self,
        tx: &mut PgConnection,
        table: &str,
        events: &[Received],
    ) -> anyhow::Result<()> {
        for event in events {
            let written: NoteWritten = serde_json::from_str(event.payload.get())?;
            let sql = format!(
                "INSERT INTO {table} AS m (book, number, version, updated_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (book) DO UPDATE SET number = excluded.number, version = excluded.version,
                    updated_at = excluded.updated_at WHERE m.version < excluded.version"
            );
            sqlx::query(AssertSqlSafe(sql))
                .bind(&written.book)
                .bind(written.number)
                .bind(event.aggregate_version)
                .bind(event.occurred_at)
                .execute(&mut *tx)
                .await?;
        }
        Ok(())
    }
}

async fn with_model() -> (Bench, Kafka) {
    let bench = bench().await;
    sqlx::query(
        "CREATE TABLE book_model (book text PRIMARY KEY, number bigint NOT NULL,
            version bigint NOT NULL, updated_at timestamptz NOT NULL)",
    )
    .execute(bench.pool())
    .await
    .unwrap();
    (bench, Kafka::start("books"))
}

async fn publish(bench: &Bench, kafka: &Kafka, book: &str, number: i64) {
    let envelope = Envelope {
        event_id: bench.id(),
        event_type: "test.book.note.written.v1".to_owned(),
        occurred_at: bench.clock().now(),
        producer: "books".to_owned(),
        trace_id: "0".repeat(32),
        correlation_id: "c".to_owned(),
        causation_id: None,
        schema_version: SCHEMA_VERSION.to_owned(),
        partition_key: book.to_owned(),
        aggregate_id: book.to_owned(),
        aggregate_version: number,
        tenant: "default".to_owned(),
        payload: note(book, number),
    };
    kafka.put(TOPIC, Some(book), &serde_json::to_vec(&envelope).unwrap(), &[]).await;
}

async fn replayed(bench: &Bench, kafka: &Kafka, dry_run: bool) -> Report {
    part_replayed(bench, kafka, &Part::default(), dry_run).await
}

async fn part_replayed(bench: &Bench, kafka: &Kafka, part: &Part, dry_run: bool) -> Report {
    let mut connection = bench.pool().acquire().await.unwrap();
    let broker = &kafka.broker;
    let plan = projection::plan(&mut connection, broker, &Books, part).await.unwrap();
    let report = projection::replay(&mut connection, broker, &Books, &plan, dry_run).await;
    // Its session lock goes with the session.
    connection.close_on_drop();
    report.unwrap()
}

async fn numbers(bench: &Bench) -> Vec<(String, i64)> {
    sqlx::query_as("SELECT book, number FROM book_model ORDER BY book")
        .fetch_all(bench.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spoiled_read_model_is_found_out_and_replaced_by_what_the_log_says() {
    let (bench, kafka) = with_model().await;
    let mut ctx = bench.ctx.clone();
    ctx.config.ground.broker = kafka.broker.clone();
    ctx.lifecycle.spawn("live", projection::live(ctx.clone(), Arc::new(Books)));
    for number in 1..=3 {
        for book in ["a", "b"] {
            publish(&bench, &kafka, book, number).await;
        }
    }
    kafka.put(TOPIC, Some("a"), b"no event", &[]).await;
    let whole = vec![("a".to_owned(), 3), ("b".to_owned(), 3)];
    eventually(async || numbers(&bench).await == whole).await;

    let report = replayed(&bench, &kafka, true).await;
    assert_eq!((report.events, report.rows, report.equal), (6, 2, 2));
    assert_eq!((report.differing, report.parity(), report.swapped), (0, 100.0, false));

    sqlx::query("UPDATE book_model SET number = 7 WHERE book = 'b'")
        .execute(bench.pool())
        .await
        .unwrap();
    let report = replayed(&bench, &kafka, true).await;
    assert_eq!((report.differing, report.named.clone()), (1, vec!["b".to_owned()]));
    assert_eq!(numbers(&bench).await[1].1, 7, "a dry run mends nothing");
    let report = replayed(&bench, &kafka, false).await;
    assert!(report.swapped && report.parity() < 100.0);
    assert_eq!(numbers(&bench).await, whole);

    // The live fold goes on with the new table.
    publish(&bench, &kafka, "c", 1).await;
    eventually(async || numbers(&bench).await.len() == 3).await;
    bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn of_a_part_only_its_own_rows_are_compared_and_replaced() {
    let (bench, kafka) = with_model().await;
    for (book, number) in [("a", 1), ("b", 1), ("a", 2)] {
        publish(&bench, &kafka, book, number).await;
    }
    bench.advance(Duration::from_secs(3_600));
    let later = bench.clock().now();
    publish(&bench, &kafka, "c", 1).await;
    publish(&bench, &kafka, "b", 2).await;
    replayed(&bench, &kafka, false).await;
    let spoil = "UPDATE book_model SET number = 9";
    sqlx::query(spoil).execute(bench.pool()).await.unwrap();

    let one = Part { aggregate: Some("a".to_owned()), since: None };
    let report = part_replayed(&bench, &kafka, &one, true).await;
    assert_eq!((report.events, report.rows, report.differing, report.swapped), (2, 1, 1, false));
    let nobody = Part { aggregate: Some("nobody".to_owned()), since: None };
    assert_eq!(part_replayed(&bench, &kafka, &nobody, false).await.rows, 0);

    let since = Part { since: Some(later), aggregate: None };
    let mut connection = bench.pool().acquire().await.unwrap();
    let plan = projection::plan(&mut connection, &kafka.broker, &Books, &since).await.unwrap();
    assert_eq!((plan.events, plan.rows, plan.aggregates.map(|all| all.len())), (5, 3, Some(2)));
    drop(connection);
    let report = part_replayed(&bench, &kafka, &since, false).await;
    assert_eq!((report.events, report.rows, report.differing, report.swapped), (3, 2, 2, true));
    let mended = [("a".to_owned(), 9), ("b".to_owned(), 2), ("c".to_owned(), 1)];
    assert_eq!(numbers(&bench).await, mended, "what was not meant stays as it was");
}

#[tokio::test]
async fn two_replays_of_one_model_do_not_meet() {
    let (bench, kafka) = with_model().await;
    publish(&bench, &kafka, "a", 1).await;
    let (mut one, mut two) =
        (bench.pool().acquire().await.unwrap(), bench.pool().acquire().await.unwrap());
    let all = Part::default();
    let plan = projection::plan(&mut one, &kafka.broker, &Books, &all).await.unwrap();
    // The first keeps its lock for as long as its session lives.
    projection::replay(&mut one, &kafka.broker, &Books, &plan, false).await.unwrap();
    let refused = projection::replay(&mut two, &kafka.broker, &Books, &plan, false).await;
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("another replay of books"), "{refused}");
    one.close_on_drop();
    two.close_on_drop();
}
