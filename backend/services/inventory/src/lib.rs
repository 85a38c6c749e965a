//! Stock: how many units there are, and whom they are promised to.
//!
//! Owns: warehouses, stock per sku and warehouse, the ledger of what is on
//! hand, and the holds of orders with their expiry.
//!
//! Invariants: at every commit held + allocated + set aside ≤ on hand, unless a
//! physical count said otherwise; on hand is always the sum of the ledger; an
//! order holds all its lines or none; every command is idempotent.
//!
//! Start with [`domain`] (the rules), then `commands::reserve` and
//! `commands::lanes` (how concurrent buyers share one transaction).

mod calls;
mod client;
mod commands;
mod config;
mod consumers;
pub mod domain;
mod graph;
mod grpc;
mod projections;
mod queries;
mod rest;
mod store;

use std::sync::Arc;

use contracts::clients::fault::FaultSwitch;
use contracts::clients::{SetAsideClient, StockClient};
use contracts::generated::bellavista::inventory::v1::inventory_server::InventoryServer;
use platform::projection::{self, ReadModel};
use platform::{Context, Service, idempotency};

use crate::client::LocalStock;
use crate::commands::{Stockroom, expire};
use crate::grpc::StockService;

/// The schema of inventory.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../../migrations/inventory");

/// What can be rebuilt from the event log.
pub fn read_models() -> Vec<Arc<dyn ReadModel>> {
    vec![Arc::new(projections::snapshot::InventorySnapshot)]
}

/// Inventory, ready to be mounted, and the client for callers of this process.
pub struct Built {
    pub service: Service,
    pub client: Arc<dyn StockClient>,
    /// For flash sales.
    pub set_asides: Arc<dyn SetAsideClient>,
}

/// Puts inventory together over `ctx`. While `fault` is on, the client answers
/// as if inventory were away.
pub fn build(ctx: Context, fault: FaultSwitch) -> anyhow::Result<Built> {
    let room = Stockroom::new(&ctx, config::Settings::read(&ctx.config)?);
    let client = Arc::new(LocalStock { room: room.clone(), fault });
    let server = StockService { room: room.clone(), verifier: ctx.verifier.clone() };
    let subgraph = graph::graph(&ctx, room.clone());
    let (lifecycle, reading) = (ctx.lifecycle.clone(), ctx.clone());
    let mut service = Service::new(ctx)
        .rest(rest::router(room.clone()))
        .graph(subgraph)
        .waking(room.wakes.clone())
        .grpc(move |routes| {
            routes.add_service(InventoryServer::new(server));
        })
        .consumer(consumers::consumer(room.clone()))
        .task("inventory-expiry", expire::run(room, lifecycle))
        .task("inventory-prune", idempotency::pruning(reading.clone()));
    for model in read_models() {
        service = service.task("inventory-read-model", projection::live(reading.clone(), model));
    }
    Ok(Built { service, set_asides: client.clone(), client })
}
