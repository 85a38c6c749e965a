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

/// `PUT /inventory/warehouses/{code}` and the list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Warehouse {
    /// Short and stable: `main`.
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub name: String,
    /// The lowest number is asked first; no two are alike.
    #[serde(default)]
    pub priority: i32,
}

/// How a sku is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StockPolicy {
    pub sku: Sku,
    /// Stock at or below this is low.
    pub low_threshold: i64,
    /// Units per warehouse that are never sold.
    pub safety_stock: i64,
    /// Units that orders may wait for in all; null: no order may wait.
    pub backorder_limit: Option<i64>,
    /// Units that orders wait for now.
    pub backordered: i64,
}

/// `PUT /inventory/{sku}/policy`; what is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct StockPolicyInput {
    pub low_threshold: Option<i64>,
    pub safety_stock: Option<i64>,
    /// Null takes it away.
    #[serde(with = "stated")]
    pub backorder_limit: Option<Option<i64>>,
}

/// Tells an absent field from one that is null.
mod stated {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Option<i64>>, s: S) -> Result<S::Ok, S::Error> {
        value.flatten().serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<i64>>, D::Error> {
        Option::<i64>::deserialize(d).map(Some)
    }
}

/// `POST /inventory/{sku}/counts`: what was physically counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct StockCount {
    /// Units that are there.
    pub counted: Option<i64>,
    pub reason: String,
    /// The warehouse; the first by priority when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
}

/// What a count left, and whom it left short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CountedStock {
    pub stock: Stock,
    pub affected_orders: Vec<AffectedOrder>,
}

/// An order whose promised units are not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AffectedOrder {
    pub order_id: OrderId,
    pub sku: Sku,
    pub warehouse: String,
    /// Units of the order that are missing.
    pub units: i64,
}
