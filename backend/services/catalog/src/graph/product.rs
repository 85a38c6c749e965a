//! Products as the graph shows them.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use platform::graphql::{Connection, DateTime, Decimal, Money, NodeId, or_null, page_cost};
use shared_types::ProductId;
use shared_types::catalog::{self as told};

use super::prices::{self, PriceRecord};
use crate::queries::{ProductList, StoredProduct, StoredVariant};

/// Where a product is in its life; shoppers see `ACTIVE` ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::catalog::ProductStatus")]
pub enum ProductStatus {
    Draft,
    Active,
    Archived,
}

/// A product as the shop shows it.
pub struct Product {
    product: told::Product,
    version: i64,
}

impl Product {
    pub fn of(stored: &StoredProduct, low_at: i64) -> Self {
        Product { product: stored.shown(low_at), version: stored.version }
    }

    /// From the answer of a command, as of `version`.
    pub fn told(product: told::Product, version: i64) -> Self {
        Product { product, version }
    }
}

#[Object]
impl Product {
    pub async fn id(&self) -> ID {
        NodeId::of("Product", self.product.id)
    }

    /// The id as the REST API has it.
    async fn product_id(&self) -> ID {
        ID(self.product.id.to_string())
    }

    /// Unique; names the product in addresses.
    async fn slug(&self) -> &str {
        &self.product.slug
    }

    async fn title(&self) -> &str {
        &self.product.title
    }

    async fn description(&self) -> &str {
        &self.product.description
    }

    /// Names, in the merchant's order.
    async fn categories(&self) -> &[String] {
        &self.product.categories
    }

    async fn status(&self) -> ProductStatus {
        self.product.status.into()
    }

    async fn media(&self) -> Vec<Media> {
        self.product.media.iter().cloned().map(Media::from).collect()
    }

    /// What is sold of it, in the merchant's order; at most 100.
    async fn variants(&self) -> Vec<Variant> {
        self.product.variants.iter().cloned().map(Variant::from).collect()
    }

    /// The lowest price of its variants; null when nothing of it is sold.
    async fn price(&self) -> Option<Money> {
        let prices =
            self.product.variants.iter().filter_map(|v| v.price.in_currency(v.currency).ok());
        prices.min_by_key(|p| p.minor).map(Money::from)
    }

    async fn updated_at(&self) -> DateTime {
        self.product.updated_at.into()
    }

    /// Inventory has not acknowledged the opening stock yet.
    async fn stock_pending(&self) -> bool {
        self.product.stock_pending
    }

    /// What a change names, so that it cannot undo somebody else's.
    async fn version(&self) -> i64 {
        self.version
    }

    /// Every price its variants ever had, newest first. For merchants.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn prices(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Option<Connection<PriceRecord>>> {
        or_null(ctx, async { prices::page_of(ctx, self.product.id, first, after).await.map(Some) })
            .await
    }
}

/// What is sold; named by its sku in all services.
#[derive(Clone, SimpleObject)]
pub struct Variant {
    sku: String,
    /// The id as the REST API has it.
    variant_id: ID,
    title: String,
    price: Money,
    options: Vec<VariantOption>,
}

/// Such as size: M.
#[derive(Clone, SimpleObject)]
pub struct VariantOption {
    name: String,
    value: String,
}

impl From<told::Variant> for Variant {
    fn from(v: told::Variant) -> Self {
        let option = |(name, value)| VariantOption { name, value };
        Variant {
            sku: v.sku.to_string(),
            variant_id: ID(v.id.to_string()),
            title: v.title,
            price: Money::of(v.price, v.currency),
            options: v.options.into_iter().map(option).collect(),
        }
    }
}

impl From<StoredVariant> for Variant {
    fn from(v: StoredVariant) -> Self {
        let option = |(name, value)| VariantOption { name, value };
        Variant {
            sku: v.sku.to_string(),
            variant_id: ID(v.id.to_string()),
            title: v.title,
            price: v.price.into(),
            options: v.options.into_iter().map(option).collect(),
        }
    }
}

/// A picture of a product.
#[derive(Clone, SimpleObject)]
#[graphql(shareable)]
pub struct Media {
    /// Absolute, or a path on the shop's own origin.
    url: String,
    alt: String,
}

impl From<told::Media> for Media {
    fn from(media: told::Media) -> Self {
        Media { url: media.url, alt: media.alt }
    }
}

/// A category with how many active products it holds.
#[derive(Clone, SimpleObject)]
pub struct Category {
    slug: String,
    name: String,
    products: i64,
}

impl From<told::Category> for Category {
    fn from(category: told::Category) -> Self {
        Category { slug: category.slug, name: category.name, products: category.products }
    }
}

/// In which order products come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ProductSort {
    Newest,
    PriceAscending,
    PriceDescending,
    Title,
}

/// Which products a list shows by their status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ProductStatusFilter {
    Draft,
    Active,
    Archived,
    All,
}

/// Filters, order and size of a list of products.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ProductFilter {
    /// Slug of a category.
    pub category: Option<String>,
    /// Words that must all occur in title, description or sku.
    pub text: Option<String>,
    /// Lowest price, in the shop's currency.
    pub min_price: Option<Decimal>,
    /// Highest price, in the shop's currency.
    pub max_price: Option<Decimal>,
    /// Only products with something to sell.
    pub available: Option<bool>,
    /// `NEWEST` when absent.
    pub sort: Option<ProductSort>,
    /// `ACTIVE` when absent; anything else is for merchants.
    pub status: Option<ProductStatusFilter>,
    /// Entries wanted: 1 to 200, 50 when absent.
    pub first: Option<i32>,
}

impl ProductFilter {
    /// The same as the query takes it.
    pub fn into_list(self) -> ProductList {
        let sort = self.sort.map(|sort| match sort {
            ProductSort::Newest => "newest",
            ProductSort::PriceAscending => "price",
            ProductSort::PriceDescending => "-price",
            ProductSort::Title => "title",
        });
        let status = self.status.map(|status| match status {
            ProductStatusFilter::Draft => "DRAFT",
            ProductStatusFilter::Active => "ACTIVE",
            ProductStatusFilter::Archived => "ARCHIVED",
            ProductStatusFilter::All => "ALL",
        });
        ProductList {
            category: self.category,
            text: self.text,
            min_price: self.min_price.map(|p| p.0.to_string()),
            max_price: self.max_price.map(|p| p.0.to_string()),
            available: self.available.map(|a| a.to_string()),
            sort: sort.map(str::to_owned),
            status: status.map(str::to_owned),
        }
    }
}

/// The product that an id argument names, by node id or plain.
pub fn product_id(id: &ID) -> Option<ProductId> {
    NodeId::read("Product", id)
}
