//! The storefront: what shoppers see, rendered on the server with Leptos.
//!
//! Owns: pages, forms, the browser's cookies, artwork and style. It owns no
//! data: everything comes from and goes to the public REST API through a
//! [`Transport`], exactly as any other client would.
//!
//! Invariants: every page and the whole purchase work with scripts off; every
//! POST carries a CSRF token; what was typed is never lost; no personal data in
//! an address; one form instance places at most one order.
//!
//! Start with [`router`], then `visit.rs` (one request), then `pages/`.

mod api;
mod artwork;
mod assets;
mod cookies;
mod drafts;
mod forms;
mod islands;
mod layout;
mod pages;
mod parts;
mod posted;
mod refresh;
mod seo;
mod session;
mod text;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

pub use api::Transport;
pub use islands::Islands;

use pages::{account, cart, checkout, errors, home, legal, listing, order, order_live, product};
use visit::Shop;

/// The largest form the storefront reads; a checkout is some hundred bytes.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// What an installation decides about its storefront.
#[derive(Clone, Debug)]
pub struct StorefrontConfig {
    /// Offer the payment simulator's tokens as ways to pay and say so.
    pub demo: bool,
    /// Scheme and host under which browsers reach the shop, without a slash at
    /// the end. Cookies are `Secure` when it starts with `https`.
    pub public_url: String,
    /// Scripts that make pages move. Without them the order page reloads itself
    /// while something is still moving.
    pub islands: Islands,
}

impl Default for StorefrontConfig {
    fn default() -> Self {
        StorefrontConfig {
            demo: false,
            public_url: "http://127.0.0.1:8080".to_owned(),
            islands: Islands::default(),
        }
    }
}

/// The whole storefront; its fallback is the shop's "not found" page.
pub fn router(api: Arc<dyn Transport>, config: StorefrontConfig) -> Router {
    let shop = Shop::new(api, config);
    let pages = Router::new()
        .route("/", get(home::show))
        .route("/c/{slug}", get(listing::category))
        .route("/search", get(listing::search))
        .route("/p/{slug}", get(product::show))
        .route("/cart", get(cart::show))
        .route("/cart/items", post(cart::add))
        .route("/cart/items/{item}", post(cart::change))
        .route("/checkout", get(checkout::show).post(checkout::submit))
        .route("/orders/{id}", get(order::show))
        .route("/orders/{id}/live-token", get(order_live::token))
        .route("/orders/{id}/status.json", get(order_live::status))
        .route("/orders/{id}/pay", get(order::back).post(order::pay))
        .route("/orders/{id}/cancel", get(order::back).post(order::cancel))
        .route("/account", get(account::show))
        .route("/sign-in", get(account::sign_in_form).post(account::sign_in))
        .route("/register", get(account::register_form).post(account::register))
        .route("/sign-out", post(account::sign_out))
        .route("/legal/{page}", get(legal::show))
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::not_found)
        .layer(from_fn_with_state(shop.clone(), visit::enter))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES));
    let files = Router::new()
        .route("/assets/{name}", get(assets::serve))
        .route("/assets/islands/{version}/{name}", get(islands::serve))
        .route("/favicon.svg", get(assets::favicon))
        .route("/favicon.ico", get(assets::favicon))
        .route("/artwork/{name}", get(artwork::serve))
        .route("/robots.txt", get(seo::robots))
        .route("/sitemap.xml", get(seo::sitemap));
    pages.merge(files).with_state(shop)
}
