//! What happened to orders.

use serde::{Deserialize, Serialize};
use shared_types::{Amount, CartId, Currency, GuestId, OrderId, PaymentId, ProductId, Sku, UserId};
use utoipa::ToSchema;

use super::event;
use crate::topics::ORDER;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated {
    pub order_id: OrderId,
    pub order_number: String,
    /// Null for guests.
    pub user_id: Option<UserId>,
    /// Null for users.
    pub guest_id: Option<GuestId>,
    pub cart_id: Option<CartId>,
    pub reservation: Reservation,
    pub total_amount: Amount,
    pub currency: Currency,
    pub items: Vec<OrderedItem>,
    pub amounts: Amounts,
}

/// Whether the stock was held when the order was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reservation {
    Held,
    /// Inventory was away: it reserves when it reads this event.
    Pending,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderedItem {
    pub product_id: ProductId,
    pub sku: Sku,
    pub qty: i64,
    pub price: Amount,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    pub subtotal: Amount,
    pub discount: Amount,
    pub tax: Amount,
    pub shipping: Amount,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderPaid {
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub amount: Amount,
    pub currency: Currency,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderConfirmed {
    pub order_id: OrderId,
    pub items: Vec<OrderedItem>,
}

/// An order that ended without being fulfilled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderEnded {
    pub order_id: OrderId,
    /// `user:…`, `guest:…`, `service:…`.
    pub by: String,
    /// Stable word: `customer_request`, `hold_expired`, `stock_short`, …
    pub reason: String,
    pub items: Vec<OrderedItem>,
    pub total_amount: Amount,
    pub currency: Currency,
    pub refunded_amount: Amount,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct OrderCanceled(pub OrderEnded);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct OrderFailed(pub OrderEnded);

impl std::ops::Deref for OrderCanceled {
    type Target = OrderEnded;
    fn deref(&self) -> &OrderEnded {
        &self.0
    }
}
impl std::ops::Deref for OrderFailed {
    type Target = OrderEnded;
    fn deref(&self) -> &OrderEnded {
        &self.0
    }
}

event!(OrderCreated, "ecommerce.order.order.created.v1", ORDER, key = order_id);
event!(OrderPaid, "ecommerce.order.order.paid.v1", ORDER, key = order_id);
event!(OrderConfirmed, "ecommerce.order.order.confirmed.v1", ORDER, key = order_id);
event!(OrderCanceled, "ecommerce.order.order.canceled.v1", ORDER, key = order_id);
event!(OrderFailed, "ecommerce.order.order.failed.v1", ORDER, key = order_id);
