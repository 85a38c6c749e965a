//! Reconciliation for operators: ADMIN and OPERATOR.

use axum::extract::State;
use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Json, PathOf, QueryOf};
use platform::paging::Paging;
use shared_types::payments::{OpenOutcome, ReviewInput, SettleInput};
use shared_types::{AttemptId, Page, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admin::{self, OpenQuery};
use crate::house::House;

pub fn router() -> OpenApiRouter<House> {
    OpenApiRouter::new()
        .routes(routes!(list_open))
        .routes(routes!(ask))
        .routes(routes!(settle))
        .routes(routes!(review))
}

/// Money whose outcome is not known, or that waits for a person; oldest first.
#[utoipa::path(
    get, path = "/admin/payments", tag = "operations", operation_id = "listOpenPayments",
    params(OpenQuery, Paging),
    responses(
        (status = 200, description = "A page of attempts and refunds", body = Page<OpenOutcome>),
        (status = 400, description = "Wrong query parameters", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn list_open(
    State(house): State<House>,
    caller: Principal,
    QueryOf(query): QueryOf<OpenQuery>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Json<Page<OpenOutcome>>, ApiError> {
    admin::list(&house, &caller, &query, &paging).await.map(Json)
}

/// Ask the provider now. Audited.
#[utoipa::path(
    post, path = "/admin/payments/{id}/ask", tag = "operations", operation_id = "askPaymentOutcome",
    params(("id" = AttemptId, Path, description = "Of the attempt or refund")),
    responses(
        (status = 202, description = "It is asked for in this moment; read the list again", body = OpenOutcome),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such attempt or refund", body = Problem),
        (status = 409, description = "`payments.outcome_known`, `payments.in_progress`", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn ask(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<AttemptId>,
) -> Result<(StatusCode, Json<OpenOutcome>), ApiError> {
    let view = admin::ask(&house, &caller, id.0).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Settle by hand, on evidence. Audited.
///
/// Only what is `UNKNOWN` (a refund also `WAITING`). `DONE` publishes what an
/// answer of the provider would have; `NOT_DONE` frees the payment.
#[utoipa::path(
    post, path = "/admin/payments/{id}/settle", tag = "operations", operation_id = "settlePaymentOutcome",
    params(("id" = AttemptId, Path, description = "Of the attempt or refund")),
    request_body = SettleInput,
    responses(
        (status = 200, description = "As it is now", body = OpenOutcome),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such attempt or refund", body = Problem),
        (status = 409, description = "`payments.outcome_known`, `payments.in_progress`, `payments.transaction_taken`", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn settle(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<AttemptId>,
    Json(input): Json<SettleInput>,
) -> Result<Json<OpenOutcome>, ApiError> {
    admin::settle(&house, &caller, id.0, &input).await.map(Json)
}

/// Decide what the risk check left to a person. Audited.
#[utoipa::path(
    post, path = "/admin/payments/{id}/review", tag = "operations", operation_id = "reviewPayment",
    params(("id" = AttemptId, Path, description = "Of the attempt")),
    request_body = ReviewInput,
    responses(
        (status = 200, description = "As it is now; an approved one is being sent", body = OpenOutcome),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such attempt", body = Problem),
        (status = 409, description = "`payments.outcome_known`", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn review(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<AttemptId>,
    Json(input): Json<ReviewInput>,
) -> Result<Json<OpenOutcome>, ApiError> {
    admin::review(&house, &caller, id.0, &input).await.map(Json)
}
