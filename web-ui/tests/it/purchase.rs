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
    let script = Some("/assets/order.js".to_owned());
    let config =
        web_ui::StorefrontConfig { demo: true, order_script: script, ..Default::default() };
    let mut browser = Browser::with(config);
    browser.api.set_order("PENDING", "capturing", None);
    let order = browser.get(&format!("/orders/{ORDER}")).await;
    order
        .says("<noscript><meta http-equiv=\"refresh\" content=\"2\"")
        .says("src=\"/assets/order.js\"");
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
