//! Shoppers through the API.

use std::time::Duration;

use e2e::api::Api;
use e2e::shop::Shop;
use serde_json::{Value, json};

use crate::{card, fresh_key, new_sku, order_of};

#[tokio::test]
async fn from_register_to_confirmed_and_the_events_tell_it_in_order() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let merchant = nobody.demo("merchant").await?;
    let sku = new_sku(&merchant, 10).await?;
    let email = format!("buyer-{}@example.org", fresh_key());
    let person =
        json!({"email": email, "password": "a long password", "firstName": "Ada", "lastName": "L"});
    nobody.post("/api/v1/users/register", &person).await?.expect(201);
    let buyer = nobody.signed_in(&email, "a long password").await?;

    buyer.post("/api/v1/cart/items", &json!({"sku": sku, "qty": 2})).await?.expect(201);
    let cart = buyer.get("/api/v1/cart").await?.expect(200).json();
    assert_eq!(cart["items"][0]["qty"], 2, "{cart}");
    let mut order = order_of(&sku, 2);
    order.as_object_mut().map(|o| o.remove("lines"));
    order["cartId"] = cart["id"].clone();
    let placed = buyer.post_once("/api/v1/orders", &fresh_key(), &order).await?.expect(201);
    assert!(placed.body.contains("\"totalAmount\":50.00"), "{}", placed.body);
    let placed = placed.json();
    assert_eq!(
        (&placed["status"], &placed["stage"]),
        (&json!("PENDING"), &json!("awaiting_payment"))
    );
    let id = placed["orderId"].as_str().unwrap().to_owned();

    let paid =
        buyer.post_once(&format!("/api/v1/orders/{id}/pay"), &fresh_key(), &card("tok_ok")).await?;
    assert!(paid.expect(200).json()["paymentId"].is_string());
    buyer
        .eventually(&format!("/api/v1/orders/{id}/status"), |s| s["status"] == "CONFIRMED")
        .await?;
    let stock = merchant.get(&format!("/api/v1/inventory/{sku}/stock")).await?.expect(200).json();
    assert_eq!(
        (&stock["onHand"], &stock["allocated"], &stock["available"]),
        (&json!(10), &json!(2), &json!(8))
    );

    let key = id.clone();
    let broker = format!("127.0.0.1:{}", port + 12);
    let records = tokio::task::spawn_blocking(move || {
        e2e::log::read(&broker, "ecommerce.order.order", Duration::from_secs(30), |all| {
            all.iter().filter(|r| r.key == key).count() >= 3
        })
    })
    .await??;
    let ours: Vec<_> = records.iter().filter(|r| r.key == id).collect();
    let told: Vec<_> = ours
        .iter()
        .map(|r| {
            (r.value["eventType"].as_str().unwrap_or(""), r.value["aggregateVersion"].as_i64())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("ecommerce.order.order.created.v1", Some(1)),
            ("ecommerce.order.order.paid.v1", Some(2)),
            ("ecommerce.order.order.confirmed.v1", Some(3)),
        ]
    );
    for name in ["ce_id", "ce_type", "ce_source", "ce_time", "traceparent"] {
        assert!(ours[0].headers.iter().any(|(n, _)| n == name), "{name}: {:?}", ours[0].headers);
    }
    let text = ours.iter().map(|r| r.value.to_string()).collect::<String>();
    for personal in ["example.org", "Lovelace", "Square"] {
        assert!(!text.contains(personal), "an event carries {personal}");
    }
    Ok(())
}

#[tokio::test]
async fn one_key_sent_twenty_times_at_once_is_one_order() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let merchant = Api::new(port).demo("merchant").await?;
    let sku = new_sku(&merchant, 100).await?;
    let (key, order) = (fresh_key(), order_of(&sku, 1));
    let sends = (0..20).map(|_| {
        // Each its own client without a cookie: the key alone is the scope.
        let (api, key, order) = (Api::new(port), key.clone(), order.clone());
        tokio::spawn(async move { api.post_once("/api/v1/orders", &key, &order).await })
    });
    let mut bodies = Vec::new();
    let mut replayed = 0;
    for send in sends.collect::<Vec<_>>() {
        let answer = send.await??.expect(201);
        replayed += usize::from(answer.header("idempotency-replayed") == "true");
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "bodies differ");
    assert_eq!(replayed, 19);
    let stock = merchant.get(&format!("/api/v1/inventory/{sku}/stock")).await?.json();
    assert_eq!(stock["held"], 1, "{stock}");

    let other = Api::new(port).post_once("/api/v1/orders", &key, &order_of(&sku, 2)).await?;
    assert_eq!(other.expect(422).code(), "idempotency.mismatch");
    let without = Api::new(port).post("/api/v1/orders", &order).await?;
    assert_eq!(without.expect(400).code(), "idempotency.key_missing");
    Ok(())
}

#[tokio::test]
async fn an_unpaid_order_is_canceled_by_its_owner_only() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let merchant = nobody.demo("merchant").await?;
    let sku = new_sku(&merchant, 5).await?;
    let placed = nobody
        .post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 3))
        .await?
        .expect(201)
        .json();
    let id = placed["orderId"].as_str().unwrap();
    let owner = nobody.order_token(placed["orderToken"].as_str().unwrap());
    let shopper = nobody.demo("shopper").await?;
    let cancel = format!("/api/v1/orders/{id}/cancel");
    let why = json!({"reason": "changed my mind"});
    for stranger in [&nobody, &shopper] {
        stranger.post(&cancel, &why).await?.expect(404);
        stranger.get(&format!("/api/v1/orders/{id}")).await?.expect(404);
    }
    let canceled = owner.post(&cancel, &why).await?.expect(200).json();
    assert_eq!(canceled["status"], "CANCELED");
    merchant
        .eventually(&format!("/api/v1/inventory/{sku}/stock"), |s| {
            s["held"] == 0 && s["available"] == 5
        })
        .await?;
    let late =
        owner.post_once(&format!("/api/v1/orders/{id}/pay"), &fresh_key(), &card("tok_ok")).await?;
    late.expect(409);
    Ok(())
}

#[tokio::test]
async fn a_decline_leaves_the_order_to_be_paid_with_another_card() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let sku = new_sku(&nobody.demo("merchant").await?, 5).await?;
    let placed = nobody
        .post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1))
        .await?
        .expect(201)
        .json();
    let pay = format!("/api/v1/orders/{}/pay", placed["orderId"].as_str().unwrap());
    let owner = nobody.order_token(placed["orderToken"].as_str().unwrap());
    let declined = owner.post_once(&pay, &fresh_key(), &card("tok_declined")).await?.expect(402);
    assert_eq!(declined.code(), "payments.declined");
    owner.post_once(&pay, &fresh_key(), &card("tok_lost_after")).await?.expect(200);
    let again = owner.post_once(&pay, &fresh_key(), &card("tok_ok")).await?.expect(409);
    assert_eq!(again.code(), "orders.already_paid");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_ordered_is_refused_with_every_reason() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let empty =
        nobody.post_once("/api/v1/orders", &fresh_key(), &json!({})).await?.expect(422).json();
    let named: Vec<_> =
        empty["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    for field in ["lines", "email", "shippingAddress"] {
        assert!(named.contains(&Value::from(field)), "{field} not in {named:?}");
    }
    let unknown = nobody.post_once("/api/v1/orders", &fresh_key(), &order_of("NO-SUCH", 1)).await?;
    assert_eq!(unknown.expect(422).code(), "orders.unknown_sku");
    let sku = new_sku(&nobody.demo("merchant").await?, 2).await?;
    let short =
        nobody.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 3)).await?.expect(409);
    assert_eq!(short.code(), "orders.stock_short");
    Ok(())
}
