//! Journeys through the storefront in a real Chromium, with scripts and without.

mod accounts;
mod purchase;

use e2e::browser::Browser;

/// Puts the first product of the first category into the cart, looking at every
/// page on the way; ends in the cart.
async fn fill_the_cart(browser: &Browser) -> anyhow::Result<()> {
    browser.goto("/").await?;
    browser.look("home").await?;
    browser.click(".site-nav a[href^='/c/']").await?;
    browser.see("main .card").await?;
    browser.look("category").await?;
    browser.click("main .card a[href^='/p/']").await?;
    browser.see("form.buy").await?;
    browser.look("product").await?;
    browser.click("form.buy button[type=submit]").await?;
    browser.see("a[href='/checkout']").await?;
    assert_eq!(browser.path().await?, "/cart");
    browser.look("cart").await
}

/// Fills in the checkout as a guest of Great Britain who pays by `card`.
async fn fill_in(browser: &Browser, card: &str) -> anyhow::Result<()> {
    for (field, text) in [
        ("email", "ada@example.org"),
        ("name", "Ada Lovelace"),
        ("line1", "12 St James's Square"),
        ("postalCode", "SW1Y 4LB"),
        ("city", "London"),
    ] {
        browser.fill(&format!("#f-{field}"), text).await?;
    }
    browser.click("#f-country option[value=GB]").await?;
    browser.click("button[name=intent][value=update]").await?;
    browser.see("#f-country option[value=GB][selected]").await?;
    assert_eq!(browser.value("#f-name").await?, "Ada Lovelace", "nothing typed is lost");
    choose(browser, card).await
}

/// Chooses a demonstration card.
async fn choose(browser: &Browser, card: &str) -> anyhow::Result<()> {
    browser.click(&format!("input[name=token][value={card}] + label")).await
}

/// From the cart to the order's page; the order's address.
async fn order(browser: &Browser, card: &str) -> anyhow::Result<String> {
    browser.click("a[href='/checkout']").await?;
    fill_in(browser, card).await?;
    browser.click("form.checkout-form > button.button-large").await?;
    browser.see("#order-live").await?;
    browser.path().await
}

/// What the order's page says of its state, without asking again.
const CONFIRMED: &str = "#order-live[data-status=CONFIRMED]";
