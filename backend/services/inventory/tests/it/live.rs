//! Following the stock of a product over the graph.

use platform::testing::{Graph, Live};
use serde_json::{Value, json};

use crate::shop::{Shop, shop};

const CHANGED: &str = "subscription($id: ID!) { stockChanged(productId: $id) {
    productId availability variants { sku availability available } } }";

async fn follow(shop: &Shop, token: Option<&str>) -> Live {
    let graph = Graph::of(&shop.service.lock().unwrap());
    let graph = token.map_or(graph.clone(), |token| graph.bearer(token));
    graph.subscribe(CHANGED, json!({ "id": format!("Product:{}", shop.product) })).await
}

/// As the relay would: somebody moved stock of the product.
fn word(shop: &Shop) {
    let wakes = shop.service.lock().unwrap().wakes.clone().unwrap();
    wakes.wake(&shop.product.to_string());
}

/// Band and units of the only variant in the next update.
async fn seen(live: &mut Live) -> (Value, Value) {
    let data = live.data().await;
    let variant = &data["stockChanged"]["variants"][0];
    (variant["availability"].clone(), variant["available"].clone())
}

#[tokio::test]
async fn shoppers_are_told_of_bands_and_merchants_of_units() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let (mut shopper, mut merchant) =
        (follow(&shop, None).await, follow(&shop, Some(&shop.merchant())).await);
    assert_eq!(seen(&mut shopper).await, (json!("IN_STOCK"), Value::Null));
    assert_eq!(seen(&mut merchant).await, (json!("IN_STOCK"), json!(10)));
    shop.hold(&[("A", 1)]).await;
    word(&shop);
    assert_eq!(seen(&mut merchant).await, (json!("IN_STOCK"), json!(9)));
    // For a shopper nothing has changed until the band does.
    let order = shop.hold(&[("A", 6)]).await;
    word(&shop);
    assert_eq!(seen(&mut shopper).await, (json!("LOW"), Value::Null));
    assert_eq!(seen(&mut merchant).await, (json!("LOW"), json!(3)));
    shop.release(order).await;
    word(&shop);
    assert_eq!(seen(&mut shopper).await, (json!("IN_STOCK"), Value::Null));
}

#[tokio::test]
async fn many_changes_of_a_hot_sku_are_told_as_one() {
    let shop = shop().await;
    shop.open("HOT", 100).await;
    let mut live = follow(&shop, Some(&shop.merchant())).await;
    assert_eq!(seen(&mut live).await.1, json!(100));
    for _ in 0..40 {
        shop.hold(&[("HOT", 1)]).await;
        word(&shop);
    }
    assert_eq!(seen(&mut live).await.1, json!(60), "one update, and it is the last state");
    shop.hold(&[("HOT", 1)]).await;
    word(&shop);
    assert_eq!(seen(&mut live).await.1, json!(59));
}

#[tokio::test]
async fn a_product_without_stock_is_null_until_stock_is_opened_at_any_instance() {
    let shop = shop().await;
    let mut live = follow(&shop, None).await;
    assert_eq!(live.data().await, json!({ "stockChanged": null }));
    shop.run_tasks();
    shop.open("NEW", 3).await;
    assert_eq!(seen(&mut live).await, (json!("LOW"), Value::Null));
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found() {
    let shop = shop().await;
    let graph = Graph::of(&shop.service.lock().unwrap());
    for id in ["", "x", "Order:0199aaaa-0000-7000-8000-000000000001"] {
        let mut live = graph.subscribe(CHANGED, json!({ "id": id })).await;
        assert_eq!(live.next().await.unwrap().codes(), ["inventory.not_found"], "{id}");
        assert!(live.next().await.is_none());
    }
}
