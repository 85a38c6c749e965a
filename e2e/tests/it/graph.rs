//! The graph of a whole shop: gateway, router, every subgraph.

mod alike;
mod live;
mod operations;
mod rights;

use std::time::{Duration, Instant};

use e2e::api::{Answer, Api};
use e2e::shop::Shop;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::{card, fresh_key, new_sku, order_of};

/// Asks the graph; whatever comes back.
pub async fn ask(api: &Api, query: &str, variables: Value) -> anyhow::Result<Answer> {
    api.post("/graphql", &json!({ "query": query, "variables": variables })).await
}

/// Waits until the router serves: the shop opens without it.
pub async fn router_is_there(api: &Api) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while ask(api, "{ __typename }", json!({})).await?.status != 200 {
        anyhow::ensure!(Instant::now() < deadline, "the router never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A product of our own: its sku and its id.
pub async fn new_product(merchant: &Api, stock: i64) -> anyhow::Result<(String, String)> {
    let sku = new_sku(merchant, stock).await?;
    let path = format!("/api/v1/products?text={sku}");
    let found = merchant.get(&path).await?.expect(200).json();
    let id = found["items"][0]["id"].as_str().unwrap_or_default().to_owned();
    anyhow::ensure!(!id.is_empty(), "{found}");
    Ok((sku, id))
}

#[tokio::test]
async fn one_question_answers_product_price_stock_history_and_the_open_order() -> anyhow::Result<()>
{
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let merchant = nobody.demo("merchant").await?;
    router_is_there(&nobody).await?;
    let (sku, id) = new_product(&merchant, 3).await?;
    merchant.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1)).await?.expect(201);
    let query = "query A($id: ID!) {
        product(id: $id) {
            title availability price { amount currency }
            prices(first: 5) { edges { node { sku price { amount } validTo } } }
            variants { sku availability available }
        }
        productInventory(id: $id) { availability variants { sku available } }
        orders(first: 1) { edges { node { status totalAmount { amount }
            items { sku qty product { title availability } } timeline { status cause } } } }
    }";
    let asked = json!({ "query": query, "variables": { "id": id } });
    let plan = [("hive-expose-query-plan", "true")];
    let answer = merchant.send(reqwest::Method::POST, "/graphql", &plan, Some(&asked)).await?;
    let answer = answer.expect(200).json();
    assert!(answer.get("errors").is_none(), "{answer}");
    let (product, order) =
        (&answer["data"]["product"], &answer["data"]["orders"]["edges"][0]["node"]);
    assert_eq!(product["title"], "Test lamp");
    assert_eq!(product["price"], json!({ "amount": "25.00", "currency": "USD" }));
    assert_eq!(product["prices"]["edges"][0]["node"]["price"]["amount"], "25.00");
    assert_eq!(product["variants"][0]["sku"], sku);
    assert_eq!(answer["data"]["productInventory"]["availability"], product["availability"]);
    assert_eq!((&order["status"], &order["items"][0]["qty"]), (&json!("PENDING"), &json!(1)));
    assert_eq!(order["items"][0]["product"]["title"], "Test lamp");
    assert!(order["timeline"].as_array().is_some_and(|t| !t.is_empty()), "{order}");
    let plan = answer["extensions"]["queryPlan"].to_string();
    assert!(plan.contains("Parallel"), "independent parts are fetched side by side: {plan}");
    Ok(())
}

#[tokio::test]
async fn a_key_counts_once_even_from_somebody_without_a_credential() -> anyhow::Result<()> {
    let nobody = Api::new(Shop::shared().await?);
    let merchant = nobody.demo("merchant").await?;
    router_is_there(&nobody).await?;
    let sku = new_sku(&merchant, 3).await?;
    let query = "mutation A($input: PlaceOrderInput!, $key: String!) {
        placeOrder(input: $input, idempotencyKey: $key) {
            ... on OrderPlaced { order { id } } ... on Refusal { code } } }";
    let asked = json!({ "input": order_of(&sku, 1), "key": fresh_key() });
    let first = ask(&nobody, query, asked.clone()).await?.expect(200).json();
    let again = ask(&nobody, query, asked).await?.expect(200).json();
    assert!(first["data"]["placeOrder"]["order"]["id"].is_string(), "{first}");
    assert_eq!(first, again);
    Ok(())
}

#[tokio::test]
async fn a_router_killed_during_a_checkout_is_back_and_the_purchase_completes() -> anyhow::Result<()>
{
    let home = tempfile::tempdir()?;
    let shop = Shop::start(home.path(), e2e::shop::free_ports()?).await?;
    let guest = Api::new(shop.port);
    let merchant = guest.demo("merchant").await?;
    router_is_there(&guest).await?;
    let sku = new_sku(&merchant, 5).await?;
    let placed = guest.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1)).await?;
    let placed = placed.expect(201).json();
    let buyer = guest.order_token(placed["orderToken"].as_str().unwrap_or_default());
    let order = format!("/api/v1/orders/{}", placed["orderId"].as_str().unwrap_or_default());

    let router = shop.engines("hive");
    assert_eq!(router.len(), 1, "one router");
    let killed = Instant::now();
    kill(Pid::from_raw(router[0]), Signal::SIGKILL)?;
    let away = ask(&guest, "{ __typename }", json!({})).await?;
    assert!([200, 503].contains(&away.status.as_u16()), "{}", away.body);
    if away.status == 503 {
        assert!(!away.header("retry-after").is_empty());
    }
    buyer.post_once(&format!("{order}/pay"), &fresh_key(), &card("tok_ok")).await?.expect(200);
    while ask(&guest, "{ __typename }", json!({})).await?.status != 200
        || shop.engines("hive") == router
    {
        assert!(killed.elapsed() < Duration::from_secs(30), "the router did not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Two seconds are promised; how busy this machine is nobody promised.
    eprintln!("the router was away for {:?}", killed.elapsed());
    buyer.eventually(&format!("{order}/status"), |s| s["status"] == "CONFIRMED").await?;
    Ok(())
}

#[tokio::test]
async fn hostile_documents_get_refusals_that_tell_nothing_of_the_inside() -> anyhow::Result<()> {
    let nobody = Api::new(Shop::shared().await?);
    router_is_there(&nobody).await?;
    let wrong = nobody.bearer("nonsense");
    assert_eq!(ask(&wrong, "{ __typename }", json!({})).await?.status, 401);
    for (query, variables) in [
        ("{ nothing }", json!({})),
        ("{ product { id } }", json!({})),
        ("query A($id: ID!) { product(id: $id) { id } }", json!({ "id": { "a": 1 } })),
        ("query A($id: ID!) { product(id: $id) { id } }", json!({})),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", json!({})),
        ("{ _entities(representations: []) { __typename } }", json!({})),
        ("{ _service { sdl } }", json!({})),
    ] {
        let answer = ask(&nobody, query, variables).await?;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert!(answer.json()["errors"][0]["message"].is_string(), "{}", answer.body);
    }
    for id in ["", "Product:x", "Order:1", "' OR 1=1 --", "../../etc", "💥", &"9".repeat(5_000)] {
        let query =
            "query A($id: ID!) { product(id: $id) { id } productInventory(id: $id) { productId } }";
        let answer = ask(&nobody, query, json!({ "id": id })).await?.expect(200);
        assert_eq!(answer.json()["data"]["product"], Value::Null, "{}", answer.body);
        for inside in ["127.0.0.1", "subgraph", "sqlx", "relation", "panick"] {
            assert!(!answer.body.contains(inside), "{inside} in {}", answer.body);
        }
    }
    Ok(())
}
