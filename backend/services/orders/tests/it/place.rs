use contracts::events::orders::{OrderCreated, Reservation};
use platform::auth::FRESH_GUEST;
use platform::testing::outbox_of;
use serde_json::{Value, json};
use shared_types::Role;

use crate::support::{Act, one_shirt, placement, shop, shop_with, with_method};

#[tokio::test]
async fn an_order_is_placed_with_its_stock_held_and_its_event_waiting() {
    let shop = shop().await;
    let body = placement(json!([{"sku": "shirt-m", "qty": 1}, {"sku": "MUG", "qty": 2},
                                {"sku": "SHIRT-M", "qty": 1}]));
    let answer = shop.place("first", &body).await.expect(201);
    let order = answer.value();
    let id = order["orderId"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/orders/{id}"));
    assert_eq!(
        (&order["status"], &order["stage"]),
        (&json!("PENDING"), &json!("awaiting_payment"))
    );
    assert_eq!(order["items"][0]["qty"], 2, "lines of one sku are added up");
    assert_eq!(order["items"].as_array().unwrap().len(), 2);
    let text = answer.text();
    for part in [
        r#""orderNumber":"BV-100001""#,
        r#""subtotal":69.98,"discount":0.00,"tax":0.00,"shipping":0.00"#,
        r#""totalAmount":69.98"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let events: Vec<OrderCreated> = outbox_of(shop.bench.pool()).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].reservation, events[0].user_id), (Reservation::Held, Some(shop.user)));
    assert_eq!(shop.world.lock().held[id], [("SHIRT-M".into(), 2), ("MUG".into(), 2)]);
    assert!(order["holdExpiresAt"].is_string());
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let shop = shop().await;
    let body = json!({
        "lines": [{"sku": "", "qty": 0}, {"sku": " x", "qty": 10001}],
        "cartId": null,
        "email": "nobody",
        "shippingAddress": {"name": "", "country": "UK"},
        "shippingMethod": "drone",
        "paymentMethod": {"type": "cash", "token": "4111 1111 1111 1111"},
        "taxAndShipping": "some",
    });
    let answer = shop.place("key", &body).await.expect_problem(422, "request.invalid");
    let mut fields = answer.fields();
    fields.sort();
    let wanted = [
        "email",
        "lines[0].qty",
        "lines[0].sku",
        "lines[1].qty",
        "lines[1].sku",
        "paymentMethod.token",
        "paymentMethod.type",
        "shippingAddress.city",
        "shippingAddress.country",
        "shippingAddress.line1",
        "shippingAddress.name",
        "shippingAddress.postalCode",
        "shippingMethod",
        "taxAndShipping",
    ];
    assert_eq!(fields, wanted);
    let mut both = one_shirt();
    both["cartId"] = json!(uuid::Uuid::new_v4());
    assert_eq!(shop.place("key", &both).await.expect(422).fields(), ["cartId"]);
    let mut neither = one_shirt();
    neither.as_object_mut().unwrap().remove("lines");
    assert_eq!(shop.place("key", &neither).await.expect(422).fields(), ["lines"]);
    let many: Vec<Value> = (0..1_001).map(|n| json!({"sku": format!("S{n}"), "qty": 1})).collect();
    assert_eq!(shop.place("key", &placement(json!(many))).await.expect(422).fields(), ["lines"]);
    assert_eq!(shop.place("key", &placement(json!([]))).await.expect(422).fields(), ["lines"]);
    assert_eq!((shop.count("orders").await, shop.world.lock().calls.len()), (0, 0));
}

#[tokio::test]
async fn a_key_is_required_and_a_bare_one_must_be_long() {
    let shop = shop().await;
    let post = |token: &str| shop.client.post("/orders").bearer(token).json(&one_shirt());
    post(&shop.token).send().await.expect_problem(400, "idempotency.key_missing");
    // As the gateway sends on what came without a credential.
    let fresh = || post(&shop.bench.guest_token(shop.bench.id())).header(FRESH_GUEST, "1");
    fresh().key("short").send().await.expect_problem(400, "idempotency.key_invalid");
    let order = fresh().key("long-enough-for-all").send().await.expect(201);
    let again = fresh().key("long-enough-for-all").send().await.expect(201);
    assert_eq!(order.body, again.body, "without a credential the key alone counts");
    let request = shop.client.post("/orders").key("key").json(&one_shirt());
    request.send().await.expect_problem(401, "auth.invalid_token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_at_once_with_one_key_give_one_order_and_identical_bodies() {
    let shop = shop().await;
    let requests = (0..20).map(async |_| shop.place("one-key", &one_shirt()).await);
    let answers = futures_util::future::join_all(requests).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (201, &answers[0].body));
    }
    let replayed = answers.iter().filter(|a| a.header("idempotency-replayed") == "true").count();
    assert_eq!(replayed, 19);
    assert_eq!((shop.count("orders").await, shop.count("outbox").await), (1, 1));
    let mut other = one_shirt();
    other["lines"][0]["qty"] = json!(2);
    shop.place("one-key", &other).await.expect_problem(422, "idempotency.mismatch");
    let stored: Vec<u8> = sqlx::query_scalar("SELECT body FROM idempotency_records")
        .fetch_one(shop.bench.pool())
        .await
        .unwrap();
    assert!(String::from_utf8(stored).unwrap().contains("(derived)"), "no token is stored");
}

#[tokio::test]
async fn unknown_and_unsellable_skus_are_refused_after_asking_the_catalogue_once() {
    let shop = shop().await;
    let wanted = |sku: &str| placement(json!([{"sku": "MUG", "qty": 1}, {"sku": sku, "qty": 1}]));
    let refused = shop.place("k1", &wanted("NOPE")).await;
    assert_eq!(refused.expect_problem(422, "orders.unknown_sku").fields(), ["lines[1].sku"]);
    assert_eq!(shop.world.count("find_variants"), 1);
    let refused = shop.place("k2", &wanted("DRAFT-1")).await;
    assert_eq!(refused.expect_problem(422, "orders.not_for_sale").fields(), ["lines[1].sku"]);
    shop.place("k3", &one_shirt()).await.expect(201);
    let asked = shop.world.count("find_variants");
    shop.place("k4", &one_shirt()).await.expect(201);
    assert_eq!(shop.world.count("find_variants"), asked, "a known sku is not asked for");
    shop.place("k5", &wanted("TEA")).await.expect_problem(422, "orders.mixed_currency");
    shop.world.will("find_variants", Act::Away);
    shop.place("k6", &wanted("NEW")).await.expect_problem(503, "orders.catalog_away");
}

#[tokio::test]
async fn a_total_that_is_not_the_expected_one_holds_nothing() {
    let shop = shop().await;
    let mut body = one_shirt();
    body["expectedTotal"] = json!(25);
    let refused = shop.place("key", &body).await.expect_problem(409, "orders.price_changed");
    assert!(refused.text().contains(r#""totalAmount":29.90"#), "{}", refused.text());
    assert_eq!(shop.world.count("reserve"), 0);
    body["expectedTotal"] = json!(29.9);
    shop.place("key", &body).await.expect(201);
}

#[tokio::test]
async fn short_stock_leaves_nothing_behind_and_may_be_tried_again() {
    let shop = shop().await;
    shop.world.will("reserve", Act::Say("short"));
    let refused = shop.place("key", &one_shirt()).await.expect_problem(409, "orders.stock_short");
    assert_eq!(
        refused.value()["short"],
        json!([{"sku": "SHIRT-M", "requested": 1, "available": 0}])
    );
    for table in ["orders", "sagas", "outbox", "idempotency_records"] {
        assert_eq!(shop.count(table).await, 0, "{table}");
    }
    shop.place("key", &one_shirt()).await.expect(201);
}

#[tokio::test]
async fn a_request_repeated_after_a_crash_finds_the_stock_it_held() {
    let shop = shop().await;
    let rename = |from: &str, to: &str| format!("ALTER TABLE {from} RENAME TO {to}");
    let run = async |sql: String| {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(shop.bench.pool()).await.unwrap()
    };
    run(rename("sagas", "sagas_away")).await;
    let failed = shop.place("key", &one_shirt()).await;
    assert!(failed.status.is_server_error(), "held, but not stored");
    run(rename("sagas_away", "sagas")).await;
    let order = shop.place("key", &one_shirt()).await.expect(201).value();
    let held: Vec<String> = shop.world.lock().held.keys().cloned().collect();
    assert_eq!(held, [order["orderId"].as_str().unwrap()]);
    shop.place("other-key", &one_shirt()).await.expect(201);
    assert_eq!(shop.world.lock().held.len(), 2, "another request is another order");
}

#[tokio::test]
async fn what_inventory_never_heard_of_is_short() {
    let shop = shop().await;
    shop.world.will("reserve", Act::Say("refuse"));
    let refused = shop.place("key", &one_shirt()).await.expect_problem(409, "orders.stock_short");
    assert_eq!(refused.value()["short"][0]["available"], 0);
    assert_eq!(shop.count("orders").await, 0);
}

#[tokio::test]
async fn with_inventory_away_the_order_is_taken_and_waits_for_its_stock() {
    let shop = shop().await;
    for _ in 0..3 {
        shop.world.will("reserve", Act::Away);
    }
    let answer = shop.place("key", &one_shirt()).await.expect(202);
    let order = answer.value();
    assert_eq!((&order["stage"], &order["holdExpiresAt"]), (&json!("reserving"), &Value::Null));
    let events: Vec<OrderCreated> = outbox_of(shop.bench.pool()).await;
    assert_eq!(events[0].reservation, Reservation::Pending);
    assert_eq!(shop.place("key", &one_shirt()).await.expect(202).body, answer.body);
    let id = order["orderId"].as_str().unwrap().parse().unwrap();
    let refused = shop.pay(id, "pay", "tok_ok").await.expect_problem(409, "orders.not_ready");
    assert_eq!(refused.header("retry-after"), "1");
}

#[tokio::test]
async fn a_lost_answer_of_inventory_is_asked_for_again() {
    let shop = shop().await;
    shop.world.will("reserve", Act::LostAnswer);
    shop.place("key", &one_shirt()).await.expect(201);
    assert_eq!((shop.world.count("reserve"), shop.world.lock().held.len()), (2, 1));
}

#[tokio::test]
async fn tax_follows_the_country_and_may_be_left_out_by_service_accounts_only() {
    let shop = shop().await;
    let mut body = placement(json!([{"sku": "TEA", "qty": 3}]));
    body["shippingAddress"]["country"] = json!("GB");
    let text = shop.place("gb", &body).await.expect(201).text();
    assert!(text.contains(r#""tax":2.00,"shipping":4.90"#), "{text}");
    body["taxAndShipping"] = json!("none");
    shop.place("none", &body).await.expect_problem(403, "auth.role_missing");
    let service = shop.bench.service_token("simulate");
    let admin = shop.bench.token_for_user(shop.bench.id(), &[Role::Admin]);
    for token in [service, admin] {
        let request = shop.client.post("/orders").bearer(&token).key("none").json(&body);
        let text = request.send().await.expect(201).text();
        assert!(text.contains(r#""totalAmount":9.99"#), "{text}");
    }
}

#[tokio::test]
async fn a_service_account_places_the_order_of_somebody_and_nobody_else_may() {
    let shop = shop().await;
    let mut body = one_shirt();
    body["onBehalfOf"] = json!(format!("user:{}", shop.user));
    shop.place("own", &body).await.expect_problem(403, "auth.role_missing");
    let service = shop.bench.service_token("simulate");
    let request = |key: &str, body: &serde_json::Value| {
        shop.client.post("/orders").bearer(&service).key(key).json(body)
    };
    let order = request("theirs", &body).send().await.expect(201).value();
    let mine = shop.client.get(&format!("/orders/{}", order["orderId"].as_str().unwrap()));
    mine.bearer(&shop.token).send().await.expect(200);
    for wrong in ["", "user:", "user:x", "service:tools", "guest"] {
        body["onBehalfOf"] = json!(wrong);
        let fields = request("wrong", &body).send().await.expect(422).fields();
        assert_eq!(fields, ["onBehalfOf"], "{wrong}");
    }
}

#[tokio::test]
async fn tax_and_shipping_can_be_switched_off() {
    let shop = shop_with("enabled = false").await;
    let mut body = placement(json!([{"sku": "TEA", "qty": 3}]));
    body["shippingAddress"]["country"] = json!("GB");
    let text = shop.place("gb", &body).await.expect(201).text();
    assert!(text.contains(r#""totalAmount":9.99"#), "{text}");
}

#[tokio::test]
async fn a_cart_becomes_an_order_of_its_owner() {
    let shop = shop().await;
    let cart = uuid::Uuid::new_v4();
    let mut body = one_shirt();
    body.as_object_mut().unwrap().remove("lines");
    body["cartId"] = json!(cart);
    assert_eq!(shop.place("k1", &body).await.expect(422).fields(), ["cartId"]);
    let owner = format!("user:{}", shop.user);
    let lines = vec![("MUG".to_owned(), 2)];
    shop.world.lock().carts.insert(cart.to_string(), (owner, lines));
    let order = shop.place("k2", &body).await.expect(201);
    assert_eq!(order.value()["items"][0]["qty"], 2);
    shop.world.lock().carts.clear();
    let again = shop.place("k2", &body).await.expect(201);
    assert_eq!(again.body, order.body, "the answer stands after the cart is gone");
    shop.world.will("get_lines", Act::Away);
    shop.place("k3", &body).await.expect_problem(503, "orders.cart_away");
}

#[tokio::test]
async fn a_method_given_with_the_order_is_charged_without_being_asked() {
    let mut shop = shop().await;
    shop.run();
    let answer = shop.place("key", &with_method(one_shirt(), "tok_ok")).await.expect(201);
    assert_eq!(answer.value()["status"], "PENDING", "the answer does not wait for money");
    let id = answer.value()["orderId"].as_str().unwrap().parse().unwrap();
    shop.until(id, "CONFIRMED", "done").await;
    assert_eq!(shop.causes(id).await, ["placed", "captured", "stock_confirmed"]);
    assert_eq!(shop.events().await, ["created", "paid", "confirmed"]);
    let text: String = sqlx::query_scalar("SELECT row_to_json(o)::text FROM orders o")
        .fetch_one(shop.bench.pool())
        .await
        .unwrap();
    assert!(!text.contains("ada@example.org") && !text.contains("Loop"), "sealed: {text}");
}
