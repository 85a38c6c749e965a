//! What the shop sells: products, variants, categories, prices.
//!
//! Owns: products with their variants and media, categories, the price history
//! (SCD2: a price is closed, never rewritten), and the stock band that shoppers
//! see, fed by inventory's events.
//!
//! Invariants: a sku belongs to one variant for ever, without regard to case;
//! every change carries the version it was based on; every price there ever was
//! can be told for any moment; a product answered without `stockPending` can be
//! ordered at once.
//!
//! Start with `domain`, then `commands`.

mod commands;
mod config;
mod consumers;
mod domain;
mod graph;
mod grpc;
mod queries;
mod rest;
mod store;

use std::sync::Arc;

use contracts::clients::{CatalogClient, StockClient};
use contracts::generated::bellavista::catalog::v1::catalog_server::CatalogServer;
use platform::{Context, Service, idempotency};
use sqlx::migrate::Migrator;
use tokio::sync::Semaphore;

use crate::config::CatalogConfig;

/// The schema's history.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/catalog");

#[derive(Clone)]
struct App {
    ctx: Context,
    config: Arc<CatalogConfig>,
    stock: Arc<dyn StockClient>,
    /// Products that are made under an idempotency key at once: each needs two
    /// connections.
    keyed: Arc<Semaphore>,
}

const KEYED_AT_ONCE: usize = 4;

/// The service, and how services in the same process call it.
pub struct Built {
    pub service: Service,
    pub client: Arc<dyn CatalogClient>,
}

/// Builds the service; opening stock goes to `stock`.
pub fn build(ctx: Context, stock: Arc<dyn StockClient>) -> anyhow::Result<Built> {
    let config: CatalogConfig = ctx.config.section("catalog")?;
    let keyed = Arc::new(Semaphore::new(KEYED_AT_ONCE));
    let app = App { ctx: ctx.clone(), config: Arc::new(config), stock, keyed };
    let client = Arc::new(grpc::Lookup::new(app.clone()));
    let server = CatalogServer::new(grpc::Server::new(app.clone()));
    let opening = commands::open_pending_stock(app.clone());
    let service = Service::new(ctx.clone())
        .rest(rest::router(app.clone()))
        .graph(graph::graph(app.clone()))
        .grpc(move |routes| {
            routes.add_service(server);
        })
        .consumer(consumers::consumer(app))
        .task("opening stock", opening)
        .task("catalog-prune", idempotency::pruning(ctx));
    Ok(Built { service, client })
}
