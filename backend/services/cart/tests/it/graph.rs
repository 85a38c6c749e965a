//! The cart's part of the graph.

use platform::testing::Graph;
use serde_json::{Value, json};

use crate::shop::{Shop, shop, usd};

impl Shop {
    fn graph(&self, token: &str) -> Graph {
        Graph::of(&self.service.lock().unwrap()).bearer(token)
    }
}

#[tokio::test]
async fn the_schema_shows_no_table() {
    let shop = shop().await;
    let subgraph = shop.service.lock().unwrap().graph.clone().unwrap();
    for table in ["cart_items", "cart_actions", "sku_key", "price_minor"] {
        assert!(!subgraph.sdl.contains(table), "{table} leaks");
    }
}

const CART: &str = "{ id cartId amounts { subtotal { amount currency } total { amount } }
    items { itemId sku qty price { amount } lineTotal { amount } product { id } variant { sku }
        media { url } notices { code } } }";

const RESULT: &str = "{ __typename ... on CartChanged { cart { items { itemId sku qty } } }
    ... on InvalidInput { fields { field } } ... on Refusal { code } }";

#[tokio::test]
async fn the_callers_cart_is_what_rest_tells_and_nobody_elses() {
    let shop = shop().await;
    let product = shop.sell(&[("Mug", usd(1_250))]).await;
    let ((_, token), (_, other)) = (shop.guest(), shop.user());
    shop.add(&token, "mug", 3).await.expect(201);
    let query = format!("{{ cart {CART} }}");
    let cart = shop.graph(&token).ask(&query, json!({})).await.data()["cart"].clone();
    let rest = shop.http.get("/cart").bearer(&token).send().await.value();
    assert_eq!(cart["cartId"], rest["id"]);
    assert_eq!(cart["amounts"]["subtotal"], json!({"amount": "37.50", "currency": "USD"}));
    let item = &cart["items"][0];
    assert_eq!(item["product"]["id"], format!("Product:{product}"));
    assert_eq!(
        (&item["variant"]["sku"], &item["lineTotal"]["amount"]),
        (&json!("Mug"), &json!("37.50"))
    );

    let asked = json!([{"__typename": "Cart", "id": cart["id"]}]);
    let own = shop.graph(&token).entities(asked.clone(), "... on Cart { cartId }").await;
    assert_eq!(own[0]["cartId"], cart["cartId"]);
    let others = shop.graph(&other).entities(asked, "... on Cart { cartId }").await;
    assert_eq!(others, [Value::Null]);
    let empty = shop.graph(&other).ask(&query, json!({})).await.data()["cart"].clone();
    assert_eq!((&empty["items"], &empty["amounts"]), (&json!([]), &Value::Null));
    let service = shop.bench.service_token("orders");
    let refused = shop.graph(&service).ask(&query, json!({})).await;
    assert_eq!(refused.codes(), ["cart.shoppers_only"]);
    let wrong = shop.graph(&token).ask("{ cart(country: \"GER\") { id } }", json!({})).await;
    assert_eq!(
        (wrong.codes(), &wrong.0["data"]["cart"]),
        (vec!["request.invalid".into()], &Value::Null)
    );
}

#[tokio::test]
async fn items_are_put_in_changed_and_taken_out_with_the_refusals_of_rest() {
    let shop = shop().await;
    shop.sell(&[("Mug", usd(1_250)), ("Pot", usd(2_000))]).await;
    let (_, token) = shop.guest();
    let graph = shop.graph(&token);
    let ask = async |field: &str, call: &str| {
        let document = format!("mutation {{ {field}{call} {RESULT} }}");
        graph.ask(&document, json!({})).await.data()[field].clone()
    };
    let add = "(input: {sku: \"mug\", qty: 2}, idempotencyKey: \"add-one-key\")";
    let first = ask("addCartItem", add).await;
    assert_eq!(first["cart"]["items"][0]["qty"], 2);
    assert_eq!(ask("addCartItem", add).await, first, "the key adds once");
    ask("addCartItem", "(input: {sku: \"POT\"})").await;
    let item = first["cart"]["items"][0]["itemId"].as_str().unwrap();
    let changed = ask("changeCartItem", &format!("(itemId: \"{item}\", qty: 5)")).await;
    assert_eq!(changed["cart"]["items"][0]["qty"], 5);
    let removed = ask("removeCartItem", &format!("(itemId: \"{item}\")")).await;
    assert_eq!(removed["cart"]["items"].as_array().unwrap().len(), 1);
    for (field, call, code) in [
        ("addCartItem", "(input: {sku: \"NONE\"})".to_owned(), "cart.unknown_sku"),
        ("addCartItem", "(input: {sku: \"pot\", qty: 0})".to_owned(), "request.invalid"),
        ("changeCartItem", format!("(itemId: \"{item}\", qty: 1)"), "cart.unknown_item"),
        ("removeCartItem", "(itemId: \"x\")".to_owned(), "cart.unknown_item"),
    ] {
        assert_eq!(ask(field, &call).await["code"], code, "{field}{call}");
    }
    assert_eq!(ask("clearCart", "").await["cart"]["items"], json!([]));
}

#[tokio::test]
async fn a_guest_cart_moves_to_who_signs_in() {
    let shop = shop().await;
    shop.sell(&[("Mug", usd(1_250))]).await;
    let ((_, guest), (_, user)) = (shop.guest(), shop.user());
    shop.add(&guest, "mug", 2).await.expect(201);
    let merge = format!("mutation($t: String!) {{ mergeCart(guestToken: $t) {RESULT} }}");
    let done = shop.graph(&user).ask(&merge, json!({"t": guest})).await.data();
    assert_eq!(done["mergeCart"]["cart"]["items"][0]["qty"], 2);
    let wrong = shop.graph(&user).ask(&merge, json!({"t": "nope"})).await.data();
    assert_eq!(wrong["mergeCart"]["fields"], json!([{"field": "guestToken"}]));
    let answer = shop.graph(&guest).ask(&merge, json!({"t": guest})).await;
    assert_eq!(answer.codes(), ["auth.sign_in"]);
}
