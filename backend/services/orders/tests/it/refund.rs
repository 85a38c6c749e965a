use serde_json::{Value, json};

use crate::support::{Act, one_shirt, placement, shop};

#[tokio::test]
async fn money_goes_back_in_parts_but_never_more_than_came() {
    let mut shop = shop().await;
    let order = shop.confirmed("key", &one_shirt()).await;
    shop.run();
    let part = json!({"orderId": order, "amount": 10, "reason": "late"});
    let first = shop.refund("r1", &part).await.expect(201);
    assert!(first.text().contains(r#""amount":10.00,"currency":"USD","status":"SUCCEEDED""#));
    assert_eq!(shop.refund("r1", &part).await.expect(201).body, first.body);
    let refused =
        shop.refund("r2", &json!({"orderId": order, "amount": 19.91, "reason": "x"})).await;
    let refused = refused.expect_problem(409, "payments.refund_too_much");
    assert!(refused.text().contains(r#""refundable":19.90"#));
    let rest =
        shop.refund("r3", &json!({"orderId": order, "reason": "all of it"})).await.expect(201);
    assert!(rest.text().contains(r#""amount":19.90"#), "{}", rest.text());
    let nothing = shop.refund("r4", &json!({"orderId": order, "reason": "x"})).await;
    nothing.expect_problem(409, "payments.refund_too_much");
    assert_eq!(shop.world.lock().refunds.values().sum::<i64>(), 2_990);
    assert_eq!(shop.status(order).await, ("CONFIRMED".into(), "done".into()), "a refund alone");
    let view = shop.client.get(&format!("/orders/{order}")).bearer(&shop.token).send().await;
    assert!(view.text().contains(r#""refundedAmount":29.90"#));
}

#[tokio::test]
async fn lines_go_back_at_their_price_and_into_stock() {
    let mut shop = shop().await;
    let mut body = placement(json!([{"sku": "TEA", "qty": 3}]));
    body["shippingAddress"]["country"] = json!("GB");
    let order = shop.confirmed("key", &body).await;
    shop.run();
    let lines = |qty: i64| json!({"orderId": order, "lines": [{"sku": "tea", "qty": qty}], "restock": true, "reason": "stale"});
    let back = shop.refund("r1", &lines(2)).await.expect(201);
    // 3.33 each, and two thirds of the line's 2.00 tax.
    assert!(back.text().contains(r#""amount":7.99"#), "{}", back.text());
    assert_eq!(shop.world.lock().returned.values().next().unwrap(), &[("TEA".to_owned(), 2)]);
    let refused = shop.refund("r2", &lines(2)).await.expect_problem(409, "orders.return_too_much");
    assert_eq!(refused.fields(), ["lines[0].qty"]);
    shop.refund("r3", &lines(1)).await.expect(201);
    assert_eq!(shop.world.lock().refunds.values().sum::<i64>(), 1_199);
}

#[tokio::test]
async fn only_support_and_services_refund_and_wrong_fields_are_named() {
    let shop = shop().await;
    let order = shop.placed("key", &one_shirt()).await;
    let body = json!({"orderId": order, "reason": "x"});
    let send = |token: &str, body: &Value| {
        shop.client.post("/payments/refund").bearer(token).key("k").json(body).send()
    };
    send(&shop.token, &body).await.expect_problem(403, "auth.role_missing");
    send(&shop.guest(), &body).await.expect_problem(401, "auth.sign_in");
    send(&shop.staff, &body).await.expect_problem(409, "payments.nothing_captured");
    let service = shop.bench.service_token("simulate");
    send(&service, &body).await.expect_problem(409, "payments.nothing_captured");
    let nobody = json!({"orderId": uuid::Uuid::new_v4(), "reason": "x"});
    send(&shop.staff, &nobody).await.expect_problem(404, "orders.not_found");
    let wrong = json!({"amount": -1, "lines": [{"sku": "", "qty": 0}], "restock": true});
    let fields = send(&shop.staff, &wrong).await.expect(422).fields();
    assert_eq!(fields, ["orderId", "reason", "lines"]);
    let wrong = json!({"orderId": order, "amount": 0, "restock": true, "reason": "x"});
    assert_eq!(send(&shop.staff, &wrong).await.expect(422).fields(), ["amount", "restock"]);
    let paid = shop.confirmed("paid", &one_shirt()).await;
    let digits = json!({"orderId": paid, "amount": 1.001, "reason": "x"});
    assert_eq!(send(&shop.staff, &digits).await.expect(422).fields(), ["amount"]);
    let foreign = json!({"orderId": paid, "lines": [{"sku": "MUG", "qty": 1}], "reason": "x"});
    assert_eq!(send(&shop.staff, &foreign).await.expect(422).fields(), ["lines[0].sku"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_once_never_give_back_more_than_was_captured() {
    let mut shop = shop().await;
    let order = shop.confirmed("key", &one_shirt()).await;
    shop.run();
    let requests = (0..8).map(async |n| {
        let body = json!({"orderId": order, "amount": 10, "reason": "x"});
        shop.refund(&format!("r{n}"), &body).await.status.as_u16()
    });
    let mut statuses = futures_util::future::join_all(requests).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409, 409, 409, 409, 409, 409]);
    let sum: i64 = sqlx::query_scalar("SELECT refunded_minor FROM orders")
        .fetch_one(shop.bench.pool())
        .await
        .unwrap();
    assert_eq!((sum, shop.world.lock().refunds.values().sum::<i64>()), (2_000, 2_000));
}

#[tokio::test]
async fn a_refund_survives_an_absent_provider_and_an_absent_inventory() {
    let shop = shop().await;
    let order = shop.confirmed("key", &one_shirt()).await;
    shop.world.will("refund", Act::LostAnswer);
    shop.world.will("refund", Act::Say("pending"));
    shop.world.will("return", Act::Away);
    let lines = json!([{"sku": "SHIRT-M", "qty": 1}]);
    let body = json!({"orderId": order, "lines": lines, "restock": true, "reason": "x"});
    let open = shop.refund("r", &body).await.expect(201);
    assert_eq!(open.value()["status"], "PENDING");
    for _ in 0..4 {
        shop.crank.run(order).await.unwrap();
        shop.bench.advance(std::time::Duration::from_secs(60));
    }
    assert_eq!(shop.world.lock().refunds.values().copied().collect::<Vec<_>>(), [2_500]);
    assert_eq!(shop.world.lock().returned.len(), 1);
    let states: Vec<String> =
        sqlx::query_scalar("SELECT state FROM refunds").fetch_all(shop.bench.pool()).await.unwrap();
    assert_eq!(states, ["succeeded"]);
    assert_eq!(shop.refund("r", &body).await.expect(201).body, open.body);
}

#[tokio::test]
async fn a_refund_the_provider_refuses_gives_its_units_back() {
    let mut shop = shop().await;
    let order = shop.confirmed("key", &one_shirt()).await;
    shop.run();
    shop.world.will("refund", Act::Say("too_much"));
    let lines = json!([{"sku": "SHIRT-M", "qty": 1}]);
    let body = json!({"orderId": order, "lines": lines, "reason": "x"});
    shop.refund("r1", &body).await.expect_problem(409, "payments.refund_refused");
    shop.refund("r1", &body).await.expect_problem(409, "payments.refund_refused");
    shop.refund("r2", &body).await.expect(201);
}
