//! What a payment provider can do, whichever it is.

mod guard;
mod rest;
mod soap;
mod transport;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use platform::Clock;
use shared_types::{AttemptId, Money, OrderId, RefundId, Timestamp};

pub use guard::Guarded;

use crate::config::Settings;
use crate::domain::{Token, Transaction, Verdict};

/// An order's money to be taken.
#[derive(Clone, Debug)]
pub struct Charge {
    pub order_id: OrderId,
    pub attempt_id: AttemptId,
    pub money: Money,
    pub token: Token,
}

/// Money to be given back.
#[derive(Clone, Debug)]
pub struct Giveback {
    pub order_id: OrderId,
    pub refund_id: RefundId,
    pub money: Money,
    /// The charge, in the provider's words.
    pub charge_transaction_id: String,
}

/// A provider's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub transaction_id: String,
    pub verdict: Verdict,
}

/// How a call ended without an answer that decides. What matters is whether
/// money may have moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing left this process. `gate`: we held it back ourselves.
    NotSent { why: String, gate: bool },
    /// The provider says that it did nothing, and that the call may be repeated.
    Undone(String),
    /// The provider refuses the call for good and did nothing.
    Refused { code: String, why: String },
    /// Sent, and no usable answer came: money may have moved.
    Unknown(String),
}

impl Trouble {
    pub fn not_sent(why: impl Into<String>) -> Self {
        Trouble::NotSent { why: why.into(), gate: false }
    }

    pub fn held_back(why: &str) -> Self {
        Trouble::NotSent { why: why.to_owned(), gate: true }
    }
}

/// An adapter. Calls are single tries: retries, breaker and limits are around.
#[async_trait]
pub trait Provider: Send + Sync {
    fn name(&self) -> &'static str;
    async fn charge(&self, charge: &Charge) -> Result<Decided, Trouble>;
    /// Every transaction of the order.
    async fn transactions(&self, order_id: OrderId) -> Result<Vec<Transaction>, Trouble>;
    async fn refund(&self, giveback: &Giveback) -> Result<Decided, Trouble>;
}

/// What came of one call, for the row about it.
#[derive(Clone, Debug)]
pub struct CallRow {
    pub provider: &'static str,
    pub operation: &'static str,
    pub outcome: &'static str,
    pub message: String,
    pub started_at: Timestamp,
    pub duration: Duration,
}

/// The gateways that share one ledger: the primary and its fallback.
pub struct Gateways {
    pub primary: Guarded,
    pub fallback: Option<Guarded>,
}

impl Gateways {
    pub fn new(settings: &Settings, clock: &Clock) -> anyhow::Result<Self> {
        let soap = Box::new(soap::SoapProvider::new(&settings.soap)?);
        let primary = Guarded::new(soap, "payment_soap", &settings.soap, clock.clone());
        let fallback = match settings.rest_gateway() {
            Some(gateway) => {
                let rest = Box::new(rest::RestProvider::new(&gateway)?);
                Some(Guarded::new(rest, "payment_rest", &gateway, clock.clone()))
            }
            None => None,
        };
        Ok(Gateways { primary, fallback })
    }

    /// Asks for the transactions of an order, through whichever answers: the
    /// ledger is one.
    pub async fn transactions(
        &self,
        order_id: OrderId,
    ) -> (Result<Vec<Transaction>, Trouble>, Vec<CallRow>) {
        let (first, row) = self.primary.transactions(order_id).await;
        let mut rows = vec![row];
        let (Err(_), Some(fallback)) = (&first, &self.fallback) else { return (first, rows) };
        let (second, row) = fallback.transactions(order_id).await;
        rows.push(row);
        (second, rows)
    }

    /// Gives money back through the primary, or the fallback when the primary
    /// was certainly not reached.
    pub async fn refund(
        &self,
        giveback: &Giveback,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, Vec<CallRow>) {
        let (first, row) = self.primary.refund(giveback, send_before).await;
        let mut rows = vec![row];
        let (Err(Trouble::NotSent { .. }), Some(fallback)) = (&first, &self.fallback) else {
            return (first, rows);
        };
        let (second, row) = fallback.refund(giveback, send_before).await;
        rows.push(row);
        (second, rows)
    }
}
