//! Captures with a gateway that answers.

use contracts::events::payments::{PaymentAuthorized, PaymentCaptured, PaymentFailed};
use contracts::generated::bellavista::payments::v1::CaptureOutcome;
use futures_util::future::join_all;
use platform::testing::{outbox, outbox_of};
use tonic::Code;

use crate::shop::{Shop, attempt, capture};

#[tokio::test]
async fn an_approved_charge_is_captured_and_told_once() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (id, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert!(answer.known && !answer.payment_id.is_empty());
    assert_eq!(shop.pay(order, id, "tok_ok").await, answer, "the same attempt again");
    assert_eq!(shop.attempt(id).await, answer);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    let kinds: Vec<String> =
        outbox(shop.bench.pool()).await.into_iter().map(|row| row.event_type).collect();
    assert_eq!(
        kinds,
        ["ecommerce.payment.payment.authorized.v1", "ecommerce.payment.payment.captured.v1"]
    );
    let captured = &outbox_of::<PaymentCaptured>(shop.bench.pool()).await[0];
    assert_eq!((captured.order_id, captured.provider.as_str()), (order, "soap"));
    assert_eq!(captured.amount, "100.00".parse().unwrap());
    assert_eq!(outbox_of::<PaymentAuthorized>(shop.bench.pool()).await.len(), 1);
}

#[tokio::test]
async fn a_decline_is_an_answer_and_the_next_token_may_pay() {
    let shop = Shop::open().await;
    let order = shop.order();
    for (token, code) in [
        ("tok_declined", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_requires_action", "requires_action"),
        ("tok_who_knows", "invalid_token"),
    ] {
        let (id, answer) = shop.pay_once(order, token).await;
        assert_eq!(answer.outcome(), CaptureOutcome::Declined, "{token}");
        assert_eq!(answer.decline_code, code);
        assert_eq!(shop.pay(order, id, token).await, answer);
    }
    let failed = outbox_of::<PaymentFailed>(shop.bench.pool()).await;
    assert_eq!(failed.len(), 4);
    assert!(failed.iter().all(|event| !event.is_final));
    let (_, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn twenty_of_one_attempt_at_once_are_one_charge() {
    let shop = Shop::open().await;
    let (order, id) = (shop.order(), attempt());
    let answers = join_all((0..20).map(|_| shop.pay(order, id, "tok_ok"))).await;
    assert!(answers.iter().all(|a| a.known && a.payment_id == answers[0].payment_id));
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn many_attempts_of_one_order_at_once_are_one_charge() {
    let shop = Shop::open().await;
    let order = shop.order();
    let ids: Vec<_> = (0..10).map(|_| attempt()).collect();
    let answers =
        join_all(ids.iter().map(|id| shop.client.capture(capture(order, *id, "tok_ok")))).await;
    for refused in answers.iter().filter_map(|a| a.as_ref().err()) {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    assert!(answers.iter().flatten().all(|a| a.outcome() == CaptureOutcome::Captured));
    assert!(answers.iter().flatten().count() >= 1);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn an_attempt_id_is_not_taken_for_another_order_or_amount() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (id, _) = shop.pay_once(order, "tok_ok").await;
    let other = capture(shop.order(), id, "tok_ok");
    assert_eq!(shop.client.capture(other).await.unwrap_err().code(), Code::InvalidArgument);
    let mut more = capture(order, id, "tok_ok");
    more.amount_minor += 1;
    assert_eq!(shop.client.capture(more).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    assert!(!shop.attempt(attempt()).await.known);
}

#[tokio::test]
async fn wrong_fields_are_all_named_and_nothing_is_sent() {
    let shop = Shop::open().await;
    let mut request = capture(shop.order(), attempt(), "4111 1111 1111 1111");
    request.attempt_id = "x".into();
    request.order_id = String::new();
    request.amount_minor = 0;
    request.currency = "usd".into();
    request.method_type = "cash".into();
    let refused = shop.client.capture(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    for field in ["attempt_id", "order_id", "amount_minor", "currency", "method_type", "token"] {
        assert!(refused.message().contains(field), "{field}: {}", refused.message());
    }
    assert!(!refused.message().contains("4111"));
    assert_eq!(shop.calls().await, "");
}

#[tokio::test]
async fn no_token_is_left_in_rows_or_events() {
    let shop = Shop::open().await;
    shop.pay_once(shop.order(), "tok_ok").await;
    shop.pay_once(shop.order(), "tok_declined").await;
    let sealed = shop.text("SELECT count(token_sealed)::text FROM payment_attempts").await;
    assert_eq!(sealed, "0", "emptied once decided");
    let written = shop
        .text(
            "SELECT string_agg(t, ' ') FROM (SELECT message AS t FROM provider_calls
               UNION ALL SELECT payload FROM outbox) AS all_texts",
        )
        .await;
    assert!(written.contains("100.00") && !written.contains("tok_"), "{written}");
}

#[tokio::test]
async fn amounts_travel_in_the_digits_of_their_currency() {
    let shop = Shop::open().await;
    for (currency, minor, text) in
        [("JPY", 500, "500"), ("KWD", 1_234, "1.234"), ("EUR", 5, "0.05")]
    {
        let order = shop.order();
        let mut request = capture(order, attempt(), "tok_ok");
        (request.currency, request.amount_minor) = (currency.into(), minor);
        let answer = shop.client.capture(request).await.unwrap();
        assert_eq!(answer.outcome(), CaptureOutcome::Captured, "{currency}");
        let ledger = shop.simulator.get(&format!("/admin/ledger?orderId={order}")).await;
        assert_eq!(ledger["items"][0]["amountMinor"], minor);
        assert_eq!(ledger["items"][0]["amount"].to_string(), text);
    }
}
