use std::time::Duration;

use serde_json::{Value, json};
use shared_types::OrderId;

use crate::{House, Sick, house};

const REDRIVES: &str = "/admin/dead-letters/redrives";
const UNKNOWN: &str = "01990000-0000-7000-8000-000000000000";

/// So many letters of different orders: what failed, and its id.
async fn letters(house: &House, count: usize) -> Vec<(Sick, String)> {
    let mut letters = Vec::new();
    for _ in 0..count {
        let sick = house.confirmation(house.bench.id::<OrderId>());
        let id = house.dies(&sick).await;
        letters.push((sick, id));
    }
    letters
}

async fn plan(house: &House, body: Value) -> Value {
    house.post(REDRIVES, body).await.expect(201).value()
}

async fn act(house: &House, redrive: &Value, action: &str) -> platform::testing::TestAnswer {
    let id = redrive["id"].as_str().unwrap();
    house.post(&format!("{REDRIVES}/{id}/{action}"), json!({})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_goes_back_to_its_consumer_as_it_was() {
    let house = house().await;
    let (sick, letter) = letters(&house, 1).await.remove(0);
    let path = format!("/admin/dead-letters/{letter}/redrive");
    let redrive = house.post(&path, json!({})).await.expect(202).value();
    let sent = house.sent("redrive.notifications", 1).await.remove(0);
    assert_eq!(sent.raw, Some(sick.value));
    assert_eq!(
        (&*sent.headers["x-dlq-topic"], &*sent.headers["x-dlq-partition"]),
        (sick.topic, "1")
    );
    assert_eq!(sent.headers["x-redrive-of"], letter);
    house.post(&path, json!({})).await.expect_problem(409, "dead_letters.redriving");
    house.handled(&letter).await;
    let done = house.redrive_is(redrive["id"].as_str().unwrap(), "done").await;
    assert_eq!(done["progress"]["redriven"], 1);
    assert_eq!(house.state(&letter).await, "redriven");
    house.post(&path, json!({})).await.expect_problem(409, "dead_letters.resolved");
    let delete = format!("/admin/dead-letters/{letter}/delete");
    let delete = house.post(&delete, json!({"reason": "late"})).await;
    delete.expect_problem(409, "dead_letters.resolved");
    assert!(house.audited(&letter).await.contains(&"dead_letter.redrive".to_owned()));
    assert_eq!(house.outgoing("redrive.notifications").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_would_happen_and_sends_nothing() {
    let house = house().await;
    letters(&house, 2).await;
    let order: OrderId = house.bench.id();
    let broken = house.order_event(order, "confirmed", json!({"orderId": 7}));
    let broken = Sick { value: broken.to_string().into_bytes(), ..house.confirmation(order) };
    house.dies(&broken).await;
    house.dies(&Sick { consumer: "ghost", ..house.confirmation(order) }).await;
    let redrive = plan(&house, json!({"selection": {"all": true}})).await;
    let found = &redrive["plan"];
    assert_eq!((&found["messages"], &found["wouldPass"]), (&json!(4), &json!(2)));
    assert_eq!(found["wouldFail"], 2);
    assert_eq!(found["consumers"][1]["consumer"], "notifications");
    assert_eq!(found["consumers"][1]["messages"], 3);
    assert_eq!(found["consumers"][1]["sideEffects"].as_array().unwrap().len(), 2);
    assert_eq!(redrive["state"], "planned");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(house.outgoing("redrive.notifications").await.is_empty());
    act(&house, &redrive, "pause").await.expect_problem(409, "redrives.state");
    act(&house, &redrive, "cancel").await.expect(200);
    act(&house, &redrive, "start").await.expect_problem(409, "redrives.state");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_canary_holds_back_the_rest_until_it_did_well() {
    let house = house().await;
    let letters = letters(&house, 5).await;
    let body = json!({"selection": {"all": true}, "canary": 1, "ratePerSecond": 500});
    let redrive = plan(&house, body).await;
    let id = redrive["id"].as_str().unwrap();
    act(&house, &redrive, "start").await.expect(200);
    house.sent("redrive.notifications", 1).await;
    house.bench.advance(Duration::from_secs(5));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(house.outgoing("redrive.notifications").await.len(), 1);
    house.handled(&letters[0].1).await;
    house.redrive_is(id, "running").await;
    let sent = house.sent("redrive.notifications", 5).await;
    let order: Vec<_> = sent.iter().map(|r| r.headers["x-redrive-of"].clone()).collect();
    let wanted: Vec<_> = letters.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(order, wanted, "in the order in which they failed");
    for (_, letter) in &letters[1..] {
        house.handled(letter).await;
    }
    assert_eq!(house.redrive_is(id, "done").await["progress"]["redriven"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_fails_again_stops_it_and_a_person_may_go_on() {
    let house = house().await;
    let letters = letters(&house, 3).await;
    let redrive = plan(&house, json!({"selection": {"all": true}, "ratePerSecond": 500})).await;
    let id = redrive["id"].as_str().unwrap();
    act(&house, &redrive, "start").await.expect(200);
    house.sent("redrive.notifications", 1).await;
    house.dies_again(&letters[0].0, &letters[0].1).await;
    let stopped = house.redrive_is(id, "stopped").await;
    assert!(stopped["stopReason"].as_str().unwrap().contains("canary"));
    assert_eq!(stopped["progress"]["failedAgain"], 1);
    assert_eq!(house.state(&letters[0].1).await, "open");
    let list = house.get("/admin/dead-letters").await.value();
    assert_eq!(list["items"].as_array().unwrap().len(), 3, "the same letter, not another");
    act(&house, &redrive, "resume").await.expect(200);
    house.bench.advance(Duration::from_secs(5));
    house.sent("redrive.notifications", 3).await;
    house.handled(&letters[1].1).await;
    house.handled(&letters[2].1).await;
    let done = house.redrive_is(id, "done").await;
    assert_eq!(
        (&done["progress"]["redriven"], &done["progress"]["failedAgain"]),
        (&json!(2), &json!(1))
    );
    let items = house.get(&format!("{REDRIVES}/{id}/items?state=failed_again")).await.value();
    assert_eq!(items["items"][0]["letterId"], letters[0].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_pauses_keeps_its_rate_and_skips_what_was_resolved_meanwhile() {
    let house = house().await;
    let letters = letters(&house, 4).await;
    let body = json!({"selection": {"all": true}, "canary": 0, "ratePerSecond": 1});
    let redrive = plan(&house, body).await;
    let id = redrive["id"].as_str().unwrap();
    act(&house, &redrive, "start").await.expect(200);
    house.sent("redrive.notifications", 1).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(house.outgoing("redrive.notifications").await.len(), 1, "one a second");
    act(&house, &redrive, "pause").await.expect(200);
    house.bench.advance(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(house.outgoing("redrive.notifications").await.len(), 1, "paused");
    let delete = format!("/admin/dead-letters/{}/delete", letters[1].1);
    house.post(&delete, json!({"reason": "a test order"})).await.expect(200);
    act(&house, &redrive, "resume").await.expect(200);
    let path = format!("{REDRIVES}/{id}");
    crate::eventually(async || house.get(&path).await.value()["progress"]["skipped"] == 1).await;
    house.bench.advance(Duration::from_secs(1));
    // The first message, the discard of the deleted one, and the third.
    house.sent("redrive.notifications", 3).await;
    act(&house, &redrive, "cancel").await.expect(200);
    house.handled(&letters[0].1).await;
    house.handled(&letters[2].1).await;
    let ended = house.get(&path).await.value();
    assert_eq!((&ended["state"], &ended["progress"]["redriven"]), (&json!("canceled"), &json!(2)));
    assert_eq!(ended["progress"]["waiting"], 1);
    assert_eq!(house.state(&letters[3].1).await, "open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_never_answers_leaves_the_letter_open() {
    let house = house().await;
    let (_, letter) = letters(&house, 1).await.remove(0);
    let path = format!("/admin/dead-letters/{letter}/redrive");
    let redrive = house.post(&path, json!({})).await.expect(202).value();
    house.sent("redrive.notifications", 1).await;
    house.bench.advance(Duration::from_secs(61));
    let stopped = house.redrive_is(redrive["id"].as_str().unwrap(), "stopped").await;
    assert_eq!(stopped["progress"]["unanswered"], 1);
    assert_eq!(house.state(&letter).await, "open");
    // The answer comes after all.
    house.handled(&letter).await;
    assert_eq!(house.state(&letter).await, "redriven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_and_selections_take_only_their_own() {
    let house = house().await;
    let letters = letters(&house, 2).await;
    let other = Sick { code: "panic", ..house.confirmation(house.bench.id()) };
    house.dies(&other).await;
    let group = json!({
        "consumer": "notifications", "errorCode": "panic",
        "eventType": "ecommerce.order.order.confirmed.v1",
    });
    let redrive = plan(&house, json!({"selection": {"group": group}})).await;
    assert_eq!(redrive["plan"]["messages"], 1);
    let redrive = plan(&house, json!({"selection": {"ids": [letters[0].1]}})).await;
    assert_eq!(redrive["plan"]["messages"], 1);
    let none = json!({"selection": {"group": {"consumer": "cart"}}});
    house.post(REDRIVES, none).await.expect_problem(422, "redrives.empty");
    house
        .post(&format!("/admin/dead-letters/{}/redrive", letters[0].1), json!({}))
        .await
        .expect(202);
    house.sent("redrive.notifications", 1).await;
    house.handled(&letters[0].1).await;
    let resolved =
        house.post(REDRIVES, json!({"selection": {"ids": [letters[0].1, letters[1].1]}}));
    let resolved = resolved.await.expect_problem(409, "dead_letters.resolved");
    assert_eq!(resolved.value()["resolved"], json!([letters[0].1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_are_refused_naming_each_field() {
    let house = house().await;
    letters(&house, 1).await;
    let odd = json!({
        "selection": {"all": true, "ids": ["x"]}, "canary": -1, "ratePerSecond": 501,
        "stopAfterFailures": 0, "reason": "ab",
    });
    let fields = house.post(REDRIVES, odd).await.expect(422).fields();
    let wanted =
        ["canary", "ratePerSecond", "reason", "selection", "selection.ids[0]", "stopAfterFailures"];
    let mut sorted = fields.clone();
    sorted.sort();
    assert_eq!(sorted, wanted);
    let unknown = house.post(REDRIVES, json!({"selection": {"ids": [UNKNOWN]}})).await;
    assert_eq!(unknown.expect(422).fields(), ["selection.ids[0]"]);
    assert_eq!(house.post(REDRIVES, json!({})).await.expect(422).fields(), ["selection"]);
    house.post(REDRIVES, json!([])).await.expect(422);
    for action in ["start", "pause", "resume", "cancel"] {
        let path = format!("{REDRIVES}/{UNKNOWN}/{action}");
        house.post(&path, json!({})).await.expect_problem(404, "redrives.unknown");
    }
    house.get(&format!("{REDRIVES}/{UNKNOWN}")).await.expect(404);
    house.get(&format!("{REDRIVES}/{UNKNOWN}/items")).await.expect(404);
    house.get(&format!("{REDRIVES}?state=odd")).await.expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_refused_goes_to_its_topic_or_says_that_it_is_too_large() {
    let house = house().await;
    let refused = Sick { consumer: "relay.orders", ..house.confirmation(house.bench.id()) };
    let letter = house.dies(&refused).await;
    house.post(&format!("/admin/dead-letters/{letter}/redrive"), json!({})).await.expect(202);
    let sent = house.sent(refused.topic, 1).await.remove(0);
    assert_eq!(sent.raw, Some(refused.value.clone()));
    assert!(!sent.headers.keys().any(|n| n.starts_with("x-dlq-") || n.starts_with("x-redrive-")));
    crate::eventually(async || house.state(&letter).await == "redriven").await;
    let cut = Sick { offset: 99, further: vec![("x-outbox-cut", "true".to_owned())], ..refused };
    let letter = house.dies(&cut).await;
    let path = format!("/admin/dead-letters/{letter}/redrive");
    house.post(&path, json!({})).await.expect_problem(422, "dead_letters.cut");
    let ghost = Sick { consumer: "ghost", ..house.confirmation(house.bench.id()) };
    let letter = house.dies(&ghost).await;
    let path = format!("/admin/dead-letters/{letter}/redrive");
    house.post(&path, json!({})).await.expect_problem(422, "dead_letters.no_consumer");
}
