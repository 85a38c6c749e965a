//! Journeys in the real window.

use std::fs;

use anyhow::{Result, ensure};
use desktop_e2e::{
    Stage, StageConfig,
    journey::{self, Account},
};
use shared_types::orders::OrderStatus;

use crate::shop::{FakeShop, PASSWORD};

fn account(shop: &FakeShop, email: &str) -> Account {
    Account { shop_url: shop.url(), email: email.into(), password: PASSWORD.into() }
}

const DARK: &str = "document.documentElement.dataset.theme === 'dark'";

async fn stocked_shop() -> FakeShop {
    let shop = FakeShop::open().await;
    for n in 0..70 {
        let status = match n % 9 {
            0 => OrderStatus::Pending,
            1 | 2 => OrderStatus::Paid,
            3 | 4 => OrderStatus::Confirmed,
            5 => OrderStatus::Shipped,
            6 => OrderStatus::Fulfilled,
            7 => OrderStatus::Canceled,
            _ => OrderStatus::Failed,
        };
        shop.has(100_900 + n, status, 1_290 + i64::from(n) * 7_741);
    }
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_arrive_live_survive_a_broken_line_and_end_with_the_session() -> Result<()> {
    let shop = stocked_shop().await;
    let home = tempfile::tempdir()?;
    let stage = Stage::open(StageConfig::beside_test(home.path())?).await?;
    let window = &stage.window;
    window.until("the sign-in screen", "document.querySelector('#sign-in') !== null").await?;
    stage.screenshot("console-sign-in").await?;

    journey::sign_in(window, &account(&shop, "admin@demo.bellavista.test")).await?;
    journey::order(window, "BV-100969", "Fulfilled").await?;
    ensure!(journey::numbers(window).await?.len() == 50, "the first page fills the list");

    shop.happens(101_000, OrderStatus::Pending, 12_950);
    journey::order(window, "BV-101000", "Pending").await?;
    stage.screenshot("console-orders").await?;
    ensure!(journey::numbers(window).await?[0] == "BV-101000", "the newest stands first");
    let amount = window.text("[data-order='BV-101000'] .amount").await?;
    ensure!(amount.as_deref() == Some("129.50"), "every digit of the amount: {amount:?}");

    shop.goes_down();
    journey::connection(window, "offline").await?;
    journey::order(window, "BV-101000", "Pending").await?;
    stage.screenshot("console-offline").await?;
    shop.happens(101_000, OrderStatus::Paid, 12_950);
    shop.happens(101_001, OrderStatus::Pending, 4_900);
    shop.comes_up();
    window.press("r").await?;
    journey::connection(window, "live").await?;
    journey::order(window, "BV-101000", "Paid").await?;
    journey::order(window, "BV-101001", "Pending").await?;
    let subscriptions = shop.subscriptions();
    ensure!(subscriptions.first() == Some(&None), "first from now on: {subscriptions:?}");
    ensure!(subscriptions.last() == Some(&Some(1)), "then behind seq 1: {subscriptions:?}");

    no_token_is_in_the_page(&shop, &stage).await?;
    journey::sign_out(window).await?;
    ensure!(shop.sessions() == 0, "the shop has closed the session");
    ensure!(shop.reused() == 0, "no refresh token was used twice");
    let kept = fs::read_to_string(home.path().join("tokens.enc"))?;
    ensure!(kept.trim() == "{}", "nothing is kept after signing out: {kept}");
    stage.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_sealed_and_taken_up_by_the_next_start() -> Result<()> {
    let shop = stocked_shop().await;
    let home = tempfile::tempdir()?;
    let stage = Stage::open(StageConfig::beside_test(home.path())?).await?;
    journey::sign_in(&stage.window, &account(&shop, "support@demo.bellavista.test")).await?;
    let store = stage.window.text("#token-store").await?.unwrap_or_default();
    ensure!(store.contains("encrypted file"), "the console says where: {store}");
    stage.window.click("[aria-label='Switch light and dark']").await?;
    stage.window.until("the dark theme", DARK).await?;
    stage.close().await?;

    for file in ["tokens.enc", "tokens.key", "shops.json"] {
        let bytes = fs::read(home.path().join(file))?;
        let found = bytes.windows(14).any(|part| part == b"refresh-secret");
        ensure!(!found, "{file} holds a readable token");
    }

    let stage = Stage::open(StageConfig::beside_test(home.path())?).await?;
    journey::connection(&stage.window, "live").await?;
    journey::order(&stage.window, "BV-100969", "Fulfilled").await?;
    stage.window.until("the dark theme of before", DARK).await?;
    ensure!(shop.renewals() > 0 && shop.reused() == 0, "the kept token was renewed once");
    stage.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_at_the_door_says_what_is_wrong() -> Result<()> {
    let shop = stocked_shop().await;
    let home = tempfile::tempdir()?;
    let stage = Stage::open(StageConfig::beside_test(home.path())?).await?;
    let window = &stage.window;
    let admin = account(&shop, "admin@demo.bellavista.test");

    let wrong = Account { password: "wrong".into(), ..admin.clone() };
    journey::try_to_sign_in(window, &wrong).await?;
    journey::refusal(window, "Credentials").await?;

    journey::try_to_sign_in(window, &account(&shop, "shopper@demo.bellavista.test")).await?;
    let why = journey::refusal(window, "NotStaff").await?;
    ensure!(why.contains("Support"), "{why}");
    ensure!(shop.sessions() == 0, "a session of no use is closed at the shop");

    let closed = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let nobody = Account { shop_url: format!("http://{closed}"), ..admin.clone() };
    journey::try_to_sign_in(window, &nobody).await?;
    let why = journey::refusal(window, "Unreachable").await?;
    ensure!(why.contains("refused"), "{why}");
    stage.screenshot("console-refused").await?;

    let plain = Account { shop_url: "http://shop.example".into(), ..admin };
    journey::try_to_sign_in(window, &plain).await?;
    let why = journey::refusal(window, "ShopUrl").await?;
    ensure!(why.contains("https"), "{why}");
    stage.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_filtered_paged_and_walked_by_keyboard() -> Result<()> {
    let shop = stocked_shop().await;
    let home = tempfile::tempdir()?;
    let stage = Stage::open(StageConfig::beside_test(home.path())?).await?;
    let window = &stage.window;
    journey::sign_in(window, &account(&shop, "admin@demo.bellavista.test")).await?;
    journey::order(window, "BV-100969", "Fulfilled").await?;

    window.press("jj").await?;
    let second = "document.querySelectorAll('tbody tr')[1]?.ariaSelected === 'true' \
                  || document.querySelectorAll('tbody tr')[1]?.getAttribute('aria-selected') === 'true'";
    window.until("the second order to be selected", second).await?;

    window.click(".older").await?;
    let all = "document.querySelectorAll('[data-order]').length === 70";
    window.until("the older orders too", all).await?;

    window.press("7").await?;
    let failed = "[...document.querySelectorAll('.chip')].every(c => c.textContent === 'Failed')";
    window.until("failed orders only", failed).await?;
    window.press("0/").await?;
    let focused = "document.activeElement?.id === 'search'";
    window.until("the cursor in the search field", focused).await?;
    window.press("0904").await?;
    let one = "document.querySelectorAll('[data-order]').length === 1";
    window.until("the one order", one).await?;
    window.press("zz").await?;
    let empty = "document.querySelector('.empty') !== null";
    window.until("the words for nothing found", empty).await?;
    stage.screenshot("console-nothing-found").await?;

    window.evaluate("document.activeElement.blur()").await?;
    window.press("?").await?;
    window.until("the sheet", "document.querySelector('[role=dialog]') !== null").await?;
    stage.screenshot("console-shortcuts").await?;
    window.press("\u{E00C}").await?;
    window.click("[aria-label='Switch light and dark']").await?;
    window.until("the dark theme", DARK).await?;
    window.press("?").await?;
    window.until("the sheet", "document.querySelector('[role=dialog]') !== null").await?;
    stage.screenshot("console-shortcuts-dark").await?;
    window.press("\u{E00C}").await?;
    window.until("no sheet", "document.querySelector('[role=dialog]') === null").await?;
    window.press("\u{E00C}").await?;
    window.until("all orders again", all).await?;
    stage.screenshot("console-orders-dark").await?;
    stage.close().await
}

async fn no_token_is_in_the_page(shop: &FakeShop, stage: &Stage) -> Result<()> {
    let seen = "document.documentElement.outerHTML + JSON.stringify(localStorage) \
                + JSON.stringify(sessionStorage) + document.cookie";
    let page = stage.window.evaluate(seen).await?.to_string();
    let tokens = shop.good_tokens();
    ensure!(!tokens.is_empty(), "there are tokens to look for");
    ensure!(tokens.iter().all(|token| !page.contains(token)), "a token is in the page");
    Ok(())
}
