//! A provider that speaks Adyen's Checkout API: payments, captures, cancels,
//! refunds.
//!
//! It cannot be asked what became of something: it answers a repeat with the
//! same `Idempotency-Key` as it answered the first, and it sends notifications.
//! Captures, cancels and refunds are only taken in; notifications decide them.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use shared_types::{Money, OrderId};

use super::transport::{Answer, Transport};
use super::{Charge, Decided, FollowUp, Giveback, Provider, Trouble, Units};
use crate::config::providers::AdyenSettings;
use crate::domain::{Transaction, Verdict, decline_code, masked};

pub struct AdyenProvider {
    transport: Transport,
    url: String,
    api_key: String,
    merchant_account: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PaymentResponse {
    #[serde(default)]
    psp_reference: Option<String>,
    result_code: String,
    #[serde(default)]
    refusal_reason: Option<String>,
    #[serde(default)]
    refusal_reason_code: Option<String>,
    #[serde(default)]
    action: Option<Action>,
}

#[derive(Debug, Deserialize)]
struct Action {
    #[serde(default)]
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification {
    psp_reference: String,
    status: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    message: String,
}

/// "Request already processed or in progress": the first one still runs.
const IN_PROGRESS: &str = "704";

/// The common refusals in our words.
pub fn refusal_word(code: Option<&str>, reason: Option<&str>) -> String {
    match code {
        Some("2") => "card_declined".to_owned(),
        Some("6") => "expired_card".to_owned(),
        Some("8") => "invalid_card_number".to_owned(),
        Some("11") => "requires_action".to_owned(),
        Some("12") => "insufficient_funds".to_owned(),
        Some("20") => "fraudulent".to_owned(),
        Some("24") => "incorrect_cvc".to_owned(),
        _ => decline_code(reason.map(|r| r.replace(' ', "_")).as_deref()),
    }
}

impl PaymentResponse {
    fn decided(self, manual: bool, may_act: bool) -> Decided {
        let refused = |code: &str| Verdict::Declined(code.to_owned());
        let verdict = match self.result_code.as_str() {
            "Authorised" if manual => Verdict::Authorized,
            "Authorised" => Verdict::Approved,
            "Refused" => Verdict::Declined(refusal_word(
                self.refusal_reason_code.as_deref(),
                self.refusal_reason.as_deref(),
            )),
            "Error" => refused("processing_error"),
            "Cancelled" => refused("canceled"),
            "RedirectShopper" | "IdentifyShopper" | "ChallengeShopper" if may_act => {
                let url = self.action.and_then(|a| a.url);
                Verdict::ActionRequired(url.unwrap_or_default())
            }
            // Nobody could follow, so it never completes.
            "RedirectShopper" | "IdentifyShopper" | "ChallengeShopper" => {
                refused("requires_action")
            }
            // `Pending`, `Received`, and whatever comes after this was written.
            _ => Verdict::Received,
        };
        Decided { transaction_id: self.psp_reference.unwrap_or_default(), verdict }
    }
}

impl AdyenProvider {
    pub fn new(settings: &AdyenSettings) -> anyhow::Result<Self> {
        Ok(AdyenProvider {
            transport: Transport::new(&settings.gateway())?,
            url: settings.url.trim_end_matches('/').to_owned(),
            api_key: settings.api_key.clone(),
            merchant_account: settings.merchant_account.clone(),
        })
    }

    async fn post<A: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<A, Trouble> {
        let request = self.transport.client().post(format!("{}{path}", self.url));
        let request = request.header("x-api-key", &self.api_key).header("idempotency-key", key);
        read(self.transport.send(request.json(body)).await?)
    }

    /// Captures, cancels and refunds are taken in and decided later.
    async fn modify(&self, path: &str, key: &str, body: &Value) -> Result<Decided, Trouble> {
        let taken: Modification = self.post(path, key, body).await?;
        match taken.status.as_str() {
            "received" => {
                Ok(Decided { transaction_id: taken.psp_reference, verdict: Verdict::Received })
            }
            other => Err(Trouble::Unknown(format!("a status {}", masked(other)))),
        }
    }

    fn amount(&self, money: Money) -> Result<Value, Trouble> {
        let value = Units::Adyen.of(money)?;
        Ok(json!({"value": value, "currency": money.currency.code()}))
    }
}

/// Anything that is not clearly an answer leaves the outcome unknown.
fn read<A: for<'de> Deserialize<'de>>(answer: Answer) -> Result<A, Trouble> {
    let status = answer.status;
    let refusal = || serde_json::from_slice::<Refusal>(&answer.body).ok();
    match status {
        200 | 201 => serde_json::from_slice(&answer.body)
            .map_err(|e| Trouble::Unknown(format!("HTTP {status}: {e}"))),
        401 | 403 => Err(Trouble::Undone("the provider does not accept our key".to_owned())),
        429 => Err(Trouble::Undone("the provider takes no more calls now".to_owned())),
        400..=499 => match refusal() {
            Some(r) if r.error_code == IN_PROGRESS => {
                Err(Trouble::Unknown("the same call is under way".to_owned()))
            }
            Some(r) if !r.error_code.is_empty() => {
                let code = format!("provider_{}", decline_code(Some(&r.error_code)));
                Err(Trouble::Refused { code, why: masked(&r.message) })
            }
            _ => Err(Trouble::Unknown(format!("HTTP {status}"))),
        },
        _ => Err(Trouble::Unknown(format!("HTTP {status}"))),
    }
}

#[async_trait]
impl Provider for AdyenProvider {
    fn name(&self) -> &'static str {
        "adyen"
    }

    fn two_steps(&self) -> bool {
        true
    }

    fn answers_questions(&self) -> bool {
        false
    }

    async fn charge(&self, charge: &Charge) -> Result<Decided, Trouble> {
        let attempt = charge.attempt_id.to_string();
        let mut body = json!({
            "merchantAccount": self.merchant_account,
            "reference": attempt,
            "merchantOrderReference": charge.order_id,
            "amount": self.amount(charge.money)?,
            "paymentMethod": {"type": "scheme", "storedPaymentMethodId": charge.token.reveal()},
            "shopperReference": charge.order_id,
            "shopperInteraction": "Ecommerce",
            "recurringProcessingModel": "CardOnFile",
            "channel": "Web",
            "returnUrl": charge.return_url.as_deref().unwrap_or("https://localhost/"),
        });
        if charge.manual {
            body["additionalData"] = json!({"manualCapture": "true"});
        }
        let response: PaymentResponse = self.post("/payments", &attempt, &body).await?;
        Ok(response.decided(charge.manual, charge.return_url.is_some()))
    }

    async fn transactions(&self, _: OrderId) -> Result<Vec<Transaction>, Trouble> {
        Err(Trouble::held_back("this provider tells by notifications"))
    }

    async fn refund(&self, giveback: &Giveback) -> Result<Decided, Trouble> {
        let key = giveback.refund_id.to_string();
        let body = json!({
            "merchantAccount": self.merchant_account,
            "amount": self.amount(giveback.money)?,
            "reference": key,
        });
        let path = format!("/payments/{}/refunds", giveback.charge_transaction_id);
        self.modify(&path, &key, &body).await
    }

    async fn capture(&self, step: &FollowUp) -> Result<Decided, Trouble> {
        let key = step.attempt_id.to_string();
        let body = json!({
            "merchantAccount": self.merchant_account,
            "amount": self.amount(step.money)?,
            "reference": key,
        });
        self.modify(&format!("/payments/{}/captures", step.transaction_id), &key, &body).await
    }

    async fn void(&self, step: &FollowUp) -> Result<Decided, Trouble> {
        let key = step.attempt_id.to_string();
        let body = json!({"merchantAccount": self.merchant_account, "reference": key});
        self.modify(&format!("/payments/{}/cancels", step.transaction_id), &key, &body).await
    }

    async fn proceed(&self, step: &FollowUp, result: Option<&str>) -> Result<Decided, Trouble> {
        let Some(result) = result else {
            // Without the redirect's result there is nothing to go on with.
            let verdict = Verdict::ActionRequired(String::new());
            return Ok(Decided { transaction_id: step.transaction_id.clone(), verdict });
        };
        let key = format!("{}-details", step.attempt_id);
        let body = json!({"details": {"redirectResult": result}});
        let response: PaymentResponse = self.post("/payments/details", &key, &body).await?;
        // Whether it was for later capture is known to the caller.
        let mut decided = response.decided(false, true);
        if decided.transaction_id.is_empty() {
            decided.transaction_id.clone_from(&step.transaction_id);
        }
        Ok(decided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(code: &str, manual: bool, may_act: bool) -> Verdict {
        let body = format!(
            r#"{{"pspReference":"P","resultCode":"{code}","refusalReason":"Not enough balance",
                "refusalReasonCode":"12","action":{{"url":"http://a/b"}}}}"#
        );
        let content_type = "application/json".to_owned();
        let answer = Answer { status: 200, content_type, body: body.into_bytes() };
        read::<PaymentResponse>(answer).unwrap().decided(manual, may_act).verdict
    }

    #[test]
    fn result_codes_mean_one_thing_each() {
        assert_eq!(verdict("Authorised", false, true), Verdict::Approved);
        assert_eq!(verdict("Authorised", true, true), Verdict::Authorized);
        assert_eq!(verdict("Refused", false, true), Verdict::Declined("insufficient_funds".into()));
        assert_eq!(
            verdict("RedirectShopper", false, true),
            Verdict::ActionRequired("http://a/b".into())
        );
        assert_eq!(
            verdict("RedirectShopper", false, false),
            Verdict::Declined("requires_action".into())
        );
        assert_eq!(verdict("Pending", false, true), Verdict::Received);
    }

    #[test]
    fn only_refusals_that_say_why_are_certain() {
        let of = |status, body: &str| {
            let content_type = String::new();
            read::<Modification>(Answer { status, content_type, body: body.into() }).unwrap_err()
        };
        assert!(matches!(of(422, r#"{"errorCode":"14_030"}"#), Trouble::Refused { .. }));
        for (status, body) in [(422, r#"{"errorCode":"704"}"#), (422, "{}"), (500, "{}"), (200, "")]
        {
            assert!(matches!(of(status, body), Trouble::Unknown(_)), "{status} {body}");
        }
        assert!(matches!(of(401, ""), Trouble::Undone(_)));
    }
}
