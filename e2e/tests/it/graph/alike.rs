//! REST and the graph share commands: the same input has the same outcome.

use e2e::api::{Answer, Api};
use e2e::shop::Shop;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ask, new_product, router_is_there};
use crate::{fresh_key, order_of};

/// One operation in both languages. `{key}` in variables becomes a fresh key.
struct Case {
    what: &'static str,
    method: Method,
    path: String,
    body: Value,
    document: &'static str,
    variables: Value,
}

const PLACE: &str = "mutation A($input: PlaceOrderInput!, $key: String!) {
    done: placeOrder(input: $input, idempotencyKey: $key) { __typename ... on Refusal { code } } }";
const PAY: &str = "mutation A($id: ID!, $token: String!, $key: String!) {
    done: payOrder(id: $id, paymentMethod: { type: \"card\", token: $token }, idempotencyKey: $key)
        { __typename ... on Refusal { code } } }";
const CANCEL: &str = "mutation A($id: ID!, $reason: String!) {
    done: cancelOrder(id: $id, reason: $reason) { __typename ... on Refusal { code } } }";
const REFUND: &str = "mutation A($input: RefundOrderInput!, $key: String!) {
    done: refundOrder(input: $input, idempotencyKey: $key) { __typename ... on Refusal { code } } }";
const ADJUST: &str = "mutation A($input: AdjustStockInput!) {
    done: adjustStock(input: $input) { __typename ... on Refusal { code } } }";

/// The stable code of a refusal over REST; `done` when there is none.
fn over_rest(answer: &Answer) -> String {
    if answer.status.is_success() { "done".to_owned() } else { answer.code() }
}

/// The same over the graph, as data or as an error.
pub fn over_graph(answer: &Answer) -> String {
    let said = answer.json();
    let error = &said["errors"][0]["extensions"]["code"];
    let code = if error.is_string() { error } else { &said["data"]["done"]["code"] };
    code.as_str().unwrap_or("done").to_owned()
}

async fn agree(api: &Api, case: Case) -> anyhow::Result<()> {
    let key = fresh_key();
    let keyed = [("Idempotency-Key", key.as_str())];
    let rest = api.send(case.method, &case.path, &keyed, Some(&case.body)).await?;
    let mut variables = case.variables;
    if case.document.contains("$key") {
        variables["key"] = json!(fresh_key());
    }
    let graph = ask(api, case.document, variables).await?.expect(200);
    assert_eq!(over_rest(&rest), over_graph(&graph), "{}: {} {}", case.what, rest.body, graph.body);
    Ok(())
}

/// Orders as both languages take them, but for the total: a number over REST,
/// a string over the graph.
fn placements(sku: &str) -> Vec<(&'static str, Value)> {
    let with = |name: &str, value: Value| {
        let mut order = order_of(sku, 1);
        order[name] = value;
        order
    };
    let mut cart = with("cartId", json!(NOBODY));
    cart.as_object_mut().map(|order| order.remove("lines"));
    vec![
        ("an order that can be placed", order_of(sku, 1)),
        ("more than there is", order_of(sku, 900)),
        ("an unknown sku", order_of("NO-SUCH-SKU", 1)),
        ("no units", order_of(sku, 0)),
        ("no lines", with("lines", json!([]))),
        ("another total", with("expectedTotal", json!("1.00"))),
        ("no address to write to", with("email", json!("nowhere"))),
        ("an unknown way to ship", with("shippingMethod", json!("teleport"))),
        ("a cart of nobody", cart),
    ]
}

/// An id that nothing has.
const NOBODY: &str = "0199aaaa-0000-7000-8000-000000000001";

#[tokio::test]
async fn placing_is_refused_alike_over_rest_and_over_the_graph() -> anyhow::Result<()> {
    let nobody = Api::new(Shop::shared().await?);
    router_is_there(&nobody).await?;
    let (sku, _) = new_product(&nobody.demo("merchant").await?, 5).await?;
    let shopper = nobody.demo("shopper").await?;
    for (what, order) in placements(&sku) {
        let mut body = order.clone();
        if let Some(total) = body.get_mut("expectedTotal") {
            *total = json!(1.0);
        }
        let (path, variables) = ("/api/v1/orders".to_owned(), json!({ "input": order }));
        let case = Case { what, method: Method::POST, path, body, document: PLACE, variables };
        agree(&shopper, case).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_comes_after_an_order_is_refused_alike() -> anyhow::Result<()> {
    let nobody = Api::new(Shop::shared().await?);
    router_is_there(&nobody).await?;
    let (sku, _) = new_product(&nobody.demo("merchant").await?, 9).await?;
    let (shopper, operator) = (nobody.demo("shopper").await?, nobody.demo("operator").await?);
    let place = async || -> anyhow::Result<String> {
        let placed = shopper.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1)).await?;
        Ok(placed.expect(201).json()["orderId"].as_str().unwrap_or_default().to_owned())
    };
    for (what, token) in
        [("a declined card", "tok_declined"), ("a card number", "4111111111111111")]
    {
        let path = format!("/api/v1/orders/{}/pay", place().await?);
        let body = json!({ "paymentMethod": { "type": "card", "token": token } });
        let variables = json!({ "id": place().await?, "token": token });
        let case = Case { what, method: Method::POST, path, body, document: PAY, variables };
        agree(&shopper, case).await?;
    }
    let what = "an order of nobody";
    let body = json!({ "reason": "changed my mind" });
    let path = format!("/api/v1/orders/{NOBODY}/cancel");
    let variables = json!({ "id": NOBODY, "reason": "changed my mind" });
    let case = Case { what, method: Method::POST, path, body, document: CANCEL, variables };
    agree(&shopper, case).await?;
    let input = json!({ "orderId": place().await?, "reason": "broken" });
    let what = "a refund of an order that was never paid";
    let (path, body) = ("/api/v1/payments/refund".to_owned(), input.clone());
    let variables = json!({ "input": input });
    let case = Case { what, method: Method::POST, path, body, document: REFUND, variables };
    agree(&operator, case).await
}

#[tokio::test]
async fn adjustments_are_refused_alike() -> anyhow::Result<()> {
    let nobody = Api::new(Shop::shared().await?);
    router_is_there(&nobody).await?;
    let merchant = nobody.demo("merchant").await?;
    let (sku, _) = new_product(&merchant, 5).await?;
    for (what, delta, expected) in
        [("a stale count", 1, 77), ("no change", 0, 5), ("below nothing", -900, 5)]
    {
        let path = format!("/api/v1/inventory/{sku}/adjustments");
        let body = json!({ "delta": delta, "reason": "COUNT", "expectedOnHand": expected });
        let mut input = body.clone();
        input["sku"] = json!(sku);
        let variables = json!({ "input": input });
        let case = Case { what, method: Method::POST, path, body, document: ADJUST, variables };
        agree(&merchant, case).await?;
    }
    Ok(())
}
