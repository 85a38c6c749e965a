//! Payment intents through the graph. Orders are paid with `payOrder`.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject, Union};
use http::StatusCode;
use platform::ApiError;
use platform::graphql::{
    CommonRefusal, Decimal, Money, NodeId, held, idempotent, outcome_of_answer, signed_in,
};
use platform::idempotency::Answer;
use shared_types::orders::PaymentMethod;
use shared_types::{PaymentId, payments as told};

use super::payment::{CaptureMethod, Payment};
use crate::house::House;
use crate::intents;

#[derive(InputObject)]
pub struct PaymentIntentInput {
    amount: Decimal,
    currency: String,
    /// `AUTOMATIC` when absent.
    capture_method: Option<CaptureMethod>,
    /// Of the card's bill, ISO 3166; for the risk check.
    country: Option<String>,
}

/// The first time with a method, after the buyer's action without.
#[derive(InputObject)]
pub struct ConfirmPaymentInput {
    payment_method: Option<PaymentTokenInput>,
    /// Where the buyer comes back to after an action.
    return_url: Option<String>,
    /// What the redirect brought back as `redirectResult`, if anything.
    action_result: Option<String>,
}

/// A token from the payment page; never a card number.
#[derive(InputObject)]
pub struct PaymentTokenInput {
    /// `card`.
    #[graphql(name = "type")]
    kind: String,
    token: String,
}

#[derive(SimpleObject)]
pub struct PaymentChanged {
    payment: Payment,
    /// Still being decided: ask for the payment.
    pending: bool,
}

#[derive(SimpleObject)]
pub struct PaymentRefunded {
    refund_id: ID,
    payment_id: ID,
    amount: Money,
    /// `PENDING`, `SUCCEEDED` or `FAILED`.
    status: String,
}

#[derive(Union)]
pub enum PaymentResult {
    Changed(PaymentChanged),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

impl PaymentResult {
    fn of(done: Result<Answer, ApiError>) -> Result<Self> {
        let made = |status, payment: told::Payment| {
            let pending = status == StatusCode::ACCEPTED;
            PaymentResult::Changed(PaymentChanged { payment: payment.into(), pending })
        };
        Ok(outcome_of_answer(done, made, PaymentResult::Refused)?)
    }
}

#[derive(Union)]
pub enum RefundPaymentResult {
    Refunded(PaymentRefunded),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

fn payment_id(id: &ID) -> Result<PaymentId, ApiError> {
    NodeId::read("Payment", id).ok_or_else(intents::not_found)
}

pub struct Mutation;

#[Object]
impl Mutation {
    /// Makes a payment intent, for money that belongs to no order. Nothing is
    /// sent to a provider yet.
    async fn create_payment_intent(
        &self,
        ctx: &Context<'_>,
        input: PaymentIntentInput,
        idempotency_key: String,
    ) -> Result<PaymentResult> {
        let (house, caller) = (held::<House>(ctx)?, signed_in(ctx)?);
        let done = async {
            let input = told::IntentInput {
                amount: Some(input.amount.0),
                currency: input.currency,
                capture_method: input.capture_method.map(Into::into),
                country: input.country,
                order_id: None,
            };
            let request = idempotent("createPaymentIntent", "", caller, &idempotency_key, input)?;
            intents::create(house, caller, request).await
        };
        PaymentResult::of(done.await)
    }

    /// Confirms a payment intent: its creator and staff. When the payment then
    /// requires an action, send the buyer there and confirm again under a new
    /// key.
    async fn confirm_payment(
        &self,
        ctx: &Context<'_>,
        id: ID,
        input: ConfirmPaymentInput,
        idempotency_key: String,
    ) -> Result<PaymentResult> {
        let (house, caller) = (held::<House>(ctx)?, signed_in(ctx)?);
        let done = async {
            let id = payment_id(&id)?;
            let method = input.payment_method;
            let input = told::ConfirmInput {
                payment_id: Some(id),
                payment_method: method.map(|m| PaymentMethod { kind: m.kind, token: m.token }),
                return_url: input.return_url,
                action_result: input.action_result,
            };
            let about = id.to_string();
            let request = idempotent("confirmPayment", &about, caller, &idempotency_key, input)?;
            intents::confirm(house, caller, request).await
        };
        PaymentResult::of(done.await)
    }

    /// Captures what was authorised, all or a part. For support.
    async fn capture_payment(
        &self,
        ctx: &Context<'_>,
        id: ID,
        amount: Option<Decimal>,
        idempotency_key: String,
    ) -> Result<PaymentResult> {
        let (house, caller) = (held::<House>(ctx)?, signed_in(ctx)?);
        let done = async {
            let (id, input) =
                (payment_id(&id)?, told::CaptureInput { amount: amount.map(|a| a.0) });
            let about = id.to_string();
            let request = idempotent("capturePayment", &about, caller, &idempotency_key, input)?;
            intents::capture_intent(house, caller, id, request).await
        };
        PaymentResult::of(done.await)
    }

    /// Gives up a payment before any money moved. For support.
    async fn void_payment(
        &self,
        ctx: &Context<'_>,
        id: ID,
        reason: String,
        idempotency_key: String,
    ) -> Result<PaymentResult> {
        let (house, caller) = (held::<House>(ctx)?, signed_in(ctx)?);
        let done = async {
            let (id, input) = (payment_id(&id)?, told::VoidInput { reason });
            let about = id.to_string();
            let request = idempotent("voidPayment", &about, caller, &idempotency_key, input)?;
            intents::void_intent(house, caller, id, request).await
        };
        PaymentResult::of(done.await)
    }

    /// Gives money of an intent back, whole or in part. For support.
    async fn refund_payment(
        &self,
        ctx: &Context<'_>,
        id: ID,
        amount: Option<Decimal>,
        reason: String,
        idempotency_key: String,
    ) -> Result<RefundPaymentResult> {
        let (house, caller) = (held::<House>(ctx)?, signed_in(ctx)?);
        let done = async {
            let id = payment_id(&id)?;
            let input = told::IntentRefundInput { amount: amount.map(|a| a.0), reason };
            let about = id.to_string();
            let request = idempotent("refundPayment", &about, caller, &idempotency_key, input)?;
            intents::refund_intent(house, caller, id, request).await
        };
        let made = |_, refund: told::Refund| {
            RefundPaymentResult::Refunded(PaymentRefunded {
                refund_id: ID(refund.refund_id.to_string()),
                // An intent's order id is its own.
                payment_id: ID(refund.order_id.to_string()),
                amount: Money::of(refund.amount, refund.currency),
                status: refund.status.to_string(),
            })
        };
        Ok(outcome_of_answer(done.await, made, RefundPaymentResult::Refused)?)
    }
}
