//! Signing in, registering, and pages that need neither.

use e2e::api::DEMO_PASSWORD;
use e2e::browser::{Browser, Scripts};
use e2e::shop::Shop;

use super::{CONFIRMED, fill_the_cart, order};
use crate::fresh_key;

async fn sign_in(browser: &Browser, email: &str, password: &str) -> anyhow::Result<()> {
    browser.fill("main #f-email", email).await?;
    browser.fill("main #f-password", password).await?;
    browser.click("main form[action='/sign-in'] button[type=submit]").await
}

async fn accounts(scripts: Scripts) -> anyhow::Result<()> {
    let browser = Browser::open(Shop::shared().await?, scripts).await?;
    browser.goto("/account").await?;
    assert!(browser.path().await?.starts_with("/sign-in"), "an account is not for everybody");
    browser.look("sign-in").await?;
    let shopper = "shopper@demo.bellavista.test";
    sign_in(&browser, shopper, "not the password").await?;
    browser.see("[role=alert], .error-summary").await?;
    assert_eq!(browser.value("main #f-email").await?, shopper, "nothing typed is lost");
    sign_in(&browser, shopper, DEMO_PASSWORD).await?;
    browser.see("main form[action='/sign-out']").await?;
    browser.look("account").await?;
    browser.click("main form[action='/sign-out'] button").await?;
    // The next page may be asked for only when this one has arrived.
    browser.see("header a[href^='/sign-in']").await?;
    browser.goto("/register").await?;
    browser.look("register").await?;
    for (field, text) in [
        ("firstName", "Grace"),
        ("lastName", "Hopper"),
        ("email", &format!("grace-{}@example.org", fresh_key())),
        ("password", "a ship in port is safe"),
    ] {
        browser.fill(&format!("main #f-{field}"), text).await?;
    }
    browser.click("main form[action='/register'] button[type=submit]").await?;
    browser.says("Hello, Grace").await?;
    fill_the_cart(&browser).await?;
    let placed = order(&browser, "tok_ok").await?;
    browser.see(CONFIRMED).await?;
    browser.goto("/account").await?;
    browser.see(&format!("main a[href='{placed}']")).await?;
    browser.look("account-with-order").await?;
    browser.close().await
}

#[tokio::test]
async fn shoppers_sign_in_and_newcomers_register_with_scripts() -> anyhow::Result<()> {
    accounts(Scripts::On).await
}

#[tokio::test]
async fn shoppers_sign_in_and_newcomers_register_without_scripts() -> anyhow::Result<()> {
    accounts(Scripts::Off).await
}

#[tokio::test]
async fn the_remaining_pages_stand_up_to_a_look() -> anyhow::Result<()> {
    let browser = Browser::open(Shop::shared().await?, Scripts::On).await?;
    for (path, name) in [
        ("/search?q=lamp", "search"),
        ("/search?q=nothing-like-this", "search-empty"),
        ("/legal/privacy", "legal"),
        ("/no/such/page", "not-found"),
        ("/orders/0193a1f0-0000-7000-8000-000000000abc", "order-not-found"),
    ] {
        browser.goto(path).await?;
        browser.look(name).await?;
    }
    browser.close().await
}
