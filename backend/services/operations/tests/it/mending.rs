use serde_json::{Value, json};
use shared_types::OrderId;

use crate::{House, house};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

async fn act(
    house: &House,
    letter: &str,
    action: &str,
    body: Value,
) -> platform::testing::TestAnswer {
    house.post(&format!("/admin/dead-letters/{letter}/{action}"), body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_letter_frees_its_followers_and_can_come_back() {
    let house = house().await;
    let letter = house.dies(&house.confirmation(house.bench.id())).await;
    act(&house, &letter, "delete", json!({})).await.expect(422);
    act(&house, &letter, "delete", json!({"reason": "  "})).await.expect(422);
    assert!(house.outgoing("redrive.notifications").await.is_empty());
    let gone = act(&house, &letter, "delete", json!({"reason": "a test order"})).await;
    assert_eq!(gone.expect(200).value()["state"], "deleted");
    let discard = house.outgoing("redrive.notifications").await.remove(0);
    assert_eq!(discard.headers["x-redrive-discard"], "true");
    assert_eq!(discard.headers["x-dlq-offset"], "0");
    act(&house, &letter, "delete", json!({"reason": "again"}))
        .await
        .expect_problem(409, "dead_letters.deleted");
    act(&house, &letter, "redrive", json!({})).await.expect_problem(409, "dead_letters.deleted");
    let back = act(&house, &letter, "restore", json!({})).await.expect(200).value();
    assert_eq!((&back["state"], &back["reason"]), (&json!("open"), &json!(null)));
    act(&house, &letter, "restore", json!({}))
        .await
        .expect_problem(409, "dead_letters.not_deleted");
    assert_eq!(house.audited(&letter).await, ["dead_letter.delete", "dead_letter.restore"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_copy_goes_in_place_of_its_original() {
    let house = house().await;
    let order: OrderId = house.bench.id();
    let letter = house.dies(&house.confirmation(order)).await;
    let path = format!("/admin/dead-letters/{letter}/copy");
    let copy =
        async |body: Value| house.client.post(&path).bearer(&house.admin).json(&body).send().await;
    house.post(&path, json!({"headers": {"x-team": "blue"}})).await.expect(403);
    let original: Value = {
        let detail = house.get(&format!("/admin/dead-letters/{letter}")).await.value();
        serde_json::from_str(detail["value"].as_str().unwrap()).unwrap()
    };
    let mut forged = original.clone();
    forged["eventId"] = json!(UNKNOWN);
    let wrong = copy(json!({"value": forged.to_string(), "headers": {"ce_id": "2"}})).await;
    assert_eq!(wrong.expect(422).fields(), ["headers.ce_id", "value.eventId"]);
    assert_eq!(copy(json!({"value": "no JSON"})).await.expect(422).fields(), ["value"]);
    assert_eq!(copy(json!({})).await.expect(422).fields(), ["value"]);
    let mut mended = original.clone();
    mended["payload"]["note"] = json!("mended");
    let body = json!({"value": mended.to_string(), "headers": {"x-team": "blue"}});
    let made = copy(body).await.expect(201).value();
    assert_eq!((&made["copyOf"], &made["state"]), (&json!(letter), &json!("open")));
    let made = made["id"].as_str().unwrap();
    act(&house, made, "redrive", json!({})).await.expect(202);
    let sent = house.sent("redrive.notifications", 1).await.remove(0);
    assert_eq!(sent.raw.unwrap(), mended.to_string().into_bytes());
    assert_eq!((sent.headers["x-redrive-of"].as_str(), &*sent.headers["x-team"]), (made, "blue"));
    // The original must wait for what becomes of it.
    act(&house, &letter, "redrive", json!({})).await.expect_problem(409, "dead_letters.superseded");
    house.handled(made).await;
    assert_eq!(house.state(made).await, "redriven");
    assert_eq!(house.state(&letter).await, "superseded");
    act(&house, &letter, "redrive", json!({})).await.expect_problem(409, "dead_letters.resolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_about_money_need_a_reason() {
    let house = house().await;
    let letter = house.dies(&house.paid(house.bench.id())).await;
    assert_eq!(act(&house, &letter, "redrive", json!({})).await.expect(422).fields(), ["reason"]);
    let path = format!("/admin/dead-letters/{letter}/copy");
    let body = json!({"headers": {"x-team": "blue"}});
    let edit = house.client.post(&path).bearer(&house.admin).json(&body).send().await;
    assert_eq!(edit.expect(422).fields(), ["reason"]);
    let plan = json!({"selection": {"all": true}});
    let plan = house.post("/admin/dead-letters/redrives", plan).await;
    assert_eq!(plan.expect(422).fields(), ["reason"]);
    assert!(house.audited(&letter).await.is_empty());
    act(&house, &letter, "redrive", json!({"reason": "the ledger is right"})).await.expect(202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirected_letter_goes_to_its_new_topic_and_frees_its_followers() {
    let house = house().await;
    let sick = house.confirmation(house.bench.id());
    let letter = house.dies(&sick).await;
    let to = |topic: &str| json!({"topic": topic, "reason": "wrong topic"});
    for topic in ["", "nowhere", "ecommerce.order.order.DLQ", "redrive.orders"] {
        let refused = act(&house, &letter, "redirect", to(topic)).await.expect(422);
        assert_eq!(refused.fields(), ["topic"], "{topic}");
    }
    act(&house, &letter, "redirect", to("ecommerce.order.order"))
        .await
        .expect_problem(422, "dead_letters.same_topic");
    act(&house, &letter, "redirect", to("ecommerce.cart.cart")).await.expect(200);
    let sent = house.outgoing("ecommerce.cart.cart").await.remove(0);
    assert_eq!(sent.raw, Some(sick.value));
    assert!(!sent.headers.keys().any(|name| name.starts_with("x-dlq-")));
    assert_eq!(house.outgoing("redrive.notifications").await.len(), 1);
    act(&house, &letter, "redirect", to("ecommerce.cart.cart"))
        .await
        .expect_problem(409, "dead_letters.resolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_letters_are_unknown_to_every_action() {
    let house = house().await;
    house.get(&format!("/admin/dead-letters/{UNKNOWN}")).await.expect(404);
    house.get("/admin/dead-letters/not-an-id").await.expect(404);
    for (action, body) in [
        ("redrive", json!({})),
        ("restore", json!({})),
        ("delete", json!({"reason": "because"})),
        ("notes", json!({"text": "x"})),
        ("redirect", json!({"topic": "ecommerce.cart.cart", "reason": "because"})),
    ] {
        act(&house, UNKNOWN, action, body).await.expect_problem(404, "dead_letters.unknown");
    }
    let long = json!({"reason": "x".repeat(501)});
    let letter = house.dies(&house.confirmation(house.bench.id())).await;
    assert_eq!(act(&house, &letter, "delete", long).await.expect(422).fields(), ["reason"]);
    assert_eq!(house.state(&letter).await, "open");
}
