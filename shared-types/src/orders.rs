//! Orders: placing, paying, canceling, looking.

use serde::{Deserialize, Serialize};

use crate::{Amount, CartId, Currency, OrderId, PaymentId, ProductId, Sku, Timestamp};

crate::text::word_enum! {
    /// Where an order is in its life.
    OrderStatus, "order status" {
        Pending = "PENDING",
        Paid = "PAID",
        Confirmed = "CONFIRMED",
        Shipped = "SHIPPED",
        Fulfilled = "FULFILLED",
        Canceled = "CANCELED",
        Failed = "FAILED",
    }
}

crate::text::word_enum! {
    /// What the saga of an order is doing.
    Stage, "stage" {
        Reserving = "reserving",
        AwaitingPayment = "awaiting_payment",
        Backordered = "backordered",
        Authorizing = "authorizing",
        Capturing = "capturing",
        Confirming = "confirming",
        PlanningShipment = "planning_shipment",
        Compensating = "compensating",
        Refunding = "refunding",
        Done = "done",
    }
}

/// One sku and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LineInput {
    pub sku: String,
    pub qty: i64,
}

/// `POST /orders`: from explicit lines or from a cart, never both.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PlaceOrder {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<LineInput>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cart_id: Option<CartId>,
    /// Refuse when the total would differ from this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_total: Option<Amount>,
    pub email: String,
    pub shipping_address: Option<Address>,
    /// `standard` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
    /// `none` places the order without tax and shipping; for service accounts
    /// and `ADMIN` only, such as a replay of old sales.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_and_shipping: Option<String>,
    /// Whose order it is, `user:<id>` or `guest:<id>`, when a service account or
    /// `ADMIN` places it for somebody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    pub name: String,
    pub line1: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "crate::text::or_empty")]
    pub line2: String,
    pub city: String,
    pub postal_code: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "crate::text::or_empty")]
    pub region: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// A token from the payment page; never a card number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PaymentMethod {
    /// `card`.
    #[serde(rename = "type")]
    pub kind: String,
    pub token: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    pub product_id: ProductId,
    pub sku: Sku,
    pub title: String,
    pub qty: i64,
    pub price: Amount,
    pub line_total: Amount,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderAmounts {
    pub subtotal: Amount,
    pub discount: Amount,
    pub tax: Amount,
    pub shipping: Amount,
}

/// An order as its owner sees it. `order_token` is there on placement only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub order_id: OrderId,
    /// For people: `BV-100001`.
    pub order_number: String,
    pub status: OrderStatus,
    pub stage: Stage,
    pub items: Vec<OrderItem>,
    pub amounts: OrderAmounts,
    pub total_amount: Amount,
    /// What has gone back to the buyer so far.
    pub refunded_amount: Amount,
    pub currency: Currency,
    /// Until when the stock is held; null once it is not (or not yet).
    pub hold_expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// The last decline while payment is awaited: a code such as `card_declined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decline: Option<String>,
    /// `Authorization: Order <token>` for guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_token: Option<String>,
    /// Present for the owner and support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// A row of `GET /orders`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderSummary {
    pub order_id: OrderId,
    pub order_number: String,
    pub status: OrderStatus,
    pub stage: Stage,
    pub total_amount: Amount,
    pub currency: Currency,
    /// Units over all lines.
    pub units: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// `GET /orders/{id}/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderStatusView {
    pub order_id: OrderId,
    pub status: OrderStatus,
    pub stage: Stage,
    pub updated_at: Timestamp,
    pub history: Vec<StatusChange>,
}

/// A change, oldest first; `cause` is a stable word (`placed`, `captured`, …).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    pub status: OrderStatus,
    pub at: Timestamp,
    pub cause: String,
}

/// `POST /orders/{id}/pay`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PayOrder {
    pub payment_method: Option<PaymentMethod>,
}

/// What `/pay` answers: 200 with the payment, 202 while it is being decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PayAnswer {
    pub order_id: OrderId,
    pub status: OrderStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
}

/// `POST /orders/{id}/cancel`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct CancelOrder {
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_filled_in_may_be_null_or_absent() {
        let absent: Address = serde_json::from_str(r#"{"line1":"1 Mill Lane"}"#).unwrap();
        let null = r#"{"line1":"1 Mill Lane","line2":null,"region":null}"#;
        assert_eq!(serde_json::from_str::<Address>(null).unwrap(), absent);
        assert!(serde_json::from_str::<Address>(r#"{"line2":7}"#).is_err());
    }
}
