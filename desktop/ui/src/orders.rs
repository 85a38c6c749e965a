//! The orders screen: a live list with filters.

mod rail;
mod state;
mod table;

pub use state::State;

use desktop_bridge::{Connection, Session};
use leptos::{ev, prelude::*};

use crate::{
    Desk, keys,
    orders::{rail::Rail, table::Table},
    words,
};

#[component]
pub fn Orders() -> impl IntoView {
    let desk = expect_context::<Desk>();
    let state = expect_context::<State>();
    state.reset();
    if let Some(Session::SignedIn { feed, .. }) = desk.session.get_untracked() {
        state.feed_is(feed);
    }
    leptos::task::spawn_local(state.load());
    let listener = window_event_listener(ev::keydown, move |event| {
        let elsewhere = event.ctrl_key() || event.alt_key() || event.meta_key();
        if elsewhere || keys::is_typing(&event) || desk.sheet.get_untracked() {
            return;
        }
        let key = event.key();
        match key.as_str() {
            "j" | "ArrowDown" => state.step(1),
            "k" | "ArrowUp" => state.step(-1),
            "r" => state.hurry(),
            "Escape" => state.clear_filter(),
            "0" => state.status.set(None),
            "1" | "2" | "3" | "4" | "5" | "6" | "7" => {
                let place = key.parse::<usize>().unwrap_or(1) - 1;
                state.status.set(words::STATUSES.get(place).map(|(status, _)| *status));
            }
            _ => return,
        }
        event.prevent_default();
    });
    on_cleanup(move || listener.remove());

    view! {
        <div class="desk">
            <Rail/>
            <main class="work">
                <header class="work-head">
                    <h1>"Orders"</h1>
                    <Indicator/>
                    <Search/>
                </header>
                <Filters/>
                <Banner/>
                <Table/>
                <Foot/>
            </main>
        </div>
    }
}

/// Live, reconnecting or offline: words and a shape, not colour alone.
#[component]
fn Indicator() -> impl IntoView {
    let state = expect_context::<State>();
    let name = move || match state.feed.get().connection {
        Connection::Connecting => ("connecting", "Connecting"),
        Connection::Live { .. } => ("live", "Live"),
        Connection::Reconnecting { .. } => ("reconnecting", "Reconnecting"),
        Connection::Offline { .. } => ("offline", "Offline"),
    };
    view! {
        <span id="connection" class="indicator" role="status" data-state=move || name().0>
            <svg viewBox="0 0 10 10" aria-hidden="true">
                <circle cx="5" cy="5" r="4"/>
            </svg>
            {move || name().1}
        </span>
    }
}

#[component]
fn Search() -> impl IntoView {
    let desk = expect_context::<Desk>();
    let state = expect_context::<State>();
    view! {
        <div class="search" role="search">
            <svg viewBox="0 0 16 16" aria-hidden="true">
                <circle cx="7" cy="7" r="4.5"/>
                <path d="M10.5 10.5 14 14"/>
            </svg>
            <input
                id="search"
                type="text"
                placeholder="Order number"
                aria-label="Find by order number"
                spellcheck="false"
                autocomplete="off"
                node_ref=desk.search
                bind:value=state.text
                on:keydown=move |event| {
                    if event.key() == "Escape" {
                        state.text.set(String::new());
                        if let Some(field) = desk.search.get_untracked() {
                            let _ = field.blur();
                        }
                    }
                }
            />
            <kbd aria-hidden="true">"/"</kbd>
        </div>
    }
}

#[component]
fn Filters() -> impl IntoView {
    let state = expect_context::<State>();
    let chip = move |status, name: &'static str, id: &'static str| {
        let chosen = move || state.status.get() == status;
        let count = move || match status {
            Some(status) => state.count(status),
            None => state.rows.with(Vec::len),
        };
        view! {
            <button
                class="filter"
                data-filter=id
                aria-pressed=move || chosen().to_string()
                on:click=move |_| state.status.set(status)
            >
                {name}
                <span class="count">{count}</span>
            </button>
        }
    };
    view! {
        <div class="filters" role="group" aria-label="Filter by status">
            {chip(None, "All", "All")}
            {words::STATUSES
                .into_iter()
                .map(|(status, name)| chip(Some(status), name, name))
                .collect_view()}
        </div>
    }
}

/// Says that the list is not of now, and offers a way on.
#[component]
fn Banner() -> impl IntoView {
    let state = expect_context::<State>();
    let offline = move || match state.feed.get().connection {
        Connection::Offline { since, reason, .. } => {
            let when = since.map(|at| format!(" since {}", words::minute(at))).unwrap_or_default();
            Some((format!("Offline{when}. You see what was known last."), reason))
        }
        _ => state.trouble.get().map(|why| (why, String::new())),
    };
    view! {
        {move || {
            offline()
                .map(|(text, reason)| {
                    view! {
                        <div class="banner" role="status" title=reason>
                            <span>{text}</span>
                            <button class="quiet" on:click=move |_| state.hurry()>
                                "Try now"
                            </button>
                        </div>
                    }
                })
        }}
    }
}

#[component]
fn Foot() -> impl IntoView {
    let state = expect_context::<State>();
    let shown = move || {
        let (shown, all) = (state.visible.with(Vec::len), state.rows.with(Vec::len));
        let noun = if all == 1 { "order" } else { "orders" };
        if shown == all { format!("{all} {noun}") } else { format!("{shown} of {all} {noun}") }
    };
    view! {
        <footer class="foot">
            <span id="shown">{shown}</span>
            <span>"newest change first"</span>
            <span class="foot-keys">
                <kbd>"?"</kbd>
                " shortcuts"
            </span>
        </footer>
    }
}
