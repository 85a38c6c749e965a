//! What a call does, whether it came as SOAP or REST.

use std::sync::{Arc, Mutex};

use platform::Context;
use shared_types::{Currency, Money};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::behaviour::{Controls, Deed, Meaning, meaning};
use super::ledger::{self, NewEntry};
use crate::soap::envelope::{Fault, FaultCode};
use crate::soap::messages::{
    GetPaymentStatus, GetPaymentStatusResponse, Outcome, ProcessPayment, RefundPayment, Status,
};

/// Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    ctx: Context,
    controls: Arc<Mutex<Controls>>,
    initial: Controls,
}

/// How a call ends.
pub enum Reply<T> {
    Answer(T),
    /// The caller gets the answer twice, in one body.
    Twice(T),
    Fault(Fault),
    /// The caller gets no answer.
    Lost,
}

impl<T> Reply<T> {
    /// What is left of an answer on its way back.
    fn after(self, deed: Deed) -> Self {
        match (self, deed) {
            (_, Deed::LostAfter) => Reply::Lost,
            (Reply::Answer(answer), Deed::Duplicate) => Reply::Twice(answer),
            (reply, _) => reply,
        }
    }
}

const BUSY: &str = "the gateway cannot take payments now";

pub(super) fn unavailable<T>() -> Reply<T> {
    Reply::Fault(Fault::typed(FaultCode::Server, "GATEWAY_UNAVAILABLE", BUSY))
}

fn broken<T>(error: sqlx::Error) -> Reply<T> {
    tracing::error!(error = format!("{error:#}"), "the simulator's ledger failed");
    let text = "the ledger failed".to_owned();
    Reply::Fault(Fault { code: FaultCode::Server, text, detail: None })
}

impl Gateway {
    pub fn new(ctx: Context, controls: Controls) -> Self {
        Gateway { ctx, initial: controls.clone(), controls: Arc::new(Mutex::new(controls)) }
    }

    pub(super) fn ctx(&self) -> &Context {
        &self.ctx
    }

    pub fn pool(&self) -> &sqlx::PgPool {
        &self.ctx.pool
    }

    pub fn controls(&self) -> Controls {
        self.lock().clone()
    }

    pub fn set_controls(&self, controls: Controls) {
        *self.lock() = controls;
    }

    pub fn reset(&self) -> Controls {
        self.set_controls(self.initial.clone());
        self.controls()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Controls> {
        self.controls.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// What the controls have this call do, after the configured latency.
    pub(super) async fn drawn(&self) -> Deed {
        let (deed, latency) = {
            let mut controls = self.lock();
            (controls.draw(), controls.latency())
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        deed
    }

    /// Runs to its end even when the caller hangs up: a gateway does.
    pub(super) async fn unhurried<T, F>(&self, work: F) -> Reply<T>
    where
        T: Send + 'static,
        F: Future<Output = Reply<T>> + Send + 'static,
    {
        let (done, waiting) = oneshot::channel();
        self.ctx.lifecycle.spawn("simulated gateway call", async move {
            // The caller may have gone.
            let _ = done.send(work.await);
            Ok(())
        });
        waiting.await.unwrap_or(Reply::Lost)
    }

    pub async fn charge(&self, request: ProcessPayment, via: &'static str) -> Reply<Outcome> {
        let gateway = self.clone();
        self.unhurried(async move { gateway.charge_now(&request, via).await }).await
    }

    async fn charge_now(&self, request: &ProcessPayment, via: &str) -> Reply<Outcome> {
        let money = match money(&request.currency, request.amount) {
            Ok(money) => money,
            Err(fault) => return Reply::Fault(fault),
        };
        let drawn = self.drawn().await;
        let meaning = meaning(request.payment_token.as_deref());
        let mut verdict = match meaning {
            Meaning::Declined(reason) => (Status::Declined, Some(reason)),
            Meaning::RequiresAction => (Status::RequiresAction, None),
            Meaning::Ok | Meaning::Does(_) => (Status::Approved, None),
        };
        if verdict.0 == Status::Approved {
            if drawn == Deed::Decline {
                verdict = (Status::Declined, Some("card_declined"));
            } else if self.lock().declines(money) {
                verdict = (Status::Declined, Some("amount_declined"));
            }
        }
        let deed = match (drawn, meaning) {
            (Deed::Work, Meaning::Does(Deed::LostBefore)) => {
                // Only once per attempt, so that a careful caller gets through.
                let attempt = request.attempt_id.as_deref().unwrap_or("-");
                let attempt = format!("{}/{attempt}", request.order_id);
                let now = self.ctx.clock.now();
                match ledger::first_loss(&self.ctx.pool, &attempt, now).await {
                    Ok(true) => Deed::LostBefore,
                    Ok(false) => Deed::Work,
                    Err(error) => return broken(error),
                }
            }
            (Deed::Work, Meaning::Does(its)) => its,
            (drawn, _) => drawn,
        };
        match deed {
            Deed::Fault => return unavailable(),
            Deed::LostBefore => return Reply::Lost,
            Deed::Slow => {
                let slow = self.lock().slow();
                tokio::time::sleep(slow).await;
            }
            Deed::Work | Deed::Decline | Deed::LostAfter | Deed::Duplicate => {}
        }
        let transaction_id = transaction_id();
        let new = NewEntry {
            transaction_id: &transaction_id,
            order_id: &request.order_id,
            refund: false,
            status: verdict.0,
            decline_reason: verdict.1,
            money,
            attempt_id: request.attempt_id.as_deref(),
            refund_id: None,
            refund_of: None,
            via,
            now: self.ctx.clock.now(),
        };
        let added = async { ledger::add(&mut *self.ctx.pool.acquire().await?, &new).await };
        if let Err(error) = added.await {
            return broken(error);
        }
        let decline_reason = verdict.1.map(str::to_owned);
        let outcome = Outcome { transaction_id, status: verdict.0, decline_reason };
        Reply::Answer(outcome).after(deed)
    }

    pub async fn status(&self, request: &GetPaymentStatus) -> Reply<GetPaymentStatusResponse> {
        // A script is about money that moves, not about questions.
        let (outage, latency) = {
            let controls = self.lock();
            (controls.outage, controls.latency())
        };
        if outage {
            return Reply::Lost;
        }
        tokio::time::sleep(latency).await;
        match ledger::of_order(&self.ctx.pool, &request.order_id).await {
            Ok(entries) => {
                let transactions = entries.into_iter().map(ledger::Entry::transaction).collect();
                Reply::Answer(GetPaymentStatusResponse { transactions })
            }
            Err(error) => broken(error),
        }
    }

    pub async fn refund(&self, request: RefundPayment, via: &'static str) -> Reply<Outcome> {
        let gateway = self.clone();
        let work = async move {
            let deed = gateway.drawn().await;
            match deed {
                Deed::Fault => return unavailable(),
                Deed::LostBefore => return Reply::Lost,
                Deed::Slow => {
                    let slow = gateway.lock().slow();
                    tokio::time::sleep(slow).await;
                }
                Deed::Work | Deed::Decline | Deed::LostAfter | Deed::Duplicate => {}
            }
            match gateway.refund_now(&request, deed == Deed::Decline, via).await {
                Ok(reply) => reply.after(deed),
                Err(error) => broken(error),
            }
        };
        self.unhurried(work).await
    }

    async fn refund_now(
        &self,
        request: &RefundPayment,
        decline: bool,
        via: &str,
    ) -> sqlx::Result<Reply<Outcome>> {
        let fault =
            |word: &str, text: &str| Ok(Reply::Fault(Fault::typed(FaultCode::Client, word, text)));
        let money = match money(&request.currency, request.amount) {
            Ok(money) => money,
            Err(fault) => return Ok(Reply::Fault(fault)),
        };
        let (by_id, by_order) = (request.transaction_id.as_deref(), request.order_id.as_deref());
        if by_id.is_none() && by_order.is_none() {
            return fault("INVALID_REQUEST", "transactionId: or orderId is required");
        }
        let mut tx = self.ctx.pool.begin().await?;
        let Some(charge) = ledger::lock_charge(&mut tx, by_id, by_order).await? else {
            return fault("UNKNOWN_TRANSACTION", "there is no such approved charge");
        };
        if charge.currency != money.currency {
            return fault("INVALID_REQUEST", "currency: is not that of the charge");
        }
        let refunded = ledger::refunded_minor(&mut tx, &charge.transaction_id).await?;
        if money.minor > charge.amount_minor - refunded {
            return fault("REFUND_EXCEEDS_CHARGE", "more than what is left of the charge");
        }
        let status = if decline { Status::Declined } else { Status::Approved };
        let decline_reason = decline.then_some("refund_declined");
        let transaction_id = transaction_id();
        let new = NewEntry {
            transaction_id: &transaction_id,
            order_id: &charge.order_id,
            refund: true,
            status,
            decline_reason,
            money,
            attempt_id: None,
            refund_id: request.refund_id.as_deref(),
            refund_of: Some(&charge.transaction_id),
            via,
            now: self.ctx.clock.now(),
        };
        ledger::add(&mut tx, &new).await?;
        tx.commit().await?;
        let decline_reason = decline_reason.map(str::to_owned);
        Ok(Reply::Answer(Outcome { transaction_id, status, decline_reason }))
    }
}

fn money(currency: &str, amount: shared_types::Amount) -> Result<Money, Fault> {
    let currency: Currency =
        currency.parse().map_err(|e| Fault::invalid(format!("currency: {e}")))?;
    let money = amount.in_currency(currency).map_err(|e| Fault::invalid(format!("amount: {e}")))?;
    match money.minor > 0 {
        true => Ok(money),
        false => Err(Fault::invalid("amount: must be above zero")),
    }
}

fn transaction_id() -> String {
    format!("txn_{}", Uuid::now_v7().simple())
}
