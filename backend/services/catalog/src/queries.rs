//! Looking at products.

use std::collections::HashMap;
use std::sync::Arc;

pub use crate::store::FIRST_VERSION;
use contracts::generated::bellavista::catalog::v1::Variant;
use platform::auth::Principal;
use platform::paging::{self, Paging};
use platform::{ApiError, Kind};
use serde::Deserialize;
use shared_types::catalog::{Category, PriceRecord, Product, ProductStatus};
use shared_types::{Amount, Page, ProductId, Role, Sku};

use crate::App;
use crate::store::list::{self, Filter};
pub use crate::store::list::{Position, Sort};
use crate::store::{self, Named, SoldVariant};
pub use crate::store::{StoredProduct, StoredVariant};

/// Filters and order of the product list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, rename_all = "camelCase")]
pub struct ProductList {
    /// Slug of a category.
    pub category: Option<String>,
    /// Words that must all occur in title, description or sku.
    pub text: Option<String>,
    /// Lowest and highest price, in the shop's currency.
    pub min_price: Option<String>,
    pub max_price: Option<String>,
    /// `true`: only products with something to sell.
    pub available: Option<String>,
    /// `newest` (default), `price`, `-price`, `title`.
    pub sort: Option<String>,
    /// Merchants only: `DRAFT`, `ACTIVE`, `ARCHIVED` or `ALL`. Others see `ACTIVE`.
    pub status: Option<String>,
}

const MAX_TEXT: usize = 200;

pub async fn products(
    app: &App,
    caller: Option<&Principal>,
    query: &ProductList,
    page: &Paging,
) -> Result<Page<Product>, ApiError> {
    let (page, _) = stored_products(app, caller, query, page).await?;
    let low_at = app.config.low_at;
    let items = page.items.iter().map(|p| p.shown(low_at)).collect();
    Ok(Page { items, page_info: page.page_info })
}

/// The same as it is stored, with the order in which it comes.
pub async fn stored_products(
    app: &App,
    caller: Option<&Principal>,
    query: &ProductList,
    page: &Paging,
) -> Result<(Page<StoredProduct>, Sort), ApiError> {
    let limit = page.limit()?;
    let sort = sort(query)?;
    let filter = filter(caller, query)?;
    let after = page.position::<Position>()?;
    if after.as_ref().is_some_and(|p| !sort.accepts(&p.key)) {
        return Err(bad("after is a cursor of another order."));
    }
    let found = list::products(&app.ctx.pool, &filter, sort, after, limit).await?;
    Ok((paging::page(found, limit, |p| position(p, sort)), sort))
}

/// Where a list in this order goes on after `product`.
pub fn position(product: &StoredProduct, sort: Sort) -> Position {
    Position { key: sort.key(product), id: product.id }
}

fn sort(query: &ProductList) -> Result<Sort, ApiError> {
    match query.sort.as_deref() {
        None | Some("") | Some("newest") => Ok(Sort::Newest),
        Some("price") => Ok(Sort::PriceUp),
        Some("-price") => Ok(Sort::PriceDown),
        Some("title") => Ok(Sort::Title),
        Some(_) => Err(bad("sort must be newest, price, -price or title.")),
    }
}

fn filter(caller: Option<&Principal>, query: &ProductList) -> Result<Filter, ApiError> {
    let status = match query.status.as_deref() {
        None | Some("") | Some("ACTIVE") => Some(ProductStatus::Active),
        Some(other) => {
            let merchant = caller.is_some_and(|c| c.has_role(Role::Merchant) || c.is_service());
            if !merchant {
                let detail = "Only merchants see products that are not active.";
                return Err(ApiError::new(Kind::Forbidden, "auth.role_missing", detail));
            }
            match other {
                "ALL" => None,
                word => Some(word.parse().map_err(|_| bad("status is not a known status."))?),
            }
        }
    };
    let text = query.text.as_deref().map(str::trim).filter(|t| !t.is_empty());
    if text.is_some_and(|t| t.chars().count() > MAX_TEXT || t.contains('\0')) {
        return Err(bad("text may have at most 200 characters."));
    }
    let available = match query.available.as_deref() {
        None | Some("") | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(bad("available must be true or false.")),
    };
    let category = query.category.clone().filter(|c| !c.is_empty());
    if category.as_ref().is_some_and(|c| c.contains('\0')) {
        return Err(bad("category cannot be the slug of one."));
    }
    Ok(Filter {
        category,
        text: text.map(str::to_owned),
        min_minor: price(query.min_price.as_deref(), "minPrice")?,
        max_minor: price(query.max_price.as_deref(), "maxPrice")?,
        available,
        status,
    })
}

/// Prices of a list are compared in minor units of two digits.
fn price(text: Option<&str>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    let amount = text.parse::<Amount>().ok();
    let money = amount.and_then(|a| a.in_currency(shared_types::Currency::USD).ok());
    money.map(|m| Some(m.minor)).ok_or_else(|| bad(&format!("{name} must be an amount.")))
}

fn bad(detail: &str) -> ApiError {
    ApiError::new(Kind::Unparseable, "request.query", detail)
}

/// A product by id or slug. Shoppers find active ones; others are not told that
/// it exists.
pub async fn product(
    app: &App,
    caller: Option<&Principal>,
    named: &str,
) -> Result<StoredProduct, ApiError> {
    if named.contains('\0') {
        return Err(ApiError::not_found("catalog.no_such_product"));
    }
    let product = store::find_product(&app.ctx.pool, &Named::parse(named)).await?;
    product
        .filter(|p| is_visible(caller, p.status))
        .ok_or_else(|| ApiError::not_found("catalog.no_such_product"))
}

/// Products by id, visible or not: two statements, however many.
pub async fn products_by_id(
    app: &App,
    ids: &[ProductId],
) -> Result<HashMap<ProductId, StoredProduct>, ApiError> {
    let found = store::products_by_id(&app.ctx.pool, ids).await?;
    Ok(found.into_iter().map(|p| (p.id, p)).collect())
}

/// The products that live variants of these skus belong to, visible or not: two
/// statements, however many.
pub async fn products_by_sku(
    app: &App,
    skus: &[Sku],
) -> Result<HashMap<Sku, Arc<StoredProduct>>, ApiError> {
    let keys: Vec<String> = skus.iter().map(Sku::key).collect();
    let found = store::products_of_skus(&app.ctx.pool, &keys).await?;
    let mut by_sku = HashMap::new();
    for product in found.into_iter().map(Arc::new) {
        for variant in &product.variants {
            by_sku.insert(variant.sku.clone(), product.clone());
        }
    }
    Ok(by_sku)
}

/// Shoppers see active products, the shop's own people all.
pub fn is_visible(caller: Option<&Principal>, status: ProductStatus) -> bool {
    let staff = caller.is_some_and(|c| c.has_role(Role::Merchant) || c.is_service());
    staff || status == ProductStatus::Active
}

/// Live variants of the given skus, for the read models of other services; what
/// is not known, or cannot be a sku, is absent.
pub async fn variants(app: &App, skus: &[String]) -> Result<Vec<Variant>, ApiError> {
    let keys: Vec<String> =
        skus.iter().filter_map(|s| s.parse::<Sku>().ok()).map(|s| s.key()).collect();
    let found = store::variants_by_sku(&app.ctx.pool, &keys).await?;
    Ok(found.into_iter().map(as_message).collect())
}

fn as_message(sold: SoldVariant) -> Variant {
    let image = sold.media.into_iter().next().unwrap_or_default();
    let title = match sold.variant_title.as_str() {
        "" => sold.title,
        variant => format!("{} – {variant}", sold.title),
    };
    Variant {
        variant_id: sold.id.to_string(),
        product_id: sold.product_id.to_string(),
        sku: sold.sku.to_string(),
        title,
        slug: sold.slug,
        price_minor: sold.price.minor,
        currency: sold.price.currency.to_string(),
        status: sold.status.to_string(),
        image_url: image.url,
        image_alt: image.alt,
        product_version: sold.version,
        tax_class: String::new(),
    }
}

pub async fn categories(app: &App, page: &Paging) -> Result<Page<Category>, ApiError> {
    let limit = page.limit()?;
    let after = page.position::<String>()?;
    if after.as_ref().is_some_and(|slug| slug.contains('\0')) {
        return Err(bad("after is not a cursor of this list."));
    }
    let found = list::categories(&app.ctx.pool, after, limit).await?;
    Ok(paging::page(found, limit, |c| c.slug.clone()))
}

/// One page of prices of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PricePage {
    pub product: ProductId,
    pub limit: i64,
    pub after: Option<i64>,
}

/// Several pages with their row ids, one entry more where there is one: one
/// statement per size and position.
pub async fn price_pages(
    app: &App,
    wanted: &[PricePage],
) -> Result<HashMap<PricePage, Vec<(i64, PriceRecord)>>, ApiError> {
    let mut alike: HashMap<(i64, Option<i64>), Vec<ProductId>> = HashMap::new();
    for page in wanted {
        alike.entry((page.limit, page.after)).or_default().push(page.product);
    }
    let mut found: HashMap<PricePage, Vec<(i64, PriceRecord)>> = HashMap::new();
    for ((limit, after), products) in alike {
        let records = list::prices_of(&app.ctx.pool, &products, after, limit).await?;
        for (product, id, record) in records {
            found.entry(PricePage { product, limit, after }).or_default().push((id, record));
        }
    }
    Ok(found)
}

pub async fn prices(
    app: &App,
    id: ProductId,
    page: &Paging,
) -> Result<Page<PriceRecord>, ApiError> {
    let limit = page.limit()?;
    let after = page.position::<i64>()?;
    let found = list::prices(&app.ctx.pool, id, after, limit).await?;
    if found.is_empty() && after.is_none() {
        return Err(ApiError::not_found("catalog.no_such_product"));
    }
    let page = paging::page(found, limit, |(id, _)| *id);
    let items = page.items.into_iter().map(|(_, record)| record).collect();
    Ok(Page { items, page_info: page.page_info })
}
