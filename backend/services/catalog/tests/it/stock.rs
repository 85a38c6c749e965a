//! What the catalogue and inventory say to each other.

use std::time::Duration;

use contracts::events::inventory::StockAdjusted;
use contracts::generated::bellavista::catalog::v1::FindVariantsRequest;
use serde_json::{Value, json};

use crate::{House, house, lamp, variant};

pub fn skus(skus: &[&str]) -> FindVariantsRequest {
    FindVariantsRequest { skus: skus.iter().map(|s| (*s).to_owned()).collect() }
}

/// Inventory says that so many are left.
pub async fn adjusted(house: &House, product: &str, sku: &str, available: i64, version: i64) {
    let event: StockAdjusted = serde_json::from_value(json!({
        "productId": product, "sku": sku, "warehouse": "main", "delta": 0, "reason": "adjustment",
        "onHand": available, "held": 0, "allocated": 0, "setAside": 0, "available": available
    }))
    .unwrap();
    let id = house.bench.ctx.ids.uuid();
    house.bench.deliver_as(house.consumer(), &event, id, version).await.unwrap();
}

async fn band(house: &House) -> Value {
    house.get("/products/lamp").await.expect(200).value()["variants"][0]["availability"].clone()
}

#[tokio::test]
async fn shoppers_see_bands_and_what_is_older_changes_nothing() {
    let house = house().await;
    let (made, _) = house.made(&lamp("Lamp-1")).await;
    let id = made["id"].as_str().unwrap();
    for (available, version, wanted) in [
        (7, 1, "IN_STOCK"),
        (5, 3, "LOW"),
        (7, 2, "LOW"),
        (0, 4, "OUT"),
        (6, 5, "IN_STOCK"),
        (0, 5, "IN_STOCK"),
    ] {
        adjusted(&house, id, "LAMP-1", available, version).await;
        assert_eq!(band(&house).await, wanted, "version {version}");
    }
}

#[tokio::test]
async fn stock_that_inventory_missed_is_pending_and_follows() {
    let mut house = house().await;
    house.shelf.away.set(true);
    house.shelf.unwanted.lock().unwrap().push("LAMP-1".to_owned());
    let mut product = lamp("LAMP-1");
    product["variants"].as_array_mut().unwrap().push(variant("LAMP-2", "30", 4));
    let (made, _) = house.made(&product).await;
    assert_eq!(made["stockPending"], true);
    assert_eq!(house.get("/products/lamp").await.value()["stockPending"], true);
    assert!(house.shelf.opened().is_empty());

    house.shelf.away.set(false);
    let opening = house.service.tasks.iter().position(|(name, _)| *name == "opening stock");
    let (_, task) = house.service.tasks.remove(opening.unwrap());
    let task = tokio::spawn(task);
    let pending = async || house.get("/products/lamp").await.value().get("stockPending").is_some();
    until(async || house.shelf.opened() == [("LAMP-2".to_owned(), 4)]).await;
    assert!(pending().await, "the first is refused and must not hold up the others");
    house.shelf.unwanted.lock().unwrap().clear();
    until(async || !pending().await).await;
    assert_eq!(house.shelf.opened().last(), Some(&("LAMP-1".to_owned(), 7)));
    house.bench.ctx.lifecycle.drain();
    task.await.unwrap().unwrap();
}

/// Waits until it holds, for at most ten seconds.
async fn until(holds: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to be");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn others_learn_of_variants_by_sku_whatever_its_case() {
    let house = house().await;
    let mut product = lamp("Lamp-1");
    product["variants"][0]["title"] = json!("Red");
    product["media"] = json!([{"url": "/artwork/lamp.svg", "alt": "A lamp"}]);
    let (made, _) = house.made(&product).await;
    let found = house.lookup.find_variants(skus(&["LAMP-1", "nothing", "", " "])).await.unwrap();
    assert_eq!(found.variants.len(), 1);
    let told = &found.variants[0];
    assert_eq!((told.sku.as_str(), told.title.as_str()), ("Lamp-1", "Lamp – Red"));
    assert_eq!(
        (told.price_minor, told.currency.as_str(), told.status.as_str()),
        (2_500, "USD", "ACTIVE")
    );
    assert_eq!((told.image_url.as_str(), told.product_version), ("/artwork/lamp.svg", 1));
    assert_eq!(json!(told.variant_id), made["variants"][0]["id"]);
    let many = FindVariantsRequest { skus: vec!["x".to_owned(); 1_001] };
    let refused = house.lookup.find_variants(many).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}
