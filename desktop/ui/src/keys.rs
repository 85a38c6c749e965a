//! The keyboard: what works everywhere. Lists add their own keys.

use std::{cell::Cell, rc::Rc};

use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

use crate::Desk;

/// `g` waits so long for its second key.
const CHORD_MS: f64 = 1_000.0;

/// Listens for as long as the window lives.
pub fn install(desk: Desk) {
    let chord = Rc::new(Cell::new(0.0));
    let listener = window_event_listener(ev::keydown, move |event| {
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let key = event.key();
        if key == "Escape" && desk.sheet.get_untracked() {
            event.prevent_default();
            desk.sheet.set(false);
            return;
        }
        if is_typing(&event) {
            return;
        }
        let after_g = js_sys::Date::now() - chord.get() < CHORD_MS;
        chord.set(0.0);
        match key.as_str() {
            "g" => chord.set(js_sys::Date::now()),
            "o" if after_g => to_list(),
            "?" => desk.sheet.update(|open| *open = !*open),
            "/" => {
                event.prevent_default();
                to_search(desk);
            }
            _ => {}
        }
    });
    // Lives as long as the page.
    std::mem::forget(listener);
}

/// Whether the key belongs to a field.
pub fn is_typing(event: &KeyboardEvent) -> bool {
    event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok()).is_some_and(|element| {
        matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
    })
}

/// Puts the cursor into the screen's search field.
pub fn to_search(desk: Desk) {
    if let Some(field) = desk.search.get_untracked() {
        let _ = field.focus();
        field.select();
    }
}

/// Brings the list of orders to the front, at its top.
pub fn to_list() {
    let list = document().get_element_by_id("orders");
    if let Some(list) = list.and_then(|list| list.dyn_into::<HtmlElement>().ok()) {
        list.set_scroll_top(0);
        let _ = list.focus();
    }
}
