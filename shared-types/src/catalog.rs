//! Products and variants.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Amount, Currency, ProductId, Sku, Timestamp, VariantId};

crate::text::word_enum! {
    /// Where a product is in its life; shoppers see `ACTIVE` ones.
    ProductStatus, "product status" {
        Draft = "DRAFT",
        Active = "ACTIVE",
        Archived = "ARCHIVED",
    }
}

crate::text::word_enum! {
    /// Stock as shoppers see it: a band, never a number.
    Availability, "availability" {
        InStock = "IN_STOCK",
        Low = "LOW",
        Out = "OUT",
    }
}

/// `POST /products` and `PUT /products/{id}`. Absent fields read as empty and
/// are refused by name where they are required.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ProductInput {
    pub title: String,
    pub description: String,
    pub categories: Vec<String>,
    /// `DRAFT` when absent.
    pub status: Option<ProductStatus>,
    pub media: Vec<Media>,
    pub variants: Vec<VariantInput>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct VariantInput {
    /// On PUT: the variant to change; found by sku when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<VariantId>,
    pub sku: String,
    pub title: String,
    pub price: Option<Amount>,
    pub currency: Option<Currency>,
    /// Opening stock in units; only when the variant is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock: Option<i64>,
    pub options: BTreeMap<String, String>,
}

/// A picture of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Media {
    /// Absolute, or a path on the shop's own origin.
    pub url: String,
    pub alt: String,
}

/// A product as the shop shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Product {
    pub id: ProductId,
    /// Unique; names the product in addresses.
    pub slug: String,
    pub title: String,
    pub description: String,
    pub categories: Vec<String>,
    pub status: ProductStatus,
    pub media: Vec<Media>,
    pub variants: Vec<Variant>,
    pub updated_at: Timestamp,
    /// Inventory was away: opening stock follows by event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stock_pending: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    pub id: VariantId,
    pub sku: Sku,
    pub title: String,
    pub price: Amount,
    pub currency: Currency,
    pub availability: Availability,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A category with how many active products it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Category {
    pub slug: String,
    pub name: String,
    pub products: i64,
}

/// One row of a price's history (SCD2): valid from, inclusive, to, exclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PriceRecord {
    pub sku: Sku,
    pub price: Amount,
    pub currency: Currency,
    pub valid_from: Timestamp,
    /// Null while it is the price of today.
    pub valid_to: Option<Timestamp>,
    /// The subject of the token that set it.
    pub changed_by: String,
}
