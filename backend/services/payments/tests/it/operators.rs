//! What operators do about money whose outcome is not known, and the risk
//! check that leaves payments to them.

use contracts::events::payments::PaymentCaptured;
use contracts::generated::bellavista::payments::v1::{CaptureOutcome, RefundOutcome};
use platform::testing::{Client, TestAnswer, outbox_of};
use serde_json::{Value, json};
use shared_types::{Role, UserId};

use crate::shop::{Shop, attempt, capture, refund_id};

struct Console {
    shop: Shop,
    http: Client,
    operator: String,
}

impl Console {
    async fn open(more: &str) -> Self {
        let shop = Shop::open_more(more).await;
        let http = shop.bench.client(&shop.service);
        let operator = shop.bench.token_for_user(shop.bench.id::<UserId>(), &[Role::Operator]);
        Console { shop, http, operator }
    }

    async fn list(&self, query: &str) -> Value {
        let path = format!("/admin/payments{query}");
        self.http.get(&path).bearer(&self.operator).send().await.expect(200).value()["items"]
            .clone()
    }

    async fn post(&self, id: impl std::fmt::Display, act: &str, body: &Value) -> TestAnswer {
        let path = format!("/admin/payments/{id}/{act}");
        self.http.post(&path).bearer(&self.operator).json(body).send().await
    }

    async fn audited(&self) -> String {
        self.shop
            .text("SELECT string_agg(action || ' ' || coalesce(reason, '-'), '; ' ORDER BY seq) FROM audit_log")
            .await
    }
}

fn settle(outcome: &str, transaction: Option<&str>) -> Value {
    json!({"outcome": outcome, "transactionId": transaction, "evidence": "statement of 21 November",
        "reason": "the provider called back"})
}

#[tokio::test]
async fn what_is_unknown_is_listed_by_age_and_amount() {
    let console = Console::open("").await;
    let (old, _) = console.shop.pay_once(console.shop.order(), "tok_lost_before").await;
    console.shop.pass(10).await;
    let (young, _) = console.shop.pay_once(console.shop.order(), "tok_lost_before").await;
    let ids = |items: &Value| -> Vec<String> {
        items.as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = console.list("").await;
    assert_eq!(ids(&all), [old.to_string(), young.to_string()], "oldest first");
    assert_eq!((&all[0]["state"], &all[0]["kind"]), (&json!("UNKNOWN"), &json!("ATTEMPT")));
    assert!(all[0]["ageSeconds"].as_i64().unwrap() >= 10);
    assert_eq!(ids(&console.list("?minAgeSeconds=10").await), [old.to_string()]);
    assert_eq!(console.list("?minAmountMinor=10001").await, json!([]));
    assert_eq!(console.list("?kind=REFUND").await, json!([]));
    let page = console.http.get("/admin/payments?first=1").bearer(&console.operator).send().await;
    let page = page.expect(200).value();
    let after = page["pageInfo"]["endCursor"].as_str().unwrap();
    assert_eq!(ids(&console.list(&format!("?first=1&after={after}")).await), [young.to_string()]);
    for odd in ["?state=LOST", "?minAgeSeconds=x", "?kind=x", "?first=0"] {
        let path = format!("/admin/payments{odd}");
        console.http.get(&path).bearer(&console.operator).send().await.expect(400);
    }
    for role in [Role::Support, Role::Merchant, Role::Customer] {
        let token = console.shop.bench.token_for_user(console.shop.bench.id::<UserId>(), &[role]);
        let refused = console.http.get("/admin/payments").bearer(&token).send().await;
        refused.expect_problem(403, "auth.role_missing");
    }
}

#[tokio::test]
async fn asking_now_does_not_wait_for_the_next_round() {
    let console = Console::open("").await;
    let order = console.shop.order();
    console.shop.simulator.control("outage", json!(true)).await;
    let (id, _) = console.shop.pay_once(order, "tok_ok").await;
    for _ in 0..6 {
        console.shop.pass(31).await;
    }
    console.shop.simulator.control("outage", json!(false)).await;
    console.post(id, "ask", &json!({})).await.expect(202);
    assert_eq!(console.shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(console.shop.simulator.count(order).await, (1, 0));
    console.post(id, "ask", &json!({})).await.expect_problem(409, "payments.outcome_known");
    console
        .post(uuid::Uuid::now_v7(), "ask", &json!({}))
        .await
        .expect_problem(404, "payments.no_such_outcome");
    assert_eq!(console.audited().await, "payment.ask_again -");
}

#[tokio::test]
async fn an_outcome_is_settled_by_hand_once_on_evidence() {
    let console = Console::open("").await;
    console.shop.simulator.control("outage", json!(true)).await;
    let (paid, _) = console.shop.pay_once(console.shop.order(), "tok_ok").await;
    let order = console.shop.order();
    let (unpaid, _) = console.shop.pay_once(order, "tok_ok").await;
    let bare = console.post(paid, "settle", &json!({"outcome": "DONE"})).await.expect(422);
    assert_eq!(bare.fields(), ["evidence", "reason", "transactionId"]);
    let done = settle("DONE", Some("txn_seen"));
    let after = console.post(paid, "settle", &done).await.expect(200).value();
    assert_eq!(after["state"], "CAPTURED");
    assert_eq!(console.shop.attempt(paid).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(outbox_of::<PaymentCaptured>(console.shop.bench.pool()).await.len(), 1);
    console.post(paid, "settle", &done).await.expect_problem(409, "payments.outcome_known");
    console.post(unpaid, "settle", &done).await.expect_problem(409, "payments.transaction_taken");
    console.post(unpaid, "settle", &settle("NOT_DONE", None)).await.expect(200);
    assert_eq!(console.shop.attempt(unpaid).await.outcome(), CaptureOutcome::NotSent);
    console.shop.simulator.control("outage", json!(false)).await;
    console.shop.bench.advance(std::time::Duration::from_secs(31));
    let (_, again) = console.shop.pay_once(order, "tok_ok").await;
    assert_eq!(again.outcome(), CaptureOutcome::Captured, "the payment is free again");
    let audited = console.audited().await;
    assert!(audited.contains("DONE: the provider called back (evidence: statement"), "{audited}");
    let heard = console.shop.text(
        "SELECT string_agg(outcome, ' ' ORDER BY id) FROM provider_calls WHERE direction = 'IN'",
    );
    assert_eq!(heard.await, "DONE NOT_DONE");
}

#[tokio::test]
async fn a_refund_is_settled_by_hand_too() {
    let console = Console::open("").await;
    let (order, id) = (console.shop.order(), refund_id());
    console.shop.pay_once(order, "tok_ok").await;
    console.shop.simulator.control("outage", json!(true)).await;
    assert_eq!(console.shop.refund(order, id, 4_000).await, RefundOutcome::RefundPending);
    assert_eq!(console.list("?kind=REFUND").await[0]["id"], id.to_string());
    console.post(id, "settle", &settle("DONE", Some("txn_back"))).await.expect(200);
    assert_eq!(console.shop.refund(order, id, 4_000).await, RefundOutcome::Refunded);
    assert_eq!(console.shop.text("SELECT status FROM payments").await, "PARTIALLY_REFUNDED");
}

const RISK: &str = "
[payments.risk]
enabled = true
window_seconds = 600
review_attempts = 0
refuse_attempts = 3
review_amount = 500
refuse_amount = 5000
review_countries = [\"XA\"]
refuse_countries = [\"XB\"]
";

#[tokio::test]
async fn the_risk_check_allows_reviews_or_refuses_before_anything_is_sent() {
    let console = Console::open(RISK).await;
    let pay = async |minor: i64, token: &str| {
        let (order, id) = (console.shop.order(), attempt());
        let mut request = capture(order, id, token);
        request.amount_minor = minor;
        (order, id, console.shop.client.capture(request).await.unwrap())
    };
    let (_, _, refused) = pay(500_001, "tok_ok").await;
    assert_eq!(
        (refused.outcome(), refused.decline_code.as_str()),
        (CaptureOutcome::Declined, "risk_amount")
    );
    let (order, id, held) = pay(50_001, "tok_ok").await;
    assert_eq!(held.outcome(), CaptureOutcome::Pending);
    let (other_order, other, _) = pay(50_001, "tok_ok").await;
    let (_, _, fast) = pay(100, "tok_ok").await;
    assert_eq!(fast.decline_code, "risk_velocity", "the fourth with one token");
    let (_, _, fine) = pay(100, "tok_ok_card_abc").await;
    assert_eq!(fine.outcome(), CaptureOutcome::Captured);
    console.shop.pass(60).await;
    assert_eq!(console.shop.simulator.count(order).await, (0, 0), "a person decides");
    let listed = console.list("?state=REVIEW").await;
    assert_eq!((&listed[0]["id"], &listed[0]["riskReason"]), (&json!(id), &json!("risk_amount")));
    let reason = json!({"approve": true, "reason": "known customer"});
    console.post(id, "review", &reason).await.expect(200);
    assert_eq!(console.shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(console.shop.simulator.count(order).await, (1, 0));
    let reason = json!({"approve": false, "reason": "stolen card"});
    console.post(other, "review", &reason).await.expect(200);
    let refused = console.shop.attempt(other).await;
    assert_eq!(
        (refused.outcome(), refused.decline_code.as_str()),
        (CaptureOutcome::Declined, "risk_refused")
    );
    console.post(other, "review", &reason).await.expect_problem(409, "payments.outcome_known");
    assert_eq!(console.shop.simulator.count(other_order).await, (0, 0));
    let audited = console.audited().await;
    assert_eq!(
        audited,
        "payment.review approved: known customer; payment.review refused: stolen card"
    );
    let left = console.shop.text("SELECT count(token_sealed)::text FROM payment_attempts");
    assert_eq!(left.await, "0", "tokens of decided attempts are gone");
}

#[tokio::test]
async fn the_country_of_an_intent_counts() {
    let console = Console::open(RISK).await;
    let buyer =
        console.shop.bench.token_for_user(console.shop.bench.id::<UserId>(), &[Role::Customer]);
    for (country, status) in [("XB", 402), ("XA", 202), ("DE", 200)] {
        let post = async |path: &str, body: Value| {
            let key = uuid::Uuid::new_v4().to_string();
            console.http.post(path).bearer(&buyer).key(&key).json(&body).send().await
        };
        let made =
            post("/payments/intent", json!({"amount": 5, "currency": "EUR", "country": country}));
        let id = made.await.expect(201).value()["paymentId"].clone();
        let method = json!({"type": "card", "token": format!("tok_ok_card_{country}")});
        let body = json!({"paymentId": id, "paymentMethod": method});
        post("/payments/confirm", body).await.expect(status);
    }
}
