//! The cart over REST: one per user or guest, named by the token.

use axum::extract::State;
use platform::ApiError;
use platform::auth::{Principal, Verifier};
use platform::http::{Json, PathOf, Posted, QueryOf};
use platform::idempotency::Answer;
use shared_types::cart::{AddItem, Cart, ChangeItem, MergeCart};
use shared_types::{CartItemId, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::App;
use crate::requests::{self, owner_of};

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
    requests::show(&rest.app, owner_of(&caller)?, query.country).await.map(Json)
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
) -> Result<Answer, ApiError> {
    let owner = owner_of(&caller)?;
    requests::add(&rest.app, owner, &posted.input, posted.key.as_ref()).await
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
    requests::change(&rest.app, owner_of(&caller)?, item, &input).await.map(Json)
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
    requests::remove(&rest.app, owner_of(&caller)?, item).await.map(Json)
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
    requests::clear(&rest.app, owner_of(&caller)?).await.map(Json)
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
    requests::merge(&rest.app, &rest.verifier, owner_of(&caller)?, &input).await.map(Json)
}
