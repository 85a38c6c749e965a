//! The admin console's shell: everything that must not happen in a web view.
//!
//! Owns: the window with its menu, the tokens ([`vault`]), the conversation with
//! the shop's public API ([`shop_api`]), the session ([`session`]) and the live
//! feed of orders ([`feed`]).
//!
//! Invariants: a token never reaches the window, a log or an error text; only
//! the refresh token is ever stored; every wait has a limit, every retry a
//! bounded and jittered pause; the list of orders is bounded.
//!
//! Start with [`run`], then [`shell`].

pub mod config;

mod backoff;
mod commands;
mod feed;
mod menu;
mod session;
mod shell;
mod shop_api;
mod shop_url;
mod shops;
mod vault;

use std::{path::PathBuf, sync::Arc};

use tauri::{Manager, WebviewWindowBuilder};
use tauri_plugin_window_state::StateFlags;

use crate::{config::Home, shell::Shell, vault::Vault};

/// Opens the window and runs until it is closed.
///
/// # Errors
/// The settings folder cannot be used, or no window can be opened.
pub fn run() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .init();
    // Two crates of the tree bring a provider each; one must be named. It fails
    // only when one is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let context = context();
    let home = Home::open(&context.config().identifier)?;
    let window_file = home.file("window.json").to_string_lossy().into_owned();
    let web_data = home.file("webview");
    let single = tauri_plugin_single_instance::Builder::new()
        .dbus_id(home.instance_id(&context.config().identifier))
        .callback(|app, _, _| {
            if let Some(window) = app.get_webview_window("main") {
                let _ = window.unminimize();
                let _ = window.set_focus();
            }
        });
    tauri::Builder::default()
        // First of all plugins: a second start must end before it touches anything.
        .plugin(single.build())
        .plugin(
            tauri_plugin_window_state::Builder::new()
                .with_filename(window_file)
                .with_state_flags(StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED)
                .build(),
        )
        .invoke_handler(tauri::generate_handler![
            commands::session,
            commands::sign_in,
            commands::sign_out,
            commands::list_orders,
            commands::reconnect,
        ])
        .setup(move |app| {
            let vault = Vault::open(&home);
            let shell = Arc::new(Shell::new(app.handle().clone(), &home, vault));
            app.manage(shell.clone());
            menu::install(app.handle())?;
            open_window(app, web_data)?;
            tauri::async_runtime::spawn(async move { shell.restore().await });
            Ok(())
        })
        .run(context)?;
    Ok(())
}

/// Configuration, capabilities and the window's files, all inside the program.
#[allow(clippy::disallowed_methods, reason = "what Tauri generates may end the process")]
fn context() -> tauri::Context {
    tauri::generate_context!()
}

/// Opens the configured window. What its page remembers lies in our folder too.
fn open_window(app: &tauri::App, web_data: PathBuf) -> tauri::Result<()> {
    for window in &app.config().app.windows {
        WebviewWindowBuilder::from_config(app.handle(), window)?
            .data_directory(web_data.clone())
            .build()?;
    }
    Ok(())
}
