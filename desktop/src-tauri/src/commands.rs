//! What the window may ask of the shell: translation only.

use std::sync::Arc;

use desktop_bridge::{OrderPage, Refusal, Session, SignIn};
use tauri::State;

use crate::shell::Shell;

#[tauri::command]
pub async fn session(shell: State<'_, Arc<Shell>>) -> Result<Session, Refusal> {
    Ok(shell.session().await)
}

#[tauri::command]
pub async fn sign_in(
    shell: State<'_, Arc<Shell>>,
    shop_url: String,
    email: String,
    password: String,
) -> Result<Session, Refusal> {
    shell.sign_in(SignIn { shop_url, email, password }).await
}

#[tauri::command]
pub async fn sign_out(shell: State<'_, Arc<Shell>>) -> Result<Session, Refusal> {
    Ok(shell.sign_out().await)
}

#[tauri::command]
pub async fn list_orders(
    shell: State<'_, Arc<Shell>>,
    after: Option<String>,
) -> Result<OrderPage, Refusal> {
    shell.list_orders(after.as_deref()).await
}

/// "Try now" instead of waiting for the next attempt.
#[tauri::command]
pub async fn reconnect(shell: State<'_, Arc<Shell>>) -> Result<(), Refusal> {
    shell.hurry.notify_waiters();
    Ok(())
}
