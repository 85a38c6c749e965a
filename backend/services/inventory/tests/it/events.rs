//! What inventory does about events of others.

use std::collections::BTreeMap;

use contracts::events::inventory::{ReservationHeld, ReservationInsufficient};
use contracts::events::iot::StockReading;
use contracts::events::orders::{
    Amounts, OrderCanceled, OrderCreated, OrderEnded, OrderFailed, OrderPaid, OrderedItem,
    Reservation,
};
use contracts::events::payments::PaymentFailed;
use contracts::events::products::{ProductUpdated, ProductVariant};
use platform::consumer::HandleError;
use platform::consumer::runner::Outcome;
use platform::testing::outbox_of;
use shared_types::catalog::ProductStatus;
use shared_types::{Amount, Currency, OrderId};

use crate::shop::{Shop, shop, sku};

pub fn created(
    shop: &Shop,
    order_id: OrderId,
    lines: &[(&str, i64)],
    pending: bool,
) -> OrderCreated {
    let item = |(name, qty): &(&str, i64)| OrderedItem {
        product_id: shop.product,
        sku: sku(name),
        qty: *qty,
        price: Amount::new(2500, 2),
    };
    OrderCreated {
        order_id,
        order_number: "1001".to_owned(),
        user_id: Some(shop.bench.id()),
        guest_id: None,
        cart_id: None,
        reservation: if pending { Reservation::Pending } else { Reservation::Held },
        total_amount: Amount::new(2500, 2),
        currency: Currency::USD,
        items: lines.iter().map(item).collect(),
        amounts: Amounts {
            subtotal: Amount::new(2500, 2),
            discount: Amount::default(),
            tax: Amount::default(),
            shipping: Amount::default(),
        },
    }
}

fn ended(order_id: OrderId) -> OrderEnded {
    OrderEnded {
        order_id,
        by: "service:orders".to_owned(),
        reason: "customer_request".to_owned(),
        items: Vec::new(),
        total_amount: Amount::default(),
        currency: Currency::USD,
        refunded_amount: Amount::default(),
    }
}

#[tokio::test]
async fn a_pending_order_is_reserved_from_its_event() {
    let shop = shop().await;
    shop.open("A", 5).await;
    let (one, two): (OrderId, OrderId) = (shop.bench.id(), shop.bench.id());
    let event = created(&shop, one, &[("A", 3)], true);
    assert_eq!(shop.bench.deliver(&shop.consumer, &event).await.unwrap(), Outcome::Done);
    let event = created(&shop, two, &[("A", 3), ("gone", 1)], true);
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    let event = created(&shop, shop.bench.id(), &[("A", 3)], true);
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    let event = created(&shop, shop.bench.id(), &[("A", 1)], false);
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    assert_eq!(shop.level("A").await, [5, 3, 0, 2]);
    let held = outbox_of::<ReservationHeld>(shop.bench.pool()).await;
    assert_eq!(held.iter().map(|h| h.order_id).collect::<Vec<_>>(), [one]);
    let short = outbox_of::<ReservationInsufficient>(shop.bench.pool()).await;
    let told: Vec<_> =
        short.iter().map(|s| (s.short[0].sku.as_str(), s.short[0].available)).collect();
    assert_eq!(told, [("gone", 0), ("A", 2)]);
    shop.prove().await;
}

#[tokio::test]
async fn an_order_whose_call_had_got_through_is_answered_again() {
    let shop = shop().await;
    shop.open("A", 5).await;
    let order = shop.hold(&[("A", 3)]).await;
    let event = created(&shop, order, &[("A", 3)], true);
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    let held = outbox_of::<ReservationHeld>(shop.bench.pool()).await;
    assert_eq!(held.len(), 2);
    assert_eq!(held[0], held[1]);
    assert_eq!(shop.level("A").await, [5, 3, 0, 2]);
}

#[tokio::test]
async fn a_cancellation_that_overtakes_its_order_wins() {
    let shop = shop().await;
    shop.open("A", 5).await;
    let order: OrderId = shop.bench.id();
    shop.bench.deliver(&shop.consumer, &OrderCanceled(ended(order))).await.unwrap();
    let event = created(&shop, order, &[("A", 3)], true);
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    assert_eq!(shop.level("A").await, [5, 0, 0, 5]);
    assert!(outbox_of::<ReservationHeld>(shop.bench.pool()).await.is_empty());
    assert!(outbox_of::<ReservationInsufficient>(shop.bench.pool()).await.is_empty());
}

#[tokio::test]
async fn events_repeat_the_commands_of_the_saga() {
    let shop = shop().await;
    shop.open("A", 9).await;
    let (paid, failed) = (shop.hold(&[("A", 1)]).await, shop.hold(&[("A", 2)]).await);
    let declined = shop.hold(&[("A", 3)]).await;
    let event = OrderPaid {
        order_id: paid,
        payment_id: shop.bench.id(),
        amount: Amount::new(1, 0),
        currency: Currency::USD,
    };
    for _ in 0..2 {
        shop.bench.deliver(&shop.consumer, &event).await.unwrap();
        assert_eq!(shop.level("A").await, [9, 5, 1, 3]);
    }
    shop.bench.deliver(&shop.consumer, &OrderFailed(ended(failed))).await.unwrap();
    assert_eq!(shop.level("A").await, [9, 3, 1, 5]);
    let mut event = PaymentFailed {
        order_id: declined,
        payment_id: shop.bench.id(),
        amount: Amount::new(1, 0),
        currency: Currency::USD,
        provider: "soap".to_owned(),
        code: "card_declined".to_owned(),
        is_final: false,
    };
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    assert_eq!(shop.level("A").await, [9, 3, 1, 5]);
    event.is_final = true;
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    assert_eq!(shop.level("A").await, [9, 0, 1, 8]);
    shop.bench.deliver(&shop.consumer, &OrderCanceled(ended(paid))).await.unwrap();
    assert_eq!(shop.level("A").await, [9, 0, 0, 9]);
    shop.prove().await;
}

fn product(shop: &Shop, name: &str, opening_stock: Option<i64>) -> ProductUpdated {
    ProductUpdated {
        product_id: shop.product,
        version: 1,
        slug: "mug".to_owned(),
        title: "Mug".to_owned(),
        description: String::new(),
        categories: Vec::new(),
        status: ProductStatus::Active,
        media: Vec::new(),
        variants: vec![ProductVariant {
            id: shop.bench.id(),
            sku: sku(name),
            title: String::new(),
            price: Amount::new(2500, 2),
            currency: Currency::USD,
            options: BTreeMap::new(),
            opening_stock,
        }],
        updated_at: shop.bench.clock().now(),
    }
}

#[tokio::test]
async fn opening_stock_follows_by_event_once() {
    let shop = shop().await;
    let event = product(&shop, "late", Some(7));
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    assert_eq!(shop.level("late").await, [7, 0, 0, 7]);
    shop.bench.deliver(&shop.consumer, &product(&shop, "told", None)).await.unwrap();
    let other = shop.bench.deliver(&shop.consumer, &product(&shop, "late", Some(1))).await;
    assert!(matches!(other, Err(HandleError::Poison { code: "inventory.sku_taken", .. })));
    let negative = shop.bench.deliver(&shop.consumer, &product(&shop, "odd", Some(-1))).await;
    assert!(matches!(negative, Err(HandleError::Poison { .. })));
    shop.prove().await;
}

#[tokio::test]
async fn orders_that_cannot_be_are_poison() {
    let shop = shop().await;
    shop.open("A", 5).await;
    for lines in [&[][..], &[("A", 0)], &[("A", -5)], &[("A", i64::MAX)]] {
        let event = created(&shop, shop.bench.id(), lines, true);
        let outcome = shop.bench.deliver(&shop.consumer, &event).await;
        assert!(matches!(outcome, Err(HandleError::Poison { .. })), "{lines:?}");
    }
    assert_eq!(shop.level("A").await, [5, 0, 0, 5]);
}

#[tokio::test]
async fn a_device_reading_is_the_truth_and_counts_once() {
    let shop = shop().await;
    shop.open("A", 5).await;
    shop.hold(&[("A", 4)]).await;
    let reading = |id: &str, delta| StockReading {
        sku: sku("A"),
        delta,
        reason: "SENSOR".to_owned(),
        device_id: Some("scale-7".to_owned()),
        reading_id: Some(id.to_owned()),
    };
    for _ in 0..2 {
        shop.bench.deliver(&shop.consumer, &reading("1", -2)).await.unwrap();
    }
    assert_eq!(shop.level("A").await, [3, 4, 0, 0]);
    shop.bench.deliver(&shop.consumer, &reading("2", -9)).await.unwrap();
    assert_eq!(shop.level("A").await[0], 0, "fewer than none cannot be there");
    shop.bench.deliver(&shop.consumer, &reading("3", 6)).await.unwrap();
    assert_eq!(shop.level("A").await, [6, 4, 0, 2]);
    shop.prove().await;
    let strange = StockReading { sku: sku("nope"), ..reading("4", 1) };
    let refused = shop.bench.deliver(&shop.consumer, &strange).await;
    assert!(matches!(refused, Err(HandleError::Poison { .. })), "{refused:?}");
}
