//! Following an order over the graph.

use std::time::Duration;

use platform::testing::{Graph, Live};
use serde_json::{Value, json};
use shared_types::orders::OrderStatus;
use shared_types::{OrderId, Role};

use crate::support::{Shop, build, one_shirt, shop, with_method};

const STATUS: &str = "subscription($id: ID!) { orderStatus(orderId: $id) {
    orderId status cause order { id orderNumber status } } }";

async fn follow(graph: &Graph, id: &str) -> Live {
    graph.subscribe(STATUS, json!({ "id": id })).await
}

/// The cause of the next update.
async fn cause(live: &mut Live) -> String {
    let data = live.data().await;
    data["orderStatus"]["cause"].as_str().unwrap_or_default().to_owned()
}

/// A placed order that will be paid when the crank turns.
async fn payable(shop: &Shop) -> OrderId {
    shop.placed("key", &with_method(one_shirt(), "tok_ok")).await
}

#[tokio::test]
async fn everything_that_happens_to_an_order_is_told_in_order_from_its_state_now_on() {
    let shop = shop().await;
    let order = payable(&shop).await;
    let graph = Graph::of(&shop.service).bearer(&shop.token);
    let mut live = follow(&graph, &format!("Order:{order}")).await;
    let first = live.data().await["orderStatus"].clone();
    assert_eq!((&first["status"], &first["cause"]), (&json!("PENDING"), &json!("placed")));
    assert_eq!(first["order"]["id"], format!("Order:{order}"));
    assert_eq!(first["orderId"], order.to_string());

    shop.crank.run(order).await.unwrap();
    let refund = json!({ "orderId": order, "amount": 1, "reason": "scratched" });
    shop.refund("refund", &refund).await;
    shop.crank.run(order).await.unwrap();
    let happened = shop.causes(order).await;
    assert!(happened.len() > 2, "{happened:?}");
    let mut told = vec!["placed".to_owned()];
    while told.len() < happened.len() {
        told.push(cause(&mut live).await);
    }
    assert_eq!(told, happened);

    // Who comes later begins with what happened last.
    let mut late = follow(&graph, &order.to_string()).await;
    assert_eq!(&cause(&mut late).await, happened.last().unwrap());
}

#[tokio::test]
async fn owner_holder_of_the_token_and_staff_follow_an_order_and_nobody_else_does() {
    let shop = shop().await;
    let guest = shop.guest();
    let placed = shop.client.post("/orders").bearer(&guest).key("g").json(&one_shirt());
    let placed = placed.send().await.expect(201).value();
    let id = placed["orderId"].as_str().unwrap();
    let graph = Graph::of(&shop.service);
    for graph in [
        graph.bearer(&guest),
        graph.bearer(&shop.staff),
        graph.order_token(placed["orderToken"].as_str().unwrap()),
    ] {
        assert_eq!(cause(&mut follow(&graph, id).await).await, "placed");
    }
    let stranger = shop.bench.token_for_user(shop.bench.id(), &[Role::Customer]);
    let other = shop.placed("other", &one_shirt()).await;
    let other_token = shop.bench.grant_token("order", &other.to_string());
    for (graph, asked, code) in [
        (graph.bearer(&stranger), id, "orders.not_found"),
        (graph.bearer(&shop.guest()), id, "orders.not_found"),
        (graph.order_token(&other_token), id, "orders.not_found"),
        (graph.bearer(&shop.staff), "Product:1", "orders.not_found"),
        (graph.bearer(&shop.staff), "nonsense", "orders.not_found"),
        (graph.clone(), id, "auth.invalid_token"),
        (graph.bearer("nonsense"), id, "auth.invalid_token"),
    ] {
        let mut live = follow(&graph, asked).await;
        let refused = live.next().await.expect("an answer");
        assert_eq!((refused.codes(), &refused.0["data"]), (vec![code.to_owned()], &Value::Null));
        assert!(live.next().await.is_none(), "and that is all");
    }
}

#[tokio::test]
async fn what_another_instance_does_is_told_too() {
    let shop = shop().await;
    let order = payable(&shop).await;
    let (mut second, _) = build(&shop.bench, &shop.world);
    let mut live = follow(&Graph::of(&second).bearer(&shop.token), &order.to_string()).await;
    assert_eq!(cause(&mut live).await, "placed");
    let heard = second.tasks.drain(..).find(|(name, _)| *name == "word of changes").unwrap().1;
    shop.bench.ctx.lifecycle.spawn("word of changes", heard);
    shop.crank.run(order).await.unwrap();
    loop {
        let update = live.data().await["orderStatus"].clone();
        if update["status"] == OrderStatus::Confirmed.as_str() {
            return;
        }
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_token_and_with_the_process() {
    let shop = shop().await;
    let order = shop.placed("key", &one_shirt()).await.to_string();
    let (now, second) = (shop.bench.clock().now(), Duration::from_secs(1));
    let short = shop.bench.ctx.issuer.token(shop.user.to_string(), now, second, |c| {
        c.roles = vec![Role::Customer];
    });
    let graph = Graph::of(&shop.service);
    let mut ending = follow(&graph.bearer(&short.unwrap()), &order).await;
    let mut lasting = follow(&graph.bearer(&shop.token), &order).await;
    assert_eq!(cause(&mut ending).await, "placed");
    assert_eq!(ending.next().await.unwrap().codes(), ["auth.invalid_token"]);
    assert!(ending.next().await.is_none());
    assert_eq!(cause(&mut lasting).await, "placed");
    shop.bench.ctx.lifecycle.drain();
    assert_eq!(lasting.next().await.unwrap().codes(), ["graph.part_away"]);
    assert!(lasting.next().await.is_none());
}

#[tokio::test]
async fn a_subscription_that_is_none_is_refused_in_the_stream() {
    let shop = shop().await;
    let graph = Graph::of(&shop.service).bearer(&shop.token);
    for wrong in [
        "subscription { orderStatus { status } }",
        "subscription { nothing }",
        "subscription { orderStatus(orderId: \"x\") { nothing } }",
    ] {
        let mut live = graph.subscribe(wrong, json!({})).await;
        assert!(live.next().await.unwrap().0["errors"][0]["message"].is_string());
        assert!(live.next().await.is_none());
    }
}
