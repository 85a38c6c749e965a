//! What happened to stock and holds.

use serde::{Deserialize, Serialize};
use shared_types::{OrderId, ProductId, Sku, Timestamp};
use utoipa::ToSchema;

use super::event;
use crate::topics::{RESERVATION, STOCK};

/// One per sku, warehouse and commit; a batch publishes one with totals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockAdjusted {
    pub product_id: ProductId,
    pub sku: Sku,
    pub warehouse: String,
    /// Change of `onHand`; zero when only holds or allocations moved.
    pub delta: i64,
    pub reason: String,
    pub on_hand: i64,
    pub held: i64,
    pub allocated: i64,
    pub set_aside: i64,
    pub available: i64,
}

/// `available` fell to the threshold: once per crossing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StockLow {
    pub product_id: ProductId,
    pub sku: Sku,
    pub available: i64,
    pub threshold: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldLine {
    pub product_id: ProductId,
    pub sku: Sku,
    pub qty: i64,
    pub warehouse: String,
    /// The flash sale whose set-aside the units come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub sale_id: Option<uuid::Uuid>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationHeld {
    pub order_id: OrderId,
    pub lines: Vec<HeldLine>,
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationConfirmed {
    pub order_id: OrderId,
    pub lines: Vec<HeldLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationReleased {
    pub order_id: OrderId,
    pub lines: Vec<HeldLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationExpired {
    pub order_id: OrderId,
    pub lines: Vec<HeldLine>,
}

/// Answer to an order whose reservation was pending: nothing was held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservationInsufficient {
    pub order_id: OrderId,
    pub short: Vec<Short>,
    /// The order waits its turn for what is short; `reservation.held` follows
    /// when it came.
    #[serde(default)]
    pub backordered: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Short {
    pub sku: Sku,
    pub requested: i64,
    pub available: i64,
}

event!(
    StockAdjusted,
    "ecommerce.inventory.stock.adjusted.v1",
    STOCK,
    key = product_id,
    aggregate = |e| e.sku.key()
);
event!(
    StockLow,
    "ecommerce.inventory.stock.low.v1",
    STOCK,
    key = product_id,
    aggregate = |e| e.sku.key()
);
event!(ReservationHeld, "ecommerce.inventory.reservation.held.v1", RESERVATION, key = order_id);
event!(
    ReservationConfirmed,
    "ecommerce.inventory.reservation.confirmed.v1",
    RESERVATION,
    key = order_id
);
event!(
    ReservationReleased,
    "ecommerce.inventory.reservation.released.v1",
    RESERVATION,
    key = order_id
);
event!(
    ReservationExpired,
    "ecommerce.inventory.reservation.expired.v1",
    RESERVATION,
    key = order_id
);
event!(
    ReservationInsufficient,
    "ecommerce.inventory.reservation.insufficient.v1",
    RESERVATION,
    key = order_id
);
