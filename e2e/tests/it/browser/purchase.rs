//! From the front page to an order that is confirmed.

use e2e::api::Api;
use e2e::browser::{Browser, Scripts};
use e2e::shop::Shop;

use super::{CONFIRMED, choose, fill_the_cart, order};
use crate::{card, fresh_key};

#[tokio::test]
async fn a_guest_with_scripts_buys_and_sees_every_page_on_the_way() -> anyhow::Result<()> {
    let browser = Browser::open(Shop::shared().await?, Scripts::On).await?;
    browser.goto("/cart").await?;
    browser.look("cart-empty").await?;
    fill_the_cart(&browser).await?;
    browser.click("a[href='/checkout']").await?;
    browser.see("form.checkout-form").await?;
    browser.look("checkout").await?;
    browser.fill("#f-name", "Ada Lovelace").await?;
    browser.click("form.checkout-form > button.button-large").await?;
    browser.see("[aria-invalid=true]").await?;
    assert_eq!(browser.value("#f-name").await?, "Ada Lovelace", "nothing typed is lost");
    browser.look("checkout-refused").await?;
    browser.goto("/cart").await?;
    order(&browser, "tok_ok").await?;
    browser.see(CONFIRMED).await?;
    browser.says("Create an account").await?;
    browser.look("order-confirmed").await?;
    browser.goto("/cart").await?;
    browser.says("empty").await?;
    browser.close().await
}

#[tokio::test]
async fn an_order_changes_before_the_eyes_of_whoever_watches() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let browser = Browser::open(port, Scripts::On).await?;
    fill_the_cart(&browser).await?;
    let path = order(&browser, "tok_declined").await?;
    let built =
        browser.evaluate("document.querySelector('script[type=module][src]') !== null").await?;
    anyhow::ensure!(built == true, "the island is not built; run `cargo xtask web storefront`");
    browser.see(".live-link[data-link=live]").await?;
    browser.look("order-declined").await?;
    browser.evaluate("window.sameDocument = true").await?;
    let token = browser.settle(&format!("fetch('{path}/live-token').then(a => a.json())")).await?;
    let token = token["token"].as_str().unwrap_or_default();
    let id = path.trim_start_matches("/orders/");
    let owner = Api::new(port).order_token(token);
    owner
        .post_once(&format!("/api/v1/orders/{id}/pay"), &fresh_key(), &card("tok_ok"))
        .await?
        .expect(200);
    browser.see(CONFIRMED).await?;
    browser
        .until("the new contents", "document.querySelector('form[action$=\"/pay\"]') === null")
        .await?;
    browser
        .until("the decline to be forgotten", "document.querySelector('[role=alert]') === null")
        .await?;
    assert_eq!(browser.evaluate("window.sameDocument").await?, true, "the page was loaded anew");
    browser.look("order-live").await?;
    browser.close().await
}

#[tokio::test]
async fn without_scripts_a_guest_buys_all_the_same() -> anyhow::Result<()> {
    let browser = Browser::open(Shop::shared().await?, Scripts::Off).await?;
    fill_the_cart(&browser).await?;
    // The bank takes longer than the page waits for it.
    order(&browser, "tok_slow").await?;
    browser.see("noscript, meta[http-equiv=refresh]").await?;
    browser.see(CONFIRMED).await?;
    browser.look("order-confirmed").await?;
    browser.close().await
}

async fn a_declined_card_can_be_followed_by_another(scripts: Scripts) -> anyhow::Result<()> {
    let browser = Browser::open(Shop::shared().await?, scripts).await?;
    fill_the_cart(&browser).await?;
    let path = order(&browser, "tok_insufficient_funds").await?;
    browser.see("[role=alert]").await?;
    choose(&browser, "tok_declined").await?;
    browser.follow("form[action$='/pay'] button[type=submit]").await?;
    browser.see("[role=alert]").await?;
    choose(&browser, "tok_ok").await?;
    browser.follow("form[action$='/pay'] button[type=submit]").await?;
    browser.see(CONFIRMED).await?;
    browser.goto(&path).await?;
    browser.see(CONFIRMED).await?;
    browser.close().await
}

#[tokio::test]
async fn a_declined_card_can_be_followed_by_another_with_scripts() -> anyhow::Result<()> {
    a_declined_card_can_be_followed_by_another(Scripts::On).await
}

#[tokio::test]
async fn a_declined_card_can_be_followed_by_another_without_scripts() -> anyhow::Result<()> {
    a_declined_card_can_be_followed_by_another(Scripts::Off).await
}
