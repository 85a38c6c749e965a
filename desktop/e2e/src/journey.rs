//! Steps of a person at the console, each done when the window shows it.

use anyhow::Result;

use crate::Window;

/// An account at a shop.
#[derive(Clone, Debug)]
pub struct Account {
    pub shop_url: String,
    pub email: String,
    pub password: String,
}

/// Fills the form and sends it; what comes of it is for the caller to await.
///
/// # Errors
/// There is no form.
pub async fn try_to_sign_in(window: &Window, account: &Account) -> Result<()> {
    window.fill("#shop-url", &account.shop_url).await?;
    window.fill("#email", &account.email).await?;
    window.fill("#password", &account.password).await?;
    window.click("#sign-in").await
}

/// Signs in and waits for a list that is live.
///
/// # Errors
/// The sign-in is refused, or the feed does not come to stand.
pub async fn sign_in(window: &Window, account: &Account) -> Result<()> {
    try_to_sign_in(window, account).await?;
    connection(window, "live").await
}

/// Waits for a refusal of that kind and gives its text.
///
/// # Errors
/// It does not appear.
pub async fn refusal(window: &Window, kind: &str) -> Result<String> {
    let seen = format!("document.querySelector('#trouble')?.dataset.kind === '{kind}'");
    window.until(&format!("the refusal {kind}"), &seen).await?;
    Ok(window.text("#trouble").await?.unwrap_or_default())
}

/// Waits until the feed's indicator says `state`.
///
/// # Errors
/// It does not.
pub async fn connection(window: &Window, state: &str) -> Result<()> {
    let seen = format!("document.querySelector('#connection')?.dataset.state === '{state}'");
    window.until(&format!("the connection to be {state}"), &seen).await
}

/// Waits until an order stands in the list with a status, as people read it.
///
/// # Errors
/// It does not.
pub async fn order(window: &Window, number: &str, status: &str) -> Result<()> {
    let seen = format!(
        "document.querySelector('[data-order=\"{number}\"] .chip')?.textContent === '{status}'"
    );
    window.until(&format!("order {number} to be {status}"), &seen).await
}

/// The numbers of the orders shown, from the top.
///
/// # Errors
/// The page cannot be asked.
pub async fn numbers(window: &Window) -> Result<Vec<String>> {
    let rows = "[...document.querySelectorAll('[data-order]')].map(row => row.dataset.order)";
    Ok(serde_json::from_value(window.evaluate(rows).await?)?)
}

/// Signs out and waits for the door.
///
/// # Errors
/// The window stays.
pub async fn sign_out(window: &Window) -> Result<()> {
    window.click("#sign-out").await?;
    window.until("the sign-in screen", "document.querySelector('#sign-in') !== null").await
}
