//! The document around every page: head, header, navigation, footer.

use std::future::Future;

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use leptos::html;
use leptos::prelude::*;
use shared_types::catalog::Category;

use crate::assets;
use crate::drafts::{Flash, FlashKind};
use crate::parts::{Icon, csrf_field, icon};
use crate::visit::Visit;

/// What a page says about itself.
#[derive(Default)]
pub struct Head {
    pub title: String,
    pub description: String,
    /// Path of the one address this content has; `None` keeps the page out of
    /// search engines.
    pub canonical: Option<String>,
    /// Structured data, as JSON.
    pub json_ld: Option<String>,
    /// Reload after so many seconds.
    pub reload_seconds: Option<u32>,
    /// Only name and way back: nothing that leads away from a checkout.
    pub lean: bool,
    /// A picture to start loading at once.
    pub preload_image: Option<String>,
    /// Module script of the page's island.
    pub script: Option<String>,
}

impl Head {
    pub fn new(title: impl Into<String>) -> Self {
        Head { title: title.into(), ..Head::default() }
    }
}

/// What header and footer show besides the page.
struct Chrome {
    categories: std::sync::Arc<Vec<Category>>,
    units: i64,
    flash: Option<Flash>,
}

/// The whole document. The body is rendered before anything is awaited.
pub fn page(
    visit: &Visit,
    status: StatusCode,
    head: Head,
    body: AnyView,
) -> impl Future<Output = Response> + Send {
    let body = body.to_html();
    let visit = visit.clone();
    async move {
        let categories = visit.categories().await;
        let units = visit.cart_units().await;
        let chrome = Chrome { categories, units, flash: visit.take_flash() };
        let html = document(&visit, head, chrome, body);
        (status, Html(format!("<!DOCTYPE html>{html}"))).into_response()
    }
}

fn document(visit: &Visit, head: Head, chrome: Chrome, body: String) -> String {
    let lean = head.lean;
    let header = if lean { lean_header() } else { header(visit, &chrome) };
    let flash = chrome.flash.map(flash_view);
    let footer = footer(visit, &chrome.categories, lean);
    view! {
        <html lang="en">
            {head_view(visit, head)}
            <body>
                <a class="skip-link" href="#main">"Skip to content"</a>
                {header}
                <main id="main" tabindex="-1">
                    {flash}
                    <div class="page" inner_html=body></div>
                </main>
                {footer}
            </body>
        </html>
    }
    .to_html()
}

fn head_view(visit: &Visit, head: Head) -> AnyView {
    let title = match head.title.is_empty() {
        true => "Bellavista – a shop with a view".to_owned(),
        false => format!("{} – Bellavista", head.title),
    };
    let url = head.canonical.as_ref().map(|path| format!("{}{path}", visit.config().public_url));
    let robots = url.is_none().then(|| view! { <meta name="robots" content="noindex"/> });
    let canonical = url.map(|url| {
        view! { <link rel="canonical" href=url.clone()/>{og("og:url", url)} }
    });
    let description = (!head.description.is_empty()).then(|| {
        view! {
            <meta name="description" content=head.description.clone()/>
            {og("og:description", head.description)}
        }
    });
    let json_ld = head.json_ld.map(|json| {
        // `<` cannot end the script element early when it is escaped.
        let json = json.replace('<', "\\u003c");
        let nonce = visit.nonce().to_owned();
        view! { <script type="application/ld+json" nonce=nonce inner_html=json></script> }
    });
    let with_script = head.script.is_some();
    let reload = head.reload_seconds.map(|seconds| {
        let meta = view! { <meta http-equiv="refresh" content=seconds.to_string()/> };
        match with_script {
            true => view! { <noscript>{meta}</noscript> }.into_any(),
            false => meta.into_any(),
        }
    });
    let script = head.script.map(|src| {
        view! { <script type="module" src=src nonce=visit.nonce().to_owned()></script> }
    });
    let image = head.preload_image.map(|href| {
        let link = html::link().rel("preload").attr("as", "image").href(href);
        link.attr("fetchpriority", "high").into_any()
    });
    view! {
        <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <title>{title.clone()}</title>
            {description}
            {robots}
            {canonical}
            {og("og:site_name", "Bellavista".to_owned())}
            {og("og:title", title)}
            <meta name="color-scheme" content="light dark"/>
            <meta name="theme-color" content="#fbf8f3" media="(prefers-color-scheme: light)"/>
            <meta name="theme-color" content="#16151a" media="(prefers-color-scheme: dark)"/>
            <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
            {font_preload("fraunces.woff2")}
            {font_preload("instrument-sans.woff2")}
            {image}
            <link rel="stylesheet" href=assets::url("storefront.css")/>
            {reload}
            {json_ld}
            {script}
        </head>
    }
    .into_any()
}

fn font_preload(name: &str) -> AnyView {
    // `as` and `property` are no names the view macro takes.
    let link = html::link().rel("preload").attr("as", "font").href(assets::url(name));
    link.attr("type", "font/woff2").attr("crossorigin", "anonymous").into_any()
}

fn og(property: &'static str, content: String) -> AnyView {
    html::meta().attr("property", property).content(content).into_any()
}

fn wordmark() -> AnyView {
    view! {
        <a class="wordmark" href="/" aria-label="Bellavista, home">
            {icon(Icon::Mark)}<span>"Bellavista"</span>
        </a>
    }
    .into_any()
}

fn lean_header() -> AnyView {
    view! {
        <header class="site-header site-header-lean">
            <div class="frame header-row">
                {wordmark()}
                <a class="quiet-link" href="/cart">"Back to the cart"</a>
            </div>
        </header>
    }
    .into_any()
}

fn header(visit: &Visit, chrome: &Chrome) -> AnyView {
    let here = visit.path();
    let links: Vec<_> = chrome
        .categories
        .iter()
        .take(9)
        .map(|category| {
            let href = format!("/c/{}", category.slug);
            let current = (here == href).then_some("page");
            view! { <li><a href=href aria-current=current>{category.name.clone()}</a></li> }
        })
        .collect();
    let (account_href, account_label) = match visit.is_signed_in() {
        true => ("/account", "Your account"),
        false => ("/sign-in", "Sign in"),
    };
    let badge = match chrome.units {
        0 => view! { <span class="visually-hidden">", empty"</span> }.into_any(),
        n => {
            let noun = if n == 1 { " piece" } else { " pieces" };
            view! {
                " "<span class="badge" data-live="cart-units">{n}</span>
                <span class="visually-hidden">{noun}</span>
            }
            .into_any()
        }
    };
    let has_nav = !links.is_empty();
    let nav = has_nav.then(|| {
        view! { <nav class="site-nav" aria-label="Categories"><ul class="frame">{links}</ul></nav> }
    });
    view! {
        <header class="site-header">
            <div class="frame header-row">
                {wordmark()}
                <form class="search" role="search" action="/search" method="get">
                    <label class="visually-hidden" for="search">"Search the shop"</label>
                    <input id="search" type="search" name="q" placeholder="Search the shop" maxlength="100" autocomplete="off"/>
                    <button type="submit" aria-label="Search">{icon(Icon::Search)}</button>
                </form>
                <div class="header-tools">
                    <a href=account_href>
                        {icon(Icon::Person)}<span class="tool-label">{account_label}</span>
                    </a>
                    <a class="cart-link" href="/cart">
                        {icon(Icon::Bag)}<span class="tool-label">"Cart"</span>{badge}
                    </a>
                </div>
            </div>
            {nav}
        </header>
    }
    .into_any()
}

fn flash_view(flash: Flash) -> AnyView {
    let (class, role) = match flash.kind {
        FlashKind::Done => ("notice notice-done", "status"),
        FlashKind::Problem => ("notice notice-problem", "alert"),
    };
    view! { <div class="frame flash"><p class=class role=role>{flash.message}</p></div> }.into_any()
}

fn footer(visit: &Visit, categories: &[Category], lean: bool) -> AnyView {
    let demo = visit.config().demo.then(|| {
        view! {
            <p class="demo-note">
                "This is a demonstration shop: nothing here is real, nothing is charged and nothing is sent."
            </p>
        }
    });
    let legal = view! {
        <ul>
            <li><a href="/legal/imprint">"Imprint"</a></li>
            <li><a href="/legal/privacy">"Privacy"</a></li>
            <li><a href="/legal/terms">"Terms"</a></li>
            <li><a href="/legal/returns">"Delivery and returns"</a></li>
        </ul>
    };
    if lean {
        return view! {
            <footer class="site-footer site-footer-lean">
                <div class="frame">{demo}<nav aria-label="Legal">{legal}</nav></div>
            </footer>
        }
        .into_any();
    }
    let shop: Vec<_> = categories
        .iter()
        .take(9)
        .map(|c| view! { <li><a href=format!("/c/{}", c.slug)>{c.name.clone()}</a></li> })
        .collect();
    let account = match visit.is_signed_in() {
        true => view! {
            <li><a href="/account">"Your orders"</a></li>
            <li>
                <form method="post" action="/sign-out">
                    {csrf_field(visit)}<button class="link-button" type="submit">"Sign out"</button>
                </form>
            </li>
        }
        .into_any(),
        false => view! {
            <li><a href="/sign-in">"Sign in"</a></li>
            <li><a href="/register">"Create an account"</a></li>
        }
        .into_any(),
    };
    view! {
        <footer class="site-footer">
            <div class="frame footer-grid">
                <div class="footer-about">
                    <p class="footer-line">"Good things, " <em>"well placed."</em></p>
                    <p>"Bellavista gathers objects for the house and garden that are made slowly, repaired gladly and look better each year."</p>
                    {demo}
                </div>
                <nav aria-labelledby="footer-shop"><h2 id="footer-shop">"Shop"</h2><ul>{shop}</ul></nav>
                <nav aria-labelledby="footer-you"><h2 id="footer-you">"You"</h2><ul>{account}<li><a href="/cart">"Cart"</a></li></ul></nav>
                <nav aria-labelledby="footer-help"><h2 id="footer-help">"Small print"</h2>{legal}</nav>
            </div>
        </footer>
    }
    .into_any()
}
