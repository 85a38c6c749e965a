//! `/products` and `/categories`.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use platform::auth::Principal;
use platform::http::{Json, PathOf, Posted, QueryOf};
use platform::paging::Paging;
use platform::{ApiError, etag};
use shared_types::catalog::{Category, PriceRecord, Product, ProductInput};
use shared_types::{Page, Problem, ProductId, Role};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::queries::{self, FIRST_VERSION, ProductList, StoredProduct};
use crate::{App, commands};

pub fn router(app: App) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, archive))
        .routes(routes!(prices))
        .routes(routes!(categories))
        .with_state(app)
}

type Caller = Option<Extension<Principal>>;

fn known(caller: &Caller) -> Option<&Principal> {
    caller.as_ref().map(|Extension(principal)| principal)
}

/// Products, a page at a time.
#[utoipa::path(get, path = "/products", tag = "catalog", params(ProductList, Paging),
    responses(
        (status = 200, description = "A page.", body = Page<Product>),
        (status = 400, description = "A wrong parameter.", body = Problem),
        (status = 403, description = "Only merchants filter by status.", body = Problem),
    ))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryOf(query): QueryOf<ProductList>,
    QueryOf(page): QueryOf<Paging>,
) -> Result<Json<Page<Product>>, ApiError> {
    queries::products(&app, known(&caller), &query, &page).await.map(Json)
}

/// A product by id or slug.
#[utoipa::path(get, path = "/products/{id}", tag = "catalog",
    params(("id" = String, Path, description = "Id or slug.")),
    responses(
        (status = 200, description = "The product; `ETag` names its version.", body = Product),
        (status = 404, description = "No such product, or not active.", body = Problem),
    ))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    PathOf(named): PathOf<String>,
) -> Result<Response, ApiError> {
    let product = queries::product(&app, known(&caller), &named).await?;
    Ok(with_etag(&app, StatusCode::OK, &product))
}

/// Make a product with its variants, prices and opening stock.
#[utoipa::path(post, path = "/products", tag = "catalog", request_body = ProductInput,
    params(("Idempotency-Key" = Option<String>, Header,
            description = "Makes one product, however often it is sent.")),
    responses(
        (status = 201, description = "The product, with `Location` and `ETag`. `stockPending`: its stock follows.", body = Product),
        (status = 400, description = "Not JSON, or no good `Idempotency-Key`.", body = Problem),
        (status = 401, description = "Sign in.", body = Problem),
        (status = 403, description = "Needs MERCHANT.", body = Problem),
        (status = 409, description = "`catalog.sku_taken`, `idempotency.in_flight`.", body = Problem),
        (status = 422, description = "Wrong fields, all of them; `idempotency.mismatch`.", body = Problem),
    ))]
async fn create(
    State(app): State<App>,
    caller: Principal,
    Posted { input, key }: Posted<ProductInput>,
) -> Result<Response, ApiError> {
    allowed(&caller)?;
    let mut response = commands::create(&app, &caller, input, key.as_ref()).await?.into_response();
    response.headers_mut().insert(header::ETAG, etag::of(FIRST_VERSION));
    Ok(response)
}

/// Replace a product. Variants are found by id or sku; the ones left out go.
#[utoipa::path(put, path = "/products/{id}", tag = "catalog", request_body = ProductInput,
    params(("id" = ProductId, Path, description = "The product."),
           ("If-Match" = String, Header, description = "The ETag last seen.")),
    responses(
        (status = 200, description = "The product as it is now.", body = Product),
        (status = 400, description = "Not JSON.", body = Problem),
        (status = 401, description = "Sign in.", body = Problem),
        (status = 403, description = "Needs MERCHANT.", body = Problem),
        (status = 404, description = "No such product.", body = Problem),
        (status = 409, description = "`catalog.sku_taken`.", body = Problem),
        (status = 412, description = "Changed meanwhile.", body = Problem),
        (status = 422, description = "Wrong fields; `stock` of a known variant among them.", body = Problem),
        (status = 428, description = "If-Match is missing.", body = Problem),
    ))]
async fn change(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<ProductId>,
    headers: HeaderMap,
    Json(input): Json<ProductInput>,
) -> Result<Response, ApiError> {
    allowed(&caller)?;
    let expected = etag::expected(&headers)?;
    let product = commands::change(&app, &caller, id, expected, input).await?;
    Ok(with_etag(&app, StatusCode::OK, &product))
}

/// Archive a product: shoppers no longer see it.
#[utoipa::path(delete, path = "/products/{id}", tag = "catalog",
    params(("id" = ProductId, Path, description = "The product."),
           ("If-Match" = String, Header, description = "The ETag last seen.")),
    responses(
        (status = 204, description = "Archived, now or before."),
        (status = 401, description = "Sign in.", body = Problem),
        (status = 403, description = "Needs MERCHANT.", body = Problem),
        (status = 404, description = "No such product.", body = Problem),
        (status = 412, description = "Changed meanwhile.", body = Problem),
        (status = 428, description = "If-Match is missing.", body = Problem),
    ))]
async fn archive(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<ProductId>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    allowed(&caller)?;
    commands::archive(&app, id, etag::expected(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every price its variants ever had, newest first.
#[utoipa::path(get, path = "/products/{id}/prices", tag = "catalog",
    params(("id" = ProductId, Path, description = "The product."), Paging),
    responses(
        (status = 200, description = "A page.", body = Page<PriceRecord>),
        (status = 400, description = "A wrong parameter.", body = Problem),
        (status = 401, description = "Sign in.", body = Problem),
        (status = 403, description = "Needs MERCHANT.", body = Problem),
        (status = 404, description = "No such product.", body = Problem),
    ))]
async fn prices(
    State(app): State<App>,
    caller: Principal,
    PathOf(id): PathOf<ProductId>,
    QueryOf(page): QueryOf<Paging>,
) -> Result<Json<Page<PriceRecord>>, ApiError> {
    allowed(&caller)?;
    queries::prices(&app, id, &page).await.map(Json)
}

/// Categories that hold active products.
#[utoipa::path(get, path = "/categories", tag = "catalog", params(Paging),
    responses(
        (status = 200, description = "A page.", body = Page<Category>),
        (status = 400, description = "A wrong parameter.", body = Problem),
    ))]
async fn categories(
    State(app): State<App>,
    QueryOf(page): QueryOf<Paging>,
) -> Result<Json<Page<Category>>, ApiError> {
    queries::categories(&app, &page).await.map(Json)
}

/// Merchants, and service accounts such as the one that loads the demo shop.
pub fn allowed(caller: &Principal) -> Result<(), ApiError> {
    if caller.is_service() { Ok(()) } else { caller.require_role(Role::Merchant) }
}

fn with_etag(app: &App, status: StatusCode, product: &StoredProduct) -> Response {
    let mut response = (status, Json(product.shown(app.config.low_at))).into_response();
    response.headers_mut().insert(header::ETAG, etag::of(product.version));
    response
}
