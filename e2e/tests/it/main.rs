//! Journeys through a whole shop.

mod browser;
mod buying;
mod collector;
mod documents;
mod failing_gateway;
mod graph;
mod grpc;
mod live;
mod merchants;
mod metrics;
mod power_cut;
mod soap;
mod split;

use serde_json::{Value, json};

/// An order for one sku, to a demo address, unpaid.
pub fn order_of(sku: &str, qty: i64) -> Value {
    json!({
        "lines": [{"sku": sku, "qty": qty}],
        "email": "ada@example.org",
        "shippingAddress": {
            "name": "Ada Lovelace", "line1": "12 St James's Square", "city": "Springfield",
            "postalCode": "62701", "region": "IL", "country": "US"
        }
    })
}

pub fn card(token: &str) -> Value {
    json!({"paymentMethod": {"type": "card", "token": token}})
}

/// A key nobody used before.
pub fn fresh_key() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A product of our own with `stock` units; its sku.
pub async fn new_sku(merchant: &e2e::api::Api, stock: i64) -> anyhow::Result<String> {
    let sku = format!("E2E-{}", uuid::Uuid::new_v4().simple());
    let product = json!({
        "title": "Test lamp", "description": "Made by a test.", "categories": ["Tests"],
        "status": "ACTIVE",
        "variants": [{"sku": sku, "title": "", "price": 25.00, "currency": "USD", "stock": stock,
                      "options": {}}]
    });
    let answer = merchant.post("/api/v1/products", &product).await?.expect(201);
    assert_eq!(answer.json().get("stockPending"), None, "inventory is there");
    Ok(sku)
}
