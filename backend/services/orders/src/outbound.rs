//! Calls that leave the service: each with a time limit, a limit on how many
//! are under way, and a breaker.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{CartClient, CatalogClient, PaymentsClient, StockClient};
use platform::Clock;
use platform::resilience::{Breaker, BreakerRules};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use crate::Clients;
use crate::config::OrdersConfig;

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The callee is away, broken or too slow; whether it acted is not known.
    #[error("away: {0}")]
    Away(String),
    /// The callee understood and would not.
    #[error("refused: {0}")]
    Refused(Status),
}

/// The way to one callee.
#[derive(Clone)]
pub struct Gate {
    breaker: Breaker,
    permits: Arc<Semaphore>,
}

impl Gate {
    fn new(name: &'static str, clock: &Clock, max_calls: usize) -> Self {
        Gate {
            breaker: Breaker::new(name, clock.clone(), BreakerRules::in_house()),
            permits: Arc::new(Semaphore::new(max_calls)),
        }
    }

    /// Waits at most `limit` for the answer of `call`.
    pub async fn call<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, CallError> {
        if !self.breaker.admits() {
            return Err(CallError::Away("the breaker is open".to_owned()));
        }
        let work = async {
            let _permit =
                self.permits.acquire().await.map_err(|_| Status::unavailable("closed"))?;
            call.await
        };
        let answer = tokio::time::timeout(limit, work).await;
        match answer {
            Ok(Ok(answer)) => {
                self.breaker.succeeded();
                Ok(answer)
            }
            Ok(Err(status)) if is_unwilling(status.code()) => {
                self.breaker.succeeded();
                Err(CallError::Refused(status))
            }
            Ok(Err(status)) => {
                self.breaker.failed();
                Err(CallError::Away(status.to_string()))
            }
            Err(_) => {
                self.breaker.failed();
                Err(CallError::Away("no answer in time".to_owned()))
            }
        }
    }
}

/// Whether a status is a considered answer rather than a failure.
fn is_unwilling(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition | Code::AlreadyExists
    )
}

/// Everybody whom orders call.
#[derive(Clone)]
pub struct Outbound {
    pub stock: Arc<dyn StockClient>,
    pub payments: Arc<dyn PaymentsClient>,
    pub catalog: Arc<dyn CatalogClient>,
    pub cart: Arc<dyn CartClient>,
    pub stock_gate: Gate,
    pub payments_gate: Gate,
    pub catalog_gate: Gate,
    pub cart_gate: Gate,
    pub call_limit: Duration,
    pub reserve_limit: Duration,
    pub capture_limit: Duration,
}

impl Outbound {
    pub fn new(clients: Clients, clock: &Clock, config: &OrdersConfig) -> Self {
        let gate = |name| Gate::new(name, clock, config.max_calls);
        Outbound {
            stock: clients.stock,
            payments: clients.payments,
            catalog: clients.catalog,
            cart: clients.cart,
            stock_gate: gate("orders.stock"),
            payments_gate: gate("orders.payments"),
            catalog_gate: gate("orders.catalog"),
            cart_gate: gate("orders.cart"),
            call_limit: Duration::from_millis(config.call_timeout_ms),
            reserve_limit: Duration::from_millis(config.reserve_timeout_ms),
            capture_limit: Duration::from_millis(config.capture_timeout_ms),
        }
    }
}
