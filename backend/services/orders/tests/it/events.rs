use std::collections::BTreeMap;

use contracts::events::inventory::{
    HeldLine, ReservationExpired, ReservationHeld, ReservationInsufficient, Short,
};
use contracts::events::payments::PaymentCaptured;
use contracts::events::products::{PriceChanged, ProductUpdated, ProductVariant};
use serde_json::json;
use shared_types::catalog::ProductStatus;
use shared_types::{Amount, Currency, OrderId, ProductId};

use crate::support::{Act, Shop, one_shirt, placement, shop, with_method};

fn product(id: ProductId, version: i64, price: i64, skus: &[&str]) -> ProductUpdated {
    let variant = |sku: &&str| ProductVariant {
        id: uuid::Uuid::new_v4().into(),
        sku: sku.parse().unwrap(),
        title: String::new(),
        price: Amount::new(price, 2),
        currency: Currency::USD,
        options: BTreeMap::new(),
        opening_stock: None,
    };
    ProductUpdated {
        product_id: id,
        version,
        slug: "lamp".into(),
        title: "Lamp".into(),
        description: String::new(),
        categories: Vec::new(),
        status: ProductStatus::Active,
        media: Vec::new(),
        variants: skus.iter().map(variant).collect(),
        updated_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

async fn price_of(shop: &Shop, sku: &str) -> Option<i64> {
    sqlx::query_scalar("SELECT price_minor FROM variant_prices WHERE sku_key = $1")
        .bind(sku)
        .fetch_optional(shop.bench.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn prices_follow_the_catalogue_and_never_go_back_to_an_older_version() {
    let shop = shop().await;
    let consumer = shop.service.consumer.as_ref().unwrap();
    let id: ProductId = shop.bench.id();
    shop.bench.deliver(consumer, &product(id, 2, 1_000, &["LAMP", "BULB"])).await.unwrap();
    shop.bench.deliver(consumer, &product(id, 1, 900, &["LAMP"])).await.unwrap();
    assert_eq!(price_of(&shop, "lamp").await, Some(1_000));
    let change = |new: i64, version| PriceChanged {
        product_id: id,
        sku: "lamp".parse().unwrap(),
        old: None,
        new: Amount::new(new, 2),
        currency: Currency::USD,
        valid_from: "2026-11-20T10:00:00Z".parse().unwrap(),
        price_book_version: version,
    };
    shop.bench.deliver(consumer, &change(1_200, 4)).await.unwrap();
    shop.bench.deliver(consumer, &change(1_100, 3)).await.unwrap();
    shop.bench.deliver(consumer, &product(id, 3, 1_100, &["LAMP"])).await.unwrap();
    assert_eq!(price_of(&shop, "lamp").await, Some(1_200));
    assert_eq!(price_of(&shop, "bulb").await, None, "a variant that is gone cannot be bought");
    let body = placement(json!([{"sku": "LAMP", "qty": 1}]));
    assert!(shop.place("k", &body).await.expect(201).text().contains(r#""price":12.00"#));
    assert_eq!(shop.world.count("find_variants"), 0);
}

async fn pending(shop: &Shop, body: &serde_json::Value) -> OrderId {
    for _ in 0..3 {
        shop.world.will("reserve", Act::Away);
    }
    let answer = shop.place("pending", body).await.expect(202);
    answer.value()["orderId"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_late_reservation_lets_the_order_go_on() {
    let shop = shop().await;
    let consumer = shop.service.consumer.as_ref().unwrap();
    let order = pending(&shop, &with_method(one_shirt(), "tok_ok")).await;
    shop.world.lock().held.insert(order.to_string(), Vec::new());
    let line = HeldLine {
        product_id: shop.bench.id(),
        sku: "SHIRT-M".parse().unwrap(),
        qty: 1,
        warehouse: "main".into(),
        sale_id: None,
    };
    let expires_at = Some("2026-11-20T10:10:00Z".parse().unwrap());
    let held = ReservationHeld { order_id: order, lines: vec![line], expires_at };
    shop.bench.deliver(consumer, &held).await.unwrap();
    shop.bench.deliver(consumer, &held).await.unwrap();
    shop.crank.run(order).await.unwrap();
    let causes = shop.causes(order).await;
    assert_eq!(causes, ["placed", "reserved", "captured", "stock_confirmed"]);
}

#[tokio::test]
async fn a_late_refusal_of_stock_cancels_the_order() {
    let shop = shop().await;
    let consumer = shop.service.consumer.as_ref().unwrap();
    let order = pending(&shop, &one_shirt()).await;
    let short = vec![Short { sku: "SHIRT-M".parse().unwrap(), requested: 1, available: 0 }];
    let event = ReservationInsufficient { order_id: order, short, backordered: false };
    shop.bench.deliver(consumer, &event).await.unwrap();
    assert_eq!(shop.status(order).await, ("CANCELED".into(), "done".into()));
    assert_eq!(shop.causes(order).await, ["placed", "stock_short"]);
    assert_eq!(shop.events().await, ["created", "canceled"]);
}

#[tokio::test]
async fn an_expired_hold_cancels_an_unpaid_order_and_leaves_a_paid_one_alone() {
    let shop = shop().await;
    let consumer = shop.service.consumer.as_ref().unwrap();
    let unpaid = shop.placed("unpaid", &one_shirt()).await;
    let paid = shop.confirmed("paid", &one_shirt()).await;
    for order_id in [unpaid, paid, shop.bench.id()] {
        let expired = ReservationExpired { order_id, lines: Vec::new() };
        shop.bench.deliver(consumer, &expired).await.unwrap();
    }
    assert_eq!(shop.status(unpaid).await, ("CANCELED".into(), "done".into()));
    assert_eq!(shop.status(paid).await.0, "CONFIRMED");
}

#[tokio::test]
async fn money_that_arrives_for_an_ended_order_goes_back() {
    let shop = shop().await;
    let consumer = shop.service.consumer.as_ref().unwrap();
    let order = shop.placed("key", &one_shirt()).await;
    shop.cancel(order, &shop.token).await.expect(200);
    shop.crank.run(order).await.unwrap();
    let captured = PaymentCaptured {
        order_id: order,
        payment_id: shop.bench.id(),
        amount: Amount::new(2_990, 2),
        currency: Currency::USD,
        provider: "soap".into(),
    };
    shop.bench.deliver(consumer, &captured).await.unwrap();
    shop.bench.deliver(consumer, &captured).await.unwrap();
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.world.lock().refunds.values().copied().collect::<Vec<_>>(), [2_990]);
    assert_eq!(shop.status(order).await, ("CANCELED".into(), "done".into()));
    let causes = shop.causes(order).await;
    assert_eq!(causes, ["placed", "customer_request", "late_capture", "refunded"]);
}

#[tokio::test]
async fn the_captured_event_of_a_running_payment_makes_the_saga_ask() {
    let shop = shop().await;
    let consumer = shop.service.consumer.as_ref().unwrap();
    shop.world.will("capture", Act::Say("pending"));
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await.1, "capturing");
    shop.world.will("get_attempt", Act::Say("captured"));
    let captured = PaymentCaptured {
        order_id: order,
        payment_id: crate::support::PAYMENT.parse().unwrap(),
        amount: Amount::new(2_990, 2),
        currency: Currency::USD,
        provider: "soap".into(),
    };
    shop.bench.deliver(consumer, &captured).await.unwrap();
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await.0, "CONFIRMED");
    assert_eq!(shop.world.lock().charged[&order.to_string()], 2_990);
}
