//! A shop that is killed in the middle loses and doubles nothing.

use std::time::Duration;

use e2e::api::Api;
use e2e::shop::{Shop, free_ports};
use serde_json::Value;

use crate::{fresh_key, new_sku, order_of};

const BUYERS: usize = 40;
const UNITS: i64 = 25;
/// The gateway's settlement time of 30 s, and some more to ask after it.
const SETTLED: Duration = Duration::from_secs(90);

#[tokio::test]
async fn every_accepted_order_survives_a_power_cut_and_comes_to_rest() -> anyhow::Result<()> {
    let home = tempfile::Builder::new().prefix("bv-e2e-cut-").tempdir()?;
    let port = free_ports()?;
    let shop = Shop::start(home.path(), port).await?;
    let nobody = Api::new(port);
    let sku = new_sku(&nobody.demo("merchant").await?, UNITS).await?;
    let keys: Vec<String> = (0..BUYERS).map(|_| fresh_key()).collect();
    let order = {
        let mut order = order_of(&sku, 1);
        order["paymentMethod"] = serde_json::json!({"type": "card", "token": "tok_ok"});
        order
    };
    let sends: Vec<_> = keys
        .iter()
        .cloned()
        .map(|key| {
            let (api, order) = (Api::new(port), order.clone());
            tokio::spawn(async move { api.post_once("/api/v1/orders", &key, &order).await })
        })
        .collect();
    // Some are answered, the others are somewhere in the middle.
    let mut answered = Vec::new();
    for (index, send) in sends.into_iter().enumerate() {
        if index == BUYERS / 3 {
            break;
        }
        answered.push(send.await??);
    }
    shop.kill().await?;

    let _again = Shop::start(home.path(), port).await?;
    let mut orders = std::collections::HashSet::new();
    let mut refused = 0;
    for (index, key) in keys.iter().enumerate() {
        let answer = nobody.post_once("/api/v1/orders", key, &order).await?;
        if let Some(before) = answered.get(index).filter(|a| a.status == 201) {
            assert_eq!(answer.body, before.body, "an answer changed over the cut");
        }
        match answer.status.as_u16() {
            201 | 202 => assert!(orders.insert(placed(&answer.json()))),
            409 => refused += 1,
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert_eq!((orders.len() as i64, refused), (UNITS, BUYERS - UNITS as usize));
    let merchant = nobody.demo("merchant").await?;
    for (id, token) in &orders {
        let owner = nobody.order_token(token);
        let path = format!("/api/v1/orders/{id}/status");
        // A charge that was under way is asked for until the gateway has settled.
        owner.eventually_within(SETTLED, &path, |s| s["status"] == "CONFIRMED").await?;
    }
    let stock =
        merchant.eventually(&format!("/api/v1/inventory/{sku}/stock"), |s| s["held"] == 0).await?;
    assert_eq!((&stock["onHand"], &stock["allocated"]), (&UNITS.into(), &UNITS.into()), "{stock}");
    let simulator = format!("http://127.0.0.1:{}/admin/ledger", port + 5);
    let ledger: Value = reqwest::get(simulator).await?.json().await?;
    for (id, _) in &orders {
        let text = ledger.to_string();
        assert_eq!(
            text.matches(&format!("\"{id}\"")).count(),
            1,
            "{id} was charged more than once"
        );
    }
    Ok(())
}

fn placed(order: &Value) -> (String, String) {
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    (text("orderId"), text("orderToken"))
}
