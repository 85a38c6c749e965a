//! What happened to products and their prices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_types::catalog::{Media, ProductStatus};
use shared_types::{Amount, Currency, ProductId, Sku, Timestamp, VariantId};
use utoipa::ToSchema;

use super::event;
use crate::topics::PRODUCT;

/// The full public product; deleting shows as status `ARCHIVED`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductUpdated {
    pub product_id: ProductId,
    /// Grows with every change; read models ignore older ones.
    pub version: i64,
    pub slug: String,
    pub title: String,
    pub description: String,
    pub categories: Vec<String>,
    pub status: ProductStatus,
    pub media: Vec<Media>,
    pub variants: Vec<ProductVariant>,
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductVariant {
    pub id: VariantId,
    pub sku: Sku,
    pub title: String,
    pub price: Amount,
    pub currency: Currency,
    pub options: BTreeMap<String, String>,
    /// Opening stock that inventory has not acknowledged yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_stock: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceChanged {
    pub product_id: ProductId,
    pub sku: Sku,
    /// Null for a first price.
    pub old: Option<Amount>,
    pub new: Amount,
    pub currency: Currency,
    pub valid_from: Timestamp,
    /// The product version that this price came with.
    pub price_book_version: i64,
}

event!(ProductUpdated, "ecommerce.product.product.updated.v1", PRODUCT, key = product_id);
event!(PriceChanged, "ecommerce.product.price.changed.v1", PRODUCT, key = product_id);
