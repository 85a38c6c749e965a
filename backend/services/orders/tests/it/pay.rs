use serde_json::json;

use crate::support::{Act, PAYMENT, method, one_shirt, shop, with_method};

#[tokio::test]
async fn a_paid_order_is_confirmed_and_cannot_be_paid_again() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("place", &one_shirt()).await;
    let paid = shop.pay(order, "pay", "tok_ok").await.expect(200);
    assert_eq!(paid.value()["paymentId"], PAYMENT);
    assert_eq!(paid.header("idempotency-replayed"), "");
    shop.until(order, "CONFIRMED", "done").await;
    let again = shop.pay(order, "pay", "tok_ok").await.expect(200);
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&paid.body, "true"));
    shop.pay(order, "other", "tok_ok").await.expect_problem(409, "orders.already_paid");
    shop.pay(order, "pay", "tok_declined").await.expect_problem(422, "idempotency.mismatch");
    assert_eq!(shop.world.lock().charged[&order.to_string()], 2_990);
    assert_eq!(shop.events().await, ["created", "paid", "confirmed"]);
}

#[tokio::test]
async fn a_decline_is_remembered_and_the_fifth_ends_the_order() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("place", &one_shirt()).await;
    for attempt in 1..=5 {
        let key = format!("pay-{attempt}");
        let declined = shop.pay(order, &key, "tok_declined").await;
        let declined = declined.expect_problem(402, "payments.declined");
        assert_eq!(declined.value()["declineCode"], "card_declined");
        let again = shop.pay(order, &key, "tok_declined").await.expect(402);
        assert_eq!(again.body, declined.body);
        if attempt < 5 {
            let wanted = ("PENDING".to_owned(), "awaiting_payment".to_owned());
            assert_eq!(shop.status(order).await, wanted);
            assert!(shop.world.lock().pinned.is_empty(), "the hold runs again");
        }
    }
    shop.until(order, "FAILED", "done").await;
    assert!(shop.world.lock().held.is_empty(), "the stock is free");
    assert_eq!(shop.events().await, ["created", "failed"]);
    shop.pay(order, "late", "tok_ok").await.expect_problem(409, "orders.illegal_transition");
}

#[tokio::test]
async fn an_undecided_payment_answers_202_and_is_decided_later() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("place", &one_shirt()).await;
    shop.world.will("capture", Act::Say("pending"));
    let open = shop.pay(order, "pay", "tok_ok").await.expect(202);
    assert_eq!(open.value()["stage"], "capturing");
    shop.pay(order, "other", "tok_ok").await.expect_problem(409, "orders.payment_in_progress");
    let refused = shop.cancel(order, &shop.token).await;
    refused.expect_problem(409, "orders.payment_in_progress");
    assert!(shop.world.lock().pinned.contains(&order.to_string()), "pinned while undecided");
    for attempt in shop.world.lock().attempts.values_mut() {
        attempt.2 = "captured";
    }
    shop.bench.advance(std::time::Duration::from_secs(31));
    shop.until(order, "CONFIRMED", "done").await;
    let again = shop.pay(order, "pay", "tok_ok").await.expect(202);
    assert_eq!(again.body, open.body, "what was answered once is answered again");
}

#[tokio::test]
async fn a_lost_capture_is_asked_for_and_never_charged_twice() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("place", &one_shirt()).await;
    shop.world.will("capture", Act::LostAnswer);
    let first = shop.pay(order, "pay", "tok_ok").await;
    assert_eq!(first.status.as_u16(), 202, "the frozen clock holds the next look back");
    shop.bench.advance(std::time::Duration::from_secs(1));
    shop.until(order, "CONFIRMED", "done").await;
    assert_eq!(shop.world.lock().charged[&order.to_string()], 2_990);
    assert_eq!(shop.world.count("capture"), 1);
}

#[tokio::test]
async fn what_could_not_be_sent_is_503_and_the_same_key_may_try_again() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("place", &one_shirt()).await;
    for _ in 0..3 {
        shop.world.will("capture", Act::Say("not_sent"));
    }
    let (answer, ()) = tokio::join!(shop.pay(order, "pay", "tok_ok"), async {
        for _ in 0..30 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            shop.bench.advance(std::time::Duration::from_millis(50));
        }
    });
    answer.expect_problem(503, "payments.unavailable");
    assert_eq!(shop.status(order).await.1, "awaiting_payment");
    shop.pay(order, "pay", "tok_ok").await.expect(200);
    assert_eq!(shop.world.lock().charged[&order.to_string()], 2_990);
    assert_eq!(shop.count("payment_attempts").await, 4, "every attempt is a row");
}

#[tokio::test]
async fn a_hold_that_is_gone_ends_the_order_before_money_moves() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("place", &one_shirt()).await;
    shop.world.will("pin", Act::Say("gone"));
    shop.pay(order, "pay", "tok_ok").await.expect_problem(409, "orders.hold_expired");
    shop.until(order, "CANCELED", "done").await;
    assert!(shop.world.lock().charged.is_empty());
}

#[tokio::test]
async fn an_order_is_paid_by_its_owner_only() {
    let mut shop = shop().await;
    shop.run();
    let guest = shop.guest();
    let placed =
        shop.client.post("/orders").bearer(&guest).key("g").json(&one_shirt()).send().await;
    let placed = placed.expect(201).value();
    let path = format!("/orders/{}/pay", placed["orderId"].as_str().unwrap());
    let pay = |key: &str| shop.client.post(&path).key(key).json(&method("tok_ok"));
    let other = shop.guest();
    for stranger in [&other, &shop.token] {
        let refused = pay("k").bearer(stranger).send().await;
        refused.expect_problem(404, "orders.not_found");
    }
    pay("k").bearer(&shop.staff).send().await.expect_problem(403, "orders.not_owner");
    let wrong = shop.bench.grant_token("order", &uuid::Uuid::new_v4().to_string());
    pay("k").order_token(&wrong).send().await.expect_problem(404, "orders.not_found");
    pay("k").order_token(placed["orderToken"].as_str().unwrap()).send().await.expect(200);
}

#[tokio::test]
async fn wrong_methods_are_named_and_card_numbers_never_taken() {
    let shop = shop().await;
    let order = shop.placed("place", &one_shirt()).await;
    let path = format!("/orders/{order}/pay");
    let send = |body: serde_json::Value| {
        shop.client.post(&path).bearer(&shop.token).key("key").json(&body).send()
    };
    assert_eq!(send(json!({})).await.expect(422).fields(), ["paymentMethod"]);
    let card = send(method("tok_4111111111111111")).await.expect(422);
    assert_eq!(card.value()["errors"][0]["code"], "card_number");
    let missing = shop.client.post(&path).bearer(&shop.token).json(&method("tok_ok")).send().await;
    missing.expect_problem(400, "idempotency.key_missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payers_with_one_key_share_one_attempt_and_one_answer() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("place", &one_shirt()).await;
    let requests = (0..10).map(async |_| shop.pay(order, "pay", "tok_ok").await);
    let answers = futures_util::future::join_all(requests).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &answers[0].body));
    }
    assert_eq!(shop.count("payment_attempts").await, 1);
    assert_eq!(shop.world.lock().charged[&order.to_string()], 2_990);
}

#[tokio::test]
async fn a_decline_in_the_automatic_flow_fails_the_order_and_frees_the_stock() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_declined")).await;
    shop.pay(order, "pay", "tok_ok").await.expect_problem(409, "orders.payment_in_progress");
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await, ("FAILED".into(), "done".into()));
    assert_eq!(shop.causes(order).await, ["placed", "payment_declined"]);
    assert!(shop.world.lock().held.is_empty());
    assert_eq!(shop.events().await, ["created", "failed"]);
}
