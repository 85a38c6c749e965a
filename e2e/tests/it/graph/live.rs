//! Following an order and stock through gateway, router and subgraphs.

use std::time::{Duration, Instant};

use e2e::api::{Api, Live};
use e2e::shop::Shop;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{new_product, router_is_there};
use crate::{card, fresh_key, new_sku, order_of};

const STATUS: &str = "subscription($id: ID!) { orderStatus(orderId: $id) { status cause
    order { orderNumber items { sku product { title } } payment { status } } } }";
const STOCK: &str = "subscription($id: ID!) { stockChanged(productId: $id) { availability
    variants { availability available } } }";

async fn follow(api: &Api, order: &str) -> anyhow::Result<Live> {
    api.subscribe(STATUS, json!({ "id": order })).await
}

/// Updates up to the one with `status`: their statuses, and the last one whole.
async fn until(live: &mut Live, status: &str) -> anyhow::Result<(Vec<String>, Value)> {
    let mut seen = Vec::new();
    while let Some(answer) = live.next().await? {
        anyhow::ensure!(answer.get("errors").is_none(), "{answer}");
        let update = answer["data"]["orderStatus"].clone();
        seen.push(update["status"].as_str().unwrap_or_default().to_owned());
        if update["status"] == status {
            return Ok((seen, update));
        }
    }
    anyhow::bail!("complete after {seen:?}")
}

#[tokio::test]
async fn an_order_is_followed_from_placement_to_confirmation_with_what_other_services_know()
-> anyhow::Result<()> {
    let guest = Api::new(Shop::shared().await?);
    let merchant = guest.demo("merchant").await?;
    router_is_there(&guest).await?;
    let (sku, product) = new_product(&merchant, 6).await?;
    let mut stock = guest.subscribe(STOCK, json!({ "id": product })).await?;
    let now = stock.data().await?["stockChanged"].clone();
    assert_eq!(now["availability"], "IN_STOCK");
    assert_eq!(now["variants"][0]["available"], Value::Null, "bands for shoppers");

    let placed = guest.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 2)).await?;
    let placed = placed.expect(201).json();
    let id = placed["orderId"].as_str().unwrap_or_default();
    let low = stock.data().await?["stockChanged"].clone();
    assert_eq!(low["availability"], "LOW", "four are left");

    let buyer = guest.order_token(placed["orderToken"].as_str().unwrap_or_default());
    let mut live = follow(&buyer, id).await?;
    let (_, first) = until(&mut live, "PENDING").await?;
    assert_eq!(first["order"]["orderNumber"], placed["orderNumber"]);
    assert_eq!(first["order"]["items"][0]["product"]["title"], "Test lamp");
    let mut stranger = follow(&guest, id).await?;
    let refused = stranger.next().await?.unwrap_or_default();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "orders.not_found", "{refused}");
    assert!(stranger.next().await?.is_none());

    let path = format!("/api/v1/orders/{id}/pay");
    buyer.post_once(&path, &fresh_key(), &card("tok_ok")).await?;
    let (seen, last) = until(&mut live, "CONFIRMED").await?;
    assert!(seen.contains(&"PAID".to_owned()), "{seen:?}");
    assert_eq!(last["order"]["payment"]["status"], "CAPTURED", "{last}");
    Ok(())
}

#[tokio::test]
async fn a_router_that_is_killed_ends_the_streams_and_they_can_be_opened_again()
-> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let shop = Shop::start(home.path(), e2e::shop::free_ports()?).await?;
    let guest = Api::new(shop.port);
    let merchant = guest.demo("merchant").await?;
    router_is_there(&guest).await?;
    let sku = new_sku(&merchant, 5).await?;
    let placed = guest.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 1)).await?;
    let placed = placed.expect(201).json();
    let buyer = guest.order_token(placed["orderToken"].as_str().unwrap_or_default());
    let id = placed["orderId"].as_str().unwrap_or_default();
    let mut live = follow(&buyer, id).await?;
    until(&mut live, "PENDING").await?;

    kill(Pid::from_raw(shop.engines("hive")[0]), Signal::SIGKILL)?;
    let last = live.next().await?.unwrap_or_default();
    assert_eq!(last["errors"][0]["extensions"]["code"], "graph.away", "{last}");
    assert!(live.next().await?.is_none(), "complete");

    buyer.post_once(&format!("/api/v1/orders/{id}/pay"), &fresh_key(), &card("tok_ok")).await?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut again = loop {
        match follow(&buyer, id).await {
            Ok(live) => break live,
            Err(error) => anyhow::ensure!(Instant::now() < deadline, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    until(&mut again, "CONFIRMED").await?;
    Ok(())
}
