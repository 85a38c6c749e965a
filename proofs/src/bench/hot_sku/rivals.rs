//! The two usual ways to sell one hot sku, over copies of inventory's tables
//! and writing the same rows: hold, line, and the two events of each.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use super::database;
use crate::bench::pace::{self, Pace};
use crate::report::Percentiles;
use crate::settings::ShopArgs;

/// The best run of one way.
#[derive(Clone, Debug)]
pub struct Rival {
    pub name: &'static str,
    pub connections: u32,
    pub per_second: f64,
    pub percentiles: Percentiles,
    pub books_right: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    RowLock,
    AtomicUpdate,
}

const CONNECTIONS: [u32; 6] = [1, 2, 4, 8, 16, 32];
const UNITS: i64 = 100_000_000;

const TABLES: &[&str] = &[
    "DROP SCHEMA IF EXISTS bench_rivals CASCADE",
    "CREATE SCHEMA bench_rivals",
    "CREATE TABLE bench_rivals.stock (LIKE inventory.stock INCLUDING ALL)",
    "CREATE TABLE bench_rivals.holds (LIKE inventory.holds INCLUDING ALL)",
    "CREATE TABLE bench_rivals.hold_lines (LIKE inventory.hold_lines INCLUDING ALL)",
    "CREATE TABLE bench_rivals.outbox (LIKE inventory.outbox INCLUDING ALL)",
    "CREATE TABLE bench_rivals.aggregate_versions
        (LIKE inventory.aggregate_versions INCLUDING ALL)",
];

/// Both ways, each at its best number of connections.
pub async fn race(shop: &ShopArgs, admin: &PgPool, each: Duration) -> anyhow::Result<Vec<Rival>> {
    let mut best = Vec::new();
    for (way, name) in
        [(Way::RowLock, "SELECT … FOR UPDATE"), (Way::AtomicUpdate, "UPDATE … WHERE enough")]
    {
        let mut fastest: Option<Rival> = None;
        for connections in CONNECTIONS {
            let rival = once(shop, admin, way, name, connections, each).await?;
            println!("  {name}, {connections} connections: {:.0}/s", rival.per_second);
            if fastest.as_ref().is_none_or(|f| rival.per_second > f.per_second) {
                fastest = Some(rival);
            }
        }
        best.extend(fastest);
    }
    sqlx::query("DROP SCHEMA bench_rivals CASCADE").execute(admin).await?;
    Ok(best)
}

async fn once(
    shop: &ShopArgs,
    admin: &PgPool,
    way: Way,
    name: &'static str,
    connections: u32,
    each: Duration,
) -> anyhow::Result<Rival> {
    for statement in TABLES {
        sqlx::query(*statement).execute(admin).await?;
    }
    sqlx::query(
        "INSERT INTO bench_rivals.stock (sku_key, warehouse, on_hand) VALUES ('hot', 'main', $1)",
    )
    .bind(UNITS)
    .execute(admin)
    .await?;
    let pool = database::connect(shop, connections).await?;
    let pace = Pace { rate: 0, lasting: each, senders: connections as usize };
    let workers = pool.clone();
    let load = pace::run(pace, move |_| {
        let pool = workers.clone();
        async move {
            let sold = async {
                let mut connection = pool.acquire().await?;
                sell(&mut connection, way).await
            };
            match sold.await {
                Ok(true) => "sold".to_owned(),
                Ok(false) => "short".to_owned(),
                Err(error) => error.to_string(),
            }
        }
    })
    .await?;
    pool.close().await;
    let (held, holds, events): (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT held FROM bench_rivals.stock), (SELECT count(*) FROM bench_rivals.holds),
                (SELECT count(*) FROM bench_rivals.outbox)",
    )
    .fetch_one(admin)
    .await?;
    let sold = load.count("sold") as i64;
    Ok(Rival {
        name,
        connections,
        per_second: load.count("sold") as f64 / load.took.as_secs_f64(),
        percentiles: load.latencies.percentiles(),
        books_right: held == sold && holds == sold && events == 2 * sold,
    })
}

/// One unit for one order, in one durable transaction.
async fn sell(connection: &mut PgConnection, way: Way) -> sqlx::Result<bool> {
    let mut tx = connection.begin().await?;
    let order = Uuid::now_v7();
    let enough: bool = match way {
        Way::RowLock => {
            let free: i64 = sqlx::query_scalar(
                "SELECT on_hand - held - allocated - set_aside - safety_stock
                 FROM bench_rivals.stock WHERE sku_key = 'hot' AND warehouse = 'main' FOR UPDATE",
            )
            .fetch_one(&mut *tx)
            .await?;
            if free > 0 {
                sqlx::query(
                    "UPDATE bench_rivals.stock SET held = held + 1
                     WHERE sku_key = 'hot' AND warehouse = 'main'",
                )
                .execute(&mut *tx)
                .await?;
            }
            free > 0
        }
        Way::AtomicUpdate => {
            let done = sqlx::query(
                "UPDATE bench_rivals.stock SET held = held + 1
                 WHERE sku_key = 'hot' AND warehouse = 'main'
                   AND on_hand - held - allocated - set_aside - safety_stock >= 1",
            )
            .execute(&mut *tx)
            .await?;
            done.rows_affected() == 1
        }
    };
    if !enough {
        return Ok(false);
    }
    sqlx::query(
        "WITH hold AS (
             INSERT INTO bench_rivals.holds (order_id, status, expires_at, made_at, changed_at)
             VALUES ($1, 'HELD', now() + interval '10 minutes', now(), now())
         )
         INSERT INTO bench_rivals.hold_lines (order_id, sku_key, warehouse, qty)
         VALUES ($1, 'hot', 'main', 1)",
    )
    .bind(order)
    .execute(&mut *tx)
    .await?;
    append(&mut tx, order).await?;
    tx.commit().await?;
    Ok(true)
}

/// `reservation.held` and `stock.adjusted`, with their versions.
async fn append(tx: &mut PgConnection, order: Uuid) -> sqlx::Result<()> {
    let held = format!(
        r#"{{"orderId":"{order}","lines":[{{"productId":"{order}","sku":"hot","qty":1,"warehouse":"main"}}],"expiresAt":"2026-11-20T10:10:00.000Z"}}"#
    );
    let moved = format!(
        r#"{{"productId":"{order}","sku":"hot","warehouse":"main","delta":0,"reason":"reserved","onHand":100000000,"held":1,"allocated":0,"setAside":0,"available":99999999}}"#
    );
    sqlx::query(
        "WITH counted AS (
             INSERT INTO bench_rivals.aggregate_versions AS v (aggregate_id, version)
             SELECT a, 1 FROM unnest($1::text[]) AS t(a)
             ON CONFLICT (aggregate_id) DO UPDATE SET version = v.version + 1
             RETURNING aggregate_id, version
         )
         INSERT INTO bench_rivals.outbox (event_id, topic, event_type, partition_key, aggregate_id,
             payload, aggregate_version, occurred_at, trace_id, correlation_id)
         SELECT gen_random_uuid(), e.topic, e.topic || '.v1', e.aggregate_id, e.aggregate_id,
                e.payload, c.version, now(), '0af7651916cd43dd8448eb211c80319c', 'bench'
         FROM unnest($1::text[], $2::text[], $3::text[]) AS e(aggregate_id, topic, payload)
         JOIN counted c USING (aggregate_id)",
    )
    .bind(vec![order.to_string(), "hot".to_owned()])
    .bind(vec!["ecommerce.inventory.reservation", "ecommerce.inventory.stock"])
    .bind(vec![held, moved])
    .execute(tx)
    .await?;
    Ok(())
}
