use serde_json::json;
use shared_types::{GuestId, OrderId, Role, UserId};

use crate::{ORDERS, Sick, house};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_comes_twice_is_one_letter() {
    let house = house().await;
    let record = house.record(&house.confirmation(house.bench.id()), 7);
    house.bring(&record).await;
    house.bring(&record).await;
    let list = house.get("/admin/dead-letters").await.expect(200).value();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["timesFailed"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_tell_orders_customers_and_money_at_risk_once() {
    let house = house().await;
    let (first, second): (OrderId, OrderId) = (house.bench.id(), house.bench.id());
    // Twice the same order: its money is at risk once.
    house.dies(&house.paid(first)).await;
    house.dies(&house.paid(first)).await;
    house.dies(&house.paid(second)).await;
    house.dies(&house.confirmation(second)).await;
    let guest: GuestId = house.bench.id();
    let ended = json!({
        "orderId": first, "by": "x", "reason": "x", "items": [], "guestId": guest,
        "totalAmount": 20, "currency": "USD", "refundedAmount": 0
    });
    let canceled = house.order_event(first, "canceled", ended).to_string().into_bytes();
    house.dies(&Sick { value: canceled, code: "panic", ..house.paid(first) }).await;
    let groups = house.get("/admin/dead-letters/groups").await.expect(200).value();
    let paid = &groups["items"][0];
    assert_eq!((&paid["consumer"], &paid["count"]), (&json!("notifications"), &json!(3)));
    assert_eq!((&paid["orders"], &paid["errorCode"]), (&json!(2), &json!("internal")));
    assert_eq!(paid["moneyAtRisk"], json!([{"amount": 259.0, "currency": "USD"}]));
    assert_eq!(groups["items"].as_array().unwrap().len(), 3);
    assert_eq!((&groups["count"], &groups["orders"]), (&json!(5), &json!(2)));
    assert_eq!(groups["customers"], 1);
    // The larger amount of an order is what is at risk.
    assert_eq!(groups["moneyAtRisk"], json!([{"amount": 259.0, "currency": "USD"}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_searched_and_paged() {
    let house = house().await;
    let orders: Vec<OrderId> = (0..5).map(|_| house.bench.id()).collect();
    for order in &orders {
        house.dies(&house.confirmation(*order)).await;
    }
    let undecodable =
        Sick { value: b"\xffnonsense".to_vec(), code: "undecodable", ..house.paid(orders[0]) };
    house.dies(&undecodable).await;
    let count = async |query: &str| {
        let list = house.get(&format!("/admin/dead-letters?{query}")).await.expect(200).value();
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(count("errorCode=undecodable").await, 1);
    assert_eq!(count(&format!("orderId={}", orders[3])).await, 1);
    assert_eq!(count(&format!("q={}", orders[3])).await, 1);
    assert_eq!(count("q=did%20NOT&state=open,redriven").await, 6);
    assert_eq!(count("q=100%25").await, 0);
    assert_eq!(count("state=deleted").await, 0);
    assert_eq!(count("since=2026-11-20T10:00:01Z").await, 0);
    assert_eq!(count(&format!("topic={ORDERS}&consumer=notifications")).await, 6);
    let page = house.get("/admin/dead-letters?first=4").await.value();
    let after = page["pageInfo"]["endCursor"].as_str().unwrap();
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    assert_eq!(count(&format!("first=4&after={after}")).await, 2);
    for query in ["state=lost", "orderId=7", "since=yesterday", "first=0", "after=x"] {
        house.get(&format!("/admin/dead-letters?{query}")).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_shows_everything_but_secrets_and_is_audited() {
    let house = house().await;
    let order: OrderId = house.bench.id();
    let other = house.dies(&house.confirmation(order)).await;
    let letter = house.dies(&house.paid(order)).await;
    house
        .post(&format!("/admin/dead-letters/{letter}/notes"), json!({"text": "asked the team"}))
        .await
        .expect(204);
    let detail = house.get(&format!("/admin/dead-letters/{letter}")).await.expect(200).value();
    assert_eq!(detail["headers"]["authorization"], "***");
    assert_eq!(detail["orderId"], order.to_string());
    assert_eq!(detail["amount"], json!({"amount": 129.5, "currency": "USD"}));
    assert!(detail["value"].as_str().unwrap().contains("order.paid.v1"));
    assert_eq!(detail["dryRun"], json!({"passes": true, "reasons": []}));
    assert_eq!(detail["notes"][0]["text"], "asked the team");
    assert_eq!(detail["sameAggregate"][0]["id"], other);
    assert_eq!((&detail["traceId"], &detail["attempts"]), (&json!("trace-1"), &json!(4)));
    assert_eq!(house.audited(&letter).await, ["dead_letter.note", "dead_letter.view"]);
    // A stranger's bytes are shown as they are.
    let strange = Sick { value: b"\xff\x00\x01".to_vec(), ..house.paid(order) };
    let strange = house.dies(&strange).await;
    let detail = house.get(&format!("/admin/dead-letters/{strange}")).await.expect(200).value();
    assert_eq!((&detail["value"], &detail["valueBase64"]), (&json!(null), &json!("/wAB")));
    assert_eq!(detail["dryRun"]["reasons"], json!(["it is no event"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_admins_and_operators_come_in() {
    let house = house().await;
    let letter = house.dies(&house.confirmation(house.bench.id())).await;
    let paths = [
        "/admin/dead-letters".to_owned(),
        "/admin/dead-letters/groups".to_owned(),
        "/admin/dead-letters/redrives".to_owned(),
        "/admin/audit".to_owned(),
        format!("/admin/dead-letters/{letter}"),
    ];
    let merchant = house.bench.token_for_user(house.bench.id::<UserId>(), &[Role::Merchant]);
    for path in &paths {
        house.client.get(path).send().await.expect(401);
        house.client.get(path).bearer(&merchant).send().await.expect(403);
        house.client.get(path).bearer(&house.admin).send().await.expect(200);
        house.client.get(path).bearer(&house.operator).send().await.expect(200);
    }
    let body = json!({"reason": "because"});
    for action in ["redrive", "delete", "restore", "redirect", "copy", "notes"] {
        let path = format!("/admin/dead-letters/{letter}/{action}");
        house.client.post(&path).bearer(&merchant).json(&body).send().await.expect(403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_exported_is_found_in_the_audit_search() {
    let house = house().await;
    let letter = house.dies(&house.confirmation(house.bench.id())).await;
    house.get(&format!("/admin/dead-letters/{letter}")).await.expect(200);
    house.bench.deliver_own_outbox(&house.consumer).await.unwrap();
    let path = format!("/admin/audit?service=operations&target=dead_letter:{letter}");
    let found = house.get(&path).await.expect(200).value();
    assert_eq!(found["items"][0]["action"], "dead_letter.view");
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let none = house.get("/admin/audit?action=nothing").await.expect(200).value();
    assert_eq!(none["items"], json!([]));
}
