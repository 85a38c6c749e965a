//! Manual adjustments and the ledger.

use std::sync::Arc;

use contracts::events::inventory::{StockAdjusted, StockLow};
use platform::testing::outbox_of;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::shop::{Shop, shop};

async fn adjust(shop: &Shop, body: Value) -> platform::testing::TestAnswer {
    let token = shop.merchant();
    shop.http.post("/inventory/a/adjustments").bearer(&token).json(&body).send().await
}

#[tokio::test]
async fn an_adjustment_counts_only_when_the_belief_is_right() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let stock = adjust(&shop, json!({"delta": 5, "reason": "found", "expectedOnHand": 10})).await;
    assert_eq!(stock.expect(200).value()["onHand"], 15);
    let stale = adjust(&shop, json!({"delta": 5, "reason": "found", "expectedOnHand": 10})).await;
    let stale = stale.expect_problem(409, "inventory.stale");
    assert_eq!(stale.value()["onHand"], 15);
    assert_eq!(shop.level("A").await, [15, 0, 0, 15]);
    shop.prove().await;
}

#[tokio::test]
async fn promised_units_cannot_be_adjusted_away() {
    let shop = shop().await;
    shop.open("A", 10).await;
    shop.hold(&[("A", 2)]).await;
    let order = shop.hold(&[("A", 3)]).await;
    shop.confirm(order).await;
    let refused = adjust(&shop, json!({"delta": -6, "reason": "lost", "expectedOnHand": 10})).await;
    assert_eq!(refused.expect_problem(409, "inventory.committed").value()["committed"], 5);
    adjust(&shop, json!({"delta": -5, "reason": "lost", "expectedOnHand": 10})).await.expect(200);
    assert_eq!(shop.level("A").await, [5, 2, 3, 0]);
    let low = outbox_of::<StockLow>(shop.bench.pool()).await;
    assert_eq!(low.iter().map(|l| l.available).collect::<Vec<_>>(), [5]);
    let last = outbox_of::<StockAdjusted>(shop.bench.pool()).await.pop().unwrap();
    assert_eq!((last.delta, last.reason.as_str(), last.available), (-5, "adjustment", 0));
    shop.prove().await;
}

#[tokio::test]
async fn of_many_adjustments_with_one_belief_one_counts() {
    let shop = Arc::new(shop().await);
    shop.open("A", 10).await;
    let body = json!({"delta": 1, "reason": "count", "expectedOnHand": 10});
    let mut sends = JoinSet::new();
    for _ in 0..12 {
        let (shop, body) = (shop.clone(), body.clone());
        sends.spawn(async move { adjust(&shop, body).await });
    }
    let answers = sends.join_all().await;
    let good = answers.iter().filter(|a| a.status == 200).count();
    let stale = answers.iter().filter(|a| a.status == 409).count();
    assert_eq!((good, stale), (1, 11));
    assert_eq!(shop.level("A").await, [11, 0, 0, 11]);
    shop.prove().await;
}

#[tokio::test]
async fn an_adjustment_sent_often_under_one_key_counts_once() {
    let shop = Arc::new(shop().await);
    shop.open("A", 10).await;
    let token = shop.merchant();
    let body = json!({"delta": 4, "reason": "found", "expectedOnHand": 10});
    let send = |key: &'static str, body: Value| {
        let (shop, token) = (shop.clone(), token.clone());
        async move {
            let post = shop.http.post("/inventory/a/adjustments").bearer(&token).key(key);
            post.json(&body).send().await
        }
    };
    let mut sends = JoinSet::new();
    for _ in 0..8 {
        sends.spawn(send("once", body.clone()));
    }
    let answers = sends.join_all().await;
    assert!(answers.iter().all(|a| a.status == 200 && a.text() == answers[0].text()));
    let replayed = answers.iter().filter(|a| a.header("idempotency-replayed") == "true").count();
    assert_eq!(replayed, 7);
    assert_eq!(shop.level("A").await, [14, 0, 0, 14]);
    let other = json!({"delta": 5, "reason": "found", "expectedOnHand": 10});
    send("once", other.clone()).await.expect_problem(422, "idempotency.mismatch");
    send("another", other).await.expect_problem(409, "inventory.stale");
    let right = json!({"delta": 5, "reason": "found", "expectedOnHand": 14});
    send("third", right).await.expect(200);
    assert_eq!(shop.level("A").await, [19, 0, 0, 19]);
    shop.prove().await;
}

#[tokio::test]
async fn wrong_fields_are_all_named() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let empty = adjust(&shop, json!({})).await.expect(422);
    assert_eq!(empty.fields(), ["delta", "reason", "expectedOnHand"]);
    let typed = adjust(&shop, json!({"delta": "x", "reason": 4, "expectedOnHand": 1.5})).await;
    let typed = typed.expect(422);
    assert_eq!(typed.fields(), ["delta", "expectedOnHand", "reason"]);
    let huge = adjust(&shop, json!({"delta": i64::MAX, "reason": "x", "expectedOnHand": 10})).await;
    assert_eq!(huge.expect(422).fields(), ["delta"]);
    let odd = json!({"delta": 1, "reason": "a\u{0}b", "expectedOnHand": 10});
    assert_eq!(adjust(&shop, odd).await.expect(422).fields(), ["reason"]);
    let place = json!({"delta": 1, "reason": "x", "expectedOnHand": 0, "warehouse": "moon\u{0}"});
    adjust(&shop, place).await.expect_problem(422, "inventory.unknown_warehouse");
    let token = shop.merchant();
    let raw = shop.http.post("/inventory/a/adjustments").bearer(&token);
    raw.body("application/json", "{").send().await.expect(400);
    let raw = shop.http.post("/inventory/a/adjustments").bearer(&token);
    raw.body("text/plain", "{}").send().await.expect(415);
    let body = json!({"delta": 1, "reason": "x", "expectedOnHand": 0});
    let nobody = shop.http.post("/inventory/zz/adjustments").bearer(&token).json(&body);
    nobody.send().await.expect_problem(404, "inventory.unknown_sku");
    let shopper = shop.shopper();
    let refused = shop.http.post("/inventory/a/adjustments").bearer(&shopper).json(&body);
    refused.send().await.expect(403);
    assert_eq!(shop.level("A").await, [10, 0, 0, 10]);
}

#[tokio::test]
async fn the_ledger_pages_newest_first_and_cannot_be_rewritten() {
    let shop = shop().await;
    shop.open("A", 10).await;
    for expected in 10..13 {
        let body = json!({"delta": 1, "reason": "found", "expectedOnHand": expected});
        adjust(&shop, body).await.expect(200);
    }
    let token = shop.merchant();
    let get = async |path: &str| shop.http.get(path).bearer(&token).send().await;
    let first = get("/inventory/A/ledger?first=3").await.expect(200).value();
    let on_hand: Vec<i64> =
        first["items"].as_array().unwrap().iter().map(|e| e["onHand"].as_i64().unwrap()).collect();
    assert_eq!(on_hand, [13, 12, 11]);
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let after = first["pageInfo"]["endCursor"].as_str().unwrap();
    let rest = get(&format!("/inventory/A/ledger?first=3&after={after}")).await.value();
    assert_eq!(rest["items"][0]["kind"], "opening");
    assert_eq!(rest["items"][0]["actor"], "service:local");
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
    get("/inventory/A/ledger?first=0").await.expect(400);
    get("/inventory/A/ledger?after=zzz").await.expect(400);
    get("/inventory/nope/ledger").await.expect(404);
    for statement in [
        "UPDATE ledger SET delta = 5",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "UPDATE stock SET held = 99",
    ] {
        let refused = sqlx::query(statement).execute(shop.bench.pool()).await;
        assert!(refused.is_err(), "{statement}");
    }
    shop.prove().await;
}
