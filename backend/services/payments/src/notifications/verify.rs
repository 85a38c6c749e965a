//! What a verified notification says, in our words.

use serde::Deserialize;
use shared_types::{Currency, Money};

pub use super::signatures::*;
use super::{About, Notice};
use crate::domain::{Verdict, decline_code};
use crate::provider::{StripeIntent, StripeRefund, Units, refusal_word};

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: EventData,
}

#[derive(Deserialize)]
struct EventData {
    object: Box<serde_json::value::RawValue>,
}

fn reference<T: From<uuid::Uuid>>(text: Option<&String>) -> Option<T> {
    text.and_then(|text| text.parse::<uuid::Uuid>().ok()).map(T::from)
}

fn money(units: Units, value: i64, currency: &str) -> Result<Money, BadNotification> {
    let currency: Currency = currency.to_ascii_uppercase().parse().map_err(malformed)?;
    units.read(value, currency).ok_or_else(|| malformed("an amount"))
}

/// A verified event in our words.
pub fn stripe_event(body: &[u8]) -> Result<Notice, BadNotification> {
    let event: Event = serde_json::from_slice(body).map_err(malformed)?;
    if !(1..=200).contains(&event.id.len()) || event.kind.len() > 100 {
        return Err(malformed("id or type"));
    }
    let object = event.data.object.get();
    let mut notice = Notice {
        provider: "stripe",
        id: event.id,
        event: event.kind,
        about: About::Nothing,
        transaction_id: String::new(),
        money: None,
        verdict: Verdict::Received,
    };
    if notice.event.starts_with("payment_intent.") {
        let intent: StripeIntent = serde_json::from_str(object).map_err(malformed)?;
        notice.verdict = intent.verdict();
        // A capture is told about the charge that it belongs to; of a part of
        // it the amount says so.
        let id = reference(intent.metadata.get("attempt_id"));
        notice.about = id.map_or(About::Nothing, About::Attempt);
        notice.money = Some(money(Units::Stripe, intent.amount, &intent.currency)?);
        notice.transaction_id = intent.id;
    } else if notice.event.starts_with("refund.") || notice.event == "charge.refund.updated" {
        let refund: StripeRefund = serde_json::from_str(object).map_err(malformed)?;
        notice.verdict = refund.verdict();
        let id = reference(refund.reference());
        notice.about = id.map_or(About::Nothing, About::Refund);
        notice.money = Some(money(Units::Stripe, refund.amount, &refund.currency)?);
        notice.transaction_id = refund.id;
    }
    Ok(notice)
}

/// An item of Adyen's in our words. Events that nobody waits for are about
/// nothing.
pub fn adyen_item(item: &Item) -> Result<Notice, BadNotification> {
    let success = match item.success.as_str() {
        "true" => true,
        "false" => false,
        _ => return Err(malformed("success")),
    };
    let long = [&item.psp_reference, &item.event_code, &item.merchant_reference];
    if long.iter().any(|text| text.len() > 100) || item.psp_reference.is_empty() {
        return Err(malformed("a reference"));
    }
    let attempt =
        || reference(Some(&item.merchant_reference)).map_or(About::Nothing, About::Attempt);
    let refund = || reference(Some(&item.merchant_reference)).map_or(About::Nothing, About::Refund);
    let declined = || {
        let reason = item.reason.as_deref().unwrap_or_default();
        Verdict::Declined(refusal_word(None, Some(reason)))
    };
    let failed = |code: &str| Verdict::Declined(decline_code(Some(code)));
    let (about, verdict) = match (item.event_code.as_str(), success) {
        ("AUTHORISATION", true) => (attempt(), Verdict::Approved),
        ("AUTHORISATION", false) => (attempt(), declined()),
        ("CAPTURE", true) => (attempt(), Verdict::Approved),
        ("CAPTURE", false) | ("CAPTURE_FAILED", _) => (attempt(), failed("capture_failed")),
        ("CANCELLATION", true) => (attempt(), Verdict::Canceled),
        ("CANCELLATION", false) => (attempt(), failed("cancel_failed")),
        ("REFUND", true) => (refund(), Verdict::Approved),
        ("REFUND", false) | ("REFUND_FAILED", _) => (refund(), failed("refund_failed")),
        _ => (About::Nothing, Verdict::Received),
    };
    // A cancellation carries no amount of its own.
    let told = match item.event_code == "CANCELLATION" || about == About::Nothing {
        true => None,
        false => Some(money(Units::Adyen, item.amount.value, &item.amount.currency)?),
    };
    Ok(Notice {
        provider: "adyen",
        id: format!("{}:{}:{}", item.psp_reference, item.event_code, item.success),
        event: item.event_code.clone(),
        about,
        transaction_id: item.psp_reference.clone(),
        money: told,
        verdict,
    })
}

#[cfg(test)]
mod tests;
