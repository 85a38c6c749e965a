use http::{Method, StatusCode};
use serde_json::json;

use crate::browser::Browser;

#[tokio::test]
async fn a_form_without_this_browser_s_token_is_refused() {
    let mut browser = Browser::new();
    browser.get("/").await;
    for fields in [vec![], vec![("csrf", "0123456789abcdef0123456789abcdef")]] {
        let mut fields = fields;
        fields.extend([("sku", "BV-FARO-3"), ("product", "x")]);
        let shown = browser.post_raw("/cart/items", &fields).await;
        assert_eq!(shown.status, StatusCode::FORBIDDEN);
        shown.says("no longer fresh");
    }
    assert!(browser.api.seen(Method::POST, "/").is_empty());
}

#[tokio::test]
async fn without_cookies_no_form_is_taken() {
    let token = "0123456789abcdef0123456789abcdef";
    let shown = Browser::new().post_raw("/sign-in", &[("csrf", token)]).await;
    assert_eq!(shown.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn forms_that_are_too_large_or_no_forms_are_refused() {
    let mut browser = Browser::new();
    let large = "x".repeat(70_000);
    let shown = browser.post("/sign-in", &[("email", &large)]).await;
    assert_eq!(shown.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_incomplete_checkout_comes_back_with_what_was_typed() {
    let mut browser = Browser::new();
    browser.api.put_in_cart("BV-FARO-3", 1);
    let page = browser.get("/checkout").await;
    let (key, cart, total) = (page.hidden("key"), page.hidden("cart"), page.hidden("total"));
    let fields = [
        ("key", key.as_str()),
        ("cart", &cart),
        ("total", &total),
        ("email", "ada@example"),
        ("name", "Ada \"A\" <Lovelace>"),
        ("line1", ""),
        ("city", "London"),
        ("postalCode", ""),
        ("country", "GB"),
        ("token", "tok_declined"),
    ];
    let shown = browser.post("/checkout", &fields).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    shown.says("This e-mail address is not complete").says("Give street and house number.");
    shown
        .says("href=\"#f-postalCode\"")
        .says("aria-describedby=\"f-line1-error\"")
        .says("aria-invalid=\"true\"");
    shown.says("value=\"ada@example\"").says("value=\"London\"").never_says("<Lovelace>");
    shown.says("value=\"GB\" selected").says("value=\"tok_declined\" checked");
    assert_eq!(shown.hidden("key"), key, "nothing was sent, so it is the same form");
    assert!(browser.api.seen(Method::POST, "/orders").is_empty());
}

#[tokio::test]
async fn what_was_typed_survives_a_look_at_the_cart() {
    let mut browser = Browser::new();
    browser.api.put_in_cart("BV-FARO-3", 1);
    browser.post("/checkout", &[("email", "ada@example.org"), ("city", "Turin")]).await;
    browser.get("/cart").await;
    browser.get("/checkout").await.says("value=\"ada@example.org\"").says("value=\"Turin\"");
    Browser::new().get("/checkout").await.never_says("ada@example.org");
}

#[tokio::test]
async fn the_total_can_be_asked_for_another_country() {
    let mut browser = Browser::new();
    browser.api.put_in_cart("BV-FARO-3", 1);
    let shown = browser
        .post("/checkout", &[("country", "DE"), ("intent", "update"), ("city", "Ulm")])
        .await;
    assert_eq!(shown.location(), "/checkout");
    browser.get("/checkout").await.says("Total for delivery to: Germany.").says("value=\"Ulm\"");
}

#[tokio::test]
async fn refusals_of_the_api_stand_beside_their_fields() {
    let mut browser = Browser::new();
    let problem = json!({
        "type": "about:blank", "title": "Invalid", "status": 422, "code": "invalid",
        "errors": [{"field": "password", "code": "short", "message": "must have at least 10 characters"}],
    });
    browser.api.answer_next("POST /users/register", 422, problem);
    let fields = [
        ("firstName", "Ada"),
        ("lastName", "L"),
        ("email", "ada@example.org"),
        ("password", "secret1"),
    ];
    let shown = browser.post("/register", &fields).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    shown
        .says("Password must have at least 10 characters.")
        .says("value=\"Ada\"")
        .never_says("secret1");
}

#[tokio::test]
async fn an_unknown_sku_brings_the_product_page_back() {
    let mut browser = Browser::new();
    let fields = [("product", "lago-stoneware-vase"), ("sku", "BV-GONE"), ("qty", "2")];
    let shown = browser.post("/cart/items", &fields).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    shown
        .says("This choice is not for sale.")
        .says("Lago Stoneware Vase")
        .says("value=\"2\" selected");
}

#[tokio::test]
async fn a_quantity_that_is_no_number_stays_in_its_field() {
    let mut browser = Browser::new();
    browser.api.put_in_cart("BV-FARO-3", 1);
    let item = "0193a1f0-0000-7000-8000-000000000000";
    let shown = browser.post(&format!("/cart/items/{item}"), &[("qty", "many")]).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    shown.says("value=\"many\"").says("Give the quantity as a whole number.");
}
