//! A guest signs in.

use std::sync::Arc;

use serde_json::json;
use shared_types::cart::Cart;
use shared_types::{Currency, Money};
use tokio::task::JoinSet;

use crate::shop::{Shop, contents, lines, shop, usd};

async fn merge(shop: &Shop, user: &str, guest: &str) -> platform::testing::TestAnswer {
    let body = json!({"guestToken": guest});
    shop.http.post("/cart/merge").bearer(user).json(&body).send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guest_cart_moves_over_once_however_often_it_is_sent() {
    let shop = Arc::new(shop().await);
    shop.sell(&[("a", usd(100)), ("b", usd(100)), ("c", usd(100))]).await;
    let ((_, guest), (_, user)) = (shop.guest(), shop.user());
    shop.add(&user, "a", 9_999).await.expect(201);
    shop.add(&user, "b", 1).await.expect(201);
    shop.add(&guest, "A", 5).await.expect(201);
    shop.add(&guest, "c", 2).await.expect(201);
    let mut sends = JoinSet::new();
    for _ in 0..12 {
        let (shop, user, guest) = (shop.clone(), user.clone(), guest.clone());
        sends.spawn(async move { merge(&shop, &user, &guest).await.expect(200).json::<Cart>() });
    }
    for cart in sends.join_all().await {
        assert_eq!(contents(&cart), lines(&[("a", 10_000), ("b", 1), ("c", 2)]));
    }
    assert!(shop.cart(&guest).await.items.is_empty());
    let merged = "SELECT count(*) FROM cart_actions WHERE action->>'kind' = 'merged_into'";
    assert_eq!(shop.count(merged).await, 1);
}

#[tokio::test]
async fn a_merge_that_cannot_be_moves_nothing() {
    let shop = shop().await;
    shop.sell(&[("a", usd(100))]).await;
    shop.sell(&[("e", Money::new(100, Currency::EUR))]).await;
    let ((_, guest), (_, user)) = (shop.guest(), shop.user());
    shop.add(&user, "a", 1).await.expect(201);
    shop.add(&guest, "e", 1).await.expect(201);
    merge(&shop, &user, &guest).await.expect_problem(422, "cart.mixed_currency");
    assert_eq!(contents(&shop.cart(&user).await), lines(&[("a", 1)]));
    assert_eq!(contents(&shop.cart(&guest).await), lines(&[("e", 1)]));
}

#[tokio::test]
async fn only_a_guests_own_token_moves_a_cart() {
    let shop = shop().await;
    shop.sell(&[("a", usd(100))]).await;
    let ((_, guest), (_, user), (_, other)) = (shop.guest(), shop.user(), shop.user());
    shop.add(&guest, "a", 1).await.expect(201);
    for bad in ["", "junk", &other, &format!("{guest}x")] {
        let refused = merge(&shop, &user, bad).await.expect(422);
        assert_eq!(refused.fields(), ["guestToken"]);
    }
    merge(&shop, &guest, &guest).await.expect_problem(401, "auth.sign_in");
    let service = shop.bench.service_token("orders");
    merge(&shop, &service, &guest).await.expect(403);
    let (_, empty) = shop.guest();
    merge(&shop, &user, &empty).await.expect(200);
    assert_eq!(shop.cart(&guest).await.items.len(), 1);
}
