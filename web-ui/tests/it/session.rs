use http::{Method, StatusCode};

use crate::browser::Browser;
use crate::canned::problem;

const RIGHT: [(&str, &str); 2] = [("email", "ada@example.org"), ("password", "right password")];

#[tokio::test]
async fn signing_in_keeps_tokens_from_scripts_and_brings_the_cart_along() {
    let mut browser = Browser::new();
    browser.post("/cart/items", &[("product", "x"), ("sku", "BV-FARO-3")]).await;
    let fields = [RIGHT[0], RIGHT[1], ("next", "/checkout")];
    let shown = browser.post("/sign-in", &fields).await;
    assert_eq!(shown.location(), "/checkout");
    assert!(browser.cookie("bv_access").is_some() && browser.cookie("bv_refresh").is_some());
    let merged = &browser.api.seen(Method::POST, "/cart/merge")[0];
    assert_eq!(merged.body["guestToken"], "guest.jwt");
    assert!(merged.header("authorization").starts_with("Bearer "));
    assert_eq!(browser.cookie("bv_guest"), None, "the next guest starts afresh");
}

#[tokio::test]
async fn a_wrong_password_says_so_without_saying_which() {
    let mut browser = Browser::new();
    let fields = [("email", "ada@example.org"), ("password", "wrong")];
    let shown = browser.post("/sign-in", &fields).await;
    assert_eq!(shown.status, StatusCode::UNPROCESSABLE_ENTITY);
    shown.says("do not belong together").says("value=\"ada@example.org\"").never_says("\"wrong\"");
    assert_eq!(browser.cookie("bv_access"), None);
}

#[tokio::test]
async fn nobody_is_sent_to_another_site_after_signing_in() {
    let mut browser = Browser::new();
    let fields = [RIGHT[0], RIGHT[1], ("next", "//evil.example/")];
    assert_eq!(browser.post("/sign-in", &fields).await.location(), "/account");
}

#[tokio::test]
async fn an_account_lists_orders_and_greets() {
    let mut browser = Browser::new();
    assert_eq!(browser.get("/account").await.location(), "/sign-in?next=/account");
    browser.post("/sign-in", &RIGHT).await;
    browser
        .get("/account")
        .await
        .says("Hello, Ada")
        .says("BV-100042")
        .says("Delivered")
        .says("$124.00");
}

#[tokio::test]
async fn an_expired_access_token_is_refreshed_once_and_unnoticed() {
    let mut browser = Browser::new();
    browser.post("/sign-in", &RIGHT).await;
    let (status, refusal) = problem(401, "auth.expired", "");
    browser.api.answer_next("GET /orders", status, refusal);
    browser.get("/account").await.says("BV-100042");
    assert_eq!(browser.api.seen(Method::POST, "/users/refresh").len(), 1);
    assert!(browser.cookie("bv_access").unwrap().ends_with("a2"));
    assert_eq!(browser.cookie("bv_refresh"), Some("refresh-a2"));
}

#[tokio::test]
async fn late_tabs_with_the_old_cookie_share_the_refresh() {
    let mut browser = Browser::new();
    for _ in 0..2 {
        browser.set_cookie("bv_refresh", "refresh-a1");
        browser.set_cookie("bv_access", "");
        assert_eq!(browser.get("/account").await.status, StatusCode::OK);
    }
    assert_eq!(browser.api.seen(Method::POST, "/users/refresh").len(), 1);
}

#[tokio::test]
async fn a_session_that_is_over_leads_to_sign_in_and_leaves_pages_open() {
    let mut browser = Browser::new();
    browser.set_cookie("bv_refresh", "stolen");
    assert_eq!(browser.get("/account").await.location(), "/sign-in?next=/account");
    assert_eq!(browser.cookie("bv_refresh"), None);
    browser.set_cookie("bv_refresh", "stolen-too");
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn signing_out_ends_the_session_everywhere() {
    let mut browser = Browser::new();
    browser.post("/sign-in", &RIGHT).await;
    assert_eq!(browser.post("/sign-out", &[]).await.location(), "/");
    assert_eq!(
        browser.api.seen(Method::POST, "/users/logout")[0].body["refreshToken"],
        "refresh-a1"
    );
    assert_eq!(browser.cookie("bv_access"), None);
    browser.get("/").await.says("You are signed out.").says("Sign in");
}

#[tokio::test]
async fn registering_signs_in() {
    let mut browser = Browser::new();
    let fields = [("firstName", "Ada"), ("lastName", "Lovelace"), RIGHT[0], RIGHT[1]];
    assert_eq!(browser.post("/register", &fields).await.location(), "/account");
    browser.get("/account").await.says("Welcome. Your account is ready.");
}

#[tokio::test]
async fn too_many_tries_name_the_time_to_wait() {
    let mut browser = Browser::new();
    let (status, refusal) = problem(429, "limited", "");
    browser.api.answer_next("POST /users/login", status, refusal);
    browser.post("/sign-in", &RIGHT).await.says("Please try again in 30 seconds.");
}
