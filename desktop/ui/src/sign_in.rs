//! Signing in to a shop.

use desktop_bridge::{KnownShop, Refusal, RefusalKind, Session, SignIn};
use leptos::{ev::SubmitEvent, html, prelude::*};

use crate::{Desk, shell, words};

/// Where a fresh installation of the shop answers.
const FIRST_SHOP: &str = "http://127.0.0.1:8080";

/// The form: what was typed and what came of it.
#[derive(Clone, Copy)]
struct Door {
    shop_url: RwSignal<String>,
    email: RwSignal<String>,
    password: RwSignal<String>,
    busy: RwSignal<bool>,
    refusal: RwSignal<Option<Refusal>>,
    password_field: NodeRef<html::Input>,
}

impl Door {
    /// Filled with the shop used last.
    fn new(last: Option<&KnownShop>, ended: Option<Refusal>) -> Self {
        Door {
            shop_url: RwSignal::new(last.map_or(FIRST_SHOP.into(), |shop| shop.url.clone())),
            email: RwSignal::new(last.map(|shop| shop.email.clone()).unwrap_or_default()),
            password: RwSignal::new(String::new()),
            busy: RwSignal::new(false),
            refusal: RwSignal::new(ended),
            password_field: NodeRef::new(),
        }
    }

    fn send(self, desk: Desk) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.refusal.set(None);
        leptos::task::spawn_local(async move {
            let wanted = SignIn {
                shop_url: self.shop_url.get_untracked(),
                email: self.email.get_untracked(),
                password: self.password.get_untracked(),
            };
            let answer = shell::sign_in(&wanted).await;
            self.busy.set(false);
            match answer {
                Ok(session) => desk.session.set(Some(session)),
                Err(why) => {
                    if why.kind == RefusalKind::Credentials {
                        self.to_password();
                    }
                    self.refusal.set(Some(why));
                }
            }
        });
    }

    fn choose(self, shop: KnownShop) {
        self.shop_url.set(shop.url);
        self.email.set(shop.email);
        self.to_password();
    }

    fn to_password(self) {
        if let Some(field) = self.password_field.get_untracked() {
            let _ = field.focus();
            field.select();
        }
    }

    /// For `aria-invalid`: whether the refusal is of one of these kinds.
    fn invalid(self, kinds: &[RefusalKind]) -> Option<&'static str> {
        let wrong =
            self.refusal.with(|why| why.as_ref().is_some_and(|why| kinds.contains(&why.kind)));
        wrong.then_some("true")
    }
}

const SHOP: [RefusalKind; 3] =
    [RefusalKind::ShopUrl, RefusalKind::Unreachable, RefusalKind::NotAShop];
const ACCOUNT: [RefusalKind; 2] = [RefusalKind::Credentials, RefusalKind::Fields];

#[component]
pub fn SignInScreen() -> impl IntoView {
    let desk = expect_context::<Desk>();
    let (shops, store, ended) = match desk.session.get_untracked() {
        Some(Session::SignedOut { shops, token_store, ended }) => (shops, Some(token_store), ended),
        _ => (Vec::new(), None, None),
    };
    let door = Door::new(shops.first(), ended);
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        door.send(desk);
    };
    view! {
        <main class="door">
            <Horizon/>
            <form class="door-form" on:submit=submit novalidate=true>
                <h1>"Sign in"</h1>
                <p class="lead">"The console of your shop, for Support, Merchant and Admin."</p>
                <Trouble refusal=door.refusal/>
                <Fields door shops/>
                <button
                    id="sign-in"
                    class="primary"
                    type="submit"
                    aria-busy=move || door.busy.get().to_string()
                >
                    {move || if door.busy.get() { "Signing in…" } else { "Sign in" }}
                </button>
                {store
                    .map(|store| {
                        let (what, detail) = words::token_store(&store);
                        view! {
                            <p id="token-store" class="fine" title=detail>
                                {what}
                            </p>
                        }
                    })}
            </form>
        </main>
    }
}

#[component]
fn Fields(door: Door, shops: Vec<KnownShop>) -> impl IntoView {
    view! {
        <label for="shop-url">"Shop"</label>
        <input
            id="shop-url"
            type="text"
            inputmode="url"
            autocomplete="url"
            spellcheck="false"
            aria-invalid=move || door.invalid(&SHOP)
            bind:value=door.shop_url
        />
        <KnownShops shops choose=move |shop| door.choose(shop)/>
        <label for="email">"E-mail"</label>
        <input
            id="email"
            type="email"
            autocomplete="username"
            spellcheck="false"
            aria-invalid=move || door.invalid(&ACCOUNT)
            bind:value=door.email
        />
        <label for="password">"Password"</label>
        <input
            id="password"
            type="password"
            autocomplete="current-password"
            node_ref=door.password_field
            aria-invalid=move || door.invalid(&ACCOUNT)
            bind:value=door.password
        />
    }
}

#[component]
fn Trouble(refusal: RwSignal<Option<Refusal>>) -> impl IntoView {
    let title = |kind| match kind {
        RefusalKind::ShopUrl => "Check the shop's address",
        RefusalKind::Fields => "Something is missing",
        RefusalKind::Credentials => "Not signed in",
        RefusalKind::NotStaff => "Not for this account",
        RefusalKind::Unreachable => "The shop is not reachable",
        RefusalKind::Limited => "One moment",
        RefusalKind::SignedOut => "Signed out",
        RefusalKind::NotAShop => "Is this your shop?",
        RefusalKind::Failed => "That did not work",
    };
    // The live region stays in place, so that every refusal is read out.
    view! {
        <div role="alert">
            {move || {
                refusal
                    .get()
                    .map(|why| {
                        view! {
                            <div id="trouble" class="trouble" data-kind=format!("{:?}", why.kind)>
                                <strong>{title(why.kind)}</strong>
                                <span>{why.message}</span>
                            </div>
                        }
                    })
            }}
        </div>
    }
}

/// The other shops that somebody signed in to from here.
#[component]
fn KnownShops(shops: Vec<KnownShop>, choose: impl Fn(KnownShop) + Copy + 'static) -> impl IntoView {
    (shops.len() > 1).then(|| {
        view! {
            <div class="known-shops" role="group" aria-label="Shops used before">
                {shops
                    .into_iter()
                    .map(|shop| {
                        let host = words::host(&shop.url).to_owned();
                        view! {
                            <button type="button" class="known-shop" on:click=move |_| choose(shop.clone())>
                                {host}
                            </button>
                        }
                    })
                    .collect_view()}
            </div>
        }
    })
}

/// The view that the shop is named after.
#[component]
fn Horizon() -> impl IntoView {
    view! {
        <aside class="horizon" aria-hidden="true">
            <div class="brand">
                <span class="brand-name">"Bellavista"</span>
                <span class="brand-part">"Console"</span>
            </div>
            <svg viewBox="0 0 480 720" preserveAspectRatio="xMidYMax slice">
                <circle class="sun" cx="300" cy="404" r="104"/>
                <path class="far" d="M0 430 C 90 396 150 412 226 436 S 380 452 480 408 V720 H0Z"/>
                <path class="mid" d="M0 500 C 120 456 210 520 300 502 S 430 476 480 492 V720 H0Z"/>
                <path class="near" d="M0 596 C 100 560 190 596 280 610 S 420 600 480 572 V720 H0Z"/>
                <path class="line" d="M40 648 H250 M120 672 H330 M60 696 H200"/>
            </svg>
        </aside>
    }
}
