//! The console's window: signing in and the live list of orders.
//!
//! Owns: screens, keyboard and theme. Knows nothing of tokens or the network:
//! everything comes through the shell's commands and events ([`shell`]).
//!
//! Invariants: no inline style or script, so that the content policy stays
//! strict; what a key does, a button does too; no amount is ever a number here.
//!
//! Start with [`App`], then [`orders`].

mod keys;
mod orders;
mod sheet;
mod shell;
mod sign_in;
mod theme;
mod words;

use desktop_bridge::{Feed, MenuChoice, OrderRow, Session, events};
use leptos::prelude::*;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::{
    orders::{Orders, State},
    sheet::Sheet,
    sign_in::SignInScreen,
};

#[wasm_bindgen(start)]
pub fn start() {
    theme::restore();
    leptos::mount::mount_to_body(App);
}

/// What every screen may look at.
#[derive(Clone, Copy)]
pub struct Desk {
    /// `None` until the shell has said.
    pub session: RwSignal<Option<Session>>,
    /// Whether the sheet of shortcuts is open.
    pub sheet: RwSignal<bool>,
    /// The search field of the screen, for `/` and the menu.
    pub search: NodeRef<leptos::html::Input>,
}

#[component]
fn App() -> impl IntoView {
    let desk =
        Desk { session: RwSignal::new(None), sheet: RwSignal::new(false), search: NodeRef::new() };
    let state = State::new();
    provide_context(desk);
    provide_context(state);
    leptos::task::spawn_local(async move {
        // Listening comes first: what changes meanwhile must not be missed.
        shell::listen(events::SESSION, move |session: Session| desk.session.set(Some(session)))
            .await;
        shell::listen(events::ORDER, move |rows: Vec<OrderRow>| state.arrived(rows)).await;
        shell::listen(events::CONNECTION, move |now: Feed| state.feed_is(now)).await;
        shell::listen(events::MENU, move |choice: MenuChoice| chosen(desk, choice)).await;
        match shell::session().await {
            Ok(session) => desk.session.set(Some(session)),
            Err(why) => leptos::logging::error!("no session: {}", why.message),
        }
    });
    keys::install(desk);

    // Both screens stay as they are while only their data changes.
    let screen = Memo::new(move |_| {
        desk.session.with(|session| match session {
            None => Screen::Waiting,
            Some(Session::SignedOut { .. }) => Screen::SignIn,
            Some(Session::SignedIn { shop_url, email, .. }) => {
                Screen::Orders(shop_url.clone(), email.clone())
            }
        })
    });
    view! {
        {move || match screen.get() {
            Screen::Waiting => view! { <div class="waiting" aria-busy="true"></div> }.into_any(),
            Screen::SignIn => view! { <SignInScreen/> }.into_any(),
            Screen::Orders(..) => view! { <Orders/> }.into_any(),
        }}
        <Sheet/>
    }
}

#[derive(Clone, PartialEq)]
enum Screen {
    Waiting,
    SignIn,
    Orders(String, String),
}

fn chosen(desk: Desk, choice: MenuChoice) {
    match choice {
        MenuChoice::Orders => keys::to_list(),
        MenuChoice::Filter => keys::to_search(desk),
        MenuChoice::Shortcuts => desk.sheet.update(|open| *open = !*open),
        MenuChoice::Theme => theme::switch(),
    }
}
