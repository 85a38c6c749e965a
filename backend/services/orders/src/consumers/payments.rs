//! What payments says about an order's money.
//!
//! An event names a payment, not an attempt, so it never decides a running
//! attempt: it makes the saga ask for the outcome now.

use async_trait::async_trait;
use contracts::events::payments::{PaymentCaptured, PaymentFailed, PaymentRefunded};
use platform::consumer::{Done, Handle, HandleError};
use platform::outbox::Envelope;
use shared_types::orders::OrderStatus;
use sqlx::PgConnection;

use super::Ears;
use crate::domain::saga::{Input, State};
use crate::echoes::Echo;
use crate::store;

#[async_trait]
impl Handle<PaymentCaptured> for Ears {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<PaymentCaptured>,
    ) -> Result<Done, HandleError> {
        let captured = &event.payload;
        let (order_id, payment) = (captured.order_id, captured.payment_id);
        let Some(loaded) = store::sagas::find(tx, order_id).await? else {
            return Ok(Done::quietly());
        };
        let saga = &loaded.saga;
        if saga.payment == Some(payment) {
            return Ok(Done::quietly());
        }
        match (saga.status, saga.state) {
            (OrderStatus::Pending, State::Deciding) => self.nudge(tx, order_id).await,
            // The worker has it, or will look again: the answer tells more.
            (OrderStatus::Pending, State::Authorizing) => Ok(Done::quietly()),
            (OrderStatus::Pending, State::AwaitingPayment) => {
                self.tell(tx, order_id, Input::Captured { payment }).await
            }
            _ => {
                let money = captured.amount.in_currency(loaded.currency).map_err(|error| {
                    let error = anyhow::anyhow!("{} {}: {error}", captured.amount, loaded.currency);
                    HandleError::Poison { code: "orders.bad_amount", error }
                })?;
                let late = Input::LateCapture { payment, minor: money.minor };
                self.tell(tx, order_id, late).await
            }
        }
    }

    fn is_known(&self, event: &Envelope<PaymentCaptured>) -> bool {
        self.knows(event.payload.order_id, Echo::Captured(event.payload.payment_id))
    }
}

#[async_trait]
impl Handle<PaymentFailed> for Ears {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<PaymentFailed>,
    ) -> Result<Done, HandleError> {
        let order_id = event.payload.order_id;
        match store::sagas::find(tx, order_id).await? {
            Some(loaded) if loaded.saga.state == State::Deciding => self.nudge(tx, order_id).await,
            _ => Ok(Done::quietly()),
        }
    }
}

#[async_trait]
impl Handle<PaymentRefunded> for Ears {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<PaymentRefunded>,
    ) -> Result<Done, HandleError> {
        let (order_id, refund_id) = (event.payload.order_id, event.payload.refund_id);
        let loaded = store::sagas::find(tx, order_id).await?;
        let waits = loaded.and_then(|l| l.refund).is_some_and(|r| r.refund_id == refund_id);
        if waits { self.nudge(tx, order_id).await } else { Ok(Done::quietly()) }
    }
}
