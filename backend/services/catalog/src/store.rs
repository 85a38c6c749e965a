//! All SQL of the service.

pub mod list;
pub mod write;

use std::collections::BTreeMap;

use shared_types::catalog::{Media, Product, ProductStatus, Variant};
use shared_types::{Currency, Money, ProductId, Sku, Timestamp, VariantId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};

use crate::domain;

/// Of a product that nobody has changed yet.
pub const FIRST_VERSION: i64 = 1;

/// A product as it is stored.
#[derive(Clone, Debug)]
pub struct StoredProduct {
    pub id: ProductId,
    pub slug: String,
    pub title: String,
    pub description: String,
    pub status: ProductStatus,
    pub media: Vec<Media>,
    pub from_minor: i64,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Names, in the merchant's order.
    pub categories: Vec<String>,
    /// Live ones, in the merchant's order.
    pub variants: Vec<StoredVariant>,
}

#[derive(Clone, Debug)]
pub struct StoredVariant {
    pub id: VariantId,
    pub sku: Sku,
    pub title: String,
    pub price: Money,
    pub options: BTreeMap<String, String>,
    pub opening_stock: Option<i64>,
    /// Units over all warehouses, as inventory last said.
    pub available: i64,
}

impl StoredProduct {
    fn from_row(row: &PgRow) -> Self {
        StoredProduct {
            id: row.get("id"),
            slug: row.get("slug"),
            title: row.get("title"),
            description: row.get("description"),
            status: row.get("status"),
            media: row.get::<Json<_>, _>("media").0,
            from_minor: row.get("from_minor"),
            version: row.get("version"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
            categories: row.get("category_names"),
            variants: Vec::new(),
        }
    }

    /// As the public sees it.
    pub fn shown(&self, low_at: i64) -> Product {
        let variants = self.variants.iter().map(|v| Variant {
            id: v.id,
            sku: v.sku.clone(),
            title: v.title.clone(),
            price: v.price.amount(),
            currency: v.price.currency,
            availability: domain::band(v.available, low_at),
            options: v.options.clone(),
        });
        Product {
            id: self.id,
            slug: self.slug.clone(),
            title: self.title.clone(),
            description: self.description.clone(),
            categories: self.categories.clone(),
            status: self.status,
            media: self.media.clone(),
            variants: variants.collect(),
            updated_at: self.updated_at,
            stock_pending: self.variants.iter().any(|v| v.opening_stock.is_some()),
        }
    }
}

impl StoredVariant {
    fn from_row(row: &PgRow) -> Self {
        let currency: Currency = row.get("currency");
        StoredVariant {
            id: row.get("id"),
            sku: row.get("sku"),
            title: row.get("title"),
            price: Money::new(row.get("price_minor"), currency),
            options: row.get::<Json<_>, _>("options").0,
            opening_stock: row.get("opening_stock"),
            available: row.get("available"),
        }
    }
}

/// The columns that [`StoredProduct::from_row`] reads; `p` is the product.
pub(crate) const PRODUCT_COLUMNS: &str =
    "p.id, p.slug, p.title, p.description, p.status, p.media, p.from_minor, p.version,
     p.created_at, p.updated_at,
     ARRAY(SELECT c.name FROM product_categories pc JOIN categories c ON c.slug = pc.category
           WHERE pc.product_id = p.id ORDER BY pc.position) AS category_names";

/// How a product is named in an address.
pub enum Named {
    Id(ProductId),
    Slug(String),
}

impl Named {
    pub fn parse(text: &str) -> Self {
        match text.parse() {
            Ok(id) => Named::Id(id),
            Err(_) => Named::Slug(text.to_lowercase()),
        }
    }
}

pub async fn find_product(pool: &PgPool, named: &Named) -> sqlx::Result<Option<StoredProduct>> {
    let mut connection = pool.acquire().await?;
    let (filter, id, slug) = match named {
        Named::Id(id) => ("p.id = $1", Some(*id), None),
        Named::Slug(slug) => ("p.slug = $2", None, Some(slug.as_str())),
    };
    let sql = format!(
        "SELECT {PRODUCT_COLUMNS} FROM products p WHERE {filter} AND ($1::uuid IS NULL OR $2::text IS NULL)"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(slug)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let mut found = [StoredProduct::from_row(&row)];
    load_variants(&mut connection, &mut found).await?;
    let [product] = found;
    Ok(Some(product))
}

/// Products by id, with their live variants: two statements, however many.
pub async fn products_by_id(pool: &PgPool, ids: &[ProductId]) -> sqlx::Result<Vec<StoredProduct>> {
    let mut connection = pool.acquire().await?;
    let sql = format!("SELECT {PRODUCT_COLUMNS} FROM products p WHERE p.id = ANY($1)");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ids).fetch_all(&mut *connection).await?;
    let mut found: Vec<_> = rows.iter().map(StoredProduct::from_row).collect();
    load_variants(&mut connection, &mut found).await?;
    Ok(found)
}

/// The products that live variants with these lower-case skus belong to.
pub async fn products_of_skus(pool: &PgPool, keys: &[String]) -> sqlx::Result<Vec<StoredProduct>> {
    let mut connection = pool.acquire().await?;
    let sql = format!(
        "SELECT {PRODUCT_COLUMNS} FROM products p WHERE p.id IN
           (SELECT v.product_id FROM variants v WHERE v.sku_key = ANY($1) AND NOT v.retired)"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(keys).fetch_all(&mut *connection).await?;
    let mut found: Vec<_> = rows.iter().map(StoredProduct::from_row).collect();
    load_variants(&mut connection, &mut found).await?;
    Ok(found)
}

/// A product, locked for the change that follows.
pub async fn lock_product(
    tx: &mut PgConnection,
    id: ProductId,
) -> sqlx::Result<Option<StoredProduct>> {
    let sql = format!("SELECT {PRODUCT_COLUMNS} FROM products p WHERE p.id = $1 FOR UPDATE OF p");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&mut *tx).await?;
    let Some(row) = row else { return Ok(None) };
    let mut found = [StoredProduct::from_row(&row)];
    load_variants(tx, &mut found).await?;
    let [product] = found;
    Ok(Some(product))
}

/// Fills in the live variants of all `products` with one statement.
pub async fn load_variants(
    connection: &mut PgConnection,
    products: &mut [StoredProduct],
) -> sqlx::Result<()> {
    let ids: Vec<ProductId> = products.iter().map(|p| p.id).collect();
    let rows = variant_rows(connection, &ids, false).await?;
    let mut by_product: BTreeMap<ProductId, Vec<StoredVariant>> = BTreeMap::new();
    for row in &rows {
        let variants = by_product.entry(row.get("product_id")).or_default();
        variants.push(StoredVariant::from_row(row));
    }
    for product in products {
        product.variants = by_product.remove(&product.id).unwrap_or_default();
    }
    Ok(())
}

/// The variants that were taken out of a product.
pub async fn retired_variants(
    connection: &mut PgConnection,
    product: ProductId,
) -> sqlx::Result<Vec<StoredVariant>> {
    let rows = variant_rows(connection, &[product], true).await?;
    Ok(rows.iter().map(StoredVariant::from_row).collect())
}

async fn variant_rows(
    connection: &mut PgConnection,
    products: &[ProductId],
    retired: bool,
) -> sqlx::Result<Vec<PgRow>> {
    sqlx::query(
        "SELECT v.product_id, v.id, v.sku, v.title, v.price_minor, v.currency, v.options,
                v.opening_stock,
                coalesce((SELECT sum(s.available)::bigint FROM variant_stock s
                          WHERE s.sku_key = v.sku_key), 0) AS available
         FROM variants v WHERE v.product_id = ANY($1) AND v.retired = $2
         ORDER BY v.product_id, v.position, v.id",
    )
    .bind(products)
    .bind(retired)
    .fetch_all(connection)
    .await
}

/// A variant with what others need to know of its product.
pub struct SoldVariant {
    pub id: VariantId,
    pub product_id: ProductId,
    pub sku: Sku,
    pub variant_title: String,
    pub price: Money,
    pub title: String,
    pub slug: String,
    pub status: ProductStatus,
    pub media: Vec<Media>,
    /// Of the product.
    pub version: i64,
}

/// Live variants by lower-case sku.
pub async fn variants_by_sku(pool: &PgPool, keys: &[String]) -> sqlx::Result<Vec<SoldVariant>> {
    let rows = sqlx::query(
        "SELECT v.id, v.product_id, v.sku, v.title AS variant_title, v.price_minor, v.currency,
                p.title, p.slug, p.status, p.media, p.version
         FROM variants v JOIN products p ON p.id = v.product_id
         WHERE v.sku_key = ANY($1) AND NOT v.retired",
    )
    .bind(keys)
    .fetch_all(pool)
    .await?;
    let read = |row: &PgRow| SoldVariant {
        id: row.get("id"),
        product_id: row.get("product_id"),
        sku: row.get("sku"),
        variant_title: row.get("variant_title"),
        price: Money::new(row.get("price_minor"), row.get("currency")),
        title: row.get("title"),
        slug: row.get("slug"),
        status: row.get("status"),
        media: row.get::<Json<_>, _>("media").0,
        version: row.get("version"),
    };
    Ok(rows.iter().map(read).collect())
}

/// What is left of a sku in a warehouse, as of the stock's version.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    pub available: i64,
    pub version: i64,
}

/// Notes what inventory said, unless something newer is known.
pub async fn note_stock(
    connection: &mut PgConnection,
    levels: &BTreeMap<(String, String), Level>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO variant_stock AS s (sku_key, warehouse, available, version)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
         ON CONFLICT (sku_key, warehouse) DO UPDATE
         SET available = excluded.available, version = excluded.version
         WHERE s.version < excluded.version",
    )
    .bind(levels.keys().map(|(sku_key, _)| sku_key.as_str()).collect::<Vec<_>>())
    .bind(levels.keys().map(|(_, warehouse)| warehouse.as_str()).collect::<Vec<_>>())
    .bind(levels.values().map(|level| level.available).collect::<Vec<_>>())
    .bind(levels.values().map(|level| level.version).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
