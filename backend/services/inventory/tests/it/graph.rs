//! Inventory's part of the graph.

use platform::testing::{Graph, Statements};
use serde_json::{Value, json};
use shared_types::Role;

use crate::shop::{Shop, shop};

impl Shop {
    fn graph(&self) -> Graph {
        Graph::of(&self.service.lock().unwrap())
    }

    fn merchant_graph(&self) -> Graph {
        self.graph().bearer(&self.bench.token_for_user(self.bench.id(), &[Role::Merchant]))
    }
}

#[tokio::test]
async fn the_schema_shows_no_table() {
    let shop = shop().await;
    let subgraph = shop.service.lock().unwrap().graph.clone().unwrap();
    for table in ["sku_key", "hold_lines", "set_asides", "counted_short"] {
        assert!(!subgraph.sdl.contains(table), "{table} leaks");
    }
}

const INFO: &str = "query($id: ID!) { productInventory(id: $id) { productId availability
    variants { sku availability available } } }";

#[tokio::test]
async fn shoppers_see_bands_and_merchants_units_as_over_rest() {
    let shop = shop().await;
    shop.open("A-1", 100).await;
    shop.open("A-2", 0).await;
    let id = json!({"id": shop.product.to_string()});
    let seen = shop.graph().ask(INFO, id.clone()).await.data()["productInventory"].clone();
    assert_eq!(
        seen,
        json!({"productId": shop.product.to_string(), "availability": "IN_STOCK", "variants": [
            {"sku": "A-1", "availability": "IN_STOCK", "available": null},
            {"sku": "A-2", "availability": "OUT", "available": null}]})
    );
    let rest = shop.http.get(&format!("/products/{}/inventory", shop.product)).send().await;
    assert_eq!(rest.expect(200).value(), seen);
    let seen = shop.merchant_graph().ask(INFO, id).await.data()["productInventory"].clone();
    assert_eq!(seen["variants"][0]["available"], 100);
    for unknown in ["Product:00000000-0000-7000-8000-000000000000", "Order:1", "x"] {
        let data = shop.graph().ask(INFO, json!({"id": unknown})).await.data();
        assert_eq!(data["productInventory"], Value::Null);
    }
}

#[tokio::test]
async fn entities_are_answered_with_one_statement_however_many() {
    let shop = shop().await;
    for n in 0..12 {
        shop.open(&format!("E-{n}"), n).await;
    }
    let graph = shop.merchant_graph();
    let skus = |count: usize| -> Value {
        (0..count).map(|n| json!({"__typename": "Variant", "sku": format!("e-{n}")})).collect()
    };
    let counted = Statements::counted();
    let fields =
        "... on Variant { sku availability available stock { onHand warehouses { onHand } } }";
    for count in [1, 12] {
        let found = graph.entities(skus(count), fields).await;
        assert_eq!(found.len(), count);
        assert_eq!(found[count - 1]["available"], count as i64 - 1);
        assert_eq!(counted.take(), 1, "{count} variants");
    }
    let products: Vec<Value> = (0..9)
        .map(|_| shop.bench.id::<shared_types::ProductId>().to_string())
        .chain([shop.product.to_string()])
        .map(|id| json!({"__typename": "Product", "id": format!("Product:{id}")}))
        .collect();
    let found = graph
        .entities(json!(products), "... on Product { id availability inventory { productId } }")
        .await;
    assert_eq!(counted.take(), 1);
    assert_eq!(
        (&found[0]["availability"], &found[9]["availability"]),
        (&Value::Null, &json!("IN_STOCK"))
    );
}

#[tokio::test]
async fn units_and_ledgers_are_for_merchants_only() {
    let shop = shop().await;
    shop.open("U-1", 5).await;
    let shopper = shop.bench.token_for_user(shop.bench.id(), &[Role::Customer]);
    let guest = shop.bench.guest_token(shop.bench.id());
    for (query, field) in [
        ("{ stock(sku: \"U-1\") { onHand } }", "stock"),
        ("{ stockLedger(sku: \"U-1\") { nodes { delta } } }", "stockLedger"),
        ("{ warehouses { nodes { code } } }", "warehouses"),
        ("{ affectedOrders { nodes { units } } }", "affectedOrders"),
    ] {
        for (graph, code) in [
            (shop.graph(), "auth.invalid_token"),
            (shop.graph().bearer(&guest), "auth.sign_in"),
            (shop.graph().bearer(&shopper), "auth.role_missing"),
        ] {
            let answer = graph.ask(query, json!({})).await;
            assert_eq!(answer.codes(), [code], "{query}");
            assert_eq!(answer.0["data"][field], Value::Null);
        }
        let data = shop.merchant_graph().ask(query, json!({})).await.data();
        assert!(!data[field].is_null(), "{query}");
    }
    let asked = json!([{"__typename": "Variant", "sku": "U-1"}]);
    let query = "query($r: [_Any!]!) { _entities(representations: $r) {
        ... on Variant { availability stock { onHand } } } }";
    let answer = shop.graph().bearer(&shopper).ask(query, json!({"r": asked})).await;
    assert_eq!(answer.codes(), ["auth.role_missing"]);
    assert_eq!(answer.0["data"]["_entities"][0], json!({"availability": "LOW", "stock": null}));
}

#[tokio::test]
async fn an_adjustment_is_made_once_and_refused_as_over_rest() {
    let shop = shop().await;
    shop.open("J-1", 5).await;
    let mutation = "mutation($input: AdjustStockInput!, $key: String) {
        adjustStock(input: $input, idempotencyKey: $key) { __typename
            ... on StockAdjusted { stock { onHand available } }
            ... on InvalidInput { fields { field } } ... on Refusal { code } } }";
    let graph = shop.merchant_graph();
    let adjust = async |input: Value, key: &str| {
        let variables = json!({"input": input, "key": key});
        graph.ask(mutation, variables).await.data()["adjustStock"].clone()
    };
    let input = json!({"sku": "J-1", "delta": 3, "reason": "found", "expectedOnHand": 5});
    for _ in 0..2 {
        let done = adjust(input.clone(), "adjust-one").await;
        assert_eq!(done["stock"], json!({"onHand": 8, "available": 8}), "{done}");
    }
    let stale = adjust(input, "adjust-two").await;
    assert_eq!(stale, json!({"__typename": "Conflict", "code": "inventory.stale"}));
    let wrong = json!({"sku": "J-1", "delta": 0, "reason": "", "expectedOnHand": 8});
    let refused = adjust(wrong, "adjust-three").await;
    assert_eq!(refused["fields"], json!([{"field": "delta"}, {"field": "reason"}]));
    let unknown = json!({"sku": "NONE", "delta": 1, "reason": "x", "expectedOnHand": 0});
    assert_eq!(adjust(unknown, "adjust-four").await["code"], "inventory.unknown_sku");
    let answer = shop
        .graph()
        .ask(
            mutation,
            json!({"input": {"sku": "J-1", "delta": 1,
        "reason": "x", "expectedOnHand": 8}}),
        )
        .await;
    assert_eq!(answer.codes(), ["auth.invalid_token"]);
}
