//! Backorders: a place in the queue, and what comes goes to the first.

use std::time::Duration;

use contracts::events::inventory::{ReservationHeld, ReservationInsufficient};
use contracts::generated::bellavista::inventory::v1 as proto;
use platform::testing::outbox_of;
use proto::{HoldState, ReserveOutcome};
use serde_json::json;
use shared_types::OrderId;

use crate::shop::{Shop, reserve_request, shop};

async fn wait_for(shop: &Shop, lines: &[(&str, i64)]) -> (OrderId, proto::ReserveResponse) {
    let order: OrderId = shop.bench.id();
    let request = proto::ReserveRequest { accept_backorder: true, ..reserve_request(order, lines) };
    (order, shop.stock.reserve(request).await.expect("answered"))
}

async fn allow(shop: &Shop, sku: &str, limit: i64) {
    let path = format!("/inventory/{sku}/policy");
    let policy = shop.ask("PUT", &path, json!({"backorderLimit": limit})).await;
    assert_eq!(policy.expect(200).value()["backorderLimit"], limit);
}

async fn receive(shop: &Shop, sku: &str, units: i64, believed: i64) {
    let body = json!({"delta": units, "reason": "delivery", "expectedOnHand": believed});
    shop.ask("POST", &format!("/inventory/{sku}/adjustments"), body).await.expect(200);
}

#[tokio::test]
async fn who_waits_is_served_in_order_of_arrival_and_before_new_buyers() {
    let shop = shop().await;
    shop.open("A", 2).await;
    shop.open("B", 9).await;
    assert_eq!(wait_for(&shop, &[("A", 3)]).await.1.outcome(), ReserveOutcome::Short);
    allow(&shop, "A", 5).await;
    let (first, answer) = wait_for(&shop, &[("A", 4), ("B", 1)]).await;
    assert_eq!(answer.outcome(), ReserveOutcome::Held);
    assert_eq!((answer.waiting[0].qty, answer.expires_at.is_none()), (2, true));
    let (second, _) = wait_for(&shop, &[("A", 3)]).await;
    let (_, beyond) = wait_for(&shop, &[("A", 1)]).await;
    assert_eq!(beyond.outcome(), ReserveOutcome::Short, "the limit is five");
    assert_eq!(shop.level("A").await, [2, 2, 0, 0]);
    shop.prove().await;
    shop.bench.advance(Duration::from_secs(3_600));
    receive(&shop, "A", 4, 2).await;
    let pushing = shop.reserve(shop.bench.id(), &[("A", 1)]).await.unwrap();
    assert_eq!(pushing.outcome(), ReserveOutcome::Short, "the queue comes first");
    shop.run_tasks();
    shop.until("A", [6, 6, 0, 0]).await;
    let held = outbox_of::<ReservationHeld>(shop.bench.pool()).await;
    assert_eq!(held.iter().map(|h| h.order_id).collect::<Vec<_>>(), [first]);
    assert_eq!(held[0].lines.iter().map(|l| l.qty).sum::<i64>(), 5);
    shop.prove().await;
    assert!(shop.release(second).await, "who gives up leaves the queue");
    shop.until("A", [6, 4, 0, 2]).await;
    shop.bench.advance(Duration::from_secs(23 * 3_600));
    assert!(shop.pin(first, true, false).await.held, "kept for 24 hours");
    shop.prove().await;
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn an_order_that_waits_can_be_repeated_and_not_confirmed() {
    let shop = shop().await;
    shop.open("A", 0).await;
    allow(&shop, "A", 10).await;
    let (order, first) = wait_for(&shop, &[("A", 2)]).await;
    let again = shop.reserve(order, &[("A", 2)]).await.unwrap();
    assert_eq!(first, again);
    let request = proto::ConfirmRequest { order_id: order.to_string() };
    assert_eq!(shop.stock.confirm(request).await.unwrap().was(), HoldState::Waiting);
    let request = proto::ReleaseRequest { order_id: order.to_string() };
    let released = shop.stock.release(request).await.unwrap();
    assert_eq!((released.released, released.was()), (true, HoldState::Waiting));
    shop.prove().await;
}

#[tokio::test]
async fn a_pending_order_that_waits_is_told_so() {
    let shop = shop().await;
    shop.open("A", 1).await;
    allow(&shop, "A", 10).await;
    let order: OrderId = shop.bench.id();
    let event = crate::events::created(&shop, order, &[("A", 3)], true);
    shop.bench.deliver(&shop.consumer, &event).await.unwrap();
    let told = outbox_of::<ReservationInsufficient>(shop.bench.pool()).await;
    assert!(told[0].backordered && told[0].short[0].requested == 2, "{told:?}");
    shop.prove().await;
}

#[tokio::test]
async fn many_wait_and_many_units_come_and_the_books_stay_right() {
    let shop = shop().await;
    shop.open("A", 3).await;
    allow(&shop, "A", 1_000).await;
    for units in [1, 2, 3, 4, 5, 6] {
        wait_for(&shop, &[("A", units)]).await;
    }
    shop.run_tasks();
    for believed in 3..21 {
        receive(&shop, "A", 1, believed).await;
        shop.prove().await;
    }
    shop.until("A", [21, 21, 0, 0]).await;
    shop.prove().await;
    assert_eq!(outbox_of::<ReservationHeld>(shop.bench.pool()).await.len(), 6);
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}
