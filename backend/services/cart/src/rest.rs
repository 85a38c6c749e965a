//! The cart over REST: one per user or guest, named by the token.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use platform::auth::{Principal, Subject, Verifier};
use platform::http::{Json, PathOf, Posted, QueryOf};
use platform::idempotency::{self, Answer, Entered};
use platform::validate::Checks;
use platform::{ApiError, Kind};
use shared_types::cart::{AddItem, Cart, ChangeItem, MergeCart};
use shared_types::{CartItemId, Problem, Sku};
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::{self, App};
use crate::domain::owner::Owner;
use crate::queries;

/// What the handlers share.
#[derive(Clone)]
pub struct Rest {
    pub app: App,
    pub verifier: Verifier,
}

/// Paths below `/api/v1`.
pub fn router(rest: Rest) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(get_cart, clear_cart))
        .routes(routes!(add_item))
        .routes(routes!(change_item, remove_item))
        .routes(routes!(merge_carts))
        .with_state(rest)
}

fn owner_of(caller: &Principal) -> Result<Owner, ApiError> {
    match caller.subject {
        Subject::User(id) => Ok(Owner::User(id)),
        Subject::Guest(id) => Ok(Owner::Guest(id)),
        Subject::Service(_) | Subject::GrantHolder => {
            let detail = "Only shoppers and guests have a cart.";
            Err(ApiError::new(Kind::Forbidden, "cart.shoppers_only", detail))
        }
    }
}

/// Where the goods will probably go.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
struct ForCountry {
    /// ISO 3166 code of two letters; without it no tax is estimated.
    country: Option<String>,
}

/// The caller's cart; an empty one when nothing was ever put into it.
#[utoipa::path(
    get,
    path = "/cart",
    tag = "cart",
    params(ForCountry),
    responses(
        (status = 200, description = "The cart with the prices of today; notices say what changed", body = Cart),
        (status = 400, description = "Wrong query parameters", body = Problem),
        (status = 401, description = "A shopper's or guest's token is needed", body = Problem),
        (status = 403, description = "Services have no cart", body = Problem),
        (status = 422, description = "The country is no code of two letters", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn get_cart(
    State(rest): State<Rest>,
    caller: Principal,
    QueryOf(query): QueryOf<ForCountry>,
) -> Result<Json<Cart>, ApiError> {
    let owner = owner_of(&caller)?;
    let country = query.country.filter(|c| !c.is_empty()).map(|c| c.to_ascii_uppercase());
    let mut checks = Checks::new();
    let shaped = |c: &str| c.len() == 2 && c.bytes().all(|b| b.is_ascii_uppercase());
    let fits = country.as_deref().is_none_or(shaped);
    checks.ensure(fits, "country", "invalid", "must be a code of two letters such as DE");
    checks.finish()?;
    let mut connection = rest.app.pool.acquire().await?;
    let cart = queries::cart(&rest.app, &mut connection, owner, country.as_deref()).await?;
    Ok(Json(cart))
}

/// Puts units of a sku into the cart; what is there already gets more.
#[utoipa::path(
    post,
    path = "/cart/items",
    tag = "cart",
    params(("Idempotency-Key" = Option<String>, Header, description = "Sent again with the same key, it is added once")),
    request_body = AddItem,
    responses(
        (status = 201, description = "The cart", body = Cart),
        (status = 400, description = "The body is no JSON, or the key is wrong", body = Problem),
        (status = 401, description = "A shopper's or guest's token is needed", body = Problem),
        (status = 403, description = "Services have no cart", body = Problem),
        (status = 409, description = "The first request with this key still runs", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "Wrong fields, `cart.unknown_sku`, `cart.not_for_sale`, `cart.too_many_items`, `cart.too_many_units`, `cart.mixed_currency`, `idempotency.mismatch`", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn add_item(
    State(rest): State<Rest>,
    caller: Principal,
    posted: Posted<AddItem>,
) -> Result<Response, ApiError> {
    let owner = owner_of(&caller)?;
    let app = &rest.app;
    let mut checks = Checks::new();
    let sku: Option<Sku> = checks.parse("sku", &posted.input.sku);
    let qty = posted.input.qty.unwrap_or(1);
    check_qty(&mut checks, app, 1, qty);
    checks.finish()?;
    let sku = sku.ok_or_else(|| ApiError::invalid(Vec::new()))?;
    // Before the transaction: looking up must not wait for a second connection
    // while holding one. A replay does not care what came of it.
    let variant = commands::sellable(app, &sku).await;
    match idempotency::enter_if(&app.pool, posted.key.as_ref()).await? {
        Entered::Replay(answer) => Ok(answer.into_response()),
        Entered::Run(mut work) => {
            commands::add_item(app, work.tx(), owner, &variant?, qty).await?;
            let cart = queries::cart(app, work.tx(), owner, None).await?;
            let answer = Answer::json(StatusCode::CREATED, &cart)?;
            Ok(work.finish(answer, app.clock.now()).await?.into_response())
        }
    }
}

fn check_qty(checks: &mut Checks, app: &App, least: i64, qty: i64) {
    let most = app.settings.max_qty;
    if !(least..=most).contains(&qty) {
        checks.fail("qty", "range", format!("must lie between {least} and {most}"));
    }
}

/// Sets the units of an item; zero takes it out.
#[utoipa::path(
    put,
    path = "/cart/items/{itemId}",
    tag = "cart",
    params(("itemId" = CartItemId, Path, description = "The item")),
    request_body = ChangeItem,
    responses(
        (status = 200, description = "The cart", body = Cart),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "A shopper's or guest's token is needed", body = Problem),
        (status = 403, description = "Services have no cart", body = Problem),
        (status = 404, description = "There is no such item in the caller's cart", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "Wrong fields", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn change_item(
    State(rest): State<Rest>,
    caller: Principal,
    PathOf(item): PathOf<CartItemId>,
    Json(input): Json<ChangeItem>,
) -> Result<Json<Cart>, ApiError> {
    let owner = owner_of(&caller)?;
    let app = &rest.app;
    let mut checks = Checks::new();
    let qty = checks.required("qty", input.qty).unwrap_or(1);
    check_qty(&mut checks, app, 0, qty);
    checks.finish()?;
    let mut tx = app.pool.begin().await?;
    commands::change_item(app, &mut tx, owner, item, qty).await?;
    answer(app, tx, owner).await
}

/// Takes an item out.
#[utoipa::path(
    delete,
    path = "/cart/items/{itemId}",
    tag = "cart",
    params(("itemId" = CartItemId, Path, description = "The item")),
    responses(
        (status = 200, description = "The cart", body = Cart),
        (status = 401, description = "A shopper's or guest's token is needed", body = Problem),
        (status = 403, description = "Services have no cart", body = Problem),
        (status = 404, description = "There is no such item in the caller's cart", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn remove_item(
    State(rest): State<Rest>,
    caller: Principal,
    PathOf(item): PathOf<CartItemId>,
) -> Result<Json<Cart>, ApiError> {
    let owner = owner_of(&caller)?;
    let mut tx = rest.app.pool.begin().await?;
    commands::change_item(&rest.app, &mut tx, owner, item, 0).await?;
    answer(&rest.app, tx, owner).await
}

/// Takes everything out.
#[utoipa::path(
    delete,
    path = "/cart",
    tag = "cart",
    responses(
        (status = 200, description = "The empty cart", body = Cart),
        (status = 401, description = "A shopper's or guest's token is needed", body = Problem),
        (status = 403, description = "Services have no cart", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn clear_cart(State(rest): State<Rest>, caller: Principal) -> Result<Json<Cart>, ApiError> {
    let owner = owner_of(&caller)?;
    let mut tx = rest.app.pool.begin().await?;
    commands::clear(&rest.app, &mut tx, owner).await?;
    answer(&rest.app, tx, owner).await
}

/// Moves a guest's cart into the cart of the shopper who signed in. Sent
/// again, it finds the guest's cart empty and adds nothing.
#[utoipa::path(
    post,
    path = "/cart/merge",
    tag = "cart",
    request_body = MergeCart,
    responses(
        (status = 200, description = "The shopper's cart", body = Cart),
        (status = 400, description = "The body is no JSON", body = Problem),
        (status = 401, description = "Sign in first", body = Problem),
        (status = 403, description = "Services have no cart", body = Problem),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not application/json", body = Problem),
        (status = 422, description = "The token is no good guest token, `cart.too_many_items`, `cart.mixed_currency`; nothing was moved", body = Problem),
        (status = 503, description = "Not available now", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn merge_carts(
    State(rest): State<Rest>,
    caller: Principal,
    Json(input): Json<MergeCart>,
) -> Result<Json<Cart>, ApiError> {
    let owner = owner_of(&caller)?;
    if let Owner::Guest(_) = owner {
        let detail = "Sign in first; guests have one cart.";
        return Err(ApiError::new(Kind::Unauthenticated, "auth.sign_in", detail));
    }
    let mut checks = Checks::new();
    let guest = match input.guest_token.trim() {
        "" => checks.required("guestToken", None),
        token => {
            let proof = rest.verifier.principal(&format!("Bearer {token}")).await;
            let guest = proof.ok().and_then(|p| p.guest());
            if guest.is_none() {
                checks.fail("guestToken", "invalid", "is no good guest token");
            }
            guest
        }
    };
    checks.finish()?;
    let mut tx = rest.app.pool.begin().await?;
    if let Some(guest) = guest {
        commands::merge(&rest.app, &mut tx, owner, Owner::Guest(guest)).await?;
    }
    answer(&rest.app, tx, owner).await
}

async fn answer(
    app: &App,
    mut tx: sqlx::Transaction<'static, sqlx::Postgres>,
    owner: Owner,
) -> Result<Json<Cart>, ApiError> {
    let connection: &mut PgConnection = &mut tx;
    let cart = queries::cart(app, connection, owner, None).await?;
    tx.commit().await?;
    Ok(Json(cart))
}
