//! Redrives: plan first, then start, watch, pause, resume, cancel.

use axum::extract::State;
use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Json, PathOf, QueryOf};
use platform::paging::Paging;
use serde::Deserialize;
use shared_types::operations::{ReasonInput, Redrive, RedriveInput, RedriveItem};
use shared_types::{Page, Problem, RedriveId};

use crate::App;
use crate::commands::redrive::{self, Move};
use crate::commands::require_operator;
use crate::queries::{self, word};

/// Narrows a list to one state.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct StateQuery {
    state: Option<String>,
}

/// Plans a redrive: how many, which consumers, which side effects, how many
/// would pass today. Nothing is sent before it is started.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/redrives",
    tag = "operations",
    request_body = RedriveInput,
    responses(
        (status = 201, description = "The plan", body = Redrive),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 409, description = "`dead_letters.resolved`: named messages are resolved already (`resolved`)", body = Problem),
        (status = 422, description = "Wrong fields, unknown messages, nothing or too much selected, or the reason is missing", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn plan_redrive(
    State(app): State<App>,
    caller: Principal,
    Json(input): Json<RedriveInput>,
) -> Result<(StatusCode, Json<Redrive>), ApiError> {
    require_operator(&caller)?;
    Ok((StatusCode::CREATED, Json(redrive::plan(&app, &caller, &input).await?)))
}

/// Redrives, newest first.
#[utoipa::path(
    get,
    path = "/admin/dead-letters/redrives",
    tag = "operations",
    params(StateQuery, Paging),
    responses(
        (status = 200, description = "A page of redrives", body = Page<Redrive>),
        (status = 400, description = "Wrong query parameters", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn list_redrives(
    State(app): State<App>,
    caller: Principal,
    QueryOf(query): QueryOf<StateQuery>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Json<Page<Redrive>>, ApiError> {
    require_operator(&caller)?;
    let state = word("state", query.state.as_deref())?;
    Ok(Json(queries::redrives(&app, state, &paging).await?))
}

/// A redrive: plan, progress and result.
#[utoipa::path(
    get,
    path = "/admin/dead-letters/redrives/{id}",
    tag = "operations",
    params(("id" = RedriveId, Path, description = "The redrive")),
    responses(
        (status = 200, description = "The redrive", body = Redrive),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such redrive", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn get_redrive(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<RedriveId>,
) -> Result<Json<Redrive>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(queries::redrive(&app, id).await?))
}

/// The messages of a redrive and what became of each, in the order of sending.
#[utoipa::path(
    get,
    path = "/admin/dead-letters/redrives/{id}/items",
    tag = "operations",
    params(("id" = RedriveId, Path, description = "The redrive"), StateQuery, Paging),
    responses(
        (status = 200, description = "A page of messages", body = Page<RedriveItem>),
        (status = 400, description = "Wrong query parameters", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such redrive", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn list_items(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<RedriveId>,
    QueryOf(query): QueryOf<StateQuery>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Json<Page<RedriveItem>>, ApiError> {
    require_operator(&caller)?;
    let state = word("state", query.state.as_deref())?;
    Ok(Json(queries::items(&app, id, state, &paging).await?))
}

/// Starts a planned redrive: the canary first.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/redrives/{id}/start",
    tag = "operations",
    params(("id" = RedriveId, Path, description = "The redrive")),
    request_body = ReasonInput,
    responses(
        (status = 200, description = "The redrive afterwards", body = Redrive),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such redrive", body = Problem),
        (status = 409, description = "`redrives.state`: it is in no state for that", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn start(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<RedriveId>,
    Json(input): Json<ReasonInput>,
) -> Result<Json<Redrive>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(redrive::act(&app, &caller, id, Move::Start, &input).await?))
}

/// Pauses a redrive; what is on its way arrives.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/redrives/{id}/pause",
    tag = "operations",
    params(("id" = RedriveId, Path, description = "The redrive")),
    request_body = ReasonInput,
    responses(
        (status = 200, description = "The redrive afterwards", body = Redrive),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such redrive", body = Problem),
        (status = 409, description = "`redrives.state`: it is in no state for that", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn pause(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<RedriveId>,
    Json(input): Json<ReasonInput>,
) -> Result<Json<Redrive>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(redrive::act(&app, &caller, id, Move::Pause, &input).await?))
}

/// Goes on with a paused or stopped redrive; failures so far stop it no more.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/redrives/{id}/resume",
    tag = "operations",
    params(("id" = RedriveId, Path, description = "The redrive")),
    request_body = ReasonInput,
    responses(
        (status = 200, description = "The redrive afterwards", body = Redrive),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such redrive", body = Problem),
        (status = 409, description = "`redrives.state`: it is in no state for that", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn resume(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<RedriveId>,
    Json(input): Json<ReasonInput>,
) -> Result<Json<Redrive>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(redrive::act(&app, &caller, id, Move::Resume, &input).await?))
}

/// Ends a redrive; what was not sent stays in the inbox.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/redrives/{id}/cancel",
    tag = "operations",
    params(("id" = RedriveId, Path, description = "The redrive")),
    request_body = ReasonInput,
    responses(
        (status = 200, description = "The redrive afterwards", body = Redrive),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such redrive", body = Problem),
        (status = 409, description = "`redrives.state`: it is in no state for that", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn cancel(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<RedriveId>,
    Json(input): Json<ReasonInput>,
) -> Result<Json<Redrive>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(redrive::act(&app, &caller, id, Move::Cancel, &input).await?))
}
