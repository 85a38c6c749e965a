//! Opening stock, warehouses, low stock, what shoppers and merchants see.

use contracts::events::inventory::{StockAdjusted, StockLow};
use platform::testing::{drain_outbox, outbox_of};
use serde_json::json;
use shared_types::{OrderId, ProductId};

use crate::shop::{code, shop, sku};

#[tokio::test]
async fn stock_opens_once_per_variant() {
    let shop = shop().await;
    let variant = shop.open("Mug-1", 10).await;
    shop.hold(&[("mug-1", 2)]).await;
    let again = shop.open_as(variant, "MUG-1", 99).await.unwrap();
    assert_eq!(again.on_hand, 10, "the repeat changes nothing");
    let taken = shop.open_as(shop.bench.id(), "mug-1", 5).await.unwrap_err();
    assert_eq!(code(&taken), "inventory.sku_taken");
    let renamed = shop.open_as(variant, "mug-2", 5).await.unwrap_err();
    assert_eq!(code(&renamed), "inventory.variant_opened");
    let negative = shop.open_as(shop.bench.id(), "mug-3", -1).await.unwrap_err();
    assert!(negative.message().contains("qty"));
    assert_eq!(shop.level("Mug-1").await, [10, 2, 0, 8]);
    shop.open("empty", 0).await;
    let events = outbox_of::<StockAdjusted>(shop.bench.pool()).await;
    let told: Vec<_> =
        events.iter().map(|e| (e.sku.as_str(), e.delta, e.on_hand, e.available)).collect();
    assert_eq!(told, [("Mug-1", 10, 10, 10), ("Mug-1", 0, 10, 8), ("empty", 0, 0, 0)]);
    shop.prove().await;
}

#[tokio::test]
async fn low_stock_is_said_once_per_crossing() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let first = shop.hold(&[("A", 4)]).await;
    assert!(outbox_of::<StockLow>(shop.bench.pool()).await.is_empty());
    shop.hold(&[("A", 1)]).await;
    shop.hold(&[("A", 1)]).await;
    shop.hold(&[("A", 1)]).await;
    let low = outbox_of::<StockLow>(shop.bench.pool()).await;
    assert_eq!(low.iter().map(|l| (l.available, l.threshold)).collect::<Vec<_>>(), [(5, 5)]);
    assert!(shop.release(first).await);
    shop.hold(&[("A", 6)]).await;
    assert_eq!(outbox_of::<StockLow>(shop.bench.pool()).await.len(), 2);
}

#[tokio::test]
async fn events_of_a_sku_carry_consecutive_versions() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let order = shop.hold(&[("A", 8)]).await;
    shop.confirm(order).await;
    let rows = drain_outbox(shop.bench.pool()).await;
    let of = |id: &str| -> Vec<i64> {
        rows.iter().filter(|r| r.aggregate_id == id).map(|r| r.aggregate_version).collect()
    };
    assert_eq!(of("a"), [1, 2, 3, 4]);
    assert_eq!(of(&order.to_string()), [1, 2]);
    assert!(
        rows.iter()
            .filter(|r| r.aggregate_id == "a")
            .all(|r| { r.partition_key == shop.product.to_string() })
    );
}

#[tokio::test]
async fn one_warehouse_serves_an_order_when_it_can() {
    let shop = shop().await;
    shop.second_warehouse().await;
    shop.open("A", 2).await;
    shop.open("B", 9).await;
    for (name, units) in [("A", 5), ("B", 5)] {
        let body =
            json!({"delta": units, "reason": "move", "expectedOnHand": 0, "warehouse": "north"});
        let path = format!("/inventory/{name}/adjustments");
        shop.http.post(&path).bearer(&shop.merchant()).json(&body).send().await.expect(200);
    }
    shop.hold(&[("A", 3), ("B", 3)]).await;
    let split = shop.hold(&[("A", 4)]).await;
    let lines: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT sku_key, warehouse, qty FROM hold_lines WHERE order_id = $1 ORDER BY 1, 2",
    )
    .bind(split.0)
    .fetch_all(shop.bench.pool())
    .await
    .unwrap();
    let lines: Vec<_> = lines.iter().map(|(s, w, q)| (s.as_str(), w.as_str(), *q)).collect();
    assert_eq!(lines, [("a", "main", 2), ("a", "north", 2)]);
    let stock = shop.http.get("/inventory/b/stock").bearer(&shop.merchant()).send().await;
    let north = &stock.expect(200).value()["warehouses"][1];
    assert_eq!((north["warehouse"].as_str(), north["held"].as_i64()), (Some("north"), Some(3)));
    shop.release(split).await;
    shop.prove().await;
}

#[tokio::test]
async fn shoppers_see_bands_and_merchants_units() {
    let shop = shop().await;
    shop.open("A", 50).await;
    shop.open("B", 5).await;
    shop.open("C", 0).await;
    let path = format!("/products/{}/inventory", shop.product);
    for token in [None, Some(shop.shopper())] {
        let request = shop.http.get(&path);
        let request = token.iter().fold(request, |r, t| r.bearer(t));
        let seen = request.send().await.expect(200).value();
        assert_eq!(seen["availability"], "IN_STOCK");
        assert_eq!(
            seen["variants"],
            json!([
                {"sku": "A", "availability": "IN_STOCK", "available": null},
                {"sku": "B", "availability": "LOW", "available": null},
                {"sku": "C", "availability": "OUT", "available": null},
            ])
        );
    }
    let seen = shop.http.get(&path).bearer(&shop.merchant()).send().await.expect(200).value();
    assert_eq!(seen["variants"][1]["available"], 5);
    let other: ProductId = shop.bench.id();
    let path = format!("/products/{other}/inventory");
    shop.http.get(&path).send().await.expect_problem(404, "inventory.unknown_product");
    shop.http.get("/products/zzz/inventory").send().await.expect(404);
}

#[tokio::test]
async fn stock_is_for_merchants_by_sku_or_product() {
    let shop = shop().await;
    shop.open("A/1", 7).await;
    shop.open("B", 3).await;
    shop.hold(&[("A/1", 2)]).await;
    shop.http.get("/inventory/B/stock").send().await.expect(401);
    let shopper = shop.shopper();
    let refused = shop.http.get("/inventory/B/stock").bearer(&shopper).send().await;
    refused.expect_problem(403, "auth.role_missing");
    let merchant = shop.merchant();
    let stock = shop.http.get("/inventory/a%2F1/stock").bearer(&merchant).send().await;
    let stock: shared_types::inventory::Stock = stock.expect(200).json();
    assert_eq!((stock.sku, stock.on_hand, stock.held, stock.available), (sku("A/1"), 7, 2, 5));
    let path = format!("/inventory/{}/stock", shop.product);
    let all = shop.http.get(&path).bearer(&merchant).send().await.expect(200).value();
    assert_eq!((all["onHand"].as_i64(), all["variants"][1]["sku"].as_str()), (Some(10), Some("B")));
    for nobody in ["nope", "00000000-0000-0000-0000-000000000000", "%00", "%20"] {
        let path = format!("/inventory/{nobody}/stock");
        let answer = shop.http.get(&path).bearer(&merchant).send().await;
        answer.expect_problem(404, "inventory.unknown_sku");
    }
}

#[tokio::test]
async fn services_reserve_over_rest_within_one_product() {
    let shop = shop().await;
    shop.open("A", 3).await;
    let order: OrderId = shop.bench.id();
    let path = format!("/products/{}/inventory/reserve", shop.product);
    let body = json!({"orderId": order, "lines": [{"sku": "a", "qty": 2}]});
    shop.http.post(&path).json(&body).send().await.expect(401);
    let merchant = shop.merchant();
    shop.http.post(&path).bearer(&merchant).json(&body).send().await.expect(403);
    let service = shop.bench.service_token("orders");
    for _ in 0..2 {
        let answer = shop.http.post(&path).bearer(&service).json(&body).send().await.expect(200);
        assert_eq!(answer.value()["outcome"], "HELD");
    }
    let next: OrderId = shop.bench.id();
    let more = json!({"orderId": next, "lines": [{"sku": "A", "qty": 2}]});
    let short = shop.http.post(&path).bearer(&service).json(&more).send().await.expect(200).value();
    assert_eq!(short["short"], json!([{"sku": "A", "requested": 2, "available": 1}]));
    let wrong =
        json!({"orderId": next, "lines": [{"sku": "zz", "qty": 1}, {"sku": "A", "qty": 0}]});
    let answer = shop.http.post(&path).bearer(&service).json(&wrong).send().await.expect(422);
    assert_eq!(answer.fields(), ["lines[0].sku", "lines[1].qty"]);
    let differs = json!({"orderId": order, "lines": [{"sku": "a", "qty": 1}]});
    let answer = shop.http.post(&path).bearer(&service).json(&differs).send().await;
    answer.expect_problem(422, "inventory.order_differs");
}
