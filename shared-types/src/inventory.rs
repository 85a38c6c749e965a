//! Stock as merchants see it.

use serde::{Deserialize, Serialize};

use crate::{OrderId, Sku, Timestamp, catalog::Availability};

/// `GET /inventory/{sku}/stock`: units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Stock {
    pub sku: Sku,
    /// Physically there; the sum of the ledger.
    pub on_hand: i64,
    /// In live holds.
    pub held: i64,
    /// Of confirmed orders that are not dispatched yet.
    pub allocated: i64,
    /// Carved out for flash sales.
    pub set_aside: i64,
    /// What can be sold now.
    pub available: i64,
    pub warehouses: Vec<WarehouseStock>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct WarehouseStock {
    pub warehouse: String,
    pub on_hand: i64,
    pub held: i64,
    pub allocated: i64,
    pub set_aside: i64,
    pub safety_stock: i64,
    pub available: i64,
}

/// `POST /inventory/{sku}/adjustments`: compare-and-set.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Adjustment {
    /// Units to add; negative takes away. Never zero.
    pub delta: i64,
    pub reason: String,
    /// The quantity on hand that the caller believes in.
    pub expected_on_hand: Option<i64>,
    /// The warehouse; the first by priority when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
}

/// `GET /products/{id}/inventory`: what shoppers may know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProductInventory {
    pub product_id: crate::ProductId,
    pub availability: Availability,
    pub variants: Vec<VariantInventory>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VariantInventory {
    pub sku: Sku,
    pub availability: Availability,
    /// Units; null for shoppers.
    pub available: Option<i64>,
}

/// `POST /products/{id}/inventory/reserve` (service accounts).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReserveInput {
    pub order_id: OrderId,
    #[serde(default)]
    pub lines: Vec<crate::orders::LineInput>,
}

/// What a reservation answers: held, or which lines are short.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReserveOutput {
    /// `HELD` or `SHORT`.
    pub outcome: String,
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub short: Vec<ShortLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ShortLine {
    pub sku: Sku,
    pub requested: i64,
    pub available: i64,
}

/// `GET /inventory/{productId}/stock`: all variants of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProductStock {
    pub product_id: crate::ProductId,
    pub on_hand: i64,
    pub held: i64,
    pub allocated: i64,
    pub set_aside: i64,
    pub available: i64,
    pub variants: Vec<Stock>,
}

/// `GET /inventory/{sku}/ledger`: one change of what is on hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    pub id: i64,
    pub warehouse: String,
    /// `opening`, `receipt`, `adjustment`, `count`, `return`, `dispatch`.
    pub kind: String,
    pub delta: i64,
    /// What was on hand afterwards, in that warehouse.
    pub on_hand: i64,
    pub reason: String,
    /// Who did it: `user:…`, `service:…`.
    pub actor: String,
    pub order_id: Option<OrderId>,
    pub at: Timestamp,
}
