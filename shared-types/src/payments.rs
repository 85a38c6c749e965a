//! Payments and refunds.

use serde::{Deserialize, Serialize};

use crate::{Amount, Currency, OrderId, PaymentId, RefundId, Timestamp, orders::LineInput};

crate::text::word_enum! {
    /// Where a payment is.
    PaymentStatus, "payment status" {
        /// Made, not tried yet.
        Created = "CREATED",
        /// An attempt runs or its outcome is not known yet.
        Processing = "PROCESSING",
        Captured = "CAPTURED",
        Declined = "DECLINED",
        PartiallyRefunded = "PARTIALLY_REFUNDED",
        Refunded = "REFUNDED",
    }
}

/// `GET /payments/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount: Amount,
    pub refunded_amount: Amount,
    pub currency: Currency,
    pub status: PaymentStatus,
    /// `soap`, …
    pub provider: String,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline_code: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// `POST /payments/refund`: an amount or lines; neither means all that is left.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RefundInput {
    pub order_id: Option<OrderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<LineInput>>,
    /// Put the units of `lines` back into stock.
    pub restock: bool,
    pub reason: String,
}

crate::text::word_enum! {
    /// Where a refund is.
    RefundStatus, "refund status" {
        Pending = "PENDING",
        Succeeded = "SUCCEEDED",
        Failed = "FAILED",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Refund {
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub amount: Amount,
    pub currency: Currency,
    pub status: RefundStatus,
}
