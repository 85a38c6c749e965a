//! Payment intents: made, confirmed, captured, voided, refunded.

use futures_util::future::join_all;
use platform::testing::{Client, TestAnswer};
use serde_json::{Value, json};
use shared_types::{GuestId, Role, UserId};

use crate::shop::{ADYEN, STRIPE, Shop};

struct Desk {
    shop: Shop,
    http: Client,
    buyer: String,
    support: String,
}

impl Desk {
    async fn open(provider: &str) -> Self {
        let shop = Shop::open_more(provider).await;
        let http = shop.bench.client(&shop.service);
        let buyer = shop.bench.token_for_user(shop.bench.id::<UserId>(), &[Role::Customer]);
        let support = shop.bench.token_for_user(shop.bench.id::<UserId>(), &[Role::Support]);
        Desk { shop, http, buyer, support }
    }

    fn key(&self) -> String {
        uuid::Uuid::new_v4().to_string()
    }

    async fn post(&self, path: &str, token: &str, key: &str, body: &Value) -> TestAnswer {
        self.http.post(path).bearer(token).key(key).json(body).send().await
    }

    async fn create(&self, method: &str) -> String {
        let body = json!({"amount": 100.00, "currency": "EUR", "captureMethod": method});
        let made = self.post("/payments/intent", &self.buyer, &self.key(), &body).await.expect(201);
        assert_eq!(made.value()["status"], "CREATED");
        made.value()["paymentId"].as_str().unwrap().to_owned()
    }

    async fn confirm(&self, id: &str, token: &str) -> TestAnswer {
        let body = json!({"paymentId": id, "paymentMethod": {"type": "card", "token": token},
            "returnUrl": "http://127.0.0.1:9/back"});
        self.post("/payments/confirm", &self.buyer, &self.key(), &body).await
    }

    async fn step(&self, id: &str, step: &str, body: &Value) -> TestAnswer {
        self.post(&format!("/payments/{id}/{step}"), &self.support, &self.key(), body).await
    }

    async fn get(&self, id: &str) -> Value {
        self.http
            .get(&format!("/payments/{id}"))
            .bearer(&self.support)
            .send()
            .await
            .expect(200)
            .value()
    }

    /// Waits, at most ten seconds, until the payment is `status`.
    async fn becomes(&self, id: &str, status: &str) -> Value {
        for _ in 0..500 {
            let payment = self.get(id).await;
            if payment["status"] == status {
                return payment;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{id} does not become {status}: {}", self.get(id).await);
    }

    /// What the buyer does at the bank; gives where they are sent back to.
    async fn act(&self, url: &str, outcome: &str) -> String {
        let page = self.shop.simulator.http.get(url).send().await.unwrap();
        assert!(page.text().await.unwrap().contains("Approve"));
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = client.post(url).form(&[("outcome", outcome)]).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn money(&self, id: &str) -> (usize, usize) {
        self.shop.simulator.count(id.parse().unwrap()).await
    }
}

#[tokio::test]
async fn an_intent_is_made_and_confirmed_by_its_creator_once_per_key() {
    let desk = Desk::open(STRIPE).await;
    let key = desk.key();
    let body = json!({"amount": 12.50, "currency": "EUR"});
    let first = desk.post("/payments/intent", &desk.buyer, &key, &body).await.expect(201);
    let again = desk.post("/payments/intent", &desk.buyer, &key, &body).await.expect(201);
    assert_eq!(
        (first.body.clone(), again.header("idempotency-replayed")),
        (again.body.clone(), "true")
    );
    let id = first.value()["paymentId"].as_str().unwrap().to_owned();
    assert!(first.header("location").ends_with(&id));
    let confirm = json!({"paymentId": id, "paymentMethod": {"type": "card", "token": "tok_ok"}});
    let key = desk.key();
    let paid = desk.post("/payments/confirm", &desk.buyer, &key, &confirm).await.expect(200);
    assert_eq!(paid.value()["status"], "CAPTURED");
    assert_eq!(
        (&paid.value()["amount"], &paid.value()["capturedAmount"]),
        (&json!(12.5), &json!(12.5))
    );
    let again = desk.post("/payments/confirm", &desk.buyer, &key, &confirm).await.expect(200);
    assert_eq!(paid.body, again.body);
    let other =
        json!({"paymentId": id, "paymentMethod": {"type": "card", "token": "tok_declined"}});
    desk.post("/payments/confirm", &desk.buyer, &key, &other)
        .await
        .expect_problem(422, "idempotency.mismatch");
    desk.post("/payments/confirm", &desk.buyer, &desk.key(), &confirm)
        .await
        .expect_problem(409, "payments.wrong_state");
    assert_eq!(desk.money(&id).await, (1, 0));
    let attempts = desk.http.get(&format!("/payments/{id}/attempts")).bearer(&desk.support);
    let attempts = attempts.send().await.expect(200).value();
    assert_eq!(attempts["items"][0]["state"], "CAPTURED");
    let calls = attempts["items"][0]["calls"].as_array().unwrap();
    assert!(calls.iter().any(|call| call["direction"] == "OUT"), "{calls:?}");
    let mine = desk.http.get(&format!("/payments/{id}/attempts")).bearer(&desk.buyer);
    assert!(mine.send().await.expect(200).value()["items"][0].get("calls").is_none());
}

#[tokio::test]
async fn one_confirmation_sent_many_times_at_once_charges_once() {
    let desk = Desk::open(STRIPE).await;
    let (id, key) = (desk.create("AUTOMATIC").await, desk.key());
    let body = json!({"paymentId": id, "paymentMethod": {"type": "card", "token": "tok_ok"}});
    let same =
        join_all((0..8).map(|_| desk.post("/payments/confirm", &desk.buyer, &key, &body))).await;
    for answer in same {
        assert!(matches!(answer.status.as_u16(), 200 | 202), "{}", answer.text());
    }
    let keys: Vec<String> = (0..4).map(|_| desk.key()).collect();
    let others =
        join_all(keys.iter().map(|key| desk.post("/payments/confirm", &desk.buyer, key, &body)))
            .await;
    for answer in others {
        assert!(matches!(answer.status.as_u16(), 409 | 422), "{}", answer.text());
    }
    desk.becomes(&id, "CAPTURED").await;
    assert_eq!(desk.money(&id).await, (1, 0));
}

#[tokio::test]
async fn a_declined_intent_may_be_confirmed_with_another_card() {
    let desk = Desk::open(STRIPE).await;
    let id = desk.create("AUTOMATIC").await;
    let declined = desk.confirm(&id, "tok_insufficient_funds").await;
    let declined = declined.expect_problem(402, "payments.declined");
    assert_eq!(declined.value()["declineCode"], "insufficient_funds");
    assert_eq!(desk.get(&id).await["status"], "DECLINED");
    desk.confirm(&id, "tok_ok").await.expect(200);
    assert_eq!(desk.money(&id).await, (1, 0));
}

#[tokio::test]
async fn authorised_money_is_captured_in_part_and_refunded_within_it() {
    for provider in [STRIPE, ADYEN] {
        let desk = Desk::open(provider).await;
        let id = desk.create("MANUAL").await;
        let held = desk.confirm(&id, "tok_ok").await.expect(200).value();
        assert_eq!(
            (&held["status"], &held["authorizedAmount"]),
            (&json!("AUTHORIZED"), &json!(100.0))
        );
        assert_eq!(desk.money(&id).await, (0, 0), "nothing moved yet");
        desk.step(&id, "capture", &json!({"amount": 100.01}))
            .await
            .expect_problem(409, "payments.capture_too_much");
        let refund = json!({"reason": "too early"});
        desk.step(&id, "refunds", &refund).await.expect_problem(409, "payments.nothing_captured");
        let taken = desk.step(&id, "capture", &json!({"amount": 60.00})).await;
        assert!(matches!(taken.status.as_u16(), 200 | 202), "{}", taken.text());
        let payment = desk.becomes(&id, "CAPTURED").await;
        assert_eq!(payment["capturedAmount"], 60.0);
        desk.step(&id, "capture", &json!({})).await.expect_problem(409, "payments.wrong_state");
        desk.step(&id, "void", &json!({"reason": "too late"}))
            .await
            .expect_problem(409, "payments.wrong_state");
        let too_much = json!({"amount": 60.01, "reason": "generous"});
        let refused = desk.step(&id, "refunds", &too_much).await;
        let refused = refused.expect_problem(409, "payments.refund_too_much");
        assert_eq!(refused.value()["refundable"], 60.0);
        desk.step(&id, "refunds", &json!({"amount": 10.00, "reason": "scratched"}))
            .await
            .expect(201);
        desk.becomes(&id, "PARTIALLY_REFUNDED").await;
        desk.step(&id, "refunds", &json!({"reason": "all of it"})).await.expect(201);
        desk.becomes(&id, "REFUNDED").await;
        assert_eq!(desk.money(&id).await, (1, 2));
        desk.step(&id, "refunds", &json!({"reason": "again"}))
            .await
            .expect_problem(409, "payments.refund_too_much");
    }
}

#[tokio::test]
async fn refunds_at_once_never_exceed_the_capture_and_one_key_is_one_refund() {
    let desk = Desk::open(STRIPE).await;
    let id = desk.create("AUTOMATIC").await;
    desk.confirm(&id, "tok_ok").await.expect(200);
    let body = json!({"amount": 30.00, "reason": "at once"});
    let answers = join_all((0..10).map(|_| desk.step(&id, "refunds", &body))).await;
    let done = answers.iter().filter(|a| a.status == 201).count();
    let refused = answers.iter().filter(|a| a.code() == "payments.refund_too_much").count();
    assert_eq!((done, refused), (3, 7));
    let (key, path) = (desk.key(), format!("/payments/{id}/refunds"));
    let body = json!({"amount": 5.00, "reason": "twice"});
    let twice = join_all((0..5).map(|_| desk.post(&path, &desk.support, &key, &body))).await;
    let ids: Vec<Value> = twice.iter().map(|a| a.value()["refundId"].clone()).collect();
    assert!(ids.iter().all(|refund| *refund == ids[0]), "{ids:?}");
    desk.becomes(&id, "PARTIALLY_REFUNDED").await;
    assert_eq!(desk.money(&id).await, (1, 4));
}

#[tokio::test]
async fn a_void_gives_up_what_no_money_moved_for() {
    for provider in [STRIPE, ADYEN] {
        let desk = Desk::open(provider).await;
        let reason = json!({"reason": "changed their mind"});
        let untried = desk.create("AUTOMATIC").await;
        let gone = desk.step(&untried, "void", &reason).await.expect(200);
        assert_eq!(gone.value()["status"], "CANCELED");
        desk.confirm(&untried, "tok_ok").await.expect_problem(409, "payments.wrong_state");
        for (token, method) in [("tok_ok", "MANUAL"), ("tok_requires_action", "AUTOMATIC")] {
            let id = desk.create(method).await;
            desk.confirm(&id, token).await.expect(200);
            desk.step(&id, "void", &reason).await;
            let payment = desk.becomes(&id, "CANCELED").await;
            assert!(payment.get("nextAction").is_none());
            desk.step(&id, "capture", &json!({})).await.expect_problem(409, "payments.wrong_state");
            desk.step(&id, "refunds", &reason)
                .await
                .expect_problem(409, "payments.nothing_captured");
            assert_eq!(desk.money(&id).await, (0, 0), "{token}");
        }
    }
}

#[tokio::test]
async fn a_payment_goes_on_after_the_buyers_action() {
    for (provider, manual) in [(STRIPE, false), (STRIPE, true), (ADYEN, false), (ADYEN, true)] {
        let desk = Desk::open(provider).await;
        let id = desk.create(if manual { "MANUAL" } else { "AUTOMATIC" }).await;
        let waits = desk.confirm(&id, "tok_requires_action").await.expect(200).value();
        assert_eq!(waits["status"], "REQUIRES_ACTION");
        assert_eq!(waits["nextAction"]["type"], "redirect");
        let url = waits["nextAction"]["url"].as_str().unwrap().to_owned();
        desk.confirm(&id, "tok_ok").await.expect_problem(409, "payments.action_required");
        let body = json!({"paymentId": id});
        let early =
            desk.post("/payments/confirm", &desk.buyer, &desk.key(), &body).await.expect(200);
        assert_eq!(early.value()["status"], "REQUIRES_ACTION", "not done yet");
        assert_eq!(early.value()["nextAction"]["url"], url);
        let back = desk.act(&url, "approve").await;
        assert!(back.starts_with("http://127.0.0.1:9/back?"), "{back}");
        let result = back.split_once("redirectResult=").map(|(_, result)| result);
        let body = json!({"paymentId": id, "actionResult": result});
        let paid = desk.post("/payments/confirm", &desk.buyer, &desk.key(), &body).await;
        // A notification may have been faster.
        assert!(paid.status == 200 || paid.code() == "payments.wrong_state", "{}", paid.text());
        let wanted = if manual { "AUTHORIZED" } else { "CAPTURED" };
        desk.becomes(&id, wanted).await;
        assert_eq!(desk.money(&id).await, (usize::from(!manual), 0));
    }
}

#[tokio::test]
async fn a_refused_action_declines_the_payment() {
    for provider in [STRIPE, ADYEN] {
        let desk = Desk::open(provider).await;
        let id = desk.create("AUTOMATIC").await;
        let waits = desk.confirm(&id, "tok_requires_action").await.expect(200).value();
        let back = desk.act(waits["nextAction"]["url"].as_str().unwrap(), "refuse").await;
        let result = back.split_once("redirectResult=").map(|(_, result)| result);
        let body = json!({"paymentId": id, "actionResult": result});
        desk.post("/payments/confirm", &desk.buyer, &desk.key(), &body).await;
        desk.becomes(&id, "DECLINED").await;
        desk.confirm(&id, "tok_ok").await.expect(200);
        assert_eq!(desk.money(&id).await, (1, 0));
    }
}

#[tokio::test]
async fn a_lost_capture_happens_once() {
    let desk = Desk::open(STRIPE).await;
    for (deed, waits) in [("lost_after", false), ("lost_before", true)] {
        let id = desk.create("MANUAL").await;
        desk.confirm(&id, "tok_ok").await.expect(200);
        desk.shop.simulator.script(&[deed]).await;
        let answer = desk.step(&id, "capture", &json!({})).await;
        assert_eq!(answer.status.as_u16(), if waits { 202 } else { 200 }, "{}", answer.text());
        if waits {
            assert_eq!(desk.money(&id).await, (0, 0));
            desk.shop.pass(31).await;
        }
        desk.becomes(&id, "CAPTURED").await;
        assert_eq!(desk.money(&id).await, (1, 0), "{deed}");
    }
}

#[tokio::test]
async fn others_see_nothing_and_only_staff_moves_money_back() {
    let desk = Desk::open(STRIPE).await;
    let id = desk.create("MANUAL").await;
    let stranger =
        desk.shop.bench.token_for_user(desk.shop.bench.id::<UserId>(), &[Role::Customer]);
    let body = json!({"paymentId": id, "paymentMethod": {"type": "card", "token": "tok_ok"}});
    desk.post("/payments/confirm", &stranger, &desk.key(), &body)
        .await
        .expect_problem(404, "payments.not_found");
    desk.confirm(&id, "tok_ok").await.expect(200);
    for (step, body) in [
        ("capture", json!({})),
        ("void", json!({"reason": "no right"})),
        ("refunds", json!({"reason": "no right"})),
    ] {
        let path = format!("/payments/{id}/{step}");
        desk.post(&path, &desk.buyer, &desk.key(), &body)
            .await
            .expect_problem(403, "auth.role_missing");
        let unkeyed = desk.http.post(&path).bearer(&desk.support).json(&body).send().await;
        unkeyed.expect_problem(400, "idempotency.key_missing");
    }
    assert_eq!(desk.get(&id).await["status"], "AUTHORIZED", "nothing changed");
    let guest = desk.shop.bench.guest_token(desk.shop.bench.id::<GuestId>());
    let body = json!({"amount": 5, "currency": "EUR"});
    desk.post("/payments/intent", &guest, &desk.key(), &body).await.expect(201);
}

#[tokio::test]
async fn every_wrong_field_is_named_and_card_numbers_are_refused() {
    let desk = Desk::open(STRIPE).await;
    let body = json!({"amount": 1.234, "currency": "EUR", "country": "Germany", "orderId": "x"});
    let wrong = desk.post("/payments/intent", &desk.buyer, &desk.key(), &body).await;
    assert_eq!(wrong.clone().expect(422).fields(), ["orderId", "amount", "country"]);
    let body = json!({"amount": 0, "currency": "EURO"});
    let wrong = desk.post("/payments/intent", &desk.buyer, &desk.key(), &body).await.expect(422);
    assert_eq!(wrong.fields(), ["currency"]);
    let body = json!({"paymentMethod": {"type": "cash", "token": "4242424242424242"},
        "returnUrl": "javascript:alert(1)"});
    let wrong = desk.post("/payments/confirm", &desk.buyer, &desk.key(), &body).await.expect(422);
    let fields = ["paymentId", "paymentMethod.type", "paymentMethod.token", "returnUrl"];
    assert_eq!(wrong.fields(), fields);
    assert!(!wrong.text().contains("4242"));
    let id = desk.create("AUTOMATIC").await;
    let body = json!({"paymentId": id});
    let bare = desk.post("/payments/confirm", &desk.buyer, &desk.key(), &body).await.expect(422);
    assert_eq!(bare.fields(), ["paymentMethod"]);
    let order = desk.shop.order();
    let (_, paid) = desk.shop.pay_once(order, "tok_ok").await;
    let path = format!("/payments/{}/refunds", paid.payment_id);
    desk.post(&path, &desk.support, &desk.key(), &json!({"reason": "not here"}))
        .await
        .expect_problem(409, "payments.of_an_order");
    let grant = desk.shop.bench.grant_token("order", &order.to_string());
    let seen = desk.http.get(&format!("/payments/{}", paid.payment_id)).order_token(&grant);
    assert_eq!(seen.send().await.expect(200).value()["status"], "CAPTURED");
}

#[tokio::test]
async fn manual_capture_needs_a_provider_that_can() {
    let desk = Desk::open("").await;
    let body = json!({"amount": 5, "currency": "EUR", "captureMethod": "MANUAL"});
    desk.post("/payments/intent", &desk.buyer, &desk.key(), &body)
        .await
        .expect_problem(422, "payments.not_accepted");
}
