//! Changing products.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use contracts::events::products::{PriceChanged, ProductUpdated, ProductVariant};
use contracts::generated::bellavista::inventory::v1::OpenStockRequest;
use http::StatusCode;
use platform::auth::Principal;
use platform::http::REST_PREFIX;
use platform::idempotency::{self, Answer, Entered, IdempotencyKey};
use platform::outbox::NewEvent;
use platform::validate::Checks;
use platform::{ApiError, Failure, Kind, etag};
use shared_types::catalog::{ProductInput, ProductStatus};
use shared_types::{FieldError, Money, ProductId, Sku, VariantId};
use sqlx::PgConnection;

use crate::App;
use crate::domain::{self, Draft, DraftVariant};
use crate::store::{self, StoredProduct, StoredVariant, write};

/// Why a change of a product is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProductRefusal {
    #[error("Some skus belong to other products.")]
    SkuTaken(Vec<FieldError>),
}

impl Failure for ProductRefusal {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
    fn code(&self) -> &'static str {
        "catalog.sku_taken"
    }
    fn fields(&self) -> Vec<FieldError> {
        let ProductRefusal::SkuTaken(fields) = self;
        fields.clone()
    }
}

/// Makes a product, then offers its opening stock to inventory. The answer
/// says `stockPending` when inventory did not acknowledge it. Done once under an
/// idempotency key.
pub async fn create(
    app: &App,
    caller: &Principal,
    input: ProductInput,
    once: Option<&IdempotencyKey>,
) -> Result<Answer, ApiError> {
    let mut checks = Checks::new();
    let draft = domain::draft(input, &mut checks);
    checks.finish()?;
    let draft =
        draft.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a draft without errors")))?;
    let Some(key) = once else {
        let mut tx = app.ctx.pool.begin().await?;
        let mut product = insert(app, &mut tx, caller, &draft).await?;
        tx.commit().await?;
        open_stock(app, &mut product).await;
        return made(app, &product);
    };
    let _permit = app.keyed.acquire().await.map_err(ApiError::internal)?;
    // Its lock is held until inventory has answered, so that nobody is told of the
    // product before that is known; the record is there with the product.
    let mut lock = match idempotency::enter(&app.ctx.pool, key).await? {
        Entered::Replay(answer) => return Ok(answer),
        Entered::Run(work) => work,
    };
    let mut tx = app.ctx.pool.begin().await?;
    let mut product = insert(app, &mut tx, caller, &draft).await?;
    idempotency::record(&mut tx, key, &made(app, &product)?, app.ctx.clock.now()).await?;
    tx.commit().await?;
    open_stock(app, &mut product).await;
    let answer = made(app, &product)?;
    idempotency::amend(lock.tx(), key, &answer).await?;
    lock.begun().await?;
    Ok(answer)
}

fn made(app: &App, product: &StoredProduct) -> Result<Answer, ApiError> {
    let answer = Answer::json(StatusCode::CREATED, &product.shown(app.config.low_at))?;
    Ok(answer.located(format!("{REST_PREFIX}/products/{}", product.id)))
}

/// Writes a product with its variants, prices and events.
async fn insert(
    app: &App,
    tx: &mut PgConnection,
    caller: &Principal,
    draft: &Draft,
) -> Result<StoredProduct, ApiError> {
    let id: ProductId = app.ctx.ids.next();
    refuse_taken_skus(tx, id, draft).await?;
    let now = app.ctx.clock.now();
    let mut product = StoredProduct {
        id,
        slug: free_slug(tx, &draft.title, id).await?,
        title: String::new(),
        description: String::new(),
        status: ProductStatus::Draft,
        media: Vec::new(),
        from_minor: 0,
        version: store::FIRST_VERSION,
        created_at: now,
        updated_at: now,
        categories: Vec::new(),
        variants: Vec::new(),
    };
    take_over(&mut product, draft);
    write::insert_product(tx, &product).await.map_err(slug_race)?;
    write::set_categories(tx, id, draft).await?;
    let mut events = Vec::new();
    for (position, wanted) in draft.variants.iter().enumerate() {
        let variant = add_variant(app, tx, &product, wanted, position, caller).await?;
        events.push(price_event(app, &product, None, &variant)?);
        product.variants.push(variant);
    }
    events.insert(0, NewEvent::of(&app.ctx.ids, &updated(&product)).map_err(ApiError::internal)?);
    app.ctx.outbox.append_all(tx, events).await?;
    Ok(product)
}

/// Replaces a product. `expected` is the version the caller saw; stock of
/// variants that exist already is not changed here and refused.
pub async fn change(
    app: &App,
    caller: &Principal,
    id: ProductId,
    expected: Option<i64>,
    input: ProductInput,
) -> Result<StoredProduct, ApiError> {
    let mut checks = Checks::new();
    let draft = domain::draft(input, &mut checks);
    checks.finish()?;
    let draft =
        draft.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a draft without errors")))?;
    let mut tx = app.ctx.pool.begin().await?;
    let mut product = locked(&mut tx, id, expected).await?;
    refuse_taken_skus(&mut tx, id, &draft).await?;
    let retired = store::retired_variants(&mut tx, id).await?;
    let pairs = matched(&product.variants, &retired, &draft)?;
    product.version += 1;
    product.updated_at = app.ctx.clock.now();
    let gone: Vec<VariantId> =
        product.variants.iter().map(|v| v.id).filter(|v| !pairs.values().any(|p| p == v)).collect();
    let before: HashMap<VariantId, StoredVariant> =
        product.variants.drain(..).chain(retired).map(|v| (v.id, v)).collect();
    take_over(&mut product, &draft);
    write::update_product(&mut tx, &product).await?;
    write::set_categories(&mut tx, id, &draft).await?;
    write::retire_variants(&mut tx, &gone).await?;
    let mut events = Vec::new();
    for (position, wanted) in draft.variants.iter().enumerate() {
        let known = pairs.get(&position).and_then(|v| before.get(v));
        let variant = match known {
            Some(known) => keep_variant(&mut tx, &product, known, wanted, position, caller).await?,
            None => add_variant(app, &mut tx, &product, wanted, position, caller).await?,
        };
        let old = known.map(|v| v.price);
        if old != Some(variant.price) {
            events.push(price_event(app, &product, old, &variant)?);
        }
        product.variants.push(variant);
    }
    events.insert(0, NewEvent::of(&app.ctx.ids, &updated(&product)).map_err(ApiError::internal)?);
    app.ctx.outbox.append_all(&mut tx, events).await?;
    tx.commit().await?;
    open_stock(app, &mut product).await;
    Ok(product)
}

/// Takes a product out of the shop; it and its orders stay readable.
pub async fn archive(app: &App, id: ProductId, expected: Option<i64>) -> Result<(), ApiError> {
    let mut tx = app.ctx.pool.begin().await?;
    let mut product = locked(&mut tx, id, expected).await?;
    if product.status == ProductStatus::Archived {
        return Ok(());
    }
    product.status = ProductStatus::Archived;
    product.version += 1;
    product.updated_at = app.ctx.clock.now();
    write::update_product(&mut tx, &product).await?;
    app.ctx.outbox.append(&mut tx, &updated(&product)).await?;
    tx.commit().await?;
    Ok(())
}

async fn locked(
    tx: &mut PgConnection,
    id: ProductId,
    expected: Option<i64>,
) -> Result<StoredProduct, ApiError> {
    let product = store::lock_product(tx, id).await?;
    let product = product.ok_or_else(|| ApiError::not_found("catalog.no_such_product"))?;
    match expected {
        Some(version) if version != product.version => Err(etag::stale()),
        _ => Ok(product),
    }
}

fn take_over(product: &mut StoredProduct, draft: &Draft) {
    product.title.clone_from(&draft.title);
    product.description.clone_from(&draft.description);
    product.status = draft.status;
    product.media.clone_from(&draft.media);
    product.categories = draft.categories.iter().map(|(name, _)| name.clone()).collect();
    product.from_minor = draft.variants.iter().map(|v| v.price.minor).min().unwrap_or(0);
}

/// Which wanted variant is which existing one: by id, else by sku. A sku that was
/// taken out earlier comes back as the variant it was.
fn matched(
    live: &[StoredVariant],
    retired: &[StoredVariant],
    draft: &Draft,
) -> Result<HashMap<usize, VariantId>, ApiError> {
    let mut checks = Checks::new();
    let mut pairs = HashMap::new();
    for (i, wanted) in draft.variants.iter().enumerate() {
        let at = |name: &str| format!("variants[{i}].{name}");
        let known = match wanted.id {
            Some(id) => live.iter().find(|v| v.id == id),
            None => live.iter().chain(retired).find(|v| v.sku == wanted.sku),
        };
        let Some(known) = known else {
            if wanted.id.is_some() {
                checks.fail(at("id"), "unknown", "is no variant of this product");
            }
            continue;
        };
        if wanted.stock.is_some() {
            let message = "cannot be changed here; use an inventory adjustment";
            checks.fail(at("stock"), "not_here", message);
        }
        if known.price.currency != wanted.price.currency {
            checks.fail(at("currency"), "fixed", "of a variant never changes");
        }
        if known.sku != wanted.sku {
            checks.fail(at("sku"), "fixed", "of a variant never changes");
        }
        if pairs.values().any(|v| *v == known.id) {
            checks.fail(at("id"), "duplicate", "names the same variant as another entry");
        }
        pairs.insert(i, known.id);
    }
    checks.finish()?;
    Ok(pairs)
}

async fn refuse_taken_skus(
    tx: &mut PgConnection,
    product: ProductId,
    draft: &Draft,
) -> Result<(), ApiError> {
    let skus: Vec<Sku> = draft.variants.iter().map(|v| v.sku.clone()).collect();
    let owners = write::owners_of_skus(tx, &skus).await?;
    let mut taken = Vec::new();
    for (i, sku) in skus.iter().enumerate() {
        if owners.iter().any(|(key, _, owner)| *key == sku.key() && *owner != product) {
            let message = "belongs to another product".to_owned();
            let field = format!("variants[{i}].sku");
            taken.push(FieldError { field, code: "taken".into(), message });
        }
    }
    if taken.is_empty() { Ok(()) } else { Err(ProductRefusal::SkuTaken(taken).into()) }
}

async fn add_variant(
    app: &App,
    tx: &mut PgConnection,
    product: &StoredProduct,
    wanted: &DraftVariant,
    position: usize,
    caller: &Principal,
) -> Result<StoredVariant, ApiError> {
    let variant = StoredVariant {
        id: app.ctx.ids.next(),
        sku: wanted.sku.clone(),
        title: wanted.title.clone(),
        price: wanted.price,
        options: wanted.options.clone(),
        opening_stock: Some(wanted.stock.unwrap_or(0)),
        available: 0,
    };
    write::insert_variant(tx, product.id, &variant, position).await.map_err(sku_race)?;
    let (by, now) = (caller.actor(), product.updated_at);
    write::record_price(tx, variant.id, wanted, &by, product.version, now).await?;
    Ok(variant)
}

async fn keep_variant(
    tx: &mut PgConnection,
    product: &StoredProduct,
    known: &StoredVariant,
    wanted: &DraftVariant,
    position: usize,
    caller: &Principal,
) -> Result<StoredVariant, ApiError> {
    write::update_variant(tx, known.id, wanted, position).await?;
    if known.price != wanted.price {
        let (by, now) = (caller.actor(), product.updated_at);
        write::record_price(tx, known.id, wanted, &by, product.version, now).await?;
    }
    Ok(StoredVariant {
        sku: wanted.sku.clone(),
        title: wanted.title.clone(),
        price: wanted.price,
        options: wanted.options.clone(),
        ..known.clone()
    })
}

/// The first of `lamp`, `lamp-2`, `lamp-3` … that is free.
async fn free_slug(tx: &mut PgConnection, title: &str, id: ProductId) -> Result<String, ApiError> {
    let mut base = domain::slug_of(title);
    if base.is_empty() {
        base = "product".to_owned();
    }
    let taken = write::taken_slugs(tx, &base, id).await?;
    if !taken.contains(&base) {
        return Ok(base);
    }
    let free = (2..=taken.len() + 2).map(|n| format!("{base}-{n}")).find(|s| !taken.contains(s));
    let known_all = taken.len() < write::MOST_SLUGS;
    Ok(free.filter(|_| known_all).unwrap_or_else(|| format!("{base}-{id}")))
}

/// A product of another name came to the same slug between our look and our
/// write: try again.
fn slug_race(error: sqlx::Error) -> ApiError {
    conflict(error, "catalog.slug_taken", "Another product took this name just now; send it again.")
}

fn sku_race(error: sqlx::Error) -> ApiError {
    conflict(error, "catalog.sku_taken", "Another product took one of the skus just now.")
}

fn conflict(error: sqlx::Error, code: &'static str, detail: &str) -> ApiError {
    match error.as_database_error() {
        Some(e) if e.is_unique_violation() => ApiError::new(Kind::Conflict, code, detail),
        _ => error.into(),
    }
}

fn price_event(
    app: &App,
    product: &StoredProduct,
    old: Option<Money>,
    variant: &StoredVariant,
) -> Result<NewEvent, ApiError> {
    let event = PriceChanged {
        product_id: product.id,
        sku: variant.sku.clone(),
        old: old.map(Money::amount),
        new: variant.price.amount(),
        currency: variant.price.currency,
        valid_from: product.updated_at,
        price_book_version: product.version,
    };
    NewEvent::of(&app.ctx.ids, &event).map_err(ApiError::internal)
}

fn updated(product: &StoredProduct) -> ProductUpdated {
    let variants = product.variants.iter().map(|v| ProductVariant {
        id: v.id,
        sku: v.sku.clone(),
        title: v.title.clone(),
        price: v.price.amount(),
        currency: v.price.currency,
        options: BTreeMap::clone(&v.options),
        opening_stock: v.opening_stock,
    });
    ProductUpdated {
        product_id: product.id,
        version: product.version,
        slug: product.slug.clone(),
        title: product.title.clone(),
        description: product.description.clone(),
        categories: product.categories.clone(),
        status: product.status,
        media: product.media.clone(),
        variants: variants.collect(),
        updated_at: product.updated_at,
    }
}

/// Offers the opening stock of new variants; what inventory acknowledges is no
/// longer pending. The event carries it too, so nothing is lost on the way.
async fn open_stock(app: &App, product: &mut StoredProduct) {
    let id = product.id;
    for variant in &mut product.variants {
        let Some(qty) = variant.opening_stock else { continue };
        match open_one(app, id, variant.id, &variant.sku, qty).await {
            Ok(()) => {
                variant.opening_stock = None;
                variant.available = qty;
            }
            Err(error) => {
                tracing::warn!(%error, "inventory did not take opening stock; it follows by event");
                // The others would wait for the same absent service.
                break;
            }
        }
    }
}

async fn open_one(
    app: &App,
    product: ProductId,
    variant: VariantId,
    sku: &Sku,
    qty: i64,
) -> Result<(), NotOpened> {
    let request = OpenStockRequest {
        variant_id: variant.to_string(),
        sku: sku.to_string(),
        qty,
        product_id: product.to_string(),
    };
    app.stock.open_stock(request).await.map_err(NotOpened::Inventory)?;
    write::clear_opening(&app.ctx.pool, variant).await.map_err(NotOpened::Store)
}

/// Why opening stock is still pending.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error("inventory: {0}")]
    Inventory(tonic::Status),
    #[error("noting it: {0}")]
    Store(sqlx::Error),
}

impl NotOpened {
    /// Whether the next variant would fare the same.
    fn is_away(&self) -> bool {
        match self {
            NotOpened::Inventory(status) => platform::grpc::is_away(status),
            NotOpened::Store(_) => true,
        }
    }
}

/// Offers again, for ever, what inventory has not acknowledged.
pub async fn open_pending_stock(app: App) -> anyhow::Result<()> {
    const AT_ONCE: i64 = 200;
    let every = Duration::from_millis(app.config.opening_stock_retry_ms);
    while app.ctx.lifecycle.sleep(every).await {
        let pending = match write::pending_openings(&app.ctx.pool, AT_ONCE).await {
            Ok(pending) => pending,
            Err(error) => {
                tracing::warn!(%error, "looking for pending opening stock");
                continue;
            }
        };
        for (product, variant, sku, qty) in pending {
            if let Err(error) = open_one(&app, product, variant, &sku, qty).await {
                tracing::warn!(%error, %sku, "opening stock is still pending");
                if error.is_away() {
                    break;
                }
            }
        }
    }
    Ok(())
}
