//! Making products.

use platform::testing;
use serde_json::{Value, json};
use shared_types::Role;

use crate::{house, lamp, variant};

#[tokio::test]
async fn a_merchant_makes_a_product_that_everybody_finds_by_id_and_slug() {
    let house = house().await;
    let answer = house.create(&lamp("LAMP-1")).await.expect(201);
    let product = answer.value();
    let path = format!("/products/{}", product["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), format!("/api/v1{path}"));
    assert_eq!(answer.etag(), "\"v1\"");
    assert_eq!((&product["slug"], &product["status"]), (&json!("lamp"), &json!("ACTIVE")));
    assert!(answer.text().contains("\"price\":25.00"), "{}", answer.text());
    assert_eq!(product.get("stockPending"), None);
    assert_eq!(house.shelf.opened(), [("LAMP-1".to_owned(), 7)]);
    for path in [path.as_str(), "/products/lamp", "/products/LAMP"] {
        let shown = house.get(path).await.expect(200);
        assert_eq!((shown.value()["title"].as_str(), shown.etag()), (Some("Lamp"), "\"v1\""));
    }
}

#[tokio::test]
async fn a_product_sent_often_under_one_key_is_made_once() {
    let house = house().await;
    let send = |key: &str, body: Value| {
        house.client.post("/products").bearer(&house.merchant).key(key).json(&body).send()
    };
    let sends = (0..8).map(|_| send("once", lamp("LAMP-1")));
    let answers = futures_util::future::join_all(sends).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.text()), (201, answers[0].text()));
        assert_eq!(answer.etag(), "\"v1\"");
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    let replayed = answers.iter().filter(|a| a.header("idempotency-replayed") == "true").count();
    assert_eq!(replayed, 7);
    assert_eq!(answers[0].value().get("stockPending"), None, "inventory had answered");
    assert_eq!(house.shelf.opened(), [("LAMP-1".to_owned(), 7)]);
    send("once", lamp("LAMP-2")).await.expect_problem(422, "idempotency.mismatch");
    send("another", lamp("LAMP-1")).await.expect_problem(409, "catalog.sku_taken");
    send("another", lamp("LAMP-2")).await.expect(201);
}

#[tokio::test]
async fn only_merchants_and_services_make_products() {
    let house = house().await;
    let send = |token: Option<String>| {
        let request = house.client.post("/products").json(&lamp("X"));
        match token {
            Some(token) => request.bearer(&token).send(),
            None => request.send(),
        }
    };
    send(None).await.expect(401);
    send(Some(house.bench.guest_token(house.bench.id()))).await.expect_problem(401, "auth.sign_in");
    let shopper = house.bench.token_for_user(house.bench.id(), &[Role::Customer]);
    send(Some(shopper)).await.expect_problem(403, "auth.role_missing");
    assert!(testing::outbox(house.bench.pool()).await.is_empty());
    send(Some(house.bench.service_token("tools"))).await.expect(201);
}

#[tokio::test]
async fn every_wrong_field_is_named_and_nothing_is_kept() {
    let house = house().await;
    let bad = json!({
        "title": " ", "categories": ["!!"], "media": [{"url": "javascript:alert(1)"}],
        "variants": [
            {"sku": "", "price": -1, "currency": "USD"},
            {"sku": "A", "price": 1.005, "currency": "USD", "stock": -1, "options": {"Colour": "re\u{0}d"}},
            {"sku": "a", "price": 1, "currency": "EUR"},
            {"sku": "B", "price": 1, "currency": "USD"},
            {"sku": "b", "price": 1, "currency": "EUR"},
        ]
    });
    let answer = house.create(&bad).await.expect_problem(422, "request.invalid");
    let named = answer.fields();
    for field in [
        "title",
        "categories[0]",
        "media[0].url",
        "variants[0].sku",
        "variants[0].price",
        "variants[1].price",
        "variants[1].stock",
        "variants[1].options",
        "variants[4].sku",
        "variants[3].currency",
    ] {
        assert!(named.contains(&field.to_owned()), "{field} not in {named:?}");
    }
    let types = json!({"title": 5, "variants": [{"sku": 7, "price": "dear"}]});
    let answer = house.create(&types).await.expect(422);
    assert_eq!(answer.fields(), ["title", "variants[0].price", "variants[0].sku"]);
    house.create(&json!({})).await.expect(422);
    let text = house.client.post("/products").bearer(&house.merchant);
    text.body("application/json", "{").send().await.expect(400);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM products")
        .fetch_one(house.bench.pool())
        .await
        .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn products_of_one_name_get_slugs_of_their_own_even_at_the_same_moment() {
    let house = house().await;
    let makes = (0..8).map(|n| {
        let request = house.client.post("/products").bearer(&house.merchant);
        tokio::spawn(request.json(&lamp(&format!("L-{n}"))).send())
    });
    let mut slugs = Vec::new();
    for make in makes.collect::<Vec<_>>() {
        slugs.push(make.await.unwrap().expect(201).value()["slug"].as_str().unwrap().to_owned());
    }
    slugs.sort();
    let mut wanted: Vec<_> = (2..=8).map(|n| format!("lamp-{n}")).collect();
    wanted.insert(0, "lamp".to_owned());
    assert_eq!(slugs, wanted);
    let nameless = json!({"title": "€€", "variants": [variant("E-1", "1", 0)]});
    assert_eq!(house.made(&nameless).await.0["slug"], "product");
}

#[tokio::test]
async fn a_sku_of_another_product_is_a_conflict_that_names_the_line() {
    let house = house().await;
    house.made(&lamp("LAMP-1")).await;
    let mut other = lamp("OTHER");
    other["variants"].as_array_mut().unwrap().push(variant("lamp-1", "3", 1));
    let answer = house.create(&other).await.expect_problem(409, "catalog.sku_taken");
    assert_eq!(answer.fields(), ["variants[1].sku"]);
    house.get("/products/lamp-2").await.expect(404);
}

#[tokio::test]
async fn one_sku_wanted_by_many_at_once_goes_to_one_of_them() {
    let house = house().await;
    let makes = (0..6).map(|n| {
        let mut product = lamp("SAME");
        product["title"] = json!(format!("Lamp number {n}"));
        let request = house.client.post("/products").bearer(&house.merchant);
        tokio::spawn(request.json(&product).send())
    });
    let mut statuses = Vec::new();
    for make in makes.collect::<Vec<_>>() {
        statuses.push(make.await.unwrap().status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn a_new_product_is_told_with_its_prices_in_consecutive_versions() {
    let house = house().await;
    let mut product = lamp("LAMP-1");
    product["variants"].as_array_mut().unwrap().push(variant("LAMP-2", "30.50", 0));
    let (made, _) = house.made(&product).await;
    let told = testing::outbox(house.bench.pool()).await;
    let seen: Vec<_> =
        told.iter().map(|row| (row.event_type.as_str(), row.aggregate_version)).collect();
    let price = "ecommerce.product.price.changed.v1";
    assert_eq!(seen, [("ecommerce.product.product.updated.v1", 1), (price, 2), (price, 3)]);
    assert!(told.iter().all(|row| row.aggregate_id == made["id"]));
    let whole = &told[0].payload;
    assert_eq!((&whole["version"], &whole["status"]), (&json!(1), &json!("ACTIVE")));
    assert_eq!(whole["variants"][0]["openingStock"], 7);
    assert_eq!(
        (&told[1].payload["old"], told[2].payload["sku"].as_str()),
        (&Value::Null, Some("LAMP-2"))
    );
}
