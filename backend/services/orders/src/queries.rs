//! Looking at orders.

pub mod sagas;

use std::collections::HashMap;
use std::sync::Arc;

use platform::ApiError;
use platform::auth::Principal;
use platform::db::searching;
use platform::error::Kind;
use platform::paging::{Paging, page};
use serde::Deserialize;
use shared_types::orders::{
    Address, Order, OrderItem, OrderStatus, OrderStatusView, OrderSummary, StatusChange,
};
use shared_types::{OrderId, Page, Timestamp};

use crate::app::App;
use crate::commands::access::{is_staff, may_see, not_found};
use crate::commands::place_order::{ADDRESS, EMAIL};
use crate::store;
use crate::store::history::Since;
use crate::store::orders::ListFilter;
pub use crate::store::orders::StoredOrder;

/// Filters of `GET /orders`. Texts, so that a wrong one is answered by name.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct OrderFilter {
    /// `PENDING`, `PAID`, `CONFIRMED`, …
    pub status: Option<String>,
    /// An order number, an order id, a sku, or part of a title.
    pub q: Option<String>,
    /// Placed at or after this RFC 3339 time.
    pub from: Option<String>,
    /// Placed before this RFC 3339 time.
    pub to: Option<String>,
}

const MAX_QUERY_CHARS: usize = 100;

impl OrderFilter {
    fn read(&self, caller: &Principal) -> Result<ListFilter, ApiError> {
        let mut filter = ListFilter {
            owner: (!is_staff(caller)).then(|| caller.actor()),
            status: parsed::<OrderStatus>("status", &self.status)?,
            from: parsed::<Timestamp>("from", &self.from)?,
            to: parsed::<Timestamp>("to", &self.to)?,
            ..ListFilter::default()
        };
        let text = self.q.as_deref().unwrap_or("").trim();
        if text.chars().count() > MAX_QUERY_CHARS || text.contains('\0') {
            return Err(bad("q", "may have at most 100 characters"));
        }
        let upper = text.to_uppercase();
        let number = upper.strip_prefix("BV-").unwrap_or(&upper).parse::<i64>().ok();
        let is_number = upper.starts_with("BV-") || (6..=12).contains(&upper.len());
        match (number, text.parse::<OrderId>()) {
            _ if text.is_empty() => {}
            (_, Ok(order_id)) => filter.order_id = Some(order_id),
            (Some(number), _) if is_number => filter.number = Some(number),
            _ => filter.text = Some(text.to_owned()),
        }
        Ok(filter)
    }
}

fn parsed<T: std::str::FromStr>(name: &str, text: &Option<String>) -> Result<Option<T>, ApiError>
where
    T::Err: std::fmt::Display,
{
    let Some(text) = text.as_deref().filter(|t| !t.is_empty()) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: T::Err| bad(name, &error.to_string()))
}

fn bad(name: &str, message: &str) -> ApiError {
    ApiError::new(Kind::Unparseable, "request.query", format!("{name}: {message}"))
}

/// The caller's orders, or all for staff; newest first.
pub async fn list_orders(
    app: &App,
    caller: &Principal,
    filter: &OrderFilter,
    paging: &Paging,
) -> Result<Page<OrderSummary>, ApiError> {
    let limit = paging.limit()?;
    let mut filter = filter.read(caller)?;
    filter.before = paging.position()?;
    let mut tx = searching(&app.ctx.pool).await?;
    let orders = store::orders::list(&mut tx, &filter, limit + 1).await?;
    Ok(page(orders, limit, |o| (o.created_at, o.order_id)))
}

async fn visible(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
) -> Result<StoredOrder, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let stored = store::orders::find(&mut connection, order_id).await?.ok_or_else(not_found)?;
    may_see(caller, order_id, &stored.owner)?;
    Ok(stored)
}

/// 404 unless the caller may see the order.
pub async fn see(app: &App, caller: &Principal, order_id: OrderId) -> Result<(), ApiError> {
    visible(app, caller, order_id).await.map(drop)
}

/// What happened to an order behind a place in its history, each with its place,
/// oldest first; without a place what happened last. Whoever may see it.
pub async fn history_since(
    app: &App,
    order_id: OrderId,
    place: Option<i64>,
) -> Result<Vec<(i64, StatusChange)>, ApiError> {
    let ask = |asked: Vec<Since>| async move {
        let mut connection = app.ctx.pool.acquire().await?;
        let mut found = store::history::histories_since(&mut connection, &asked).await?;
        Ok((0..asked.len()).map(|index| Ok(found.remove(&index).unwrap_or_default())).collect())
    };
    app.histories.ask(Since { order_id, place }, ask).await
}

/// One order with everything its owner may see.
pub async fn order_by_id(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
) -> Result<Order, ApiError> {
    let stored = visible(app, caller, order_id).await?;
    complete(app, stored).await
}

/// The same for a caller who was let in already.
pub async fn full_order(app: &App, order_id: OrderId) -> Result<Order, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let stored = store::orders::find(&mut connection, order_id).await?.ok_or_else(not_found)?;
    drop(connection);
    complete(app, stored).await
}

/// Orders by id, whoever may see them: one statement.
pub async fn stored_orders(
    app: &App,
    order_ids: &[OrderId],
) -> Result<HashMap<OrderId, Arc<StoredOrder>>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let found = store::orders::find_many(&mut connection, order_ids).await?;
    Ok(found.into_iter().map(|stored| (stored.order.order_id, Arc::new(stored))).collect())
}

/// The items of several orders: one statement.
pub async fn items_of(
    app: &App,
    order_ids: &[OrderId],
) -> Result<HashMap<OrderId, Vec<OrderItem>>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    Ok(store::orders::items_of(&mut connection, order_ids).await?)
}

/// The histories of several orders: one statement.
pub async fn histories_of(
    app: &App,
    order_ids: &[OrderId],
) -> Result<HashMap<OrderId, Vec<StatusChange>>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    Ok(store::orders::histories_of(&mut connection, order_ids).await?)
}

async fn complete(app: &App, stored: StoredOrder) -> Result<Order, ApiError> {
    let mut order = stored.order;
    let mut connection = app.ctx.pool.acquire().await?;
    order.items = store::orders::items(&mut connection, order.order_id).await?;
    order.shipping_address = Some(address_in(app, &stored.address_sealed)?);
    order.email = Some(email_in(app, &stored.email_sealed)?);
    Ok(order)
}

/// The address of an order, for who may see it.
pub fn address_in(app: &App, sealed: &[u8]) -> Result<Address, ApiError> {
    let address = app.ctx.cipher.open(ADDRESS, sealed)?;
    serde_json::from_str(&address).map_err(ApiError::internal)
}

/// The e-mail address of an order, for who may see it.
pub fn email_in(app: &App, sealed: &[u8]) -> Result<String, ApiError> {
    Ok(app.ctx.cipher.open(EMAIL, sealed)?)
}

pub async fn order_status(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
) -> Result<OrderStatusView, ApiError> {
    let stored = visible(app, caller, order_id).await?;
    let mut connection = app.ctx.pool.acquire().await?;
    let history = store::orders::history(&mut connection, order_id).await?;
    Ok(OrderStatusView {
        order_id,
        status: stored.order.status,
        stage: stored.order.stage,
        updated_at: stored.updated_at,
        history,
    })
}

/// Nothing is shipped yet, so there is nothing to track.
pub async fn tracking(app: &App, caller: &Principal, order_id: OrderId) -> Result<(), ApiError> {
    visible(app, caller, order_id).await?;
    let detail = "This order has no shipment yet.";
    Err(ApiError::new(Kind::NotFound, "orders.no_shipment", detail))
}
