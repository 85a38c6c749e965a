//! All SQL of the service.

use std::collections::{BTreeMap, HashMap};

use contracts::events::orders::OrderCreated;
use shared_types::orders::{OrderStatus, Stage};
use shared_types::{Currency, GuestId, Money, OrderId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

/// The NOTIFY channel; the payload is the target.
pub const CHANNEL: &str = "live";
/// The staff channel's target.
pub const ADMIN: &str = "admin";

pub fn order_target(order: OrderId) -> String {
    format!("order:{order}")
}

/// Whose order it is.
#[derive(Clone, Debug)]
pub struct LiveOrder {
    pub user_id: Option<UserId>,
    pub guest_id: Option<GuestId>,
}

/// An order as its creation told of it.
pub struct NewOrder {
    pub created: OrderCreated,
    pub total: Money,
    pub at: Timestamp,
}

pub async fn insert_orders(tx: &mut PgConnection, orders: &[NewOrder]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let created = || orders.iter().map(|order| &order.created);
    sqlx::query(
        "INSERT INTO live_orders (order_id, order_number, user_id, guest_id, total_minor, currency, created_at)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::bigint[],
                              $6::text[], $7::timestamptz[])
         ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(created().map(|order| order.order_id).collect::<Vec<_>>())
    .bind(created().map(|order| order.order_number.as_str()).collect::<Vec<_>>())
    .bind(created().map(|order| order.user_id).collect::<Vec<_>>())
    .bind(created().map(|order| order.guest_id).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.total.minor).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.total.currency).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.at).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Whose these orders are; unknown ones are not among them.
pub async fn find_orders(
    connection: &mut PgConnection,
    orders: &[OrderId],
) -> sqlx::Result<HashMap<OrderId, LiveOrder>> {
    let rows =
        sqlx::query("SELECT order_id, user_id, guest_id FROM live_orders WHERE order_id = ANY($1)")
            .bind(orders)
            .fetch_all(connection)
            .await?;
    let read = |row: &PgRow| {
        let owner = LiveOrder { user_id: row.get("user_id"), guest_id: row.get("guest_id") };
        (row.get("order_id"), owner)
    };
    Ok(rows.iter().map(read).collect())
}

pub async fn find_order(
    connection: &mut PgConnection,
    order: OrderId,
) -> sqlx::Result<Option<LiveOrder>> {
    let row = sqlx::query("SELECT user_id, guest_id FROM live_orders WHERE order_id = $1")
        .bind(order)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|r| LiveOrder { user_id: r.get("user_id"), guest_id: r.get("guest_id") }))
}

/// What is said about an order.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub order: OrderId,
    pub status: OrderStatus,
    pub stage: Stage,
    pub at: Timestamp,
}

/// Says each to its target, in this order: a row with the target's next number,
/// and a wake-up with the commit.
pub async fn say(tx: &mut PgConnection, told: &[(String, Said)]) -> sqlx::Result<()> {
    // The number of each among those for its target.
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    let ranks: Vec<i64> = told
        .iter()
        .map(|(target, _)| {
            let count = counts.entry(target).or_default();
            *count += 1;
            *count
        })
        .collect();
    let said = || told.iter().map(|(_, said)| said);
    sqlx::query(
        "WITH wanted AS (
             SELECT * FROM unnest($1::text[], $2::bigint[]) AS w(target, messages)
         ), numbered AS (
             INSERT INTO live_targets AS t (target, last_seq)
             SELECT target, messages FROM wanted ORDER BY target
             ON CONFLICT (target) DO UPDATE SET last_seq = t.last_seq + excluded.last_seq
             RETURNING target, last_seq
         ), said AS (
             INSERT INTO live_messages (target, seq, order_id, status, stage, at)
             SELECT target, n.last_seq - w.messages + m.rank, m.order_id, m.status, m.stage, m.at
             FROM unnest($3::text[], $4::bigint[], $5::uuid[], $6::text[], $7::text[],
                         $8::timestamptz[]) AS m(target, rank, order_id, status, stage, at)
             JOIN numbered n USING (target) JOIN wanted w USING (target)
         )
         SELECT pg_notify($9, target) FROM wanted",
    )
    .bind(counts.keys().copied().collect::<Vec<_>>())
    .bind(counts.values().copied().collect::<Vec<_>>())
    .bind(told.iter().map(|(target, _)| target.as_str()).collect::<Vec<_>>())
    .bind(ranks)
    .bind(said().map(|said| said.order).collect::<Vec<_>>())
    .bind(said().map(|said| said.status).collect::<Vec<_>>())
    .bind(said().map(|said| said.stage).collect::<Vec<_>>())
    .bind(said().map(|said| said.at).collect::<Vec<_>>())
    .bind(CHANNEL)
    .execute(tx)
    .await?;
    Ok(())
}

/// A message with what the staff channel shows besides.
#[derive(Clone, Debug)]
pub struct Message {
    pub seq: i64,
    pub said: Said,
    pub order_number: String,
    pub total: Money,
}

impl Message {
    fn from_row(row: &PgRow) -> Self {
        let currency: Currency = row.get("currency");
        Message {
            seq: row.get("seq"),
            said: Said {
                order: row.get("order_id"),
                status: row.get("status"),
                stage: row.get("stage"),
                at: row.get("at"),
            },
            order_number: row.get("order_number"),
            total: Money::new(row.get("total_minor"), currency),
        }
    }
}

const MESSAGES: &str = "SELECT m.seq, m.order_id, m.status, m.stage, m.at, o.order_number,
    o.total_minor, o.currency FROM live_messages m JOIN live_orders o USING (order_id)";

/// Messages behind `after`, oldest first.
pub async fn messages_after(
    pool: &PgPool,
    target: &str,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Message>> {
    let sql = format!("{MESSAGES} WHERE m.target = $1 AND m.seq > $2 ORDER BY m.seq LIMIT $3");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(target)
        .bind(after)
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.iter().map(Message::from_row).collect())
}

/// The newest message of each order of the target, oldest first: the picture a
/// newcomer starts from.
pub async fn snapshot(pool: &PgPool, target: &str, limit: i64) -> sqlx::Result<Vec<Message>> {
    let sql = format!(
        "SELECT * FROM (
             SELECT DISTINCT ON (order_id) * FROM (
                 {MESSAGES} WHERE m.target = $1 ORDER BY m.seq DESC LIMIT 5000
             ) recent ORDER BY order_id, seq DESC
         ) newest ORDER BY seq DESC LIMIT $2"
    );
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(target).bind(limit).fetch_all(pool).await?;
    Ok(rows.iter().rev().map(Message::from_row).collect())
}

/// The numbers that a target still keeps: oldest kept (the next to be given when
/// none is) and last ever given.
pub async fn range(pool: &PgPool, target: &str) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query(
        "WITH given AS (
             SELECT coalesce((SELECT last_seq FROM live_targets WHERE target = $1), 0) AS last
         )
         SELECT last, coalesce((SELECT min(seq) FROM live_messages WHERE target = $1), last + 1)
                      AS oldest
         FROM given",
    )
    .bind(target)
    .fetch_one(pool)
    .await?;
    Ok((row.get("oldest"), row.get("last")))
}

/// Forgets messages older than `before`.
pub async fn prune(pool: &PgPool, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM live_messages WHERE (target, seq) IN
           (SELECT target, seq FROM live_messages WHERE at < $1 ORDER BY at, seq LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}
