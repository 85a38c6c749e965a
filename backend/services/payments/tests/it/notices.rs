//! What providers tell: verified, matched, taken once; anything else changes
//! nothing.

use contracts::events::payments::PaymentCaptured;
use contracts::generated::bellavista::payments::v1::CaptureOutcome;
use payments::verify::{Item, sign_adyen, sign_stripe};
use platform::testing::{Client, TestAnswer, outbox_of};
use serde_json::{Value, json};
use shared_types::{AttemptId, OrderId};

use crate::shop::{ADYEN, STRIPE, Shop};

const HMAC: &str = "73696d756c61746f722073696d756c61746f722073696d756c61746f72212121";

struct Ear {
    shop: Shop,
    http: Client,
    order: OrderId,
    attempt: AttemptId,
}

impl Ear {
    /// With an attempt whose outcome is not known.
    async fn open(provider: &str) -> Self {
        let shop = Shop::open_more(provider).await;
        let http = shop.bench.client(&shop.service);
        let order = shop.order();
        let (attempt, answer) = shop.pay_once(order, "tok_lost_before").await;
        assert_eq!(answer.outcome(), CaptureOutcome::Pending);
        Ear { shop, http, order, attempt }
    }

    fn event(&self, id: &str, amount: i64, currency: &str) -> Vec<u8> {
        let event = json!({"id": id, "type": "payment_intent.succeeded", "data": {"object": {
            "id": "pi_told", "status": "succeeded", "amount": amount, "amount_received": amount,
            "currency": currency, "metadata": {"attempt_id": self.attempt}}}});
        event.to_string().into_bytes()
    }

    fn now(&self) -> i64 {
        self.shop.bench.clock().now().unix_millis() / 1_000
    }

    async fn stripe(&self, body: &[u8], signature: &str) -> TestAnswer {
        let request = self.http.post("/payments/webhooks/stripe").body("application/json", body);
        request.header("stripe-signature", signature).send().await
    }

    async fn signed(&self, body: &[u8]) -> TestAnswer {
        self.stripe(body, &sign_stripe("whsec_simulator", body, self.now())).await
    }

    fn item(&self) -> Value {
        json!({"pspReference": "PSPTOLD", "merchantAccountCode": "Bellavista",
            "merchantReference": self.attempt, "amount": {"value": 10_000, "currency": "USD"},
            "eventCode": "AUTHORISATION", "success": "true"})
    }

    fn batch(&self, items: &[Value], key: &str) -> Vec<u8> {
        let wrapped = items.iter().map(|item| {
            let mut item = item.clone();
            let parsed: Item = serde_json::from_value(item.clone()).unwrap();
            item["additionalData"] = json!({"hmacSignature": sign_adyen(key, &parsed)});
            json!({"NotificationRequestItem": item})
        });
        let items: Vec<Value> = wrapped.collect();
        json!({"live": "false", "notificationItems": items}).to_string().into_bytes()
    }

    async fn adyen(&self, body: Vec<u8>) -> TestAnswer {
        self.http.post("/payments/webhooks/adyen").body("application/json", body).send().await
    }

    async fn is_open(&self) {
        assert_eq!(self.shop.attempt(self.attempt).await.outcome(), CaptureOutcome::Pending);
        assert_eq!(outbox_of::<PaymentCaptured>(self.shop.bench.pool()).await.len(), 0);
        let taken = self.shop.text("SELECT count(*)::text FROM provider_notifications").await;
        assert_eq!(taken, "0");
    }

    async fn is_captured_once(&self) {
        assert_eq!(self.shop.attempt(self.attempt).await.outcome(), CaptureOutcome::Captured);
        assert_eq!(outbox_of::<PaymentCaptured>(self.shop.bench.pool()).await.len(), 1);
    }
}

#[tokio::test]
async fn a_signed_event_settles_what_was_unknown_and_a_repeat_changes_nothing() {
    let ear = Ear::open(STRIPE).await;
    let body = ear.event("evt_a", 10_000, "usd");
    let first = ear.signed(&body).await.expect(200);
    assert_eq!(first.value(), json!({"received": true, "outcome": "settled"}));
    ear.is_captured_once().await;
    let again = ear.signed(&body).await.expect(200);
    assert_eq!(again.value()["outcome"], "repeated");
    let other = ear.event("evt_b", 10_000, "usd");
    assert_eq!(ear.signed(&other).await.expect(200).value()["outcome"], "known");
    ear.is_captured_once().await;
    let row = ear.shop.text("SELECT direction || outcome FROM provider_calls WHERE direction = 'IN' ORDER BY id LIMIT 1");
    assert_eq!(row.await, "INsettled");
    assert_eq!(ear.shop.simulator.count(ear.order).await, (0, 0), "never sent again");
}

#[tokio::test]
async fn a_forged_replayed_or_mangled_event_is_refused_and_changes_nothing() {
    let ear = Ear::open(STRIPE).await;
    let body = ear.event("evt_a", 10_000, "usd");
    let code = "payments.webhook_signature";
    for signature in [
        String::new(),
        "t=1,v1=00".to_owned(),
        sign_stripe("whsec_other", &body, ear.now()),
        sign_stripe("whsec_simulator", b"{}", ear.now()),
    ] {
        ear.stripe(&body, &signature).await.expect_problem(400, code);
    }
    let old = sign_stripe("whsec_simulator", &body, ear.now() - 301);
    ear.stripe(&body, &old).await.expect_problem(400, "payments.webhook_stale");
    ear.signed(b"<html>").await.expect_problem(400, "payments.webhook_malformed");
    ear.signed(&ear.event("evt_b", 9_999, "usd"))
        .await
        .expect_problem(422, "payments.webhook_mismatch");
    ear.signed(&ear.event("evt_c", 10_000, "eur"))
        .await
        .expect_problem(422, "payments.webhook_mismatch");
    let unknown = String::from_utf8(body).unwrap();
    let unknown = unknown.replace(&ear.attempt.to_string(), &uuid::Uuid::now_v7().to_string());
    ear.signed(unknown.as_bytes()).await.expect_problem(404, "payments.webhook_unknown");
    let other =
        json!({"id": "evt_d", "type": "customer.created", "data": {"object": {}}}).to_string();
    let mut bare = ear.shop.text("SELECT count(*)::text FROM provider_notifications").await;
    assert_eq!(bare, "0");
    assert_eq!(ear.signed(other.as_bytes()).await.expect(200).value()["outcome"], "ignored");
    bare.clear();
    assert_eq!(ear.shop.attempt(ear.attempt).await.outcome(), CaptureOutcome::Pending);
    ear.http
        .post("/payments/webhooks/adyen")
        .body("application/json", "{}")
        .send()
        .await
        .expect_problem(404, "payments.webhook_unknown");
}

#[tokio::test]
async fn an_event_that_contradicts_what_is_settled_is_left_to_a_person() {
    let ear = Ear::open(STRIPE).await;
    let (attempt, _) = ear.shop.pay_once(ear.shop.order(), "tok_declined").await;
    let body = String::from_utf8(ear.event("evt_a", 10_000, "usd")).unwrap();
    let body = body.replace(&ear.attempt.to_string(), &attempt.to_string());
    ear.signed(body.as_bytes()).await.expect_problem(409, "payments.webhook_conflict");
    assert_eq!(ear.shop.attempt(attempt).await.outcome(), CaptureOutcome::Declined);
}

#[tokio::test]
async fn a_signed_batch_is_accepted_once_and_only_as_a_whole() {
    let ear = Ear::open(ADYEN).await;
    let mut other = ear.item();
    other["merchantReference"] = json!("somebody-else");
    let forged = ear.batch(&[ear.item(), other.clone()], HMAC);
    let forged = String::from_utf8(forged).unwrap().replace("somebody-else", "somebody-odd");
    ear.adyen(forged.into_bytes()).await.expect_problem(400, "payments.webhook_signature");
    ear.is_open().await;
    for _ in 0..2 {
        let accepted = ear.adyen(ear.batch(&[ear.item(), other.clone()], HMAC)).await.expect(200);
        assert_eq!(accepted.text(), "[accepted]");
        ear.is_captured_once().await;
    }
}

#[tokio::test]
async fn wrong_items_are_refused_and_change_nothing() {
    let ear = Ear::open(ADYEN).await;
    let with = |name: &str, value: Value| {
        let mut item = ear.item();
        item[name] = value;
        ear.batch(&[item], HMAC)
    };
    let other_key = "00".repeat(32);
    ear.adyen(ear.batch(&[ear.item()], &other_key))
        .await
        .expect_problem(400, "payments.webhook_signature");
    ear.adyen(b"[]".to_vec()).await.expect_problem(400, "payments.webhook_malformed");
    for (body, status, code) in [
        (with("merchantAccountCode", json!("Other")), 422, "payments.webhook_mismatch"),
        (with("amount", json!({"value": 1, "currency": "USD"})), 422, "payments.webhook_mismatch"),
        (
            with("amount", json!({"value": 10_000, "currency": "EUR"})),
            422,
            "payments.webhook_mismatch",
        ),
        (with("merchantReference", json!(uuid::Uuid::now_v7())), 404, "payments.webhook_unknown"),
        (with("success", json!("perhaps")), 400, "payments.webhook_malformed"),
    ] {
        ear.adyen(body).await.expect_problem(status, code);
    }
    ear.is_open().await;
    let failed = with("success", json!("false"));
    ear.adyen(failed).await.expect(200);
    assert_eq!(ear.shop.attempt(ear.attempt).await.outcome(), CaptureOutcome::Declined);
}
