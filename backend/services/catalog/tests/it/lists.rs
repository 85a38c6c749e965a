//! Lists of products and categories.

use std::time::Duration;

use serde_json::{Value, json};
use shared_types::Role;

use crate::{House, house, variant};

/// Title, price, category, units.
const SHOP: [(&str, &str, &str, i64); 6] = [
    ("Écritoire", "80", "Desk", 3),
    ("écran", "12.50", "Desk", 0),
    ("Vase 100%", "25", "Home", 9),
    ("Vase_plain", "25", "Home", 9),
    ("Aster", "3", "Garden", 1),
    ("zinnia", "3", "Garden", 0),
];

async fn stocked() -> House {
    let house = house().await;
    for (n, (title, price, category, stock)) in SHOP.into_iter().enumerate() {
        house.bench.advance(Duration::from_micros(300));
        let product = json!({
            "title": title, "description": format!("Number {n}."), "categories": [category],
            "status": "ACTIVE", "variants": [variant(&format!("S-{n}"), price, stock)]
        });
        let (made, _) = house.made(&product).await;
        let (id, sku) = (made["id"].as_str().unwrap(), format!("S-{n}"));
        crate::stock::adjusted(&house, id, &sku, stock, 1).await;
    }
    let draft =
        json!({"title": "Secret", "categories": ["Hidden"], "variants": [variant("D-1", "1", 1)]});
    house.made(&draft).await;
    house
}

fn titles(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|p| p["title"].as_str().unwrap().to_owned()).collect()
}

/// All pages of two, put together.
async fn walked(house: &House, query: &str) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("/products?first=2{query}{after}")).await.expect(200).value();
        all.extend(titles(&page));
        if page["pageInfo"]["hasNextPage"] != true {
            return all;
        }
        assert!(all.len() <= 20, "the walk never ends: {all:?}");
        after = format!("&after={}", page["pageInfo"]["endCursor"].as_str().unwrap());
    }
}

#[tokio::test]
async fn every_order_is_walked_without_gap_or_repetition() {
    let house = stocked().await;
    let newest: Vec<_> = SHOP.iter().rev().map(|p| p.0).collect();
    assert_eq!(walked(&house, "").await, newest);
    assert_eq!(walked(&house, "&sort=newest").await, newest);
    for sort in ["price", "-price", "title"] {
        let whole = titles(&house.get(&format!("/products?sort={sort}")).await.expect(200).value());
        assert_eq!(whole.len(), SHOP.len());
        assert_eq!(walked(&house, &format!("&sort={sort}")).await, whole, "{sort}");
    }
    let cheap = titles(&house.get("/products?sort=price").await.value());
    assert_eq!(cheap[2], "écran");
    assert_eq!(cheap[5], "Écritoire");
}

#[tokio::test]
async fn filters_narrow_the_list_together() {
    let house = stocked().await;
    for (query, wanted) in [
        ("category=home", vec!["Vase_plain", "Vase 100%"]),
        ("category=nothing", vec![]),
        ("text=vase", vec!["Vase_plain", "Vase 100%"]),
        ("text=100%25", vec!["Vase 100%"]),
        ("text=e_p", vec!["Vase_plain"]),
        ("text=number%20s-4", vec!["Aster"]),
        ("minPrice=25&maxPrice=25.00", vec!["Vase_plain", "Vase 100%"]),
        ("maxPrice=3&available=true", vec!["Aster"]),
        ("category=garden&available=false", vec!["zinnia", "Aster"]),
    ] {
        let page = house.get(&format!("/products?{query}")).await.expect(200).value();
        assert_eq!(titles(&page), wanted, "{query}");
    }
}

#[tokio::test]
async fn wrong_parameters_are_400_and_forged_cursors_too() {
    let house = stocked().await;
    let price = house.get("/products?first=1&sort=price").await.value();
    let cursor = price["pageInfo"]["endCursor"].as_str().unwrap();
    for query in [
        "first=0",
        "first=201",
        "first=x",
        "after=%21",
        "after=bnVsbA",
        "sort=colour",
        "available=maybe",
        "minPrice=cheap",
        "maxPrice=1e99",
        "text=a%00b",
        "category=%00",
        "status=NONE",
        &format!("sort=newest&after={cursor}"),
        &format!("text={}", "x".repeat(201)),
    ] {
        let answer = house.get_as_merchant(&format!("/products?{query}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{query}: {}", answer.text());
    }
    // "\0" as the cursor of the categories.
    house.get("/categories?after=Ilx1MDAwMCI").await.expect(400);
    house.get("/products/%00").await.expect(404);
    house.get("/products/%FF").await.expect(404);
}

#[tokio::test]
async fn drafts_are_for_merchants() {
    let house = stocked().await;
    house.get("/products/secret").await.expect_problem(404, "catalog.no_such_product");
    house.get("/products?status=DRAFT").await.expect_problem(403, "auth.role_missing");
    let shopper = house.bench.token_for_user(house.bench.id(), &[Role::Customer]);
    house.client.get("/products?status=ALL").bearer(&shopper).send().await.expect(403);
    house.client.get("/products/secret").bearer(&shopper).send().await.expect(404);
    house.get_as_merchant("/products/secret").await.expect(200);
    let drafts = house.get_as_merchant("/products?status=DRAFT").await.expect(200).value();
    assert_eq!(titles(&drafts), ["Secret"]);
    let all = house.get_as_merchant("/products?status=ALL").await.expect(200).value();
    assert_eq!(all["items"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn categories_count_what_shoppers_see() {
    let house = stocked().await;
    let first = house.get("/categories?first=2").await.expect(200).value();
    assert_eq!(
        first["items"],
        json!([
            {"slug": "desk", "name": "Desk", "products": 2},
            {"slug": "garden", "name": "Garden", "products": 2},
        ])
    );
    let after = first["pageInfo"]["endCursor"].as_str().unwrap();
    let rest = house.get(&format!("/categories?first=2&after={after}")).await.expect(200).value();
    assert_eq!(rest["items"], json!([{"slug": "home", "name": "Home", "products": 2}]));
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
}
