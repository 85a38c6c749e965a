//! Lists of products, categories and prices.

use serde::{Deserialize, Serialize};
use shared_types::catalog::{Category, PriceRecord, ProductStatus};
use shared_types::{Currency, Money, ProductId, Timestamp};
use sqlx::{PgPool, Postgres, QueryBuilder, Row};

use super::{PRODUCT_COLUMNS, StoredProduct, load_variants};

/// In which order a list comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Newest,
    PriceUp,
    PriceDown,
    Title,
}

/// Where a page starts: the sort key of the last entry, and its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Position {
    pub key: String,
    pub id: ProductId,
}

/// What a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub category: Option<String>,
    pub text: Option<String>,
    pub min_minor: Option<i64>,
    pub max_minor: Option<i64>,
    /// Only products with something to sell.
    pub available: bool,
    /// `None` shows every status.
    pub status: Option<ProductStatus>,
}

impl Sort {
    /// Expression and direction.
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Sort::Newest => ("p.created_at", "DESC"),
            Sort::PriceUp => ("p.from_minor", "ASC"),
            Sort::PriceDown => ("p.from_minor", "DESC"),
            Sort::Title => ("lower(p.title)", "ASC"),
        }
    }

    /// The key of a cursor as this order compares it.
    fn push_key(self, query: &mut QueryBuilder<Postgres>, key: String) {
        match self {
            Sort::Newest => query.push_bind(key.parse::<Timestamp>().ok()),
            Sort::PriceUp | Sort::PriceDown => query.push_bind(key.parse::<i64>().ok()),
            // Lower case is what the database says it is.
            Sort::Title => query.push("lower(").push_bind(key).push("::text)"),
        };
    }

    /// The sort key of a product, as a cursor carries it.
    pub fn key(self, product: &StoredProduct) -> String {
        match self {
            Sort::Newest => product.created_at.to_string(),
            Sort::PriceUp | Sort::PriceDown => product.from_minor.to_string(),
            Sort::Title => product.title.clone(),
        }
    }

    /// Whether a cursor's key can belong to this order.
    pub fn accepts(self, key: &str) -> bool {
        match self {
            Sort::Newest => key.parse::<Timestamp>().is_ok(),
            Sort::PriceUp | Sort::PriceDown => key.parse::<i64>().is_ok(),
            Sort::Title => !key.contains('\0'),
        }
    }
}

/// One page and one entry more, when there is one.
pub async fn products(
    pool: &PgPool,
    filter: &Filter,
    sort: Sort,
    after: Option<Position>,
    limit: i64,
) -> sqlx::Result<Vec<StoredProduct>> {
    let (key, direction) = sort.parts();
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "SELECT {PRODUCT_COLUMNS} FROM products p WHERE true"
    ));
    narrow(&mut query, filter);
    if let Some(after) = after {
        let beyond = if direction == "DESC" { "<" } else { ">" };
        query.push(format!(" AND ({key}, p.id) {beyond} ("));
        sort.push_key(&mut query, after.key);
        query.push(", ").push_bind(after.id).push(")");
    }
    query.push(format!(" ORDER BY {key} {direction}, p.id {direction} LIMIT "));
    query.push_bind(limit + 1);
    let mut connection = pool.acquire().await?;
    let rows = query.build().fetch_all(&mut *connection).await?;
    let mut found: Vec<_> = rows.iter().map(StoredProduct::from_row).collect();
    load_variants(&mut connection, &mut found).await?;
    Ok(found)
}

fn narrow(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(status) = filter.status {
        query.push(" AND p.status = ").push_bind(status);
    }
    if let Some(category) = &filter.category {
        query.push(" AND EXISTS (SELECT 1 FROM product_categories pc WHERE pc.product_id = p.id AND pc.category = ");
        query.push_bind(category.clone()).push(")");
    }
    if let Some(text) = &filter.text {
        // Every word must occur in the title, the description or a sku.
        for word in text.split_whitespace().take(8) {
            let pattern = format!("%{}%", escape_like(&word.to_lowercase()));
            query.push(" AND (lower(p.title) LIKE ").push_bind(pattern.clone());
            query.push(" OR lower(p.description) LIKE ").push_bind(pattern.clone());
            query.push(" OR EXISTS (SELECT 1 FROM variants v WHERE v.product_id = p.id AND NOT v.retired AND v.sku_key LIKE ");
            query.push_bind(pattern).push("))");
        }
    }
    if let Some(min) = filter.min_minor {
        query.push(" AND p.from_minor >= ").push_bind(min);
    }
    if let Some(max) = filter.max_minor {
        query.push(" AND p.from_minor <= ").push_bind(max);
    }
    if filter.available {
        query.push(" AND EXISTS (SELECT 1 FROM variants v JOIN variant_stock s USING (sku_key) WHERE v.product_id = p.id AND NOT v.retired AND s.available > 0)");
    }
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// Categories that hold active products, by name.
pub async fn categories(
    pool: &PgPool,
    after: Option<String>,
    limit: i64,
) -> sqlx::Result<Vec<Category>> {
    let rows = sqlx::query(
        "SELECT c.slug, c.name, count(*) AS products
         FROM categories c JOIN product_categories pc ON pc.category = c.slug
         JOIN products p ON p.id = pc.product_id AND p.status = 'ACTIVE'
         WHERE $1::text IS NULL OR c.slug > $1
         GROUP BY c.slug, c.name ORDER BY c.slug LIMIT $2",
    )
    .bind(after)
    .bind(limit + 1)
    .fetch_all(pool)
    .await?;
    let read = |r: &sqlx::postgres::PgRow| Category {
        slug: r.get("slug"),
        name: r.get("name"),
        products: r.get("products"),
    };
    Ok(rows.iter().map(read).collect())
}

/// The prices of a product's variants, newest first, with their row ids.
pub async fn prices(
    pool: &PgPool,
    product: ProductId,
    after: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<(i64, PriceRecord)>> {
    let found = prices_of(pool, &[product], after, limit).await?;
    Ok(found.into_iter().map(|(_, id, record)| (id, record)).collect())
}

/// One page of prices of each of these products, newest first, and one entry
/// more where there is one.
pub async fn prices_of(
    pool: &PgPool,
    products: &[ProductId],
    after: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<(ProductId, i64, PriceRecord)>> {
    let rows = sqlx::query(
        "SELECT wanted.product_id, page.* FROM unnest($1::uuid[]) AS wanted (product_id)
         CROSS JOIN LATERAL (
             SELECT h.id, v.sku, h.price_minor, h.currency, h.valid_from, h.valid_to, h.changed_by
             FROM product_price_history h JOIN variants v ON v.id = h.variant_id
             WHERE v.product_id = wanted.product_id AND ($2::bigint IS NULL OR h.id < $2)
             ORDER BY h.id DESC LIMIT $3
         ) AS page ORDER BY wanted.product_id, page.id DESC",
    )
    .bind(products)
    .bind(after)
    .bind(limit + 1)
    .fetch_all(pool)
    .await?;
    let read = |r: &sqlx::postgres::PgRow| {
        let currency: Currency = r.get("currency");
        let record = PriceRecord {
            sku: r.get("sku"),
            price: Money::new(r.get("price_minor"), currency).amount(),
            currency,
            valid_from: r.get("valid_from"),
            valid_to: r.get("valid_to"),
            changed_by: r.get("changed_by"),
        };
        (r.get("product_id"), r.get("id"), record)
    };
    Ok(rows.iter().map(read).collect())
}
