//! Light and dark: the system's choice until the person makes one.

use leptos::prelude::{document, window};

const KEY: &str = "theme";

/// Takes up the choice of an earlier run.
pub fn restore() {
    let kept = window().local_storage().ok().flatten().and_then(|s| s.get_item(KEY).ok().flatten());
    if let Some(theme) = kept.filter(|theme| theme == "light" || theme == "dark") {
        set(&theme);
    }
}

/// From light to dark or back, and remembers it.
pub fn switch() {
    let chosen = document().document_element().and_then(|root| root.get_attribute("data-theme"));
    let dark = match chosen.as_deref() {
        Some(theme) => theme == "dark",
        None => window()
            .match_media("(prefers-color-scheme: dark)")
            .ok()
            .flatten()
            .is_some_and(|query| query.matches()),
    };
    let next = if dark { "light" } else { "dark" };
    set(next);
    if let Ok(Some(storage)) = window().local_storage() {
        // A full or forbidden storage costs only the memory.
        let _ = storage.set_item(KEY, next);
    }
}

fn set(theme: &str) {
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("data-theme", theme);
    }
    // The frame and the native menu follow the page.
    let theme = theme.to_owned();
    // Not by Leptos, whose executor does not run yet when a theme is restored.
    wasm_bindgen_futures::spawn_local(async move { crate::shell::frame_theme(&theme).await });
}
