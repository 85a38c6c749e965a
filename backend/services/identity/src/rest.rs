//! `/users/…` and the well-known documents.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json as Plain, Router};
use http::{HeaderMap, StatusCode};
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Json, PathOf};
use platform::idempotency::{self, Answer};
use shared_types::identity::{Login, Refresh, Registration, Tokens, User};
use shared_types::{Problem, UserId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{App, accounts, sessions};

pub fn routers(app: App) -> (OpenApiRouter, Router) {
    let rest = OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(account))
        .with_state(app.clone());
    let root = Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/.well-known/openid-configuration", get(discovery))
        .with_state(app);
    (rest, root)
}

/// Where the gateway says who is on the other end of the line.
const CLIENT_ADDRESS: &str = "x-bv-client-address";

/// Make an account.
#[utoipa::path(post, path = "/users/register", tag = "identity", request_body = Registration,
    params(("Idempotency-Key" = Option<String>, Header,
            description = "Makes one account, however often it is sent; at least 16 characters without a credential.")),
    responses(
        (status = 201, description = "The account.", body = User),
        (status = 400, description = "Not JSON, or no good `Idempotency-Key`.", body = Problem),
        (status = 403, description = "`auth.role_missing`: only an administrator gives roles.", body = Problem),
        (status = 409, description = "`identity.email_taken`, `idempotency.in_flight`.", body = Problem),
        (status = 422, description = "Wrong fields, all of them; `idempotency.mismatch`.", body = Problem),
    ))]
async fn register(
    State(app): State<App>,
    caller: Option<axum::Extension<Principal>>,
    headers: HeaderMap,
    Json(input): Json<Registration>,
) -> Result<Answer, ApiError> {
    let caller = caller.map(|axum::Extension(principal)| principal);
    let key = match headers.contains_key("idempotency-key") {
        true => {
            let key = idempotency::header_value(&headers)?;
            Some(accounts::registration_key(&app, caller.as_ref(), &key, &input)?)
        }
        false => None,
    };
    accounts::register(&app, caller.as_ref(), input, key.as_ref()).await
}

/// Sign in.
#[utoipa::path(post, path = "/users/login", tag = "identity", request_body = Login,
    responses(
        (status = 200, description = "Tokens.", body = Tokens),
        (status = 400, description = "Not JSON.", body = Problem),
        (status = 401, description = "`identity.wrong_credentials`.", body = Problem),
        (status = 422, description = "Wrong fields, all of them.", body = Problem),
        (status = 429, description = "`identity.throttled`: wait `Retry-After` seconds.", body = Problem),
    ))]
async fn log_in(
    State(app): State<App>,
    headers: HeaderMap,
    Json(input): Json<Login>,
) -> Result<Json<Tokens>, ApiError> {
    let address = headers.get(CLIENT_ADDRESS).and_then(|v| v.to_str().ok());
    sessions::log_in(&app, input, address).await.map(Json)
}

/// New tokens for a refresh token, which works once.
#[utoipa::path(post, path = "/users/refresh", tag = "identity", request_body = Refresh,
    responses(
        (status = 200, description = "Tokens.", body = Tokens),
        (status = 400, description = "Not JSON.", body = Problem),
        (status = 401, description = "`identity.session_ended`.", body = Problem),
        (status = 422, description = "Wrong fields.", body = Problem),
    ))]
async fn refresh(
    State(app): State<App>,
    Json(input): Json<Refresh>,
) -> Result<Json<Tokens>, ApiError> {
    sessions::refresh(&app, input).await.map(Json)
}

/// End the session of a refresh token.
#[utoipa::path(post, path = "/users/logout", tag = "identity", request_body = Refresh,
    responses(
        (status = 204, description = "Ended, now or before."),
        (status = 400, description = "Not JSON.", body = Problem),
        (status = 422, description = "Wrong fields.", body = Problem),
    ))]
async fn log_out(
    State(app): State<App>,
    Json(input): Json<Refresh>,
) -> Result<StatusCode, ApiError> {
    sessions::log_out(&app, input).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own account; any for support.
#[utoipa::path(get, path = "/users/{id}", tag = "identity",
    params(("id" = UserId, Path, description = "The account.")),
    responses(
        (status = 200, description = "The account.", body = User),
        (status = 401, description = "No token.", body = Problem),
        (status = 404, description = "No such account, or somebody else's.", body = Problem),
    ))]
async fn account(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<UserId>,
) -> Result<Json<User>, ApiError> {
    accounts::account(&app, &caller, id).await.map(Json)
}

async fn jwks(State(app): State<App>) -> impl IntoResponse {
    Plain(app.ctx.issuer.key_ring().jwks())
}

/// OpenID Connect discovery: what a client needs to check our tokens.
async fn discovery(State(app): State<App>) -> impl IntoResponse {
    Plain(serde_json::json!({
        "issuer": app.ctx.config.ground.auth.issuer,
        "jwks_uri": "/.well-known/jwks.json",
        "token_endpoint": "/api/v1/users/login",
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "subject_types_supported": ["public"],
        "response_types_supported": ["token"],
    }))
}
