//! Notifications to the shop, signed as each provider signs them.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::stripe::{intent, refund_object};
use super::{Ask, Call, CardPayment, Done, Refunded};
use crate::config::providers::simulated;
use crate::notifications::verify::{Item, sign_adyen, sign_stripe};
use crate::provider::Units;
use crate::simulator::Settings;
use crate::simulator::gateway::Gateway;

/// Sends of one notification, and the pause between.
const SENDS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A notification ready to leave.
struct Notification {
    path: &'static str,
    body: Vec<u8>,
    stripe: bool,
}

impl Gateway {
    /// Tells the shop what became of a call, in the background.
    pub fn tell(&self, call: &Call, done: &Done) {
        let Some(base) = self.notify_base() else { return };
        let notification = match call.via {
            "STRIPE" => stripe_event(done, &call.base),
            _ => adyen_item(&call.ask, done),
        };
        let Some(notification) = notification else { return };
        let gateway = self.clone();
        self.ctx().lifecycle.spawn("simulated notification", async move {
            gateway.deliver(&base, &notification).await;
            Ok(())
        });
    }

    /// Where the shop listens; nothing when it is not to be told.
    fn notify_base(&self) -> Option<String> {
        let config = &self.ctx().config;
        let settings: Settings = config.section("payment_simulator").ok()?;
        match settings.notify.as_str() {
            "" => None,
            "installation" => Some(format!("http://127.0.0.1:{}", config.ground.http.port)),
            base => Some(base.trim_end_matches('/').to_owned()),
        }
    }

    async fn deliver(&self, base: &str, notification: &Notification) {
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
        let Ok(client) = client else { return };
        let url = format!("{base}/api/v1/payments/webhooks/{}", notification.path);
        for _ in 0..SENDS {
            let mut request = client.post(&url).header("content-type", "application/json");
            if notification.stripe {
                let at = self.ctx().clock.now().unix_millis() / 1_000;
                let secret = simulated::STRIPE_WEBHOOK_SECRET;
                request =
                    request.header("stripe-signature", sign_stripe(secret, &notification.body, at));
            }
            match request.body(notification.body.clone()).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => {
                    tracing::debug!(status = %answer.status(), "a notification was refused")
                }
                Err(error) => tracing::debug!(%error, "a notification did not arrive"),
            }
            if !self.ctx().lifecycle.sleep(PAUSE).await {
                return;
            }
        }
    }
}

fn stripe_event(done: &Done, base: &str) -> Option<Notification> {
    let (kind, object) = match done {
        Done::Payment(payment) => {
            let kind = match payment.status.as_str() {
                "CAPTURED" => "payment_intent.succeeded",
                "AUTHORIZED" => "payment_intent.amount_capturable_updated",
                "DECLINED" => "payment_intent.payment_failed",
                "CANCELED" => "payment_intent.canceled",
                "REQUIRES_ACTION" => "payment_intent.requires_action",
                _ => "payment_intent.created",
            };
            (kind, intent(payment, base))
        }
        Done::Refund(refund) => ("refund.updated", refund_object(refund)),
        Done::No { .. } => return None,
    };
    let event = json!({"id": format!("evt_{}", Uuid::now_v7().simple()), "object": "event",
        "type": kind, "livemode": false, "data": {"object": object}});
    Some(Notification { path: "stripe", body: event.to_string().into_bytes(), stripe: true })
}

fn adyen_item(ask: &Ask, done: &Done) -> Option<Notification> {
    let item = match (ask, done) {
        (Ask::Capture { reference, .. }, Done::Payment(p)) => {
            let money = shared_types::Money::new(p.captured_minor, p.currency);
            modification(p, reference, "CAPTURE", money)
        }
        (Ask::Cancel { reference, .. }, Done::Payment(p)) => {
            modification(p, reference, "CANCELLATION", p.money())
        }
        (Ask::Refund { .. }, Done::Refund(refund)) => refunded(refund),
        (_, Done::Payment(p)) if p.action_result.is_none() || p.status != "REQUIRES_ACTION" => {
            authorisation(p)?
        }
        _ => return None,
    };
    let mut wrapped =
        json!({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]});
    let parsed: Item = serde_json::from_value(item).ok()?;
    let signature = sign_adyen(simulated::ADYEN_HMAC, &parsed);
    wrapped["notificationItems"][0]["NotificationRequestItem"]["additionalData"] =
        json!({"hmacSignature": signature});
    Some(Notification { path: "adyen", body: wrapped.to_string().into_bytes(), stripe: false })
}

fn amount(money: shared_types::Money) -> Value {
    let value = Units::Adyen.of(money).unwrap_or_default();
    json!({"value": value, "currency": money.currency.code()})
}

fn authorisation(payment: &CardPayment) -> Option<Value> {
    let success = match payment.status.as_str() {
        "CAPTURED" | "AUTHORIZED" => "true",
        "DECLINED" => "false",
        _ => return None,
    };
    Some(json!({"pspReference": payment.id, "merchantAccountCode": simulated::ADYEN_MERCHANT,
        "merchantReference": payment.attempt_id, "amount": amount(payment.money()),
        "eventCode": "AUTHORISATION", "success": success,
        "reason": payment.decline_code.clone().unwrap_or_default()}))
}

fn modification(
    payment: &CardPayment,
    reference: &str,
    event: &str,
    money: shared_types::Money,
) -> Value {
    json!({"pspReference": format!("PSP{}", Uuid::now_v7().simple()).to_uppercase(),
        "originalReference": payment.id, "merchantAccountCode": simulated::ADYEN_MERCHANT,
        "merchantReference": reference, "amount": amount(money),
        "eventCode": event, "success": "true"})
}

fn refunded(refund: &Refunded) -> Value {
    json!({"pspReference": refund.id, "originalReference": refund.charge,
        "merchantAccountCode": simulated::ADYEN_MERCHANT, "merchantReference": refund.refund_id,
        "amount": amount(refund.money), "eventCode": "REFUND", "success": "true"})
}
