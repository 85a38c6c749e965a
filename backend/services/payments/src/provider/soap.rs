//! The legacy SOAP gateway.

use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use shared_types::{Currency, OrderId};

use super::transport::{Answer, Transport};
use super::{Charge, Decided, Giveback, Provider, Trouble};
use crate::config::Gateway;
use crate::domain::{Transaction, TransactionKind, Verdict, decline_code};
use crate::soap::envelope::{self, Body, Fault, FaultCode};
use crate::soap::messages::{
    self, GetPaymentStatus, GetPaymentStatusResponse, Message, Outcome, ProcessPayment,
    ProcessPaymentResponse, RefundPayment, RefundPaymentResponse, Status,
};
use crate::soap::xml::Limits;
use crate::soap::{self, PAYMENT_NS};

pub struct SoapProvider {
    transport: Transport,
    url: String,
}

impl SoapProvider {
    pub fn new(gateway: &Gateway) -> anyhow::Result<Self> {
        Ok(SoapProvider { transport: Transport::new(gateway)?, url: gateway.url.clone() })
    }

    async fn call<Q: Message, A: Message>(&self, message: &Q) -> Result<A, Trouble> {
        let bytes = envelope::write(message.to_element())
            .map_err(|e| Trouble::not_sent(format!("writing the message: {e}")))?;
        let request = self
            .transport
            .client()
            .post(&self.url)
            .header(CONTENT_TYPE, soap::CONTENT_TYPE)
            .header("SOAPAction", format!("\"{PAYMENT_NS}/{}\"", Q::NAME))
            .body(bytes);
        read(self.transport.send(request).await?)
    }
}

/// What an answer means. Anything that is not clearly an answer leaves the
/// outcome unknown.
fn read<A: Message>(answer: Answer) -> Result<A, Trouble> {
    let unknown = |why: String| Err(Trouble::Unknown(why));
    let status = answer.status;
    if !answer.content_type.to_ascii_lowercase().starts_with("text/xml") {
        return unknown(format!("HTTP {status} with {:?}, not XML", answer.content_type));
    }
    match envelope::read(&answer.body, Limits::ANSWER) {
        Err(error) => unknown(format!("HTTP {status}: {error}")),
        // A fault counts as one whatever the status says.
        Ok(Body::Fault(fault)) => Err(of_fault(fault)),
        Ok(Body::Message(_)) if status != 200 => unknown(format!("HTTP {status} with a message")),
        Ok(Body::Message(element)) => {
            A::from_element(&element).or_else(|e| unknown(format!("HTTP {status}: {e}")))
        }
    }
}

/// Only a typed fault comes from the gateway itself and says that nothing was
/// done; any other may come from something in between.
fn of_fault(fault: Fault) -> Trouble {
    match (fault.code, fault.detail) {
        (FaultCode::Server, Some(detail)) if detail.code == "GATEWAY_UNAVAILABLE" => {
            Trouble::Undone(detail.message)
        }
        (FaultCode::Client, Some(detail)) => {
            Trouble::Refused { code: decline_code(Some(&detail.code)), why: detail.message }
        }
        (FaultCode::VersionMismatch | FaultCode::MustUnderstand, _) => {
            Trouble::Refused { code: "not_understood".to_owned(), why: fault.text }
        }
        _ => Trouble::Unknown(format!("an untyped fault: {}", fault.text)),
    }
}

fn decided(outcome: Outcome) -> Decided {
    let verdict = verdict(outcome.status, outcome.decline_reason.as_deref());
    Decided { transaction_id: outcome.transaction_id, verdict }
}

pub(super) fn verdict(status: Status, reason: Option<&str>) -> Verdict {
    match status {
        Status::Approved => Verdict::Approved,
        Status::Declined => Verdict::Declined(decline_code(reason)),
        Status::RequiresAction => Verdict::Declined("requires_action".to_owned()),
    }
}

/// A transaction in our words; one that cannot be read makes the whole list
/// unusable, because it might be the one looked for.
pub(super) fn transaction(from: messages::Transaction) -> Result<Transaction, Trouble> {
    let currency: Result<Currency, _> = from.currency.parse();
    let money = currency
        .map_err(|e| e.to_string())
        .and_then(|currency| from.amount.in_currency(currency).map_err(|e| e.to_string()));
    let money = money.map_err(|e| Trouble::Unknown(format!("a transaction's amount {e}")))?;
    Ok(Transaction {
        verdict: verdict(from.status, from.decline_reason.as_deref()),
        kind: if from.refund { TransactionKind::Refund } else { TransactionKind::Charge },
        transaction_id: from.transaction_id,
        money,
        reference: if from.refund { from.refund_id } else { from.attempt_id },
    })
}

#[async_trait]
impl Provider for SoapProvider {
    fn name(&self) -> &'static str {
        "soap"
    }

    async fn charge(&self, charge: &Charge) -> Result<Decided, Trouble> {
        let message = ProcessPayment {
            order_id: charge.order_id.to_string(),
            amount: charge.money.amount(),
            currency: charge.money.currency.to_string(),
            payment_token: Some(charge.token.reveal().to_owned()),
            attempt_id: Some(charge.attempt_id.to_string()),
        };
        self.call::<_, ProcessPaymentResponse>(&message).await.map(|r| decided(r.0))
    }

    async fn transactions(&self, order_id: OrderId) -> Result<Vec<Transaction>, Trouble> {
        let message = GetPaymentStatus { order_id: order_id.to_string() };
        let answer: GetPaymentStatusResponse = self.call(&message).await?;
        answer.transactions.into_iter().map(transaction).collect()
    }

    async fn refund(&self, giveback: &Giveback) -> Result<Decided, Trouble> {
        let message = RefundPayment {
            transaction_id: Some(giveback.charge_transaction_id.clone()),
            order_id: Some(giveback.order_id.to_string()),
            amount: giveback.money.amount(),
            currency: giveback.money.currency.to_string(),
            refund_id: Some(giveback.refund_id.to_string()),
        };
        self.call::<_, RefundPaymentResponse>(&message).await.map(|r| decided(r.0))
    }
}
