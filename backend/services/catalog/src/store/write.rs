//! Statements that change products.

use shared_types::{ProductId, Sku, Timestamp, VariantId};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};

use super::{StoredProduct, StoredVariant};
use crate::domain::{Draft, DraftVariant};

/// More slugs of one beginning than these are not looked at.
pub const MOST_SLUGS: usize = 1_000;

/// The slugs that begin like `slug` and are taken by other products. Until this
/// transaction ends, others who ask for the same slug wait.
pub async fn taken_slugs(
    tx: &mut PgConnection,
    slug: &str,
    except: ProductId,
) -> sqlx::Result<Vec<String>> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(slug)
        .execute(&mut *tx)
        .await?;
    sqlx::query_scalar(
        "SELECT slug FROM products WHERE (slug = $1 OR slug LIKE $2) AND id <> $3 LIMIT $4",
    )
    .bind(slug)
    .bind(format!("{slug}-%"))
    .bind(except)
    .bind(MOST_SLUGS as i64)
    .fetch_all(tx)
    .await
}

pub async fn insert_product(tx: &mut PgConnection, product: &StoredProduct) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO products (id, slug, title, description, status, media, from_minor, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(product.id)
    .bind(&product.slug)
    .bind(&product.title)
    .bind(&product.description)
    .bind(product.status)
    .bind(Json(&product.media))
    .bind(product.from_minor)
    .bind(product.version)
    .bind(product.created_at)
    .bind(product.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn update_product(tx: &mut PgConnection, product: &StoredProduct) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE products SET title = $2, description = $3, status = $4, media = $5,
                from_minor = $6, version = $7, updated_at = $8 WHERE id = $1",
    )
    .bind(product.id)
    .bind(&product.title)
    .bind(&product.description)
    .bind(product.status)
    .bind(Json(&product.media))
    .bind(product.from_minor)
    .bind(product.version)
    .bind(product.updated_at)
    .execute(tx)
    .await?;
    Ok(())
}

/// Replaces the categories of a product; new ones come into being.
pub async fn set_categories(
    tx: &mut PgConnection,
    product: ProductId,
    draft: &Draft,
) -> sqlx::Result<()> {
    let names: Vec<&str> = draft.categories.iter().map(|(name, _)| name.as_str()).collect();
    let slugs: Vec<&str> = draft.categories.iter().map(|(_, slug)| slug.as_str()).collect();
    sqlx::query(
        "INSERT INTO categories (slug, name)
         SELECT * FROM unnest($1::text[], $2::text[]) AS t(slug, name) ORDER BY slug
         ON CONFLICT (slug) DO NOTHING",
    )
    .bind(&slugs)
    .bind(&names)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM product_categories WHERE product_id = $1")
        .bind(product)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO product_categories (product_id, category, position)
         SELECT $1, slug, ord FROM unnest($2::text[]) WITH ORDINALITY AS t(slug, ord)",
    )
    .bind(product)
    .bind(&slugs)
    .execute(tx)
    .await?;
    Ok(())
}

/// Which of `skus` belong to variants already, and to which.
pub async fn owners_of_skus(
    tx: &mut PgConnection,
    skus: &[Sku],
) -> sqlx::Result<Vec<(String, VariantId, ProductId)>> {
    let keys: Vec<String> = skus.iter().map(Sku::key).collect();
    let rows = sqlx::query("SELECT sku_key, id, product_id FROM variants WHERE sku_key = ANY($1)")
        .bind(&keys)
        .fetch_all(tx)
        .await?;
    Ok(rows.iter().map(|r| (r.get("sku_key"), r.get("id"), r.get("product_id"))).collect())
}

pub async fn insert_variant(
    tx: &mut PgConnection,
    product: ProductId,
    variant: &StoredVariant,
    position: usize,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO variants (id, product_id, sku_key, sku, title, price_minor, currency, options, position, opening_stock)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(variant.id)
    .bind(product)
    .bind(variant.sku.key())
    .bind(&variant.sku)
    .bind(&variant.title)
    .bind(variant.price.minor)
    .bind(variant.price.currency)
    .bind(Json(&variant.options))
    .bind(position as i32)
    .bind(variant.opening_stock)
    .execute(tx)
    .await?;
    Ok(())
}

/// Changes a variant in place; a retired one is live again.
pub async fn update_variant(
    tx: &mut PgConnection,
    id: VariantId,
    draft: &DraftVariant,
    position: usize,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE variants SET sku = $2, title = $3, price_minor = $4, options = $5, position = $6,
                retired = false WHERE id = $1",
    )
    .bind(id)
    .bind(&draft.sku)
    .bind(&draft.title)
    .bind(draft.price.minor)
    .bind(Json(&draft.options))
    .bind(position as i32)
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn retire_variants(tx: &mut PgConnection, ids: &[VariantId]) -> sqlx::Result<()> {
    sqlx::query("UPDATE variants SET retired = true WHERE id = ANY($1)")
        .bind(ids)
        .execute(tx)
        .await?;
    Ok(())
}

/// Closes today's price of a variant and opens the new one.
pub async fn record_price(
    tx: &mut PgConnection,
    variant: VariantId,
    draft: &DraftVariant,
    by: &str,
    book: i64,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE product_price_history SET valid_to = $2 WHERE variant_id = $1 AND valid_to IS NULL",
    )
    .bind(variant)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO product_price_history (variant_id, price_minor, currency, valid_from, changed_by, book)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(variant)
    .bind(draft.price.minor)
    .bind(draft.price.currency)
    .bind(now)
    .bind(by)
    .bind(book)
    .execute(tx)
    .await?;
    Ok(())
}

/// Inventory has the opening stock of this variant.
pub async fn clear_opening(pool: &PgPool, variant: VariantId) -> sqlx::Result<()> {
    sqlx::query("UPDATE variants SET opening_stock = NULL WHERE id = $1")
        .bind(variant)
        .execute(pool)
        .await?;
    Ok(())
}

/// Variants whose opening stock inventory has not acknowledged.
pub async fn pending_openings(
    pool: &PgPool,
    limit: i64,
) -> sqlx::Result<Vec<(ProductId, VariantId, Sku, i64)>> {
    let rows = sqlx::query(
        "SELECT product_id, id, sku, opening_stock FROM variants
         WHERE opening_stock IS NOT NULL ORDER BY id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let read = |r: &sqlx::postgres::PgRow| {
        (r.get("product_id"), r.get("id"), r.get("sku"), r.get("opening_stock"))
    };
    Ok(rows.iter().map(read).collect())
}
