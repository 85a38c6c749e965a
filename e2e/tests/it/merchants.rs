//! Merchants through the API.

use e2e::api::Api;
use e2e::shop::Shop;
use reqwest::Method;
use serde_json::json;

use crate::fresh_key;

#[tokio::test]
async fn a_merchant_makes_and_changes_a_product_and_a_shopper_may_not() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let (merchant, shopper) = (nobody.demo("merchant").await?, nobody.demo("shopper").await?);
    let sku = format!("M-{}", fresh_key());
    let mut product = json!({
        "title": "Reading lamp", "description": "Warm light.", "categories": ["Lighting"],
        "status": "ACTIVE",
        "variants": [{"sku": sku, "title": "Brass", "price": 80, "currency": "USD", "stock": 4,
                      "options": {"Finish": "Brass"}}]
    });
    shopper.post("/api/v1/products", &product).await?.expect(403);
    nobody.post("/api/v1/products", &product).await?.expect(401);
    let made = merchant.post("/api/v1/products", &product).await?.expect(201);
    let (etag, location) = (made.header("etag").to_owned(), made.header("location").to_owned());
    assert!(made.body.contains("\"price\":80.00"), "{}", made.body);

    product["variants"][0]["price"] = json!(75.5);
    product["variants"][0].as_object_mut().map(|v| v.remove("stock"));
    let put = async |tag: Option<&str>| {
        let headers: Vec<_> = tag.map(|t| ("If-Match", t)).into_iter().collect();
        merchant.send(Method::PUT, &location, &headers, Some(&product)).await
    };
    put(None).await?.expect(428);
    put(Some("\"v99\"")).await?.expect(412);
    let changed = put(Some(&etag)).await?.expect(200);
    assert_ne!(changed.header("etag"), etag);
    put(Some(&etag)).await?.expect(412);
    let prices = merchant.get(&format!("{location}/prices")).await?.expect(200).json();
    assert_eq!(prices["items"].as_array().map(Vec::len), Some(2), "{prices}");
    assert!(prices["items"][0]["validTo"].is_null() && prices["items"][1]["validTo"].is_string());
    Ok(())
}
