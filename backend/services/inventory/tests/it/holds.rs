//! Try, confirm, cancel: each as often as you like.

use std::time::Duration;

use contracts::events::inventory::{
    ReservationConfirmed, ReservationExpired, ReservationHeld, ReservationReleased,
};
use contracts::generated::bellavista::inventory::v1::{
    ConfirmOutcome, ReserveOutcome, ReserveRequest,
};
use platform::testing::outbox_of;
use shared_types::OrderId;
use tonic::Code;

use crate::shop::{code, reserve_request, shop};

#[tokio::test]
async fn a_hold_becomes_an_allocation_and_repeats_change_nothing() {
    let shop = shop().await;
    shop.open("A", 10).await;
    shop.open("B", 10).await;
    let order: OrderId = shop.bench.id();
    let lines = [("a", 1), ("B", 2), ("A", 2)];
    let first = shop.reserve(order, &lines).await.unwrap();
    assert_eq!(first.outcome(), ReserveOutcome::Held);
    let again = shop.reserve(order, &[("B", 2), ("A", 3)]).await.unwrap();
    assert_eq!(first, again, "the same lines in another order get the same answer");
    assert_eq!(shop.level("A").await, [10, 3, 0, 7]);
    for _ in 0..2 {
        assert_eq!(shop.confirm(order).await, ConfirmOutcome::Confirmed);
        assert_eq!(shop.level("A").await, [10, 0, 3, 7]);
    }
    assert_eq!(shop.reserve(order, &lines).await.unwrap().outcome(), ReserveOutcome::Held);
    assert_eq!(shop.level("B").await, [10, 0, 2, 8]);
    assert!(shop.release(order).await, "cancel after confirm");
    assert!(!shop.release(order).await);
    assert_eq!(shop.level("A").await, [10, 0, 0, 10]);
    assert_eq!(shop.confirm(order).await, ConfirmOutcome::HoldGone);
    let pool = shop.bench.pool();
    assert_eq!(outbox_of::<ReservationHeld>(pool).await.len(), 1);
    assert_eq!(outbox_of::<ReservationConfirmed>(pool).await.len(), 1);
    assert_eq!(outbox_of::<ReservationReleased>(pool).await.len(), 1);
    shop.prove().await;
}

#[tokio::test]
async fn short_says_what_there_was_and_changes_nothing() {
    let shop = shop().await;
    shop.open("A", 3).await;
    shop.open("B", 10).await;
    platform::testing::drain_outbox(shop.bench.pool()).await;
    let order: OrderId = shop.bench.id();
    let answer = shop.reserve(order, &[("B", 1), ("a", 2), ("A", 2)]).await.unwrap();
    assert_eq!(answer.outcome(), ReserveOutcome::Short);
    assert_eq!(answer.short.len(), 1);
    let short = &answer.short[0];
    assert_eq!((short.sku.as_str(), short.requested, short.available), ("A", 4, 3));
    assert_eq!(shop.level("B").await, [10, 0, 0, 10]);
    assert!(platform::testing::outbox(shop.bench.pool()).await.is_empty());
    // The order is not spoilt: with fewer units it can be had.
    assert_eq!(shop.reserve(order, &[("A", 3)]).await.unwrap().outcome(), ReserveOutcome::Held);
    shop.prove().await;
}

#[tokio::test]
async fn another_line_set_under_the_same_order_is_refused() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order = shop.hold(&[("A", 2)]).await;
    let refusal = shop.reserve(order, &[("A", 3)]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert_eq!(code(&refusal), "inventory.order_differs");
    assert_eq!(shop.level("A").await, [10, 2, 0, 8]);
}

#[tokio::test]
async fn a_release_that_comes_first_lets_no_later_reservation_hold() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order: OrderId = shop.bench.id();
    assert!(!shop.release(order).await);
    assert!(!shop.release(order).await);
    let refusal = shop.reserve(order, &[("A", 1)]).await.unwrap_err();
    assert_eq!(code(&refusal), "inventory.order_ended");
    assert_eq!(shop.level("A").await, [10, 0, 0, 10]);
    shop.prove().await;
}

#[tokio::test]
async fn holds_expire_by_themselves_unless_pinned() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order = shop.hold(&[("A", 2)]).await;
    let pinned = shop.hold(&[("A", 3)]).await;
    assert!(shop.pin(pinned, true, false).await.held);
    shop.run_tasks();
    shop.bench.advance(Duration::from_secs(599));
    assert_eq!(shop.level("A").await, [10, 5, 0, 5]);
    shop.bench.advance(Duration::from_secs(2));
    shop.until("A", [10, 3, 0, 7]).await;
    assert_eq!(shop.confirm(order).await, ConfirmOutcome::HoldGone);
    assert!(!shop.pin(order, true, true).await.held);
    let expired = outbox_of::<ReservationExpired>(shop.bench.pool()).await;
    assert_eq!(expired.iter().map(|e| e.order_id).collect::<Vec<_>>(), [order]);
    // The saga takes the stock anew.
    assert_eq!(shop.reserve(order, &[("A", 2)]).await.unwrap().outcome(), ReserveOutcome::Held);
    assert_eq!(shop.confirm(order).await, ConfirmOutcome::Confirmed);
    assert!(shop.pin(pinned, false, false).await.held);
    shop.until("A", [10, 0, 2, 8]).await;
    shop.prove().await;
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_hold_is_extended_once() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order = shop.hold(&[("A", 2)]).await;
    let first = shop.pin(order, true, true).await;
    let second = shop.pin(order, true, true).await;
    assert_eq!(first, second);
    let end = first.expires_at.unwrap().seconds;
    assert_eq!(end, shop.bench.clock().now().plus(Duration::from_secs(1200)).unix());
    let nobody: OrderId = shop.bench.id();
    assert!(!shop.pin(nobody, true, true).await.held);
}

#[tokio::test]
async fn returns_count_once_and_never_exceed_the_order() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order = shop.hold(&[("A", 4)]).await;
    let (one, two) = (shop.bench.id::<uuid::Uuid>(), shop.bench.id::<uuid::Uuid>());
    let early = shop.take_back(one, order, &[("A", 1)]).await.unwrap_err();
    assert_eq!(code(&early), "inventory.not_confirmed");
    shop.confirm(order).await;
    for _ in 0..2 {
        assert!(shop.take_back(one, order, &[("A", 1)]).await.unwrap());
        assert_eq!(shop.level("A").await, [10, 0, 3, 7]);
    }
    let other = shop.take_back(one, order, &[("A", 2)]).await.unwrap_err();
    assert_eq!(code(&other), "inventory.return_differs");
    let much = shop.take_back(two, order, &[("A", 4)]).await.unwrap_err();
    assert_eq!((much.code(), code(&much)), (Code::FailedPrecondition, "inventory.return_exceeds"));
    // The refused return left no trace: its id can be used.
    assert!(shop.take_back(two, order, &[("A", 3)]).await.unwrap());
    assert_eq!(shop.level("A").await, [10, 0, 0, 10]);
    shop.release(order).await;
    assert_eq!(shop.level("A").await, [10, 0, 0, 10]);
    assert!(!shop.take_back(shop.bench.id(), order, &[("A", 1)]).await.unwrap());
    shop.prove().await;
}

#[tokio::test]
async fn dispatched_units_come_back_through_the_ledger() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order = shop.hold(&[("A", 4)]).await;
    shop.confirm(order).await;
    // What a dispatch of three units leaves behind.
    for statement in [
        "UPDATE hold_lines SET dispatched = 3",
        "UPDATE stock SET on_hand = on_hand - 3, allocated = allocated - 3",
        "INSERT INTO ledger (sku_key, warehouse, kind, delta, on_hand, reason, actor, at)
         VALUES ('a', 'main', 'dispatch', -3, 7, 'dispatch', 'service:shipping', now())",
    ] {
        sqlx::query(statement).execute(shop.bench.pool()).await.unwrap();
    }
    assert_eq!(shop.level("A").await, [7, 0, 1, 6]);
    assert!(shop.take_back(shop.bench.id(), order, &[("A", 3)]).await.unwrap());
    assert_eq!(shop.level("A").await, [9, 0, 0, 9]);
    let kinds: Vec<String> = sqlx::query_scalar("SELECT kind FROM ledger ORDER BY id")
        .fetch_all(shop.bench.pool())
        .await
        .unwrap();
    assert_eq!(kinds, ["opening", "dispatch", "return"]);
    shop.prove().await;
}

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order: OrderId = shop.bench.id();
    let unknown = shop.reserve(order, &[("A", 1), ("nope", 1)]).await.unwrap_err();
    assert_eq!((unknown.code(), code(&unknown)), (Code::InvalidArgument, "inventory.unknown_sku"));
    assert!(unknown.message().contains("nope"));
    let many: Vec<(&str, i64)> = vec![("A", 1); 1_001];
    for (request, named) in [
        (reserve_request(order, &[("A", 0)]), "lines[0].qty"),
        (reserve_request(order, &[("A", -1)]), "lines[0].qty"),
        (reserve_request(order, &[("A", 1_000_000_001)]), "lines[0].qty"),
        (reserve_request(order, &[(" ", 1)]), "lines[0].sku"),
        (reserve_request(order, &[("A\0", 1)]), "lines[0].sku"),
        (reserve_request(order, &[]), "lines"),
        (reserve_request(order, &many), "lines"),
        (
            ReserveRequest { order_id: "x".into(), ..reserve_request(order, &[("A", 1)]) },
            "order_id",
        ),
        (
            ReserveRequest { ttl_seconds: u32::MAX, ..reserve_request(order, &[("A", 1)]) },
            "ttl_seconds",
        ),
    ] {
        let refusal = shop.stock.reserve(request).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains(named), "{named}: {}", refusal.message());
    }
    shop.fault.set(true);
    let away = shop.reserve(order, &[("A", 1)]).await.unwrap_err();
    assert!(platform::grpc::is_away(&away));
    shop.fault.set(false);
    assert_eq!(shop.level("A").await, [10, 0, 0, 10]);
}
