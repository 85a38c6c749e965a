//! The ledger: written with every change of what is on hand, never rewritten.

use shared_types::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

/// Why units came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Opening,
    Adjustment,
    Count,
    Return,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Opening => "opening",
            Kind::Adjustment => "adjustment",
            Kind::Count => "count",
            Kind::Return => "return",
        }
    }
}

/// A line about to be written.
pub struct Entry<'a> {
    pub sku_key: &'a str,
    pub warehouse: &'a str,
    pub kind: Kind,
    pub delta: i64,
    /// What is on hand afterwards.
    pub on_hand: i64,
    pub reason: &'a str,
    pub actor: &'a str,
    pub order_id: Option<Uuid>,
}

pub async fn append(
    tx: &mut PgConnection,
    entry: &Entry<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO ledger (sku_key, warehouse, kind, delta, on_hand, reason, actor, order_id, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(entry.sku_key)
    .bind(entry.warehouse)
    .bind(entry.kind.as_str())
    .bind(entry.delta)
    .bind(entry.on_hand)
    .bind(entry.reason)
    .bind(entry.actor)
    .bind(entry.order_id)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// A line as it was written.
#[derive(sqlx::FromRow)]
pub struct Row {
    pub id: i64,
    pub warehouse: String,
    pub kind: String,
    pub delta: i64,
    pub on_hand: i64,
    pub reason: String,
    pub actor: String,
    pub order_id: Option<Uuid>,
    pub at: Timestamp,
}

/// Lines of a sku, newest first, before `before`.
pub async fn list(
    connection: &mut PgConnection,
    sku_key: &str,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, warehouse, kind, delta, on_hand, reason, actor, order_id, at FROM ledger
         WHERE sku_key = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(sku_key)
    .bind(before.unwrap_or(i64::MAX))
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Notes a device's reading; false when it was noted before.
pub async fn note_reading(
    tx: &mut PgConnection,
    device_id: &str,
    reading_id: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO readings (device_id, reading_id, at) VALUES ($1, $2, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind(device_id)
    .bind(reading_id)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
