//! Payments and refunds.

use serde::{Deserialize, Serialize};

use crate::orders::{LineInput, PaymentMethod};
use crate::{Amount, AttemptId, Currency, OrderId, PaymentId, RefundId, Timestamp};

crate::text::word_enum! {
    /// Where a payment is.
    PaymentStatus, "payment status" {
        /// Made, not tried yet.
        Created = "CREATED",
        /// An attempt runs or its outcome is not known yet.
        Processing = "PROCESSING",
        /// The buyer has to do something first: see `nextAction`.
        RequiresAction = "REQUIRES_ACTION",
        /// Reserved; it moves when it is captured.
        Authorized = "AUTHORIZED",
        Captured = "CAPTURED",
        Declined = "DECLINED",
        PartiallyRefunded = "PARTIALLY_REFUNDED",
        Refunded = "REFUNDED",
        /// Given up before any money moved.
        Canceled = "CANCELED",
    }
}

crate::text::word_enum! {
    /// What a payment is for.
    Purpose, "purpose" {
        /// An order: only its saga moves the money.
        Order = "ORDER",
        /// A payment intent of its own.
        Intent = "INTENT",
    }
}

crate::text::word_enum! {
    /// When authorised money is taken.
    CaptureMethod, "capture method" {
        /// At once.
        Automatic = "AUTOMATIC",
        /// When somebody says so.
        Manual = "MANUAL",
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
    /// Of an intent; likewise the next three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_method: Option<CaptureMethod>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized_amount: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured_amount: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_action: Option<NextAction>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What the buyer has to do before a payment goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct NextAction {
    /// `redirect`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Send the buyer's browser there.
    pub url: String,
}

/// `POST /payments/intent`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct IntentInput {
    pub amount: Option<Amount>,
    pub currency: String,
    /// `AUTOMATIC` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture_method: Option<CaptureMethod>,
    /// Of the card's bill, ISO 3166; for the risk check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Refused: orders are paid at `/orders/{id}/pay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
}

/// `POST /payments/confirm`: the first time with a method, after the buyer's
/// action without.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ConfirmInput {
    pub payment_id: Option<PaymentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<PaymentMethod>,
    /// Where the buyer comes back to after an action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
    /// What the redirect brought back as `redirectResult`, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_result: Option<String>,
}

/// `POST /payments/{id}/capture`: all that is authorised when there is no amount.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct CaptureInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
}

/// `POST /payments/{id}/void`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct VoidInput {
    pub reason: String,
}

/// `POST /payments/{id}/refunds`: all that is left when there is no amount.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct IntentRefundInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    pub reason: String,
}

/// `GET /payments/{id}/attempts`, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PaymentAttempts {
    pub items: Vec<PaymentAttempt>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct PaymentAttempt {
    pub attempt_id: AttemptId,
    /// `CHARGE`, `CAPTURE`, `VOID`.
    pub operation: String,
    /// `RUNNING`, `UNKNOWN`, `REVIEW`, `REQUIRES_ACTION`, `AUTHORIZED`, `CAPTURED`,
    /// `DECLINED`, `NOT_SENT`, `VOIDED`.
    pub state: String,
    pub amount: Amount,
    pub currency: Currency,
    pub provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline_code: Option<String>,
    pub sends: i32,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// Every message to and from the provider; for staff.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ProviderCall>,
}

/// One masked message to or from a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProviderCall {
    /// `OUT`: we called. `IN`: the provider told us.
    pub direction: String,
    pub provider: String,
    pub operation: String,
    pub outcome: String,
    pub message: String,
    pub started_at: Timestamp,
    pub duration_us: i64,
}

crate::text::word_enum! {
    /// What reconciliation has to decide.
    OpenKind, "kind" {
        Attempt = "ATTEMPT",
        Refund = "REFUND",
    }
}

/// A row of `GET /admin/payments`: something whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct OpenOutcome {
    /// Of the attempt or refund.
    pub id: String,
    pub kind: OpenKind,
    /// `RUNNING`, `WAITING`, `UNKNOWN`, `REVIEW`.
    pub state: String,
    pub operation: String,
    pub payment_id: PaymentId,
    pub order_id: OrderId,
    pub amount: Amount,
    pub currency: Currency,
    pub provider: String,
    pub sends: i32,
    pub asks: i32,
    pub age_seconds: i64,
    /// Why a person has to look before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_reason: Option<String>,
    pub created_at: Timestamp,
    /// When reconciliation asks next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

crate::text::word_enum! {
    /// What an operator found out.
    FoundOut, "outcome" {
        /// The provider has done it.
        Done = "DONE",
        /// The provider has certainly not done it and will not.
        NotDone = "NOT_DONE",
    }
}

/// `POST /admin/payments/{id}/settle`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct SettleInput {
    pub outcome: Option<FoundOut>,
    /// The provider's name of the transaction; needed for `DONE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// Where this was seen: a statement, a call, a case number.
    pub evidence: String,
    pub reason: String,
}

/// `POST /admin/payments/{id}/review`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ReviewInput {
    /// True sends the payment; false declines it.
    pub approve: Option<bool>,
    pub reason: String,
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
