//! The service over real PostgreSQL; dead letters come in as the runner brings
//! them, and once through a real Kafka client.

mod graph;
mod inbox;
mod mending;
mod redriving;
mod roundtrip;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use platform::consumer::{Consumer, RawMessage};
use platform::graphql::Subgraph;
use platform::testing::{self, Bench, Client, OutboxRow, TestAnswer, outbox};
use serde_json::{Value, json};
use shared_types::{OrderId, Role, UserId};

pub const SETTINGS: &str = r#"
[operations]
editors = ["ADMIN"]
max_redrive = 200
max_in_flight = 100
answer_within_seconds = 60
tick_ms = 10
kept_days = 90
fetch_wait_ms = 50
"#;

pub const ORDERS: &str = "ecommerce.order.order";
pub const RESERVATIONS: &str = "ecommerce.inventory.reservation";

/// The service with its tasks running, and people who use it.
pub struct House {
    pub bench: Bench,
    pub client: Client,
    pub consumer: Consumer,
    pub subgraph: Subgraph,
    pub operator: String,
    pub admin: String,
    offsets: AtomicI64,
}

pub async fn house() -> House {
    let bench = testing::house("operations", &operations::MIGRATIONS, SETTINGS).await;
    let consumers = vec!["orders", "inventory", "notifications"];
    let mut service = operations::build(bench.ctx.clone(), consumers).unwrap();
    for (name, task) in service.tasks.drain(..) {
        bench.ctx.lifecycle.spawn(name, task);
    }
    let token = |role| bench.token_for_user(bench.id::<UserId>(), &[role]);
    House {
        client: bench.client(&service),
        operator: token(Role::Operator),
        admin: token(Role::Admin),
        subgraph: service.graph.unwrap(),
        consumer: service.consumer.unwrap(),
        bench,
        offsets: AtomicI64::new(0),
    }
}

/// A message that failed.
#[derive(Clone)]
pub struct Sick {
    pub topic: &'static str,
    pub consumer: &'static str,
    pub code: &'static str,
    pub key: String,
    pub offset: i64,
    pub value: Vec<u8>,
    pub further: Vec<(&'static str, String)>,
}

impl House {
    /// An event of an order, of which `word` says what happened.
    pub fn order_event(&self, order: OrderId, word: &str, payload: Value) -> Value {
        let event: OrderId = self.bench.id();
        json!({
            "eventId": event, "eventType": format!("ecommerce.order.order.{word}.v1"),
            "occurredAt": "2026-11-20T10:00:00Z", "producer": "orders", "traceId": "trace-1",
            "correlationId": "corr-1", "causationId": null, "schemaVersion": "1.0",
            "partitionKey": order, "aggregateId": order, "aggregateVersion": 1,
            "tenant": "default", "payload": payload,
        })
    }

    /// A confirmation that `notifications` could not handle: nothing about money.
    pub fn confirmation(&self, order: OrderId) -> Sick {
        let value = self.order_event(order, "confirmed", json!({"orderId": order, "items": []}));
        self.sick("notifications", order, value)
    }

    /// A payment of 129.50 that `notifications` could not handle.
    pub fn paid(&self, order: OrderId) -> Sick {
        let payment: OrderId = self.bench.id();
        let payload = json!({
            "orderId": order, "paymentId": payment, "amount": 129.50, "currency": "USD",
        });
        let value = self.order_event(order, "paid", payload);
        self.sick("notifications", order, value)
    }

    fn sick(&self, consumer: &'static str, order: OrderId, value: Value) -> Sick {
        Sick {
            topic: ORDERS,
            consumer,
            code: "internal",
            key: order.to_string(),
            offset: self.next(),
            value: value.to_string().into_bytes(),
            further: Vec::new(),
        }
    }

    pub fn next(&self) -> i64 {
        self.offsets.fetch_add(1, Ordering::Relaxed)
    }

    /// The record as it lies in its dead letter topic, at `offset` there.
    pub fn record(&self, sick: &Sick, offset: i64) -> RawMessage {
        let mut headers: BTreeMap<String, String> = [
            ("x-dlq-topic", sick.topic.to_owned()),
            ("x-dlq-partition", "1".to_owned()),
            ("x-dlq-offset", sick.offset.to_string()),
            ("x-dlq-consumer", sick.consumer.to_owned()),
            ("x-dlq-attempts", "4".to_owned()),
            ("x-dlq-error-code", sick.code.to_owned()),
            ("x-dlq-error", "it did not work".to_owned()),
            ("x-dlq-first-failed-at", "2026-11-20T09:59:00Z".to_owned()),
            ("ce_id", "1".to_owned()),
            ("x-team", "red".to_owned()),
            ("authorization", "Bearer abc".to_owned()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
        headers.extend(sick.further.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        let topic = match sick.consumer.starts_with("relay.") {
            true => "outbox.DLQ".to_owned(),
            false => format!("{}.DLQ", sick.topic),
        };
        let (key, value) = (sick.key.clone().into_bytes(), sick.value.clone());
        RawMessage { topic, partition: 0, offset, key, value, headers }
    }

    /// Brings a record to whoever takes its topic.
    pub async fn bring(&self, record: &RawMessage) {
        let taker = self.consumer.raw_taker(&record.topic).unwrap();
        let mut tx = self.bench.pool().begin().await.unwrap();
        taker.take(&mut tx, record).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Brings a dead letter in; its id.
    pub async fn dies(&self, sick: &Sick) -> String {
        self.bring(&self.record(sick, self.next())).await;
        let list = self.get("/admin/dead-letters?first=1").await.expect(200).value();
        list["items"][0]["id"].as_str().unwrap().to_owned()
    }

    /// It was sent back and failed again.
    pub async fn dies_again(&self, sick: &Sick, letter: &str) {
        let mut record = self.record(sick, self.next());
        record.headers.insert("x-redrive-of".into(), letter.into());
        self.bring(&record).await;
    }

    /// Its consumer says that it handled it.
    pub async fn handled(&self, letter: &str) {
        let headers = [("x-redrive-of", letter), ("x-redrive-outcome", "done")];
        self.bring(&RawMessage {
            topic: "redrive.results".into(),
            partition: 0,
            offset: self.next(),
            key: letter.into(),
            value: Vec::new(),
            headers: headers.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        })
        .await;
    }

    pub async fn get(&self, path: &str) -> TestAnswer {
        self.client.get(path).bearer(&self.operator).send().await
    }

    pub async fn post(&self, path: &str, body: Value) -> TestAnswer {
        self.client.post(path).bearer(&self.operator).json(&body).send().await
    }

    pub async fn state(&self, letter: &str) -> String {
        let detail = self.get(&format!("/admin/dead-letters/{letter}")).await.expect(200).value();
        detail["state"].as_str().unwrap().to_owned()
    }

    /// What would be published to `topic`.
    pub async fn outgoing(&self, topic: &str) -> Vec<OutboxRow> {
        outbox(self.bench.pool()).await.into_iter().filter(|r| r.topic == topic).collect()
    }

    /// Waits until `topic` would be sent `count` records.
    pub async fn sent(&self, topic: &str, count: usize) -> Vec<OutboxRow> {
        eventually(async || self.outgoing(topic).await.len() >= count).await;
        self.outgoing(topic).await
    }

    /// Waits until a redrive is in `state`.
    pub async fn redrive_is(&self, id: &str, state: &str) -> Value {
        let path = format!("/admin/dead-letters/redrives/{id}");
        eventually(async || self.get(&path).await.value()["state"] == state).await;
        self.get(&path).await.value()
    }

    /// Actions on a letter, as audited, oldest first.
    pub async fn audited(&self, letter: &str) -> Vec<String> {
        let sql = "SELECT action FROM audit_log WHERE target = $1 ORDER BY seq";
        let target = format!("dead_letter:{letter}");
        sqlx::query_scalar(sql).bind(target).fetch_all(self.bench.pool()).await.unwrap()
    }
}

/// Asks again and again; fails the test after 20 s.
#[track_caller]
pub fn eventually<F: AsyncFnMut() -> bool>(mut condition: F) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition().await {
            assert!(Instant::now() < deadline, "it never came true: {place}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
