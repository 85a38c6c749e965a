//! Controls, and the ledger as proofs read it.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use platform::ApiError;
use platform::error::Kind;
use platform::http::{Json, QueryOf};
use serde::{Deserialize, Serialize};
use shared_types::{Amount, Currency, Timestamp};

use super::behaviour::Controls;
use super::gateway::Gateway;
use super::ledger::{self, Entry, OrderTotals};

pub fn router() -> Router<Gateway> {
    Router::new()
        .route("/admin/controls", get(controls).put(set_controls))
        .route("/admin/reset", post(reset))
        .route("/admin/ledger", get(entries))
        .route("/admin/ledger/orders", get(orders))
}

async fn controls(State(gateway): State<Gateway>) -> Json<Controls> {
    Json(gateway.controls())
}

async fn set_controls(
    State(gateway): State<Gateway>,
    Json(controls): Json<Controls>,
) -> Result<Json<Controls>, ApiError> {
    controls.check().map_err(|wrong| ApiError::new(Kind::Invalid, "simulator.controls", wrong))?;
    gateway.set_controls(controls);
    Ok(Json(gateway.controls()))
}

/// Well-behaved again; the ledger stays.
async fn reset(State(gateway): State<Gateway>) -> Json<Controls> {
    Json(gateway.reset())
}

const MAX_PAGE: i64 = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryQuery {
    order_id: Option<String>,
    after: Option<i64>,
    first: Option<i64>,
}

/// A ledger entry as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryView {
    id: i64,
    transaction_id: String,
    order_id: String,
    kind: String,
    status: String,
    decline_reason: Option<String>,
    amount: Amount,
    amount_minor: i64,
    currency: Currency,
    attempt_id: Option<String>,
    refund_id: Option<String>,
    refund_of: Option<String>,
    via: String,
    at: Timestamp,
}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        EntryView {
            amount: entry.amount(),
            id: entry.id,
            transaction_id: entry.transaction_id,
            order_id: entry.order_id,
            kind: entry.kind,
            status: entry.status,
            decline_reason: entry.decline_reason,
            amount_minor: entry.amount_minor,
            currency: entry.currency,
            attempt_id: entry.attempt_id,
            refund_id: entry.refund_id,
            refund_of: entry.refund_of,
            via: entry.via,
            at: entry.at,
        }
    }
}

/// A page; `next` is the `after` of the following one, absent at the end.
#[derive(Serialize)]
struct Page<T, N> {
    items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<N>,
}

fn page_size(first: Option<i64>) -> i64 {
    first.unwrap_or(200).clamp(1, MAX_PAGE)
}

fn page<T, N>(items: Vec<T>, size: i64, position: impl Fn(&T) -> N) -> Page<T, N> {
    let full = items.len() as i64 == size;
    let next = items.last().filter(|_| full).map(position);
    Page { items, next }
}

async fn entries(
    State(gateway): State<Gateway>,
    QueryOf(query): QueryOf<EntryQuery>,
) -> Result<Json<Page<EntryView, i64>>, ApiError> {
    let (order, size) = (query.order_id.as_deref(), page_size(query.first));
    let found = ledger::entries(gateway.pool(), order, query.after.unwrap_or(0), size).await?;
    let items: Vec<EntryView> = found.into_iter().map(EntryView::from).collect();
    Ok(Json(page(items, size, |entry| entry.id)))
}

#[derive(Deserialize)]
struct OrderQuery {
    after: Option<String>,
    first: Option<i64>,
}

async fn orders(
    State(gateway): State<Gateway>,
    QueryOf(query): QueryOf<OrderQuery>,
) -> Result<Json<Page<OrderTotals, String>>, ApiError> {
    let size = page_size(query.first);
    let after = query.after.unwrap_or_default();
    let items = ledger::totals(gateway.pool(), &after, size).await?;
    Ok(Json(page(items, size, |totals| totals.order_id.clone())))
}
