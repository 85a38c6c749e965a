//! Placing, paying, canceling and refunding through the graph.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result, SimpleObject, Union};
use http::StatusCode;
use platform::graphql::{
    CommonRefusal, Money, held, idempotent, outcome, outcome_of_answer, signed_in,
};
use shared_types::orders as told;
use shared_types::payments::Refund;

use super::input::{PaymentMethodInput, PlaceOrderInput, RefundOrderInput, order_id};
use super::order::{Order, OrderStage, OrderStatus};
use super::refusals::{NotPlaced, PriceChanged, StockShort};
use crate::app::App;
use crate::commands::{cancel_order, pay_order, place_order, refund_order};

/// The order is placed. In stage `RESERVING` its stock is held later.
#[derive(SimpleObject)]
pub struct OrderPlaced {
    order: Order,
    /// `Authorization: Order <token>` for guests.
    order_token: Option<String>,
}

#[derive(SimpleObject)]
pub struct OrderPaid {
    order_id: ID,
    status: OrderStatus,
    payment_id: Option<ID>,
}

/// It is still being decided: ask for the order.
#[derive(SimpleObject)]
pub struct PaymentPending {
    order_id: ID,
    status: OrderStatus,
    stage: Option<OrderStage>,
}

#[derive(SimpleObject)]
pub struct OrderCanceled {
    order: Order,
    /// The money is on its way back; then it is canceled.
    pending: bool,
}

/// `PENDING` while the provider decides.
#[derive(SimpleObject)]
pub struct OrderRefunded {
    refund_id: ID,
    order_id: ID,
    amount: Money,
    /// `PENDING`, `SUCCEEDED` or `FAILED`.
    status: String,
}

#[allow(clippy::large_enum_variant, reason = "made once for an answer and written at once")]
#[derive(Union)]
pub enum PlaceOrderResult {
    Placed(OrderPlaced),
    Short(StockShort),
    Changed(PriceChanged),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

#[derive(Union)]
pub enum PayOrderResult {
    Paid(OrderPaid),
    Pending(PaymentPending),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

#[allow(clippy::large_enum_variant, reason = "made once for an answer and written at once")]
#[derive(Union)]
pub enum CancelOrderResult {
    Canceled(OrderCanceled),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

#[derive(Union)]
pub enum RefundOrderResult {
    Refunded(OrderRefunded),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

pub struct Mutation;

#[Object]
impl Mutation {
    /// Places an order from lines or from the caller's cart. The stock is held
    /// before the answer; payment is never waited for.
    async fn place_order(
        &self,
        ctx: &Context<'_>,
        input: PlaceOrderInput,
        #[graphql(desc = "1 to 255 visible characters; at least 16 without a credential.")]
        idempotency_key: String,
    ) -> Result<PlaceOrderResult> {
        let (app, caller) = (held::<Arc<App>>(ctx)?, signed_in(ctx)?);
        let done = async {
            let request = idempotent("placeOrder", "", caller, &idempotency_key, input.read()?)?;
            place_order::place_order(app, caller, request).await
        };
        let done = match done.await {
            Ok(answer) => Ok(answer),
            Err(error) => match NotPlaced::of(error)? {
                NotPlaced::Short(short) => return Ok(PlaceOrderResult::Short(short)),
                NotPlaced::Changed(changed) => return Ok(PlaceOrderResult::Changed(changed)),
                NotPlaced::Other(refusal) => return Ok(PlaceOrderResult::Refused(refusal)),
            },
        };
        let made = |_, order: told::Order| {
            let order_token = order.order_token.clone();
            PlaceOrderResult::Placed(OrderPlaced { order: Order::told(order), order_token })
        };
        Ok(outcome_of_answer(done, made, PlaceOrderResult::Refused)?)
    }

    /// Pays an order. Waits up to ten seconds for the outcome.
    async fn pay_order(
        &self,
        ctx: &Context<'_>,
        id: ID,
        payment_method: PaymentMethodInput,
        idempotency_key: String,
    ) -> Result<PayOrderResult> {
        let (app, caller) = (held::<Arc<App>>(ctx)?, signed_in(ctx)?);
        let done = async {
            let id = order_id(&id)?;
            let input = told::PayOrder { payment_method: Some(payment_method.into()) };
            let about = id.to_string();
            let request = idempotent("payOrder", &about, caller, &idempotency_key, input)?;
            pay_order::pay_order(app, caller, id, request).await
        };
        let made = |status, answer: told::PayAnswer| {
            let (order_id, order) = (ID(answer.order_id.to_string()), answer.status.into());
            if status == StatusCode::ACCEPTED {
                let stage = answer.stage.map(OrderStage::from);
                return PayOrderResult::Pending(PaymentPending { order_id, status: order, stage });
            }
            let payment_id = answer.payment_id.map(|id| ID(id.to_string()));
            PayOrderResult::Paid(OrderPaid { order_id, status: order, payment_id })
        };
        Ok(outcome_of_answer(done.await, made, PayOrderResult::Refused)?)
    }

    /// Cancels an order: its owner while it is `PENDING`, support before
    /// dispatch.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        id: ID,
        reason: String,
    ) -> Result<CancelOrderResult> {
        let (app, caller) = (held::<Arc<App>>(ctx)?, signed_in(ctx)?);
        let done = async {
            let input = told::CancelOrder { reason };
            cancel_order::cancel_order(app, caller, order_id(&id)?, &input).await
        };
        let made = |(status, order)| {
            let pending = status == StatusCode::ACCEPTED;
            CancelOrderResult::Canceled(OrderCanceled { order: Order::told(order), pending })
        };
        Ok(outcome(done.await, made, CancelOrderResult::Refused)?)
    }

    /// Gives money back, whole or in part. For support and service accounts.
    async fn refund_order(
        &self,
        ctx: &Context<'_>,
        input: RefundOrderInput,
        idempotency_key: String,
    ) -> Result<RefundOrderResult> {
        let (app, caller) = (held::<Arc<App>>(ctx)?, signed_in(ctx)?);
        let done = async {
            let request = idempotent("refundOrder", "", caller, &idempotency_key, input.read()?)?;
            refund_order::refund_order(app, caller, request).await
        };
        let made = |_, refund: Refund| {
            RefundOrderResult::Refunded(OrderRefunded {
                refund_id: ID(refund.refund_id.to_string()),
                order_id: ID(refund.order_id.to_string()),
                amount: Money::of(refund.amount, refund.currency),
                status: refund.status.to_string(),
            })
        };
        Ok(outcome_of_answer(done.await, made, RefundOrderResult::Refused)?)
    }
}
