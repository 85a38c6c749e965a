//! The card providers behind the same interface: amounts, lost answers,
//! failover, actions.

use std::time::Duration;

use contracts::generated::bellavista::payments::v1::{CaptureOutcome, RefundOutcome};
use serde_json::json;

use crate::shop::{ADYEN, STRIPE, Shop, attempt, capture, refund, refund_id};

#[tokio::test]
async fn both_providers_charge_currencies_of_0_2_and_3_decimals() {
    for provider in [STRIPE, ADYEN] {
        let shop = Shop::open_more(provider).await;
        for (currency, minor) in [("JPY", 500), ("USD", 12_950), ("KWD", 1_230), ("ISK", 700)] {
            let order = shop.order();
            let mut request = capture(order, attempt(), "tok_ok");
            (request.currency, request.amount_minor) = (currency.into(), minor);
            let answer = shop.client.capture(request).await.unwrap();
            assert_eq!(answer.outcome(), CaptureOutcome::Captured, "{currency}");
            let ledger = shop.simulator.get(&format!("/admin/ledger?orderId={order}")).await;
            assert_eq!(ledger["items"][0]["amountMinor"], minor, "{currency}");
            assert_eq!(ledger["items"][0]["currency"], currency);
            assert_eq!(ledger["items"].as_array().unwrap().len(), 1);
        }
        let (_, declined) = shop.pay_once(shop.order(), "tok_insufficient_funds").await;
        assert_eq!(declined.decline_code, "insufficient_funds");
        let written = shop.text("SELECT string_agg(message, ' ') FROM provider_calls").await;
        assert!(!written.contains("tok_") && !written.contains("sk_test"), "{written}");
    }
}

#[tokio::test]
async fn an_answer_of_stripes_that_is_lost_is_found_by_asking() {
    let shop = Shop::open_more(STRIPE).await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_lost_after").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.calls().await, "stripe:unknown stripe:listed");
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    let order = shop.order();
    let (id, answer) = shop.pay_once(order, "tok_lost_before").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Pending);
    shop.pass(10).await;
    assert_eq!(shop.simulator.count(order).await, (0, 0), "not before the settlement time");
    shop.pass(31).await;
    assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured);
    assert_eq!(shop.simulator.count(order).await, (1, 0));
}

#[tokio::test]
async fn a_provider_that_cannot_be_asked_is_repeated_to_and_charges_once() {
    let shop = Shop::open_more(ADYEN).await;
    // No notification helps here: only the repeat tells.
    shop.simulator.script(&["lost_after", "work"]).await;
    for (order, token) in [(shop.order(), "tok_ok"), (shop.order(), "tok_lost_before")] {
        let (id, answer) = shop.pay_once(order, token).await;
        if answer.outcome() == CaptureOutcome::Pending {
            shop.pass(31).await;
        }
        assert_eq!(shop.decided(id).await.outcome(), CaptureOutcome::Captured, "{token}");
        assert_eq!(shop.simulator.count(order).await, (1, 0), "{token}");
    }
}

#[tokio::test]
async fn only_what_certainly_never_left_goes_to_the_next_provider() {
    let away = STRIPE.replace("{sim}/stripe", "http://127.0.0.1:1/stripe");
    let routes = "[[payments.routes]]\nproviders = [\"stripe\"]\n";
    let both = away.replace(routes, "") + &ADYEN.replace("[\"adyen\"]", "[\"stripe\", \"adyen\"]");
    let shop = Shop::open_more(&both).await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_ok").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Captured);
    assert!(
        shop.calls().await.ends_with("stripe:not_sent adyen:approved"),
        "{}",
        shop.calls().await
    );
    assert_eq!(shop.simulator.count(order).await, (1, 0));
    let shop = Shop::open_more(&both.replace("http://127.0.0.1:1/stripe", "{sim}/stripe")).await;
    let order = shop.order();
    let (_, answer) = shop.pay_once(order, "tok_fault").await;
    assert_eq!(answer.outcome(), CaptureOutcome::NotSent, "it arrived: nobody else is asked");
    // The faults opened the breaker.
    shop.bench.advance(Duration::from_secs(31));
    let (id, answer) = shop.pay_once(shop.order(), "tok_lost_before").await;
    assert_eq!(answer.outcome(), CaptureOutcome::Pending, "unknown: nobody else is asked");
    assert!(!shop.calls().await.contains("adyen"), "{}", shop.calls().await);
    assert!(shop.attempt(id).await.known);
}

#[tokio::test]
async fn currencies_choose_their_provider() {
    let rules = format!(
        "{}\n[[payments.routes]]\nproviders = [\"soap\", \"rest\"]\n",
        STRIPE.replace(
            "providers = [\"stripe\"]",
            "currencies = [\"EUR\"]\nproviders = [\"stripe\"]"
        )
    );
    let shop = Shop::open_more(&rules).await;
    for (currency, provider) in [("EUR", "stripe"), ("USD", "soap")] {
        let mut request = capture(shop.order(), attempt(), "tok_ok");
        request.currency = currency.into();
        let answer = shop.client.capture(request).await.unwrap();
        let sql =
            format!("SELECT provider FROM payments WHERE payment_id = '{}'", answer.payment_id);
        assert_eq!(shop.text(&sql).await, provider, "{currency}");
    }
}

#[tokio::test]
async fn an_orders_card_that_needs_an_action_is_declined_and_never_charged() {
    for provider in [STRIPE, ADYEN] {
        let shop = Shop::open_more(provider).await;
        let order = shop.order();
        let (_, answer) = shop.pay_once(order, "tok_requires_action").await;
        assert_eq!(answer.outcome(), CaptureOutcome::Declined);
        assert_eq!(answer.decline_code, "requires_action");
        assert_eq!(shop.simulator.count(order).await, (0, 0));
    }
}

#[tokio::test]
async fn refunds_go_back_through_the_provider_that_charged() {
    let shop = Shop::open_more(STRIPE).await;
    let order = shop.order();
    shop.pay_once(order, "tok_ok").await;
    assert_eq!(shop.refund(order, refund_id(), 3_000).await, RefundOutcome::Refunded);
    shop.simulator.script(&["lost_after"]).await;
    assert_eq!(shop.refund(order, refund_id(), 3_000).await, RefundOutcome::Refunded, "asked");
    let too_much = shop.client.refund(refund(order, refund_id(), 4_001)).await.unwrap();
    assert_eq!(too_much.outcome(), RefundOutcome::RefundTooMuch);
    assert_eq!(shop.simulator.count(order).await, (1, 2));
}

#[tokio::test]
async fn a_refund_that_is_only_taken_in_is_done_when_its_notification_says_so() {
    let shop = Shop::open_more(ADYEN).await;
    let order = shop.order();
    shop.pay_once(order, "tok_ok").await;
    let id = refund_id();
    let first = shop.refund(order, id, 2_500).await;
    assert!(matches!(first, RefundOutcome::RefundPending | RefundOutcome::Refunded));
    shop.refunded(order, id, 2_500).await;
    assert_eq!(shop.simulator.count(order).await, (1, 1));
    let told =
        shop.text("SELECT count(*)::text FROM provider_notifications WHERE event = 'REFUND'");
    assert_eq!(told.await, "1");
}

#[tokio::test]
async fn lost_answers_of_every_kind_never_charge_twice() {
    for provider in [STRIPE, ADYEN] {
        let shop = Shop::open_more(provider).await;
        shop.simulator.control("lostBeforePercent", json!(20)).await;
        shop.simulator.control("lostAfterPercent", json!(20)).await;
        shop.simulator.control("faultPercent", json!(10)).await;
        let mut open = Vec::new();
        for _ in 0..25 {
            let order = shop.order();
            let (id, _) = shop.pay_once(order, "tok_ok").await;
            open.push((order, id));
            shop.bench.advance(Duration::from_millis(1_500));
        }
        shop.simulator.http.post(shop.simulator.url("/admin/reset")).send().await.unwrap();
        for _ in 0..5 {
            shop.pass(35).await;
        }
        for (order, id) in open {
            let captured = shop.decided(id).await.outcome() == CaptureOutcome::Captured;
            assert_eq!(shop.simulator.count(order).await.0, usize::from(captured), "{order}");
        }
    }
}

#[tokio::test]
async fn a_card_number_becomes_a_token_outside_the_shop() {
    let shop = Shop::open_more(STRIPE).await;
    let tokenize = async |number: &str, year: u16| {
        let body = json!({"number": number, "expMonth": 12, "expYear": year, "cvc": "123"});
        let request = shop.simulator.http.post(shop.simulator.url("/tokens")).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    for (number, outcome, code) in [
        ("4242 4242 4242 4242", CaptureOutcome::Captured, ""),
        ("4000000000000002", CaptureOutcome::Declined, "card_declined"),
        ("4000000000009995", CaptureOutcome::Declined, "insufficient_funds"),
        ("4000002760003184", CaptureOutcome::Declined, "requires_action"),
    ] {
        let (status, made) = tokenize(number, 2030).await;
        assert_eq!(status, 201, "{made}");
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(made["last4"], digits[12..]);
        let (_, answer) = shop.pay_once(shop.order(), made["token"].as_str().unwrap()).await;
        assert_eq!((answer.outcome(), answer.decline_code.as_str()), (outcome, code), "{number}");
    }
    for (number, year) in [("4242424242424241", 2030), ("4242424242424242", 2025), ("abc", 2030)] {
        assert_eq!(tokenize(number, year).await.0, 422, "{number}");
    }
}
