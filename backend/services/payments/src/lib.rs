//! Money for orders: payments, their attempts and refunds, and the talk with
//! payment gateways.
//!
//! Owns: the tables of `migrations/payments`; tokens are encrypted and emptied
//! once an outcome stands. Commanded only by the saga of `orders`.
//!
//! Invariants: an attempt is recorded before it is sent and sent again only
//! when it is certain that nothing was charged; an unknown outcome is asked
//! for before anything else; one order has at most one open attempt and one
//! capture; refunds never add up to more than was captured.
//!
//! Start with [`capture`], then [`provider`], [`reconcile`], [`refund`]. The
//! gateway to try it with is [`simulator`].

mod admin;
mod capture;
mod client;
mod config;
pub mod domain;
mod drive;
mod graph;
mod house;
mod intents;
mod notifications;
mod provider;
mod reconcile;
mod refund;
mod rest;
mod rest_messages;
pub mod simulator;
mod soap;
mod store;
mod tokens;

pub use notifications::verify;
pub use tokens::{KeyUse, TokenKeys};

use std::sync::Arc;

use contracts::clients::PaymentsClient;
use contracts::generated::bellavista::payments::v1::payments_server::PaymentsServer;
use platform::{Context, Service};
use sqlx::migrate::Migrator;

/// The service's tables, after the ground's.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/payments");

/// The service, and itself as others call it in this process.
pub struct Built {
    pub service: Service,
    pub client: Arc<dyn PaymentsClient>,
}

/// Builds the service from the section `[payments]`.
pub fn build(ctx: Context) -> anyhow::Result<Built> {
    let house = house::House::new(ctx.clone())?;
    let in_process = client::InProcess(house.clone());
    let server = PaymentsServer::new(in_process.clone());
    let service = Service::new(ctx)
        .rest(rest::router(house.clone()))
        .graph(graph::graph(house.clone()))
        .grpc(move |routes| {
            routes.add_service(server);
        })
        .task("payment token keys", tokens::run(house.clone()))
        .task("payment reconciliation", reconcile::run(house));
    Ok(Built { service, client: Arc::new(in_process) })
}
