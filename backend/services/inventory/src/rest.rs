//! Stock over REST.

mod keeping;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use platform::auth::Principal;
use platform::http::{Json, PathOf, Posted, QueryOf};
use platform::idempotency::Answer;
use platform::paging::Paging;
use platform::validate::Checks;
use platform::{ApiError, trace};
use shared_types::inventory::{
    Adjustment, LedgerEntry, ProductInventory, ProductStock, ReserveInput, ReserveOutput, Stock,
};
use shared_types::{Page, Problem, ProductId, Role, Sku};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::calls::{self, MAX_LINES, MAX_QTY};
use crate::commands::Stockroom;
use crate::commands::adjust::{self, Adjust};
use crate::commands::reserve::{self, Reserve, Reserved};
use crate::domain::shelf::Wanted;
use crate::queries;

/// Paths below `/api/v1`.
pub fn router(room: Stockroom) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(get_product_inventory))
        .routes(routes!(reserve_product))
        .routes(routes!(get_stock))
        .routes(routes!(adjust_stock))
        .routes(routes!(list_ledger))
        .merge(keeping::router())
        .with_state(room)
}

/// Stock of a product: a band for shoppers, units for merchants.
#[utoipa::path(
    get,
    path = "/products/{id}/inventory",
    tag = "inventory",
    params(("id" = ProductId, Path, description = "The product")),
    responses(
        (status = 200, description = "Band per variant; units for MERCHANT", body = ProductInventory),
        (status = 401, description = "The token is wrong or ended", body = Problem),
        (status = 404, description = "No stock was ever opened for this product", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    )
)]
async fn get_product_inventory(
    State(room): State<Stockroom>,
    caller: Option<Extension<Principal>>,
    PathOf(id): PathOf<ProductId>,
) -> Result<Json<ProductInventory>, ApiError> {
    let merchant = caller.is_some_and(|Extension(c)| c.has_role(Role::Merchant));
    let found = queries::find_availability(&room, id, merchant).await?;
    found.map(Json).ok_or_else(|| ApiError::not_found("inventory.unknown_product"))
}

/// Holds stock of a product for an order; all lines or none.
#[utoipa::path(
    post,
    path = "/products/{id}/inventory/reserve",
    tag = "inventory",
    params(("id" = ProductId, Path, description = "The product that all lines belong to")),
    request_body = ReserveInput,
    responses(
        (status = 200, description = "HELD, or SHORT with the short lines; the same answer when sent again", body = ReserveOutput),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "A service token is needed", body = Problem),
        (status = 403, description = "For service accounts", body = Problem),
        (status = 404, description = "No stock was ever opened for this product", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "Wrong fields, other lines under this order id (`inventory.order_differs`), or an order that was given up (`inventory.order_ended`)", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn reserve_product(
    State(room): State<Stockroom>,
    caller: Principal,
    PathOf(id): PathOf<ProductId>,
    Json(input): Json<ReserveInput>,
) -> Result<Json<ReserveOutput>, ApiError> {
    caller.require_service()?;
    let own = queries::keys_of_product(&room, id).await?;
    if own.is_empty() {
        return Err(ApiError::not_found("inventory.unknown_product"));
    }
    let wanted = wanted_of(&input, &own)?;
    let wish = Reserve {
        order_id: input.order_id,
        wanted,
        ttl: room.settings.hold_ttl(),
        accept_backorder: false,
        context: trace::current(),
    };
    Ok(Json(match reserve::reserve(&room, wish).await? {
        Reserved::Held { expires_at, .. } => {
            ReserveOutput { outcome: "HELD".to_owned(), expires_at, short: Vec::new() }
        }
        Reserved::Short(short) => {
            ReserveOutput { outcome: "SHORT".to_owned(), expires_at: None, short }
        }
    }))
}

fn wanted_of(input: &ReserveInput, own: &[String]) -> Result<Wanted, ApiError> {
    let mut checks = Checks::new();
    let count = input.lines.len();
    checks.ensure((1..=MAX_LINES).contains(&count), "lines", "range", "must be 1 to 1000 lines");
    let mut lines: Vec<(Sku, i64)> = Vec::with_capacity(count.min(MAX_LINES));
    for (i, line) in input.lines.iter().take(MAX_LINES).enumerate() {
        let field = format!("lines[{i}].sku");
        let sku: Option<Sku> = checks.parse(&field, &line.sku);
        if let Some(sku) = &sku
            && !own.contains(&sku.key())
        {
            checks.fail(field, "not_of_product", "is no variant of this product");
        }
        let fits = (1..=MAX_QTY).contains(&line.qty);
        let message = "must lie between 1 and 1000000000";
        checks.ensure(fits, &format!("lines[{i}].qty"), "range", message);
        lines.extend(sku.map(|sku| (sku, line.qty)));
    }
    checks.finish()?;
    calls::add_up(lines.iter().map(|(sku, qty)| (sku, *qty))).map_err(|(i, message)| {
        let mut checks = Checks::new();
        checks.fail(format!("lines[{i}].qty"), "range", message);
        ApiError::invalid(checks.into_errors())
    })
}

/// What `GET /inventory/{…}/stock` answers: one sku, or all of a product.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum StockAnswer {
    Sku(Stock),
    Product(ProductStock),
}

/// Stock of a sku, or of all variants of a product.
#[utoipa::path(
    get,
    path = "/inventory/{sku}/stock",
    tag = "inventory",
    params(("sku" = String, Path, description = "A sku, or the id of a product")),
    responses(
        (status = 200, description = "Units, in all and per warehouse", body = StockAnswer),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 404, description = "Nobody ever opened stock for it", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn get_stock(
    State(room): State<Stockroom>,
    caller: Principal,
    PathOf(name): PathOf<String>,
) -> Result<Json<StockAnswer>, ApiError> {
    caller.require_role(Role::Merchant)?;
    let unknown = || ApiError::not_found("inventory.unknown_sku");
    if let Ok(sku) = name.parse::<Sku>()
        && let Some(stock) = queries::find_stock(&room, &sku).await?
    {
        return Ok(Json(StockAnswer::Sku(stock)));
    }
    let product: ProductId = name.parse().map_err(|_| unknown())?;
    let stock = queries::find_product_stock(&room, product).await?;
    stock.map(|s| Json(StockAnswer::Product(s))).ok_or_else(unknown)
}

/// Adds or takes units of a sku, provided that the caller knows what is there.
#[utoipa::path(
    post,
    path = "/inventory/{sku}/adjustments",
    tag = "inventory",
    params(
        ("sku" = String, Path, description = "The sku"),
        ("Idempotency-Key" = Option<String>, Header, description = "Adjusts once, however often it is sent"),
    ),
    request_body = Adjustment,
    responses(
        (status = 200, description = "The stock afterwards", body = Stock),
        (status = 400, description = "The body is no JSON, or no good `Idempotency-Key`", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 404, description = "Nobody ever opened stock for this sku", body = Problem),
        (status = 409, description = "`inventory.stale`: another quantity is on hand (`onHand`); `inventory.committed`: the units are promised (`committed`); `idempotency.in_flight`", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "Wrong fields, or no such warehouse; `idempotency.mismatch`", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn adjust_stock(
    State(room): State<Stockroom>,
    caller: Principal,
    PathOf(name): PathOf<String>,
    Posted { input, key }: Posted<Adjustment>,
) -> Result<Answer, ApiError> {
    caller.require_role(Role::Merchant)?;
    let adjust = Adjust::read(&name, input, caller.actor())?;
    adjust::adjust(&room, &adjust, key.as_ref()).await
}

/// Every change of what is on hand of a sku, newest first.
#[utoipa::path(
    get,
    path = "/inventory/{sku}/ledger",
    tag = "inventory",
    params(("sku" = String, Path, description = "The sku"), Paging),
    responses(
        (status = 200, description = "A page of the ledger", body = Page<LedgerEntry>),
        (status = 400, description = "Wrong paging parameters", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 404, description = "Nobody ever opened stock for this sku", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn list_ledger(
    State(room): State<Stockroom>,
    caller: Principal,
    PathOf(name): PathOf<String>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Response, ApiError> {
    caller.require_role(Role::Merchant)?;
    let unknown = || ApiError::not_found("inventory.unknown_sku");
    let sku: Sku = name.parse().map_err(|_| unknown())?;
    let page: Option<Page<LedgerEntry>> = queries::list_ledger(&room, &sku, &paging).await?;
    Ok(Json(page.ok_or_else(unknown)?).into_response())
}
