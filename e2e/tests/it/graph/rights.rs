//! Role × operation × owner: what a caller may do is the same over REST and over
//! the graph, and is what this table says.

use e2e::api::{Answer, Api};
use e2e::shop::Shop;
use reqwest::Method;
use serde_json::{Value, json};

use super::alike::over_graph;
use super::{ask, new_product, router_is_there};
use crate::{fresh_key, order_of};

/// Whether an answer over REST means "you may not", whatever the words.
fn barred_by_rest(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 401 | 403 | 404)
}

/// The same over the graph: an error of rights, nothing there, or no such thing.
fn barred_by_graph(answer: &Answer) -> bool {
    let said = answer.json();
    let status = &said["errors"][0]["extensions"]["status"];
    let refused = matches!(status.as_u64(), Some(401 | 403 | 404));
    let data = &said["data"];
    let done = if data.get("done").is_some() { &data["done"] } else { &data["product"]["done"] };
    refused || done.is_null() || done["__typename"] == "NotFound"
}

struct Operation {
    name: &'static str,
    method: Method,
    path: String,
    body: Option<Value>,
    document: &'static str,
    variables: Value,
    /// Who may: o(wner), g(uest who does not own it), s(hopper who does not),
    /// m(erchant), p(artner), O(perator), A(dmin).
    allowed: &'static str,
}

/// What each caller tries on an order of the owner, and on the shop. Inputs are
/// wrong on purpose where they would change something, but for the cancelation, of
/// which only the first counts: who may not is refused before anybody looks at them.
fn operations(order: &str, sku: &str, product: &str) -> Vec<Operation> {
    of_orders(order).into_iter().chain(of_the_shop(sku, product)).collect()
}

fn of_orders(order: &str) -> Vec<Operation> {
    vec![
        Operation {
            name: "read an order",
            method: Method::GET,
            path: format!("/api/v1/orders/{order}"),
            body: None,
            document: "query A($id: ID!) { done: order(id: $id) { __typename status } }",
            variables: json!({ "id": order }),
            allowed: "omA",
        },
        Operation {
            name: "cancel an order",
            method: Method::POST,
            path: format!("/api/v1/orders/{order}/cancel"),
            body: Some(json!({ "reason": "changed my mind" })),
            document:
                "mutation A($id: ID!) { done: cancelOrder(id: $id, reason: \"changed my mind\")
                { __typename ... on Refusal { code } } }",
            variables: json!({ "id": order }),
            allowed: "omA",
        },
        Operation {
            name: "refund an order",
            method: Method::POST,
            path: "/api/v1/payments/refund".into(),
            body: Some(json!({ "orderId": order, "reason": "broken" })),
            document: "mutation A($id: ID!, $key: String!) {
                done: refundOrder(input: { orderId: $id, reason: \"broken\" }, idempotencyKey: $key)
                    { __typename ... on Refusal { code } } }",
            variables: json!({ "id": order }),
            allowed: "mA",
        },
    ]
}

fn of_the_shop(sku: &str, product: &str) -> Vec<Operation> {
    vec![
        Operation {
            name: "see units of stock",
            method: Method::GET,
            path: format!("/api/v1/inventory/{sku}/stock"),
            body: None,
            document: "query A($sku: String!) { done: stock(sku: $sku) { __typename onHand } }",
            variables: json!({ "sku": sku }),
            allowed: "mA",
        },
        Operation {
            name: "adjust stock",
            method: Method::POST,
            path: format!("/api/v1/inventory/{sku}/adjustments"),
            body: Some(json!({ "delta": 0, "reason": "COUNT", "expectedOnHand": 1 })),
            document: "mutation A($sku: String!) { done: adjustStock(
                input: { sku: $sku, delta: 0, reason: \"COUNT\", expectedOnHand: 1 })
                    { __typename ... on Refusal { code } } }",
            variables: json!({ "sku": sku }),
            allowed: "mA",
        },
        Operation {
            name: "read the history of prices",
            method: Method::GET,
            path: format!("/api/v1/products/{product}/prices"),
            body: None,
            document: "query A($id: ID!) { product(id: $id) { done: prices(first: 1) { __typename } } }",
            variables: json!({ "id": product }),
            allowed: "mA",
        },
        Operation {
            name: "make a product",
            method: Method::POST,
            path: "/api/v1/products".into(),
            body: Some(
                json!({ "title": "", "description": "", "categories": [], "status": "DRAFT", "variants": [] }),
            ),
            document: "mutation A { done: createProduct(input: { title: \"\", variants: [] })
                { __typename ... on Refusal { code } } }",
            variables: json!({}),
            allowed: "mA",
        },
    ]
}

#[tokio::test]
async fn every_role_may_do_the_same_over_rest_and_over_the_graph() -> anyhow::Result<()> {
    let nobody = Api::new(Shop::shared().await?);
    router_is_there(&nobody).await?;
    let merchant = nobody.demo("merchant").await?;
    let (sku, product) = new_product(&merchant, 50).await?;
    let owner = nobody.demo("shopper").await?;
    let email = format!("stranger-{}@example.org", fresh_key());
    let person = json!({ "email": email, "password": "a long password", "firstName": "Eve", "lastName": "L" });
    nobody.post("/api/v1/users/register", &person).await?.expect(201);
    let callers = [
        ('o', owner.clone()),
        ('g', nobody.clone()),
        ('s', nobody.signed_in(&email, "a long password").await?),
        ('m', merchant),
        ('p', nobody.demo("partner").await?),
        ('O', nobody.demo("operator").await?),
        ('A', nobody.demo("admin").await?),
    ];
    let placed = owner.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1)).await?;
    let order = placed.expect(201).json()["orderId"].as_str().unwrap_or_default().to_owned();
    let mut wrong = Vec::new();
    for (who, api) in &callers {
        for operation in operations(&order, &sku, &product) {
            let key = fresh_key();
            let keyed = [("Idempotency-Key", key.as_str())];
            let (method, body) = (operation.method, operation.body.as_ref());
            let rest = api.send(method, &operation.path, &keyed, body).await?;
            let mut variables = operation.variables;
            if operation.document.contains("$key") {
                variables["key"] = json!(fresh_key());
            }
            let graph = ask(api, operation.document, variables).await?.expect(200);
            let may = operation.allowed.contains(*who);
            let (by_rest, by_graph) = (!barred_by_rest(&rest), !barred_by_graph(&graph));
            if (by_rest, by_graph) != (may, may) {
                wrong.push(format!(
                    "{who} {}: table {may}, REST {by_rest} ({} {}), graph {by_graph} ({})",
                    operation.name,
                    rest.status,
                    rest.code(),
                    over_graph(&graph)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
