//! Counts, policies, warehouses.

use serde_json::json;

use crate::shop::shop;

#[tokio::test]
async fn a_count_is_the_truth_and_names_whom_it_leaves_short() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let first = shop.hold(&[("A", 3)]).await;
    shop.confirm(first).await;
    shop.bench.advance(std::time::Duration::from_secs(1));
    let second = shop.hold(&[("A", 4)]).await;
    let counted = shop
        .ask("POST", "/inventory/a/counts", json!({"counted": 5, "reason": "shelf was wet"}))
        .await;
    let counted = counted.expect(200).value();
    assert_eq!(
        (&counted["stock"]["onHand"], &counted["stock"]["available"]),
        (&json!(5), &json!(0))
    );
    let affected = counted["affectedOrders"].as_array().unwrap();
    assert_eq!(affected.len(), 1, "{affected:?}");
    assert_eq!((&affected[0]["orderId"], &affected[0]["units"]), (&json!(second), &json!(2)));
    let listed = shop.ask("GET", "/inventory/affected-orders", json!({})).await.expect(200).value();
    assert_eq!(listed, counted["affectedOrders"]);
    shop.prove_books().await;
    assert!(shop.release(second).await);
    let listed = shop.ask("GET", "/inventory/affected-orders", json!({})).await.value();
    assert_eq!(listed, json!([]));
    shop.prove().await;
    let ledger = shop.ask("GET", "/inventory/a/ledger", json!({})).await.value();
    assert_eq!(
        (&ledger["items"][0]["kind"], &ledger["items"][0]["delta"]),
        (&json!("count"), &json!(-5))
    );
    let wrong = shop.ask("POST", "/inventory/a/counts", json!({"counted": -1})).await.expect(422);
    assert_eq!(wrong.fields(), ["counted", "reason"]);
    let body = json!({"counted": 1, "reason": "x"});
    shop.ask("POST", "/inventory/zz/counts", body)
        .await
        .expect_problem(404, "inventory.unknown_sku");
}

#[tokio::test]
async fn safety_stock_is_never_sold_and_policies_are_checked() {
    let shop = shop().await;
    shop.open("A", 5).await;
    let policy = json!({"safetyStock": 2, "lowThreshold": 1});
    let policy = shop.ask("PUT", "/inventory/a/policy", policy).await.expect(200).value();
    assert_eq!((&policy["safetyStock"], &policy["backorderLimit"]), (&json!(2), &json!(null)));
    assert_eq!(shop.level("A").await, [5, 0, 0, 3]);
    shop.hold(&[("A", 3)]).await;
    let short = shop.reserve(shop.bench.id(), &[("A", 1)]).await.unwrap();
    assert_eq!(short.short.len(), 1);
    let wrong = json!({"safetyStock": -1, "lowThreshold": -2, "backorderLimit": -3});
    let wrong = shop.ask("PUT", "/inventory/a/policy", wrong).await.expect(422);
    assert_eq!(wrong.fields(), ["lowThreshold", "safetyStock", "backorderLimit"]);
    shop.ask("PUT", "/inventory/a/policy", json!({"backorderLimit": 4})).await.expect(200);
    let taken = json!({"backorderLimit": null});
    let taken = shop.ask("PUT", "/inventory/a/policy", taken).await.expect(200).value();
    assert_eq!((&taken["backorderLimit"], &taken["safetyStock"]), (&json!(null), &json!(2)));
    let shopper = shop.shopper();
    shop.http.get("/inventory/a/policy").bearer(&shopper).send().await.expect(403);
    shop.ask("GET", "/inventory/zz/policy", json!({})).await.expect(404);
}

#[tokio::test]
async fn warehouses_are_asked_in_order_of_priority() {
    let shop = shop().await;
    let north = json!({"code": "north", "name": "North", "priority": 2});
    shop.ask("PUT", "/inventory/warehouses", north).await.expect(200);
    let clash = json!({"code": "south", "name": "South", "priority": 2});
    let clash = shop.ask("PUT", "/inventory/warehouses", clash).await;
    clash.expect_problem(409, "inventory.priority_taken");
    let wrong = json!({"code": "A b", "name": "", "priority": 0});
    let wrong = shop.ask("PUT", "/inventory/warehouses", wrong).await.expect(422);
    assert_eq!(wrong.fields(), ["code", "name", "priority"]);
    let moved = json!({"code": "north", "name": "Far north", "priority": 3});
    shop.ask("PUT", "/inventory/warehouses", moved).await.expect(200);
    let list = shop.ask("GET", "/inventory/warehouses", json!({})).await.expect(200).value();
    let codes: Vec<_> = list.as_array().unwrap().iter().map(|w| w["code"].clone()).collect();
    assert_eq!(codes, [json!("main"), json!("north")]);
    shop.open("A", 1).await;
    let stock = json!({"delta": 5, "reason": "moved", "expectedOnHand": 0, "warehouse": "north"});
    shop.ask("POST", "/inventory/a/adjustments", stock).await.expect(200);
    shop.hold(&[("A", 4)]).await;
    assert_eq!(shop.level("A").await, [6, 4, 0, 2]);
    shop.prove().await;
}
