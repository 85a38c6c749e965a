//! The read model of what is sold.

use shared_types::{Currency, Money, ProductId, Sku};
use sqlx::PgConnection;

/// A variant as cart knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    pub sku: Sku,
    pub product_id: ProductId,
    pub title: String,
    pub slug: String,
    pub price: Money,
    pub for_sale: bool,
    pub image_url: String,
    pub image_alt: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    sku: Sku,
    product_id: ProductId,
    title: String,
    slug: String,
    price_minor: i64,
    currency: Currency,
    for_sale: bool,
    image_url: String,
    image_alt: String,
}

pub async fn find(
    connection: &mut PgConnection,
    keys: &[String],
) -> Result<Vec<Variant>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT sku, product_id, title, slug, price_minor, currency, for_sale, image_url, image_alt
         FROM variants WHERE sku_key = ANY($1)",
    )
    .bind(keys)
    .fetch_all(connection)
    .await?;
    let variant = |row: Row| Variant {
        sku: row.sku,
        product_id: row.product_id,
        title: row.title,
        slug: row.slug,
        price: Money::new(row.price_minor, row.currency),
        for_sale: row.for_sale,
        image_url: row.image_url,
        image_alt: row.image_alt,
    };
    Ok(rows.into_iter().map(variant).collect())
}

/// Writes variants of one version of their product; what is newer stays.
pub async fn upsert(
    tx: &mut PgConnection,
    variants: &[Variant],
    version: i64,
) -> Result<(), sqlx::Error> {
    // Sorted, so that two writers never wait for each other crosswise.
    let mut sorted: Vec<&Variant> = variants.iter().collect();
    sorted.sort_by(|a, b| a.sku.cmp(&b.sku));
    sorted.dedup_by(|a, b| a.sku == b.sku);
    sqlx::query(UPSERT)
        .bind(sorted.iter().map(|v| v.sku.key()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.sku.as_str()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.product_id.0).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.title.as_str()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.slug.as_str()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.price.minor).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.price.currency.code()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.for_sale).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.image_url.as_str()).collect::<Vec<_>>())
        .bind(sorted.iter().map(|v| v.image_alt.as_str()).collect::<Vec<_>>())
        .bind(version)
        .execute(tx)
        .await?;
    Ok(())
}

/// The price is of the same version as the rest, unless a newer price came
/// first. A sku that moved to another product starts over.
const UPSERT: &str = "
INSERT INTO variants AS v (sku_key, sku, product_id, title, slug, price_minor, currency, for_sale,
                           image_url, image_alt, product_version, price_version)
SELECT t.*, $11, $11
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[],
            $8::boolean[], $9::text[], $10::text[]) AS t
ON CONFLICT (sku_key) DO UPDATE SET
    sku = excluded.sku, product_id = excluded.product_id, title = excluded.title,
    slug = excluded.slug, for_sale = excluded.for_sale, image_url = excluded.image_url,
    image_alt = excluded.image_alt, product_version = excluded.product_version,
    currency = excluded.currency,
    price_minor = CASE
        WHEN v.product_id = excluded.product_id AND v.price_version > excluded.price_version
        THEN v.price_minor ELSE excluded.price_minor END,
    price_version = CASE
        WHEN v.product_id = excluded.product_id
        THEN greatest(v.price_version, excluded.price_version) ELSE excluded.price_version END
WHERE v.product_id <> excluded.product_id OR v.product_version < excluded.product_version";

/// Variants that a newer version of their product no longer has.
pub async fn retire_others(
    tx: &mut PgConnection,
    product: ProductId,
    kept: &[String],
    version: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE variants SET for_sale = false, product_version = $3
         WHERE product_id = $1 AND sku_key <> ALL($2) AND product_version < $3",
    )
    .bind(product)
    .bind(kept)
    .bind(version)
    .execute(tx)
    .await?;
    Ok(())
}

/// A new price; an older one than is known is ignored.
pub async fn set_price(
    tx: &mut PgConnection,
    product: ProductId,
    sku_key: &str,
    price: Money,
    version: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE variants SET price_minor = $3, currency = $4, price_version = $5
         WHERE sku_key = $1 AND product_id = $2 AND price_version < $5",
    )
    .bind(sku_key)
    .bind(product)
    .bind(price.minor)
    .bind(price.currency.code())
    .bind(version)
    .execute(tx)
    .await?;
    Ok(())
}
