//! Orders: placing, paying, canceling, refunding, and the saga that drives them.
//!
//! Owns: orders, items, status history, saga state, payment attempts, refunds,
//! and a read model of prices fed by the catalogue's events.
//!
//! Invariants: amounts are frozen at placement; only the saga moves money and
//! commands stock for orders, and every step of it may be repeated; a status
//! changes only along the life cycle, with a history row and an event in the
//! same transaction; never more is refunded than was captured.
//!
//! Start with [`domain::saga`], then [`sagas`], [`commands`] and [`rest`].

mod app;
mod commands;
mod config;
mod consumers;
pub mod domain;
mod echoes;
mod faults;
mod graph;
mod outbound;
mod projections;
mod queries;
mod rest;
mod sagas;
mod signals;
mod store;
mod tasks;

use std::sync::Arc;

use contracts::clients::{CartClient, CatalogClient, PaymentsClient, StockClient};
use platform::projection::{self, ReadModel};
use platform::{ApiError, Context, Service};
use shared_types::OrderId;
use sqlx::migrate::Migrator;

use app::App;

/// The schema of this service.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../../../migrations/orders");

/// What can be rebuilt from the event log.
pub fn read_models() -> Vec<Arc<dyn ReadModel>> {
    vec![Arc::new(projections::order_summaries::OrderSummaries)]
}

/// Whom orders call: in one process the callee itself, otherwise a channel.
#[derive(Clone)]
pub struct Clients {
    pub stock: Arc<dyn StockClient>,
    pub payments: Arc<dyn PaymentsClient>,
    pub catalog: Arc<dyn CatalogClient>,
    pub cart: Arc<dyn CartClient>,
}

/// The service, ready to be mounted and run.
pub fn build(ctx: Context, clients: Clients) -> anyhow::Result<Service> {
    Ok(build_with_crank(ctx, clients)?.0)
}

/// The service with a crank for tests, which drive the saga step by step.
#[doc(hidden)]
pub fn build_with_crank(ctx: Context, clients: Clients) -> anyhow::Result<(Service, Crank)> {
    let app = Arc::new(App::new(ctx.clone(), clients)?);
    let mut service = Service::new(ctx.clone());
    for model in read_models() {
        service = service.task("orders.read-model", projection::live(ctx.clone(), model));
    }
    let service = service
        .rest(rest::router(app.clone()))
        .graph(graph::graph(app.clone()))
        .waking(app.wakes.clone())
        .consumer(consumers::consumer(app.clone()))
        .task("orders.saga", sagas::worker::run(app.clone()))
        .task("orders.housekeeping", tasks::housekeeping(app.clone()));
    Ok((service, Crank { app }))
}

/// Turns sagas by hand.
#[doc(hidden)]
pub struct Crank {
    app: Arc<App>,
}

impl Crank {
    /// One step with its storing; false when there was none to take.
    pub async fn step(&self, order_id: OrderId) -> Result<bool, ApiError> {
        sagas::worker::step_order(&self.app, order_id).await
    }

    /// Steps until the saga rests.
    pub async fn run(&self, order_id: OrderId) -> Result<(), ApiError> {
        sagas::worker::run_order(&self.app, order_id).await
    }

    /// This instance dies at the n-th place from now where something is stored
    /// or was just stored.
    pub fn die_at(&self, passes: i64) {
        self.app.faults.arm(passes);
    }

    /// Whether it came to that.
    pub fn died(&self) -> bool {
        !self.app.faults.is_armed()
    }

    /// The calls of one step, then a crash before anything of it is stored.
    pub async fn crash_in_step(&self, order_id: OrderId) -> Result<bool, ApiError> {
        let taken = sagas::worker::taken_up(&self.app, order_id).await?;
        let Some((loaded, step)) = taken else { return Ok(false) };
        sagas::steps::perform(&self.app, &loaded, step).await?;
        Ok(true)
    }
}
