//! Orders' part of the graph.

use platform::testing::{Graph, Statements};
use serde_json::{Value, json};
use shared_types::Role;

use crate::support::{Act, Shop, one_shirt, placement, shop};

impl Shop {
    fn graph(&self) -> Graph {
        Graph::of(&self.service).bearer(&self.token)
    }
}

#[tokio::test]
async fn the_schema_shows_no_table() {
    let shop = shop().await;
    let subgraph = shop.service.graph.clone().unwrap();
    for table in ["order_items", "order_status_history", "email_sealed", "total_minor", "sku_key"] {
        assert!(!subgraph.sdl.contains(table), "{table} leaks");
    }
}

const ORDER: &str = "{ id orderId orderNumber status stage email shippingAddress { line1 country }
    items { sku qty product { id } variant { sku } lineTotal { amount } }
    totalAmount { amount currency } amounts { subtotal { amount } shipping { amount } }
    timeline { status cause } }";

#[tokio::test]
async fn an_order_is_seen_by_its_owner_and_staff_and_is_null_for_others() {
    let shop = shop().await;
    let placed = shop.place("key", &one_shirt()).await.expect(201).value();
    let id = placed["orderId"].as_str().unwrap();
    let query = format!("query($id: ID!) {{ order(id: $id) {ORDER} }}");
    let variables = json!({"id": id});
    let graph = shop.graph();
    let rest = shop.client.get(&format!("/orders/{id}")).bearer(&shop.token).send().await.value();
    for graph in [
        graph.clone(),
        graph.bearer(&shop.staff),
        graph.order_token(placed["orderToken"].as_str().unwrap()),
    ] {
        let seen = graph.ask(&query, variables.clone()).await.data()["order"].clone();
        assert_eq!(seen["id"], format!("Order:{id}"));
        assert_eq!(seen["orderNumber"], rest["orderNumber"]);
        assert_eq!(seen["email"], "ada@example.org");
        assert_eq!(seen["shippingAddress"]["line1"], "1 Loop Road");
        assert_eq!(seen["totalAmount"], json!({"amount": "29.90", "currency": "USD"}));
        assert_eq!(seen["timeline"][0], json!({"status": "PENDING", "cause": "placed"}));
        let product = rest["items"][0]["productId"].as_str().unwrap();
        let item = &seen["items"][0];
        assert_eq!(item["product"]["id"], format!("Product:{product}"));
        assert_eq!(item["variant"]["sku"], "SHIRT-M");
    }
    let stranger = shop.bench.token_for_user(shop.bench.id(), &[Role::Customer]);
    let data = graph.bearer(&stranger).ask(&query, variables.clone()).await.data();
    assert_eq!(data["order"], Value::Null);
    let entity = json!([{"__typename": "Order", "id": format!("Order:{id}")}]);
    let found = graph.bearer(&stranger).entities(entity.clone(), "... on Order { email }").await;
    assert_eq!(found, [Value::Null]);
    let found = graph.entities(entity, "... on Order { email }").await;
    assert_eq!(found[0]["email"], "ada@example.org");
    let nobody = Graph::of(&shop.service).ask(&query, variables).await;
    assert_eq!(nobody.codes(), ["auth.invalid_token"]);
}

#[tokio::test]
async fn statements_do_not_grow_with_the_number_of_orders() {
    let shop = shop().await;
    for n in 0..6 {
        shop.placed(&format!("k{n}"), &one_shirt()).await;
        shop.bench.advance(std::time::Duration::from_secs(1));
    }
    let query = format!(
        "query($n: Int, $after: String) {{ orders(first: $n, after: $after) {{
        nodes {ORDER} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let counted = Statements::counted();
    let mut seen = Vec::new();
    for count in [1, 6] {
        let data = shop.graph().ask(&query, json!({"n": count})).await.data();
        assert_eq!(data["orders"]["nodes"].as_array().unwrap().len(), count);
        seen.push(counted.take());
    }
    assert_eq!(seen, [4, 4], "list, orders, items, histories");
    let first = shop.graph().ask(&query, json!({"n": 4})).await.data()["orders"].clone();
    let after = first["pageInfo"]["endCursor"].clone();
    let rest = shop.graph().ask(&query, json!({"n": 4, "after": after})).await.data();
    assert_eq!(rest["orders"]["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(rest["orders"]["pageInfo"]["hasNextPage"], false);
    let wrong = shop.graph().ask(&query, json!({"n": 4, "after": "x"})).await;
    assert_eq!(
        (wrong.codes(), &wrong.0["data"]["orders"]),
        (vec!["request.paging".to_owned()], &Value::Null)
    );
}

const PLACE: &str = "mutation($input: PlaceOrderInput!, $key: String!) {
    placeOrder(input: $input, idempotencyKey: $key) { __typename
        ... on OrderPlaced { orderToken order { orderId status stage totalAmount { amount } items { sku } } }
        ... on StockShort { short { sku requested available } }
        ... on PriceChanged { totalAmount { amount } amounts { shipping { amount } } }
        ... on InvalidInput { fields { field } }
        ... on Refusal { code } } }";

async fn place(shop: &Shop, key: &str, input: &Value) -> Value {
    let variables = json!({"input": input, "key": key});
    shop.graph().ask(PLACE, variables).await.data()["placeOrder"].clone()
}

#[tokio::test]
async fn placing_is_done_once_and_its_refusals_are_typed() {
    let shop = shop().await;
    let placed = place(&shop, "one", &one_shirt()).await;
    assert_eq!(placed["__typename"], "OrderPlaced");
    assert_eq!(placed["order"]["status"], "PENDING");
    assert_eq!(placed["order"]["items"], json!([{"sku": "SHIRT-M"}]));
    assert!(placed["orderToken"].is_string());
    assert_eq!(place(&shop, "one", &one_shirt()).await, placed);
    assert_eq!(shop.count("orders").await, 1);

    shop.world.will("reserve", Act::Say("short"));
    let short = place(&shop, "two", &one_shirt()).await;
    assert_eq!(short["short"], json!([{"sku": "SHIRT-M", "requested": 1, "available": 0}]));
    assert_eq!(
        (&short["__typename"], &short["code"]),
        (&json!("StockShort"), &json!("orders.stock_short"))
    );

    let mut dear = one_shirt();
    dear["expectedTotal"] = json!("1.00");
    let changed = place(&shop, "three", &dear).await;
    assert_eq!(changed["totalAmount"]["amount"], "29.90");
    assert_eq!(changed["amounts"]["shipping"]["amount"], "4.90");

    let mut wrong = placement(json!([{"sku": "SHIRT-M", "qty": 0}]));
    wrong["email"] = json!("nobody");
    let refused = place(&shop, "four", &wrong).await;
    assert_eq!(refused["__typename"], "InvalidInput");
    let fields: Vec<_> =
        refused["fields"].as_array().unwrap().iter().map(|f| f["field"].clone()).collect();
    assert!(
        fields.contains(&json!("email")) && fields.contains(&json!("lines[0].qty")),
        "{fields:?}"
    );

    let refused = place(&shop, " ", &one_shirt()).await;
    assert_eq!(refused["code"], "idempotency.key_invalid");
    assert_eq!(shop.count("orders").await, 1);
}

#[tokio::test]
async fn paying_canceling_and_refunding_answer_as_over_rest() {
    let mut shop = shop().await;
    shop.run();
    let id = shop.placed("key", &one_shirt()).await.to_string();
    let pay = "mutation($id: ID!, $token: String!, $key: String!) {
        payOrder(id: $id, paymentMethod: {type: \"card\", token: $token}, idempotencyKey: $key) {
            __typename ... on OrderPaid { orderId status paymentId } ... on Refusal { code } } }";
    let ask = async |token: &str, key: &str| {
        let variables = json!({"id": format!("Order:{id}"), "token": token, "key": key});
        shop.graph().ask(pay, variables).await.data()["payOrder"].clone()
    };
    shop.world.will("capture", Act::Say("declined"));
    let declined = ask("tok_declined", "p1").await;
    assert_eq!(declined, json!({"__typename": "Declined", "code": "payments.declined"}));
    let paid = ask("tok_ok", "p2").await;
    assert_eq!((&paid["__typename"], &paid["orderId"]), (&json!("OrderPaid"), &json!(id)));
    assert_eq!(ask("tok_ok", "p3").await["code"], "orders.already_paid");

    let refund = "mutation($input: RefundOrderInput!) {
        refundOrder(input: $input, idempotencyKey: \"r1\") { __typename
            ... on OrderRefunded { orderId amount { amount } } ... on Refusal { code } } }";
    let input = json!({"input": {"orderId": id, "amount": "5.00", "reason": "a scratch"}});
    let answer = shop.graph().ask(refund, input.clone()).await;
    assert_eq!(answer.codes(), ["auth.role_missing"]);
    let staff = shop.graph().bearer(&shop.staff);
    let done = staff.ask(refund, input).await.data()["refundOrder"].clone();
    assert_eq!(done["amount"], json!({"amount": "5.00"}), "{done}");

    let cancel = "mutation($id: ID!, $reason: String!) { cancelOrder(id: $id, reason: $reason) {
        __typename ... on OrderCanceled { order { status } pending }
        ... on InvalidInput { fields { field } } ... on Refusal { code } } }";
    let other = shop.placed("other", &one_shirt()).await.to_string();
    let refused = shop.graph().ask(cancel, json!({"id": other, "reason": ""})).await.data();
    assert_eq!(refused["cancelOrder"]["fields"], json!([{"field": "reason"}]));
    let done = shop.graph().ask(cancel, json!({"id": other, "reason": "a mistake"})).await.data();
    assert_eq!(done["cancelOrder"]["order"]["status"], "CANCELED");
    let again = shop.graph().ask(cancel, json!({"id": other, "reason": "twice"})).await.data();
    assert_eq!(again["cancelOrder"]["code"], "orders.illegal_transition");
    let unknown = shop.graph().ask(cancel, json!({"id": "Product:1", "reason": "x"})).await.data();
    assert_eq!(
        unknown["cancelOrder"],
        json!({"__typename": "NotFound", "code": "orders.not_found"})
    );
}
