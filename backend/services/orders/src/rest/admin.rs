//! REST for operators: sagas under way. Paths are below `/api/v1`.

use std::sync::Arc;

use axum::extract::State;
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Json, PathOf, QueryOf};
use platform::paging::Paging;
use shared_types::sagas::{SagaAction, SagaDetail, SagaSummary};
use shared_types::{OrderId, Page, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::commands::operate_saga::{Action, operate_saga};
use crate::queries::sagas::{SagaQuery, list_sagas, saga_by_order};

pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(by_order))
        .routes(routes!(retry))
        .routes(routes!(compensate))
        .routes(routes!(resolve))
}

/// List sagas under way: by state, age or amount.
#[utoipa::path(
    get, path = "/admin/sagas", tag = "operations", operation_id = "listSagas",
    params(SagaQuery, Paging),
    responses(
        (status = 200, description = "A page", body = Page<SagaSummary>),
        (status = 400, description = "A filter or the cursor is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `ADMIN` or `OPERATOR`", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(app): State<Arc<App>>,
    caller: Principal,
    QueryOf(query): QueryOf<SagaQuery>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Json<Page<SagaSummary>>, ApiError> {
    list_sagas(&app, &caller, &query, &paging).await.map(Json)
}

/// One saga: its diagram, attempts, refunds and history, and what may be done.
#[utoipa::path(
    get, path = "/admin/sagas/{orderId}", tag = "operations", operation_id = "getSaga",
    params(("orderId" = OrderId, Path, description = "Whose saga it is")),
    responses(
        (status = 200, description = "The saga", body = SagaDetail),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `ADMIN` or `OPERATOR`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn by_order(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
) -> Result<Json<SagaDetail>, ApiError> {
    saga_by_order(&app, &caller, order_id).await.map(Json)
}

/// Retry the step that a saga is at, now.
#[utoipa::path(
    post, path = "/admin/sagas/{orderId}/retry", tag = "operations", operation_id = "retrySaga",
    params(("orderId" = OrderId, Path, description = "Whose saga it is")),
    request_body = SagaAction,
    responses(
        (status = 200, description = "The saga as it is then", body = SagaDetail),
        (status = 400, description = "No JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `ADMIN` or `OPERATOR`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`sagas.at_rest`, `sagas.waits_for_buyer`, `sagas.changed`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`reason` is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn retry(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
    Json(input): Json<SagaAction>,
) -> Result<Json<SagaDetail>, ApiError> {
    operate_saga(&app, &caller, order_id, Action::Retry, &input).await.map(Json)
}

/// Undo what a saga did and end its order.
///
/// Money goes back before the order ends; a payment whose outcome is unknown is
/// looked after once the stock is back.
#[utoipa::path(
    post, path = "/admin/sagas/{orderId}/compensate", tag = "operations", operation_id = "compensateSaga",
    params(("orderId" = OrderId, Path, description = "Whose saga it is")),
    request_body = SagaAction,
    responses(
        (status = 200, description = "The saga as it is then", body = SagaDetail),
        (status = 400, description = "No JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `ADMIN` or `OPERATOR`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`sagas.compensating`, `orders.payment_in_progress`, `orders.illegal_transition`, `sagas.changed`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`reason` is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn compensate(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
    Json(input): Json<SagaAction>,
) -> Result<Json<SagaDetail>, ApiError> {
    operate_saga(&app, &caller, order_id, Action::Compensate, &input).await.map(Json)
}

/// Mark a stuck step as done by hand; the saga goes on as though it had succeeded.
#[utoipa::path(
    post, path = "/admin/sagas/{orderId}/resolve", tag = "operations", operation_id = "resolveSaga",
    params(("orderId" = OrderId, Path, description = "Whose saga it is")),
    request_body = SagaAction,
    responses(
        (status = 200, description = "The saga as it is then", body = SagaDetail),
        (status = 400, description = "No JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `ADMIN` or `OPERATOR`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`sagas.not_stuck`, `sagas.not_resolvable`, `sagas.changed`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`reason` is wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn resolve(
    State(app): State<Arc<App>>,
    caller: Principal,
    PathOf(order_id): PathOf<OrderId>,
    Json(input): Json<SagaAction>,
) -> Result<Json<SagaDetail>, ApiError> {
    operate_saga(&app, &caller, order_id, Action::Resolve, &input).await.map(Json)
}
