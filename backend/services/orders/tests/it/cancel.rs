use serde_json::json;
use shared_types::Role;

use crate::support::{Act, Shop, one_shirt, shop, with_method};

/// Puts a fresh order into `status` as the database would hold it.
async fn order_in(shop: &Shop, status: &str, key: &str) -> shared_types::OrderId {
    let order = match status {
        "PENDING" => shop.placed(key, &one_shirt()).await,
        "AUTHORIZING" => shop.placed(key, &with_method(one_shirt(), "tok_ok")).await,
        "PAID" => {
            let order = shop.placed(key, &with_method(one_shirt(), "tok_ok")).await;
            assert!(shop.crank.step(order).await.unwrap());
            order
        }
        "CANCELED" => {
            let order = shop.placed(key, &one_shirt()).await;
            shop.cancel(order, &shop.token).await.expect(200);
            shop.crank.run(order).await.unwrap();
            order
        }
        "FAILED" => {
            let order = shop.placed(key, &with_method(one_shirt(), "tok_declined")).await;
            shop.crank.run(order).await.unwrap();
            order
        }
        _ => shop.confirmed(key, &one_shirt()).await,
    };
    if matches!(status, "SHIPPED" | "FULFILLED") {
        sqlx::query("UPDATE orders SET status = $1")
            .bind(status)
            .execute(shop.bench.pool())
            .await
            .unwrap();
    }
    order
}

#[tokio::test]
async fn who_may_cancel_depends_on_role_and_status() {
    // Status, then what owner, support and a stranger are answered.
    let table = [
        ("PENDING", "", "", "orders.not_found"),
        (
            "AUTHORIZING",
            "orders.payment_in_progress",
            "orders.payment_in_progress",
            "orders.not_found",
        ),
        ("PAID", "orders.illegal_transition", "", "orders.not_found"),
        ("CONFIRMED", "orders.illegal_transition", "", "orders.not_found"),
        ("SHIPPED", "orders.illegal_transition", "orders.illegal_transition", "orders.not_found"),
        ("FULFILLED", "orders.illegal_transition", "orders.illegal_transition", "orders.not_found"),
        ("CANCELED", "orders.illegal_transition", "orders.illegal_transition", "orders.not_found"),
        ("FAILED", "orders.illegal_transition", "orders.illegal_transition", "orders.not_found"),
    ];
    let shop = crate::support::shop_with("answer_within_ms = 1").await;
    let stranger = shop.bench.token_for_user(shop.bench.id(), &[Role::Customer]);
    for (status, owner, support, other) in table {
        for (who, token, wanted) in [
            ("owner", &shop.token, owner),
            ("support", &shop.staff, support),
            ("stranger", &stranger, other),
        ] {
            let order = order_in(&shop, status, &format!("{status}-{who}")).await;
            let answer = shop.cancel(order, token).await;
            assert_eq!(answer.code(), wanted, "{who} cancels {status}: {}", answer.text());
            assert_eq!(answer.status.is_success(), wanted.is_empty(), "{who} cancels {status}");
        }
    }
}

#[tokio::test]
async fn a_canceled_order_gives_its_stock_back_and_says_why() {
    let mut shop = shop().await;
    shop.run();
    let order = shop.placed("key", &one_shirt()).await;
    let answer = shop.cancel(order, &shop.token).await.expect(200);
    assert_eq!(answer.value()["status"], "CANCELED");
    shop.until(order, "CANCELED", "done").await;
    assert!(shop.world.lock().held.is_empty());
    assert_eq!(shop.causes(order).await, ["placed", "customer_request"]);
    let event: contracts::events::orders::OrderCanceled =
        platform::testing::outbox_of(shop.bench.pool()).await.remove(0);
    assert_eq!(
        (event.reason.as_str(), event.by.clone()),
        ("customer_request", format!("user:{}", shop.user))
    );
    assert_eq!(event.items.len(), 1);
}

#[tokio::test]
async fn support_cancels_a_confirmed_order_and_the_money_goes_back_first() {
    let mut shop = shop().await;
    let order = shop.confirmed("key", &one_shirt()).await;
    shop.refund("r", &json!({"orderId": order, "amount": 9.90, "reason": "scratch"}))
        .await
        .expect(201);
    shop.crank.run(order).await.unwrap();
    shop.world.will("refund", Act::Away);
    let open = shop.cancel(order, &shop.staff).await.expect(202);
    assert_eq!(
        (&open.value()["status"], &open.value()["stage"]),
        (&json!("CONFIRMED"), &json!("refunding"))
    );
    shop.crank.run(order).await.unwrap();
    assert_eq!(shop.status(order).await.0, "CONFIRMED", "not before the money is back");
    assert!(!shop.world.lock().allocated.is_empty());
    shop.run();
    shop.bench.advance(std::time::Duration::from_secs(1));
    shop.until(order, "CANCELED", "done").await;
    assert_eq!(shop.world.lock().refunds.values().sum::<i64>(), 2_990, "the rest, not twice");
    assert!(shop.world.lock().allocated.is_empty());
    assert_eq!(shop.events().await.last().unwrap(), "canceled");
}

#[tokio::test]
async fn a_reason_is_required_and_not_endless() {
    let shop = shop().await;
    let order = shop.placed("key", &one_shirt()).await;
    let path = format!("/orders/{order}/cancel");
    for reason in ["", "  ", &"x".repeat(501)] {
        let body = json!({"reason": reason});
        let refused = shop.client.post(&path).bearer(&shop.token).json(&body).send().await;
        assert_eq!(refused.expect(422).fields(), ["reason"]);
    }
    let nowhere = format!("/orders/{}/cancel", uuid::Uuid::new_v4());
    let body = json!({"reason": "x"});
    let answer = shop.client.post(&nowhere).bearer(&shop.staff).json(&body).send().await;
    answer.expect_problem(404, "orders.not_found");
}
