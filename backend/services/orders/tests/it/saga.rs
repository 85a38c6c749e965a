//! Crashes, failures and two instances.

use std::time::Duration;

use shared_types::OrderId;

use crate::support::{Act, STUCK_AFTER, Shop, build, one_shirt, shop, with_method};

async fn lease_ends(shop: &Shop) {
    shop.bench.advance(Duration::from_secs(61));
}

/// What must be true of any order that reached its end well.
async fn assert_confirmed_once(shop: &Shop, order: OrderId) {
    assert_eq!(shop.status(order).await, ("CONFIRMED".into(), "done".into()));
    assert_eq!(shop.causes(order).await, ["placed", "captured", "stock_confirmed"]);
    assert_eq!(shop.events().await, ["created", "paid", "confirmed"]);
    assert_eq!(shop.world.lock().charged[&order.to_string()], 2_990);
}

#[tokio::test]
async fn a_crash_at_any_point_is_taken_up_by_another_instance() {
    // So many steps are stored; the calls of the next happen or not; then crash.
    for (stored, called) in [(0, false), (0, true), (1, false), (1, true), (2, false)] {
        let shop = shop().await;
        let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
        for _ in 0..stored {
            shop.crank.step(order).await.unwrap();
        }
        if called {
            assert!(shop.crank.crash_in_step(order).await.unwrap());
        }
        let (_service, other) = build(&shop.bench, &shop.world);
        if stored < 2 {
            assert!(!other.step(order).await.unwrap(), "the lease of the first still holds");
        }
        lease_ends(&shop).await;
        other.run(order).await.unwrap();
        assert_confirmed_once(&shop, order).await;
    }
}

#[tokio::test]
async fn the_sagas_of_a_process_that_is_gone_do_not_wait_for_its_leases() {
    let mut shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    let hold = "UPDATE sagas SET lease_owner = $1, lease_until = next_run_at + interval '1 day'";
    let hold_for = async |holder: uuid::Uuid| {
        sqlx::query(hold).bind(holder).execute(shop.bench.pool()).await.unwrap();
    };
    hold_for(platform::instance::here()).await;
    let (_service, other) = build(&shop.bench, &shop.world);
    other.run(order).await.unwrap();
    assert_eq!(shop.status(order).await.0, "PENDING", "who lives keeps its own");
    hold_for(platform::instance::of_the_dead()).await;
    shop.run();
    shop.until(order, "CONFIRMED", "done").await;
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
    assert_confirmed_once(&shop, order).await;
}

#[tokio::test]
async fn a_lease_that_a_failure_left_behind_does_not_keep_its_own_process_waiting() {
    let mut shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    let owner: uuid::Uuid = sqlx::query_scalar("SELECT lease_owner FROM sagas")
        .fetch_one(shop.bench.pool())
        .await
        .unwrap();
    shop.run();
    shop.until(order, "CONFIRMED", "done").await;
    let left = shop.placed("other", &one_shirt()).await;
    let leave = "UPDATE sagas SET next_run_at = updated_at, lease_owner = $2,
        lease_until = updated_at + interval '5 s' WHERE order_id = $1";
    sqlx::query(leave).bind(left).bind(owner).execute(shop.bench.pool()).await.unwrap();
    let leased = "SELECT lease_owner IS NOT NULL FROM sagas WHERE order_id = $1";
    tokio::time::timeout(Duration::from_secs(20), async {
        while sqlx::query_scalar(leased).bind(left).fetch_one(shop.bench.pool()).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is taken up, though the lease holds");
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_crash_while_ending_still_frees_the_stock() {
    for (stored, called) in [(0, true), (1, false), (1, true)] {
        let shop = shop().await;
        let order = shop.placed("key", &with_method(one_shirt(), "tok_declined")).await;
        for _ in 0..stored {
            shop.crank.step(order).await.unwrap();
        }
        if called {
            shop.crank.crash_in_step(order).await.unwrap();
        }
        lease_ends(&shop).await;
        let (_service, other) = build(&shop.bench, &shop.world);
        other.run(order).await.unwrap();
        assert_eq!(shop.status(order).await, ("FAILED".into(), "done".into()));
        assert!(shop.world.lock().held.is_empty());
        assert_eq!(shop.events().await, ["created", "failed"]);
    }
}

#[tokio::test]
async fn a_step_whose_lease_was_lost_changes_nothing() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    let (_service, other) = build(&shop.bench, &shop.world);
    lease_ends(&shop).await;
    // Both hold the saga for theirs; the version lets one of them win.
    let (one, two) = tokio::join!(shop.crank.run(order), other.run(order));
    one.unwrap();
    two.unwrap();
    lease_ends(&shop).await;
    other.run(order).await.unwrap();
    assert_confirmed_once(&shop, order).await;
}

#[tokio::test]
async fn every_step_is_repeated_until_its_callee_is_back() {
    for call in ["pin", "capture", "confirm"] {
        for act in [Act::Away, Act::LostAnswer] {
            let shop = shop().await;
            let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
            shop.world.will(call, act.clone());
            for _ in 0..4 {
                shop.crank.run(order).await.unwrap();
                shop.bench.advance(Duration::from_secs(1));
            }
            assert_confirmed_once(&shop, order).await;
        }
    }
}

#[tokio::test]
async fn a_hold_that_is_gone_at_confirmation_is_taken_anew() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    shop.world.will("confirm", Act::Say("gone"));
    shop.crank.run(order).await.unwrap();
    assert_confirmed_once(&shop, order).await;
    assert_eq!(shop.world.count("reserve"), 2);
}

#[tokio::test]
async fn lost_stock_sends_the_money_back_and_cancels() {
    for word in ["short", "refuse"] {
        stock_is_lost(word).await;
    }
}

async fn stock_is_lost(word: &'static str) {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    shop.world.will("confirm", Act::Say("gone"));
    shop.world.will("reserve", Act::Say(word));
    shop.world.will("refund", Act::Away);
    for _ in 0..3 {
        shop.crank.run(order).await.unwrap();
        shop.bench.advance(Duration::from_secs(1));
    }
    assert_eq!(shop.status(order).await, ("CANCELED".into(), "done".into()));
    assert_eq!(shop.causes(order).await, ["placed", "captured", "refunded", "stock_lost"]);
    assert_eq!(shop.world.lock().refunds.values().sum::<i64>(), 2_990);
    let ended: Vec<contracts::events::orders::OrderCanceled> =
        platform::testing::outbox_of(shop.bench.pool()).await;
    assert_eq!(ended[0].refunded_amount, "29.90".parse().unwrap());
}

#[tokio::test]
async fn an_unpaid_order_ends_when_its_hold_does_even_if_nobody_says_so() {
    let mut shop = shop().await;
    let order = shop.placed("key", &one_shirt()).await;
    shop.run();
    shop.bench.advance(Duration::from_secs(603));
    shop.until(order, "CANCELED", "done").await;
    assert_eq!(shop.causes(order).await, ["placed", "hold_expired"]);
    assert!(shop.world.lock().held.is_empty());
}

#[tokio::test]
async fn a_placement_without_stock_asks_again_and_finally_gives_up() {
    let shop = shop().await;
    for _ in 0..4 {
        shop.world.will("reserve", Act::Away);
    }
    let answer = shop.place("key", &with_method(one_shirt(), "tok_ok")).await.expect(202);
    let order: OrderId = answer.value()["orderId"].as_str().unwrap().parse().unwrap();
    shop.bench.advance(Duration::from_secs(4));
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await.1, "reserving");
    shop.bench.advance(Duration::from_secs(60));
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await.0, "CONFIRMED");

    for _ in 0..3 {
        shop.world.will("reserve", Act::Away);
    }
    let answer = shop.place("other", &one_shirt()).await.expect(202);
    let order: OrderId = answer.value()["orderId"].as_str().unwrap().parse().unwrap();
    shop.bench.advance(Duration::from_secs(901));
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await, ("FAILED".into(), "done".into()));
}

#[tokio::test]
async fn what_cannot_go_on_is_flagged_for_a_person_and_unflagged_when_it_can() {
    let shop = shop().await;
    let order = shop.placed("key", &with_method(one_shirt(), "tok_ok")).await;
    for _ in 0..STUCK_AFTER {
        shop.world.will("confirm", Act::Away);
    }
    let stuck = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM sagas WHERE stuck_at IS NOT NULL")
            .fetch_one(shop.bench.pool())
            .await
            .unwrap()
    };
    for _ in 0..STUCK_AFTER {
        shop.crank.run(order).await.unwrap();
        shop.bench.advance(Duration::from_secs(31));
    }
    assert_eq!((stuck().await, shop.status(order).await.0.as_str()), (1, "PAID"));
    shop.crank.run(order).await.unwrap();
    assert_eq!(stuck().await, 0);
    assert_confirmed_once(&shop, order).await;
}

#[tokio::test]
async fn hundred_orders_run_through_the_worker() {
    let mut shop = shop().await;
    shop.run();
    let mut orders = Vec::new();
    for n in 0..100 {
        orders.push(shop.placed(&format!("k{n}"), &with_method(one_shirt(), "tok_ok")).await);
    }
    for order in &orders {
        shop.until(*order, "CONFIRMED", "done").await;
    }
    shop.bench.ctx.lifecycle.stop(Duration::from_secs(5)).await.unwrap();
    assert_eq!(shop.world.lock().charged.len(), 100);
}
