//! A provider that speaks Stripe's API: PaymentIntents, refunds, search.
//!
//! Every call that moves money carries an `Idempotency-Key`, so that even a
//! repeat that should not be cannot charge twice.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared_types::{Currency, OrderId};

use super::transport::{Answer, Transport};
use super::{Charge, Decided, FollowUp, Giveback, Provider, Trouble, Units};
use crate::config::providers::StripeSettings;
use crate::domain::{Transaction, TransactionKind, Verdict, decline_code, masked};

pub struct StripeProvider {
    transport: Transport,
    url: String,
    secret_key: String,
}

/// The version whose shapes are read here.
const VERSION: &str = "2024-06-20";

#[derive(Debug, Deserialize)]
pub struct PaymentIntent {
    pub id: String,
    pub status: String,
    pub amount: i64,
    #[serde(default)]
    pub amount_received: i64,
    pub currency: String,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    last_payment_error: Option<Fault>,
    #[serde(default)]
    next_action: Option<NextAction>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    #[serde(default)]
    redirect_to_url: Option<RedirectTo>,
}

#[derive(Debug, Deserialize)]
struct RedirectTo {
    #[serde(default)]
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct StripeRefund {
    pub id: String,
    pub status: String,
    pub amount: i64,
    pub currency: String,
    #[serde(default)]
    pub metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub failure_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: Fault,
}

#[derive(Debug, Default, Deserialize)]
struct Fault {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    payment_intent: Option<Box<PaymentIntent>>,
}

impl Fault {
    /// The bank's word where there is one.
    fn word(&self) -> String {
        let (code, bank) = (self.code.as_deref(), self.decline_code.as_deref());
        match [code, bank].contains(&Some("authentication_required")) {
            true => "requires_action".to_owned(),
            false => decline_code(bank.or(code)),
        }
    }
}

#[derive(Debug, Deserialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

impl PaymentIntent {
    /// What its status says.
    pub fn verdict(&self) -> Verdict {
        let action = || {
            let redirect = self.next_action.as_ref()?.redirect_to_url.as_ref()?;
            redirect.url.clone()
        };
        match self.status.as_str() {
            "succeeded" => Verdict::Approved,
            "requires_capture" => Verdict::Authorized,
            "canceled" => Verdict::Canceled,
            "requires_action" => Verdict::ActionRequired(action().unwrap_or_default()),
            "requires_payment_method" | "requires_confirmation" => {
                let error = self.last_payment_error.as_ref();
                Verdict::Declined(error.map_or_else(|| decline_code(None), Fault::word))
            }
            // `processing`, and whatever comes after this was written.
            _ => Verdict::Received,
        }
    }

    fn decided(self) -> Decided {
        Decided { verdict: self.verdict(), transaction_id: self.id }
    }

    fn transaction(self) -> Result<Transaction, Trouble> {
        let verdict = self.verdict();
        let units = if verdict == Verdict::Approved { self.amount_received } else { self.amount };
        Ok(Transaction {
            money: money(units, &self.currency)?,
            kind: TransactionKind::Charge,
            verdict,
            reference: self.metadata.get("attempt_id").cloned(),
            transaction_id: self.id,
        })
    }
}

impl StripeRefund {
    pub fn verdict(&self) -> Verdict {
        match self.status.as_str() {
            "succeeded" => Verdict::Approved,
            "failed" | "canceled" => {
                let code = self.failure_reason.as_deref().unwrap_or("refund_failed");
                Verdict::Declined(decline_code(Some(code)))
            }
            _ => Verdict::Received,
        }
    }

    pub fn reference(&self) -> Option<&String> {
        self.metadata.as_ref().and_then(|m| m.get("refund_id"))
    }

    fn transaction(self) -> Result<Transaction, Trouble> {
        Ok(Transaction {
            money: money(self.amount, &self.currency)?,
            kind: TransactionKind::Refund,
            verdict: self.verdict(),
            reference: self.reference().cloned(),
            transaction_id: self.id,
        })
    }
}

fn money(units: i64, currency: &str) -> Result<shared_types::Money, Trouble> {
    let currency: Option<Currency> = currency.to_ascii_uppercase().parse().ok();
    currency
        .and_then(|currency| Units::Stripe.read(units, currency))
        .ok_or_else(|| Trouble::Unknown("a transaction's amount cannot be read".to_owned()))
}

type Form = Vec<(&'static str, String)>;

impl StripeProvider {
    pub fn new(settings: &StripeSettings) -> anyhow::Result<Self> {
        Ok(StripeProvider {
            transport: Transport::new(&settings.gateway())?,
            url: settings.url.trim_end_matches('/').to_owned(),
            secret_key: settings.secret_key.clone(),
        })
    }

    async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        form: &Form,
    ) -> Result<A, Trouble> {
        let request = self.transport.client().post(format!("{}/v1{path}", self.url));
        let request = request.bearer_auth(&self.secret_key).header("Stripe-Version", VERSION);
        let request = request.header("Idempotency-Key", key).form(form);
        read(self.transport.send(request).await?)
    }

    async fn get<A: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<A, Trouble> {
        let request = self.transport.client().get(format!("{}/v1{path}", self.url));
        let request = request.bearer_auth(&self.secret_key).header("Stripe-Version", VERSION);
        read(self.transport.send(request.query(query)).await?)
    }

    async fn intent(&self, path: &str, key: &str, form: &Form) -> Result<Decided, Trouble> {
        match self.post::<PaymentIntent>(path, key, form).await {
            Ok(intent) => Ok(intent.decided()),
            Err(Trouble::Refused { code, why }) => match why.strip_prefix(DECLINED) {
                Some(id) => {
                    Ok(Decided { transaction_id: id.to_owned(), verdict: Verdict::Declined(code) })
                }
                None => Err(Trouble::Refused { code, why }),
            },
            Err(other) => Err(other),
        }
    }
}

/// Marks a refusal that is the bank's, with the payment's id behind it.
const DECLINED: &str = "declined:";

/// Anything that is not clearly an answer leaves the outcome unknown.
fn read<A: DeserializeOwned>(answer: Answer) -> Result<A, Trouble> {
    let status = answer.status;
    if status == 200 {
        return serde_json::from_slice(&answer.body)
            .map_err(|e| Trouble::Unknown(format!("HTTP 200: {e}")));
    }
    let error = serde_json::from_slice::<ErrorBody>(&answer.body).map(|body| body.error);
    match (status, error) {
        (401 | 403, _) => Err(Trouble::Undone("the provider does not accept our key".to_owned())),
        // Turned away before it was looked at.
        (429, _) => Err(Trouble::Undone("the provider takes no more calls now".to_owned())),
        (402, Ok(fault)) if fault.kind == "card_error" => {
            let id = fault.payment_intent.as_ref().map_or("", |intent| intent.id.as_str());
            Err(Trouble::Refused { code: fault.word(), why: format!("{DECLINED}{id}") })
        }
        // The first call with this key still runs.
        (409, _) => Err(Trouble::Unknown("the same call is under way".to_owned())),
        (400..=499, Ok(fault)) => {
            let code = decline_code(fault.code.as_deref().or(Some(&fault.kind)));
            let why = masked(fault.message.as_deref().unwrap_or_default());
            Err(Trouble::Refused { code, why })
        }
        _ => Err(Trouble::Unknown(format!("HTTP {status}"))),
    }
}

#[async_trait]
impl Provider for StripeProvider {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn two_steps(&self) -> bool {
        true
    }

    async fn charge(&self, charge: &Charge) -> Result<Decided, Trouble> {
        let units = Units::Stripe.of(charge.money)?;
        let mut form: Form = vec![
            ("amount", units.to_string()),
            ("currency", charge.money.currency.code().to_ascii_lowercase()),
            ("confirm", "true".to_owned()),
            ("capture_method", if charge.manual { "manual" } else { "automatic" }.to_owned()),
            ("payment_method_types[]", "card".to_owned()),
            ("payment_method_data[type]", "card".to_owned()),
            ("payment_method_data[card][token]", charge.token.reveal().to_owned()),
            ("metadata[order_id]", charge.order_id.to_string()),
            ("metadata[attempt_id]", charge.attempt_id.to_string()),
        ];
        match &charge.return_url {
            Some(url) => form.push(("return_url", url.clone())),
            // Nobody could follow: such a card is declined instead.
            None => form.push(("error_on_requires_action", "true".to_owned())),
        }
        self.intent("/payment_intents", &charge.attempt_id.to_string(), &form).await
    }

    async fn transactions(&self, order_id: OrderId) -> Result<Vec<Transaction>, Trouble> {
        let cut = || Trouble::Unknown("more transactions than are read".to_owned());
        let query = format!("metadata['order_id']:'{order_id}'");
        let search = [("query", query.as_str()), ("limit", "100")];
        let found: List<PaymentIntent> = self.get("/payment_intents/search", &search).await?;
        if found.has_more {
            return Err(cut());
        }
        let mut all = Vec::new();
        for intent in found.data {
            let (id, captured) = (intent.id.clone(), intent.status == "succeeded");
            all.push(intent.transaction()?);
            if !captured {
                continue;
            }
            let query = [("payment_intent", id.as_str()), ("limit", "100")];
            let refunds: List<StripeRefund> = self.get("/refunds", &query).await?;
            if refunds.has_more {
                return Err(cut());
            }
            for refund in refunds.data {
                all.push(refund.transaction()?);
            }
        }
        Ok(all)
    }

    async fn refund(&self, giveback: &Giveback) -> Result<Decided, Trouble> {
        let form: Form = vec![
            ("payment_intent", giveback.charge_transaction_id.clone()),
            ("amount", Units::Stripe.of(giveback.money)?.to_string()),
            ("metadata[order_id]", giveback.order_id.to_string()),
            ("metadata[refund_id]", giveback.refund_id.to_string()),
        ];
        let key = giveback.refund_id.to_string();
        let refund: StripeRefund = self.post("/refunds", &key, &form).await?;
        Ok(Decided { verdict: refund.verdict(), transaction_id: refund.id })
    }

    async fn capture(&self, step: &FollowUp) -> Result<Decided, Trouble> {
        let form = vec![("amount_to_capture", Units::Stripe.of(step.money)?.to_string())];
        let path = format!("/payment_intents/{}/capture", step.transaction_id);
        self.intent(&path, &step.attempt_id.to_string(), &form).await
    }

    async fn void(&self, step: &FollowUp) -> Result<Decided, Trouble> {
        let path = format!("/payment_intents/{}/cancel", step.transaction_id);
        self.intent(&path, &step.attempt_id.to_string(), &Form::new()).await
    }

    async fn proceed(&self, step: &FollowUp, _: Option<&str>) -> Result<Decided, Trouble> {
        let path = format!("/payment_intents/{}", step.transaction_id);
        self.get::<PaymentIntent>(&path, &[]).await.map(PaymentIntent::decided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<PaymentIntent, Trouble> {
        let content_type = "application/json".to_owned();
        read(Answer { status, content_type, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn only_clear_answers_decide() {
        let intent = r#"{"id":"pi_1","status":"STATUS","amount":500,"currency":"usd"}"#;
        for (status, verdict) in [
            ("succeeded", Verdict::Approved),
            ("requires_capture", Verdict::Authorized),
            ("canceled", Verdict::Canceled),
            ("processing", Verdict::Received),
            ("from_the_future", Verdict::Received),
            ("requires_payment_method", Verdict::Declined("card_declined".into())),
        ] {
            let intent = answer(200, &intent.replace("STATUS", status)).unwrap();
            assert_eq!(intent.verdict(), verdict, "{status}");
        }
        for (status, body) in
            [(200, "<html>"), (500, "{}"), (503, ""), (409, "{}"), (400, "<p>"), (302, "")]
        {
            let result = answer(status, body);
            assert!(matches!(result, Err(Trouble::Unknown(_))), "{status} {result:?}");
        }
        for status in [401, 429] {
            assert!(matches!(answer(status, "{}"), Err(Trouble::Undone(_))), "{status}");
        }
    }

    #[test]
    fn the_banks_word_is_the_decline_code() {
        let body = r#"{"error":{"type":"card_error","code":"card_declined",
            "decline_code":"insufficient_funds","payment_intent":{"id":"pi_9",
            "status":"requires_payment_method","amount":1,"currency":"usd"}}}"#;
        let Err(Trouble::Refused { code, why }) = answer(402, body) else { panic!() };
        assert_eq!((code.as_str(), why.as_str()), ("insufficient_funds", "declined:pi_9"));
        let body = r#"{"error":{"type":"invalid_request_error","message":"No such token tok_x"}}"#;
        let Err(Trouble::Refused { code, why }) = answer(400, body) else { panic!() };
        assert_eq!(code, "invalid_request_error");
        assert!(!why.contains("tok_x"), "{why}");
    }
}
