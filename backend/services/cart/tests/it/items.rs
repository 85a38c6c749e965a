//! Putting in, changing, taking out, and what it costs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use contracts::generated::bellavista::catalog::v1 as proto;
use serde_json::json;
use shared_types::cart::Cart;
use shared_types::{CartItemId, Currency, Money, ProductId};
use tokio::task::JoinSet;

use crate::shop::{contents, lines, shop, usd};

#[tokio::test]
async fn items_are_put_in_changed_and_taken_out() {
    let shop = shop().await;
    shop.sell(&[("Mug", usd(1_250)), ("Pot", usd(2_000))]).await;
    let (_, token) = shop.guest();
    shop.add(&token, "mug", 2).await.expect(201);
    shop.add(&token, "POT", 1).await.expect(201);
    let cart: Cart = shop.add(&token, "MUG", 1).await.expect(201).json();
    assert_eq!(contents(&cart), lines(&[("Mug", 3), ("Pot", 1)]));
    let text = shop.http.get("/cart").bearer(&token).send().await.text();
    assert!(text.contains(r#""lineTotal":37.50"#), "{text}");
    assert!(
        text.contains(
            r#""subtotal":57.50,"discount":0.00,"tax":0.00,"shipping":0.00,"total":57.50"#
        ),
        "{text}"
    );
    let mug = &cart.items[0];
    assert_eq!((mug.title.as_str(), mug.slug.as_str()), ("Mug", "mug"));
    assert_eq!(mug.media.as_ref().unwrap().url, "/media/mug.svg");
    let path = format!("/cart/items/{}", mug.item_id);
    let put = async |body| shop.http.put(&path).bearer(&token).json(&body).send().await;
    let cart: Cart = put(json!({"qty": 1})).await.expect(200).json();
    assert_eq!(contents(&cart), lines(&[("Mug", 1), ("Pot", 1)]));
    assert_eq!(cart.amounts.total, "37.40".parse().unwrap(), "shipping comes back under fifty");
    put(json!({"qty": 10_001})).await.expect(422);
    put(json!({"qty": -1})).await.expect(422);
    put(json!({})).await.expect(422);
    let cart: Cart = put(json!({"qty": 0})).await.expect(200).json();
    assert_eq!(contents(&cart), lines(&[("Pot", 1)]));
    put(json!({"qty": 1})).await.expect_problem(404, "cart.unknown_item");
    let (_, other) = shop.guest();
    let path = format!("/cart/items/{}", cart.items[0].item_id);
    let foreign = shop.http.delete(&path).bearer(&other).send().await;
    foreign.expect_problem(404, "cart.unknown_item");
    let cart: Cart = shop.http.delete(&path).bearer(&token).send().await.expect(200).json();
    assert!(cart.items.is_empty() && cart.currency.is_none());
    shop.http.delete("/cart/items/zzz").bearer(&token).send().await.expect(404);
}

#[tokio::test]
async fn nobodys_cart_is_empty_has_a_stable_id_and_is_not_written_down() {
    let shop = shop().await;
    shop.sell(&[("Mug", usd(1_250))]).await;
    let (_, token) = shop.guest();
    let (first, second) = (shop.cart(&token).await, shop.cart(&token).await);
    assert_eq!(first, second);
    assert_eq!(first.id.0.get_version_num(), 7);
    shop.http.delete("/cart").bearer(&token).send().await.expect(200);
    let nothing: CartItemId = shop.bench.id();
    let path = format!("/cart/items/{nothing}");
    shop.http.delete(&path).bearer(&token).send().await.expect(404);
    assert_eq!(shop.count("SELECT count(*) FROM carts").await, 0);
    let cart: Cart = shop.add(&token, "Mug", 1).await.expect(201).json();
    assert_eq!(cart.id, first.id);
    let cart: Cart = shop.http.delete("/cart").bearer(&token).send().await.expect(200).json();
    assert_eq!((cart.id, cart.items.len()), (first.id, 0));
    assert_eq!(shop.count("SELECT count(*) FROM cart_actions").await, 2);
    shop.http.get("/cart").send().await.expect(401);
    let service = shop.bench.service_token("orders");
    let refused = shop.http.get("/cart").bearer(&service).send().await;
    refused.expect_problem(403, "cart.shoppers_only");
}

#[tokio::test]
async fn an_unknown_sku_is_asked_for_once_before_it_is_refused() {
    let shop = shop().await;
    let (_, token) = shop.guest();
    let refused = shop.add(&token, "new", 1).await.expect_problem(422, "cart.unknown_sku");
    assert_eq!(refused.fields(), ["sku"]);
    assert_eq!(shop.catalog.asked.load(Ordering::SeqCst), 1);
    let product: ProductId = shop.bench.id();
    let mut variant = proto::Variant {
        variant_id: product.to_string(),
        product_id: product.to_string(),
        sku: "New".to_owned(),
        title: "New thing".to_owned(),
        slug: "new-thing".to_owned(),
        price_minor: 990,
        currency: "USD".to_owned(),
        status: "DRAFT".to_owned(),
        product_version: 1,
        ..Default::default()
    };
    let know = |v: &proto::Variant| {
        shop.catalog.variants.lock().unwrap().insert("new".to_owned(), v.clone());
    };
    know(&variant);
    shop.add(&token, "new", 1).await.expect_problem(422, "cart.not_for_sale");
    variant.status = "ACTIVE".to_owned();
    variant.product_version = 2;
    know(&variant);
    let cart: Cart = shop.add(&token, "new", 1).await.expect(201).json();
    assert_eq!(cart.items[0].title, "New thing");
    shop.add(&token, "new", 1).await.expect(201);
    assert_eq!(shop.catalog.asked.load(Ordering::SeqCst), 3, "known now");
    shop.catalog.away.store(true, Ordering::SeqCst);
    shop.add(&token, "new", 1).await.expect(201);
    let away = shop.add(&token, "other", 1).await.expect_problem(503, "cart.catalog_away");
    assert!(!away.header("retry-after").is_empty());
}

#[tokio::test]
async fn limits_and_currencies_are_kept() {
    let shop = shop().await;
    let many: Vec<String> = (0..201).map(|n| format!("s{n}")).collect();
    let variants: Vec<(&str, Money)> = many.iter().map(|s| (s.as_str(), usd(100))).collect();
    shop.sell(&variants).await;
    shop.sell(&[("euro", Money::new(100, Currency::EUR))]).await;
    let (_, token) = shop.guest();
    shop.add(&token, "s0", 10_000).await.expect(201);
    shop.add(&token, "s0", 1).await.expect_problem(422, "cart.too_many_units");
    shop.add(&token, "euro", 1).await.expect_problem(422, "cart.mixed_currency");
    for name in &many[1..200] {
        shop.add(&token, name, 1).await.expect(201);
    }
    shop.add(&token, "s200", 1).await.expect_problem(422, "cart.too_many_items");
    assert_eq!(shop.cart(&token).await.items.len(), 200);
    for (body, field) in [
        (json!({}), "sku"),
        (json!({"sku": "s1", "qty": 0}), "qty"),
        (json!({"sku": "s1", "qty": i64::MAX}), "qty"),
        (json!({"sku": " s1"}), "sku"),
        (json!({"sku": "s\u{0}1"}), "sku"),
        (json!({"sku": "s1", "qty": 1.5}), "qty"),
    ] {
        let answer = shop.http.post("/cart/items").bearer(&token).json(&body).send().await;
        assert_eq!(answer.expect(422).fields(), [field], "{body}");
    }
}

#[tokio::test]
async fn tax_is_estimated_for_a_country() {
    let shop = shop().await;
    shop.sell(&[("Mug", usd(1_999))]).await;
    let (_, token) = shop.guest();
    shop.add(&token, "Mug", 1).await.expect(201);
    let get = async |path: &str| shop.http.get(path).bearer(&token).send().await;
    let cart: Cart = get("/cart?country=gb").await.expect(200).json();
    assert_eq!(cart.amounts.tax, "4.00".parse().unwrap());
    assert_eq!(cart.amounts.total, "28.89".parse().unwrap());
    let cart: Cart = get("/cart?country=US").await.expect(200).json();
    assert_eq!(cart.amounts.total, "24.89".parse().unwrap());
    get("/cart?country=Britain").await.expect(422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_cart_takes_many_adds_at_once_and_its_log_adds_up() {
    let shop = Arc::new(shop().await);
    shop.sell(&[("a", usd(100)), ("b", usd(100))]).await;
    let (_, token) = shop.guest();
    let mut adds = JoinSet::new();
    for number in 0..40 {
        let (shop, token) = (shop.clone(), token.clone());
        let name = if number % 2 == 0 { "a" } else { "b" };
        adds.spawn(async move { shop.add(&token, name, 1).await.expect(201) });
    }
    adds.join_all().await;
    let cart = shop.cart(&token).await;
    assert_eq!(cart.items.iter().map(|i| i.qty).collect::<Vec<_>>(), [20, 20]);
    let logged = "SELECT sum((action->>'qty')::bigint)::bigint FROM cart_actions";
    assert_eq!(shop.count(logged).await, 40);
    for statement in ["UPDATE cart_actions SET actor = 'x'", "DELETE FROM cart_actions"] {
        assert!(sqlx::query(statement).execute(shop.bench.pool()).await.is_err(), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_adds_once() {
    let shop = Arc::new(shop().await);
    shop.sell(&[("a", usd(100))]).await;
    let (_, token) = shop.user();
    let mut sends = JoinSet::new();
    for _ in 0..30 {
        let (shop, token) = (shop.clone(), token.clone());
        sends.spawn(async move {
            let body = json!({"sku": "a", "qty": 2});
            let request = shop.http.post("/cart/items").bearer(&token).key("once");
            request.json(&body).send().await.expect(201).body
        });
    }
    let bodies = sends.join_all().await;
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(contents(&shop.cart(&token).await), lines(&[("a", 2)]));
    let body = json!({"sku": "a", "qty": 3});
    let other = shop.http.post("/cart/items").bearer(&token).key("once").json(&body).send().await;
    other.expect_problem(422, "idempotency.mismatch");
}
