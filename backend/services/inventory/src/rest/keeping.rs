//! How stock is kept: counts, policies, warehouses, and whom a count left short.

use axum::extract::State;
use platform::auth::Principal;
use platform::http::{Json, PathOf};
use platform::validate::Checks;
use platform::{ApiError, Kind};
use shared_types::inventory::{
    AffectedOrder, CountedStock, StockCount, StockPolicy, StockPolicyInput, Warehouse,
};
use shared_types::{Problem, Role, Sku};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::calls::MAX_QTY;
use crate::commands::Stockroom;
use crate::commands::adjust::REASON_CHARS;
use crate::commands::count::{self, Count};
use crate::commands::policy::{self, Keep};
use crate::queries;

pub fn router() -> OpenApiRouter<Stockroom> {
    OpenApiRouter::new()
        .routes(routes!(count_stock))
        .routes(routes!(get_policy, set_policy))
        .routes(routes!(list_warehouses, put_warehouse))
        .routes(routes!(list_affected_orders))
}

const CODE_CHARS: std::ops::RangeInclusive<usize> = 1..=40;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=100;

fn unknown() -> ApiError {
    ApiError::not_found("inventory.unknown_sku")
}

fn sku_of(name: &str) -> Result<Sku, ApiError> {
    name.parse().map_err(|_| unknown())
}

/// Makes what was physically counted what is on hand, whatever was promised.
#[utoipa::path(
    post,
    path = "/inventory/{sku}/counts",
    tag = "inventory",
    params(("sku" = String, Path, description = "The sku")),
    request_body = StockCount,
    responses(
        (status = 200, description = "The stock afterwards, and the orders whose promised units are not there", body = CountedStock),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 404, description = "Nobody ever opened stock for this sku", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "Wrong fields, or no such warehouse", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn count_stock(
    State(room): State<Stockroom>,
    caller: Principal,
    PathOf(name): PathOf<String>,
    Json(input): Json<StockCount>,
) -> Result<Json<CountedStock>, ApiError> {
    caller.require_role(Role::Merchant)?;
    let sku = sku_of(&name)?;
    let mut checks = Checks::new();
    let counted = checks.required("counted", input.counted).unwrap_or(0);
    checks.ensure((0..=MAX_QTY).contains(&counted), "counted", "range", RANGE);
    let reason = checks.text("reason", &input.reason, REASON_CHARS);
    checks.finish()?;
    let (warehouse, actor) = (input.warehouse, caller.actor());
    let count = Count { sku: sku.clone(), counted, reason, warehouse, actor };
    count::count(&room, &count).await?;
    let stock = queries::find_stock(&room, &sku).await?.ok_or_else(unknown)?;
    let affected_orders = queries::affected(&room, Some(&sku)).await?;
    Ok(Json(CountedStock { stock, affected_orders }))
}

const RANGE: &str = "must lie between 0 and 1000000000";

/// How a sku is kept.
#[utoipa::path(
    get,
    path = "/inventory/{sku}/policy",
    tag = "inventory",
    params(("sku" = String, Path, description = "The sku")),
    responses(
        (status = 200, description = "Threshold, safety stock, backorders", body = StockPolicy),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 404, description = "Nobody ever opened stock for this sku", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn get_policy(
    State(room): State<Stockroom>,
    caller: Principal,
    PathOf(name): PathOf<String>,
) -> Result<Json<StockPolicy>, ApiError> {
    caller.require_role(Role::Merchant)?;
    queries::find_policy(&room, &sku_of(&name)?).await?.map(Json).ok_or_else(unknown)
}

/// Sets how a sku is kept; what is absent stays as it is.
#[utoipa::path(
    put,
    path = "/inventory/{sku}/policy",
    tag = "inventory",
    params(("sku" = String, Path, description = "The sku")),
    request_body = StockPolicyInput,
    responses(
        (status = 200, description = "Threshold, safety stock, backorders", body = StockPolicy),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 404, description = "Nobody ever opened stock for this sku", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn set_policy(
    State(room): State<Stockroom>,
    caller: Principal,
    PathOf(name): PathOf<String>,
    Json(input): Json<StockPolicyInput>,
) -> Result<Json<StockPolicy>, ApiError> {
    caller.require_role(Role::Merchant)?;
    let sku = sku_of(&name)?;
    let mut checks = Checks::new();
    let mut fits = |field: &str, value: Option<i64>| {
        let fits = value.is_none_or(|v| (0..=MAX_QTY).contains(&v));
        checks.ensure(fits, field, "range", RANGE);
    };
    fits("lowThreshold", input.low_threshold);
    fits("safetyStock", input.safety_stock);
    fits("backorderLimit", input.backorder_limit.flatten());
    checks.finish()?;
    let keep = Keep {
        low_threshold: input.low_threshold,
        safety_stock: input.safety_stock,
        backorder_limit: input.backorder_limit,
    };
    Ok(Json(policy::set(&room, &sku, &keep, &caller.actor()).await?))
}

/// All warehouses, in the order they are asked.
#[utoipa::path(
    get,
    path = "/inventory/warehouses",
    tag = "inventory",
    responses(
        (status = 200, description = "At most 1000", body = Vec<Warehouse>),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn list_warehouses(
    State(room): State<Stockroom>,
    caller: Principal,
) -> Result<Json<Vec<Warehouse>>, ApiError> {
    caller.require_role(Role::Merchant)?;
    Ok(Json(queries::list_warehouses(&room).await?))
}

/// Adds a warehouse, or changes its name and place in the order.
#[utoipa::path(
    put,
    path = "/inventory/warehouses",
    tag = "inventory",
    request_body = Warehouse,
    responses(
        (status = 200, description = "The warehouse", body = Warehouse),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 409, description = "`inventory.priority_taken`: another warehouse has this priority", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn put_warehouse(
    State(room): State<Stockroom>,
    caller: Principal,
    Json(input): Json<Warehouse>,
) -> Result<Json<Warehouse>, ApiError> {
    caller.require_role(Role::Merchant)?;
    let mut checks = Checks::new();
    let code = checks.text("code", &input.code, CODE_CHARS);
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let plain = code.chars().all(letters);
    checks.ensure(plain, "code", "invalid", "may hold small letters, digits and hyphens");
    let name = checks.text("name", &input.name, NAME_CHARS);
    let priority = input.priority;
    checks.ensure(
        (1..=1_000_000).contains(&priority),
        "priority",
        "range",
        "must lie between 1 and 1000000",
    );
    checks.finish()?;
    let warehouse = Warehouse { code, name, priority };
    if policy::put_warehouse(&room, &warehouse, &caller.actor()).await? {
        return Ok(Json(warehouse));
    }
    let detail = "Another warehouse has this priority.";
    Err(ApiError::new(Kind::Conflict, "inventory.priority_taken", detail))
}

/// Orders that were promised units which are not there, for a person to settle.
#[utoipa::path(
    get,
    path = "/inventory/affected-orders",
    tag = "inventory",
    responses(
        (status = 200, description = "Whoever came last goes short; empty when every promise can be kept", body = Vec<AffectedOrder>),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role MERCHANT", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn list_affected_orders(
    State(room): State<Stockroom>,
    caller: Principal,
) -> Result<Json<Vec<AffectedOrder>>, ApiError> {
    caller.require_role(Role::Merchant)?;
    Ok(Json(queries::affected(&room, None).await?))
}
