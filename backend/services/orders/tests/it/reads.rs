use serde_json::json;
use shared_types::Role;

use crate::support::{one_shirt, placement, shop};

#[tokio::test]
async fn an_order_is_seen_by_its_owner_and_staff_and_is_not_there_for_others() {
    let shop = shop().await;
    let answer = shop.place("key", &one_shirt()).await.expect(201).value();
    let (id, grant) = (answer["orderId"].as_str().unwrap(), answer["orderToken"].as_str().unwrap());
    let stranger = shop.bench.token_for_user(shop.bench.id(), &[Role::Customer]);
    for path in ["", "/status"] {
        let path = format!("/orders/{id}{path}");
        let get = || shop.client.get(&path);
        get().bearer(&shop.token).send().await.expect(200);
        get().bearer(&shop.staff).send().await.expect(200);
        get().order_token(grant).send().await.expect(200);
        get().bearer(&stranger).send().await.expect_problem(404, "orders.not_found");
        get().send().await.expect(401);
    }
    let order = shop.client.get(&format!("/orders/{id}")).bearer(&shop.token).send().await.value();
    assert_eq!(order["email"], "ada@example.org");
    assert_eq!(order["shippingAddress"]["line1"], "1 Loop Road");
    let tracking = format!("/orders/{id}/tracking");
    let answer = shop.client.get(&tracking).bearer(&shop.token).send().await;
    answer.expect_problem(404, "orders.no_shipment");
    let answer = shop.client.get(&tracking).bearer(&stranger).send().await;
    answer.expect_problem(404, "orders.not_found");
    shop.client.get("/orders/no-id").bearer(&shop.token).send().await.expect(404);
}

#[tokio::test]
async fn lists_show_ones_own_newest_first_page_by_page() {
    let shop = shop().await;
    let mut placed = Vec::new();
    for n in 0..5 {
        placed.push(shop.placed(&format!("k{n}"), &one_shirt()).await.to_string());
        shop.bench.advance(std::time::Duration::from_secs(1));
    }
    let guest = shop.guest();
    let other = placement(json!([{"sku": "MUG", "qty": 3}]));
    shop.client.post("/orders").bearer(&guest).key("g").json(&other).send().await.expect(201);
    let list = async |token: &str, query: &str| {
        let answer = shop.client.get(&format!("/orders{query}")).bearer(token).send().await;
        answer.expect(200).value()
    };
    let ids = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|i| i["orderId"].as_str().unwrap().to_owned()).collect()
    };
    placed.reverse();
    let first = list(&shop.token, "?first=3").await;
    assert_eq!(ids(&first), placed[..3]);
    let cursor = first["pageInfo"]["endCursor"].as_str().unwrap();
    let rest = list(&shop.token, &format!("?first=3&after={cursor}")).await;
    assert_eq!(
        (ids(&rest), &rest["pageInfo"]["hasNextPage"]),
        (placed[3..].to_vec(), &json!(false))
    );
    assert_eq!(list(&shop.staff, "").await["items"].as_array().unwrap().len(), 6);
    assert_eq!(list(&guest, "").await["items"][0]["units"], 3);
    for (query, found) in [
        ("?status=PENDING", 6),
        ("?status=PAID", 0),
        ("?q=BV-100001", 1),
        ("?q=bv-100001", 1),
        ("?q=100002", 1),
        ("?q=mug", 1),
        ("?q=the%20shirt", 5),
        ("?q=%25", 0),
        ("?from=2026-11-20T10:00:03Z", 3),
        ("?to=2026-11-20T10:00:01Z", 1),
    ] {
        let page = list(&shop.staff, query).await;
        assert_eq!(page["items"].as_array().unwrap().len(), found, "{query}");
    }
    for query in ["?status=OPEN", "?from=yesterday", "?first=0", "?after=x", "?q=%00"] {
        let answer = shop.client.get(&format!("/orders{query}")).bearer(&shop.staff).send().await;
        assert_eq!(answer.status.as_u16(), 400, "{query}");
    }
}

#[tokio::test]
async fn every_route_is_documented_with_its_refusals() {
    let shop = shop().await;
    let (_, document) = shop.service.rest.clone().split_for_parts();
    let document = serde_json::to_value(&document).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.contains_key("401"), "{method} {path}");
            assert!(operation["operationId"].is_string(), "{method} {path}");
        }
    }
    assert_eq!(document["paths"].as_object().unwrap().len(), 12);
}
