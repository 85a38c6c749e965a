//! Many at once: never a unit too many, never one lost, never a deadlock.

use std::sync::Arc;
use std::time::Duration;

use contracts::generated::bellavista::inventory::v1::{ConfirmOutcome, ReserveOutcome};
use shared_types::OrderId;
use tokio::task::JoinSet;

use crate::shop::{Shop, shop};

/// Asks until there is an answer, as callers do.
async fn insist(shop: &Shop, order: OrderId, lines: &[(&str, i64)]) -> ReserveOutcome {
    for _ in 0..20 {
        match shop.reserve(order, lines).await {
            Ok(answer) => return answer.outcome(),
            Err(status) => assert!(platform::grpc::is_away(&status), "{status}"),
        }
    }
    panic!("no answer for {order}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_buyers_of_twenty_units_get_exactly_twenty() {
    let shop = Arc::new(shop().await);
    shop.open("HOT", 20).await;
    let mut buyers = JoinSet::new();
    for _ in 0..200 {
        let (shop, order) = (shop.clone(), shop.bench.id());
        buyers.spawn(async move { insist(&shop, order, &[("HOT", 1)]).await });
    }
    let outcomes = buyers.join_all().await;
    let held = outcomes.iter().filter(|o| **o == ReserveOutcome::Held).count();
    let short = outcomes.iter().filter(|o| **o == ReserveOutcome::Short).count();
    assert_eq!((held, short), (20, 180));
    assert_eq!(shop.level("HOT").await, [20, 20, 0, 0]);
    shop.prove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn skus_in_any_order_never_deadlock_and_every_unit_is_accounted_for() {
    let shop = Arc::new(shop().await);
    for sku in ["a", "b", "c", "d"] {
        shop.open(sku, 60).await;
    }
    let orders: [&[(&str, i64)]; 4] = [
        &[("a", 1), ("b", 2), ("c", 1)],
        &[("c", 1), ("b", 1), ("a", 1)],
        &[("d", 1), ("a", 2)],
        &[("b", 1), ("d", 2), ("c", 1)],
    ];
    let mut buyers = JoinSet::new();
    for number in 0..160usize {
        let (shop, order): (Arc<Shop>, OrderId) = (shop.clone(), shop.bench.id());
        buyers.spawn(async move {
            if insist(&shop, order, orders[number % 4]).await == ReserveOutcome::Held {
                match number % 5 {
                    0 => assert!(shop.release(order).await),
                    1 => {
                        assert_eq!(shop.confirm(order).await, ConfirmOutcome::Confirmed);
                        assert!(shop.release(order).await);
                    }
                    _ => assert_eq!(shop.confirm(order).await, ConfirmOutcome::Confirmed),
                }
            }
        });
    }
    buyers.join_all().await;
    shop.prove().await;
    for sku in ["a", "b", "c", "d"] {
        let [on_hand, held, allocated, available] = shop.level(sku).await;
        assert_eq!((on_hand, held, allocated + available), (60, 0, 60), "{sku}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_order_sent_many_times_holds_once() {
    let shop = Arc::new(shop().await);
    shop.open("a", 100).await;
    shop.open("b", 100).await;
    let order: OrderId = shop.bench.id();
    let mut sends = JoinSet::new();
    for number in 0..40 {
        let shop = shop.clone();
        // Two line sets under one id: only the first one in may hold.
        let lines: &[(&str, i64)] = if number % 2 == 0 { &[("a", 2)] } else { &[("b", 3)] };
        sends.spawn(async move { shop.reserve(order, lines).await.is_ok() });
    }
    let held = sends.join_all().await.into_iter().filter(|held| *held).count();
    assert_eq!(held, 20);
    let units = (shop.level("a").await[1], shop.level("b").await[1]);
    assert!(units == (2, 0) || units == (0, 3), "{units:?}");
    shop.prove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn release_and_reserve_at_once_leave_nothing_behind() {
    let shop = Arc::new(shop().await);
    shop.open("a", 500).await;
    let mut pairs = JoinSet::new();
    for _ in 0..60 {
        let (one, order): (Arc<Shop>, OrderId) = (shop.clone(), shop.bench.id());
        let other = one.clone();
        pairs.spawn(async move {
            let reserve = async { one.reserve(order, &[("a", 1)]).await };
            let release = async { other.release(order).await };
            let (_, _) = tokio::join!(reserve, release);
        });
    }
    pairs.join_all().await;
    assert_eq!(shop.level("a").await, [500, 0, 0, 500]);
    shop.prove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn buyers_and_expiry_share_the_last_units() {
    let shop = shop().await;
    shop.open("a", 5).await;
    shop.run_tasks();
    let shop = Arc::new(shop);
    for _ in 0..4 {
        let mut buyers = JoinSet::new();
        for _ in 0..30 {
            let (shop, order) = (shop.clone(), shop.bench.id());
            buyers.spawn(async move { insist(&shop, order, &[("a", 1)]).await });
        }
        let outcomes = buyers.join_all().await;
        assert_eq!(outcomes.iter().filter(|o| **o == ReserveOutcome::Held).count(), 5);
        shop.bench.advance(Duration::from_secs(601));
        shop.until("a", [5, 0, 0, 5]).await;
        shop.prove().await;
    }
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_give_up_do_not_stop_the_others() {
    let shop = Arc::new(shop().await);
    shop.open("a", 1_000).await;
    let mut buyers = JoinSet::new();
    for number in 0..200u64 {
        let (shop, order): (Arc<Shop>, OrderId) = (shop.clone(), shop.bench.id());
        buyers.spawn(async move {
            if number % 3 == 0 {
                let patience = Duration::from_micros(50 * number);
                let asked = insist(&shop, order, &[("a", 1)]);
                // Dropped in the middle, sometimes while leading.
                let _ = tokio::time::timeout(patience, asked).await;
            }
            insist(&shop, order, &[("a", 1)]).await
        });
    }
    let outcomes = buyers.join_all().await;
    assert!(outcomes.iter().all(|o| *o == ReserveOutcome::Held));
    assert_eq!(shop.level("a").await, [1_000, 200, 0, 800]);
    shop.prove().await;
}
