//! What variants cost, as far as events and the catalogue told.

use std::collections::HashMap;

use platform::ApiError;
use platform::idempotency::{self, Answer, IdempotencyKey};
use shared_types::{Currency, Money, ProductId, Sku};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

/// A variant as it is remembered.
#[derive(Clone, Debug)]
pub struct KnownVariant {
    pub sku: Sku,
    pub product_id: ProductId,
    pub title: String,
    /// `ACTIVE` variants can be ordered.
    pub status: String,
    pub tax_class: String,
    pub price: Money,
}

/// What a placement starts with.
#[derive(Clone, Debug)]
pub struct LookUp {
    pub key: IdempotencyKey,
    /// See [`Sku::key`].
    pub sku_keys: Vec<String>,
}

#[derive(Debug)]
pub enum Found {
    /// The answer that was remembered under the key.
    Answer(Answer),
    /// Otherwise the known ones among the skus.
    Variants(Vec<KnownVariant>),
}

/// Any number of look-ups in one statement.
pub async fn look_up(
    pool: PgPool,
    look_ups: Vec<LookUp>,
) -> Result<Vec<Result<Found, ApiError>>, ApiError> {
    let scopes: Vec<&[u8]> = look_ups.iter().map(|l| &l.key.scope[..]).collect();
    let mut sku_keys: Vec<&str> =
        look_ups.iter().flat_map(|l| &l.sku_keys).map(String::as_str).collect();
    sku_keys.sort_unstable();
    sku_keys.dedup();
    let rows = sqlx::query(
        "SELECT r.scope, r.fingerprint, r.status AS answer_status, r.content_type, r.body,
                r.location, v.sku_key, v.sku, v.product_id, v.title, v.status, v.tax_class,
                v.currency, v.price_minor
         FROM (SELECT * FROM idempotency_records WHERE scope = ANY($1)) r
         FULL JOIN (SELECT * FROM variant_prices WHERE sku_key = ANY($2)) v ON false",
    )
    .bind(scopes)
    .bind(sku_keys)
    .fetch_all(&pool)
    .await?;
    let mut records: HashMap<&[u8], &PgRow> = HashMap::new();
    let mut variants: HashMap<&str, KnownVariant> = HashMap::new();
    for row in &rows {
        match row.try_get::<Option<&str>, _>("sku_key")? {
            Some(sku_key) => drop(variants.insert(sku_key, variant(row)?)),
            None => drop(records.insert(row.try_get("scope")?, row)),
        }
    }
    let found = |look_up: &LookUp| {
        let record = records.get(&look_up.key.scope[..]);
        if let Some(row) = record
            && let Some(answer) = idempotency::remembered(row, &look_up.key)?
        {
            return Ok(Found::Answer(answer));
        }
        let known = look_up.sku_keys.iter().filter_map(|key| variants.get(key.as_str()));
        Ok(Found::Variants(known.cloned().collect()))
    };
    Ok(look_ups.iter().map(found).collect())
}

/// The known ones among `keys` (see [`Sku::key`]).
pub async fn find(
    tx: &mut PgConnection,
    keys: &[String],
) -> Result<Vec<KnownVariant>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT sku, product_id, title, status, tax_class, currency, price_minor
         FROM variant_prices WHERE sku_key = ANY($1)",
    )
    .bind(keys)
    .fetch_all(tx)
    .await?;
    rows.iter().map(variant).collect()
}

fn variant(row: &PgRow) -> Result<KnownVariant, sqlx::Error> {
    let currency: Currency = row.try_get("currency")?;
    Ok(KnownVariant {
        sku: row.try_get("sku")?,
        product_id: row.try_get("product_id")?,
        title: row.try_get("title")?,
        status: row.try_get("status")?,
        tax_class: row.try_get("tax_class")?,
        price: Money::new(row.try_get("price_minor")?, currency),
    })
}

/// A variant as a source tells it, with the product version it told.
#[derive(Clone, Debug)]
pub struct ToldVariant {
    pub variant: KnownVariant,
    pub version: i64,
}

/// Takes note of a product's version; false when a newer or the same one was
/// seen before.
pub async fn note_version(
    tx: &mut PgConnection,
    product: ProductId,
    version: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO known_products AS k (product_id, version) VALUES ($1, $2)
         ON CONFLICT (product_id) DO UPDATE SET version = excluded.version
         WHERE k.version < excluded.version",
    )
    .bind(product)
    .bind(version)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores what was told; a price that came with a newer version stays. An
/// empty tax class says nothing.
pub async fn store(tx: &mut PgConnection, told: &[ToldVariant]) -> Result<(), sqlx::Error> {
    let mut told: Vec<&ToldVariant> = told.iter().collect();
    // In order of keys, so that two writers never deadlock; one row per key.
    told.sort_by_key(|t| t.variant.sku.key());
    told.dedup_by_key(|t| t.variant.sku.key());
    sqlx::query(
        "INSERT INTO variant_prices AS p
            (sku_key, sku, product_id, title, status, tax_class, currency, price_minor, price_version)
         SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                              $7::text[], $8::bigint[], $9::bigint[])
         ON CONFLICT (sku_key) DO UPDATE SET
            sku = excluded.sku, title = excluded.title, status = excluded.status,
            tax_class = CASE WHEN excluded.tax_class = '' THEN p.tax_class ELSE excluded.tax_class END,
            product_id = excluded.product_id,
            currency = CASE WHEN p.product_id <> excluded.product_id OR p.price_version <= excluded.price_version
                            THEN excluded.currency ELSE p.currency END,
            price_minor = CASE WHEN p.product_id <> excluded.product_id OR p.price_version <= excluded.price_version
                            THEN excluded.price_minor ELSE p.price_minor END,
            price_version = CASE WHEN p.product_id <> excluded.product_id THEN excluded.price_version
                            ELSE GREATEST(p.price_version, excluded.price_version) END",
    )
    .bind(told.iter().map(|t| t.variant.sku.key()).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.variant.sku.as_str()).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.variant.product_id.0).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.variant.title.as_str()).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.variant.status.as_str()).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.variant.tax_class.as_str()).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.variant.price.currency.to_string()).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.variant.price.minor).collect::<Vec<_>>())
    .bind(told.iter().map(|t| t.version).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets the variants of `product` that are not among `keys`.
pub async fn forget_others(
    tx: &mut PgConnection,
    product: ProductId,
    keys: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM variant_prices WHERE product_id = $1 AND sku_key <> ALL($2)")
        .bind(product)
        .bind(keys)
        .execute(tx)
        .await?;
    Ok(())
}

/// A new price, unless one of a newer version is known.
pub async fn reprice(
    tx: &mut PgConnection,
    product: ProductId,
    sku: &Sku,
    price: Money,
    version: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE variant_prices SET currency = $3, price_minor = $4, price_version = $5
         WHERE sku_key = $1 AND product_id = $2 AND price_version <= $5",
    )
    .bind(sku.key())
    .bind(product)
    .bind(price.currency)
    .bind(price.minor)
    .bind(version)
    .execute(tx)
    .await?;
    Ok(())
}
