//! What happened to payments. Key: the order; aggregate: the payment.

use serde::{Deserialize, Serialize};
use shared_types::{Amount, Currency, OrderId, PaymentId, RefundId};
use utoipa::ToSchema;

use super::event;
use crate::topics::PAYMENT;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentAuthorized {
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub amount: Amount,
    pub currency: Currency,
    pub provider: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentCaptured {
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub amount: Amount,
    pub currency: Currency,
    pub provider: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFailed {
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub amount: Amount,
    pub currency: Currency,
    pub provider: String,
    /// `card_declined`, `insufficient_funds`, …
    pub code: String,
    /// No further attempt will be made for this order.
    #[serde(rename = "final")]
    pub is_final: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRefunded {
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub refund_id: RefundId,
    pub amount: Amount,
    pub currency: Currency,
    pub provider: String,
}

event!(
    PaymentAuthorized,
    "ecommerce.payment.payment.authorized.v1",
    PAYMENT,
    key = order_id,
    aggregate = |e| e.payment_id.to_string()
);
event!(
    PaymentCaptured,
    "ecommerce.payment.payment.captured.v1",
    PAYMENT,
    key = order_id,
    aggregate = |e| e.payment_id.to_string()
);
event!(
    PaymentFailed,
    "ecommerce.payment.payment.failed.v1",
    PAYMENT,
    key = order_id,
    aggregate = |e| e.payment_id.to_string()
);
event!(
    PaymentRefunded,
    "ecommerce.payment.payment.refunded.v1",
    PAYMENT,
    key = order_id,
    aggregate = |e| e.payment_id.to_string()
);
