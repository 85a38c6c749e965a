//! Changing and archiving products.

use std::time::Duration;

use platform::testing;
use serde_json::{Value, json};

use crate::{house, lamp, variant};

/// The product without opening stock, as a change may carry it.
fn without_stock(mut product: Value) -> Value {
    for variant in product["variants"].as_array_mut().unwrap() {
        variant.as_object_mut().unwrap().remove("stock");
    }
    product
}

#[tokio::test]
async fn a_change_needs_the_version_it_is_based_on() {
    let house = house().await;
    let (made, etag) = house.made(&lamp("LAMP-1")).await;
    let mut wanted = without_stock(lamp("LAMP-1"));
    wanted["title"] = json!("Better lamp");
    let path = format!("/products/{}", made["id"].as_str().unwrap());
    let without = house.client.put(&path).bearer(&house.merchant).json(&wanted).send().await;
    without.expect_problem(428, "request.if_match_missing");
    for wrong in ["\"v7\"", "v1", "\"nonsense\""] {
        house.put(&made["id"], wrong, &wanted).await.expect_problem(412, "request.stale");
    }
    let changed = house.put(&made["id"], &etag, &wanted).await.expect(200);
    assert_eq!((changed.etag(), changed.value()["slug"].as_str()), ("\"v2\"", Some("lamp")));
    house.put(&made["id"], &etag, &wanted).await.expect(412);
    let unknown = json!(house.bench.id::<shared_types::ProductId>().to_string());
    house.put(&unknown, "\"v1\"", &wanted).await.expect_problem(404, "catalog.no_such_product");
}

#[tokio::test]
async fn a_new_price_closes_the_old_one_and_both_can_be_told() {
    let house = house().await;
    let (made, etag) = house.made(&lamp("LAMP-1")).await;
    testing::drain_outbox(house.bench.pool()).await;
    house.bench.advance(Duration::from_secs(3_600));
    let mut wanted = without_stock(lamp("LAMP-1"));
    wanted["variants"][0]["price"] = json!(19.5);
    let changed = house.put(&made["id"], &etag, &wanted).await.expect(200);
    let again = house.put(&made["id"], changed.etag(), &wanted).await.expect(200);
    assert_eq!(again.etag(), "\"v3\"");

    let path = format!("/products/{}/prices", made["id"].as_str().unwrap());
    house.get(&path).await.expect(401);
    let prices = house.get_as_merchant(&path).await.expect(200).value();
    let rows = prices["items"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "a price that stays is no new row: {prices}");
    assert_eq!((rows[0]["price"].as_f64(), &rows[0]["validTo"]), (Some(19.5), &Value::Null));
    assert_eq!(rows[1]["price"].as_f64(), Some(25.0));
    assert_eq!(rows[1]["validTo"], rows[0]["validFrom"]);
    assert_eq!(rows[1]["validFrom"], testing::START.replace("00Z", "00.000Z"));
    assert!(rows[0]["changedBy"].as_str().unwrap().starts_with("user:"));
    let first = house.get_as_merchant(&format!("{path}?first=1")).await.expect(200).value();
    let cursor = first["pageInfo"]["endCursor"].as_str().unwrap();
    let second =
        house.get_as_merchant(&format!("{path}?first=1&after={cursor}")).await.expect(200).value();
    assert_eq!(second["items"][0], rows[1]);

    let told = testing::outbox(house.bench.pool()).await;
    let seen: Vec<_> = told.iter().map(|r| (r.event_type.as_str(), r.aggregate_version)).collect();
    let (whole, price) =
        ("ecommerce.product.product.updated.v1", "ecommerce.product.price.changed.v1");
    assert_eq!(seen, [(whole, 3), (price, 4), (whole, 5)]);
    assert_eq!(
        (&told[1].payload["old"], &told[1].payload["priceBookVersion"]),
        (&json!(25.0), &json!(2))
    );
}

#[tokio::test]
async fn what_never_changes_of_a_variant_is_refused_by_field() {
    let house = house().await;
    let (made, etag) = house.made(&lamp("LAMP-1")).await;
    let (other, _) =
        house.made(&json!({"title": "Vase", "variants": [variant("VASE-1", "9", 1)]})).await;
    let mut wanted = lamp("LAMP-1");
    wanted["variants"][0]["currency"] = json!("EUR");
    let answer = house.put(&made["id"], &etag, &wanted).await.expect(422);
    assert_eq!(answer.fields(), ["variants[0].stock", "variants[0].currency"]);
    let mut wanted = without_stock(lamp("LAMP-9"));
    wanted["variants"][0]["id"] = made["variants"][0]["id"].clone();
    let answer = house.put(&made["id"], &etag, &wanted).await.expect(422);
    assert_eq!(answer.fields(), ["variants[0].sku"]);
    wanted["variants"][0]["id"] = other["variants"][0]["id"].clone();
    let answer = house.put(&made["id"], &etag, &wanted).await.expect(422);
    assert_eq!(answer.fields(), ["variants[0].id"]);
    let taken = without_stock(lamp("vase-1"));
    house.put(&made["id"], &etag, &taken).await.expect_problem(409, "catalog.sku_taken");
    assert_eq!(house.get("/products/lamp").await.etag(), "\"v1\"");
}

#[tokio::test]
async fn a_variant_taken_out_keeps_its_sku_and_comes_back_as_it_was() {
    let house = house().await;
    let mut both = lamp("LAMP-1");
    both["variants"].as_array_mut().unwrap().push(variant("LAMP-2", "30", 4));
    let (made, etag) = house.made(&both).await;
    let id = made["variants"][1]["id"].clone();
    let less = house.put(&made["id"], &etag, &without_stock(lamp("LAMP-1"))).await.expect(200);
    assert_eq!(less.value()["variants"].as_array().unwrap().len(), 1);
    let found = house.lookup.find_variants(crate::stock::skus(&["LAMP-2"])).await.unwrap();
    assert!(found.variants.is_empty());
    let taken = json!({"title": "Thief", "variants": [variant("lamp-2", "1", 1)]});
    house.create(&taken).await.expect_problem(409, "catalog.sku_taken");

    let answer = house.put(&made["id"], less.etag(), &both).await.expect(422);
    assert_eq!(answer.fields(), ["variants[0].stock", "variants[1].stock"]);
    let mut euros = without_stock(both.clone());
    euros["variants"].as_array_mut().unwrap().remove(0);
    euros["variants"][0]["currency"] = json!("EUR");
    let answer = house.put(&made["id"], less.etag(), &euros).await.expect(422);
    assert_eq!(answer.fields(), ["variants[0].currency"]);

    let back = house.put(&made["id"], less.etag(), &without_stock(both)).await.expect(200).value();
    assert_eq!(back["variants"][1]["id"], id);
    let path = format!("/products/{}/prices", made["id"].as_str().unwrap());
    let prices = house.get_as_merchant(&path).await.value();
    assert_eq!(
        prices["items"].as_array().unwrap().len(),
        2,
        "the same price is no new row: {prices}"
    );
    assert_eq!(house.shelf.opened().len(), 2, "opening stock is opened once");
}

#[tokio::test]
async fn an_archived_product_leaves_the_shop_but_not_the_books() {
    let house = house().await;
    let (made, etag) = house.made(&lamp("LAMP-1")).await;
    let path = format!("/products/{}", made["id"].as_str().unwrap());
    house.client.delete(&path).send().await.expect(401);
    let remove =
        |etag: &str| house.client.delete(&path).bearer(&house.merchant).if_match(etag).send();
    house.client.delete(&path).bearer(&house.merchant).send().await.expect(428);
    remove("\"v5\"").await.expect(412);
    remove(&etag).await.expect(204);
    house.get(&path).await.expect(404);
    assert_eq!(house.get("/products").await.value()["items"], json!([]));
    let kept = house.get_as_merchant(&path).await.expect(200);
    assert_eq!((kept.value()["status"].as_str(), kept.etag()), (Some("ARCHIVED"), "\"v2\""));
    remove("\"v2\"").await.expect(204);
    let told =
        testing::outbox_of::<contracts::events::products::ProductUpdated>(house.bench.pool()).await;
    assert_eq!(told.len(), 2, "archiving twice is told once");
    assert_eq!(told[1].status, shared_types::catalog::ProductStatus::Archived);
    let found = house.lookup.find_variants(crate::stock::skus(&["LAMP-1"])).await.unwrap();
    assert_eq!(found.variants[0].status, "ARCHIVED");
}
