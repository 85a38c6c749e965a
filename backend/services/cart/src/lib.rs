//! The cart: what a shopper or guest means to buy.
//!
//! Owns: carts with their append-only action log and the items it adds up to,
//! and a read model of titles and prices.
//!
//! Invariants: the items of a cart are always the sum of its actions; a cart
//! has one owner and one currency; what cart shows is what the order will cost.
//!
//! Start with [`domain`], then `commands`; `shelf` is how an unknown sku is
//! asked for once before it is refused.

mod commands;
mod config;
mod consumers;
mod domain;
mod graph;
mod grpc;
mod queries;
mod requests;
mod rest;
mod shelf;
mod store;

use std::sync::Arc;

use contracts::clients::{CartClient, CatalogClient};
use contracts::generated::bellavista::cart::v1::carts_server::CartsServer;
use platform::{Context, Service, idempotency};

use crate::commands::App;
use crate::config::Settings;
use crate::grpc::{CartService, LocalCarts};
use crate::shelf::Shelf;

/// The schema of cart.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../../migrations/cart");

/// Cart, ready to be mounted, and the client for callers of this process.
pub struct Built {
    pub service: Service,
    pub client: Arc<dyn CartClient>,
}

/// Puts cart together over `ctx`.
pub fn build(ctx: Context, catalog: Arc<dyn CatalogClient>) -> anyhow::Result<Built> {
    let settings = Settings::read(&ctx.config)?;
    let app = App {
        pool: ctx.pool.clone(),
        clock: ctx.clock.clone(),
        ids: ctx.ids.clone(),
        outbox: ctx.outbox.clone(),
        shelf: Shelf::new(ctx.pool.clone(), catalog, ctx.clock.clone(), &settings),
        shipping: config::shipping(&ctx.config)?,
        tax: config::tax(&ctx.config)?,
        settings,
    };
    let verifier = ctx.verifier.clone();
    let server = CartService { app: app.clone(), verifier: verifier.clone() };
    let pruned = ctx.clone();
    let service = Service::new(ctx)
        .graph(graph::graph(app.clone(), verifier.clone()))
        .rest(rest::router(rest::Rest { app: app.clone(), verifier }))
        .grpc(move |routes| {
            routes.add_service(CartsServer::new(server));
        })
        .consumer(consumers::consumer(app.clone()))
        .task("cart-prune", idempotency::pruning(pruned));
    Ok(Built { service, client: Arc::new(LocalCarts { app }) })
}
