//! Two instances on one schema: fenced, so that never both admit.

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::StockClient;
use contracts::generated::bellavista::inventory::v1 as proto;
use proto::{ConfirmOutcome, HoldState, ReserveOutcome};
use shared_types::OrderId;
use tokio::task::JoinSet;

use crate::shop::{reserve_request, shop};

/// Asks until there is an answer, as callers do.
async fn insist(stock: &dyn StockClient, order: OrderId, lines: &[(&str, i64)]) -> ReserveOutcome {
    for _ in 0..20 {
        match stock.reserve(reserve_request(order, lines)).await {
            Ok(answer) => return answer.outcome(),
            Err(status) => assert!(platform::grpc::is_away(&status), "{status}"),
        }
    }
    panic!("no answer for {order}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn buyers_at_two_instances_get_every_unit_once() {
    let shop = Arc::new(shop().await);
    shop.open("HOT", 150).await;
    let instances = [shop.stock.clone(), shop.second_instance()];
    let mut buyers = JoinSet::new();
    for number in 0..600usize {
        let (stock, order) = (instances[number % 2].clone(), shop.bench.id());
        buyers.spawn(async move { insist(&*stock, order, &[("HOT", 1)]).await });
    }
    let outcomes = buyers.join_all().await;
    let held = outcomes.iter().filter(|o| **o == ReserveOutcome::Held).count();
    assert_eq!((held, shop.level("HOT").await), (150, [150, 150, 0, 0]));
    shop.prove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bundles_confirms_and_releases_at_two_instances_keep_the_books() {
    let shop = Arc::new(shop().await);
    for sku in ["a", "b", "c"] {
        shop.open(sku, 80).await;
    }
    let bundles: [&[(&str, i64)]; 4] =
        [&[("a", 1), ("b", 1)], &[("c", 2), ("a", 1)], &[("b", 1)], &[("c", 1), ("b", 2)]];
    let instances = [shop.stock.clone(), shop.second_instance()];
    let mut buyers = JoinSet::new();
    for number in 0..300usize {
        let (one, other) = (instances[number % 2].clone(), instances[(number + 1) % 2].clone());
        let order: OrderId = shop.bench.id();
        buyers.spawn(async move {
            if insist(&*one, order, bundles[number % 4]).await != ReserveOutcome::Held {
                return;
            }
            let order_id = order.to_string();
            if number % 3 == 0 {
                let request = proto::ReleaseRequest { order_id: order_id.clone() };
                assert!(other.release(request).await.unwrap().released);
            }
            let confirmed = other.confirm(proto::ConfirmRequest { order_id }).await.unwrap();
            assert_eq!(confirmed.outcome() == ConfirmOutcome::Confirmed, number % 3 != 0);
        });
    }
    buyers.join_all().await;
    shop.prove().await;
    for sku in ["a", "b", "c"] {
        let [on_hand, held, allocated, available] = shop.level(sku).await;
        assert_eq!((on_hand, held, allocated + available), (80, 0, 80), "{sku}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_unit_that_comes_free_at_one_instance_is_sold_at_once_at_the_other() {
    let shop = shop().await;
    shop.open("A", 1).await;
    let other = shop.second_instance();
    for _ in 0..20 {
        let order: OrderId = shop.bench.id();
        assert_eq!(insist(&*shop.stock, order, &[("A", 1)]).await, ReserveOutcome::Held);
        for _ in 0..3 {
            let refused = insist(&*other, shop.bench.id(), &[("A", 1)]).await;
            assert_eq!(refused, ReserveOutcome::Short);
        }
        assert!(shop.release(order).await);
        let next: OrderId = shop.bench.id();
        assert_eq!(insist(&*other, next, &[("A", 1)]).await, ReserveOutcome::Held);
        // Sold out by now, but this one was held before.
        assert_eq!(insist(&*other, next, &[("A", 1)]).await, ReserveOutcome::Held);
        let request = proto::ReleaseRequest { order_id: next.to_string() };
        assert!(other.release(request).await.unwrap().released);
    }
    shop.prove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_confirm_that_races_the_expiry_wins_or_loses_and_nothing_between() {
    let shop = Arc::new(shop().await);
    shop.open("A", 100).await;
    let orders: Vec<OrderId> = {
        let mut orders = Vec::new();
        for _ in 0..100 {
            orders.push(shop.hold(&[("A", 1)]).await);
        }
        orders
    };
    shop.run_tasks();
    let mut confirms = JoinSet::new();
    for (number, order) in orders.into_iter().enumerate() {
        let shop = shop.clone();
        confirms.spawn(async move {
            if number == 40 {
                shop.bench.advance(Duration::from_secs(601));
            }
            let request = proto::ConfirmRequest { order_id: order.to_string() };
            let answer = shop.stock.confirm(request).await.unwrap();
            if answer.outcome() == ConfirmOutcome::HoldGone {
                assert_eq!(answer.was(), HoldState::RanOut);
            }
            answer.outcome() == ConfirmOutcome::Confirmed
        });
    }
    let confirmed = confirms.join_all().await.into_iter().filter(|c| *c).count() as i64;
    shop.until("A", [100, 0, confirmed, 100 - confirmed]).await;
    shop.prove().await;
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn commands_that_meet_nothing_say_what_they_met() {
    let shop = shop().await;
    shop.open("A", 5).await;
    let never: OrderId = shop.bench.id();
    let confirm = |order: OrderId| proto::ConfirmRequest { order_id: order.to_string() };
    let release = |order: OrderId| proto::ReleaseRequest { order_id: order.to_string() };
    assert_eq!(shop.stock.confirm(confirm(never)).await.unwrap().was(), HoldState::NeverHeld);
    let released = shop.stock.release(release(never)).await.unwrap();
    assert_eq!((released.released, released.was()), (false, HoldState::NeverHeld));
    let order = shop.hold(&[("A", 2)]).await;
    assert_eq!(shop.stock.confirm(confirm(order)).await.unwrap().was(), HoldState::Live);
    assert_eq!(shop.stock.confirm(confirm(order)).await.unwrap().was(), HoldState::Allocated);
    assert_eq!(shop.stock.release(release(order)).await.unwrap().was(), HoldState::Allocated);
    assert_eq!(shop.stock.release(release(order)).await.unwrap().was(), HoldState::GivenBack);
    let many: Vec<(String, i64)> = (0..10_001).map(|n| (format!("s{n}"), 1)).collect();
    let many: Vec<(&str, i64)> = many.iter().map(|(sku, qty)| (sku.as_str(), *qty)).collect();
    let refused = shop.reserve(shop.bench.id(), &many).await.unwrap_err();
    assert!(refused.message().contains("lines"), "{refused}");
    assert_eq!(shop.level("A").await, [5, 0, 0, 5]);
    shop.prove().await;
}
