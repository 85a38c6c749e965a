//! Lost answers, faults, outages, kills: never a second charge.

use std::time::Duration;

use contracts::generated::bellavista::payments::v1::CaptureOutcome;
use serde_json::json;

use crate::shop::{Shop, attempt, capture};

#[tokio::test]
async fn an_answer_lost_after_the_effect_is_found_by_asking() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_lost_after").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    assert_eq!(shop.calls().await, "soap:unknown soap:listed");
}

#[tokio::test]
async fn what_was_lost_before_the_effect_is_sent_again_only_after_the_settlement_time() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (id, answer) = shop.pay_once(order, "tok_lost_before").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Pending);
    for _ in 0..29 {
        shop.pass(1).await;
        assert_eq!(shop.attempt(id).await.outcome(), CaptureOutcome::Pending);
        assert_eq!(shop.simulator.count(order).await, (0, 0));
    }
    shop.pass(31).await;
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn what_a_process_that_is_gone_worked_on_is_taken_up_before_its_lease_ends() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (id, answer) = shop.pay_once(order, "tok_lost_before").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Pending);
    sqlx::query(
        "UPDATE payment_attempts SET state = 'RUNNING', owner = $1,
             due_at = due_at + interval '1 day' WHERE attempt_id = $2",
    )
    .bind(platform::instance::of_the_dead())
    .bind(id)
    .execute(shop.bench.pool())
    .await
    .unwrap();
    shop.pass(60).await;
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn a_slow_gateway_is_asked_until_it_has_decided() {
    let shop = Shop::open_with(150, true).await;
    let order = shop.order();
    let (id, answer) = shop.pay_once(order, "tok_slow").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Pending, "the gateway takes 700 ms");
    let other = shop.client.capture(capture(order, attempt(), "tok_ok")).await;
    assert_eq!(other.unwrap_err().message(), "another attempt for this order is not decided yet");
    while shop.simulator.count(order).await == (0, 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shop.pass(1).await;
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn faults_are_retried_five_times_then_the_breaker_opens_and_the_fallback_serves() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_fault").await;
    assert_eq!(answer.outcome(), CaptureOutcome::NotSent);
    assert_eq!(shop.simulator.count(order).await, (0, 0));
    assert_eq!(shop.calls().await, ["soap:fault"; 5].join(" "));
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert!(shop.calls().await.ends_with("soap:held_back rest:approved"));
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    shop.bench.advance(Duration::from_secs(31));
    shop.pay_once(shop.order(), "tok_ok").await;
    assert!(shop.calls().await.ends_with("soap:approved"), "the trial closes it");
}

#[tokio::test]
async fn an_attempt_that_was_not_charged_may_be_followed_by_another() {
    let shop = Shop::open_with(5_000, false).await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_fault").await;
    assert_eq!(answer.outcome(), CaptureOutcome::NotSent);
    let (_, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::NotSent, "the breaker is open");
    shop.bench.advance(Duration::from_secs(31));
    let (_, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn a_fault_now_and_then_is_only_a_retry() {
    let shop = Shop::open().await;
    shop.simulator.script(&["fault", "fault", "work"]).await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.calls().await, "soap:fault soap:fault soap:approved");
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn a_process_killed_in_the_middle_finds_the_charge_afterwards() {
    let mut shop = Shop::open().await;
    let (order, id) = (shop.order(), attempt());
    let client = shop.client.clone();
    let waiting = tokio::spawn(async move { client.capture(capture(order, id, "tok_slow")).await });
    while !shop.attempt(id).await.known {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shop.restart().await;
    let _ = waiting.await.unwrap();
    assert_eq!(shop.attempt(id).await.outcome(), CaptureOutcome::Pending);
    while shop.simulator.count(order).await == (0, 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shop.pass(60).await;
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    assert_eq!(shop.calls().await, "soap:listed", "asked, not sent again");
}

#[tokio::test]
async fn an_outage_leaves_nothing_unknown_once_it_is_over() {
    let mut shop = Shop::open().await;
    shop.simulator.control("outage", json!(true)).await;
    let orders = [shop.order(), shop.order(), shop.order()];
    let mut ids = Vec::new();
    for order in orders {
        let (id, answer) = shop.pay_once(order, "tok_ok").await;
        assert_eq!(answer.outcome(), CaptureOutcome::Pending);
        ids.push(id);
    }
    shop.restart().await;
    shop.pass(40).await;
    shop.simulator.control("outage", json!(false)).await;
    for _ in 0..4 {
        shop.pass(35).await;
    }
    for (order, id) in orders.into_iter().zip(ids) {
        let outcome = shop.decided(id).await.outcome();
        let charges = shop.simulator.count(order).await.0;
        assert_eq!((outcome, charges), (CaptureOutcome::Captured, 1));
    }
}

#[tokio::test]
async fn an_old_attempt_found_not_charged_is_given_up() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (id, answer) = shop.pay_once(order, "tok_lost_before").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Pending);
    shop.pass(301).await;
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::NotSent);
    assert_eq!(shop.simulator.count(order).await, (0, 0));
}

#[tokio::test]
async fn with_lost_answers_and_faults_every_order_is_charged_once() {
    let shop = Shop::open().await;
    for (name, share) in [("lostBeforePercent", 10), ("lostAfterPercent", 10), ("faultPercent", 5)]
    {
        shop.simulator.control(name, json!(share)).await;
    }
    let mut open = Vec::new();
    for _ in 0..60 {
        let order = shop.order();
        let (id, _) = shop.pay_once(order, "tok_ok").await;
        open.push((order, id));
        shop.bench.advance(Duration::from_millis(1_500));
    }
    shop.simulator.http.post(shop.simulator.url("/admin/reset")).send().await.unwrap();
    for _ in 0..4 {
        shop.pass(35).await;
    }
    for (order, id) in open {
        let captured = shop.decided(id).await.outcome() == CaptureOutcome::Captured;
        assert_eq!(shop.simulator.count(order).await.0, usize::from(captured), "{order}");
    }
}
