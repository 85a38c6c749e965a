//! The REST gateway: the fallback, over the same ledger.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use shared_types::OrderId;

use super::soap::{transaction, verdict};
use super::transport::{Answer, Transport};
use super::{Charge, Decided, Giveback, Provider, Trouble};
use crate::config::Gateway;
use crate::domain::{Transaction, decline_code};
use crate::rest_messages::{ChargeBody, OutcomeBody, ProblemBody, RefundBody, TransactionsBody};

pub struct RestProvider {
    transport: Transport,
    url: String,
}

impl RestProvider {
    pub fn new(gateway: &Gateway) -> anyhow::Result<Self> {
        let url = gateway.url.trim_end_matches('/').to_owned();
        Ok(RestProvider { transport: Transport::new(gateway)?, url })
    }

    async fn post<B: serde::Serialize>(&self, path: &str, body: &B) -> Result<Decided, Trouble> {
        let request = self.transport.client().post(format!("{}{path}", self.url)).json(body);
        let outcome: OutcomeBody = read(self.transport.send(request).await?)?;
        let status = outcome.status()?;
        let verdict = verdict(status, outcome.decline_reason.as_deref());
        Ok(Decided { transaction_id: outcome.transaction_id, verdict })
    }
}

/// Only the gateway's own problem documents say that nothing was done.
fn read<A: DeserializeOwned>(answer: Answer) -> Result<A, Trouble> {
    let status = answer.status;
    let problem = || serde_json::from_slice::<ProblemBody>(&answer.body).ok();
    match status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|e| Trouble::Unknown(format!("HTTP 200: {e}"))),
        503 if problem().is_some_and(|p| p.code == "GATEWAY_UNAVAILABLE") => {
            Err(Trouble::Undone("the gateway cannot take payments now".to_owned()))
        }
        400..=499 => match problem() {
            Some(p) => Err(Trouble::Refused { code: decline_code(Some(&p.code)), why: p.message }),
            None => Err(Trouble::Unknown(format!("HTTP {status}"))),
        },
        _ => Err(Trouble::Unknown(format!("HTTP {status}"))),
    }
}

#[async_trait]
impl Provider for RestProvider {
    fn name(&self) -> &'static str {
        "rest"
    }

    async fn charge(&self, charge: &Charge) -> Result<Decided, Trouble> {
        let body = ChargeBody {
            order_id: charge.order_id.to_string(),
            amount: charge.money.amount(),
            currency: charge.money.currency.to_string(),
            payment_token: Some(charge.token.reveal().to_owned()),
            attempt_id: Some(charge.attempt_id.to_string()),
        };
        self.post("", &body).await
    }

    async fn transactions(&self, order_id: OrderId) -> Result<Vec<Transaction>, Trouble> {
        let request = self.transport.client().get(format!("{}/{order_id}", self.url));
        let answer: TransactionsBody = read(self.transport.send(request).await?)?;
        let list = answer.transactions.into_iter();
        list.map(|t| t.message().and_then(transaction)).collect()
    }

    async fn refund(&self, giveback: &Giveback) -> Result<Decided, Trouble> {
        let body = RefundBody {
            transaction_id: Some(giveback.charge_transaction_id.clone()),
            order_id: Some(giveback.order_id.to_string()),
            amount: giveback.money.amount(),
            currency: giveback.money.currency.to_string(),
            refund_id: Some(giveback.refund_id.to_string()),
        };
        self.post("/refunds", &body).await
    }
}
