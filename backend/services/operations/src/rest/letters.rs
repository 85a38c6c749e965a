//! One dead letter, lists and groups.

use axum::extract::State;
use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Json, PathOf, QueryOf};
use platform::paging::Paging;
use serde::Deserialize;
use shared_types::operations::{
    CopyInput, LetterDetail, LetterGroups, LetterState, LetterSummary, NoteInput, ReasonInput,
    RedirectInput, Redrive,
};
use shared_types::{DeadLetterId, Page, Problem};

use crate::App;
use crate::commands::{letter, redrive, require_operator};
use crate::queries::{self, Filter, word};

/// What lists and groups are narrowed to.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, rename_all = "camelCase")]
pub struct LetterQuery {
    /// Found in the error or the event type, or equal to an id, a trace or a customer.
    q: Option<String>,
    /// `open`, `redriving`, `redriven`, `redirected`, `superseded`, `deleted`;
    /// several with commas.
    state: Option<String>,
    consumer: Option<String>,
    error_code: Option<String>,
    event_type: Option<String>,
    topic: Option<String>,
    aggregate_id: Option<String>,
    order_id: Option<String>,
    /// Failed last at or after this time, and before that one.
    since: Option<String>,
    until: Option<String>,
}

impl LetterQuery {
    fn filter(self) -> Result<Filter, ApiError> {
        let mut states = Vec::new();
        for state in self.state.as_deref().unwrap_or_default().split(',') {
            states.extend(word::<LetterState>("state", Some(state.trim()))?);
        }
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        Ok(Filter {
            states,
            cause: None,
            consumer: given(self.consumer),
            error_code: given(self.error_code),
            event_type: given(self.event_type),
            topic: given(self.topic),
            aggregate_id: given(self.aggregate_id),
            order_id: word("orderId", self.order_id.as_deref())?,
            since: word("since", self.since.as_deref())?,
            until: word("until", self.until.as_deref())?,
            text: given(self.q).map(|q| q.trim().chars().take(200).collect()),
        })
    }
}

/// Dead letters by cause, with the orders, customers and money at risk.
#[utoipa::path(
    get,
    path = "/admin/dead-letters/groups",
    tag = "operations",
    params(LetterQuery),
    responses(
        (status = 200, description = "Causes, the largest first; open ones unless `state` says otherwise", body = LetterGroups),
        (status = 400, description = "Wrong query parameters", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn groups(
    State(app): State<App>,
    caller: Principal,
    QueryOf(query): QueryOf<LetterQuery>,
) -> Result<Json<LetterGroups>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(queries::groups(&app, query.filter()?).await?))
}

/// Dead letters, newest first, without their content.
#[utoipa::path(
    get,
    path = "/admin/dead-letters",
    tag = "operations",
    params(LetterQuery, Paging),
    responses(
        (status = 200, description = "A page of dead letters", body = Page<LetterSummary>),
        (status = 400, description = "Wrong query parameters", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Principal,
    QueryOf(query): QueryOf<LetterQuery>,
    QueryOf(paging): QueryOf<Paging>,
) -> Result<Json<Page<LetterSummary>>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(queries::list(&app, &query.filter()?, &paging).await?))
}

/// A dead letter with its content. That it was seen is audited.
#[utoipa::path(
    get,
    path = "/admin/dead-letters/{id}",
    tag = "operations",
    params(("id" = DeadLetterId, Path, description = "The dead letter")),
    responses(
        (status = 200, description = "The message, why it failed, and what belongs to it", body = LetterDetail),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such dead letter", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn get_letter(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<DeadLetterId>,
) -> Result<Json<LetterDetail>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(queries::detail(&app, &caller, id).await?))
}

/// Writes a note beside a dead letter.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/{id}/notes",
    tag = "operations",
    params(("id" = DeadLetterId, Path, description = "The dead letter")),
    request_body = NoteInput,
    responses(
        (status = 204, description = "Kept"),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such dead letter", body = Problem),
        (status = 422, description = "Wrong fields, or 100 notes already", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn add_note(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<DeadLetterId>,
    Json(input): Json<NoteInput>,
) -> Result<StatusCode, ApiError> {
    require_operator(&caller)?;
    letter::note(&app, &caller, id, &input).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes an edited copy; the original stays.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/{id}/copy",
    tag = "operations",
    params(("id" = DeadLetterId, Path, description = "The dead letter")),
    request_body = CopyInput,
    responses(
        (status = 201, description = "The copy, which can be redriven in place of the original", body = LetterSummary),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such dead letter", body = Problem),
        (status = 409, description = "`dead_letters.resolved`, `dead_letters.redriving` or `dead_letters.deleted`: it is not open", body = Problem),
        (status = 422, description = "Wrong or locked fields; a message about money needs a reason", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn copy_letter(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<DeadLetterId>,
    Json(input): Json<CopyInput>,
) -> Result<(StatusCode, Json<LetterSummary>), ApiError> {
    require_operator(&caller)?;
    Ok((StatusCode::CREATED, Json(letter::copy(&app, &caller, id, &input).await?)))
}

/// Takes a dead letter away, with a reason; messages that wait behind it go on.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/{id}/delete",
    tag = "operations",
    params(("id" = DeadLetterId, Path, description = "The dead letter")),
    request_body = ReasonInput,
    responses(
        (status = 200, description = "The deleted letter", body = LetterSummary),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such dead letter", body = Problem),
        (status = 409, description = "`dead_letters.resolved`, `dead_letters.redriving` or `dead_letters.deleted`: it is not open", body = Problem),
        (status = 422, description = "The reason is missing", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn delete_letter(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<DeadLetterId>,
    Json(input): Json<ReasonInput>,
) -> Result<Json<LetterSummary>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(letter::delete(&app, &caller, id, &input).await?))
}

/// Brings a deleted dead letter back; what waited behind it has gone on.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/{id}/restore",
    tag = "operations",
    params(("id" = DeadLetterId, Path, description = "The dead letter")),
    request_body = ReasonInput,
    responses(
        (status = 200, description = "The letter, open again", body = LetterSummary),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such dead letter", body = Problem),
        (status = 409, description = "`dead_letters.not_deleted`", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn restore_letter(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<DeadLetterId>,
    Json(input): Json<ReasonInput>,
) -> Result<Json<LetterSummary>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(letter::restore(&app, &caller, id, &input).await?))
}

/// Sends the original bytes to another topic.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/{id}/redirect",
    tag = "operations",
    params(("id" = DeadLetterId, Path, description = "The dead letter")),
    request_body = RedirectInput,
    responses(
        (status = 200, description = "The redirected letter", body = LetterSummary),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such dead letter", body = Problem),
        (status = 409, description = "`dead_letters.resolved`, `dead_letters.redriving` or `dead_letters.deleted`: it is not open", body = Problem),
        (status = 422, description = "No such topic, or the reason is missing", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn redirect_letter(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<DeadLetterId>,
    Json(input): Json<RedirectInput>,
) -> Result<Json<LetterSummary>, ApiError> {
    require_operator(&caller)?;
    Ok(Json(letter::redirect(&app, &caller, id, &input).await?))
}

/// Sends one message back to the consumer that failed, at once.
#[utoipa::path(
    post,
    path = "/admin/dead-letters/{id}/redrive",
    tag = "operations",
    params(("id" = DeadLetterId, Path, description = "The dead letter")),
    request_body = ReasonInput,
    responses(
        (status = 202, description = "It is on its way; the redrive tells what came of it", body = Redrive),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Needs the role ADMIN or OPERATOR", body = Problem),
        (status = 404, description = "No such dead letter", body = Problem),
        (status = 409, description = "`dead_letters.resolved`, `dead_letters.redriving` or `dead_letters.deleted`: it is not open", body = Problem),
        (status = 422, description = "A message about money needs a reason; or its consumer does not exist", body = Problem),
    ),
    security(("bearer" = []))
)]
pub async fn redrive_letter(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<DeadLetterId>,
    Json(input): Json<ReasonInput>,
) -> Result<(StatusCode, Json<Redrive>), ApiError> {
    require_operator(&caller)?;
    Ok((StatusCode::ACCEPTED, Json(redrive::one(&app, &caller, id, &input).await?)))
}
