//! Payments as the graph shows them.

use async_graphql::{ComplexObject, Context, Enum, ID, Interface, Object, Result, SimpleObject};
use platform::graphql::{DateTime, Money, NodeId, caller, held, or_null, signed_in};
use shared_types::payments as told;
use shared_types::{Amount, OrderId};

use super::{Attempts, PaymentsOfOrders};
use crate::intents::{self, PaymentRow};

/// Where a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::payments::PaymentStatus")]
pub enum PaymentStatus {
    Created,
    Processing,
    RequiresAction,
    Authorized,
    Captured,
    Declined,
    PartiallyRefunded,
    Refunded,
    Canceled,
}

/// When authorised money is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "shared_types::payments::CaptureMethod")]
pub enum CaptureMethod {
    Automatic,
    Manual,
}

/// What has an id of its own in the graph.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Unique over the whole graph."))]
pub enum Node {
    Payment(Payment),
}

/// An order, with what is known of its payment.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Order {
    pub id: ID,
}

#[ComplexObject]
impl Order {
    /// Null until something was paid. For the holder of the order's token and
    /// for support.
    async fn payment(&self, ctx: &Context<'_>) -> Result<Option<Payment>> {
        or_null(ctx, async {
            let caller = signed_in(ctx)?;
            let found = match NodeId::read::<OrderId>("Order", &self.id) {
                Some(id) => held::<PaymentsOfOrders>(ctx)?.load_one(id).await?,
                None => None,
            };
            match found {
                None if caller
                    .holds_grant("order", NodeId::key_in("Order", &self.id).unwrap_or("")) =>
                {
                    Ok(None)
                }
                found => Ok(intents::visible(caller, found)?.map(Payment::from)),
            }
        })
        .await
    }
}

/// Money for an order, or for an intent of its own.
pub struct Payment(told::Payment);

impl From<PaymentRow> for Payment {
    fn from(row: PaymentRow) -> Self {
        Payment(row.view())
    }
}

impl From<told::Payment> for Payment {
    fn from(payment: told::Payment) -> Self {
        Payment(payment)
    }
}

impl Payment {
    fn money(&self, amount: Amount) -> Money {
        Money::of(amount, self.0.currency)
    }

    fn is_intent(&self) -> bool {
        self.0.capture_method.is_some()
    }
}

#[Object]
impl Payment {
    async fn id(&self) -> ID {
        NodeId::of("Payment", self.0.payment_id)
    }

    /// The id as the REST API has it.
    async fn payment_id(&self) -> ID {
        ID(self.0.payment_id.to_string())
    }

    /// The order it is for; null for an intent.
    async fn order(&self) -> Option<Order> {
        (!self.is_intent()).then(|| Order { id: NodeId::of("Order", self.0.order_id) })
    }

    async fn amount(&self) -> Money {
        self.money(self.0.amount)
    }

    async fn refunded_amount(&self) -> Money {
        self.money(self.0.refunded_amount)
    }

    async fn status(&self) -> PaymentStatus {
        self.0.status.into()
    }

    /// `soap`, …
    async fn provider(&self) -> &str {
        &self.0.provider
    }

    /// Why it was declined.
    async fn decline_code(&self) -> Option<&str> {
        self.0.decline_code.as_deref()
    }

    /// Of an intent; likewise the next three.
    async fn capture_method(&self) -> Option<CaptureMethod> {
        self.0.capture_method.map(CaptureMethod::from)
    }

    async fn authorized_amount(&self) -> Option<Money> {
        self.0.authorized_amount.map(|amount| self.money(amount))
    }

    async fn captured_amount(&self) -> Option<Money> {
        self.0.captured_amount.map(|amount| self.money(amount))
    }

    /// What the buyer has to do before it goes on.
    async fn next_action(&self) -> Option<PaymentAction> {
        let action = self.0.next_action.clone();
        action.map(|action| PaymentAction { kind: action.kind, url: action.url })
    }

    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    async fn updated_at(&self) -> DateTime {
        self.0.updated_at.into()
    }

    /// Oldest first, at most 200; what was said to providers for staff only.
    async fn attempts(&self, ctx: &Context<'_>) -> Result<Vec<PaymentAttempt>> {
        let with_calls = caller(ctx).is_some_and(intents::is_staff);
        let key = (self.0.payment_id, with_calls);
        let found = held::<Attempts>(ctx)?.load_one(key).await?;
        Ok(found.unwrap_or_default().into_iter().map(PaymentAttempt::from).collect())
    }
}

#[derive(Clone, SimpleObject)]
pub struct PaymentAction {
    /// `redirect`.
    #[graphql(name = "type")]
    kind: String,
    /// Send the buyer's browser there.
    url: String,
}

/// One try to move money.
#[derive(Clone, SimpleObject)]
pub struct PaymentAttempt {
    attempt_id: ID,
    /// `CHARGE`, `CAPTURE`, `VOID`.
    operation: String,
    state: String,
    amount: Money,
    provider: String,
    decline_code: Option<String>,
    sends: i32,
    created_at: DateTime,
    settled_at: Option<DateTime>,
    /// Every message to and from the provider; for staff.
    calls: Vec<ProviderCall>,
}

/// One masked message to or from a provider.
#[derive(Clone, SimpleObject)]
pub struct ProviderCall {
    /// `OUT`: we called. `IN`: the provider told us.
    direction: String,
    provider: String,
    operation: String,
    outcome: String,
    message: String,
    started_at: DateTime,
}

impl From<told::PaymentAttempt> for PaymentAttempt {
    fn from(a: told::PaymentAttempt) -> Self {
        let call = |c: told::ProviderCall| ProviderCall {
            direction: c.direction,
            provider: c.provider,
            operation: c.operation,
            outcome: c.outcome,
            message: c.message,
            started_at: c.started_at.into(),
        };
        PaymentAttempt {
            attempt_id: ID(a.attempt_id.to_string()),
            operation: a.operation,
            state: a.state,
            amount: Money::of(a.amount, a.currency),
            provider: a.provider,
            decline_code: a.decline_code,
            sends: a.sends,
            created_at: a.created_at.into(),
            settled_at: a.settled_at.map(DateTime::from),
            calls: a.calls.into_iter().map(call).collect(),
        }
    }
}
