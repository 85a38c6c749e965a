//! REST and the graph share commands: the same input has the same outcome. What
//! every operation says to every role is in `rights`; here are inputs.

use e2e::api::Api;
use e2e::shop::Shop;
use serde_json::{Value, json};

use super::operations::{ALL, NOBODY, Operation};
use super::{new_product, router_is_there};
use crate::{fresh_key, order_of};

/// What is tried, and how.
type Case = (&'static str, Operation);

async fn agree(api: &Api, cases: impl IntoIterator<Item = Case>) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (what, operation) in cases {
        let (rest, graph) = operation.both(api).await?;
        if rest.word != graph.word {
            wrong.push(format!("{} of {what}: REST {rest:?}, graph {graph:?}", operation.field));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A shop whose router serves.
async fn shop() -> anyhow::Result<Api> {
    let nobody = Api::new(Shop::shared().await?);
    router_is_there(&nobody).await?;
    Ok(nobody)
}

/// An order as both languages take it, but for the total: a number over REST, a
/// string over the graph.
fn place(order: Value) -> Operation {
    let mut body = order.clone();
    if let Some(total) = body.get_mut("expectedTotal") {
        *total = json!(1.0);
    }
    Operation::post("placeOrder", ALL, "/orders", body)
        .asks("$input: PlaceOrderInput!, $idempotencyKey: String!", json!({ "input": order }))
}

#[tokio::test]
async fn placing_is_refused_alike_over_rest_and_over_the_graph() -> anyhow::Result<()> {
    let nobody = shop().await?;
    let (sku, _) = new_product(&nobody.demo("merchant").await?, 5).await?;
    let with = |name: &str, value: Value| {
        let mut order = order_of(&sku, 1);
        order[name] = value;
        place(order)
    };
    let mut cart = order_of(&sku, 1);
    cart["cartId"] = json!(NOBODY);
    cart.as_object_mut().map(|order| order.remove("lines"));
    let cases = [
        ("an order that can be placed", place(order_of(&sku, 1))),
        ("more than there is", place(order_of(&sku, 900))),
        ("an unknown sku", place(order_of("NO-SUCH-SKU", 1))),
        ("no units", place(order_of(&sku, 0))),
        ("no lines", with("lines", json!([]))),
        ("another total", with("expectedTotal", json!("1.00"))),
        ("no address to write to", with("email", json!("nowhere"))),
        ("an unknown way to ship", with("shippingMethod", json!("teleport"))),
        ("an order for somebody else", with("onBehalfOf", json!(format!("user:{NOBODY}")))),
        ("a cart of nobody", place(cart)),
    ];
    agree(&nobody.demo("shopper").await?, cases).await
}

fn pay(order: &str, token: &str) -> Operation {
    let method = json!({ "type": "card", "token": token });
    Operation::post(
        "payOrder",
        ALL,
        format!("/orders/{order}/pay"),
        json!({ "paymentMethod": method }),
    )
    .asks(
        "$id: ID!, $paymentMethod: PaymentMethodInput!, $idempotencyKey: String!",
        json!({ "id": order, "paymentMethod": method }),
    )
}

const KEYED: &str = "$id: ID!, $idempotencyKey: String!";
const WITH_REASON: &str = "$id: ID!, $reason: String!, $idempotencyKey: String!";

fn cancel(order: &str, reason: &str) -> Operation {
    Operation::post(
        "cancelOrder",
        ALL,
        format!("/orders/{order}/cancel"),
        json!({ "reason": reason }),
    )
    .asks("$id: ID!, $reason: String!", json!({ "id": order, "reason": reason }))
}

fn refund(input: Value) -> Operation {
    Operation::post("refundOrder", ALL, "/payments/refund", input.clone())
        .asks("$input: RefundOrderInput!, $idempotencyKey: String!", json!({ "input": input }))
}

#[tokio::test]
async fn what_comes_after_an_order_is_refused_alike() -> anyhow::Result<()> {
    let nobody = shop().await?;
    let (sku, _) = new_product(&nobody.demo("merchant").await?, 9).await?;
    let (shopper, operator) = (nobody.demo("shopper").await?, nobody.demo("operator").await?);
    let placed = shopper.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1)).await?;
    let order = placed.expect(201).json()["orderId"].as_str().unwrap_or_default().to_owned();
    let cases = [
        ("a declined card", pay(&order, "tok_declined")),
        ("a card number", pay(&order, "4111111111111111")),
        ("an order of nobody", pay(NOBODY, "tok_ok")),
        ("an order of nobody", cancel(NOBODY, "changed my mind")),
        ("no reason", cancel(&order, "")),
    ];
    agree(&shopper, cases).await?;
    let unpaid = json!({ "orderId": order, "reason": "broken" });
    let nothing = json!({ "orderId": NOBODY, "reason": "broken" });
    agree(
        &nobody.demo("merchant").await?,
        [("an order never paid", refund(unpaid.clone())), ("an order of nobody", refund(nothing))],
    )
    .await?;
    agree(&operator, [("one who may not", refund(unpaid))]).await
}

#[tokio::test]
async fn adjustments_are_refused_alike() -> anyhow::Result<()> {
    let merchant = shop().await?.demo("merchant").await?;
    let (sku, _) = new_product(&merchant, 5).await?;
    let adjust = |sku: &str, delta: i64, expected: i64| {
        let body = json!({ "delta": delta, "reason": "COUNT", "expectedOnHand": expected });
        let mut input = body.clone();
        input["sku"] = json!(sku);
        Operation::post("adjustStock", ALL, format!("/inventory/{sku}/adjustments"), body)
            .asks("$input: AdjustStockInput!", json!({ "input": input }))
    };
    let cases = [
        ("a stale count", adjust(&sku, 1, 77)),
        ("no change", adjust(&sku, 0, 5)),
        ("below nothing", adjust(&sku, -900, 5)),
        ("an unknown sku", adjust("NO-SUCH-SKU", 1, 1)),
    ];
    agree(&merchant, cases).await
}

/// A product as REST takes it; the graph takes prices as strings and options as a
/// list.
fn product(price: f64, currency: &str) -> Operation {
    let of = |price: Value, options: Value| {
        json!({ "title": "Parity {fresh}", "description": "", "categories": ["Tests"],
            "status": "DRAFT", "variants": [{ "sku": "PARITY-{fresh}", "title": "",
            "price": price, "currency": currency, "options": options }] })
    };
    Operation::post("createProduct", ALL, "/products", of(json!(price), json!({})))
        .asks("$input: ProductInput!", json!({ "input": of(json!(price.to_string()), json!([])) }))
}

#[tokio::test]
async fn products_are_refused_alike() -> anyhow::Result<()> {
    let merchant = shop().await?.demo("merchant").await?;
    let (_, id) = new_product(&merchant, 1).await?;
    let archive = |id: &str| {
        Operation::delete("archiveProduct", ALL, format!("/products/{id}"))
            .if_match("\"v99\"")
            .asks("$id: ID!, $version: Int!", json!({ "id": id, "version": 99 }))
    };
    let empty = json!({ "title": "", "variants": [] });
    let update = |id: &str, tag: &'static str, version: i64| {
        Operation::put("updateProduct", ALL, format!("/products/{id}"), empty.clone())
            .if_match(tag)
            .asks(
                "$id: ID!, $input: ProductInput!, $version: Int!",
                json!({ "id": id, "input": empty, "version": version }),
            )
    };
    let cases = [
        ("a product", product(25.5, "USD")),
        ("a price with too many digits", product(25.555, "USD")),
        ("a negative price", product(-1.0, "USD")),
        ("a currency of nowhere", product(25.0, "XXQ")),
        ("a stale version", archive(&id)),
        ("a product of nobody", archive(NOBODY)),
        ("neither title nor variants", update(&id, "\"v1\"", 1)),
        ("a product of nobody", update(NOBODY, "\"v1\"", 1)),
    ];
    agree(&merchant, cases).await
}

#[tokio::test]
async fn carts_and_accounts_are_refused_alike() -> anyhow::Result<()> {
    let nobody = shop().await?;
    let (sku, _) = new_product(&nobody.demo("merchant").await?, 5).await?;
    let add = |sku: &str, qty: i64| {
        let input = json!({ "sku": sku, "qty": qty });
        Operation::post("addCartItem", ALL, "/cart/items", input.clone())
            .asks("$input: AddCartItemInput!", json!({ "input": input }))
    };
    let merge = |token: &str| {
        let token = json!({ "guestToken": token });
        Operation::post("mergeCart", ALL, "/cart/merge", token.clone())
            .asks("$guestToken: String!", token)
    };
    let register = |email: &str, password: &str| {
        let person = json!({ "email": email, "password": password, "firstName": "Eve",
            "lastName": "L" });
        Operation::post("registerUser", ALL, "/users/register", person.clone())
            .asks("$input: RegisterUserInput!", json!({ "input": person }))
    };
    let cases = [
        ("one unit", add(&sku, 1)),
        ("no units", add(&sku, 0)),
        ("less than nothing", add(&sku, -1)),
        ("more than anybody carries", add(&sku, 2_000_000_000)),
        ("an unknown sku", add("NO-SUCH-SKU", 1)),
        ("a token that is none", merge("nonsense")),
        ("no token", merge("")),
        ("somebody new", register("new-{fresh}@example.org", "a long password")),
        ("an address that is taken", register("shopper@demo.bellavista.test", "a long password")),
        ("no address", register("nowhere", "a long password")),
        ("a short password", register("new-{fresh}@example.org", "short")),
    ];
    agree(&nobody.demo("shopper").await?, cases).await
}

#[tokio::test]
async fn payments_are_refused_alike() -> anyhow::Result<()> {
    let nobody = shop().await?;
    let (shopper, merchant) = (nobody.demo("shopper").await?, nobody.demo("merchant").await?);
    let make = |amount: f64, currency: &str| {
        let body = json!({ "amount": amount, "currency": currency });
        let input = json!({ "amount": amount.to_string(), "currency": currency });
        Operation::post("createPaymentIntent", ALL, "/payments/intent", body).asks(
            "$input: PaymentIntentInput!, $idempotencyKey: String!",
            json!({ "input": input }),
        )
    };
    let confirm = |payment: &str, token: &str| {
        let method = json!({ "type": "card", "token": token });
        let body = json!({ "paymentId": payment, "paymentMethod": method });
        Operation::post("confirmPayment", ALL, "/payments/confirm", body).asks(
            "$id: ID!, $input: ConfirmPaymentInput!, $idempotencyKey: String!",
            json!({ "id": payment, "input": { "paymentMethod": method } }),
        )
    };
    let cases = [
        ("an intent", make(5.0, "USD")),
        ("no money", make(0.0, "USD")),
        ("half a cent", make(5.005, "USD")),
        ("a currency of nowhere", make(5.0, "XXQ")),
        ("a payment of nobody", confirm(NOBODY, "tok_ok")),
        ("a card number", confirm(NOBODY, "4111111111111111")),
    ];
    agree(&shopper, cases).await?;
    let of_nobody = |field, what: &str, body: Value, types, reason: bool| {
        let mut variables = json!({ "id": NOBODY });
        if reason {
            variables["reason"] = json!("broken");
        }
        Operation::post(field, ALL, format!("/payments/{NOBODY}/{what}"), body)
            .asks(types, variables)
    };
    let why = || json!({ "reason": "broken" });
    let cases = [
        ("nothing", of_nobody("capturePayment", "capture", json!({}), KEYED, false)),
        ("nothing", of_nobody("voidPayment", "void", why(), WITH_REASON, true)),
        ("nothing", of_nobody("refundPayment", "refunds", why(), WITH_REASON, true)),
    ];
    agree(&merchant, cases).await
}
