//! Sagas that do not get on by themselves, and what operators do about them.

use std::time::Duration;

use serde_json::{Value, json};
use shared_types::{OrderId, Role};

use crate::support::{Act, STUCK_AFTER, Shop, one_shirt, shop, with_method};

impl Shop {
    fn operator(&self) -> String {
        self.bench.token_for_user(self.bench.id(), &[Role::Operator])
    }

    async fn sagas(&self, query: &str) -> Value {
        let path = format!("/admin/sagas{query}");
        self.client.get(&path).bearer(&self.operator()).send().await.expect(200).value()
    }

    async fn saga(&self, order: OrderId) -> Value {
        self.sagas(&format!("/{order}")).await
    }

    async fn operate(
        &self,
        order: OrderId,
        action: &str,
        body: &Value,
    ) -> platform::testing::TestAnswer {
        let path = format!("/admin/sagas/{order}/{action}");
        self.client.post(&path).bearer(&self.operator()).json(body).send().await
    }

    /// Fails the call until a person is told.
    async fn get_stuck(&self, order: OrderId, call: &'static str) {
        for _ in 0..STUCK_AFTER {
            self.world.will(call, Act::Away);
            self.crank.run(order).await.unwrap();
            self.bench.advance(Duration::from_secs(31));
        }
        assert_eq!(self.saga(order).await["stuck"], true, "{call}");
    }

    async fn audited(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT action FROM audit_log ORDER BY seq")
            .fetch_all(self.bench.pool())
            .await
            .unwrap()
    }
}

fn why() -> Value {
    json!({ "reason": "the provider told us on the phone" })
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|i| i["orderId"].as_str().unwrap().to_owned()).collect()
}

fn step(saga: &Value, name: &str) -> String {
    let steps = saga["steps"].as_array().unwrap();
    let found = steps.iter().find(|s| s["name"] == name).unwrap();
    found["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_stuck_step_is_retried_with_the_audit_row_in_the_same_breath() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    shop.get_stuck(order, "confirm").await;
    let saga = shop.saga(order).await;
    assert_eq!((step(&saga, "pay"), step(&saga, "confirm")), ("done".into(), "stuck".into()));
    assert_eq!(saga["actions"], json!(["retry", "compensate", "resolve"]));
    assert_eq!(saga["attempts"][0]["state"], "captured");

    let stale = json!({ "reason": "x", "version": 1 });
    shop.operate(order, "retry", &stale).await.expect_problem(409, "sagas.changed");
    shop.operate(order, "retry", &json!({})).await.expect(422);
    assert!(shop.audited().await.is_empty(), "nothing was done yet");

    let current = json!({ "reason": "inventory is back", "version": saga["version"] });
    let answer = shop.operate(order, "retry", &current).await.expect(200);
    assert_eq!(answer.value()["stuck"], false);
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await, ("CONFIRMED".into(), "done".into()));
    assert_eq!(shop.audited().await, ["saga.retry"]);
    shop.operate(order, "retry", &why()).await.expect_problem(409, "sagas.at_rest");
}

#[tokio::test]
async fn compensating_gives_money_and_stock_back() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    shop.get_stuck(order, "confirm").await;
    shop.operate(order, "compensate", &why()).await.expect(200);
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await, ("CANCELED".into(), "done".into()));
    assert_eq!(shop.causes(order).await, ["placed", "captured", "refunded", "operator_request"]);
    assert_eq!(shop.world.lock().refunds.values().sum::<i64>(), 2_990);
    assert!(shop.world.lock().held.is_empty() && shop.world.lock().allocated.is_empty());
    let saga = shop.saga(order).await;
    assert_eq!((step(&saga, "refund"), step(&saga, "release")), ("done".into(), "done".into()));
}

#[tokio::test]
async fn money_of_an_undecided_payment_goes_back_after_the_order_was_ended() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    shop.world.will("capture", Act::LostAnswer);
    assert!(shop.crank.step(order).await.unwrap() || shop.status(order).await.1 == "capturing");
    shop.operate(order, "compensate", &why()).await.expect(200);
    shop.operate(order, "compensate", &why()).await.expect_problem(409, "sagas.compensating");
    for _ in 0..3 {
        shop.crank.run(order).await.unwrap();
        shop.bench.advance(Duration::from_secs(1));
    }
    assert_eq!(shop.status(order).await, ("CANCELED".into(), "done".into()));
    assert_eq!(shop.world.lock().charged[&order.to_string()], 2_990);
    assert_eq!(shop.world.lock().refunds.values().sum::<i64>(), 2_990);
    let expected = ["placed", "operator_request", "late_capture", "refunded"];
    assert_eq!(shop.causes(order).await, expected);
    let token: Option<Vec<u8>> = sqlx::query_scalar("SELECT token_sealed FROM payment_attempts")
        .fetch_one(shop.bench.pool())
        .await
        .unwrap();
    assert_eq!(token, None, "forgotten once it is decided");
}

#[tokio::test]
async fn a_refund_that_the_provider_refused_is_asked_for_anew_or_resolved_by_hand() {
    for action in ["retry", "resolve"] {
        let shop = shop().await;
        let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
        shop.world.will("confirm", Act::Say("gone"));
        shop.world.will("reserve", Act::Say("short"));
        shop.world.will("refund", Act::Say("too_much"));
        shop.crank.run(order).await.unwrap();
        let saga = shop.saga(order).await;
        assert_eq!((&saga["status"], &saga["stuck"]), (&json!("PAID"), &json!(true)));
        shop.operate(order, action, &why()).await.expect(200);
        shop.crank.run(order).await.unwrap();
        assert_eq!(shop.status(order).await, ("CANCELED".into(), "done".into()), "{action}");
        let sent = shop.world.lock().refunds.values().sum::<i64>();
        assert_eq!(sent, if action == "retry" { 2_990 } else { 0 }, "{action}");
        assert_eq!(shop.saga(order).await["refundedAmount"], json!(29.90), "{action}");
    }
}

#[tokio::test]
async fn what_gets_on_by_itself_and_what_a_hand_cannot_do_is_not_resolved() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    shop.operate(order, "resolve", &why()).await.expect_problem(409, "sagas.not_stuck");
    shop.operate(order, "compensate", &why())
        .await
        .expect_problem(409, "orders.payment_in_progress");
    shop.get_stuck(order, "pin").await;
    shop.operate(order, "resolve", &why()).await.expect_problem(409, "sagas.not_resolvable");
    let waiting = shop.placed("other", &one_shirt()).await;
    shop.operate(waiting, "retry", &why()).await.expect_problem(409, "sagas.waits_for_buyer");
    let nobody: OrderId = shop.bench.id();
    shop.operate(nobody, "retry", &why()).await.expect_problem(404, "orders.not_found");
    assert!(shop.audited().await.is_empty());
}

#[tokio::test]
async fn only_operators_and_admins_see_and_steer_sagas() {
    let shop = shop().await;
    let order = shop.placed("key", &one_shirt()).await;
    let merchant = shop.bench.token_for_user(shop.bench.id(), &[Role::Merchant]);
    let admin = shop.bench.token_for_user(shop.bench.id(), &[Role::Admin]);
    for path in ["/admin/sagas".to_owned(), format!("/admin/sagas/{order}")] {
        for (token, status) in [(&shop.token, 403), (&merchant, 403), (&shop.guest(), 401)] {
            shop.client.get(&path).bearer(token).send().await.expect(status);
        }
        shop.client.get(&path).bearer(&admin).send().await.expect(200);
    }
    let path = format!("/admin/sagas/{order}/compensate");
    shop.client.post(&path).bearer(&merchant).json(&why()).send().await.expect(403);
    shop.client.post(&path).bearer(&admin).json(&why()).send().await.expect(200);
}

#[tokio::test]
async fn sagas_are_listed_by_state_age_and_amount_page_by_page() {
    let shop = shop().await;
    let mut placed = Vec::new();
    for (n, qty) in [3, 1, 2].into_iter().enumerate() {
        let body = crate::support::placement(json!([{ "sku": "SHIRT-M", "qty": qty }]));
        placed.push(shop.placed(&format!("k{n}"), &body).await.to_string());
        shop.bench.advance(Duration::from_secs(60));
    }
    shop.confirmed("done", &one_shirt()).await;
    assert_eq!(ids(&shop.sagas("").await), placed, "oldest first, without those at rest");
    let by_amount = ids(&shop.sagas("?sort=amount").await);
    assert_eq!(by_amount, [&*placed[0], &*placed[2], &*placed[1]]);
    assert_eq!(ids(&shop.sagas("?olderThanSeconds=100").await), placed[..2]);
    assert_eq!(ids(&shop.sagas("?minAmount=50.00&currency=USD&sort=amount").await).len(), 2);
    assert_eq!(ids(&shop.sagas("?state=done").await).len(), 1);
    assert_eq!(ids(&shop.sagas("?stuck=true").await).len(), 0);
    for sort in ["age", "amount"] {
        let mut seen = Vec::new();
        let mut after = String::new();
        for _ in 0..3 {
            let page = shop.sagas(&format!("?sort={sort}&first=1&after={after}")).await;
            seen.extend(ids(&page));
            after = page["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
        }
        assert_eq!(seen.len(), 3);
        assert_eq!(seen, ids(&shop.sagas(&format!("?sort={sort}")).await));
        let other = if sort == "age" { "amount" } else { "age" };
        let path = format!("/admin/sagas?sort={other}&after={after}");
        shop.client.get(&path).bearer(&shop.operator()).send().await.expect(400);
    }
    for wrong in ["state=x", "stuck=maybe", "olderThanSeconds=-1", "minAmount=x", "sort=up"] {
        let path = format!("/admin/sagas?{wrong}");
        shop.client.get(&path).bearer(&shop.operator()).send().await.expect(400);
    }
}

#[tokio::test]
async fn a_backordered_order_waits_for_its_units_and_is_charged_when_they_came() {
    let shop = shop().await;
    shop.world.will("reserve", Act::Say("waiting"));
    let answer = shop.place("key", &with_method(one_shirt(), "tok_ok")).await.expect(201);
    assert_eq!(
        (&answer.value()["stage"], &answer.value()["holdExpiresAt"]),
        (&json!("backordered"), &Value::Null)
    );
    let order: OrderId = answer.value()["orderId"].as_str().unwrap().parse().unwrap();
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await, ("PENDING".into(), "backordered".into()));
    assert!(shop.world.lock().charged.is_empty());
    shop.pay(order, "early", "tok_ok").await.expect_problem(409, "orders.not_ready");
    // The event got lost: asking again finds that the units came.
    shop.bench.advance(Duration::from_secs(601));
    shop.world.lock().hold_until = shop.bench.clock().now().unix() + 86_400;
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await, ("CONFIRMED".into(), "done".into()));

    shop.world.will("reserve", Act::Say("waiting"));
    let order = shop.placed("other", &one_shirt()).await;
    shop.cancel(order, &shop.token).await.expect(200);
    shop.crank.run(order).await.unwrap();
    assert!(shop.world.lock().held.is_empty(), "its place in the queue is given up");
}
