//! Limits around an adapter: bulkhead, breaker, metrics.

use std::future::Future;
use std::time::{Duration, Instant};

use platform::Clock;
use platform::resilience::{Breaker, BreakerRules};
use shared_types::OrderId;
use tokio::sync::Semaphore;

use super::{CallRow, Charge, Decided, Giveback, Provider, Trouble};
use crate::config::Gateway;
use crate::domain::{Transaction, Verdict, masked};

/// An adapter that is called no more often at once than allowed, and not at
/// all while its breaker is open.
pub struct Guarded {
    provider: Box<dyn Provider>,
    breaker: Breaker,
    bulkhead: Semaphore,
    queue_timeout: Duration,
    clock: Clock,
}

impl Guarded {
    pub fn new(
        provider: Box<dyn Provider>,
        breaker: &'static str,
        gateway: &Gateway,
        clock: Clock,
    ) -> Self {
        Guarded {
            provider,
            breaker: Breaker::new(breaker, clock.clone(), BreakerRules::default()),
            bulkhead: Semaphore::new(gateway.concurrency),
            queue_timeout: gateway.queue_timeout(),
            clock,
        }
    }

    pub fn name(&self) -> &'static str {
        self.provider.name()
    }

    /// Never sends after `send_before`: whoever takes over relies on it.
    pub async fn charge(
        &self,
        charge: &Charge,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        let about = format!(
            "order {} amount {} attempt {} token ***",
            charge.order_id, charge.money, charge.attempt_id
        );
        let call = self.provider.charge(charge);
        self.guarded("process_payment", about, Some(send_before), call, said).await
    }

    pub async fn refund(
        &self,
        giveback: &Giveback,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        let about = format!(
            "order {} amount {} refund {} of {}",
            giveback.order_id, giveback.money, giveback.refund_id, giveback.charge_transaction_id
        );
        let call = self.provider.refund(giveback);
        self.guarded("refund_payment", about, Some(send_before), call, said).await
    }

    pub async fn transactions(
        &self,
        order_id: OrderId,
    ) -> (Result<Vec<Transaction>, Trouble>, CallRow) {
        let call = self.provider.transactions(order_id);
        let words = |list: &Vec<Transaction>| ("listed", format!("{} transactions", list.len()));
        self.guarded("get_payment_status", format!("order {order_id}"), None, call, words).await
    }

    async fn guarded<T>(
        &self,
        operation: &'static str,
        about: String,
        send_before: Option<Instant>,
        call: impl Future<Output = Result<T, Trouble>>,
        words: impl FnOnce(&T) -> (&'static str, String),
    ) -> (Result<T, Trouble>, CallRow) {
        let (started_at, started) = (self.clock.now(), Instant::now());
        let result = self.admitted(send_before, call).await;
        let (outcome, answer) = match &result {
            Ok(value) => words(value),
            Err(Trouble::NotSent { why, gate: true }) => ("held_back", why.clone()),
            Err(Trouble::NotSent { why, gate: false }) => ("not_sent", masked(why)),
            Err(Trouble::Undone(why)) => ("fault", masked(why)),
            Err(Trouble::Refused { code, why }) => ("refused", masked(&format!("{code} {why}"))),
            Err(Trouble::Unknown(why)) => ("unknown", masked(why)),
        };
        let duration = started.elapsed();
        let provider = self.name();
        if send_before.is_some() {
            metrics::counter!("payment_attempts_total", "provider" => provider, "outcome" => outcome)
                .increment(1);
        }
        metrics::histogram!(
            "payment_provider_duration_seconds", "provider" => provider, "operation" => operation
        )
        .record(duration.as_secs_f64());
        tracing::debug!(provider, operation, outcome, "provider call");
        let message = format!("{about} -> {answer}");
        (result, CallRow { provider, operation, outcome, message, started_at, duration })
    }

    async fn admitted<T>(
        &self,
        send_before: Option<Instant>,
        call: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let permit = tokio::time::timeout(self.queue_timeout, self.bulkhead.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(Trouble::held_back("too many calls")) };
        if send_before.is_some_and(|end| Instant::now() >= end) {
            return Err(Trouble::held_back("the time to send is over"));
        }
        if !self.breaker.admits() {
            return Err(Trouble::held_back("the breaker is open"));
        }
        let result = call.await;
        match &result {
            // A refusal is an answer: the provider works.
            Ok(_) | Err(Trouble::Refused { .. }) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(),
        }
        result
    }
}

fn said(decided: &Decided) -> (&'static str, String) {
    match &decided.verdict {
        Verdict::Approved => ("approved", format!("{} approved", decided.transaction_id)),
        Verdict::Declined(code) => ("declined", format!("{} {code}", decided.transaction_id)),
    }
}
