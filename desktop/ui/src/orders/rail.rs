//! The rail: where one is, as whom, and where the session is kept.

use desktop_bridge::Session;
use leptos::prelude::*;

use crate::{Desk, keys, shell, theme, words};

#[component]
pub fn Rail() -> impl IntoView {
    view! {
        <nav class="rail" aria-label="Console">
            <div class="brand">
                <span class="brand-name">"Bellavista"</span>
                <span class="brand-part">"Console"</span>
            </div>
            <button class="place" aria-current="page" on:click=move |_| keys::to_list()>
                <svg viewBox="0 0 16 16" aria-hidden="true">
                    <path d="M3.5 2.5h9v11l-2.25-1.5L8 13.5 5.75 12 3.5 13.5z M6 6h4 M6 8.75h4"/>
                </svg>
                "Orders"
                <kbd aria-hidden="true">"g o"</kbd>
            </button>
            <div class="rail-end">
                <Account/>
                <Buttons/>
            </div>
        </nav>
    }
}

#[component]
fn Account() -> impl IntoView {
    let desk = expect_context::<Desk>();
    move || match desk.session.get() {
        Some(Session::SignedIn { shop_url, email, roles, token_store, .. }) => {
            let (what, detail) = words::token_store(&token_store);
            Some(view! {
                <div class="account">
                    <div class="account-shop" title=shop_url.clone()>
                        {words::host(&shop_url).to_owned()}
                    </div>
                    <div class="account-mail" title=email.clone()>
                        {email.clone()}
                    </div>
                    <div class="account-role">{words::role(&roles)}</div>
                    <p id="token-store" class="fine" title=detail>
                        {what}
                    </p>
                </div>
            })
        }
        _ => None,
    }
}

#[component]
fn Buttons() -> impl IntoView {
    let desk = expect_context::<Desk>();
    let leaving = RwSignal::new(false);
    let sign_out = move |_| {
        if leaving.get_untracked() {
            return;
        }
        leaving.set(true);
        leptos::task::spawn_local(async move {
            if let Ok(session) = shell::sign_out().await {
                desk.session.set(Some(session));
            }
        });
    };
    view! {
        <div class="rail-buttons">
            <button id="sign-out" class="quiet" on:click=sign_out>
                {move || if leaving.get() { "Signing out…" } else { "Sign out" }}
            </button>
            <button
                class="quiet icon"
                aria-label="Switch light and dark"
                title="Switch light and dark"
                on:click=move |_| theme::switch()
            >
                <svg viewBox="0 0 16 16" aria-hidden="true">
                    <circle cx="8" cy="8" r="5.5"/>
                    <path class="half" d="M8 2.5a5.5 5.5 0 0 1 0 11z"/>
                </svg>
            </button>
            <button
                class="quiet icon"
                aria-label="Keyboard shortcuts"
                title="Keyboard shortcuts"
                on:click=move |_| desk.sheet.set(true)
            >
                "?"
            </button>
        </div>
    }
}
