//! REST: translation only. Paths are below `/api/v1`.

mod admin;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Idempotent, Json, PathOf, QueryOf};
use platform::idempotency::Answer;
use platform::paging::Paging;
use shared_types::orders::{
    CancelOrder, Order, OrderStatusView, OrderSummary, PayAnswer, PayOrder, PlaceOrder,
};
use shared_types::payments::{Refund, RefundInput};
use shared_types::{OrderId, Page, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::commands::{cancel_order, pay_order, place_order, refund_order};
use crate::queries::{self, OrderFilter};

pub fn router(app: Arc<App>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, place))
        .routes(routes!(by_id))
        .routes(routes!(status))
        .routes(routes!(tracking))
        .routes(routes!(pay))
        .routes(routes!(cancel))
        .routes(routes!(refund))
        .merge(admin::router())
        .with_state(app)
}

/// Place an order.
///
/// From explicit lines or from the caller's cart. Repeated skus are added up.
/// The stock is held before the answer; payment is never waited for, even when
/// a method is given.
#[utoipa::path(
    post, path = "/orders", tag = "orders", operation_id = "placeOrder",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters; at least 16 without a credential")),
    request_body = PlaceOrder,
    responses(
        (status = 201, description = "Placed; the stock is held", body = Order,
            headers(("Location" = String, description = "Of the order"))),
        (status = 202, description = "Placed; inventory is away and reserves later (stage `reserving`)", body = Order),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`taxAndShipping` without the role; an order token instead of a buyer", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`orders.stock_short` with `short`, `orders.price_changed` with the new amounts, `idempotency.in_flight`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than 1 MB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `orders.unknown_sku`, `orders.not_for_sale`, `orders.mixed_currency`, `orders.too_large`, `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Prices or cart cannot be read now", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn place(
    State(app): State<Arc<App>>,
    caller: Principal,
    request: Idempotent<PlaceOrder>,
) -> Result<Answer, ApiError> {
    place_order::place_order(&app, &caller, request).await
}

/// List orders, newest first: one's own; all for `SUPPORT` and above.
#[utoipa::path(
    get, path = "/orders", tag = "orders", operation_id = "listOrders",
    params(OrderFilter, Paging),
    responses(
        (status = 200, description = "A page", body = Page<OrderSummary>),
        (status = 400, description = "A filter or the cursor is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Principal,
    QueryOf(filter): QueryOf<OrderFilter>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Json<Page<OrderSummary>>, ApiError> {
    queries::list_orders(&app, &caller, &filter, &paging).await.map(Json)
}

/// One order.
#[utoipa::path(
    get, path = "/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(("id" = OrderId, Path, description = "Of the order")),
    responses(
        (status = 200, description = "The order", body = Order),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order of the caller", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn by_id(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
) -> Result<Json<Order>, ApiError> {
    queries::order_by_id(&app, &caller, order_id).await.map(Json)
}

/// Where an order is, with its history.
#[utoipa::path(
    get, path = "/orders/{id}/status", tag = "orders", operation_id = "getOrderStatus",
    params(("id" = OrderId, Path, description = "Of the order")),
    responses(
        (status = 200, description = "Status, stage and history, oldest first", body = OrderStatusView),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order of the caller", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn status(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
) -> Result<Json<OrderStatusView>, ApiError> {
    queries::order_status(&app, &caller, order_id).await.map(Json)
}

/// Where the parcels of an order are.
#[utoipa::path(
    get, path = "/orders/{id}/tracking", tag = "orders", operation_id = "getOrderTracking",
    params(("id" = OrderId, Path, description = "Of the order")),
    responses(
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`orders.no_shipment`, or no such order of the caller", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn tracking(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
) -> Result<(), ApiError> {
    queries::tracking(&app, &caller, order_id).await
}

/// Pay an order. Waits up to ten seconds for the outcome.
#[utoipa::path(
    post, path = "/orders/{id}/pay", tag = "orders", operation_id = "payOrder",
    params(
        ("id" = OrderId, Path, description = "Of the order"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters"),
    ),
    request_body = PayOrder,
    responses(
        (status = 200, description = "Paid", body = PayAnswer),
        (status = 202, description = "Still being decided; ask for the status", body = PayAnswer),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 402, description = "`payments.declined` with `declineCode`", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Staff do not pay for buyers", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order of the caller", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`orders.already_paid`, `orders.not_ready`, `orders.payment_in_progress`, `orders.illegal_transition`, `orders.hold_expired`, `idempotency.in_flight`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Nothing could be sent, nothing was charged", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn pay(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
    request: Idempotent<PayOrder>,
) -> Result<Answer, ApiError> {
    pay_order::pay_order(&app, &caller, order_id, request).await
}

/// Cancel an order: its owner while `PENDING`, `SUPPORT` before dispatch.
#[utoipa::path(
    post, path = "/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    params(("id" = OrderId, Path, description = "Of the order")),
    request_body = CancelOrder,
    responses(
        (status = 200, description = "Canceled", body = Order),
        (status = 202, description = "The money is on its way back; then it is canceled", body = Order),
        (status = 400, description = "No JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "`orders.cancel_forbidden`: the policy says no", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order of the caller", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`orders.illegal_transition`, `orders.payment_in_progress`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`reason` is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn cancel(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
    Json(input): Json<CancelOrder>,
) -> Result<Response, ApiError> {
    let (status, order) = cancel_order::cancel_order(&app, &caller, order_id, &input).await?;
    Ok((status, Json(order)).into_response())
}

/// Give money back, whole or in part. `SUPPORT` and above, and service accounts.
///
/// By amount, or by lines at the price they were sold at with their share of
/// tax; neither means all that is left. A refund alone changes no status.
#[utoipa::path(
    post, path = "/payments/refund", tag = "payments", operation_id = "refundOrder",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters")),
    request_body = RefundInput,
    responses(
        (status = 201, description = "The refund; `PENDING` while the provider decides", body = Refund),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `SUPPORT`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`payments.refund_too_much` with `refundable`, `payments.nothing_captured`, `payments.refund_refused`, `orders.return_too_much`, `idempotency.in_flight`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn refund(
    State(app): State<Arc<App>>,
    caller: Principal,
    request: Idempotent<RefundInput>,
) -> Result<Answer, ApiError> {
    refund_order::refund_order(&app, &caller, request).await
}
