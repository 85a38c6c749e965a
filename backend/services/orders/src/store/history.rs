//! The histories of orders for those who follow them.

use std::collections::HashMap;

use shared_types::OrderId;
use shared_types::orders::StatusChange;
use sqlx::{PgConnection, Row};

use super::orders::change;

/// A question about the history of an order: what is behind this place; without
/// one, what came last.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    pub order_id: OrderId,
    pub place: Option<i64>,
}

/// Changes with their places, oldest first.
pub type Happened = Vec<(i64, StatusChange)>;

/// Places of one history read at once; the rest is read at the next look.
const PLACES_AT_ONCE: i64 = 1_000;

/// The answers to several questions by their index; without news there is none.
pub async fn histories_since(
    tx: &mut PgConnection,
    asked: &[Since],
) -> Result<HashMap<usize, Happened>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT a.n, h.id, h.status, h.at, h.cause
         FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS a(order_id, place, n)
         CROSS JOIN LATERAL (
             (SELECT * FROM order_status_history h
              WHERE h.order_id = a.order_id AND h.id > a.place ORDER BY h.id LIMIT $3)
             UNION ALL
             (SELECT * FROM order_status_history h
              WHERE h.order_id = a.order_id AND a.place IS NULL ORDER BY h.id DESC LIMIT 1)
         ) AS h
         ORDER BY a.n, h.id",
    )
    .bind(asked.iter().map(|a| a.order_id.0).collect::<Vec<_>>())
    .bind(asked.iter().map(|a| a.place).collect::<Vec<_>>())
    .bind(PLACES_AT_ONCE)
    .fetch_all(tx)
    .await?;
    let mut found: HashMap<usize, Happened> = HashMap::new();
    for row in &rows {
        let number: i64 = row.try_get("n")?;
        let index = usize::try_from(number - 1).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
        found.entry(index).or_default().push((row.try_get("id")?, change(row)?));
    }
    Ok(found)
}
