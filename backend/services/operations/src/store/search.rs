//! Lists and groups of dead letters.

use shared_types::operations::{Cause, LetterGroup, LetterGroups, LetterState, Sum};
use shared_types::{Currency, DeadLetterId, OrderId, Timestamp};
use sqlx::{PgConnection, Row};

use super::letters::{Letter, Listed, sum};

/// What a list is narrowed to; an absent part does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub states: Vec<LetterState>,
    pub cause: Option<Cause>,
    pub consumer: Option<String>,
    pub error_code: Option<String>,
    pub event_type: Option<String>,
    pub topic: Option<String>,
    pub aggregate_id: Option<String>,
    pub order_id: Option<OrderId>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Found in error and event type, or equal to one of its ids.
    pub text: Option<String>,
}

/// `$1` to `$10`, bound by [`bind`].
macro_rules! matching {
    ($front:literal, $back:literal) => {
        concat!(
            $front,
            " FROM dead_letters WHERE (cardinality($1::text[]) = 0 OR state = ANY($1))
               AND ($2::text IS NULL OR consumer = $2)
               AND ($3::text IS NULL OR error_code = $3)
               AND ($4::text IS NULL OR event_type = $4)
               AND ($5::text IS NULL OR topic = $5)
               AND ($6::text IS NULL OR aggregate_id = $6)
               AND ($7::uuid IS NULL OR order_id = $7)
               AND ($8::timestamptz IS NULL OR last_failed_at >= $8)
               AND ($9::timestamptz IS NULL OR last_failed_at < $9)
               AND ($10::text IS NULL OR position(lower($10) IN lower(error)) > 0
                    OR position(lower($10) IN lower(event_type)) > 0
                    OR $10 IN (id::text, event_id::text, aggregate_id, order_id::text, trace_id,
                               correlation_id, customer)) ",
            $back
        )
    };
}

macro_rules! bind {
    ($query:expr, $filter:expr) => {{
        let cause = $filter.cause.as_ref();
        $query
            .bind(&$filter.states)
            .bind(cause.map(|c| &c.consumer).or($filter.consumer.as_ref()))
            .bind(cause.map(|c| &c.error_code).or($filter.error_code.as_ref()))
            .bind(cause.map(|c| &c.event_type).or($filter.event_type.as_ref()))
            .bind(&$filter.topic)
            .bind(&$filter.aggregate_id)
            .bind($filter.order_id)
            .bind($filter.since)
            .bind($filter.until)
            .bind(&$filter.text)
    }};
}

/// Newest first, after the place `before`.
pub async fn list(
    tx: &mut PgConnection,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Listed>, sqlx::Error> {
    let sql = matching!(
        "SELECT *",
        "AND ($11::bigint IS NULL OR number < $11) ORDER BY number DESC LIMIT $12"
    );
    bind!(sqlx::query_as(sql), filter).bind(before).bind(limit).fetch_all(tx).await
}

/// Content too, oldest first, after the place `after`; for plans.
pub async fn pick(
    tx: &mut PgConnection,
    filter: &Filter,
    ids: Option<&[DeadLetterId]>,
    after: i64,
    limit: i64,
) -> Result<Vec<Letter>, sqlx::Error> {
    let sql = matching!(
        "SELECT *",
        "AND ($11::uuid[] IS NULL OR id = ANY($11)) AND number > $12 ORDER BY number LIMIT $13"
    );
    bind!(sqlx::query_as(sql), filter).bind(ids).bind(after).bind(limit).fetch_all(tx).await
}

/// A console shows so many causes.
const MAX_GROUPS: i64 = 500;

pub async fn groups(tx: &mut PgConnection, filter: &Filter) -> Result<LetterGroups, sqlx::Error> {
    let sql = matching!(
        "SELECT consumer, error_code, event_type, count(*) AS count,
                min(first_failed_at) AS first_at, max(last_failed_at) AS last_at,
                count(DISTINCT order_id) AS orders, count(DISTINCT customer) AS customers,
                (array_agg(error ORDER BY last_failed_at DESC))[1] AS error",
        "GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT $11"
    );
    let rows = bind!(sqlx::query(sql), filter).bind(MAX_GROUPS).fetch_all(&mut *tx).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(LetterGroup {
            cause: Cause {
                consumer: row.try_get("consumer")?,
                error_code: row.try_get("error_code")?,
                event_type: row.try_get("event_type")?,
            },
            count: row.try_get("count")?,
            first_at: row.try_get("first_at")?,
            last_at: row.try_get("last_at")?,
            orders: row.try_get("orders")?,
            customers: row.try_get("customers")?,
            money_at_risk: Vec::new(),
            error: row.try_get("error")?,
        });
    }
    add_money(tx, filter, &mut items).await?;
    whole(tx, filter, items).await
}

async fn add_money(
    tx: &mut PgConnection,
    filter: &Filter,
    items: &mut [LetterGroup],
) -> Result<(), sqlx::Error> {
    // Each order once per group: several of its messages may have failed.
    let sql = matching!(
        "SELECT consumer, error_code, event_type, currency, sum(amount)::bigint AS amount FROM (
            SELECT consumer, error_code, event_type, currency, max(amount_minor) AS amount",
        "AND amount_minor IS NOT NULL
         GROUP BY consumer, error_code, event_type, currency, coalesce(order_id, copy_of, id)
         ) AS of_orders GROUP BY 1, 2, 3, 4 ORDER BY 4"
    );
    for row in bind!(sqlx::query(sql), filter).fetch_all(&mut *tx).await? {
        let cause = Cause {
            consumer: row.try_get("consumer")?,
            error_code: row.try_get("error_code")?,
            event_type: row.try_get("event_type")?,
        };
        let money = sum(row.try_get("amount")?, row.try_get::<Currency, _>("currency")?);
        if let Some(item) = items.iter_mut().find(|item| item.cause == cause) {
            item.money_at_risk.push(money);
        }
    }
    Ok(())
}

/// Sums over all causes: an order that failed for two reasons counts once.
async fn whole(
    tx: &mut PgConnection,
    filter: &Filter,
    items: Vec<LetterGroup>,
) -> Result<LetterGroups, sqlx::Error> {
    let sql = matching!(
        "SELECT count(*) AS count, count(DISTINCT order_id) AS orders,
                count(DISTINCT customer) AS customers",
        ""
    );
    let row = bind!(sqlx::query(sql), filter).fetch_one(&mut *tx).await?;
    let sql = matching!(
        "SELECT currency, sum(amount)::bigint AS amount FROM (
            SELECT currency, max(amount_minor) AS amount",
        "AND amount_minor IS NOT NULL GROUP BY currency, coalesce(order_id, copy_of, id)
         ) AS of_orders GROUP BY 1 ORDER BY 1"
    );
    let mut money_at_risk: Vec<Sum> = Vec::new();
    for row in bind!(sqlx::query(sql), filter).fetch_all(&mut *tx).await? {
        money_at_risk.push(sum(row.try_get("amount")?, row.try_get::<Currency, _>("currency")?));
    }
    Ok(LetterGroups {
        items,
        count: row.try_get("count")?,
        orders: row.try_get("orders")?,
        customers: row.try_get("customers")?,
        money_at_risk,
    })
}

/// Open letters per consumer, and when the oldest failed; for metrics.
pub async fn sizes(tx: &mut PgConnection) -> Result<Vec<(String, i64, Timestamp)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT consumer, count(*), min(first_failed_at) FROM dead_letters
         WHERE state IN ('open', 'redriving') GROUP BY consumer",
    )
    .fetch_all(tx)
    .await
}
