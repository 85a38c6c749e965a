//! What happened to carts.

use serde::{Deserialize, Serialize};
use shared_types::{Amount, CartId, Currency, OrderId, Sku};
use utoipa::ToSchema;

use super::event;
use crate::topics::CART;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CartLine {
    pub sku: Sku,
    pub qty: i64,
}

/// The cart became an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CartCheckedOut {
    pub cart_id: CartId,
    pub order_id: OrderId,
    pub lines: Vec<CartLine>,
    pub value: Amount,
    pub currency: Currency,
}

event!(CartCheckedOut, "ecommerce.cart.cart.checked_out.v1", CART, key = cart_id);
