use http::{Method, StatusCode};
use serde_json::json;

use crate::browser::{Browser, Shown};
use crate::canned::{ORDER, problem};

fn filled_in(page: &Shown, token: &str) -> Vec<(String, String)> {
    let typed = [
        ("email", "ada@example.org"),
        ("name", "Ada Lovelace"),
        ("line1", "12 St James's Square"),
        ("line2", ""),
        ("city", "London"),
        ("postalCode", "SW1Y 4LB"),
        ("country", "GB"),
        ("token", token),
    ];
    let hidden = ["key", "cart", "total"].map(|name| (name.to_owned(), page.hidden(name)));
    hidden.into_iter().chain(typed.map(|(n, v)| (n.to_owned(), v.to_owned()))).collect()
}

async fn send(browser: &mut Browser, path: &str, fields: &[(String, String)]) -> Shown {
    let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    browser.post(path, &fields).await
}

async fn with_a_vase() -> Browser {
    let mut browser = Browser::new();
    let fields = [("product", "lago-stoneware-vase"), ("sku", "BV-LAGO-M"), ("qty", "2")];
    let shown = browser.post("/cart/items", &fields).await;
    assert_eq!(shown.location(), "/cart");
    browser
}

#[tokio::test]
async fn a_guest_buys_from_the_product_page_to_the_confirmation() {
    let mut browser = with_a_vase().await;
    assert_eq!(browser.cookie("bv_guest"), Some("guest.jwt"));
    let cart = browser.get("/cart").await;
    cart.says("Lago Stoneware Vase, Medium, 26 cm is in your cart.")
        .says("$112.00")
        .says("/checkout");
    browser.get("/cart").await.never_says("is in your cart.");

    let page = browser.get("/checkout").await;
    page.says("Order and pay $112.00");
    assert!(page.body.matches("class=\"field ").count() <= 8);
    let shown = send(&mut browser, "/checkout", &filled_in(&page, "tok_ok")).await;
    assert_eq!(shown.location(), format!("/orders/{ORDER}"));

    let placed = &browser.api.seen(Method::POST, "/orders")[0];
    assert_eq!(placed.header("cookie"), "bv_guest=guest.jwt");
    assert_eq!(placed.header("idempotency-key"), page.hidden("key"));
    assert_eq!(placed.body["expectedTotal"], json!(112.0));
    assert_eq!(placed.body["shippingAddress"]["postalCode"], "SW1Y 4LB");
    let paid = &browser.api.seen(Method::POST, &format!("/orders/{ORDER}/pay"))[0];
    assert_eq!(paid.header("authorization"), "Order order.token");
    assert_eq!(paid.body["paymentMethod"], json!({"type": "card", "token": "tok_ok"}));
    assert_ne!(paid.header("idempotency-key"), placed.header("idempotency-key"));

    let order = browser.get(&format!("/orders/{ORDER}")).await;
    order.says("Thank you – your order is confirmed").says("BV-100042").says("Create an account");
    order
        .says("data-status=\"CONFIRMED\"")
        .never_says("Pay for this order")
        .never_says("http-equiv");
    let read = browser.api.seen(Method::GET, &format!("/orders/{ORDER}"));
    assert!(read.iter().all(|r| r.header("authorization") == "Order order.token"));
}

#[tokio::test]
async fn the_same_form_sent_twice_carries_the_same_keys() {
    let mut browser = with_a_vase().await;
    let form = filled_in(&browser.get("/checkout").await, "tok_ok");
    let first = send(&mut browser, "/checkout", &form).await.location().to_owned();
    let second = send(&mut browser, "/checkout", &form).await.location().to_owned();
    assert_eq!(first, second);
    for path in ["/orders", &format!("/orders/{ORDER}/pay")] {
        let calls = browser.api.seen(Method::POST, path);
        let calls: Vec<_> = calls.iter().filter(|c| c.path == path).collect();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].header("idempotency-key"), calls[1].header("idempotency-key"));
        assert_eq!(calls[0].body, calls[1].body);
    }
}

#[tokio::test]
async fn a_declined_card_leaves_an_order_that_can_be_paid_again() {
    let mut browser = with_a_vase().await;
    let form = filled_in(&browser.get("/checkout").await, "tok_declined");
    let path = send(&mut browser, "/checkout", &form).await.location().to_owned();
    let order = browser.get(&path).await;
    order.says("The bank declined this card. Nothing was charged.").says("Pay for this order");
    order.says("Your things are held until ").says("Cancel this order");
    // Told once by the message, from then on by the order itself.
    browser.get(&path).await.says("you can try again");

    let key = order.hidden("key");
    let pay = format!("{path}/pay");
    let again = browser.post(&pay, &[("key", &key), ("token", "tok_declined")]).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    again.says("The bank declined this card.").says("value=\"tok_declined\" checked");
    assert_ne!(again.hidden("key"), key, "another attempt is another form");

    let paid = browser.post(&pay, &[("key", &again.hidden("key")), ("token", "tok_ok")]).await;
    assert_eq!(paid.location(), path);
    browser.get(&path).await.says("your order is confirmed");
}

#[tokio::test]
async fn a_payment_still_being_decided_reloads_its_page() {
    let mut browser = with_a_vase().await;
    let form = filled_in(&browser.get("/checkout").await, "tok_slow");
    let path = send(&mut browser, "/checkout", &form).await.location().to_owned();
    let order = browser.get(&path).await;
    order.says("http-equiv=\"refresh\" content=\"2\"").says("data-stage=\"capturing\"");
    order.never_says("Cancel this order").never_says("Pay for this order");
}

#[tokio::test]
async fn with_a_script_only_browsers_without_scripts_reload() {
    let folder = std::env::temp_dir().join(format!("bv-islands-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["island_checkout.start.js", "island_checkout.js", "notes.txt"] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    let half = web_ui::Islands::load(&folder).unwrap();
    assert_eq!(half.start("island_checkout"), None, "the WebAssembly is missing");
    std::fs::write(folder.join("island_checkout_bg.wasm"), "wasm").unwrap();
    let islands = web_ui::Islands::load(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let start = islands.start("island_checkout").unwrap();
    let config = web_ui::StorefrontConfig { demo: true, islands, ..Default::default() };
    let mut browser = Browser::with(config);
    browser.api.set_order("PENDING", "capturing", None);
    let order = browser.get(&format!("/orders/{ORDER}")).await;
    order
        .says("<noscript><meta http-equiv=\"refresh\" content=\"2\"")
        .says(&format!("src=\"{start}\""));
    let wasm = browser.get(&start.replace(".start.js", "_bg.wasm")).await;
    assert_eq!(
        (wasm.body.as_str(), &wasm.headers["content-type"]),
        ("wasm", &"application/wasm".parse().unwrap())
    );
    assert!(wasm.headers["cache-control"].to_str().unwrap().contains("immutable"));
    for wrong in [
        "/assets/islands/0/island_checkout.js",
        &start.replace("island_checkout.start.js", "notes.txt"),
    ] {
        assert_eq!(browser.get(wrong).await.status, StatusCode::NOT_FOUND, "{wrong}");
    }
}

#[tokio::test]
async fn the_island_is_told_the_status_and_the_token_of_an_order_that_this_browser_may_see() {
    let mut browser = with_a_vase().await;
    let stranger = browser.get(&format!("/orders/{ORDER}/live-token")).await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND, "nothing is ordered yet");
    let form = filled_in(&browser.get("/checkout").await, "tok_slow");
    let path = send(&mut browser, "/checkout", &form).await.location().to_owned();
    let status = browser.get(&format!("{path}/status.json")).await;
    let status: serde_json::Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(status["stage"], "capturing");
    let token = browser.get(&format!("{path}/live-token")).await;
    assert_eq!(token.headers["cache-control"], "no-store");
    assert_eq!(token.body, r#"{"token":"order.token"}"#);
    assert_eq!(browser.get(&format!("{path}/pay")).await.location(), path, "a form loaded again");
    let wrong = browser.get("/orders/not-an-id/live-token").await;
    assert_eq!(wrong.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn short_stock_is_told_by_name_and_nothing_typed_is_lost() {
    let mut browser = with_a_vase().await;
    let page = browser.get("/checkout").await;
    let (status, mut refusal) = problem(409, "orders.stock_short", "");
    refusal["short"] = json!([{"sku": "BV-LAGO-M", "requested": 2, "available": 1}]);
    browser.api.answer_next("POST /orders", status, refusal);
    let shown = send(&mut browser, "/checkout", &filled_in(&page, "tok_ok")).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    shown.says("only 1 of BV-LAGO-M left").says("value=\"Ada Lovelace\"");
    assert!(browser.api.seen(Method::POST, &format!("/orders/{ORDER}/pay")).is_empty());
}

#[tokio::test]
async fn a_changed_total_is_shown_before_anything_is_ordered() {
    let mut browser = with_a_vase().await;
    let page = browser.get("/checkout").await;
    let (status, mut refusal) = problem(409, "orders.price_changed", "");
    refusal["amounts"] = json!({"subtotal": 112.0, "discount": 0, "tax": 22.4, "shipping": 0});
    refusal["totalAmount"] = json!(134.4);
    browser.api.answer_next("POST /orders", status, refusal);
    let shown = send(&mut browser, "/checkout", &filled_in(&page, "tok_ok")).await;
    shown.says("The total has changed").says("Order and pay $134.40").says("$22.40");
    assert_eq!(shown.hidden("total"), "134.4");
    assert_ne!(shown.hidden("key"), page.hidden("key"));
    let done = send(&mut browser, "/checkout", &filled_in(&shown, "tok_ok")).await;
    assert_eq!(done.location(), format!("/orders/{ORDER}"));
}

#[tokio::test]
async fn an_unknown_outcome_keeps_the_key_so_that_it_stays_one_order() {
    let mut browser = with_a_vase().await;
    let page = browser.get("/checkout").await;
    let (status, refusal) = problem(503, "unavailable", "");
    browser.api.answer_next("POST /orders", status, refusal);
    let shown = send(&mut browser, "/checkout", &filled_in(&page, "tok_ok")).await;
    assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE);
    shown.says("will not order twice").says("value=\"SW1Y 4LB\"");
    assert_eq!(shown.hidden("key"), page.hidden("key"));
}

#[tokio::test]
async fn an_order_waiting_for_stock_is_not_paid_yet() {
    let mut browser = with_a_vase().await;
    let page = browser.get("/checkout").await;
    browser.api.set_order("PENDING", "reserving", None);
    let waiting = json!({
        "orderId": ORDER, "orderNumber": "BV-100042", "status": "PENDING", "stage": "reserving", "items": [],
        "amounts": {"subtotal": 112.0, "discount": 0, "tax": 0, "shipping": 0}, "totalAmount": 112.0,
        "refundedAmount": 0, "currency": "USD", "holdExpiresAt": null, "createdAt": "2026-11-20T10:15:00.000Z",
        "orderToken": "order.token",
    });
    browser.api.answer_next("POST /orders", 202, waiting);
    let path =
        send(&mut browser, "/checkout", &filled_in(&page, "tok_ok")).await.location().to_owned();
    assert!(browser.api.seen(Method::POST, &format!("/orders/{ORDER}/pay")).is_empty());
    browser.get(&path).await.says("We are setting your things aside").never_says("held until");
}

#[tokio::test]
async fn a_pending_order_can_be_canceled() {
    let mut browser = Browser::new();
    browser.api.set_order("PENDING", "awaiting_payment", None);
    let shown = browser.post(&format!("/orders/{ORDER}/cancel"), &[]).await;
    assert_eq!(shown.location(), format!("/orders/{ORDER}"));
    browser
        .get(&format!("/orders/{ORDER}"))
        .await
        .says("This order was canceled")
        .says("Nothing will be charged");
}

#[tokio::test]
async fn a_refused_cancel_says_why() {
    let mut browser = Browser::new();
    browser.api.set_order("PENDING", "awaiting_payment", None);
    let (status, refusal) = problem(409, "orders.payment_in_progress", "");
    browser.api.answer_next(&format!("POST /orders/{ORDER}/cancel"), status, refusal);
    let shown = browser.post(&format!("/orders/{ORDER}/cancel"), &[]).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    shown.says("A payment is being decided just now");
}

#[tokio::test]
async fn items_change_and_go() {
    let mut browser = with_a_vase().await;
    let item = "/cart/items/0193a1f0-0000-7000-8000-000000000000";
    assert_eq!(browser.post(item, &[("qty", "3")]).await.location(), "/cart");
    browser.get("/cart").await.says("$168.00").says("Cart updated.");
    assert_eq!(browser.post(item, &[("intent", "remove")]).await.location(), "/cart");
    browser.get("/cart").await.says("Your cart is empty");
}

#[tokio::test]
async fn an_empty_cart_has_no_checkout() {
    let mut browser = Browser::new();
    assert_eq!(browser.get("/checkout").await.location(), "/cart");
}

#[tokio::test]
async fn without_demo_mode_no_test_cards_are_offered() {
    let mut browser = Browser::with(web_ui::StorefrontConfig::default());
    browser.api.put_in_cart("BV-FARO-3", 1);
    let page = browser.get("/checkout").await;
    page.never_says("tok_ok").says("Order for $38.90");
    let form = filled_in(&page, "tok_ok");
    let path = send(&mut browser, "/checkout", &form).await.location().to_owned();
    assert!(browser.api.seen(Method::POST, &format!("/orders/{ORDER}/pay")).is_empty());
    browser.get(&path).await.says("No payment provider is connected");
}
