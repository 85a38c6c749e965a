//! Orders, items and history: written once, read often.

use std::collections::HashMap;
use std::sync::LazyLock;

use contracts::events::orders::OrderedItem;
use platform::idempotency::{self, Answer, IdempotencyKey};
use platform::outbox::{self, EventRow};
use shared_types::orders::{
    Order, OrderAmounts, OrderItem, OrderStatus, OrderSummary, Stage, StatusChange,
};
use shared_types::{AttemptId, CartId, Currency, GuestId, OrderId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};

use super::amount;
use super::sagas::{Lease, Loaded, RunningAttempt};
use crate::domain::pricing::Quote;
use crate::domain::refund::SoldLine;
use crate::domain::saga::Saga;

/// An order that is placed now, with everything that is stored beside it.
pub struct NewOrder<'a> {
    pub order_id: OrderId,
    pub owner: &'a str,
    pub user_id: Option<UserId>,
    pub guest_id: Option<GuestId>,
    pub cart_id: Option<CartId>,
    pub quote: &'a Quote,
    pub saga: &'a Saga,
    pub email_sealed: &'a [u8],
    pub address_sealed: &'a [u8],
    /// A payment method that came with the order: its attempt and sealed token.
    pub attempt: Option<(AttemptId, &'a str, &'a [u8])>,
    pub lease: Option<Lease>,
    pub trace_id: &'a str,
    pub correlation_id: &'a str,
    pub now: Timestamp,
}

impl NewOrder<'_> {
    /// What the saga's first step would load.
    pub fn loaded(&self, items: Vec<OrderedItem>) -> Loaded {
        Loaded {
            order_id: self.order_id,
            saga: self.saga.clone(),
            version: FIRST_VERSION,
            currency: self.quote.total.currency,
            lease: self.lease,
            trace_id: self.trace_id.to_owned(),
            correlation_id: self.correlation_id.to_owned(),
            attempt: self.attempt.map(|(_, method, sealed)| RunningAttempt {
                method: method.to_owned(),
                token_sealed: Some(sealed.to_vec()),
                key: None,
            }),
            refund: None,
            owner: self.owner.to_owned(),
            items: Some(items.into()),
        }
    }
}

/// Of a saga that was just stored.
const FIRST_VERSION: i64 = 1;

/// One statement for order, items, first history row, saga, attempt, event and
/// remembered answer: it needs no transaction around it.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let numbered = |text: &str| format!("replace({text}, $40, '{NUMBER}' || o.number)");
    let event = outbox::appending("o", "$41", &numbered("e.payload"));
    let record = idempotency::recording("o", 42, numbered);
    format!("{INSERT_ORDER}, {event}, {record} SELECT number FROM o")
});

const INSERT_ORDER: &str = "
WITH o AS (
    INSERT INTO orders (order_id, owner, user_id, guest_id, cart_id, status, stage, currency,
        subtotal_minor, discount_minor, tax_minor, shipping_minor, total_minor, tax_inclusive, units,
        hold_expires_at, email_sealed, address_sealed, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19)
    RETURNING number
), i AS (
    INSERT INTO order_items (order_id, line_no, product_id, sku, sku_key, title, qty, price_minor,
        line_total_minor, tax_minor)
    SELECT $1, l.* FROM unnest($20::int[], $21::uuid[], $22::text[], $23::text[], $24::text[],
        $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[]) AS l
), h AS (
    INSERT INTO order_status_history (order_id, at, status, cause, actor)
    VALUES ($1, $19, $6, 'placed', $2)
), s AS (
    INSERT INTO sagas (order_id, state, version, attempt_id, automatic, lease_owner, lease_until,
        next_run_at, deadline, trace_id, correlation_id, updated_at, state_since)
    VALUES ($1, $29, 1, $30, $31, $32, $33, $34, $35, $36, $37, $19, $19)
), a AS (
    INSERT INTO payment_attempts (attempt_id, order_id, token_sealed, method, state, actor, started_at)
    SELECT $30, $1, $38, $39, 'running', $2, $19 WHERE $30 IS NOT NULL
)";

/// What is stored beside a new order and names its number.
pub struct Told<'a> {
    pub event: &'a EventRow,
    pub key: &'a IdempotencyKey,
    pub answer: &'a Answer,
    /// Stands in event and answer where the number belongs.
    pub number_to_come: &'a str,
}

/// Stores the order and gives its number. The statement fails when the key has
/// a record already: see [`idempotency::is_taken`].
pub async fn insert(
    pool: &PgPool,
    new: &NewOrder<'_>,
    told: &Told<'_>,
) -> Result<i64, sqlx::Error> {
    let (quote, saga) = (new.quote, new.saga);
    let lines = &quote.lines;
    sqlx::query_scalar(AssertSqlSafe(INSERT.as_str()))
        .bind(new.order_id)
        .bind(new.owner)
        .bind(new.user_id)
        .bind(new.guest_id)
        .bind(new.cart_id)
        .bind(saga.status)
        .bind(saga.state.stage())
        .bind(quote.total.currency)
        .bind(quote.subtotal.minor)
        .bind(quote.discount.minor)
        .bind(quote.tax.minor)
        .bind(quote.shipping.minor)
        .bind(quote.total.minor)
        .bind(quote.tax_inclusive)
        .bind(lines.iter().map(|l| l.line.qty).sum::<i64>())
        .bind(saga.hold_expires_at)
        .bind(new.email_sealed)
        .bind(new.address_sealed)
        .bind(new.now)
        .bind((1..=lines.len() as i32).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.line.product_id.0).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.line.sku.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.line.sku.key()).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.line.title.as_str()).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.line.qty).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.line.price.minor).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.total.minor).collect::<Vec<_>>())
        .bind(lines.iter().map(|l| l.tax.minor).collect::<Vec<_>>())
        .bind(saga.state.as_str())
        .bind(new.attempt.map(|(id, ..)| id))
        .bind(saga.automatic)
        .bind(new.lease.map(|l| l.owner))
        .bind(new.lease.map(|l| l.until))
        .bind(saga.next_run_at)
        .bind(saga.deadline)
        .bind(new.trace_id)
        .bind(new.correlation_id)
        .bind(new.attempt.map(|(.., sealed)| sealed))
        .bind(new.attempt.map(|(_, method, _)| method))
        .bind(told.number_to_come)
        .bind(Json(told.event))
        .bind(&told.key.scope[..])
        .bind(&told.key.fingerprint[..])
        .bind(told.answer.status.as_u16() as i16)
        .bind(told.answer.content_type)
        .bind(String::from_utf8_lossy(&told.answer.body))
        .bind(&told.answer.location)
        .bind(new.now)
        .fetch_one(pool)
        .await
}

/// What an order's number starts with.
const NUMBER: &str = "BV-";

pub fn number_text(number: i64) -> String {
    format!("{NUMBER}{number}")
}

/// An order as it is stored, with what only its owner may see still sealed.
pub struct StoredOrder {
    pub order: Order,
    pub owner: String,
    pub updated_at: Timestamp,
    pub email_sealed: Vec<u8>,
    pub address_sealed: Vec<u8>,
}

/// The order without its items.
pub async fn find(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Option<StoredOrder>, sqlx::Error> {
    Ok(find_many(tx, &[order_id]).await?.pop())
}

/// Orders without their items.
pub async fn find_many(
    tx: &mut PgConnection,
    order_ids: &[OrderId],
) -> Result<Vec<StoredOrder>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT order_id, number, owner, status, stage, currency, subtotal_minor, discount_minor,
             tax_minor, shipping_minor, total_minor, refunded_minor, hold_expires_at,
             last_decline, email_sealed, address_sealed, created_at, updated_at
         FROM orders WHERE order_id = ANY($1)",
    )
    .bind(order_ids)
    .fetch_all(tx)
    .await?;
    rows.iter().map(stored).collect()
}

fn stored(row: &PgRow) -> Result<StoredOrder, sqlx::Error> {
    let currency: Currency = row.try_get("currency")?;
    let money = |name: &str| -> Result<_, sqlx::Error> {
        Ok(amount(row.try_get::<i64, _>(name)?, currency))
    };
    let order = Order {
        order_id: row.try_get("order_id")?,
        order_number: number_text(row.try_get("number")?),
        status: row.try_get("status")?,
        stage: row.try_get("stage")?,
        items: Vec::new(),
        amounts: OrderAmounts {
            subtotal: money("subtotal_minor")?,
            discount: money("discount_minor")?,
            tax: money("tax_minor")?,
            shipping: money("shipping_minor")?,
        },
        total_amount: money("total_minor")?,
        refunded_amount: money("refunded_minor")?,
        currency,
        hold_expires_at: row.try_get("hold_expires_at")?,
        created_at: row.try_get("created_at")?,
        last_decline: row.try_get("last_decline")?,
        order_token: None,
        shipping_address: None,
        email: None,
    };
    Ok(StoredOrder {
        order,
        owner: row.try_get("owner")?,
        updated_at: row.try_get("updated_at")?,
        email_sealed: row.try_get("email_sealed")?,
        address_sealed: row.try_get("address_sealed")?,
    })
}

/// The items as events name them.
pub async fn ordered_items(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<OrderedItem>, sqlx::Error> {
    let items = items(tx, order_id).await?.into_iter();
    let ordered = |i: OrderItem| OrderedItem {
        product_id: i.product_id,
        sku: i.sku,
        qty: i.qty,
        price: i.price,
    };
    Ok(items.map(ordered).collect())
}

pub async fn items(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<OrderItem>, sqlx::Error> {
    Ok(items_of(tx, &[order_id]).await?.remove(&order_id).unwrap_or_default())
}

/// The items of several orders at once.
pub async fn items_of(
    tx: &mut PgConnection,
    order_ids: &[OrderId],
) -> Result<HashMap<OrderId, Vec<OrderItem>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT i.order_id, o.currency, i.product_id, i.sku, i.title, i.qty, i.price_minor,
                i.line_total_minor
         FROM order_items i JOIN orders o USING (order_id)
         WHERE i.order_id = ANY($1) ORDER BY i.order_id, i.line_no",
    )
    .bind(order_ids)
    .fetch_all(tx)
    .await?;
    let mut found: HashMap<OrderId, Vec<OrderItem>> = HashMap::new();
    for row in &rows {
        let currency = row.try_get("currency")?;
        found.entry(row.try_get("order_id")?).or_default().push(OrderItem {
            product_id: row.try_get("product_id")?,
            sku: row.try_get("sku")?,
            title: row.try_get("title")?,
            qty: row.try_get("qty")?,
            price: amount(row.try_get("price_minor")?, currency),
            line_total: amount(row.try_get("line_total_minor")?, currency),
        });
    }
    Ok(found)
}

/// The lines as refunds see them.
pub async fn sold_lines(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<SoldLine>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT sku, qty, returned_qty, price_minor, tax_minor
         FROM order_items WHERE order_id = $1 ORDER BY line_no",
    )
    .bind(order_id)
    .fetch_all(tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(SoldLine {
                sku: row.try_get("sku")?,
                qty: row.try_get("qty")?,
                returned: row.try_get("returned_qty")?,
                price_minor: row.try_get("price_minor")?,
                tax_minor: row.try_get("tax_minor")?,
            })
        })
        .collect()
}

/// Everything that ever happened to the order, oldest first.
pub async fn history(
    tx: &mut PgConnection,
    order_id: OrderId,
) -> Result<Vec<StatusChange>, sqlx::Error> {
    Ok(histories_of(tx, &[order_id]).await?.remove(&order_id).unwrap_or_default())
}

pub(super) fn change(row: &PgRow) -> Result<StatusChange, sqlx::Error> {
    Ok(StatusChange {
        status: row.try_get("status")?,
        at: row.try_get("at")?,
        cause: row.try_get("cause")?,
    })
}

/// The histories of several orders at once.
pub async fn histories_of(
    tx: &mut PgConnection,
    order_ids: &[OrderId],
) -> Result<HashMap<OrderId, Vec<StatusChange>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT order_id, status, at, cause FROM order_status_history
         WHERE order_id = ANY($1) ORDER BY order_id, id",
    )
    .bind(order_ids)
    .fetch_all(tx)
    .await?;
    let mut found: HashMap<OrderId, Vec<StatusChange>> = HashMap::new();
    for row in &rows {
        found.entry(row.try_get("order_id")?).or_default().push(change(row)?);
    }
    Ok(found)
}

/// Which orders a list shows.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only this owner's; staff see all.
    pub owner: Option<String>,
    pub status: Option<OrderStatus>,
    pub number: Option<i64>,
    pub order_id: Option<OrderId>,
    /// Part of a title, or a whole sku.
    pub text: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub before: Option<(Timestamp, OrderId)>,
}

/// Newest first.
pub async fn list(
    tx: &mut PgConnection,
    filter: &ListFilter,
    limit: i64,
) -> Result<Vec<OrderSummary>, sqlx::Error> {
    let like = filter.text.as_ref().map(|t| {
        let escaped = t.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        format!("%{escaped}%")
    });
    let rows = sqlx::query(
        "SELECT order_id, number, status, stage, currency, total_minor, units, created_at, updated_at
         FROM orders o
         WHERE ($1::text IS NULL OR owner = $1)
           AND ($2::text IS NULL OR status = $2)
           AND ($3::bigint IS NULL OR number = $3)
           AND ($4::uuid IS NULL OR order_id = $4)
           AND ($5::timestamptz IS NULL OR created_at >= $5)
           AND ($6::timestamptz IS NULL OR created_at < $6)
           AND ($7::timestamptz IS NULL OR (created_at, order_id) < ($7, $8))
           AND ($9::text IS NULL OR EXISTS (SELECT 1 FROM order_items i
                WHERE i.order_id = o.order_id AND (i.sku_key = lower($9) OR i.title ILIKE $10)))
         ORDER BY created_at DESC, order_id DESC LIMIT $11",
    )
    .bind(&filter.owner)
    .bind(filter.status)
    .bind(filter.number)
    .bind(filter.order_id)
    .bind(filter.from)
    .bind(filter.to)
    .bind(filter.before.map(|(at, _)| at))
    .bind(filter.before.map(|(_, id)| id))
    .bind(&filter.text)
    .bind(like)
    .bind(limit)
    .fetch_all(tx)
    .await?;
    rows.iter().map(summary).collect()
}

fn summary(row: &PgRow) -> Result<OrderSummary, sqlx::Error> {
    let currency: Currency = row.try_get("currency")?;
    let stage: Stage = row.try_get("stage")?;
    Ok(OrderSummary {
        order_id: row.try_get("order_id")?,
        order_number: number_text(row.try_get("number")?),
        status: row.try_get("status")?,
        stage,
        total_amount: amount(row.try_get("total_minor")?, currency),
        currency,
        units: row.try_get("units")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// Whether the order's prices hold the tax already.
pub async fn tax_inclusive(tx: &mut PgConnection, order_id: OrderId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT tax_inclusive FROM orders WHERE order_id = $1")
        .bind(order_id)
        .fetch_one(tx)
        .await
}
