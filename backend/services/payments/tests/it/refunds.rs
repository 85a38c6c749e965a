//! Refunds: whole, partial, too much, at once, and with lost answers.

use contracts::events::payments::PaymentRefunded;
use contracts::generated::bellavista::payments::v1::RefundOutcome;
use futures_util::future::join_all;
use platform::testing::outbox_of;
use shared_types::Amount;
use tonic::Code;

use crate::shop::{Shop, refund, refund_id};

#[tokio::test]
async fn partial_refunds_add_up_to_the_whole_and_no_further() {
    let shop = Shop::open().await;
    let order = shop.order();
    shop.pay_once(order, "tok_ok").await;
    let first = refund_id();
    assert_eq!(shop.refund(order, first, 3_000).await, RefundOutcome::Refunded);
    assert_eq!(shop.refund(order, first, 3_000).await, RefundOutcome::Refunded, "again");
    assert_eq!(shop.simulator.count(order).await, (1, 1));
    assert_eq!(shop.text("SELECT status FROM payments").await, "PARTIALLY_REFUNDED");
    let too_much = shop.client.refund(refund(order, refund_id(), 7_001)).await.unwrap();
    assert_eq!(too_much.outcome(), RefundOutcome::RefundTooMuch);
    assert_eq!(too_much.refundable_minor, 7_000);
    assert_eq!(shop.refund(order, refund_id(), 7_000).await, RefundOutcome::Refunded);
    assert_eq!(shop.text("SELECT status FROM payments").await, "REFUNDED");
    let events = outbox_of::<PaymentRefunded>(shop.bench.pool()).await;
    let amounts: Vec<Amount> = events.iter().map(|e| e.amount).collect();
    assert_eq!(amounts, [Amount::new(3_000, 2), Amount::new(7_000, 2)]);
}

#[tokio::test]
async fn refunds_at_once_never_exceed_the_capture() {
    let shop = Shop::open().await;
    let order = shop.order();
    shop.pay_once(order, "tok_ok").await;
    let outcomes = join_all((0..12).map(|_| shop.refund(order, refund_id(), 3_000))).await;
    let done = outcomes.iter().filter(|o| **o == RefundOutcome::Refunded).count();
    let refused = outcomes.iter().filter(|o| **o == RefundOutcome::RefundTooMuch).count();
    assert_eq!((done, refused), (3, 9), "{outcomes:?}");
    assert_eq!(shop.simulator.count(order).await, (1, 3));
}

#[tokio::test]
async fn one_refund_asked_for_many_times_at_once_is_one() {
    let shop = Shop::open().await;
    let (order, id) = (shop.order(), refund_id());
    shop.pay_once(order, "tok_ok").await;
    join_all((0..10).map(|_| shop.refund(order, id, 4_000))).await;
    shop.refunded(order, id, 4_000).await;
    assert_eq!(shop.simulator.count(order).await, (1, 1));
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_happens_once() {
    let shop = Shop::open().await;
    let order = shop.order();
    shop.pay_once(order, "tok_ok").await;
    shop.simulator.script(&["lost_after"]).await;
    assert_eq!(shop.refund(order, refund_id(), 1_000).await, RefundOutcome::Refunded);
    assert_eq!(shop.simulator.count(order).await, (1, 1));
    shop.simulator.script(&["lost_before"]).await;
    let id = refund_id();
    assert_eq!(shop.refund(order, id, 1_000).await, RefundOutcome::RefundPending);
    shop.pass(10).await;
    assert_eq!(shop.simulator.count(order).await, (1, 1), "not before the settlement time");
    shop.pass(31).await;
    shop.refunded(order, id, 1_000).await;
    assert_eq!(shop.simulator.count(order).await, (1, 2));
}

#[tokio::test]
async fn a_refund_waits_for_a_gateway_that_answers_with_faults() {
    let shop = Shop::open().await;
    let (order, id) = (shop.order(), refund_id());
    shop.pay_once(order, "tok_ok").await;
    shop.simulator.script(&["fault", "fault"]).await;
    assert_eq!(shop.refund(order, id, 1_000).await, RefundOutcome::RefundPending);
    shop.pass(1).await;
    shop.pass(2).await;
    shop.refunded(order, id, 1_000).await;
    assert_eq!(shop.simulator.count(order).await, (1, 1));
}

#[tokio::test]
async fn a_refund_under_way_over_a_restart_happens_once() {
    let mut shop = Shop::open().await;
    let (order, id) = (shop.order(), refund_id());
    shop.pay_once(order, "tok_ok").await;
    shop.simulator.script(&["slow"]).await;
    let client = shop.client.clone();
    let waiting = tokio::spawn(async move { client.refund(refund(order, id, 2_500)).await });
    while shop.text("SELECT count(*)::text FROM refunds").await == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    shop.restart().await;
    let _ = waiting.await.unwrap();
    while shop.simulator.count(order).await.1 == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    shop.pass(60).await;
    shop.refunded(order, id, 2_500).await;
    assert_eq!(shop.simulator.count(order).await, (1, 1));
}

#[tokio::test]
async fn what_cannot_be_refunded_is_refused() {
    let shop = Shop::open().await;
    let order = shop.order();
    assert_eq!(shop.refund(order, refund_id(), 1).await, RefundOutcome::NothingCaptured);
    shop.pay_once(order, "tok_declined").await;
    assert_eq!(shop.refund(order, refund_id(), 1).await, RefundOutcome::NothingCaptured);
    shop.pay_once(order, "tok_ok").await;
    let mut other = refund(order, refund_id(), 100);
    other.currency = "EUR".into();
    assert_eq!(shop.client.refund(other).await.unwrap_err().code(), Code::InvalidArgument);
    let id = refund_id();
    shop.refund(order, id, 100).await;
    let changed = shop.client.refund(refund(order, id, 101)).await.unwrap_err();
    assert_eq!(changed.code(), Code::InvalidArgument);
    let zero = shop.client.refund(refund(order, refund_id(), 0)).await.unwrap_err();
    assert!(zero.message().contains("amount_minor"), "{zero}");
    shop.simulator.script(&["decline"]).await;
    let refused = shop.client.refund(refund(order, refund_id(), 100)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(shop.refund(order, refund_id(), 9_900).await, RefundOutcome::Refunded, "freed");
}
