//! The storefront over canned answers, for looking at pages without a shop:
//! `cargo run -p web-ui --example preview` and open `http://127.0.0.1:8099`.

#[allow(dead_code)]
#[path = "../tests/it/canned.rs"]
mod canned;

use std::sync::Arc;

use web_ui::StorefrontConfig;

const ADDRESS: &str = "127.0.0.1:8099";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let api = Arc::new(canned::Canned::default());
    for (sku, qty) in [("BV-LAGO-M", 1), ("BV-FARO-3", 2), ("BV-ALBA-PIN", 1)] {
        api.put_in_cart(sku, qty);
    }
    api.set_order("PENDING", "awaiting_payment", Some("insufficient_funds"));
    let config = StorefrontConfig {
        demo: true,
        public_url: format!("http://{ADDRESS}"),
        ..StorefrontConfig::default()
    };
    let listener = tokio::net::TcpListener::bind(ADDRESS).await?;
    axum::serve(listener, web_ui::router(api, config)).await
}
