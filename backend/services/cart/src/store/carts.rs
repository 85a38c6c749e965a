//! Carts, their items and their action log.

use shared_types::{CartId, CartItemId, Currency, Money, Sku, Timestamp};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::basket::{Action, Basket, Line};

#[derive(sqlx::FromRow)]
struct Row {
    id: CartItemId,
    sku: Sku,
    qty: i64,
    added_minor: i64,
    currency: Currency,
    position: i64,
}

/// Locks a cart; false when it was never written down.
pub async fn lock(tx: &mut PgConnection, cart: CartId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query("SELECT 1 FROM carts WHERE id = $1 FOR UPDATE")
        .bind(cart)
        .fetch_optional(tx)
        .await?;
    Ok(found.is_some())
}

/// Writes the cart down if it is new, and locks it. Of two that do so at once the
/// later finds the cart of the earlier, by whichever unique index comes first.
pub async fn ensure(
    tx: &mut PgConnection,
    cart: CartId,
    owner: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO carts (id, owner, updated_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(cart)
    .bind(owner)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE carts SET updated_at = $2 WHERE id = $1")
        .bind(cart)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn load(tx: &mut PgConnection, cart: CartId) -> Result<Basket, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, sku, qty, added_minor, currency, position FROM cart_items
         WHERE cart_id = $1 ORDER BY position",
    )
    .bind(cart)
    .fetch_all(tx)
    .await?;
    let line = |row: Row| Line {
        id: row.id,
        sku: row.sku,
        qty: row.qty,
        added: Money::new(row.added_minor, row.currency),
        position: row.position,
    };
    Ok(Basket { lines: rows.into_iter().map(line).collect() })
}

/// Appends actions and writes what they made of the items. The cart is locked.
pub async fn write(
    tx: &mut PgConnection,
    cart: CartId,
    actions: &[Action],
    (before, after): (&Basket, &Basket),
    actor: &str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO cart_actions (cart_id, action, actor, at)
         SELECT $1, a, $3, $4 FROM unnest($2::jsonb[]) WITH ORDINALITY AS t(a, n) ORDER BY n",
    )
    .bind(cart)
    .bind(actions.iter().map(Json).collect::<Vec<_>>())
    .bind(actor)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    let gone: Vec<CartItemId> = before
        .lines
        .iter()
        .map(|l| l.id)
        .filter(|id| after.lines.iter().all(|l| l.id != *id))
        .collect();
    if !gone.is_empty() {
        sqlx::query("DELETE FROM cart_items WHERE cart_id = $1 AND id = ANY($2)")
            .bind(cart)
            .bind(gone)
            .execute(&mut *tx)
            .await?;
    }
    let changed: Vec<&Line> = after.lines.iter().filter(|l| !before.lines.contains(l)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO cart_items (id, cart_id, sku_key, sku, qty, added_minor, currency, position)
         SELECT t.id, $1, t.sku_key, t.sku, t.qty, t.added_minor, t.currency, t.position
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                     $8::bigint[])
              AS t(id, sku_key, sku, qty, added_minor, currency, position)
         ON CONFLICT (id) DO UPDATE SET qty = excluded.qty, added_minor = excluded.added_minor,
                                        currency = excluded.currency",
    )
    .bind(cart)
    .bind(changed.iter().map(|l| l.id.0).collect::<Vec<_>>())
    .bind(changed.iter().map(|l| l.sku.key()).collect::<Vec<_>>())
    .bind(changed.iter().map(|l| l.sku.as_str()).collect::<Vec<_>>())
    .bind(changed.iter().map(|l| l.qty).collect::<Vec<_>>())
    .bind(changed.iter().map(|l| l.added.minor).collect::<Vec<_>>())
    .bind(changed.iter().map(|l| l.added.currency.code()).collect::<Vec<_>>())
    .bind(changed.iter().map(|l| l.position).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}
