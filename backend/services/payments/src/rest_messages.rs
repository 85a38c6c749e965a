//! The JSON of the REST gateway, both ways.

use serde::{Deserialize, Serialize};
use shared_types::Amount;

use crate::provider::Trouble;
use crate::soap::messages::{Outcome, Status, Transaction};

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeBody {
    pub order_id: String,
    pub amount: Amount,
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    pub amount: Amount,
    pub currency: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeBody {
    pub transaction_id: String,
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline_reason: Option<String>,
}

impl OutcomeBody {
    pub fn of(outcome: Outcome) -> Self {
        OutcomeBody {
            transaction_id: outcome.transaction_id,
            status: outcome.status.word().to_owned(),
            decline_reason: outcome.decline_reason,
        }
    }

    pub fn status(&self) -> Result<Status, Trouble> {
        Status::parse(&self.status)
            .ok_or_else(|| Trouble::Unknown("the status is not known".to_owned()))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TransactionsBody {
    pub transactions: Vec<TransactionBody>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionBody {
    pub transaction_id: String,
    pub kind: String,
    pub status: String,
    pub amount: Amount,
    pub currency: String,
    #[serde(default)]
    pub decline_reason: Option<String>,
    #[serde(default)]
    pub attempt_id: Option<String>,
    #[serde(default)]
    pub refund_id: Option<String>,
    #[serde(default)]
    pub refund_of: Option<String>,
    #[serde(default)]
    pub at: Option<String>,
}

impl TransactionBody {
    pub fn of(from: Transaction) -> Self {
        TransactionBody {
            transaction_id: from.transaction_id,
            kind: if from.refund { "REFUND" } else { "CHARGE" }.to_owned(),
            status: from.status.word().to_owned(),
            amount: from.amount,
            currency: from.currency,
            decline_reason: from.decline_reason,
            attempt_id: from.attempt_id,
            refund_id: from.refund_id,
            refund_of: from.refund_of,
            at: from.at,
        }
    }

    pub fn message(self) -> Result<Transaction, Trouble> {
        let unknown = |what: &str| Trouble::Unknown(format!("a transaction's {what} is not known"));
        let refund = match self.kind.as_str() {
            "CHARGE" => false,
            "REFUND" => true,
            _ => return Err(unknown("kind")),
        };
        Ok(Transaction {
            transaction_id: self.transaction_id,
            refund,
            status: Status::parse(&self.status).ok_or_else(|| unknown("status"))?,
            decline_reason: self.decline_reason,
            amount: self.amount,
            currency: self.currency,
            attempt_id: self.attempt_id,
            refund_id: self.refund_id,
            refund_of: self.refund_of,
            at: self.at,
        })
    }
}

/// A refusal: the gateway did nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProblemBody {
    pub code: String,
    pub message: String,
}
