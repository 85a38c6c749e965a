//! A message dies at a real consumer, is seen, and goes back through Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::events::orders::OrderConfirmed;
use contracts::topics;
use platform::config::{Broker, EngineMode};
use platform::consumer::runner::Runner;
use platform::consumer::{Consumer, Done, Handle, HandleError};
use platform::outbox::Envelope;
use platform::outbox::relay::Relay;
use platform::testing::{self, Bench};
use rdkafka::mocking::MockCluster;
use serde_json::json;
use shared_types::OrderId;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr};

use crate::{eventually, house};

static SEEN: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = "CREATE TABLE seen (id bigint GENERATED ALWAYS AS IDENTITY, version bigint)";
    let kind = MigrationType::Simple;
    let migration = Migration::new(20261121999999, "seen".into(), kind, sql.into_sql_str(), false);
    Migrator { migrations: vec![migration].into(), ..Migrator::DEFAULT }
});

/// Writes down the versions it hears; chokes on the second while it is sick.
struct Listener {
    sick: Arc<AtomicBool>,
}

#[async_trait]
impl Handle<OrderConfirmed> for Listener {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<OrderConfirmed>,
    ) -> Result<Done, HandleError> {
        if event.aggregate_version == 2 && self.sick.load(Ordering::Relaxed) {
            let error = anyhow::anyhow!("cannot digest this");
            return Err(HandleError::Poison { code: "indigestible", error });
        }
        sqlx::query("INSERT INTO seen (version) VALUES ($1)")
            .bind(event.aggregate_version)
            .execute(tx)
            .await?;
        Ok(Done::quietly())
    }
}

fn run(bench: &Bench, consumer: Consumer, broker: &Broker) {
    let relay = Relay::new(bench.ctx.clone(), broker).unwrap();
    bench.ctx.lifecycle.spawn("relay", relay.run());
    let runner = Runner::new(bench.ctx.clone(), consumer, broker).unwrap();
    bench.ctx.lifecycle.spawn("runner", runner.run());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_died_is_handled_in_its_place_once_it_is_sent_back() {
    let cluster = MockCluster::new(1).unwrap();
    for (topic, partitions, _) in topics::all(&["notifications", "operations"]) {
        cluster.create_topic(&topic, partitions, 1).unwrap();
    }
    let broker = Broker {
        mode: EngineMode::External,
        bootstrap: cluster.bootstrap_servers(),
        port: 0,
        properties: BTreeMap::new(),
        engine_cache: None,
    };
    let sick = Arc::new(AtomicBool::new(true));
    let shop = testing::house("notifications", &SEEN, "").await;
    let listener = Arc::new(Listener { sick: sick.clone() });
    let consumer = Consumer::new("notifications", Duration::from_millis(50)).on(listener);
    run(&shop, consumer, &broker);
    let mut house = house().await;
    let consumer = std::mem::replace(&mut house.consumer, Consumer::new("", Duration::ZERO));
    run(&house.bench, consumer, &broker);

    // Its own relay publishes what it then hears.
    let order: OrderId = shop.id();
    let mut tx = shop.pool().begin().await.unwrap();
    for _ in 1..=4 {
        let event = OrderConfirmed { order_id: order, items: Vec::new() };
        shop.ctx.outbox.append(&mut tx, &event).await.unwrap();
    }
    tx.commit().await.unwrap();

    let open = "/admin/dead-letters?state=open&errorCode=indigestible";
    eventually(async || house.get(open).await.value()["items"][0]["id"].is_string()).await;
    let letter = house.get(open).await.value()["items"][0]["id"].as_str().unwrap().to_owned();
    let seen = async || -> Vec<i64> {
        let sql = "SELECT version FROM seen ORDER BY id";
        sqlx::query_scalar(sql).fetch_all(shop.pool()).await.unwrap()
    };
    assert_eq!(seen().await, [1], "the followers wait");

    let path = format!("/admin/dead-letters/{letter}/redrive");
    let still_sick = house.post(&path, json!({})).await.expect(202).value();
    house.redrive_is(still_sick["id"].as_str().unwrap(), "stopped").await;
    assert_eq!(house.state(&letter).await, "open");

    sick.store(false, Ordering::Relaxed);
    let mended = house.post(&path, json!({})).await.expect(202).value();
    house.redrive_is(mended["id"].as_str().unwrap(), "done").await;
    assert_eq!(house.state(&letter).await, "redriven");
    eventually(async || seen().await == [1, 2, 3, 4]).await;
    shop.ctx.lifecycle.stop(Duration::from_secs(15)).await.unwrap();
    house.bench.ctx.lifecycle.stop(Duration::from_secs(15)).await.unwrap();
}
