//! The order page's island: the order changes before the shopper's eyes.
//!
//! It takes over `#order-live[data-order-id]`, follows `/ws/orders` and, where no
//! socket can be had, asks `/orders/{id}/status.json` now and then. What has
//! changed is drawn by the server as ever: the island moves the steps at once,
//! then fetches the page and swaps its contents, so no sentence stands twice.
//!
//! Invariants: a state older than the one shown is ignored; reconnecting waits
//! longer each time; a finished order is not followed.
//! Start reading at `follow.rs`.

mod backoff;
mod follow;
mod page;
mod socket;

use leptos::prelude::*;
use wasm_bindgen::prelude::wasm_bindgen;

/// How the island hears of changes at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Connecting,
    Live,
    /// Without a socket: every few seconds.
    Asking,
    /// Nothing more will happen.
    Rest,
}

/// The one line of the island itself; the rest of the page is the server's.
#[component]
fn LinkState(link: ReadSignal<Link>) -> impl IntoView {
    let text = move || match link.get() {
        Link::Connecting => "Connecting for live updates …",
        Link::Live => "Live: changes appear here by themselves.",
        Link::Asking => "Looking for changes every few seconds.",
        Link::Rest => "",
    };
    let name = move || match link.get() {
        Link::Connecting => "connecting",
        Link::Live => "live",
        Link::Asking => "asking",
        Link::Rest => "rest",
    };
    view! { <p class="live-link" role="status" data-link=name>{text}</p> }
}

/// Runs when the module is loaded; does nothing on pages without an order.
#[wasm_bindgen(start)]
pub fn start() {
    let Some(order) = page::order() else { return };
    let (link, set_link) = signal(Link::Connecting);
    if let Some(place) = page::place_for_link_state() {
        mount_to(place, move || view! { <LinkState link /> }).forget();
    }
    wasm_bindgen_futures::spawn_local(follow::follow(order, move |state| set_link.set(state)));
}
