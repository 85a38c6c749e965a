//! The native menu: Shop, Edit, View, Help.

use std::sync::Arc;

use desktop_bridge::{MenuChoice, events};
use tauri::{
    AppHandle, Manager,
    menu::{AboutMetadata, MenuBuilder, MenuItemBuilder, SubmenuBuilder},
};

use crate::shell::Shell;

/// Puts the menu on the window and carries its entries out.
///
/// # Errors
/// The window system refuses the menu.
pub fn install(app: &AppHandle) -> tauri::Result<()> {
    let item = |id: &str, text: &str, key: Option<&str>| {
        let item = MenuItemBuilder::with_id(id, text);
        match key {
            Some(key) => item.accelerator(key).build(app),
            None => item.build(app),
        }
    };
    let shop = SubmenuBuilder::new(app, "&Shop")
        .item(&item("sign-out", "Sign &out", Some("CmdOrCtrl+Shift+O"))?)
        .separator()
        .item(&item("quit", "&Quit", Some("CmdOrCtrl+Q"))?)
        .build()?;
    let edit = SubmenuBuilder::new(app, "&Edit").cut().copy().paste().select_all().build()?;
    let view = SubmenuBuilder::new(app, "&View")
        .item(&item("orders", "&Orders", None)?)
        .item(&item("filter", "&Find orders", Some("CmdOrCtrl+F"))?)
        .separator()
        .item(&item("theme", "Switch light and &dark", Some("CmdOrCtrl+Shift+L"))?)
        .item(&item("reload", "&Reload", Some("CmdOrCtrl+R"))?)
        .build()?;
    let about = AboutMetadata {
        name: Some("Bellavista Console".into()),
        version: Some(env!("CARGO_PKG_VERSION").into()),
        comments: Some("The admin console of a Bellavista shop".into()),
        license: Some("Apache-2.0".into()),
        ..AboutMetadata::default()
    };
    let help = SubmenuBuilder::new(app, "&Help")
        .item(&item("shortcuts", "&Keyboard shortcuts", Some("F1"))?)
        .about_with_text("&About Bellavista Console", Some(about))
        .build()?;
    app.set_menu(MenuBuilder::new(app).items(&[&shop, &edit, &view, &help]).build()?)?;
    app.on_menu_event(|app, event| chosen(app, event.id().as_ref()));
    Ok(())
}

fn chosen(app: &AppHandle, id: &str) {
    let Some(shell) = app.try_state::<Arc<Shell>>().map(|shell| shell.inner().clone()) else {
        return;
    };
    let in_window = |choice: MenuChoice| shell.emit(events::MENU, &choice);
    match id {
        "sign-out" => {
            let shell = shell.clone();
            tauri::async_runtime::spawn(async move {
                let session = shell.sign_out().await;
                shell.emit(events::SESSION, &session);
            });
        }
        "quit" => app.exit(0),
        "orders" => in_window(MenuChoice::Orders),
        "filter" => in_window(MenuChoice::Filter),
        "theme" => in_window(MenuChoice::Theme),
        "shortcuts" => in_window(MenuChoice::Shortcuts),
        "reload" => {
            if let Some(Err(why)) = app.get_webview_window("main").map(|w| w.reload()) {
                tracing::warn!(%why, "the window does not reload");
            }
        }
        _ => {}
    }
}
