//! Payments' part of the graph.

use platform::testing::{Graph, Statements};
use serde_json::{Value, json};
use shared_types::{GuestId, Role, UserId};

use crate::shop::{STRIPE, Shop, refund_id};

impl Shop {
    fn graph(&self, roles: &[Role]) -> Graph {
        let token = self.bench.token_for_user(self.bench.id::<UserId>(), roles);
        Graph::of(&self.service).bearer(&token)
    }
}

#[tokio::test]
async fn the_schema_shows_no_table() {
    let shop = Shop::open().await;
    let subgraph = shop.service.graph.clone().unwrap();
    for table in ["payment_attempts", "provider_calls", "amount_minor", "token_sealed"] {
        assert!(!subgraph.sdl.contains(table), "{table} leaks");
    }
}

const PAYMENT: &str = "paymentId status amount { amount currency } refundedAmount { amount }
    order { id } attempts { state calls { direction } }";

#[tokio::test]
async fn a_payment_is_for_staff_and_the_holder_of_its_orders_token() {
    let shop = Shop::open().await;
    let order = shop.order();
    let (_, paid) = shop.pay_once(order, "tok_ok").await;
    shop.refund(order, refund_id(), 1_050).await;
    let query = format!("query($id: ID!) {{ payment(id: $id) {{ {PAYMENT} }} }}");
    let variables = json!({"id": paid.payment_id});
    let support = shop.graph(&[Role::Support]);
    let seen = support.ask(&query, variables.clone()).await.data()["payment"].clone();
    assert_eq!(seen["amount"], json!({"amount": "100.00", "currency": "USD"}));
    assert_eq!(seen["refundedAmount"]["amount"], "10.50");
    assert_eq!(seen["order"]["id"], format!("Order:{order}"));
    assert!(!seen["attempts"][0]["calls"].as_array().unwrap().is_empty());

    let holder =
        Graph::of(&shop.service).order_token(&shop.bench.grant_token("order", &order.to_string()));
    let seen = holder.ask(&query, variables.clone()).await.data()["payment"].clone();
    assert_eq!(seen["attempts"][0]["calls"], json!([]), "what was said is for staff");
    let asked = json!([{"__typename": "Order", "id": format!("Order:{order}")}]);
    let fields = format!("... on Order {{ payment {{ {PAYMENT} }} }}");
    let found = holder.entities(asked.clone(), &fields).await;
    assert_eq!(found[0]["payment"], seen);

    for (graph, code) in [
        (shop.graph(&[Role::Customer]), "auth.role_missing"),
        (Graph::of(&shop.service), "auth.invalid_token"),
        (
            Graph::of(&shop.service).bearer(&shop.bench.guest_token(shop.bench.id::<GuestId>())),
            "auth.sign_in",
        ),
    ] {
        let answer = graph.ask(&query, variables.clone()).await;
        assert_eq!(
            (answer.codes(), &answer.0["data"]["payment"]),
            (vec![code.to_owned()], &Value::Null)
        );
        let hidden =
            format!("query($r: [_Any!]!) {{ _entities(representations: $r) {{ {fields} }} }}");
        let answer = graph.ask(&hidden, json!({"r": asked})).await;
        assert_eq!(answer.codes(), [code]);
        assert_eq!(answer.0["data"]["_entities"][0]["payment"], Value::Null);
        let own = json!([{"__typename": "Payment", "id": paid.payment_id}]);
        assert_eq!(graph.entities(own, "... on Payment { paymentId }").await, [Value::Null]);
    }
    for unknown in ["Payment:00000000-0000-7000-8000-000000000000", "x"] {
        let data = support.ask(&query, json!({"id": unknown})).await.data();
        assert_eq!(data["payment"], Value::Null);
    }
}

#[tokio::test]
async fn payments_of_many_orders_take_no_more_statements_than_of_one() {
    let shop = Shop::open().await;
    let mut asked = Vec::new();
    for _ in 0..4 {
        let order = shop.order();
        shop.pay_once(order, "tok_ok").await;
        asked.push(json!({"__typename": "Order", "id": format!("Order:{order}")}));
    }
    // Reconciliation would ask the database too.
    shop.bench.ctx.lifecycle.stop(std::time::Duration::from_secs(5)).await.unwrap();
    let graph = shop.graph(&[Role::Support]);
    let fields = format!("... on Order {{ payment {{ {PAYMENT} }} }}");
    let counted = Statements::counted();
    for count in [1, 4] {
        counted.take();
        let found = graph.entities(json!(asked[..count]), &fields).await;
        assert!(found.iter().all(|order| order["payment"]["status"] == "CAPTURED"));
        // Payments, attempts, calls.
        assert_eq!(counted.take(), 3, "{count} orders");
    }
}

#[tokio::test]
async fn an_intent_is_made_confirmed_and_refunded_once_and_refused_as_over_rest() {
    let shop = Shop::open_more(STRIPE).await;
    let (buyer, support) = (shop.graph(&[Role::Customer]), shop.graph(&[Role::Support]));
    let create = "mutation($input: PaymentIntentInput!, $key: String!) {
        createPaymentIntent(input: $input, idempotencyKey: $key) { __typename
            ... on PaymentChanged { pending payment { paymentId status captureMethod order { id } } }
            ... on InvalidInput { fields { field } } ... on Refusal { code } } }";
    let input = json!({"amount": "100.00", "currency": "EUR"});
    let ask = async |input: &Value, key: &str| {
        let data = buyer.ask(create, json!({"input": input, "key": key})).await.data();
        data["createPaymentIntent"].clone()
    };
    let made = ask(&input, "intent-1").await;
    assert_eq!(
        (&made["payment"]["status"], &made["payment"]["order"]),
        (&json!("CREATED"), &Value::Null)
    );
    assert_eq!(ask(&input, "intent-1").await, made);
    let wrong = ask(&json!({"amount": "-1", "currency": "EURO"}), "intent-2").await;
    assert_eq!(wrong["__typename"], "InvalidInput");
    let id = made["payment"]["paymentId"].clone();

    let confirm = "mutation($id: ID!, $token: String!, $key: String!) {
        confirmPayment(id: $id, idempotencyKey: $key,
            input: {paymentMethod: {type: \"card\", token: $token}}) { __typename
            ... on PaymentChanged { payment { status } } ... on Refusal { code } } }";
    let vars = |token: &str, key: &str| json!({"id": id, "token": token, "key": key});
    let done = buyer.ask(confirm, vars("tok_ok", "confirm-1")).await.data();
    assert_eq!(done["confirmPayment"]["payment"]["status"], "CAPTURED", "{done}");
    let again = buyer.ask(confirm, vars("tok_ok", "confirm-2")).await.data();
    assert_eq!(
        again["confirmPayment"],
        json!({"__typename": "Conflict", "code": "payments.wrong_state"})
    );

    let refund = "mutation($id: ID!) { refundPayment(id: $id, amount: \"40.00\",
        reason: \"asked for\", idempotencyKey: \"refund-1\") { __typename
            ... on PaymentRefunded { amount { amount } } ... on Refusal { code } } }";
    let answer = buyer.ask(refund, json!({"id": id})).await;
    assert_eq!(answer.codes(), ["auth.role_missing"]);
    let done = support.ask(refund, json!({"id": id})).await.data();
    assert_eq!(done["refundPayment"]["amount"]["amount"], "40.00", "{done}");
    let void = "mutation($id: ID!) { voidPayment(id: $id, reason: \"late\",
        idempotencyKey: \"void-1\") { __typename ... on Refusal { code } } }";
    let refused = support.ask(void, json!({"id": id})).await.data();
    assert_eq!(refused["voidPayment"]["code"], "payments.wrong_state");
}
