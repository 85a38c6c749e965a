//! Sagas as operators see and steer them.

use serde::{Deserialize, Serialize};

use crate::orders::{OrderStatus, Stage};
use crate::{Amount, AttemptId, Currency, OrderId, PaymentId, RefundId, Timestamp};

/// A row of `GET /admin/sagas`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SagaSummary {
    pub order_id: OrderId,
    pub order_number: String,
    pub status: OrderStatus,
    /// The word that buyers see.
    pub stage: Stage,
    /// The saga's own word, finer than the stage.
    pub state: String,
    pub total_amount: Amount,
    pub currency: Currency,
    /// Failures of the present step.
    pub retries: u32,
    /// It cannot go on by itself: a person looks.
    pub stuck: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_reason: Option<String>,
    /// Since the order was placed.
    pub age_seconds: i64,
    /// Since the saga came into its state.
    pub state_seconds: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When it is worked on next; null while it waits for somebody else.
    pub next_run_at: Option<Timestamp>,
    /// Counts every change; an action may name the one it was decided on.
    pub version: i64,
}

/// `GET /admin/sagas/{orderId}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SagaDetail {
    #[serde(flatten)]
    pub summary: SagaSummary,
    /// The diagram, in the order of the steps.
    pub steps: Vec<SagaStep>,
    /// What an operator may do now: `retry`, `compensate`, `resolve`.
    pub actions: Vec<String>,
    pub captured_amount: Amount,
    pub refunded_amount: Amount,
    pub declines: u32,
    pub payment_id: Option<PaymentId>,
    /// Until when a process has it for its own.
    pub leased_until: Option<Timestamp>,
    pub trace_id: String,
    pub correlation_id: String,
    pub attempts: Vec<SagaAttempt>,
    pub refunds: Vec<SagaRefund>,
    pub history: Vec<SagaChange>,
}

/// One box of the diagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SagaStep {
    /// `reserve`, `pay`, `confirm`; `refund`, `release`, `settle` undo.
    pub name: String,
    /// `pending`, `waiting`, `running`, `stuck`, `done`, `failed`, `skipped`.
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SagaAttempt {
    pub attempt_id: AttemptId,
    /// `running`, `captured`, `declined`, `not_sent`, `hold_expired`, `abandoned`.
    pub state: String,
    pub decline_code: Option<String>,
    pub payment_id: Option<PaymentId>,
    pub started_at: Timestamp,
    pub decided_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SagaRefund {
    pub refund_id: RefundId,
    pub amount: Amount,
    pub cause: String,
    /// `pending`, `restocking`, `succeeded`, `failed`, `replaced`.
    pub state: String,
    pub created_at: Timestamp,
    pub decided_at: Option<Timestamp>,
}

/// A change of status, with who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SagaChange {
    pub status: OrderStatus,
    pub at: Timestamp,
    pub cause: String,
    pub actor: String,
}

/// `POST /admin/sagas/{orderId}/retry`, `/compensate`, `/resolve`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct SagaAction {
    /// Why, for the audit log.
    pub reason: String,
    /// Refuse when the saga is not at this version any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}
